# CHECK, and CLOSE that removes without telling (RFC 3501 sections 6.4.1 and 6.4.2).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
M: one
|From: Ann <ann@example.net>
|To: bob@example.com
|Subject: one
|
|One line.

! place INBOX one T
! place INBOX one
! login
C: a SELECT INBOX
S~: a OK <any>
C: b CHECK
S: b OK <any>
C: c CHECK now
S: c BAD <any>
C: d CLOSE
S: d OK <any>
C: e STATUS INBOX (MESSAGES)
S: * STATUS "INBOX" (MESSAGES 1)
S: e OK <any>
# Not from a mailbox that is only examined.
C: f SELECT INBOX
S~: f OK <any>
C: g STORE 1 +FLAGS.SILENT (\Deleted)
S: g OK <any>
C: h EXAMINE INBOX
S~: h OK <any>
C: i CLOSE
S: i OK <any>
C: j STATUS INBOX (MESSAGES)
S: * STATUS "INBOX" (MESSAGES 1)
S: j OK <any>
# Nor by selecting another one.
C: k SELECT INBOX
S~: k OK <any>
C: l SELECT INBOX
S~: * 1 EXISTS
S~: l OK <any>
