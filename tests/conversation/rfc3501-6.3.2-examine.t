# EXAMINE changes nothing, not even \Recent (RFC 3501 section 6.3.2).
M: one
|From: Ann <ann@example.net>
|To: bob@example.com
|Subject: one
|
|One line.

! place INBOX one
! login
C: a EXAMINE INBOX
S~: * OK [PERMANENTFLAGS ()] <any>
S~: a OK [READ-ONLY] <any>
C: b FETCH 1 BODY[]
S: * 1 FETCH (BODY[] {<len:one>}
L= <$one>
S+: )
S: b OK <any>
C: c FETCH 1 FLAGS
S: * 1 FETCH (FLAGS (<any>))
S: c OK <any>
C: d STORE 1 +FLAGS (\Deleted)
S: d NO <any>
C: e EXPUNGE
S: e NO <any>
C: f SEARCH SEEN
S: * SEARCH
S: f OK <any>
C: g COPY 1 INBOX
S~: g OK [COPYUID <any>
C: h CLOSE
S: h OK <any>
C: i STATUS INBOX (MESSAGES UNSEEN)
S: * STATUS "INBOX" (MESSAGES 2 UNSEEN 2)
S: i OK <any>
C: j EXAMINE INBOX.None
S: j NO <any>
