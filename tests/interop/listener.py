#!/usr/bin/env python3
"""What a couriertcpd does, as lines: options, variables, access lists, limits, pid files, the end of its sessions.

    listener.py COURIERTCPD MAKEDATPROG DIRECTORY

tests/interop/run runs it with ours and with Debian's and compares what they print."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

tcpd, makedatprog, directory = sys.argv[1:]
LIMIT = 20
STAY = "echo hello; exec cat >/dev/null"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def until(what, check):
    end = time.monotonic() + LIMIT
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > end:
            sys.exit(f"timed out: {what}")
        time.sleep(0.02)


def is_listening(port):
    with open("/proc/net/tcp") as table:
        return any(f":{port:04X} " in line and " 0A " in line for line in table)


def connect(port, source="127.0.0.1"):
    return socket.create_connection(("127.0.0.1", port), LIMIT, (source, 0))


def everything(stream):
    text = b""
    try:
        while part := stream.recv(4096):
            text += part
    except ConnectionResetError:
        pass
    stream.close()
    return text.decode()


def say(name, text):
    print(f"{name}: {text!r}", flush=True)


class Listener:
    def __init__(self, options, script, name):
        self.port = free_port()
        self.path = os.path.join(directory, name)
        with open(self.path, "w") as log:
            self.process = subprocess.Popen(
                [tcpd, *options, f"127.0.0.1.{self.port}", "/bin/sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        until(name, lambda: is_listening(self.port))

    def ask(self, source="127.0.0.1"):
        return everything(connect(self.port, source))

    def log(self):
        with open(self.path) as log:
            return log.read()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT)


def errors():
    for arguments in (
        ["-foo", "143", "/bin/true"],
        ["-start", "143", "/bin/true"],
        ["--maxprocs=3", "143", "/bin/true"],
        ["-stop"],
        ["-restart"],
        ["-maxprocs=0", "127.0.0.1.1", "/bin/true"],
        ["127.0.0.1.notaservice", "/bin/true"],
        ["not-an-address.143", "/bin/true"],
        ["-user=nobody-of-this-name", "127.0.0.1.%d" % free_port(), "/bin/true"],
        ["-group=nobody-of-this-name", "127.0.0.1.%d" % free_port(), "/bin/true"],
    ):
        ended = subprocess.run([tcpd, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
        shown = re.sub(r"127\.0\.0\.1\.\d+", "LIST", " ".join(arguments))
        if "-user=" in shown or "-maxprocs=0" in shown:
            # The words differ, or a port that only root opens comes first.
            say(f"error {shown}", ended.returncode)
        else:
            say(f"error {shown}", (ended.returncode, ended.stdout + ended.stderr.replace(tcpd, "PROGRAM")))


def variables():
    listener = Listener(["-nodnslookup"], "env | grep -a ^TCP | sort", "variables")
    with connect(listener.port) as stream:
        own = stream.getsockname()[1]
        text = everything(stream).replace(str(own), "THEIRS").replace(str(listener.port), "OURS")
    say("variables", text)
    say("exit on SIGTERM", listener.end())


def access():
    source = os.path.join(directory, "access.txt")
    database = os.path.join(directory, "access.dat")
    with open(source, "w") as text:
        text.write(
            "127.0.0.2\tdeny\n127.0.0.3\tallow,A,B=\"x,y\", C=z \n127.0.0.4\tallow,MAXCPERIP=1\n"
            "127.0\tallow,NET=yes\n*\tdeny\n.\n"
        )
    subprocess.run([makedatprog, source, database + ".tmp", database], check=True, timeout=LIMIT)
    listener = Listener(
        ["-nodnslookup", "-denymsg=go away", f"-access={database}"],
        "echo A=${A-unset} B=$B C=${C-unset} NET=${NET-unset}; [ -z \"$MAXCPERIP\" ] || exec cat >/dev/null",
        "access",
    )
    for source in ("127.0.0.2", "127.0.0.3", "127.0.0.5"):
        say(f"access {source}", listener.ask(source))
    with connect(listener.port, "127.0.0.4") as first:
        say("access first of one", first.recv(100).decode())
        # Ours gives a reason here, too.
        say("access second of one", listener.ask("127.0.0.4") in ("", "go away\n"))
    # Ours also logs who was denied.
    lines = listener.log().splitlines()
    say("access log", [line for line in lines if not line.startswith("INFO: ")])
    listener.end()


def limits():
    listener = Listener(["-nodnslookup", "-maxperip=2", "-maxprocs=4", "-warn=3"], STAY, "limits")
    held = [connect(listener.port) for _ in range(2)]
    for stream in held:
        say("limit held", stream.recv(100).decode())
    say("limit per address", listener.ask())
    until("the end of the refused one", lambda: "limit reached" in listener.log())
    # A refused connection has a place until its end has been seen.
    time.sleep(0.5)
    for source in ("127.0.0.2", "127.0.0.3"):
        held.append(connect(listener.port, source))
        say("limit other address", held[-1].recv(100).decode())
    until("the alert", lambda: "maximum active" in listener.log())
    waiting = connect(listener.port, "127.0.0.4")
    waiting.settimeout(1)
    try:
        say("limit beyond all", waiting.recv(100))
    except TimeoutError:
        say("limit beyond all", "waits")
    held.pop().close()
    waiting.settimeout(LIMIT)
    say("limit afterwards", waiting.recv(100).decode())
    say("limit log", listener.log())
    listener.end()
    say("sessions at SIGTERM", [everything(stream) for stream in (waiting, held[0])])


def pid_files():
    port = free_port()
    path = os.path.join(directory, "pid")
    command = [tcpd, f"-pid={path}", "-nodnslookup", f"127.0.0.1.{port}", "/bin/sh", "-c", STAY]

    def run(*arguments):
        ended = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=LIMIT)
        return ended.returncode

    def pid():
        with open(path) as file:
            return file.read()

    say("stop without one", run(tcpd, f"-pid={path}", "-stop"))
    say("start", run(*command))
    first = pid()
    say("pid file", re.sub(r"\d+", "N", first))
    session = connect(port)
    say("served", session.recv(100).decode())
    say("second start", (run(*command), pid() == first))
    say("restart", (run(tcpd, f"-pid={path}", "-restart"), pid() == first))
    say("served after restart", connect(port).recv(100).decode())
    say("stop", run(tcpd, f"-pid={path}", "-stop"))
    say("session", everything(session))
    say("files left", sorted(name for name in os.listdir(directory) if name.startswith("pid")))
    until("the port", lambda: not is_listening(port))
    with socket.create_server(("127.0.0.1", port)):
        say("start on a port in use", run(*command) != 0)


for scenario in (errors, variables, access, limits, pid_files):
    scenario()
