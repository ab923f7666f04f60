# What is allowed with a mailbox selected, and what is never allowed after login (RFC 3501 sections 3, 6.1, 6.2).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
! folder .Work
! login
C: a SELECT INBOX
S~: a OK <any>
C: b0 CREATE INBOX.New
S: b0 OK <any>
C: b1 SUBSCRIBE INBOX.New
S: b1 OK <any>
C: b2 RENAME INBOX.New INBOX.Newer
S: b2 OK <any>
C: b3 DELETE INBOX.Newer
S: b3 OK <any>
C: b4 UNSUBSCRIBE INBOX.New
S: b4 OK <any>
C: b5 NOOP
S: b5 OK <any>
C: b6 CHECK
S: b6 OK <any>
C: c CAPABILITY
S: * CAPABILITY IMAP4rev1 <any>
S: c OK <any>
C: d LIST "" ""
S: * LIST (\Noselect) "." ""
S: d OK <any>
C: e STATUS INBOX.Work (MESSAGES)
S: * STATUS "INBOX.Work" (MESSAGES 0)
S: e OK <any>
C: f LOGIN a b
S: f BAD <any>
C: g AUTHENTICATE PLAIN
S: g BAD <any>
C: h STARTTLS
S: h BAD <any>
C: i SELECT INBOX.Work
S~: i OK [READ-WRITE] <any>
C: j LOGOUT
S: * BYE <any>
S: j OK <any>
! closed
