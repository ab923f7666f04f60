# APPEND: flags, dates, a missing mailbox, what is not APPEND (RFC 3501 section 6.3.11).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
M: one
|From: Ann <ann@example.net>
|To: bob@example.com
|Subject: one
|
|One line.

! login
C: a SELECT INBOX
S~: a OK <any>
C: b APPEND INBOX.none {<len:one>}
S: b NO [TRYCREATE] <any>
C: c APPEND inbox (\Seen \Draft) "17-Jul-1996 02:44:25 -0700" {<len:one>}
S: + <any>
C: <$one>
S: * 1 EXISTS
S: * <num> RECENT
S: c OK [APPENDUID <num> 1] <any>
C: d FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE)
S: * 1 FETCH (FLAGS (\Draft \Seen<any>) INTERNALDATE "17-Jul-1996 09:44:25 +0000" RFC822.SIZE <len:one>)
S: d OK <any>
C: e APPEND INBOX (\Seen) "17-Jul-1996" {<len:one>}
S: e BAD <any>
C: f APPEND INBOX (Seen {<len:one>}
S: f BAD <any>
C: g APPEND INBOX "no literal"
S: g BAD <any>
C: h APPEND INBOX
S: h BAD <any>
C: i APPEND INBOX () {<len:one>}
S: + <any>
C: <$one>
S: * 2 EXISTS
S: * <num> RECENT
S: i OK [APPENDUID <num> 2] <any>
C: j NOOP
S: j OK <any>
