# A new mailbox has the rights of the one above it; what changes there later does not change it.
M: inherited
|owner aceilrstwx
|administrators aceilrstwx
|user=bob lr
! folder .A
! login
C: a SETACL INBOX.A bob lr
S: a OK ACLs updated.
C: b CREATE INBOX.A.B
S: b OK <any>
! holds .A.B/courierimapacl inherited
C: c SETACL INBOX.A bob lrw
S: c OK ACLs updated.
C: d GETACL INBOX.A.B
S: * ACL "INBOX.A.B" "owner" "acdilrsw" "administrators" "acdilrsw" "bob" "lr"
S: d OK GETACL completed.
# A name above mailboxes keeps its list when its mailbox goes, and gives it to a new one.
C: e DELETE INBOX.A
S: e OK Folder deleted.
# differs: the original keeps it but shows and changes it with its maildiracl only
ours C: f GETACL INBOX.A
ours S: * ACL "INBOX.A" "owner" "acdilrsw" "administrators" "acdilrsw" "bob" "lrw"
ours S: f OK GETACL completed.
ours C: g SETACL INBOX.A bob lrws
ours S: g OK ACLs updated.
ours C: h SETACL INBOX.A bob lrw
ours S: h OK ACLs updated.
C: h CREATE INBOX.A
S: h OK <any>
C: i GETACL INBOX.A
S: * ACL "INBOX.A" "owner" "acdilrsw" "administrators" "acdilrsw" "bob" "lrw"
S: i OK GETACL completed.
# differs: the original leaves the name's list behind
ours ! absent courierimaphieracl/A
# RENAME takes it along.
C: j CREATE INBOX.Z
S: j OK <any>
C: k RENAME INBOX.A INBOX.Z.A
S: k OK Folder renamed.
C: l GETACL INBOX.Z.A.B
S: * ACL "INBOX.Z.A.B" "owner" "acdilrsw" "administrators" "acdilrsw" "bob" "lr"
S: l OK GETACL completed.
C: m GETACL INBOX.Z.A
S: * ACL "INBOX.Z.A" "owner" "acdilrsw" "administrators" "acdilrsw" "bob" "lrw"
S: m OK GETACL completed.
