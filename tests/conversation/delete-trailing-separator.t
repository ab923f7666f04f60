# A name that ends in a separator is no mailbox: the original answers OK and does nothing, and so do we.
! login
C: a CREATE INBOX.Keep
S: a OK <any>
C: b DELETE INBOX.Keep.
S: b OK Folder directory delete punted.
C: c SUBSCRIBE INBOX.Keep.
S: c OK Folder directory subscribe punted.
C: d LSUB "" *
S: d OK <any>
C: e SUBSCRIBE INBOX.Keep
S: e OK <any>
C: f UNSUBSCRIBE INBOX.Keep.
S: f OK Folder directory unsubscribe punted.
C: g LSUB "" INBOX.K*
S: * LSUB (<any>) "." "INBOX.Keep"
S: g OK <any>
C: h STATUS INBOX.Keep (MESSAGES)
S: * STATUS "INBOX.Keep" (MESSAGES 0)
S: h OK <any>
