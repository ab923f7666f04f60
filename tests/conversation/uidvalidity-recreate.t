# A mailbox made anew under an old name has another UIDVALIDITY (RFC 3501 section 2.3.1.1).
# ours only: the original takes the clock's seconds, so quick changes repeat a value
! login
C: a CREATE INBOX.Work
S: a OK <any>
C: b STATUS INBOX.Work (UIDVALIDITY)
S: * STATUS "INBOX.Work" (UIDVALIDITY <$first:num>)
S: b OK <any>
C: c DELETE INBOX.Work
S: c OK <any>
C: d CREATE INBOX.Work
S: d OK <any>
C: e SELECT INBOX.Work
S~: * OK [UIDVALIDITY <!first>] <any>
S~: e OK <any>
