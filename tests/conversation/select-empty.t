# SELECT of an empty mailbox reports what RFC 3501 section 6.3.1 asks for.
! login
C: a SELECT INBOX
S*: * FLAGS (\Draft \Answered \Flagged \Deleted \Seen \Recent)
S*: * OK [PERMANENTFLAGS (\* \Draft \Answered \Flagged \Deleted \Seen)] <any>
S*: * 0 EXISTS
S*: * 0 RECENT
S*: * OK [UIDVALIDITY <num>] <any>
S*: * OK [MYRIGHTS "acdilrsw"] ACL
# differs: the original leaves UIDNEXT out
ours S: * OK [UIDNEXT 1] <any>
S: a OK [READ-WRITE] <any>
