# The commands of ACL2=UNION, and LIST with rights.
! folder .A
! folder .A.B
! login
C: a ACL STORE INBOX.A user=al lrd
S: * LIST (\HasChildren) "." "INBOX.A" (("ACL" (("owner" "acdilrsw")("administrators" "acdilrsw")("user=al" "dlr"))))
S: a OK ACL STORE completed.
C: b ACL STORE (INBOX.A INBOX.A.*) user=al +w
S: * LIST (\HasChildren) "." "INBOX.A" (("ACL" (("owner" "acdilrsw")("administrators" "acdilrsw")("user=al" "dlrw"))))
# differs: here a change of a parent leaves its children alone, whether somebody has looked at them before or not
ours S: * LIST (\HasNoChildren) "." "INBOX.A.B" (("ACL" (("owner" "acdilrsw")("administrators" "acdilrsw")("user=al" "w"))))
ref S: * LIST (\HasNoChildren) "." "INBOX.A.B" (("ACL" (("owner" "acdilrsw")("administrators" "acdilrsw")("user=al" <any>))))
S: b OK ACL STORE completed.
C: c ACL SET INBOX.A owner acdilrsw administrators acdilrsw user=zed lr group=staff lx
S: * LIST (\HasChildren) "." "INBOX.A" (("ACL" (("owner" "acdilrsw")("administrators" "acdilrsw")("user=zed" "lr")("group=staff" "lx"))))
S: c OK ACL SET completed.
C: d GETACL INBOX.A
S: * ACL "INBOX.A" "owner" "acdilrsw" "administrators" "acdilrsw" "zed" "lr"
S: d OK GETACL completed.
C: e ACL DELETE INBOX.A owner
S: * RIGHTS-INFO "INBOX.A" "owner" al c e i p r s t w x
S: e OK ACL DELETE completed.
C: f ACL DELETE INBOX.A administrators
S: * ACLFAILED "INBOX.A" Invalid argument
S: f OK ACL DELETE completed.
# differs: 5.0.13 tells the minimum for DELETE only, and shows the unchanged list
ours C: g ACL STORE INBOX.A owner lr
ours S: * RIGHTS-INFO "INBOX.A" "owner" al c e i p r s t w x
ours S: g OK ACL STORE completed.
# differs: the original says nothing of a mailbox that does not exist
ours C: h ACL STORE INBOX.nowhere user=al lr
ours S: * ACLFAILED "INBOX.nowhere" Mailbox does not exist, or must be subscribed to.
ours S: h OK ACL STORE completed.
# differs: the original answers without OK, NO or BAD
ours C: i ACL FROB INBOX.A x
ours S: i BAD <any>
C: j ACL DELETE INBOX.A user=nobody
S: * LIST (\HasChildren) "." "INBOX.A" (("ACL" (("owner" "acdilrsw")("administrators" "acdilrsw")("user=zed" "lr")("group=staff" "lx"))))
S: j OK ACL DELETE completed.
C: k LIST (ACL MYRIGHTS POSTADDRESS) "" INBOX.A
S: * LIST (\HasChildren) "." "INBOX.A" (("ACL" (("owner" "acdilrsw")("administrators" "acdilrsw")("user=zed" "lr")("group=staff" "lx")))("MYRIGHTS" "acdilrsw")(POSTADDRESS NIL))
S: k OK LIST completed
C: l LIST (MYRIGHTS) "" INBOX.A.B
S: * LIST (\HasNoChildren) "." "INBOX.A.B" (("MYRIGHTS" "acdilrsw"))
S: l OK LIST completed
