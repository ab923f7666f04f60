# EXPUNGE is told in NOOP, CHECK and IDLE, not while FETCH, STORE or SEARCH runs (RFC 3501 sections 5.2 and 7.4.1).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
M: one
|From: Ann <ann@example.net>
|To: bob@example.com
|Subject: one
|
|One line.

! place INBOX one
! place INBOX one
! place INBOX one
! login
! login 2
C: a SELECT INBOX
S~: a OK <any>
C2: b SELECT INBOX
S2~: b OK <any>
C2: c STORE 2 +FLAGS.SILENT (\Deleted)
S2: c OK <any>
C2: d EXPUNGE
S2~: d OK <any>
C: e SEARCH ALL
S: * SEARCH 1 2 3
S: e OK <any>
C: f FETCH 3 UID
S: * 3 FETCH (UID 3)
S: f OK <any>
C: g STORE 3 +FLAGS.SILENT (\Seen)
S: g OK <any>
C: h CHECK
S: * 2 EXPUNGE
S: * 2 EXISTS
S: * <num> RECENT
S: h OK <any>
C: i FETCH 2 UID
S: * 2 FETCH (UID 3)
S: i OK <any>
C: j FETCH 3 UID
S: j BAD <any>
