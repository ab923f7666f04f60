# The selected mailbox is not deleted.
! folder .Work
! login
C: a SELECT INBOX.Work
S~: a OK <any>
C: b DELETE INBOX.Work
S: b NO <any>
C: c SELECT INBOX
S~: c OK <any>
C: d DELETE INBOX.Work
S: d OK <any>
