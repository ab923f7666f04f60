# APPEND with flags and date, and what FETCH then says (RFC 3501 section 6.3.11, RFC 4315).
M: letter
|From: Ann <ann@example.net>
|Subject: a letter
|
|Hello.
! login
C: a SELECT INBOX
S~: a OK <any>
C: b APPEND INBOX (\Seen \Flagged) " 2-Jan-2020 03:04:05 +0100" {<len:letter>}
S: + <any>
C: <$letter>
# differs: ours announces the message in the selected mailbox at once, as RFC 3501 section 6.3.11 recommends
ours S?: * 1 EXISTS
ours S?: * <num> RECENT
ours S?: * 1 EXISTS
S: b OK [APPENDUID <$validity:num> <$uid:num>] <any>
C: c NOOP
S?: * 1 EXISTS
S?: * <num> RECENT
S: c OK <any>
C: d UID FETCH <$uid> (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])
S: * 1 FETCH (UID <$uid> FLAGS (\Flagged \Seen<any>) INTERNALDATE "02-Jan-2020 02:04:05 +0000" RFC822.SIZE <len:letter> BODY[] {<len:letter>}
L= <$letter>
S+: )
S: d OK <any>
