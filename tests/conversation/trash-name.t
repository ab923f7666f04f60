# IMAP_TRASHFOLDERNAME: the trash cannot be deleted or renamed, whatever its name; the usual name is then like any other.
# env: IMAP_TRASHFOLDERNAME=Papierkorb
# env: IMAP_MOVE_EXPUNGE_TO_TRASH=1
M: one
|Subject: one
|
|One.
! folder .Trash
! place INBOX one T
! login
C: a SELECT INBOX
S~: a OK <any>
C: b EXPUNGE
S: * 1 EXPUNGE
S~: b OK <any>
C: c STATUS INBOX.Papierkorb (MESSAGES)
S: * STATUS "INBOX.Papierkorb" (MESSAGES 1)
S: c OK <any>
C: d DELETE INBOX.Papierkorb
S: d NO <any>Cannot delete this folder.
C: e RENAME INBOX.Papierkorb INBOX.x
S: e NO <any>Reserved folder name - cannot rename.
C: f RENAME INBOX.Trash INBOX.Papierkorb
S: f NO <any>Reserved folder name - cannot rename.
C: g DELETE INBOX.Trash
S: g OK Folder deleted.
