# APPEND with a non-synchronising literal needs no go-ahead (RFC 7888).
# ours only: the original knows no such literals
M: letter
|Subject: a letter
|
|Hello.
! login
C: a APPEND INBOX {<len:letter>+}
C: <$letter>
S: a OK [APPENDUID <num> 1] <any>
C: b STATUS INBOX (MESSAGES)
S: * STATUS "INBOX" (MESSAGES 1)
S: b OK <any>
