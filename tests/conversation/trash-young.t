# IMAP_EMPTYTRASH leaves alone what has not been there for long, and folders that do not exist.
# env: IMAP_EMPTYTRASH=Trash:1,Sent.Old:30,Nowhere:1,odd
M: one
|Subject: one
|
|One.
! folder .Trash
! folder .Sent.Old
! place .Trash one S
! deliver .Sent.Old one
! login
C: a STATUS INBOX.Trash (MESSAGES)
S: * STATUS "INBOX.Trash" (MESSAGES 1)
S: a OK <any>
C: b STATUS INBOX.Sent.Old (MESSAGES)
S: * STATUS "INBOX.Sent.Old" (MESSAGES 1)
S: b OK <any>
C: c LOGOUT
S: * BYE <any>
S: c OK <any>
! closed
! login 2
C2: d STATUS INBOX.Trash (MESSAGES)
S2: * STATUS "INBOX.Trash" (MESSAGES 1)
S2: d OK <any>
