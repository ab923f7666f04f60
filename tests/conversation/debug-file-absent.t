# IMAPDEBUGFILE: a file that does not exist is not made.
# env: IMAPDEBUGFILE=trace
! login
C: a NOOP
S: a OK NOOP completed
! absent trace
