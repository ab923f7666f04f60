#!/bin/sh
# "make run" as a newcomer sees it: it starts, its printed lines work, it ends without leftovers, the mail stays.
#   tests/run.sh BUILT      the directory of the programs

set -u
built=$1
source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d) || exit 1
server=

failed() {
    echo "run test: $*" >&2
    [ ! -f "$work/log" ] || cat "$work/log" >&2
    exit 1
}
finish() {
    status=$?
    [ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; }
    # Below /var/tmp, if the session's uid cannot enter the working directory.
    [ ! -d "$work/run/" ] || rm -rf "$(cd "$work/run" && pwd -P)"
    rm -rf "$work"
    exit $status
}
trap finish EXIT
trap 'exit 1' HUP INT TERM
cd "$work" || exit 1

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
start() {
    port=$(free_port)
    : >log
    BUILT=$built PORT=$port "$source/packaging/run.sh" >log 2>&1 &
    server=$!
    tries=0
    until grep -q 'Ctrl-C stops it' log; do
        kill -0 $server 2>/dev/null || failed "ended instead of serving"
        tries=$((tries + 1))
        [ $tries -lt 150 ] || failed "not ready"
        sleep 0.2
    done
    programs=$(cd run && pwd -P)/bin
}
stop() {
    kill $server
    wait $server || failed "exit status $? when stopped"
    server=
    nothing_left
}
nothing_left() {
    for entry in /proc/[0-9]*/exe; do
        case $(readlink "$entry" 2>/dev/null) in "$programs"/*) failed "left running: $entry" ;; esac
    done
}

# Ctrl-C goes to the script's process group: a server in it would end by itself, which the script may see first.
group_of() { sed 's/.*) //' "/proc/$1/stat" | cut -d ' ' -f 3; }
apart() {
    found=
    for entry in /proc/[0-9]*/exe; do
        case $(readlink "$entry" 2>/dev/null) in "$programs"/*) ;; *) continue ;; esac
        process=${entry%/exe}
        found=1
        [ "$(group_of "${process#/proc/}")" != "$(group_of $server)" ] ||
            failed "in reach of Ctrl-C: $(tr '\0' ' ' <"$process/cmdline")"
    done
    [ -n "$found" ] || failed "no server is running"
}

start
apart
grep '^  curl' log >lines
[ "$(grep -c imap: lines)" = 2 ] || failed "expected two curl lines"
grep -q imaps: lines || grep -q 'no IMAP over TLS: port\|no openssl command' log || failed "nothing about TLS"
grep -q pop3: lines || grep -q 'no POP3: port' log || failed "nothing about POP3"
grep -q pop3s: lines || grep -q 'no POP3 over TLS: port\|no openssl command' log || failed "nothing about pop3s"
sh lines >output 2>/dev/null || failed "a printed curl line fails"
grep -q 'INBOX.Lists' output && grep -q '^Subject: =?iso-8859-1?' output || failed "curl shows something else"
# Two messages more, word for word, where the ports were free.
message=$source/tests/demo/INBOX/01-
for line in pop3: pop3s:; do
    grep "$line" lines >one || continue
    sh one 2>/dev/null | tr -d '\r' | cmp - "$message"* || failed "$(cat one) shows another message"
done
if grep -q pop3: lines; then
    curl -s -k --ssl-reqd -u demo:demo "pop3://127.0.0.1:$((port - 33))/" | grep -q '^11 [1-9]' || failed "POP3 and STLS"
fi
if grep -q imaps: lines; then
    grep -q '^\* SEARCH 1 2 3' output || failed "nothing found over TLS"
    curl -s -k --ssl-reqd -u demo:demo "imap://127.0.0.1:$port/" | grep -q INBOX.Lists || failed "STARTTLS"
fi
curl -s -u demo:demo --request 'STORE 1 +FLAGS (\Flagged)' "imap://127.0.0.1:$port/INBOX" >/dev/null
stop
start
curl -s -u demo:demo --request 'FETCH 1 FLAGS' "imap://127.0.0.1:$port/INBOX" >output
grep -q 'Flagged' output || failed "a flag did not survive: $(cat output)"
curl -s -u demo:demo --request 'SEARCH ALL' "imap://127.0.0.1:$port/INBOX" >output
grep -q 'SEARCH 1 2 3 4 5 6 7 8 9 10 11.\{0,1\}$' output || failed "messages: $(cat output)"
BUILT=$built PORT=$(free_port) "$source/packaging/run.sh" >second 2>&1 && failed "two at the same time"
grep -q 'already running' second || failed "says: $(cat second)"
stop

# Ctrl-C on a terminal.
BUILT=$built PORT=$(free_port) python3 "$source/tests/terminal.py" 'Ctrl-C stops it' "$source/packaging/run.sh" >log ||
    failed "exit status $? after Ctrl-C"
grep -q 'run: stopped; the mail is in' log || failed "Ctrl-C ended it without its last line"
grep -q 'a server ended' log && failed "Ctrl-C is taken for a fault"
nothing_left
