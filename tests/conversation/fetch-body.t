# FETCH of bodies, sections and parts of them (RFC 3501 section 6.4.5).
M: letter
|From: Ann <ann@example.net>
|To: bob@example.com
|Subject: a letter
|Mime-Version: 1.0
|Content-Type: multipart/mixed; boundary=zz
|
|--zz
|Content-Type: text/plain
|
|Part one.
|
|--zz
|Content-Type: text/html
|
|<p>Part two.</p>
|
|--zz--
! place INBOX letter
! login
C: a SELECT INBOX
S~: a OK <any>
C: b FETCH 1 (RFC822.SIZE BODY.PEEK[HEADER.FIELDS (Subject To)])
S: * 1 FETCH (RFC822.SIZE <len:letter> BODY[HEADER.FIELDS ("Subject" "To")] {<any>}
L: To: bob@example.com
L: Subject: a letter
L:
S+: )
S: b OK <any>
C: c FETCH 1 BODY.PEEK[1]
S: * 1 FETCH (BODY[1] {11}
L: Part one.
S+: )
S: c OK <any>
C: d FETCH 1 BODY.PEEK[2]<3.8>
S: * 1 FETCH (BODY[2]<3> {8}
L= Part two
S+: )
S: d OK <any>
C: e FETCH 1 BODY.PEEK[]<5000.10>
S: * 1 FETCH (BODY[]<5000> {0}
L=
S+: )
S: e OK <any>
C: f FETCH 1 BODY[]
S: * 1 FETCH (BODY[] {<len:letter>}
L= <$letter>
# The new flags may come with the body or behind it.
S+: <any>)
S?: * 1 FETCH (FLAGS (\Seen<any>))
S: f OK <any>
C: g FETCH 1 FLAGS
S: * 1 FETCH (FLAGS (\Seen<any>))
S: g OK <any>
C: h FETCH 1 RFC822.HEADER
S: * 1 FETCH (RFC822.HEADER {<any>}
S: h OK <any>
C: i UID FETCH 1 FLAGS
S: * 1 FETCH (UID 1 FLAGS (\Seen<any>))
S: i OK <any>
