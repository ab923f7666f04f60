# A client may give up an AUTHENTICATE with a lone asterisk (RFC 3501 section 6.2.2).
S: * OK <any>
C: a AUTHENTICATE PLAIN
S: + 
C: *
# differs: RFC 3501 asks for BAD
ours S: a BAD <any>
ref S: a NO <any>
C: b LOGIN <user> <password>
S: b OK <any>
