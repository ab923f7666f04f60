# Tags: any but a few characters; without one the reply is untagged (RFC 3501 sections 2.2.1 and 9).
# ours only: strictness of the RFC; the original answers NO to what it does not understand
! login
C: A1.b-]~ NOOP
S: A1.b-]~ OK <any>
C: 1 NOOP
S: 1 OK <any>
C: + NOOP
S: * BAD <any>
C: (a NOOP
S: * BAD <any>
C: a% NOOP
S: a BAD <any>
C: z
S: z BAD <any>
C: noop-after NOOP
S: noop-after OK <any>
