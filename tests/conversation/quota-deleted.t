# A message with \Deleted does not count; clearing the flag needs room (RFC 9208 section 4.3.1 for the code).
M: one
|Subject: one
|
|One.
M: limit
|60S
|          38            2
M: deleted
|60S
|          38            2
|         -19           -1
M: full
|60S
|          38            2
|         -19           -1
|          19            1
|          19            1
M: recounted
|60S
|          57            3
! place INBOX one
! place INBOX one
! file maildirsize limit
! login
C: a SELECT INBOX
S~: a OK <any>
C: b STORE 1 +FLAGS (\Deleted)
S: * 1 FETCH (FLAGS (\Deleted<any>))
S: b OK STORE completed.
! holds maildirsize deleted
C: c STORE 1 +FLAGS (\Deleted \Seen)
S: * 1 FETCH (FLAGS (\Seen \Deleted<any>))
S: c OK STORE completed.
! holds maildirsize deleted
C: d APPEND INBOX (\Deleted) {<len:one>}
S: + <any>
C: <$one>
S~: d OK [APPENDUID <any>] APPEND Ok.
! holds maildirsize deleted
C: e APPEND INBOX {<len:one>}
S: + <any>
C: <$one>
S~: e OK [APPENDUID <any>] APPEND Ok.
C: f APPEND INBOX {<len:one>}
S: + <any>
C: <$one>
S~: f OK [APPENDUID <any>] APPEND Ok.
! holds maildirsize full
C: g STORE 1 -FLAGS (\Deleted)
S: g NO <any>You exceeded your mail quota.
! holds maildirsize recounted
C: h FETCH 1 FLAGS
# differs: the original shows the flag as cleared until it looks again
ours S: * 1 FETCH (FLAGS (\Seen \Deleted<any>))
ref S: * 1 FETCH (FLAGS (\Seen<any>))
S: h OK <any>
# differs: told before the message is sent, with the code of RFC 9208; the original reads the message and loses its place
ours C: i APPEND INBOX {<len:one>}
ours S: i NO [OVERQUOTA] You exceeded your mail quota.
# differs: likewise, so it finds nothing to remove
ours C: j EXPUNGE
ours S~: * 1 EXPUNGE
ours S~: j OK EXPUNGE completed
! holds maildirsize recounted
