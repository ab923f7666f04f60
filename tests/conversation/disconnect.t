# A client that just goes away is logged.
! login
C: a SELECT INBOX
S~: a OK <any>
! half-close
! closed
LOG: INFO: DISCONNECTED, user=<user>, ip=[::ffff:127.0.0.1], port=[<num>], headers=0, body=0, rcvd=<num>, sent=<num>, time=<num>
