# QUOTA (RFC 2087), and how maildirsize follows what is done.
M: one
|Subject: one
|
|One.
M: empty
|60S,4C
|           0            0
M: appended
|60S,4C
|           0            0
|          19            1
M: counted
|60S,4C
|          19            1
M: recounted
|60S,4C
|          57            3
! folder .Trash
! folder .A
! file maildirsize empty
! login
C: a GETQUOTAROOT INBOX.nowhere
S: * QUOTAROOT "INBOX.nowhere" "ROOT"
S: * QUOTA "ROOT" (STORAGE 0 1 MESSAGE 0 4)
S: a OK GETQUOTAROOT Ok.
C: b APPEND INBOX {<len:one>}
S: + <any>
C: <$one>
S: b OK [APPENDUID <any>] APPEND Ok.
! holds maildirsize appended
C: c SELECT INBOX
S~: c OK <any>
# The trash does not count, copies elsewhere do.
C: d COPY 1 INBOX.Trash
S: d OK [COPYUID <any>] <any>
! holds maildirsize appended
C: e COPY 1 INBOX.A
S: e OK [COPYUID <any>] <any>
C: f GETQUOTA ROOT
S: * QUOTA "ROOT" (STORAGE 1 1 MESSAGE 2 4)
S: f OK GETQUOTA Ok.
C: g SELECT INBOX.Trash
S~: g OK <any>
C: h COPY 1 INBOX.A
S: h OK [COPYUID <any>] <any>
# 57 bytes of 60. What does not fit is refused once all has been counted anew.
C: i COPY 1 INBOX.A
S: i NO <any>You exceeded your mail quota.
! holds maildirsize recounted
C: j DELETE INBOX.A
S: j OK <any>
! holds maildirsize counted
C: k GETQUOTA other
# differs: without limits the original leaves out the list, which RFC 2087 section 5.1 wants
ours S: * QUOTA "other" ()
ref S: * QUOTA "other"
S: k OK GETQUOTA Ok.
C: l SETQUOTA ROOT (STORAGE 100)
S: l NO <any>SETQUOTA No permission.
C: m GETQUOTAROOT elsewhere
S: m NO <any>Invalid mailbox name.
C: n GETQUOTAROOT #shared.bob
S: * QUOTAROOT "#shared.bob" "PUBLIC"
S: * QUOTA "PUBLIC"<any>
S: n OK GETQUOTAROOT Ok.
