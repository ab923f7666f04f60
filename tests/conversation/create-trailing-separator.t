# A trailing separator announces children; it is not part of the name (RFC 3501 section 6.3.3).
! login
C: a CREATE INBOX.parent.
S: a OK <any>
# differs: the original makes nothing, not even the mailbox without the separator
ours C: s SELECT INBOX.parent
ours S~: s OK [READ-WRITE] <any>
ref C: s SELECT INBOX.parent
ref S: s NO <any>
C: b CREATE INBOX.parent.child
S: b OK <any>
C: c SELECT INBOX.parent.child
S~: c OK [READ-WRITE] <any>
