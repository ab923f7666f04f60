# Mailbox names are modified UTF-7 on the wire (RFC 3501 section 5.1.3), UTF-8 once enabled (RFC 6855) and on disk.
! login
C: a CREATE "INBOX.Entw&APw-rfe"
S: a OK <any>
C: b CREATE "INBOX.A & B"
S: b NO <any>
C: c LIST "" "INBOX.E%"
S: * LIST (\HasNoChildren) "." "INBOX.Entw&APw-rfe"
S: c OK <any>
C: d ENABLE UTF8=ACCEPT
S: * ENABLED UTF8=ACCEPT
S: d OK <any>
C: e LIST "" "INBOX.E%"
S: * LIST (\HasNoChildren) "." "INBOX.Entwürfe"
S: e OK <any>
C: f SELECT "INBOX.Entwürfe"
S~: f OK [READ-WRITE] <any>
