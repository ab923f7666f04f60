# IMAP_USELOCKS=0: nobody's lock is waited for.
# env: IMAP_USELOCKS=0
M: lock
|1:elsewhere.example
M: one
|Subject: one
|
|One.
! file tmp/courier.lock lock
! deliver INBOX one
! login
C: a SELECT INBOX
S~: * 1 EXISTS
S~: a OK <any>
C: b APPEND INBOX {<len:one>}
S: + <any>
C: <$one>
S~: b OK [APPENDUID <any>] APPEND Ok.
! holds tmp/courier.lock lock
