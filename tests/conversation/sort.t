# SORT and THREAD (RFC 5256), in the parts that the original does alike.
M: one
|From: Ann <ann@example.net>
|To: Bob <bob@example.com>
|Subject: pears
|Date: Mon, 02 Jan 2023 10:00:00 +0000
|Message-ID: <one@example.net>
|
|one
M: two
|From: Bob <bob@example.com>
|To: ann@example.net
|Cc: carl@example.org
|Subject: Re: pears
|Date: Mon, 02 Jan 2023 11:00:00 +0000
|Message-ID: <two@example.com>
|References: <one@example.net>
|
|two two
M: three
|From: Carl <carl@example.org>
|To: list@example.org
|Subject: [fwd: [list] apples] (fwd)
|Date: Sun, 01 Jan 2023 10:00:00 +0000
|Message-ID: <three@example.org>
|
|three
M: four
|From: dora@example.org
|Subject: RE[2]: PEARS
|Date: Tue, 03 Jan 2023 10:00:00 +0500
|Message-ID: <four@example.org>
|In-Reply-To: <one@example.net>
|
|four four four
M: five
|From: eve@example.org
|Subject: lost
|Date: Tue, 03 Jan 2023 12:00:00 +0000
|Message-ID: <five@example.org>
|References: <gone@example.org>
|
|five
M: six
|From: fred@example.org
|Subject: other
|Date: Tue, 03 Jan 2023 13:00:00 +0000
|Message-ID: <six@example.org>
|References: <gone@example.org>
|
|six
! place INBOX one S
! place INBOX two F
! place INBOX three S
! place INBOX four S
! place INBOX five S
! place INBOX six S
! login
C: a SELECT INBOX
S~: a OK <any>
# differs: where the keys are the same, the original has the last first (5.0.13)
ours C: b SORT (SUBJECT) UTF-8 ALL
ours S: * SORT 3 5 6 1 2 4
ours S: b OK <any>
ref C: b SORT (SUBJECT) UTF-8 ALL
ref S: * SORT 3 5 6 4 2 1
ref S: b OK <any>
C: c SORT (REVERSE DATE) UTF-8 ALL
S: * SORT 6 5 4 2 1 3
S: c OK <any>
C: d SORT (REVERSE SUBJECT DATE) US-ASCII SEEN
S: * SORT 1 4 6 5 3
S: d OK <any>
C: e SORT (FROM) UTF-8 1:4
S: * SORT 1 2 3 4
S: e OK <any>
C: f UID SORT (REVERSE TO) UTF-8 1:3
S: * SORT 3 1 2
S: f OK <any>
C: g SORT (CC REVERSE REVERSE DATE) UTF-8 1:3
S: * SORT 3 1 2
S: g OK <any>
C: h SORT (SIZE) UTF-8 UID 1
S: * SORT 1
S: h OK <any>
C: i SORT (DATE) X-NOSUCH ALL
S: i NO [BADCHARSET<any>] <any>
C: j THREAD REFERENCES UTF-8 ALL
S: * THREAD (3)(1 (2)(4))((5)(6))
S: j OK <any>
C: k UID THREAD REFERENCES UTF-8 2:5
S: * THREAD (3)((2)(4))(5)
S: k OK <any>
C: l THREAD ORDEREDSUBJECT UTF-8 1:3
S: * THREAD (3)(1 2)
S: l OK <any>
# differs: the original makes one chain of a subject's messages
ours C: m THREAD ORDEREDSUBJECT UTF-8 1:4
ours S: * THREAD (3)(1 (2)(4))
ours S: m OK <any>
ref C: m THREAD ORDEREDSUBJECT UTF-8 1:4
ref S: * THREAD (3)(1 2 4)
ref S: m OK <any>
# differs: the original answers with NO, and a blank at the end of an empty THREAD
ours C: n SORT (SENT) UTF-8 ALL
ours S: n BAD <any>
ours C: o THREAD REFERENCES UTF-8 KEYWORD none
ours S: * THREAD
ours S: o OK <any>
ref C: n SORT (SENT) UTF-8 ALL
ref S: n NO <any>
ref C: o THREAD REFERENCES UTF-8 KEYWORD none
ref S: * THREAD<any>
ref S: o OK <any>
