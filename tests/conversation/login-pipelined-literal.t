# A LOGIN of non-synchronising literals and the commands behind it in one packet (RFC 7888 section 4).
# ours only: the original knows no such literals
S: * OK <any>
c: a LOGIN {<len:user>+}<hex:0d0a><user> {<len:password>+}<hex:0d0a><password><hex:0d0a>b NOOP<hex:0d0a>
S: a OK <any>
S: b OK <any>
