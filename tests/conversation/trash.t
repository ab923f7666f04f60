# IMAP_MOVE_EXPUNGE_TO_TRASH and IMAP_LOG_DELETIONS: what is expunged goes to the trash, unless it was copied in this
# session or is there already.
# env: IMAP_MOVE_EXPUNGE_TO_TRASH=1
# env: IMAP_LOG_DELETIONS=1
M: one
|Subject: one
|
|One.
! folder .A
! place INBOX one DST
! place .A one FT
! place .A one T
! login
C: a CAPABILITY
S: * CAPABILITY <any> XMAGICTRASH <any>
S: a OK <any>
C: b SELECT INBOX
S~: b OK <any>
C: c EXPUNGE
S: * 1 EXPUNGE
S~: c OK EXPUNGE completed
LOG: INFO: EXPUNGED, user=<user>, ip=[<any>], port=[<num>], old_name=./cur/<any>:2,DST, new_name=.Trash/cur/<any>:2,S: only new_name will be left
LOG: INFO: EXPUNGED, user=<user>, ip=[<any>], port=[<num>], old_name=./cur/<any>:2,DST
C: d SELECT INBOX.A
S~: d OK <any>
C: e COPY 1 INBOX
S: e OK <any>
C: f EXPUNGE
S: * 1 EXPUNGE
S: * 1 EXPUNGE
S~: f OK EXPUNGE completed
LOG: INFO: EXPUNGED, user=<user>, ip=[<any>], port=[<num>], old_name=./.A/cur/<any>:2,<any>T
C: g SELECT INBOX.Trash
S~: * 2 EXISTS
S~: g OK <any>
C: h FETCH 1:* (FLAGS BODY.PEEK[TEXT])
S: * 1 FETCH (FLAGS (\Seen<any>) BODY[TEXT] {6}
L: One.
S+: )
S: * 2 FETCH (FLAGS (<any>) BODY[TEXT] {6}
L: One.
S+: )
S: h OK <any>
C: i STORE 1 +FLAGS.SILENT (\Deleted)
S: i OK <any>
C: j CLOSE
S: j OK mailbox closed.
LOG: INFO: EXPUNGED, user=<user>, ip=[<any>], port=[<num>], old_name=./.Trash/cur/<any>:2,ST
C: k STATUS INBOX.Trash (MESSAGES)
S: * STATUS "INBOX.Trash" (MESSAGES 1)
S: k OK <any>
