# Commands sent behind LOGIN in one packet are answered (RFC 3501 section 5.5).
# ours only: the original loses what its login program has read already
S: * OK <any>
c: a LOGIN <user> <password><hex:0d0a>b NOOP<hex:0d0a>c SELECT INBOX<hex:0d0a>d LOGOUT<hex:0d0a>
S: a OK <any>
S: b OK <any>
S~: c OK [READ-WRITE] <any>
S: * BYE <any>
S: d OK <any>
! closed
