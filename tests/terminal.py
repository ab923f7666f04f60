"""Runs a command on a terminal of its own and types Ctrl-C when a text has appeared.

    terminal.py TEXT COMMAND [ARGUMENT]...

What the command wrote goes to standard output; the exit status is the command's (128 and the signal's number, if a
signal ended it), or 99 if it did not come to its text or to its end.
"""

import os
import pty
import select
import signal
import sys
import time

PATIENCE = 60.0


def main() -> int:
    text = sys.argv[1].encode()
    child, terminal = pty.fork()
    if child == 0:
        # Who started the tests in the background may have them ignored, and a shell cannot trap those again.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        os.execvp(sys.argv[2], sys.argv[2:])
    seen = b""
    typed = False
    deadline = time.monotonic() + PATIENCE
    while True:
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            os.kill(child, 15)
            os.waitpid(child, 0)
            status = 99
            break
        try:
            read = os.read(terminal, 65536)
        except OSError:
            # Linux's end of file: nobody has the terminal open any more.
            read = b""
        if not read:
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            status = status if status >= 0 else 128 - status
            break
        seen += read
        if not typed and text in seen:
            os.write(terminal, b"\x03")
            typed = True
    sys.stdout.buffer.write(seen)
    return status if typed else 99


sys.exit(main())
