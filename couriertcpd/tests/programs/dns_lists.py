"""couriertcpd with -block and -allow, beside a name server of the test's own: dns_lists.py COURIERTCPD DIRECTORY.

Runs in network and mount namespaces of its own, where port 53 and /etc/resolv.conf are nobody else's. Ends with
status 0 and prints "ok" when every answer was right.
"""

import os
import socket
import struct
import subprocess
import sys
import threading

program, directory = sys.argv[1:]
subprocess.check_call(["ip", "link", "set", "lo", "up"])
with open(directory + "/resolv.conf", "w") as file:
    file.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
subprocess.check_call(["mount", "--bind", directory + "/resolv.conf", "/etc/resolv.conf"])

A, CNAME, TXT = 1, 5, 16
RECORDS = {
    ("2.0.0.127.bl.test", A): [(A, bytes([127, 0, 0, 2])), (A, bytes([127, 0, 0, 9]))],
    ("2.0.0.127.bl.test", TXT): [(TXT, b"\x04sent\x05 spam")],
    ("3.0.0.127.bl.test", A): [(A, bytes([127, 0, 0, 2]))],
    ("3.0.0.127.wl.test", A): [(A, bytes([127, 0, 0, 5]))],
    ("6.0.0.127.bl.test", A): [(CNAME, b"\x05other\xc0\x16"), (A, bytes([127, 0, 0, 6]))],
    ("other.bl.test", A): [(A, bytes([127, 0, 0, 6]))],
}
asked = []


def serve():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    while True:
        query, peer = server.recvfrom(4096)
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        name = ".".join(labels)
        kind = struct.unpack(">H", query[at + 1 : at + 3])[0]
        asked.append((name, kind))
        if name.endswith("dead.test"):
            continue
        records = RECORDS.get((name, kind), [])
        known = any(other == name for other, _ in RECORDS)
        flags = 0x8180 if known else 0x8183
        answer = query[:2] + struct.pack(">HHHHH", flags, 1, len(records), 0, 0) + query[12 : at + 5]
        owner = b"\xc0\x0c"
        for kind, data in records:
            answer += owner + struct.pack(">HHIH", kind, 1, 9, len(data)) + data
            if kind == CNAME:
                # What follows belongs to the name that this stands for.
                owner = struct.pack(">H", 0xC000 + len(answer) - len(data))
        server.sendto(answer, peer)


threading.Thread(target=serve, daemon=True).start()


def run(options, clients):
    """What each client of 127.0.0.N is told: the variables that were set, or the refusal."""
    log = open(directory + "/log", "w+")
    script = "env | grep -E '^(BLOCK|OK|ALLOW)' | sort; echo end"
    command = [program, "-address=127.0.0.1", "-nodnslookup", *options, "1143", "/bin/sh", "-c", script]
    tcpd = subprocess.Popen(command, stderr=log, env={"PATH": os.environ["PATH"]})
    told = []
    try:
        for client in clients:
            for _ in range(200):
                connection = socket.socket()
                connection.bind((f"127.0.0.{client}", 0))
                connection.settimeout(20)
                try:
                    connection.connect(("127.0.0.1", 1143))
                    break
                except ConnectionRefusedError:
                    connection.close()
                    threading.Event().wait(0.05)
            told.append(connection.makefile().read().split("\n")[:-1])
    finally:
        tcpd.terminate()
        tcpd.wait()
    log.seek(0)
    return told, log.read()


def same(value, expected):
    assert value == expected, f"\n{value}\n{expected}"


told, log = run(["-block=bl.test=The list,BLOCK,no mail from @"], [2, 4, 6])
same(told[0], ["BLOCK=no mail from ::ffff:127.0.0.2", "BLOCK_IP=127.0.0.9", "BLOCK_ZONE=The list", "end"])
same(told[1], ["end"])
same(told[2][1], "BLOCK_IP=127.0.0.6")
same(log, "")

told, log = run(["-allow=wl.test", "-block=bl.test", "-drop", "-denymsg=go away"], [2, 3, 4])
same(told, [["go away"], ["ALLOW_0=BLOCK", "BLOCK=", "BLOCK_IP=127.0.0.5", "BLOCK_ZONE=wl.test", "end"], ["end"]])
same(log, "WARN: dropped blocked connection from ::ffff:127.0.0.2\n")

asked.clear()
told, log = run(["-block=bl.test/127.0.0.7", "-block=bl.test,BLOCK,*"], [2])
same(
    told[0],
    ["BLOCK=sent spam", "BLOCK_IP=127.0.0.9", "BLOCK_TXT=sent spam", "BLOCK_ZONE=bl.test", "end"],
)
same(asked, [("2.0.0.127.bl.test", A), ("2.0.0.127.bl.test", A), ("2.0.0.127.bl.test", TXT)])

# A list that does not answer holds up nobody but its client, and that one only for a moment.
told, log = run(["-block=dead.test", "-drop"], [2])
same(told, [["end"]])
print("ok")
