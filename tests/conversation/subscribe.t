# SUBSCRIBE, LSUB, UNSUBSCRIBE (RFC 3501 sections 6.3.6, 6.3.7 and 6.3.9).
! folder .A
! folder .B
! login
C: a SUBSCRIBE INBOX.A
S: a OK <any>
C: b SUBSCRIBE INBOX.Missing
S: b OK <any>
C: c SUBSCRIBE INBOX
S: c OK <any>
C: d LSUB "" *
S*: * LSUB (<any>) "." "INBOX"
S*: * LSUB (<any>) "." "INBOX.A"
S*: * LSUB (<any>) "." "INBOX.Missing"
S: d OK LSUB completed
C: e UNSUBSCRIBE INBOX.Missing
S: e OK <any>
C: f UNSUBSCRIBE INBOX
S: f OK <any>
C: g LSUB "" INBOX.*
S: * LSUB (<any>) "." "INBOX.A"
S: g OK <any>
