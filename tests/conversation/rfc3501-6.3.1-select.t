# SELECT: what must be told, names in any form, the mailbox before it is left (RFC 3501 section 6.3.1).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
M: one
|From: Ann <ann@example.net>
|To: bob@example.com
|Subject: one
|
|One line.

! folder .Work
! place INBOX one S
! place INBOX one
! login
C: a SELECT inbox
S: * FLAGS (<any>\Draft \Answered \Flagged \Deleted \Seen \Recent)
S: * OK [PERMANENTFLAGS (<any>\* \Draft \Answered \Flagged \Deleted \Seen)] <any>
S: * 2 EXISTS
S: * <num> RECENT
S: * OK [UNSEEN 2] <any>
S: * OK [UIDVALIDITY <num>] <any>
S~: * OK [UIDNEXT 3] <any>
S: a OK [READ-WRITE] <any>
C: b SELECT "INBOX.Work"
S~: * 0 EXISTS
S~: * OK [UIDNEXT 1] <any>
S: b OK [READ-WRITE] <any>
C: c UID FETCH 1:* FLAGS
S: c OK <any>
C: d SELECT
S: d BAD <any>
C: e SELECT INBOX INBOX
S: e BAD <any>
C: f SELECT Other
S: f NO <any>
C: g SELECT InBoX
S~: * 2 EXISTS
S~: g OK [READ-WRITE] <any>
