# RENAME takes the messages and the children along (RFC 3501 section 6.3.5).
M: one
|Subject: one
|
|One.
! folder .Old
! folder .Old.Child
! place .Old one S
! login
C: a RENAME INBOX.Old INBOX.New
S: a OK <any>
C: b LIST "" INBOX.*
S*: * LIST (\HasChildren) "." "INBOX.New"
S*: * LIST (\HasNoChildren) "." "INBOX.New.Child"
S: b OK <any>
C: c STATUS INBOX.New (MESSAGES)
S: * STATUS "INBOX.New" (MESSAGES 1)
S: c OK <any>
C: d SELECT INBOX.Old
S: d NO <any>
C: e CREATE INBOX.Other
S: e OK <any>
C: f RENAME INBOX.New INBOX.Other
S: f NO <any>
C: g RENAME INBOX.New INBOX.New.Inside
S: g NO <any>
