# The tenth error in a row ends the session.
! login
# differs: the original says NO for BAD
ours c: a 1<hex:0d0a>b 1<hex:0d0a>c 1<hex:0d0a>d 1<hex:0d0a>e 1<hex:0d0a>f 1<hex:0d0a>g 1<hex:0d0a>h 1<hex:0d0a>i 1<hex:0d0a>j 1<hex:0d0a>
ours S~: i BAD <any>
ref c: a 1<hex:0d0a>b 1<hex:0d0a>c 1<hex:0d0a>d 1<hex:0d0a>e 1<hex:0d0a>f 1<hex:0d0a>g 1<hex:0d0a>h 1<hex:0d0a>i 1<hex:0d0a>j 1<hex:0d0a>
ref S~: i NO <any>
S: * BYE [ALERT] Fatal error: TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS: 
! closed
LOG: ERR: <user>: TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS
