# EXAMINE is read-only (RFC 3501 section 6.3.2).
M: one
|Subject: one
|
|One.
! deliver INBOX one
! login
C: a SELECT INBOX
S~: a OK [READ-WRITE] <any>
C: b EXAMINE INBOX
S~: * OK [PERMANENTFLAGS ()] <any>
S~: b OK [READ-ONLY] <any>
C: c FETCH 1 BODY[TEXT]
S: * 1 FETCH (BODY[TEXT] {6}
L: One.
S+: )
S: c OK <any>
C: d FETCH 1 FLAGS
S: * 1 FETCH (FLAGS ())
S: d OK <any>
C: e STORE 1 +FLAGS (\Deleted)
S: e NO <any>
C: f EXPUNGE
S: f NO <any>
C: g CLOSE
S: g OK <any>
C: h STATUS INBOX (MESSAGES)
S: * STATUS "INBOX" (MESSAGES 1)
S: h OK <any>
