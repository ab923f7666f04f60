# IDLE reports a delivery while it runs (RFC 2177).
M: one
|Subject: one
|
|One.
! login
C: a SELECT INBOX
S~: a OK <any>
C: b IDLE
S: + <any>
! sleep 300
! deliver INBOX one
S: * 1 EXISTS
S: * 1 RECENT
C: DONE
S~: b OK <any>
C: c FETCH 1 BODY.PEEK[TEXT]
S: * 1 FETCH (BODY[TEXT] {6}
L: One.
S+: )
S: c OK <any>
