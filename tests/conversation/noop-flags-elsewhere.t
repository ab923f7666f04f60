# NOOP reports flags that another session changed (RFC 3501 section 7.4.2).
M: one
|Subject: one
|
|One.
! place INBOX one
! login
! login 2
C: a SELECT INBOX
S~: a OK <any>
C2: b SELECT INBOX
S2~: b OK <any>
C2: c STORE 1 +FLAGS.SILENT (\Flagged)
S2: c OK <any>
C: d NOOP
S: * 1 FETCH (FLAGS (\Flagged<any>))
S: d OK <any>
