# RENAME of a mailbox that does not exist is NO (RFC 3501 section 6.3.5).
# ours only: the original says OK
! login
C: a RENAME INBOX.nowhere INBOX.somewhere
S: a NO <any>
