# IMAPDEBUGFILE: a file of the maildir that exists records commands word by word, and replies.
# env: IMAPDEBUGFILE=trace
M: one
|Subject: one
|
|One.
M: empty
M: trace
|WRITE: a OK LOGIN Ok.
|READ: ATOM: b
|READ: ATOM: NOOP
|READ: EOL
|WRITE: b OK NOOP completed
|READ: ATOM: c
|READ: ATOM: SUBSCRIBE
|READ: QUOTED_STRING: INBOX.x "y"
|READ: EOL
|WRITE: c OK Folder subscribed.
|READ: ATOM: d
|READ: ATOM: UNSUBSCRIBE
|READ: {11}
|WRITE: + OK
|READ: EOL
|WRITE: d OK Folder unsubscribed.
|READ: ATOM: e
|READ: ATOM: LOGOUT
|READ: EOL
|WRITE: * BYE Courier-IMAP server shutting down
|e OK LOGOUT completed
! file trace empty
S: * OK <any>
C: a LOGIN <user> <password>
S: a OK LOGIN Ok.
C: b noop
S: b OK NOOP completed
C: c SUBSCRIBE "INBOX.x \"y\""
S: c OK Folder subscribed.
C: d UNSUBSCRIBE {11}
S: + OK
C: INBOX.x "y"
S: d OK Folder unsubscribed.
C: e LOGOUT
S: * BYE <any>
S: e OK LOGOUT completed
! closed
! holds trace trace
