# The account option disableimap: told after the reply to LOGIN.
# options: disableimap=yes
S: * OK <any>
C: a LOGIN <user> <password>
S: a OK LOGIN Ok.
S: * BYE IMAP access disabled for this account.
! closed
