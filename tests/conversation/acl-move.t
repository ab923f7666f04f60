# MOVE needs the rights to copy there, and to delete and expunge here (RFC 6851 section 4).
# ours only: the original has no MOVE
M: one
|Subject: one
|
|One.
! folder .A
! folder .T
! place .A one FT
! login
C: a SETACL INBOX.A owner alrt
S: a OK ACLs updated.
C: b SELECT INBOX.A
S~: b OK [READ-WRITE] Ok
C: c MOVE 1 INBOX.T
S: c NO [NOPERM] Access denied for MOVE on current mailbox (ACL "e" required)
C: d SETACL INBOX.A owner alrte
S: * OK [MYRIGHTS "aelrt"] ACL
S: d OK ACLs updated.
C: e SETACL INBOX.T owner alr
S: e OK ACLs updated.
C: f MOVE 1 INBOX.T
S: f NO [NOPERM] Access denied for MOVE on INBOX.T (ACL "i" required)
C: g SETACL INBOX.T owner alri
S: g OK ACLs updated.
C: h MOVE 1 INBOX.T
S: * OK [COPYUID <any>] Moved
S: * 1 EXPUNGE
S~: h OK MOVE completed.
C: i EXAMINE INBOX.T
S~: i OK <any>
C: j FETCH 1 FLAGS
S: * 1 FETCH (FLAGS ())
S: j OK <any>
