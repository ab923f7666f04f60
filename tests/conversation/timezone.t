# TZ: the zone of dates, as shown and as searched for.
# env: TZ=XST-5:30
M: one
|Subject: one
|
|One.
! login
C: a APPEND INBOX "02-Jan-2020 23:00:00 +0000" {<len:one>}
S: + <any>
C: <$one>
S: a OK [APPENDUID <any>] APPEND Ok.
C: b SELECT INBOX
S~: b OK <any>
C: c FETCH 1 INTERNALDATE
S: * 1 FETCH (INTERNALDATE "03-Jan-2020 04:30:00 +0530")
S: c OK <any>
C: d SEARCH ON 3-Jan-2020
S: * SEARCH 1
S: d OK <any>
C: e SEARCH ON 2-Jan-2020
S: * SEARCH
S: e OK <any>
