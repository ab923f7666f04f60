# STATUS SIZE (RFC 8438) and APPENDLIMIT (RFC 7889).
# ours only: the original has neither
# env: IMAP_APPENDLIMIT=100
M: letter
|Subject: size
|
|One line.
! folder .Work
! place .Work letter S
! login
C: a CAPABILITY
S: * CAPABILITY <any> STATUS=SIZE APPENDLIMIT=100 <any>
S: a OK <any>
C: b STATUS INBOX.Work (SIZE APPENDLIMIT MESSAGES)
S: * STATUS "INBOX.Work" (MESSAGES 1 SIZE <len:letter> APPENDLIMIT 100)
S: b OK <any>
C: c APPEND INBOX {101}
S: c NO [TOOBIG] <any>
C: d APPEND INBOX {<len:letter>}
S: + <any>
C: <$letter>
S: d OK <any>
C: e LIST "" "INBOX*" RETURN (STATUS (SIZE))
S~: * STATUS "INBOX" (SIZE <len:letter>)
S~: * STATUS "INBOX.Work" (SIZE <len:letter>)
S~: e OK <any>
