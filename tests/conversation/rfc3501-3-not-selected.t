# Commands that need a selected mailbox, without one; SELECT that fails and CLOSE leave none (RFC 3501 sections 3.2, 6.3.1, 6.4.2).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
! folder .Work
! login
C: a0 CHECK
S: a0 BAD No mailbox is selected.
C: a1 CLOSE
S: a1 BAD No mailbox is selected.
C: a2 EXPUNGE
S: a2 BAD No mailbox is selected.
C: a3 UNSELECT
S: a3 BAD No mailbox is selected.
C: a4 SEARCH ALL
S: a4 BAD No mailbox is selected.
C: a5 FETCH 1 FLAGS
S: a5 BAD No mailbox is selected.
C: n5 NOOP
S: n5 OK <any>
C: a6 STORE 1 +FLAGS (\Seen)
S: a6 BAD No mailbox is selected.
C: a7 COPY 1 INBOX
S: a7 BAD No mailbox is selected.
C: a8 MOVE 1 INBOX
S: a8 BAD No mailbox is selected.
C: a9 UID FETCH 1 FLAGS
S: a9 BAD No mailbox is selected.
C: a10 UID STORE 1 FLAGS (\Seen)
S: a10 BAD No mailbox is selected.
C: a11 UID COPY 1 INBOX
S: a11 BAD No mailbox is selected.
C: n11 NOOP
S: n11 OK <any>
C: a12 UID MOVE 1 INBOX
S: a12 BAD No mailbox is selected.
C: a13 UID SEARCH ALL
S: a13 BAD No mailbox is selected.
C: a14 UID EXPUNGE 1
S: a14 BAD No mailbox is selected.
C: a15 SORT (DATE) UTF-8 ALL
S: a15 BAD No mailbox is selected.
C: a16 THREAD REFERENCES UTF-8 ALL
S: a16 BAD No mailbox is selected.
C: s SELECT INBOX.Work
S~: s OK <any>
C: t SELECT INBOX.None
S: t NO <any>
C: u FETCH 1 FLAGS
S: u BAD No mailbox is selected.
C: v EXAMINE INBOX.Work
S~: v OK [READ-ONLY] <any>
C: w CLOSE
S: w OK <any>
C: x CHECK
S: x BAD No mailbox is selected.
