# ID, when the administrator allows it (RFC 2971).
# env: IMAP_ID_FIELDS=0
! login
C: a ID NIL
S: * ID ("name" "Courier-IMAP"<any>)
S: a OK ID completed
C: b ID ("name" "test" "os" NIL)
S: * ID (<any>)
S: b OK ID completed
LOG: INFO: ID, user=<user>, ip=[::ffff:127.0.0.1], port=[<num>], name=test, os=<any>
