# MAILDIRQUOTA: APPEND gives the account these limits; COPY leaves an account without a quota alone.
# env: MAILDIRQUOTA=45S,3C
M: one
|Subject: one
|
|One.
! place INBOX one
! place INBOX one S
! login
C: a SELECT INBOX
S~: a OK <any>
C: b APPEND INBOX (\Deleted) {<len:one>}
S: + <any>
C: <$one>
S~: b OK [APPENDUID <any>] APPEND Ok.
! absent maildirsize
C: c APPEND INBOX {<len:one>}
# differs: told before the message is sent
ours S: c NO [OVERQUOTA] You exceeded your mail quota.
ref S: + <any>
ref C: <$one>
ref S~: c NO <any>You exceeded your mail quota.
# differs: the original's error about the bytes that it takes for a command
ref S?: <any> NO Error in IMAP command received by server.
C: d GETQUOTA ROOT
S~: * QUOTA "ROOT" (STORAGE 1 1 MESSAGE 2 3)
S: d OK GETQUOTA Ok.
