# LIST: reference, wildcards, the empty pattern (RFC 3501 section 6.3.8, RFC 3348).
! folder .a
! folder .a.b
! folder .a.b.c
! folder .x.y
! login
C: a LIST "" ""
S: * LIST (\Noselect<any>) "." ""
S: a OK <any>
C: b LIST "" %
S: * LIST (<any>\HasChildren) "." "INBOX"
S: b OK <any>
C: c LIST "" INBOX.%
S*: * LIST (\HasChildren) "." "INBOX.a"
S*: * LIST (\Noselect \HasChildren) "." "INBOX.x"
S: c OK <any>
C: d LIST INBOX.a *
S*: * LIST (\HasChildren) "." "INBOX.a.b"
S*: * LIST (\HasNoChildren) "." "INBOX.a.b.c"
S: d OK <any>
C: e LIST "" "INBOX.*.c"
S: * LIST (\HasNoChildren) "." "INBOX.a.b.c"
S: e OK <any>
C: f LIST "" inbox
S: * LIST (<any>) "." "INBOX"
S: f OK <any>
C: g LIST "" INBOX.nothing*
S: g OK <any>
