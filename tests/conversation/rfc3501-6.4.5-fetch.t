# FETCH: every item and every form of section (RFC 3501 section 6.4.5).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
M: mail
|From: Ann <ann@example.net>
|To: bob@example.com
|Subject: parts
|Date: Mon, 7 Feb 1994 21:52:25 -0800
|Mime-Version: 1.0
|Content-Type: multipart/mixed; boundary=b
|
|--b
|Content-Type: text/plain
|
|text
|--b
|Content-Type: message/rfc822
|
|Subject: inner
|From: eve@example.org
|
|inner text
|--b--
! place INBOX mail
! login
C: a SELECT INBOX
S~: a OK <any>
C: b FETCH 1 (FLAGS UID RFC822.SIZE)
S: * 1 FETCH (FLAGS (<any>) UID 1 RFC822.SIZE <len:mail>)
S: b OK <any>
C: c FETCH 1 FAST
S: * 1 FETCH (FLAGS (<any>) INTERNALDATE "<any>" RFC822.SIZE <len:mail>)
S: c OK <any>
C: d FETCH 1 ALL
S: * 1 FETCH (FLAGS (<any>) INTERNALDATE "<any>" RFC822.SIZE <len:mail> ENVELOPE ("Mon, 7 Feb 1994 21:52:25 -0800" "parts" (("Ann" NIL "ann" "example.net")) (("Ann" NIL "ann" "example.net")) (("Ann" NIL "ann" "example.net")) ((NIL NIL "bob" "example.com")) NIL NIL NIL NIL))
S: d OK <any>
C: e FETCH 1 BODY
S: * 1 FETCH (BODY (("text" "plain" NIL NIL NIL "7bit" <num> <num>)("message" "rfc822" NIL NIL NIL "7bit" <any>("text" "plain" NIL NIL NIL "7bit" <num> <num>) <num>) "mixed"))
S: e OK <any>
C: f FETCH 1 BODY.PEEK[1]
S: * 1 FETCH (BODY[1] {4}
L= text
S+: )
S: f OK <any>
C: g FETCH 1 BODY.PEEK[1.MIME]
S: * 1 FETCH (BODY[1.MIME] {28}
L: Content-Type: text/plain
L:
S+: )
S: g OK <any>
C: h FETCH 1 BODY.PEEK[2.HEADER]
S: * 1 FETCH (BODY[2.HEADER] {41}
L: Subject: inner
L: From: eve@example.org
L:
S+: )
S: h OK <any>
C: i FETCH 1 BODY.PEEK[2.TEXT]
S: * 1 FETCH (BODY[2.TEXT] {10}
L= inner text
S+: )
S: i OK <any>
C: j FETCH 1 BODY.PEEK[2.1]
S: * 1 FETCH (BODY[2.1] {10}
L= inner text
S+: )
S: j OK <any>
C: k FETCH 1 BODY.PEEK[2.HEADER.FIELDS (SUBJECT)]
S: * 1 FETCH (BODY[2.HEADER.FIELDS ("SUBJECT")] {18}
L: Subject: inner
L:
S+: )
S: k OK <any>
C: l FETCH 1 BODY.PEEK[HEADER.FIELDS.NOT (Subject Date Mime-Version Content-Type To)]
S: * 1 FETCH (BODY[HEADER.FIELDS.NOT ("Subject" "Date" "Mime-Version" "Content-Type" "To")] {31}
L: From: Ann <ann@example.net>
L:
S+: )
S: l OK <any>
C: m FETCH 1 BODY.PEEK[]<6.3>
S: * 1 FETCH (BODY[]<6> {3}
L= Ann
S+: )
S: m OK <any>
C: n FETCH 1 BODY.PEEK[]<99999.5>
S: * 1 FETCH (BODY[]<99999> {0}
L=
S+: )
S: n OK <any>
C: o SEARCH SEEN
S: * SEARCH
S: o OK <any>
C: p FETCH 1 BODY[2.TEXT]
S: * 1 FETCH (BODY[2.TEXT] {10}
L= inner text
S+: )
S: * 1 FETCH (FLAGS (\Seen<any>))
S: p OK <any>
C: q0 FETCH 1
S: q0 BAD <any>
C: q1 FETCH 2 FLAGS
S: q1 BAD <any>
C: q2 FETCH 0 FLAGS
S: q2 BAD <any>
C: q3 FETCH 1 BODY[
S: q3 BAD <any>
C: q4 FETCH 1 BODY[0]
S: q4 BAD <any>
C: q5 FETCH 1 BODY[MIME]
S: q5 BAD <any>
C: q6 FETCH 1 (FLAGS
S: q6 BAD <any>
