# STATUS of the selected mailbox agrees with what the session has been told (RFC 3501 sections 6.3.10 and 2.3.2).
M: one
|Subject: one
|
|One.

! deliver INBOX one
! login
! login 2
C: a SELECT INBOX
S~: * 1 RECENT
S~: a OK <any>
C: b STATUS INBOX (MESSAGES RECENT UNSEEN)
S: * STATUS "INBOX" (MESSAGES 1 RECENT 1 UNSEEN 1)
S: b OK <any>
C2: c STATUS INBOX (MESSAGES RECENT UNSEEN)
S2: * STATUS "INBOX" (MESSAGES 1 RECENT 0 UNSEEN 1)
S2: c OK <any>
C: d EXAMINE INBOX
S~: * 0 RECENT
S~: d OK <any>
C: e STATUS INBOX (RECENT)
S: * STATUS "INBOX" (RECENT 0)
S: e OK <any>
