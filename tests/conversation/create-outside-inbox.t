# Nothing can be created outside the namespace (RFC 2342).
! login
C: a CREATE Elsewhere
S: a NO <any>
C: b CREATE INBOX.a/b
S: b NO <any>
C: c CREATE INBOX..x
S: c NO <any>
C: d SELECT Elsewhere
S: d NO <any>
