# COPY keeps flags and dates; all of it or nothing (RFC 3501 section 6.4.7).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
M: one
|From: Ann <ann@example.net>
|To: bob@example.com
|Subject: one
|
|One line.

! folder .w
! place INBOX one SF
! place INBOX one
! login
C: a SELECT INBOX
S~: a OK <any>
C: b FETCH 1 INTERNALDATE
S: * 1 FETCH (INTERNALDATE "<$date:any>")
S: b OK <any>
C: c COPY 1:2 INBOX.w
S: c OK [COPYUID <num> 1:2 1:2] <any>
C: d COPY 1 INBOX.none
S: d NO [TRYCREATE] <any>
C: e COPY 3 INBOX.w
S: e BAD <any>
C: f COPY 1
S: f BAD <any>
C: g UID COPY 99 INBOX.w
S: g OK <any>
C: h SELECT INBOX.w
S~: * 2 EXISTS
S~: h OK <any>
C: i FETCH 1 (FLAGS INTERNALDATE)
S: * 1 FETCH (FLAGS (\Flagged \Seen<any>) INTERNALDATE "<$date>")
S: i OK <any>
