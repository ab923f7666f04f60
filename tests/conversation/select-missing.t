# A failed SELECT leaves no mailbox selected (RFC 3501 section 6.3.1).
! login
C: a SELECT INBOX
S~: a OK <any>
C: b SELECT INBOX.nowhere
S: b NO <any>
# differs: the original says NO where the state forbids a command
ours C: c FETCH 1 FLAGS
ours S: c BAD <any>
ref C: c FETCH 1 FLAGS
ref S: c NO <any>
