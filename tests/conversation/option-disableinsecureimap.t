# The account option disableinsecureimap, on a connection that is not encrypted.
# options: group=x,disableinsecureimap=1
S: * OK <any>
C: a LOGIN <user> <password>
S: a OK LOGIN Ok.
S: * BYE IMAP access disabled via insecure connection.
! closed
