# CAPABILITY after login (RFC 3501 section 6.1.1).
! login
C: a CAPABILITY
S: * CAPABILITY IMAP4rev1<any> QUOTA <any>ACL ACL2=UNION<any> ENABLE UTF8=ACCEPT<any>
S: a OK CAPABILITY completed
C: b NOOP
S: b OK NOOP completed
