# CREATE and DELETE (RFC 3501 sections 6.3.3 and 6.3.4).
! login
C: a CREATE INBOX.Work
S: a OK <any>
C: b CREATE INBOX.Work
S: b NO <any>
C: c CREATE INBOX
S: c NO <any>
C: d CREATE INBOX.Work.Deep
S: d OK <any>
C: e LIST "" *
S*: * LIST (<any>\HasChildren) "." "INBOX"
S*: * LIST (\HasChildren) "." "INBOX.Work"
S*: * LIST (\HasNoChildren) "." "INBOX.Work.Deep"
S: e OK LIST completed
C: f DELETE INBOX.Work
S: f OK <any>
C: g LIST "" *
S*: * LIST (<any>\HasChildren) "." "INBOX"
S*: * LIST (\Noselect \HasChildren) "." "INBOX.Work"
S*: * LIST (\HasNoChildren) "." "INBOX.Work.Deep"
S: g OK LIST completed
C: h DELETE INBOX.Work.Deep
S: h OK <any>
C: i DELETE INBOX.nowhere
S: i NO <any>
C: j DELETE INBOX
S: j NO <any>
C: k LIST "" *
S: * LIST (<any>\HasNoChildren) "." "INBOX"
S: k OK <any>
