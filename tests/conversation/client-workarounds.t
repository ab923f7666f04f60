# IMAP_CLIENT_WORKAROUNDS: no backslashes in the values of BODYSTRUCTURE's parameters. Debian's Courier has this built in.
# env: IMAP_CLIENT_WORKAROUNDS=1
M: one
|Subject: one
|MIME-Version: 1.0
|Content-Type: text/plain; charset=utf-8; format="fl\\owed"; name="a\\b.txt"
|Content-Transfer-Encoding: 7bit
|
|One.
! place INBOX one
! login
C: a EXAMINE INBOX
S~: a OK <any>
C: b FETCH 1 (BODYSTRUCTURE)
# differs: location (RFC 3501 section 7.4.2)
ours S: * 1 FETCH (BODYSTRUCTURE ("text" "plain" ("charset" "utf-8" "format" "flowed" "name" "ab.txt") NIL NIL "7bit" 6 1 NIL NIL NIL NIL))
ref S: * 1 FETCH (BODYSTRUCTURE ("text" "plain" ("charset" "utf-8" "format" "flowed" "name" "ab.txt") NIL NIL "7bit" 6 1 NIL NIL NIL))
S: b OK <any>
C: c FETCH 1 BODY
S: * 1 FETCH (BODY ("text" "plain" ("charset" "utf-8" "format" "flowed" "name" "ab.txt") NIL NIL "7bit" 6 1))
S: c OK <any>
# Parentheses and brackets in a password that is no string (always).
C: d LOGOUT
S~: d OK <any>
C2: e LOGIN <user> [no(t)it]
S2: * OK <any>
S2: e NO Login failed.
