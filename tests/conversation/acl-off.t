# With disableshared every mailbox has a fixed list and no file is read or written.
# options: disableshared=1
M: restricted
|owner alr
|administrators aceilrstwx
! folder .A
! file .A/courierimapacl restricted
! login
C: a MYRIGHTS INBOX.A
S: * MYRIGHTS "INBOX.A" "cdilrsw"
S: a OK MYRIGHTS completed.
C: b SETACL INBOX.A bob lr
S: b NO <any>Access denied for SETACL on INBOX.A (ACL "a" required)
C: c GETACL INBOX.A
S: c NO <any>Access denied for GETACL on INBOX.A (ACL "a" required)
C: d SELECT INBOX.A
S~: * OK [MYRIGHTS "cdilrsw"] ACL
S~: d OK [READ-WRITE] Ok
C: e CREATE INBOX.B
S: e OK <any>
! absent .B/courierimapacl
