# IMAP_CHECK_ALL_FOLDERS and IMAP_OBSOLETE_CLIENT: \Marked for every folder, \Noinferiors for \HasNoChildren.
# env: IMAP_CHECK_ALL_FOLDERS=1
# env: IMAP_OBSOLETE_CLIENT=1
M: one
|Subject: one
|
|One.
! folder .New
! folder .New.Below
! folder .Seen
! deliver .New one
! place .Seen one S
! login
C: a LIST "" INBOX.*
S*: * LIST (\Marked) "." "INBOX.New"
S*: * LIST (\Unmarked \Noinferiors) "." "INBOX.New.Below"
S*: * LIST (\Unmarked \Noinferiors) "." "INBOX.Seen"
S: a OK LIST completed
