# UNSELECT leaves without expunging (RFC 3691).
# ours only: the original has no UNSELECT
M: one
|Subject: one
|
|One.
! place INBOX one T
! login
C: a SELECT INBOX
S~: a OK <any>
C: b UNSELECT
S: b OK <any>
C: c STATUS INBOX (MESSAGES)
S: * STATUS "INBOX" (MESSAGES 1)
S: c OK <any>
C: d UNSELECT
S: d BAD <any>
