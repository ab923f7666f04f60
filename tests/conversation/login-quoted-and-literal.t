# User and password as quoted strings and as literals (RFC 3501 sections 4.3 and 6.2.3).
S: * OK <any>
C: a LOGIN "<user>" {<len:password>}
S: + <any>
C: <password>
S: a OK <any>
C2: b LOGIN {<len:user>}
S2: * OK <any>
S2: + <any>
C2: <user> {<len:password>}
S2: + <any>
C2: <password>
S2: b OK <any>
