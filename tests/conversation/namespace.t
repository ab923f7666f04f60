# NAMESPACE (RFC 2342).
! login
C: a NAMESPACE
S: * NAMESPACE (("INBOX." ".")) NIL (("#shared." ".")("shared." "."))
S: a OK NAMESPACE completed.
