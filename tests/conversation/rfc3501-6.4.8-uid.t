# UID: numbers that do not exist are passed over, responses carry UID (RFC 3501 section 6.4.8).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
M: one
|From: Ann <ann@example.net>
|To: bob@example.com
|Subject: one
|
|One line.

! place INBOX one T
! place INBOX one
! place INBOX one
! login
C: a SELECT INBOX
S~: a OK <any>
C: b EXPUNGE
S~: b OK <any>
C: c UID FETCH 1:* FLAGS
S: * 1 FETCH (UID 2 FLAGS (<any>))
S: * 2 FETCH (UID 3 FLAGS (<any>))
S: c OK <any>
C: d UID FETCH 1,99 FLAGS
S: d OK <any>
C: e UID FETCH 50:* UID
S: * 2 FETCH (UID 3)
S: e OK <any>
C: f UID STORE 3 +FLAGS (\Seen)
S: * 2 FETCH (UID 3 FLAGS (\Seen<any>))
S: f OK <any>
C: g UID SEARCH UNSEEN
S: * SEARCH 2
S: g OK <any>
C: h UID NOOP
S: h BAD <any>
C: i UID
S: i BAD <any>
C: j UID FETCH 0 FLAGS
S: j BAD <any>
