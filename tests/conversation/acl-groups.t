# Groups come from the account's options; negative rights are taken from the sum of all others.
# options: group=staff,group=other
! folder .A
! folder .B
! login
C: a ACL SET INBOX.A owner al administrators acdilrsw group=staff rs user=<user> w group=other r anyone p -group=other s
S: * LIST (\HasNoChildren) "." "INBOX.A" (("ACL" (("owner" "al")("administrators" "acdilrsw")("group=staff" "rs")("user=<any>" "w")("group=other" "r")("anyone" "p")("-group=other" "s"))))
S: a OK ACL SET completed.
C: b MYRIGHTS INBOX.A
S: * MYRIGHTS "INBOX.A" "alprw"
S: b OK MYRIGHTS completed.
C: c ACL SET INBOX.B owner al administrators acdilrsw group=nobodys rs user=nobody w authuser r
S: * LIST <any>
S: c OK ACL SET completed.
C: d MYRIGHTS INBOX.B
S: * MYRIGHTS "INBOX.B" "al"
S: d OK MYRIGHTS completed.
