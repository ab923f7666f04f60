# A wrong password is refused, logged with the peer's address, and the client may try again (RFC 3501 section 6.2.3).
S: * OK <any>
C: a LOGIN <user> wrong
S: a NO <any>
LOG: INFO: LOGIN FAILED, user=<user>, ip=[::ffff:127.0.0.1], port=[<num>]
C: b LOGIN <user> <password>
S: b OK <any>
