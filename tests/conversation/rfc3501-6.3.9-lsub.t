# LSUB: % shows what is above subscribed names, with \Noselect (RFC 3501 section 6.3.9).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
! folder .a.b
! folder .c
! login
C: a SUBSCRIBE INBOX.a.b
S: a OK <any>
C: b LSUB "" *
S: * LSUB (<any>) "." "INBOX.a.b"
S: b OK <any>
C: c LSUB "" INBOX.%
S: * LSUB (\Noselect<any>) "." "INBOX.a"
S: c OK <any>
C: d LSUB INBOX.a. %
S: * LSUB (<any>) "." "INBOX.a.b"
S: d OK <any>
C: e LSUB "" INBOX.c
S: e OK <any>
C: f LSUB ""
S: f BAD <any>
