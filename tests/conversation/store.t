# STORE sets, adds and removes flags (RFC 3501 section 6.4.6).
M: one
|Subject: one
|
|One.
! place INBOX one
! place INBOX one S
! login
C: a SELECT INBOX
S~: a OK <any>
C: b STORE 1 +FLAGS (\Seen \Flagged)
S: * 1 FETCH (FLAGS (\Flagged \Seen<any>))
S: b OK <any>
C: c STORE 1 -FLAGS (\Seen)
S: * 1 FETCH (FLAGS (\Flagged<any>))
S: c OK <any>
C: d STORE 1:2 FLAGS (\Answered)
S: * 1 FETCH (FLAGS (\Answered<any>))
S: * 2 FETCH (FLAGS (\Answered<any>))
S: d OK <any>
C: e STORE 1:2 +FLAGS.SILENT (\Deleted)
S: e OK <any>
C: f UID STORE 2 FLAGS (\Draft)
S: * 2 FETCH (UID 2 FLAGS (\Draft<any>))
S: f OK <any>
C: g UID STORE 99 +FLAGS (\Seen)
S: g OK <any>
C: h FETCH 1:* FLAGS
S: * 1 FETCH (FLAGS (\Answered \Deleted<any>))
S: * 2 FETCH (FLAGS (\Draft<any>))
S: h OK <any>
