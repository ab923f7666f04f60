# An unknown user gets the same answer as a wrong password (RFC 3501 section 6.2.3).
S: * OK <any>
C: a LOGIN nobody-<user> wrong
S: a NO Login failed.
LOG: INFO: LOGIN FAILED, user=nobody-<user>, ip=[::ffff:127.0.0.1], port=[<num>]
