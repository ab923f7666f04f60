# What works before login, and what does not (RFC 3501 sections 6.1 and 7.1).
S: * OK <any>
C: a CAPABILITY
S: * CAPABILITY IMAP4rev1<any>
S: a OK <any>
C: b NOOP
S: b OK <any>
# differs: the original says NO to commands that are not allowed or not understood
ours C: c SELECT INBOX
ours S: c BAD Error in IMAP command received by server.
ref C: c SELECT INBOX
ref S: c NO Error in IMAP command received by server.
# differs: likewise
ours C: d FROBNICATE
ours S: d BAD <any>
ref C: d FROBNICATE
ref S: d NO <any>
# differs: likewise
ours C: e NOOP again
ours S: e BAD <any>
ref C: e NOOP again
ref S: e NO <any>
C: f LOGOUT
S: * BYE <any>
S: f OK <any>
! closed
LOG: INFO: LOGOUT, ip=[::ffff:127.0.0.1], port=[<num>], rcvd=<num>, sent=<num>
