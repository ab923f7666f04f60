# GETACL, SETACL, DELETEACL, LISTRIGHTS, MYRIGHTS (RFC 2086, RFC 4314 sections 3.1 to 3.8).
M: stored
|owner aceilrstwx
|administrators aceilrstwx
|user=bob elrstx
|-user=bob w
! folder .A
! login
C: a GETACL INBOX
S: * ACL "INBOX" "owner" "acdilrsw" "administrators" "acdilrsw"
S: a OK GETACL completed.
! absent courierimapacl
C: b SETACL INBOX.A bob lrs
S: b OK ACLs updated.
C: c SETACL INBOX.A -bob w
S: c OK ACLs updated.
C: d SETACL INBOX.A bob +d
S: d OK ACLs updated.
! holds .A/courierimapacl stored
C: e GETACL INBOX.A
S: * ACL "INBOX.A" "owner" "acdilrsw" "administrators" "acdilrsw" "bob" "dlrs" "-bob" "w"
S: e OK GETACL completed.
C: f SETACL INBOX.A bob -xl
S: f OK ACLs updated.
C: g GETACL INBOX.A
S: * ACL "INBOX.A" "owner" "acdilrsw" "administrators" "acdilrsw" "bob" "rs" "-bob" "w"
S: g OK GETACL completed.
C: h SETACL INBOX.A bob ""
S: h OK ACLs updated.
C: i DELETEACL INBOX.A -bob
S: i OK ACLs updated.
C: j DELETEACL INBOX.A nobody
S: j OK ACLs updated.
C: k GETACL INBOX.A
S: * ACL "INBOX.A" "owner" "acdilrsw" "administrators" "acdilrsw"
S: k OK GETACL completed.
C: l LISTRIGHTS INBOX.A bob
S: * LISTRIGHTS "INBOX.A" "bob" "" a c d i l p r s w
S: l OK LISTRIGHTS completed.
C: m LISTRIGHTS INBOX.A <user>
S: * LISTRIGHTS "INBOX.A" "<$user>" "al" c d i p r s w
S: m OK LISTRIGHTS completed.
C: n LISTRIGHTS INBOX.A -anyone
S: * LISTRIGHTS "INBOX.A" "-anyone" "" c d i p r s w
S: n OK LISTRIGHTS completed.
C: o LISTRIGHTS INBOX.A owner
S: * LISTRIGHTS "INBOX.A" "owner" "" a c d i l p r s w
S: o OK LISTRIGHTS completed.
C: p MYRIGHTS INBOX.A
S: * MYRIGHTS "INBOX.A" "acdilrsw"
S: p OK MYRIGHTS completed.
# What owner and administrators must keep.
C: q SETACL INBOX.A owner lr
S: q NO <any>
C: r DELETEACL INBOX.A owner
S: r NO <any>
C: s SETACL INBOX.A administrators lr
S: s NO <any>
C: t SETACL INBOX.A -anyone l
S: t NO <any>
C: u SETACL INBOX.A x=y lr
S: u NO <any>
C: v SETACL INBOX.A "a b" lr
S: v NO <any>
C: w GETACL INBOX.A
S: * ACL "INBOX.A" "owner" "acdilrsw" "administrators" "acdilrsw"
S: w OK GETACL completed.
# differs: the original stores any letter; RFC 4314 section 3.1 wants BAD
ours C: x SETACL INBOX.A bob lZq
ours S: x BAD <any>
ref C: x NOOP
ref S: x OK <any>
C: y GETACL INBOX.nowhere
S: y NO <any>Mailbox does not exist, or must be subscribed to.
C: z MYRIGHTS elsewhere
S: z NO <any>Mailbox does not exist, or must be subscribed to.
C: A SETACL INBOX.A owner acdilrswp
S: A OK ACLs updated.
C: B MYRIGHTS INBOX.A
S: * MYRIGHTS "INBOX.A" "acdilprsw"
S: B OK MYRIGHTS completed.
