# \Recent is for the first session that is told of a message, and only for that (RFC 3501 section 2.3.2).
M: one
|Subject: one
|
|One.
! deliver INBOX one
! login
! login 2
C: a STATUS INBOX (RECENT)
S: * STATUS "INBOX" (RECENT 1)
S: a OK <any>
C: b EXAMINE INBOX
S~: * 1 RECENT
S~: b OK <any>
C: c SELECT INBOX
S~: * 1 RECENT
S~: c OK <any>
C: d FETCH 1 FLAGS
S: * 1 FETCH (FLAGS (\Recent))
S: d OK <any>
C: e SEARCH NEW
S: * SEARCH 1
S: e OK <any>
C2: f SELECT INBOX
S2~: * 0 RECENT
S2~: f OK <any>
C2: g FETCH 1 FLAGS
S2: * 1 FETCH (FLAGS ())
S2: g OK <any>
C2: h SEARCH OLD
S2: * SEARCH 1
S2: h OK <any>
