# IMAP_ID_FIELDS: 1 the version, 2 the operating system, 4 its release.
# env: IMAP_ID_FIELDS=7
! login
C: a ID NIL
S: * ID ("name" "Courier-IMAP" "version" "<any>" "os" "Linux" "os-version" "<any>" "vendor" "<any>")
S: a OK ID completed
