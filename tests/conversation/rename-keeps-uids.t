# RENAME keeps UIDs and UIDVALIDITY (RFC 3501 section 6.3.5).
# ours only: the original numbers everything anew
M: one
|Subject: one
|
|One.
! folder .Old
! place .Old one S
! place .Old one S
! login
C: a SELECT INBOX.Old
S~: * OK [UIDVALIDITY <$validity:num>] <any>
S~: a OK <any>
C: b STORE 1 +FLAGS.SILENT (\Deleted)
S: b OK <any>
C: c CLOSE
S: c OK <any>
C: d RENAME INBOX.Old INBOX.New
S: d OK <any>
C: e SELECT INBOX.New
S~: * OK [UIDVALIDITY <$validity>] <any>
S~: e OK <any>
C: f UID FETCH 1:* UID
S: * 1 FETCH (UID 2)
S: f OK <any>
