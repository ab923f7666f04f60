"""Somebody at a terminal with neomutt: neomutt_session.py PROGRAM PORT USER PASSWORD MAILDIR.

MAILDIR, which the server serves, holds four letters, Kumquat, Quagmire, Zeppelin and Bagpipe, and the folder .Kept. The
script runs in an empty directory. It ends with status 0 and prints "ok" when the screen showed all that it should; what
became of the mail is for the caller to look at.
"""

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time

program, port, user, password, maildir = sys.argv[1:]
# For one thing to appear on the screen.
PATIENCE = 60.0
REFRESH = b"\x0c"

SETTINGS = f"""
set imap_user={user}
set imap_pass={password}
set folder=imap://127.0.0.1:{port}/
set spoolfile=imap://127.0.0.1:{port}/INBOX
set imap_authenticators=login
set imap_condstore=yes
set imap_qresync=yes
set imap_idle=yes
set header_cache={os.getcwd()}/cache
set ssl_starttls=no
set ssl_force_tls=no
set timeout=1
set mail_check=1
set imap_poll_timeout=30
set sleep_time=0
set wait_key=no
set confirmappend=no
set confirmcreate=no
set delete=yes
set delete_untag=no
set move=no
set mark_old=no
set beep=no
set help=no
set sort=mailbox-order
set resolve=no
set pager_stop=yes
set index_format="%C.%Z.%s."
set status_format="m%m-n%n-f%F-d%d."
set ts_enabled=no
"""


class Terminal:
    """neomutt on a terminal of its own."""

    def __init__(self):
        self.seen = b""
        self.child, self.terminal = pty.fork()
        if self.child == 0:
            os.environ.update(TERM="xterm", LC_ALL="C.UTF-8", TZ="UTC", HOME=os.getcwd())
            os.execv(program, [program, "-n", "-F", "rc"])
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def read(self, patience):
        """What it writes within that time; False when it has ended."""
        ready, _, _ = select.select([self.terminal], [], [], patience)
        if ready:
            try:
                text = os.read(self.terminal, 65536)
            except OSError:
                # Linux's end of file: nobody has the terminal open any more.
                return False
            self.seen += text
            return bool(text)
        return True

    def type(self, keys):
        self.seen = b""
        os.write(self.terminal, keys)

    def shows(self, *texts, redraw=True):
        """Waits until all of these (without blanks, which are not always written) stand on the screen. Only what changes
        is written unless the whole screen is asked for again."""
        end = time.monotonic() + PATIENCE
        while not all(text in self.seen for text in texts):
            assert time.monotonic() < end, (texts, self.seen)
            assert self.read(0.3), ("neomutt has ended", texts, self.seen)
            if redraw and not select.select([self.terminal], [], [], 0)[0]:
                if not all(text in self.seen for text in texts):
                    self.type(REFRESH)
                    # One whole screen is looked at at a time.
                    self.read(1.0)

    def ends(self):
        end = time.monotonic() + PATIENCE
        while self.read(0.3):
            assert time.monotonic() < end, self.seen
        status = os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
        assert status == 0, (status, self.seen)


def deliver(subject):
    name = f"17{subject}.neo.host"
    letter = f"From: ann@example.net\nSubject: {subject}\nMessage-ID: <{subject}@example.net>\n\nBody-of-{subject}\n"
    path = f"{maildir}/tmp/{name}"
    with open(path, "x", encoding="ascii") as file:
        file.write(letter)
    owner = os.stat(maildir)
    os.chown(path, owner.st_uid, owner.st_gid)
    os.rename(path, f"{maildir}/new/{name}")


with open("rc", "w", encoding="ascii") as rc:
    rc.write(SETTINGS)
os.mkdir("cache")

screen = Terminal()
screen.shows(b"Kumquat", b"Quagmire", b"Zeppelin", b"Bagpipe", b"m4-n4-f0-d0.")
# Read the first.
screen.type(b"1\r")
screen.type(b"\r")
screen.shows(b"Body-of-Kumquat")
screen.type(b"i")
screen.shows(b"m4-n3-f0-d0.")
# Flag the second.
screen.type(b"2\r")
screen.type(b"F")
screen.shows(b"m4-n3-f1-d0.")
# Delete the third.
screen.type(b"3\r")
screen.type(b"d")
screen.shows(b"-f1-d1.")
# Save the fourth, which marks it as deleted here.
screen.type(b"4\r")
screen.type(b"s")
screen.shows(b"mailbox", redraw=False)
screen.type(b"\x15=INBOX.Kept\r")
screen.shows(b"-f1-d2.")
# A letter comes in meanwhile.
deliver("Xylophone")
screen.shows(b"Xylophone", b"m5-")
# Write it all back, then go to the other folder and see the saved one.
screen.type(b"$")
screen.shows(b"Kumquat", b"Quagmire", b"Xylophone", b"m3-", b"-f1-d0.")
screen.type(b"c")
screen.shows(b"Open", redraw=False)
screen.type(b"\x15=INBOX.Kept\r")
screen.shows(b"Bagpipe", b"m1-")
screen.type(b"\r")
screen.shows(b"Body-of-Bagpipe")
screen.type(b"i")
screen.shows(b"m1-n0-")
screen.type(b"q")
screen.ends()

# Again, with what it remembers: only what is new since then is fetched.
deliver("Yardstick")
screen = Terminal()
screen.shows(b"Kumquat", b"Quagmire", b"Xylophone", b"Yardstick", b"m4-n3-f1-d0.")
screen.type(b"4\r")
screen.type(b"\r")
screen.shows(b"Body-of-Yardstick")
screen.type(b"i")
screen.shows(b"m4-n2-f1-d0.")
screen.type(b"q")
screen.ends()
print("ok")
