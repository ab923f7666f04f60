# What the rights of a mailbox allow, command by command (RFC 4314 section 4; contract of the original's letters).
M: one
|Subject: one
|
|One.
! folder .A
! folder .T
! place .A one
! place .A one T
! place INBOX one SF
! login
C: a SETACL INBOX.A owner al
S: a OK ACLs updated.
C: b SELECT INBOX.A
S: b NO <any>Access denied for SELECT/EXAMINE on INBOX.A (ACL "r" required)
C: c EXAMINE INBOX.A
S: c NO <any>Access denied for SELECT/EXAMINE on INBOX.A (ACL "r" required)
C: d STATUS INBOX.A (MESSAGES)
S: d NO <any>Access denied for STATUS on INBOX.A (ACL "r" required)
C: e APPEND INBOX.A {4}
S: e NO <any>Access denied for APPEND on INBOX.A (ACL "i" required)
C: f SELECT INBOX
S~: * OK [MYRIGHTS "acdilrsw"] ACL
S~: f OK [READ-WRITE] Ok
C: g COPY 1 INBOX.A
S: g NO <any>Access denied for COPY on INBOX.A (ACL "i" required)
C: h CREATE INBOX.A.sub
S: h NO <any>Access denied for CREATE on INBOX.A (ACL "c" required)
C: i DELETE INBOX.A
S: i NO <any>Access denied for DELETE on INBOX.A (ACL "x" required)
C: j RENAME INBOX.A INBOX.Z
S: j NO <any>Access denied for RENAME on INBOX.A (ACL "x" required)
C: k RENAME INBOX.T INBOX.A.T
S: k NO <any>Access denied for RENAME on INBOX.A (ACL "c" required)
C: l LIST "" INBOX.A
S: * LIST (\HasNoChildren) "." "INBOX.A"
S: l OK LIST completed
# Reading alone is read-only.
C: m SETACL INBOX.A owner alr
S: m OK ACLs updated.
C: n SELECT INBOX.A
S~: * OK [MYRIGHTS "alr"] ACL
S~: n OK [READ-ONLY] Ok
C: o EXPUNGE
S: o NO <any>Access denied for EXPUNGE on current mailbox (ACL "e" required)
# With \Seen and \Deleted only, the others stay as they are.
C: p SETACL INBOX.A owner alrst
S: * OK [MYRIGHTS "alrst"] ACL
S: p OK ACLs updated.
C: q SELECT INBOX.A
# differs: PERMANENTFLAGS are those that can be changed (RFC 4314 section 4)
ours S~: * OK [PERMANENTFLAGS (\Deleted \Seen)] Limited
S~: q OK [READ-WRITE] Ok
C: r STORE 1 FLAGS (\Seen \Flagged \Deleted $Work)
S~: * 1 FETCH (FLAGS (<any>\Seen \Deleted<any>))
S~: r OK STORE completed.
C: s EXPUNGE
S: s NO <any>Access denied for EXPUNGE on current mailbox (ACL "e" required)
C: t CLOSE
S: t OK mailbox closed.
C: u STATUS INBOX.A (MESSAGES)
S: * STATUS "INBOX.A" (MESSAGES 2)
S: u OK <any>
# What is put in keeps only the flags that may be set there.
C: v SETACL INBOX.T owner alris
S: v OK ACLs updated.
C: w APPEND INBOX.T (\Seen \Flagged \Deleted) {4}
S: + <any>
C: abcd
S: w OK [APPENDUID <num> <num>] APPEND Ok.
C: x SELECT INBOX
S~: x OK <any>
C: y COPY 1 INBOX.T
S: y OK [COPYUID <any>] COPY completed.
C: z EXAMINE INBOX.T
S~: z OK <any>
C: A FETCH 1:* FLAGS
S: * 1 FETCH (FLAGS (\Seen<any>))
S: * 2 FETCH (FLAGS (\Seen<any>))
S: A OK <any>
# Reading a message marks it only where it may be marked.
C: B SETACL INBOX.A owner alrwt
S: B OK ACLs updated.
C: C SELECT INBOX.A
S~: C OK [READ-WRITE] Ok
C: D STORE 2 +FLAGS.SILENT (\Draft)
S: D OK STORE completed.
C: E FETCH 2 (FLAGS BODY[TEXT])
S: * 2 FETCH (FLAGS (\Draft \Deleted<any>) BODY[TEXT] {6}
L: One.
S+: )
S: E OK <any>
C: F NOOP
S: F OK <any>
# A right that is taken away is gone at once, also for those who have the mailbox open.
# differs: the original goes on with the rights of the time of SELECT
ours ! login 2
ours C2: G SETACL INBOX.A owner alr
ours S2: G OK ACLs updated.
ours C: H STORE 1 FLAGS.SILENT (\Draft)
ours S: * OK [MYRIGHTS "alr"] ACL
ours S: H OK STORE completed.
ours C: I FETCH 1 FLAGS
ours S: * 1 FETCH (FLAGS (\Seen \Deleted))
ours S: I OK <any>
