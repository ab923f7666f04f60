# SUBSCRIBE and UNSUBSCRIBE: names stay subscribed when their mailboxes go (RFC 3501 sections 6.3.6 and 6.3.7).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
! folder .a
! login
C: a SUBSCRIBE INBOX.a
S: a OK <any>
C: b DELETE INBOX.a
S: b OK <any>
C: c LSUB "" *
S: * LSUB (<any>) "." "INBOX.a"
S: c OK <any>
C: d UNSUBSCRIBE INBOX.a
S: d OK <any>
C: e LSUB "" *
S: e OK <any>
C: f SUBSCRIBE
S: f BAD <any>
C: g UNSUBSCRIBE "INBOX.b
S: g BAD <any>
C: h SUBSCRIBE Elsewhere
S: h NO <any>
