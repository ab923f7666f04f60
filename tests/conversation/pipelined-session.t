# Commands sent ahead are answered in order (RFC 3501 section 5.5).
M: one
|Subject: one
|
|One.
! place INBOX one
! login
c: a SELECT INBOX<hex:0d0a>b FETCH 1 UID<hex:0d0a>c STORE 1 +FLAGS.SILENT (\Seen)<hex:0d0a>d FETCH 1 FLAGS<hex:0d0a>e LOGOUT<hex:0d0a>
S~: a OK <any>
S: * 1 FETCH (UID 1)
S: b OK <any>
S: c OK <any>
S: * 1 FETCH (FLAGS (\Seen<any>))
S: d OK <any>
S: * BYE <any>
S: e OK <any>
! closed
