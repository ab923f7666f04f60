# STORE: flags that are there, new, unknown and not to be set (RFC 3501 section 6.4.6).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
M: one
|From: Ann <ann@example.net>
|To: bob@example.com
|Subject: one
|
|One line.

! place INBOX one
! login
C: a SELECT INBOX
S~: a OK <any>
C: b STORE 1 FLAGS (\Flagged \Seen)
S: * 1 FETCH (FLAGS (\Flagged \Seen<any>))
S: b OK <any>
C: c STORE 1 -FLAGS (\Flagged \Answered)
S: * 1 FETCH (FLAGS (\Seen<any>))
S: c OK <any>
C: d STORE 1 +FLAGS.SILENT (\Flagged)
S: d OK <any>
# A flag that is not permanent is ignored.
C: e STORE 1 +FLAGS (\Unheard)
S: * 1 FETCH (FLAGS (\Flagged \Seen<any>))
S: e OK <any>
C: f STORE 1 FLAGS ()
S: * 1 FETCH (FLAGS (<any>))
S: f OK <any>
C: g STORE 1 +FLAGS (\Recent)
S: g BAD <any>
C: h STORE 2 +FLAGS (\Seen)
S: h BAD <any>
C: i STORE 1 +FLAGS
S: i BAD <any>
C: j STORE 1 FLAG (\Seen)
S: j BAD <any>
C: k STORE 1 +FLAGS (\Seen
S: k BAD <any>
C: l UID STORE 99 +FLAGS (\Seen)
S: l OK <any>
