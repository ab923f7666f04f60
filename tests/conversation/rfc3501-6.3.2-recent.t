# EXAMINE must not take \Recent away, also not from mail that was put straight into cur (RFC 3501 section 6.3.2).
M: one
|Subject: one
|
|One.

! place INBOX one
! login
C: a EXAMINE INBOX
S~: * 1 RECENT
S~: a OK <any>
C: b EXAMINE INBOX
S~: * 1 RECENT
S~: b OK <any>
C: c STATUS INBOX.None (RECENT)
S: c NO <any>
C: d UNSELECT
# differs: RFC 3691
ours S: d OK <any>
ref S: d NO <any>
C: e STATUS INBOX (RECENT)
S: * STATUS "INBOX" (RECENT 1)
S: e OK <any>
C: f SELECT INBOX
S~: * 1 RECENT
S~: f OK <any>
C: g FETCH 1 FLAGS
S: * 1 FETCH (FLAGS (\Recent))
S: g OK <any>
C: h SELECT INBOX
S~: * 0 RECENT
S~: h OK <any>
