"""A session of Python's poplib with the server under test: poplib_session.py PORT USER PASSWORD.

The mailbox holds two messages. Ends with status 0 and prints "ok" when every answer was right.
"""

import poplib
import sys

port, user, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]


def refused(call, *arguments):
    try:
        call(*arguments)
    except poplib.error_proto:
        return
    raise AssertionError(f"{call.__name__}{arguments} was accepted")


pop = poplib.POP3("127.0.0.1", port, timeout=20)
assert pop.getwelcome().startswith(b"+OK")
capabilities = pop.capa()
for word in ["TOP", "UIDL", "USER", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "UTF8"]:
    assert word in capabilities, (word, capabilities)
refused(pop.stat)
assert pop.utf8().startswith(b"+OK")
pop.user(user)
pop.pass_(password)

count, octets = pop.stat()
assert count == 2, count
_, listing, _ = pop.list()
sizes = [int(line.split()[1]) for line in listing]
assert sum(sizes) == octets
_, listing, _ = pop.uidl()
identifiers = [line.split()[1] for line in listing]
assert len(set(identifiers)) == 2
assert pop.uidl(2).split()[2] == identifiers[1]
for number, size in enumerate(sizes, 1):
    _, lines, received = pop.retr(number)
    # poplib counts what it was sent, without the dots that were added.
    assert sum(len(line) + 2 for line in lines) == size, (size, received)
    _, top, _ = pop.top(number, 0)
    header = lines[: lines.index(b"") + 1]
    assert top == header, (top, header)
refused(pop.retr, 3)
refused(pop.dele, 0)
pop.dele(1)
refused(pop.dele, 1)
assert pop.stat() == (1, sizes[1])
pop.rset()
assert pop.stat() == (2, octets)
pop.dele(1)
assert pop.noop().startswith(b"+OK")
assert pop.quit().startswith(b"+OK")

pop = poplib.POP3("127.0.0.1", port, timeout=20)
pop.user(user)
pop.pass_(password)
assert pop.stat() == (1, sizes[1])
assert pop.uidl()[1] == [b"1 " + identifiers[1]]
pop.close()
print("ok")
