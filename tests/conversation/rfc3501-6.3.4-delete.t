# DELETE (RFC 3501 section 6.3.4).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
! folder .a
! folder .a.b
! login
C: a DELETE INBOX
S: a NO <any>
C: b DELETE INBOX.None
S: b NO [NONEXISTENT] <any>
# Inferior names stay, and the name stays with them, without a mailbox.
C: c DELETE INBOX.a
S: c OK <any>
C: d LIST "" INBOX.*
S*: * LIST (\Noselect \HasChildren) "." "INBOX.a"
S*: * LIST (\HasNoChildren) "." "INBOX.a.b"
S: d OK <any>
C: e DELETE INBOX.a
S: e NO <any>
C: f SELECT INBOX.a
S: f NO <any>
C: g DELETE INBOX.a.b
S: g OK <any>
C: h LIST "" INBOX.*
S: h OK <any>
C: i DELETE
S: i BAD <any>
C: j DELETE INBOX.a INBOX.b
S: j BAD <any>
