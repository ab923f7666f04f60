# EXPUNGE and UID EXPUNGE (RFC 3501 section 6.4.3, RFC 4315).
M: one
|Subject: one
|
|One.
! place INBOX one
! place INBOX one T
! place INBOX one T
! place INBOX one T
! place INBOX one
! login
C: a SELECT INBOX
S~: * 5 EXISTS
S~: a OK <any>
C: b UID EXPUNGE 2,5
S: * 2 EXPUNGE
S?: * 4 EXISTS
S?: * <num> RECENT
S: b OK <any>
C: c EXPUNGE
S: * 2 EXPUNGE
S: * 2 EXPUNGE
S?: * 2 EXISTS
S?: * <num> RECENT
S: c OK <any>
C: d UID SEARCH ALL
S: * SEARCH 1 5
S: d OK <any>
