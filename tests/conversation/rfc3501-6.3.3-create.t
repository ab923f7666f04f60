# CREATE (RFC 3501 section 6.3.3).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
! login
C: a CREATE INBOX.One
S: a OK <any>
C: b CREATE INBOX.One
S: b NO [ALREADYEXISTS] <any>
C: c CREATE inbox
S: c NO [ALREADYEXISTS] <any>
# Superior names come into being as far as they are needed.
C: d CREATE INBOX.a.b.c
S: d OK <any>
C: e LIST "" INBOX.a*
S*: * LIST (\Noselect \HasChildren) "." "INBOX.a"
S*: * LIST (\Noselect \HasChildren) "." "INBOX.a.b"
S*: * LIST (\HasNoChildren) "." "INBOX.a.b.c"
S: e OK <any>
C: f CREATE INBOX.a
S: f OK <any>
C: g SELECT INBOX.a
S~: g OK <any>
# The separator at the end is not part of the name.
C: h CREATE INBOX.x.
S: h OK <any>
C: i CREATE INBOX.x
S: i NO [ALREADYEXISTS] <any>
C: j CREATE INBOX.y/z
S: j NO <any>
C: k CREATE INBOX..z
S: k NO <any>
C: l CREATE
S: l BAD <any>
# A mailbox of an old name has other UIDs or another UIDVALIDITY.
C: m STATUS INBOX.One (UIDVALIDITY)
S: * STATUS "INBOX.One" (UIDVALIDITY <$old:num>)
S: m OK <any>
C: n DELETE INBOX.One
S: n OK <any>
C: o CREATE INBOX.One
S: o OK <any>
C: p STATUS INBOX.One (UIDVALIDITY)
S: * STATUS "INBOX.One" (UIDVALIDITY <!old>)
S: p OK <any>
