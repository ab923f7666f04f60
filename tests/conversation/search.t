# SEARCH keys (RFC 3501 section 6.4.4).
M: one
|From: Ann <ann@example.net>
|To: Bob <bob@example.com>
|Cc: carl@example.org
|Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= from here
|Date: Thu, 2 Jan 2020 12:00:00 +0000
|Message-ID: <one@example.net>
|
|The quick brown fox
|jumps.
M: two
|From: Bob <bob@example.com>
|To: ann@example.net
|Subject: nothing
|Date: Tue, 3 Mar 2020 12:00:00 +0000
|X-Label: blue
|Mime-Version: 1.0
|Content-Type: text/plain; charset=utf-8
|Content-Transfer-Encoding: base64
|
|w5ZsIGFuZCB3YXRlcgo=
! place INBOX one S
! place INBOX two F
! place INBOX two RS
! login
C: a SELECT INBOX
S~: a OK <any>
C: b SEARCH ALL
S: * SEARCH 1 2 3
S: b OK <any>
C: c SEARCH SEEN UNFLAGGED
S: * SEARCH 1 3
S: c OK <any>
C: d SEARCH OR FLAGGED ANSWERED
S: * SEARCH 2 3
S: d OK <any>
C: e SEARCH NOT FROM bob
S: * SEARCH 1
S: e OK <any>
C: f SEARCH CHARSET UTF-8 SUBJECT {8}
S: + <any>
C: GRÜßE
S: * SEARCH 1
S: f OK <any>
C: g SEARCH BODY "brown fox"
S: * SEARCH 1
S: g OK <any>
C: h SEARCH CHARSET UTF-8 BODY "öl and"
S: * SEARCH 2 3
S: h OK <any>
C: i SEARCH HEADER X-Label ""
S: * SEARCH 2 3
S: i OK <any>
C: j SEARCH SENTSINCE 1-Feb-2020 UNDELETED
S: * SEARCH 2 3
S: j OK <any>
C: k SEARCH (OR CC carl TO nobody) 1:2
S: * SEARCH 1
S: k OK <any>
C: l UID SEARCH UID 2:3 SEEN
S: * SEARCH 3
S: l OK <any>
C: m SEARCH TEXT zebra
S: * SEARCH
S: m OK <any>
C: n SEARCH CHARSET X-NOSUCH ALL
S: n NO [BADCHARSET<any>] <any>
C: o SEARCH LARGER 100 SMALLER 100000
S: * SEARCH 1 2 3
S: o OK <any>
# differs: the original answers NO
ours C: p SEARCH FROBNICATE
ours S: p BAD <any>
ref C: p SEARCH FROBNICATE
ref S: p NO <any>
