# The bytes of a refused non-synchronising literal are not taken for commands (RFC 7888 section 4).
# ours only: the original knows no such literals
M: letter
|x LOGOUT
|y LOGOUT
! login
C: a APPEND INBOX.nowhere {<len:letter>+}
C: <$letter>
S: a NO [TRYCREATE] <any>
C: b NOOP
S: b OK <any>
