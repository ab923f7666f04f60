# STATUS of a mailbox that is not selected changes nothing in it (RFC 3501 section 6.3.10).
M: one
|Subject: one
|
|One.
! folder .Work
! place .Work one S
! place .Work one
! login
C: a SELECT INBOX.Work
S~: a OK <any>
C: b SELECT INBOX
S~: b OK <any>
! deliver .Work one
C: c STATUS INBOX.Work (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)
S: * STATUS "INBOX.Work" (MESSAGES 3 RECENT 1 UIDNEXT 4 UIDVALIDITY <$validity:num> UNSEEN 2)
S: c OK <any>
C: d STATUS INBOX.Work (UNSEEN MESSAGES)
S: * STATUS "INBOX.Work" (MESSAGES 3 UNSEEN 2)
S: d OK <any>
C: e SELECT INBOX.Work
S~: * 3 EXISTS
S~: * 1 RECENT
S~: * OK [UIDVALIDITY <$validity>] <any>
S~: e OK <any>
C: f STATUS INBOX.nowhere (MESSAGES)
S: f NO <any>
