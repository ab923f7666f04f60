# Without IMAP_CLIENT_WORKAROUNDS the values of parameters are as they are.
# ours only: Debian's Courier has the workaround built in
M: one
|Subject: one
|MIME-Version: 1.0
|Content-Type: text/plain; name="a\\b.txt"
|
|One.
! place INBOX one
! login
C: a EXAMINE INBOX
S~: a OK <any>
C: b FETCH 1 BODY
S: * 1 FETCH (BODY ("text" "plain" ("name" "a\\b.txt") NIL NIL "7bit" 6 1))
S: b OK <any>
