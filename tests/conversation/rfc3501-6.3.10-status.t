# STATUS (RFC 3501 section 6.3.10).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
M: one
|From: Ann <ann@example.net>
|To: bob@example.com
|Subject: one
|
|One line.

! folder .w
! place .w one S
! place .w one T
! login
C: a STATUS INBOX.w (UIDNEXT MESSAGES UNSEEN RECENT UIDVALIDITY)
S: * STATUS "INBOX.w" (MESSAGES 2 RECENT <num> UIDNEXT 3 UIDVALIDITY <num> UNSEEN 1)
S: a OK <any>
C: b STATUS INBOX.none (MESSAGES)
S: b NO <any>
C: c STATUS INBOX.w ()
S: c BAD <any>
C: d STATUS INBOX.w (NONSENSE)
S: d BAD <any>
C: e STATUS INBOX.w
S: e BAD <any>
# It does not change what is selected, nor \Recent.
C: f SELECT INBOX.w
S~: * 2 RECENT
S~: f OK <any>
C: g STATUS INBOX (MESSAGES)
S: * STATUS "INBOX" (MESSAGES 0)
S: g OK <any>
C: h FETCH 1 UID
S: * 1 FETCH (UID 1)
S: h OK <any>
