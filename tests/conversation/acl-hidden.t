# LIST and LSUB show only what may be seen; what is below a hidden mailbox still shows the name above.
# options: group=staff
M: hidden
|owner aceilrstwx
|administrators aceilrstwx
|-group=staff l
M: open
|owner aceilrstwx
|administrators aceilrstwx
! folder .A
! folder .A.B
! folder .C
! folder .D
! file .A/courierimapacl hidden
! file .A.B/courierimapacl open
! file .D/courierimapacl hidden
! login
C: a LIST "" INBOX.*
S*: * LIST (\Noselect \HasChildren) "." "INBOX.A"
S*: * LIST (\HasNoChildren) "." "INBOX.A.B"
S*: * LIST (\HasNoChildren) "." "INBOX.C"
S: a OK LIST completed
C: b SUBSCRIBE INBOX.C
S: b OK Folder subscribed.
C: c SUBSCRIBE INBOX.D
S: c OK Folder subscribed.
C: d LSUB "" INBOX.*
S: * LSUB (<any>) "." "INBOX.C"
S: d OK LSUB completed
# Its owner can know that it is there.
C: e SELECT INBOX.D
S~: * OK [MYRIGHTS <any>] ACL
S~: e OK [READ-WRITE] Ok
