# Extended results and saved searches (RFC 4731, RFC 5182, RFC 5267).
# ours only: the original has none of them
M: one
|From: ann@example.net
|Subject: pears
|Date: Tue, 03 Jan 2023 10:00:00 +0000
|
|one
M: two
|From: bob@example.net
|Subject: apples
|Date: Mon, 02 Jan 2023 10:00:00 +0000
|
|two
! place INBOX one S
! place INBOX two F
! place INBOX one S
! login
C: a SELECT INBOX
S~: a OK <any>
C: b SEARCH RETURN (SAVE) SUBJECT pears
S: b OK <any>
C: c FETCH $ UID
S: * 1 FETCH (UID 1)
S: * 3 FETCH (UID 3)
S: c OK <any>
C: d SEARCH RETURN (MIN COUNT) $
S: * ESEARCH (TAG "d") MIN 1 COUNT 2
S: d OK <any>
C: e UID SORT RETURN (ALL COUNT SAVE) (DATE) UTF-8 OR $ FLAGGED
S: * ESEARCH (TAG "e") UID ALL 2,1,3 COUNT 3
S: e OK <any>
C: f STORE $ +FLAGS.SILENT (\Deleted)
S: f OK <any>
C: g UID EXPUNGE $
S: * 1 EXPUNGE
S: * 1 EXPUNGE
S: * 1 EXPUNGE
S: * 0 EXISTS
S: * 0 RECENT
S: g OK <any>
C: h SEARCH $
S: * SEARCH
S: h OK <any>
