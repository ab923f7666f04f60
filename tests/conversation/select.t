# SELECT reports counts, recency, UIDVALIDITY, UIDNEXT and the first unseen message (RFC 3501 section 6.3.1).
M: one
|Subject: one
|
|One.
! place INBOX one S
! place INBOX one
! deliver INBOX one
! login
C: a SELECT INBOX
# differs: the original leaves UIDNEXT and UNSEEN out
ours S~: * 3 EXISTS
ours S~: * <num> RECENT
ours S~: * OK [UNSEEN 2] <any>
ours S~: * OK [UIDVALIDITY <$validity:num>] <any>
ours S~: * OK [UIDNEXT 4] <any>
ref S~: * 3 EXISTS
ref S~: * <num> RECENT
ref S~: * OK [UIDVALIDITY <$validity:num>] <any>
S~: a OK [READ-WRITE] <any>
C: b UID FETCH 1:* (UID FLAGS)
S: * 1 FETCH (UID 1 FLAGS (\Seen<any>))
S: * 2 FETCH (UID 2 FLAGS (<any>))
S: * 3 FETCH (UID 3 FLAGS (<any>))
S: b OK <any>
C: c SELECT INBOX
S~: * OK [UIDVALIDITY <$validity>] <any>
S~: c OK [READ-WRITE] <any>
