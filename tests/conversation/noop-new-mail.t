# NOOP reports mail that arrived and mail that another session removed (RFC 3501 section 6.1.2).
M: one
|Subject: one
|
|One.
! place INBOX one
! login
C: a SELECT INBOX
S~: * 1 EXISTS
S~: a OK <any>
! sleep 1100
! deliver INBOX one
C: b NOOP
S: * 2 EXISTS
S: * <num> RECENT
S: b OK <any>
! login 2
C2: c SELECT INBOX
S2~: c OK <any>
C2: d STORE 1 +FLAGS.SILENT (\Deleted)
S2: d OK <any>
C2: e EXPUNGE
S2~: e OK <any>
C: f NOOP
S: * 1 EXPUNGE
S?: * 1 EXISTS
S?: * <num> RECENT
S: f OK <any>
C: g UID SEARCH ALL
S: * SEARCH 2
S: g OK <any>
