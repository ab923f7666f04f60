# SEARCH: every key, dates in both forms, character sets, what is not a search (RFC 3501 section 6.4.4).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
M: one
|From: Ann <ann@example.net>
|To: bob@example.com
|Subject: one
|
|One line.

! place INBOX one RS
! place INBOX one DF
! place INBOX one T
! login
C: a SELECT INBOX
S~: a OK <any>
C: b STORE 2 +FLAGS.SILENT (label)
S~: b OK <any>
C: k0 SEARCH ALL
S: * SEARCH 1 2 3
S: k0 OK <any>
C: k1 SEARCH ANSWERED
S: * SEARCH 1
S: k1 OK <any>
C: k2 SEARCH BCC nobody
S: * SEARCH
S: k2 OK <any>
C: k3 SEARCH BEFORE 1-Jan-1970
S: * SEARCH
S: k3 OK <any>
C: k4 SEARCH BODY "one line"
S: * SEARCH 1 2 3
S: k4 OK <any>
C: k5 SEARCH CC x
S: * SEARCH
S: k5 OK <any>
C: k6 SEARCH DELETED
S: * SEARCH 3
S: k6 OK <any>
C: k7 SEARCH DRAFT
S: * SEARCH 2
S: k7 OK <any>
C: k8 SEARCH FLAGGED
S: * SEARCH 2
S: k8 OK <any>
C: k9 SEARCH FROM ann
S: * SEARCH 1 2 3
S: k9 OK <any>
C: k10 SEARCH HEADER Subject one
S: * SEARCH 1 2 3
S: k10 OK <any>
C: k11 SEARCH HEADER X-None ""
S: * SEARCH
S: k11 OK <any>
C: k12 SEARCH KEYWORD label
S: * SEARCH 2
S: k12 OK <any>
C: k13 SEARCH LARGER 10
S: * SEARCH 1 2 3
S: k13 OK <any>
C: k14 SEARCH NOT 2
S: * SEARCH 1 3
S: k14 OK <any>
C: k15 SEARCH ON 1-Jan-1970
S: * SEARCH
S: k15 OK <any>
C: k16 SEARCH OR 1 3
S: * SEARCH 1 3
S: k16 OK <any>
C: k17 SEARCH SEEN
S: * SEARCH 1
S: k17 OK <any>
C: k18 SEARCH SENTBEFORE 1-Jan-2030
S: * SEARCH
S: k18 OK <any>
C: k19 SEARCH SINCE "1-Jan-1970"
S: * SEARCH 1 2 3
S: k19 OK <any>
C: k20 SEARCH SMALLER 10
S: * SEARCH
S: k20 OK <any>
C: k21 SEARCH SUBJECT ONE
S: * SEARCH 1 2 3
S: k21 OK <any>
C: k22 SEARCH TEXT bob
S: * SEARCH 1 2 3
S: k22 OK <any>
C: k23 SEARCH TO bob@example.com
S: * SEARCH 1 2 3
S: k23 OK <any>
C: k24 SEARCH UID 2:*
S: * SEARCH 2 3
S: k24 OK <any>
C: k25 SEARCH UNANSWERED
S: * SEARCH 2 3
S: k25 OK <any>
C: k26 SEARCH UNDELETED
S: * SEARCH 1 2
S: k26 OK <any>
C: k27 SEARCH UNDRAFT
S: * SEARCH 1 3
S: k27 OK <any>
C: k28 SEARCH UNFLAGGED
S: * SEARCH 1 3
S: k28 OK <any>
C: k29 SEARCH UNKEYWORD label
S: * SEARCH 1 3
S: k29 OK <any>
C: k30 SEARCH UNSEEN
S: * SEARCH 2 3
S: k30 OK <any>
C: k31 SEARCH *
S: * SEARCH 3
S: k31 OK <any>
C: k32 SEARCH 3:2
S: * SEARCH 2 3
S: k32 OK <any>
C: k33 SEARCH (SEEN ANSWERED) 1:2
S: * SEARCH 1
S: k33 OK <any>
C: k34 SEARCH 2,3 UNSEEN
S: * SEARCH 2 3
S: k34 OK <any>
C: k35 SEARCH CHARSET US-ASCII SUBJECT one
S: * SEARCH 1 2 3
S: k35 OK <any>
C: l SEARCH CHARSET X-NONE SUBJECT one
S: l NO [BADCHARSET<any>] <any>
C: m0 SEARCH NONSENSE
S: m0 BAD <any>
C: m1 SEARCH NOT
S: m1 BAD <any>
C: m2 SEARCH OR 1
S: m2 BAD <any>
C: m3 SEARCH BEFORE yesterday
S: m3 BAD <any>
C: m4 SEARCH LARGER many
S: m4 BAD <any>
C: m5 SEARCH (ALL
S: m5 BAD <any>
C: m6 SEARCH SUBJECT
S: m6 BAD <any>
