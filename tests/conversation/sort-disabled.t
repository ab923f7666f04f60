# SORT and THREAD turned off: refused whatever their arguments.
# env: IMAP_DISABLETHREADSORT=1
! login
C: a SELECT INBOX
S~: a OK <any>
C: b SORT (DATE) UTF-8 ALL
S: b NO This command is disabled by the system administrator.
C: c UID THREAD REFERENCES UTF-8 ALL
S: c NO This command is disabled by the system administrator.
C: d SEARCH ALL
S: * SEARCH
S: d OK <any>
