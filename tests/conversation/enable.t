# ENABLE repeats what it has switched on (RFC 5161).
! login
C: a ENABLE UTF8=ACCEPT
S: * ENABLED UTF8=ACCEPT
S: a OK Options enabled
C: b ENABLE X-NOSUCH
S: * ENABLED<any>
S: b OK Options enabled
