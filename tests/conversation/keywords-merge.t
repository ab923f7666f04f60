# IMAP_KEYWORDS=2: what two sessions set on one message at the same time is all kept.
# env: IMAP_KEYWORDS=2
M: one
|Subject: one
|
|One.
! place INBOX one
! login
! login 2
C: a SELECT INBOX
S~: * OK [PERMANENTFLAGS (\* \Draft \Answered \Flagged \Deleted \Seen)] Limited
S~: a OK <any>
C2: b SELECT INBOX
S2~: b OK <any>
C: c STORE 1 +FLAGS.SILENT (first)
S~: c OK <any>
C2: d STORE 1 +FLAGS.SILENT (second)
S2~: d OK <any>
C: e NOOP
S~: e OK <any>
C: f FETCH 1 FLAGS
S: * 1 FETCH (FLAGS (<any>first second))
S: f OK <any>
C2: g LOGOUT
S2~: g OK <any>
C: h LOGOUT
S~: h OK <any>
! login 3
C3: i EXAMINE INBOX
S3~: i OK <any>
C3: j FETCH 1 FLAGS
S3: * 1 FETCH (FLAGS (<any>first second))
S3: j OK <any>
