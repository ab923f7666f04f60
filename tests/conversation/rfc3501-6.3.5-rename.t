# RENAME: inferior names follow, INBOX gives its messages away and stays (RFC 3501 section 6.3.5).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
M: one
|From: Ann <ann@example.net>
|To: bob@example.com
|Subject: one
|
|One line.

! folder .a
! folder .a.b
! folder .taken
! place INBOX one S
! login
C: a RENAME INBOX.a INBOX.z.y
S: a OK <any>
C: b LIST "" INBOX.z*
S*: * LIST (\Noselect \HasChildren) "." "INBOX.z"
S*: * LIST (\HasChildren) "." "INBOX.z.y"
S*: * LIST (\HasNoChildren) "." "INBOX.z.y.b"
S: b OK <any>
C: c RENAME INBOX.a INBOX.q
S: c NO [NONEXISTENT] <any>
C: d RENAME INBOX.z.y INBOX.taken
S: d NO [ALREADYEXISTS] <any>
C: e RENAME INBOX INBOX.old
S: e OK <any>
C: f STATUS INBOX (MESSAGES)
S: * STATUS "INBOX" (MESSAGES 0)
S: f OK <any>
C: g STATUS INBOX.old (MESSAGES UNSEEN)
S: * STATUS "INBOX.old" (MESSAGES 1 UNSEEN 0)
S: g OK <any>
# Inferior names of INBOX are not affected.
C: h LIST "" INBOX.taken
S: * LIST (\HasNoChildren) "." "INBOX.taken"
S: h OK <any>
C: i RENAME INBOX.old INBOX
S: i NO <any>
C: j RENAME INBOX.old
S: j BAD <any>
