# Atoms, quoted strings and literals in every position (RFC 3501 sections 4.1 to 4.3 and 9).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
! login
C: a SELECT {5}
S: + <any>
C: INBOX
S~: a OK <any>
C: b STATUS "INBOX" (MESSAGES)
S: * STATUS "INBOX" (MESSAGES 0)
S: b OK <any>
C: c CREATE "INBOX.with \"quotes\" and \\"
S: c OK <any>
C: d LIST "" "INBOX.with*"
S: * LIST (\HasNoChildren) "." "INBOX.with \"quotes\" and \\"
S: d OK <any>
C: e SELECT NIL
S: e NO <any>
C: f CREATE INBOX.NIL
S: f OK <any>
C: g SELECT INBOX.NIL
S~: g OK <any>
C: h SELECT "INBOX
S: h BAD <any>
C: i CREATE INBOX(x
S: i BAD <any>
C: j CREATE INBOX.a*
S: j BAD <any>
C: k CREATE {3
S: k BAD <any>
C: l NOOP
S: l OK <any>
