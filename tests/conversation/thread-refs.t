# THREAD=REFS (draft-ietf-morg-inthread): references only; the thread with the newest message comes last.
# ours only: the original has no THREAD=REFS
M: one
|Subject: one
|Message-ID: <1@x>
|
|One.
M: two
|Subject: two
|Message-ID: <2@x>
|
|Two.
M: answer
|Subject: Re: one
|Message-ID: <3@x>
|References: <1@x>
|
|Three.
M: stray
|Subject: Re: two
|Message-ID: <4@x>
|
|Four.
! login
C: a APPEND INBOX "01-Jan-2020 00:00:00 +0000" {<len:one>}
S: + <any>
C: <$one>
S: a OK <any>
C: b APPEND INBOX "02-Jan-2020 00:00:00 +0000" {<len:two>}
S: + <any>
C: <$two>
S: b OK <any>
C: c APPEND INBOX "05-Jan-2020 00:00:00 +0000" {<len:answer>}
S: + <any>
C: <$answer>
S: c OK <any>
C: d APPEND INBOX "04-Jan-2020 00:00:00 +0000" {<len:stray>}
S: + <any>
C: <$stray>
S: d OK <any>
C: e SELECT INBOX
S~: e OK <any>
C: f THREAD REFS UTF-8 ALL
S: * THREAD (2)(4)(1 3)
S: f OK <any>
C: g UID THREAD REFS UTF-8 UID 2:4
S: * THREAD (2)(4)(3)
S: g OK <any>
