# Commands sent together see the numbers that the client has been told (RFC 3501 sections 5.5 and 7.4.1).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
M: one
|From: Ann <ann@example.net>
|To: bob@example.com
|Subject: one
|
|One line.

! place INBOX one T
! place INBOX one
! login
! login 2
C: a SELECT INBOX
S~: a OK <any>
C2: b SELECT INBOX
S2~: b OK <any>
C2: c EXPUNGE
S2~: c OK <any>
# Numbers stay while FETCH, STORE and SEARCH run; what is gone is said to be gone.
C: d FETCH 2 UID
S: * 2 FETCH (UID 2)
S: d OK <any>
C: e STORE 2 +FLAGS.SILENT (\Flagged)
S: e OK <any>
C: f SEARCH UID 2
S: * SEARCH 2
S: f OK <any>
C: g FETCH 1 BODY.PEEK[]
S: g NO [EXPUNGEISSUED] <any>
c: h NOOP<hex:0d0a>i FETCH 1 UID<hex:0d0a>
S: * 1 EXPUNGE
S: * 1 EXISTS
S: * <num> RECENT
S: h OK <any>
S: * 1 FETCH (UID 2)
S: i OK <any>
