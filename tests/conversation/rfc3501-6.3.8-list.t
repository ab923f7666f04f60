# LIST: references, wildcards, the empty pattern, INBOX in any case (RFC 3501 section 6.3.8).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
! folder .a
! folder .a.b
! folder .c
! login
C: a LIST "" ""
S: * LIST (\Noselect) "." ""
S: a OK <any>
C: b LIST INBOX.a ""
S: * LIST (\Noselect) "." <any>
S: b OK <any>
C: c LIST "" %
S: * LIST (<any>\HasChildren) "." "INBOX"
S: c OK <any>
C: d LIST "" INBOX.%
S*: * LIST (\HasChildren) "." "INBOX.a"
S*: * LIST (\HasNoChildren) "." "INBOX.c"
S: d OK <any>
C: e LIST INBOX. %
S*: * LIST (\HasChildren) "." "INBOX.a"
S*: * LIST (\HasNoChildren) "." "INBOX.c"
S: e OK <any>
C: f LIST "" inBOX
S: * LIST (<any>) "." "INBOX"
S: f OK <any>
C: g LIST "" INBOX.*b
S: * LIST (\HasNoChildren) "." "INBOX.a.b"
S: g OK <any>
C: h LIST "" nothing
S: h OK <any>
C: i LIST ""
S: i BAD <any>
C: j LIST "" INBOX.% more
S: j BAD <any>
