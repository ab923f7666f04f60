# IDLE reports what a second session appends and expunges (RFC 2177).
M: one
|Subject: one
|
|One.
! login
! login 2
C: a SELECT INBOX
S~: a OK <any>
C: b IDLE
S: + <any>
! sleep 300
C2: c APPEND INBOX {<len:one>}
S2: + <any>
C2: <$one>
S2: c OK <any>
S: * 1 EXISTS
S: * <num> RECENT
C2: d SELECT INBOX
S2~: d OK <any>
C2: e STORE 1 +FLAGS.SILENT (\Deleted)
S2: e OK <any>
C2: f EXPUNGE
S2~: f OK <any>
S~: * 1 EXPUNGE
C: DONE
S~: b OK <any>
