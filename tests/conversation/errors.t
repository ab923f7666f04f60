# Errors leave the session usable (RFC 3501 section 7.1.3: BAD for what is not understood).
! login
# differs: the original answers NO to everything that it does not understand
ours C: a FROBNICATE
ours S: a BAD Error in IMAP command received by server.
ref C: a FROBNICATE
ref S: a NO Error in IMAP command received by server.
# differs: likewise
ours C: b FETCH 1 FLAGS
ours S: b BAD <any>
ref C: b FETCH 1 FLAGS
ref S: b NO <any>
C: c SELECT INBOX
S~: c OK <any>
# differs: likewise
ours C: d FETCH 1 (FLAGS
ours S: d BAD <any>
ref C: d FETCH 1 (FLAGS
ref S: d NO <any>
# differs: likewise
ours C: e STORE 1 +FLAGS (\Recent)
ours S: e BAD <any>
ref C: e STORE 1 +FLAGS (\Recent)
ref S: e NO <any>
# differs: likewise, and without a tag the reply is untagged
ours C:
ours S: * BAD <any>
ref C:
ref S: * NO <any>
# differs: likewise
ours C: f NOOP trailing
ours S: f BAD <any>
ref C: f NOOP trailing
ref S: f NO <any>
# differs: likewise
ours C: g LOGIN a b
ours S: g BAD <any>
ref C: g LOGIN a b
ref S: g NO <any>
C: h NOOP
S: h OK <any>
