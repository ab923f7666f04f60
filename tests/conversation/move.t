# MOVE and UID MOVE (RFC 6851).
# ours only: the original has no MOVE
M: one
|Subject: one
|
|One.
M: two
|Subject: two
|
|Two.
! folder .Work
! place INBOX one S
! place INBOX two F
! place INBOX one
! login
C: a SELECT INBOX
S~: a OK <any>
C: b UID MOVE 2 INBOX.Work
S: * OK [COPYUID <num> 2 1] <any>
S~: * 2 EXPUNGE
S~: b OK <any>
C: c MOVE 1:* INBOX.Work
S: * OK [COPYUID <num> 1,3 2:3] <any>
S~: * <num> EXPUNGE
S~: * <num> EXPUNGE
S~: c OK <any>
C: d STATUS INBOX (MESSAGES)
S: * STATUS "INBOX" (MESSAGES 0)
S: d OK <any>
C: e STATUS INBOX.Work (MESSAGES UNSEEN)
S: * STATUS "INBOX.Work" (MESSAGES 3 UNSEEN 2)
S: e OK <any>
C: f MOVE 1 INBOX.nowhere
# The mailbox is empty now: there is no message 1.
S: f <any>
