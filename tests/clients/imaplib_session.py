"""A session of Python's imaplib with the server under test: imaplib_session.py PORT USER PASSWORD.

Ends with status 0 and prints "ok" when every answer was right.
"""

import imaplib
import re
import sys

port, user, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]

LETTER = b"\r\n".join(
    [
        b"From: Ann <ann@example.net>",
        b"To: bob@example.com",
        b"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=",
        b"Date: Thu, 2 Jan 2020 12:00:00 +0000",
        b"Message-ID: <letter@example.net>",
        b"MIME-Version: 1.0",
        b"Content-Type: text/plain; charset=utf-8",
        b"",
        "Öl und Wasser".encode(),
        b"",
    ]
)


def ok(reply):
    status, data = reply
    assert status == "OK", reply
    return data


mail = imaplib.IMAP4("127.0.0.1", port, timeout=20)
try:
    mail.login(user, "wrong")
except imaplib.IMAP4.error as error:
    assert "Login failed" in str(error), error
else:
    raise AssertionError("a wrong password was accepted")
ok(mail.login(user, password))

assert ok(mail.select("INBOX")) == [b"0"]
ok(mail.create("INBOX.Work"))
ok(mail.subscribe("INBOX.Work"))
names = b" ".join(ok(mail.list()))
assert b'"INBOX"' in names and b'"INBOX.Work"' in names, names
assert b'"INBOX.Work"' in b" ".join(ok(mail.lsub()))

for flags in (None, r"(\Seen)", r"(\Flagged \Seen)"):
    ok(mail.append("INBOX", flags, '"02-Jan-2020 03:04:05 +0000"', LETTER))
ok(mail.noop())
assert ok(mail.status("INBOX", "(MESSAGES UNSEEN)"))[0].endswith(b"(MESSAGES 3 UNSEEN 1)")
assert ok(mail.select("INBOX")) == [b"3"]

assert ok(mail.search(None, "UNSEEN")) == [b"1"]
assert ok(mail.search(None, "SUBJECT", '"letter"')) == [b""]
mail.literal = "GRÜßE".encode()
assert ok(mail.search("UTF-8", "SUBJECT")) == [b"1 2 3"]
assert ok(mail.uid("SEARCH", None, "FLAGGED")) == [b"3"]

(head, body), tail = ok(mail.fetch("1", "(UID RFC822.SIZE INTERNALDATE BODY.PEEK[])"))
assert body == LETTER, body
assert b"RFC822.SIZE %d" % len(LETTER) in head, head
assert b'INTERNALDATE "02-Jan-2020 03:04:05 +0000"' in head, head
(envelope,) = ok(mail.fetch("2", "(ENVELOPE BODYSTRUCTURE)"))
assert b'"<letter@example.net>"' in envelope and b'"text" "plain"' in envelope.lower(), envelope

stored = ok(mail.store("1", "+FLAGS", r"(\Answered $Label)"))[-1]
assert rb"\Answered" in stored and b"$Label" in stored, stored
ok(mail.copy("1:2", "INBOX.Work"))
assert ok(mail.status("INBOX.Work", "(MESSAGES)"))[0].endswith(b"(MESSAGES 2)")

ok(mail.store("2", "+FLAGS.SILENT", r"(\Deleted)"))
assert ok(mail.expunge()) == [b"2"]
assert ok(mail.search(None, "ALL")) == [b"1 2"]
assert ok(mail.uid("FETCH", "1:*", "(UID)"))[-1].endswith(b"(UID 3)")

ok(mail.rename("INBOX.Work", "INBOX.Play"))
ok(mail.close())
ok(mail.delete("INBOX.Play"))
names = b" ".join(ok(mail.list()))
assert not re.search(b"Work|Play", names), names
assert mail.logout()[0] == "BYE"
print("ok")
