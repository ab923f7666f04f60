# An unknown mechanism is NO (RFC 3501 section 6.2.2).
S: * OK <any>
C: a AUTHENTICATE X-NOSUCH
S: a NO <any>
LOG: INFO: LOGIN FAILED, method=X-NOSUCH, ip=[::ffff:127.0.0.1], port=[<num>]
