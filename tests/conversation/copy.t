# COPY and UID COPY keep flags, keywords and dates, and report UIDs (RFC 3501 section 6.4.7, RFC 4315).
M: one
|Subject: one
|
|One.
M: two
|Subject: two
|
|Two.
! folder .Work
! place INBOX one S
! place INBOX two F
! login
C: a SELECT INBOX
S~: a OK <any>
C: b STORE 2 +FLAGS.SILENT ($Work)
S~: b OK <any>
C: c COPY 1:2 INBOX.Work
S: c OK [COPYUID <$validity:num> 1:2 1:2] <any>
C: d UID COPY 2 INBOX.Work
S: d OK [COPYUID <$validity> 2 3] <any>
C: e UID COPY 99 INBOX.Work
S: e OK <any>
C: f COPY 1 INBOX.nowhere
S: f NO [TRYCREATE] Mailbox does not exist.
C: g SELECT INBOX.Work
S~: * OK [UIDVALIDITY <$validity>] <any>
S~: g OK <any>
C: h FETCH 1:* (FLAGS BODY.PEEK[TEXT])
S: * 1 FETCH (FLAGS (\Seen) BODY[TEXT] {6}
L: One.
S+: )
S: * 2 FETCH (FLAGS (\Flagged $Work) BODY[TEXT] {6}
L: Two.
S+: )
S: * 3 FETCH (FLAGS (\Flagged $Work) BODY[TEXT] {6}
L: Two.
S+: )
S: h OK <any>
