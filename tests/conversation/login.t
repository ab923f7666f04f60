# A client greets, logs in, logs out (RFC 3501 sections 6.1.3, 6.2.3 and 7.1).
S: * OK [CAPABILITY <any>] Courier-IMAP ready.<any>
C: a LOGIN <user> <password>
S: a OK <any>
C: b LOGOUT
S: * BYE <any>
S: b OK <any>
! closed
LOG: INFO: LOGIN, user=<user>, ip=[::ffff:127.0.0.1], port=[<num>], protocol=IMAP
LOG: INFO: LOGOUT, user=<user>, ip=[::ffff:127.0.0.1], port=[<num>], headers=0, body=0, rcvd=<num>, sent=<num>, time=<num>
