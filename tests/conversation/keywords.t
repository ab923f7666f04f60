# Keywords: created by STORE, announced in FLAGS, kept over sessions, found by SEARCH (RFC 3501 section 2.3.2).
M: one
|Subject: one
|
|One.
! place INBOX one
! place INBOX one
! login
C: a SELECT INBOX
S~: a OK <any>
C: b STORE 1 +FLAGS ($Forwarded Work)
S~: * FLAGS (<any>)
S~: * OK [PERMANENTFLAGS (<any>)] <any>
S~: * 1 FETCH (FLAGS (<any>$Forwarded<any>))
S~: b OK <any>
C: c SEARCH KEYWORD work
S: * SEARCH 1
S: c OK <any>
C: d SEARCH UNKEYWORD $Forwarded
S: * SEARCH 2
S: d OK <any>
! login 2
C2: e SELECT INBOX
S2: * FLAGS (<any>$Forwarded<any>)
S2~: e OK <any>
C2: f FETCH 1 FLAGS
S2: * 1 FETCH (FLAGS (<any>$Forwarded<any>))
S2: f OK <any>
C: g STORE 1 -FLAGS (Work)
S~: * 1 FETCH (FLAGS (<any>$Forwarded<any>))
S~: g OK <any>
C: h SEARCH KEYWORD Work
S: * SEARCH
S: h OK <any>
