# UIDs ascend and are never used again; UIDNEXT moves when, and only when, messages are added (RFC 3501 section 2.3.1.1).
# ours only: the original tells no UIDNEXT in SELECT and starts anew after RENAME
M: one
|Subject: one
|
|One.
! place INBOX one
! place INBOX one
! login
C: a SELECT INBOX
S~: * OK [UIDVALIDITY <$validity:num>] <any>
S~: * OK [UIDNEXT 3] <any>
S~: a OK <any>
C: b STORE 2 +FLAGS.SILENT (\Deleted)
S: b OK <any>
C: c EXPUNGE
S~: c OK <any>
C: d STATUS INBOX (UIDNEXT)
S: * STATUS "INBOX" (UIDNEXT 3)
S: d OK <any>
C: e APPEND INBOX {<len:one>}
S: + <any>
C: <$one>
S~: e OK [APPENDUID <$validity> 3] <any>
C: f STATUS INBOX (UIDNEXT UIDVALIDITY)
S: * STATUS "INBOX" (UIDNEXT 4 UIDVALIDITY <$validity>)
S: f OK <any>
C: g COPY 1 INBOX
S~: g OK [COPYUID <$validity> 1 4] <any>
C: h UID SEARCH ALL
S: * SEARCH 1 3 4
S: h OK <any>
! login 2
C2: i SELECT INBOX
S2~: * OK [UIDVALIDITY <$validity>] <any>
S2~: * OK [UIDNEXT 5] <any>
S2~: i OK <any>
C2: j UID FETCH 3 RFC822.SIZE
S2: * 2 FETCH (UID 3 RFC822.SIZE <len:one>)
S2: j OK <any>
