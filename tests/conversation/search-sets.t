# Message sets in SEARCH: an asterisk and reversed ranges (RFC 3501 section 9, seq-range).
# ours only: in the original such sets match nothing
M: one
|Subject: one
|
|One.
! place INBOX one
! place INBOX one
! place INBOX one
! login
C: a SELECT INBOX
S~: a OK <any>
C: b SEARCH *
S: * SEARCH 3
S: b OK <any>
C: c SEARCH 3:2
S: * SEARCH 2 3
S: c OK <any>
C: d UID SEARCH UID 99:*
S: * SEARCH 3
S: d OK <any>
C: e UID FETCH 99:* UID
S: * 3 FETCH (UID 3)
S: e OK <any>
C: f FETCH 2:1 UID
S: * 1 FETCH (UID 1)
S: * 2 FETCH (UID 2)
S: f OK <any>
