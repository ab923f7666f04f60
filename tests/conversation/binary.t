# FETCH BINARY and APPEND of a literal8 (RFC 3516 sections 4.2 to 4.4).
# ours only: the original has no BINARY
M: letter
|Subject: parts
|Mime-Version: 1.0
|Content-Type: multipart/mixed; boundary=zz
|
|--zz
|Content-Type: text/plain; charset=utf-8
|Content-Transfer-Encoding: quoted-printable
|
|soft =
|break
|--zz
|Content-Type: text/plain
|Content-Transfer-Encoding: base64
|
|SGVsbG8=
|--zz
|Content-Type: application/x-old
|Content-Transfer-Encoding: x-uuencode
|
|begin 644 x
|--zz--
! place INBOX letter S
! login
C: a SELECT INBOX
S~: a OK <any>
C: b FETCH 1 (BINARY.SIZE[1] BINARY[1])
S: * 1 FETCH (BINARY.SIZE[1] 10 BINARY[1] {10}
L= soft break
S+: )
S: b OK <any>
C: c UID FETCH 1 BINARY.PEEK[2]<1.3>
S: * 1 FETCH (UID 1 BINARY[2]<1> {3}
L= ell
S+: )
S: c OK <any>
C: d FETCH 1 BINARY.PEEK[3]
S: d NO [UNKNOWN-CTE] <any>
C: e FETCH 1 BINARY.SIZE[3]
S: e NO [UNKNOWN-CTE] <any>
C: f FETCH 1 BINARY[HEADER]
S: f BAD <any>
C: g FETCH 1 BINARY.PEEK[9]
S: * 1 FETCH (BINARY[9] NIL)
S: g OK <any>
C: h APPEND INBOX ~{<len:letter>}
S: + <any>
C: <$letter>
S~: h OK [APPENDUID <any>
C: i FETCH 2 RFC822.SIZE
S: * 2 FETCH (RFC822.SIZE <len:letter>)
S: i OK <any>
