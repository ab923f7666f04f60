# CHECK (RFC 3501 section 6.4.1).
! login
C: a SELECT INBOX
S~: a OK <any>
C: b CHECK
S: b OK <any>
