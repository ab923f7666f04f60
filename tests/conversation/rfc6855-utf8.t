# ENABLE UTF8=ACCEPT: names, strings and searches in UTF-8; APPEND of UTF-8 (RFC 6855 sections 3 and 4).
# ours only: the original answers NO where RFC 6855 says BAD
M: mail
|From: Jörg <j@example.net>
|Subject: Grüße
|
|x
! login
C: a ENABLE UTF8=ACCEPT X-NONE
S: * ENABLED UTF8=ACCEPT
S: a OK <any>
C: b CREATE "INBOX.Größe"
S: b OK <any>
C: c STATUS "INBOX.Größe" (MESSAGES)
S: * STATUS "INBOX.Größe" (MESSAGES 0)
S: c OK <any>
C: d SELECT INBOX
S~: d OK <any>
C: e APPEND INBOX UTF8 (~{<len:mail>}
S: + <any>
C: <$mail>)
S~: e OK [APPENDUID <any>
C: f FETCH 1 ENVELOPE
S: * 1 FETCH (ENVELOPE (NIL "Grüße" (("Jörg" NIL "j" "example.net")) <any>
S: f OK <any>
C: g SEARCH SUBJECT "GRÜSSE"
S: * SEARCH 1
S: g OK <any>
C: h SEARCH CHARSET UTF-8 ALL
S: h BAD <any>
C: i SORT (SUBJECT) UTF-8 ALL
S: * SORT 1
S: i OK <any>
C: j SORT (SUBJECT) ISO-8859-1 ALL
S: j BAD [BADCHARSET] <any>
