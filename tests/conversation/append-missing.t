# APPEND to a mailbox that does not exist says TRYCREATE before it takes the message (RFC 3501 section 6.3.11).
M: letter
|Subject: a letter
|
|Hello.
! login
C: a APPEND INBOX.nowhere {<len:letter>}
S: a NO [TRYCREATE] Must create mailbox before append
C: b NOOP
S: b OK <any>
