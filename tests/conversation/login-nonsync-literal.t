# Non-synchronising literals before login (RFC 7888 section 4).
# ours only: the original reads the literal's bytes as a command
S: * OK <any>
C: a LOGIN {<len:user>+}
C: <user> {<len:password>+}
C: <password>
S: a OK <any>
