# UID EXPUNGE removes what is marked and named; APPENDUID and COPYUID in their order (RFC 4315 sections 2 and 3).
# ours only: strictness of the RFC
M: one
|Subject: one
|
|One.
! folder .w
! place INBOX one
! place INBOX one T
! place INBOX one T
! login
C: a SELECT INBOX
S~: * OK [UIDVALIDITY <$validity:num>] <any>
S~: a OK <any>
C: b UID EXPUNGE 1:2
S: * 2 EXPUNGE
S: * 2 EXISTS
S: * <num> RECENT
S: b OK <any>
C: c UID COPY 3,1 INBOX.w
S: c OK [COPYUID <num> 1,3 1:2] <any>
C: d APPEND INBOX {<len:one>}
S: + <any>
C: <$one>
S~: d OK [APPENDUID <$validity> 4] <any>
C: e UID EXPUNGE
S: e BAD <any>
C: f EXAMINE INBOX
S~: f OK <any>
C: g UID EXPUNGE 3
S: g NO <any>
