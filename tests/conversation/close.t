# CLOSE expunges silently (RFC 3501 section 6.4.2).
M: one
|Subject: one
|
|One.
! place INBOX one
! place INBOX one T
! login
C: a SELECT INBOX
S~: a OK <any>
C: b CLOSE
S: b OK <any>
C: c STATUS INBOX (MESSAGES)
S: * STATUS "INBOX" (MESSAGES 1)
S: c OK <any>
