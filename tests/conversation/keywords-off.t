# Without keywords PERMANENTFLAGS has no \* (IMAP_KEYWORDS).
# env: IMAP_KEYWORDS=0
! login
C: a SELECT INBOX
S~: * OK [PERMANENTFLAGS (\Draft \Answered \Flagged \Deleted \Seen)] <any>
S~: a OK <any>
