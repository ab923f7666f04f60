# ENVELOPE, BODY and BODYSTRUCTURE (RFC 3501 section 7.4.2).
M: letter
|Date: Mon, 02 Jan 2023 10:11:12 +0100
|From: "Ann \"Q\" Lee" <ann@example.net>
|To: Bob <bob@example.com>, carl@example.org
|Subject: Hello =?utf-8?q?w=C3=B6rld?=
|Message-ID: <m1@example.net>
|Mime-Version: 1.0
|Content-Type: multipart/mixed; boundary="zz"
|
|--zz
|Content-Type: text/plain; charset=utf-8
|Content-Transfer-Encoding: 7bit
|
|Part one.
|
|--zz
|Content-Type: application/octet-stream; name="a.bin"
|Content-Transfer-Encoding: base64
|Content-Disposition: attachment; filename="a.bin"
|
|aGk=
|
|--zz--
! place INBOX letter S
! login
C: a SELECT INBOX
S~: a OK <any>
C: b FETCH 1 ENVELOPE
S: * 1 FETCH (ENVELOPE ("Mon, 02 Jan 2023 10:11:12 +0100" "Hello =?utf-8?q?w=C3=B6rld?=" (("Ann \"Q\" Lee" NIL "ann" "example.net")) (("Ann \"Q\" Lee" NIL "ann" "example.net")) (("Ann \"Q\" Lee" NIL "ann" "example.net")) (("Bob" NIL "bob" "example.com")(NIL NIL "carl" "example.org")) NIL NIL NIL "<m1@example.net>"))
S: b OK <any>
C: c FETCH 1 BODY
S: * 1 FETCH (BODY (("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 11 1)("application" "octet-stream" ("name" "a.bin") NIL NIL "base64" 6) "mixed"))
S: c OK <any>
C: d FETCH 1 BODYSTRUCTURE
S: * 1 FETCH (BODYSTRUCTURE (("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 11 1 NIL NIL NIL<any>)("application" "octet-stream" ("name" "a.bin") NIL NIL "base64" 6 NIL ("attachment" ("filename" "a.bin")) NIL<any>) "mixed" ("boundary" "zz") NIL NIL<any>))
S: d OK <any>
C: e FETCH 1 ALL
S: * 1 FETCH (FLAGS (\Seen<any>) INTERNALDATE "<any>" RFC822.SIZE <len:letter> ENVELOPE (<any>))
S: e OK <any>
