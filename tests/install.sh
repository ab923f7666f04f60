#!/bin/sh
# Installs into a prefix of its own as the README says, starts the servers, logs in and takes it all away again.
# Called by "make check-install", which has built everything for that prefix:
#   tests/install.sh ROOT CONFIG PROFILE     ROOT/prefix is what CONFIG was configured for
# As root this happens in a network of its own, so that the shipped port can be used; else another port is set.

set -u

root=$1 config=$2 profile=$3
prefix=$root/prefix

# The network that is needed is not reachable from one of its own.
peers=$(cd "$(dirname "$0")" && pwd)/peers/peers
if [ "$(id -u)" = 0 ] && [ -z "${INSTALL_TEST_NETWORK:-}" ]; then
    for server in inetd xinetd; do "$peers" fetch $server >/dev/null 2>&1; done
fi
if [ "$(id -u)" = 0 ] && [ -z "${INSTALL_TEST_NETWORK:-}" ] && command -v ip >/dev/null &&
    unshare -n true 2>/dev/null; then
    exec env INSTALL_TEST_NETWORK=own unshare -n sh -c 'ip link set lo up && exec "$0" "$@"' "$0" "$@"
fi

failed() {
    echo "install test: $*" >&2
    exit 1
}
daemons_of() { # pids of processes whose program lies in the prefix
    for entry in /proc/[0-9]*/exe; do
        case $(readlink "$entry" 2>/dev/null) in
            "$prefix"/*)
                entry=${entry#/proc/}
                echo "${entry%/exe}"
                ;;
        esac
    done
}
finish() {
    status=$?
    for script in imapd.rc imapd-ssl.rc pop3d.rc pop3d-ssl.rc; do
        [ ! -x "$prefix/libexec/$script" ] || "$prefix/libexec/$script" stop >/dev/null 2>&1
    done
    [ ! -x "$prefix/sbin/authdaemond" ] || "$prefix/sbin/authdaemond" stop >/dev/null 2>&1
    [ -z "${listener:-}" ] || kill "$listener" 2>/dev/null
    rm -rf "$root"
    exit $status
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

# Never into what somebody else has prepared in a directory that all can write to.
rm -rf "$root"
mkdir -m 755 "$root" || exit 1
umask 022
make_quietly() {
    make --no-print-directory CONFIG="$config" PROFILE="$profile" "$@" >"$root/make.log" 2>&1 ||
        { cat "$root/make.log" >&2; failed "make $*"; }
}

echo "  a package directory gets the same files as the prefix"
make_quietly install install-configure DESTDIR="$root/staging"
[ -x "$root/staging$prefix/bin/imapd" ] || failed "DESTDIR is not honoured"
[ ! -e "$prefix" ] || failed "DESTDIR install touched the prefix"
[ -f "$root/staging$prefix/etc/imapd" ] || failed "install-configure ignores DESTDIR"

echo "  start without configuration files is refused"
make_quietly install
output=$("$prefix/libexec/imapd.rc" start) && failed "started without configuration"
case $output in *"forgot make install-configure?") ;; *) failed "says: $output" ;; esac
make_quietly install-configure
(cd "$root/staging$prefix" && find . ! -name '*.dat*' | sort) >"$root/staged"
(cd "$prefix" && find . ! -name '*.dat*' | sort) >"$root/installed"
cmp -s "$root/staged" "$root/installed" || failed "DESTDIR and prefix differ: $(diff "$root/staged" "$root/installed")"

port=143 popport=110 sslport=993 popsslport=995
if [ -z "${INSTALL_TEST_NETWORK:-}" ]; then
    # shellcheck disable=SC2046 # four words
    set -- $(python3 -c 'import socket
sockets = [socket.socket() for _ in range(4)]
for s in sockets: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))')
    port=$1 popport=$2 sslport=$3 popsslport=$4
    sed -i "s/^PORT=.*/PORT=127.0.0.1.$port/" "$prefix/etc/imapd"
    sed -i "s/^PORT=.*/PORT=127.0.0.1.$popport/" "$prefix/etc/pop3d"
    sed -i "s/^SSLPORT=.*/SSLPORT=127.0.0.1.$sslport/" "$prefix/etc/imapd-ssl"
    sed -i "s/^SSLPORT=.*/SSLPORT=127.0.0.1.$popsslport/" "$prefix/etc/pop3d-ssl"
    echo "  skipped: port 143 as shipped (not root, or no network namespaces); using $port"
fi

echo "  an account in userdb"
uid=$(id -u) gid=$(id -g)
if [ "$uid" = 0 ]; then
    uid=5000
    while getent passwd "$uid" >/dev/null || getent group "$uid" >/dev/null; do uid=$((uid + 1)); done
    gid=$uid
fi
mkdir "$root/alice" && "$prefix/bin/maildirmake" -q 1000000S,100C "$root/alice/Maildir" || failed "maildirmake"
echo 'Subject: quota' | "$prefix/bin/deliverquota" -c "$root/spool/Maildir" 1000S && [ -s "$root/spool/Maildir/maildirsize" ] ||
    failed "deliverquota"
printf 'From: a@example.org\nSubject: It works\n\nHello.\n' >"$root/alice/Maildir/new/1700000000.1.example"
chown -R "$uid:$gid" "$root/alice" || exit 1
"$prefix/sbin/userdb" alice set "uid=$uid" "gid=$gid" "home=$root/alice" mail=Maildir &&
    echo 'correct horse' | "$prefix/sbin/userdbpw" | "$prefix/sbin/userdb" alice set imappw &&
    echo 'correct horse' | "$prefix/sbin/userdbpw" | "$prefix/sbin/userdb" alice set pop3pw &&
    "$prefix/sbin/makeuserdb" || failed "userdb"

fetch() { # password, path and query
    curl --silent --show-error --max-time 20 --user "alice:$1" "imap://127.0.0.1:$port/$2" 2>&1
}

echo "  start, and start again"
"$prefix/sbin/authdaemond" start || failed "authdaemond start"
"$prefix/libexec/imapd.rc" start 2>"$root/notes" || { cat "$root/notes" >&2; failed "imapd.rc start"; }
grep -q 'STARTTLS is not offered' "$root/notes" || failed "says nothing about encryption: $(cat "$root/notes")"
[ "$(wc -l <"$root/notes")" = 1 ] || failed "the shipped settings are complained about: $(cat "$root/notes")"
pid=$(cat "$prefix/var/run/imapd.pid")
"$prefix/libexec/imapd.rc" start || failed "second start"
[ "$pid" = "$(cat "$prefix/var/run/imapd.pid")" ] || failed "a second start replaced the first"
"$prefix/libexec/imapd.rc" status >/dev/null || failed "status of a running server"

echo "  log in and read"
output=$(fetch 'correct horse' 'INBOX;MAILINDEX=1')
case $output in *Hello.*) ;; *) failed "curl: $output" ;; esac
output=$(fetch wrong INBOX) && failed "a wrong password was accepted"

echo "  a program without name services of its own knows who runs it"
"$prefix/bin/maildirmake" "$root/own" || failed "maildirmake"
printf 'Subject: It works\n\nHello.\n' >"$root/own/new/1700000000.1.example"
output=$(printf 'a LOGOUT\r\n' | env -i "MAILDIR=$root/own" "$prefix/bin/imapd" 2>&1)
case $output in *"LOGIN, user=$(id -un), "*) ;; *) failed "imapd started by hand: $output" ;; esac
[ "$("$prefix/libexec/systemhost" -- 192.0.2.1)" = 192.0.2.1:0 ] || failed "systemhost"
[ "$("$prefix/libexec/systemuser" uid "$(id -u)" | tail -n 1)" = "$(id -un)" ] || failed "systemuser"

echo "  character sets of the C library"
# "Hello" in EBCDIC. Some systems have these sets in a package of their own.
if [ "$(printf '\310\205\223\223\226' | iconv -f IBM037 -t UTF-8 2>/dev/null)" = Hello ]; then
    output=$(printf 'a SELECT INBOX\r\nb SEARCH CHARSET IBM037 TEXT {5+}\r\n\310\205\223\223\226\r\nc LOGOUT\r\n' |
        env -i "MAILDIR=$root/own" "$prefix/bin/imapd" 2>/dev/null)
    case $output in *"* SEARCH 1"*) ;; *) failed "SEARCH in IBM037: $output" ;; esac
else
    echo "  skipped: iconv has no IBM037 here"
fi

echo "  the environment of the server has settings and nothing of the caller's"
for pid in $(daemons_of); do
    [ "$(cat "/proc/$pid/comm")" = couriertcpd ] || continue
    tr '\0' '\n' <"/proc/$pid/environ" >"$root/environment"
    grep -q '^IMAP_STARTTLS=NO$' "$root/environment" || failed "IMAP_STARTTLS is missing"
    grep -q '^MAXPERIP=20$' "$root/environment" || failed "MAXPERIP is missing"
    leaked=$(grep -E '^(PATH|HOME|PWD|OLDPWD|LANG|SHELL|INSTALL_TEST_NETWORK|prefix|bindir)=' "$root/environment") &&
        failed "in the environment of the sessions: $leaked"
done
[ -s "$root/environment" ] || failed "couriertcpd was not found"

echo "  restart takes over new settings and loses nobody"
python3 - "$prefix" $port >"$root/restarted" 2>&1 <<'END' || failed "restart: $(cat "$root/restarted")"
import imaplib, re, subprocess, sys, threading, time

prefix, port = sys.argv[1], int(sys.argv[2])
script, settings = prefix + "/libexec/imapd.rc", prefix + "/etc/imapd"


def login():
    client = imaplib.IMAP4("127.0.0.1", port, timeout=20)
    client.login("alice", "correct horse")
    return client


def change(name, value):
    text = open(settings).read()
    open(settings, "w").write(re.sub(f"(?m)^{name}=.*", f"{name}={value}", text))


def rc(*words):
    return subprocess.run([script, *words], capture_output=True, text=True, timeout=60)


before = login()
kept = open(settings).read()
logger = int(open(prefix + "/var/run/imapd.pid").read())
listener = int(open(f"/proc/{logger}/task/{logger}/children").read())
change("IMAP_CAPABILITY", '"IMAP4rev1 UIDPLUS"')
done, failures = [], []


def knock():
    while not done:
        try:
            imaplib.IMAP4("127.0.0.1", port, timeout=20).logout()
        except Exception as error:
            failures.append(error)


thread = threading.Thread(target=knock)
thread.start()
result = rc("restart")
done.append(True)
thread.join()
assert result.returncode == 0, result
assert not failures, failures
assert before.noop()[0] == "OK"
after = login()
assert int(open(f"/proc/{logger}/task/{logger}/children").read()) == listener
environment = open(f"/proc/{listener}/environ").read().split("\0")
assert "IMAP_CAPABILITY=IMAP4rev1 UIDPLUS" in environment, environment
assert not [line for line in environment if line.startswith("COURIERTCPD_Q")], environment
change("MAXDAEMONS", "none")
result = rc("restart")
assert result.returncode == 1 and "old settings" in result.stderr, result
assert login().logout()[0] == "BYE"
change("MAXDAEMONS", "40")
open(settings, "w").write(kept)
assert rc("restart").returncode == 0
drain = subprocess.Popen([script, "stop", "--drain"])
for _ in range(200):
    try:
        imaplib.IMAP4("127.0.0.1", port, timeout=20).logout()
    except Exception:
        break
    time.sleep(0.05)
else:
    raise SystemExit("still listening")
assert before.noop()[0] == after.noop()[0] == "OK"
assert drain.poll() is None
before.logout()
after.logout()
assert drain.wait(20) == 0
assert rc("status").returncode == 3
assert rc("restart").returncode == 0
assert rc("status").returncode == 3
assert rc("start").returncode == 0
END

echo "  restart keeps it running, stop ends everything"
"$prefix/libexec/imapd.rc" restart 2>/dev/null || failed "restart"
output=$(fetch 'correct horse' 'INBOX;MAILINDEX=1')
case $output in *Hello.*) ;; *) failed "after restart: $output" ;; esac
"$prefix/libexec/imapd.rc" stop || failed "stop"
"$prefix/libexec/imapd.rc" stop || failed "stop of what is stopped"
"$prefix/libexec/imapd.rc" status >/dev/null && failed "status of a stopped server"

echo "  POP3 as well"
"$prefix/libexec/pop3d.rc" start 2>"$root/notes" || { cat "$root/notes" >&2; failed "pop3d.rc start"; }
grep -q 'STLS is not offered' "$root/notes" || failed "says nothing about encryption: $(cat "$root/notes")"
[ "$(wc -l <"$root/notes")" = 1 ] || failed "the shipped settings are complained about: $(cat "$root/notes")"
"$prefix/libexec/pop3d.rc" status >/dev/null || failed "status of a running POP3 server"
output=$(curl --silent --show-error --max-time 20 --user 'alice:correct horse' "pop3://127.0.0.1:$popport/1" 2>&1)
case $output in *Hello.*) ;; *) failed "curl: $output" ;; esac
"$prefix/libexec/pop3d.rc" restart 2>/dev/null || failed "restart of the POP3 server"
output=$(curl --silent --show-error --max-time 20 --user 'alice:correct horse' "pop3://127.0.0.1:$popport/1" 2>&1)
case $output in *Hello.*) ;; *) failed "after restart: $output" ;; esac
"$prefix/libexec/pop3d.rc" stop || failed "stop of the POP3 server"
output=$("$prefix/libexec/pop3d-ssl.rc" start 2>&1) && failed "pop3d-ssl started without a certificate"
case $output in *TLS_CERTFILE*) ;; *) failed "pop3d-ssl says: $output" ;; esac

echo "  a port in use makes start fail, and says why"
python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_INET6 if sys.argv[1] == "143" else socket.AF_INET)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("::" if sys.argv[1] == "143" else "127.0.0.1", int(sys.argv[1]))); s.listen(); print("ready", flush=True)
time.sleep(60)' "$port" >"$root/listening" &
listener=$!
while [ ! -s "$root/listening" ] && kill -0 $listener 2>/dev/null; do sleep 0.1; done
output=$("$prefix/libexec/imapd.rc" start 2>&1) && failed "started on a port in use"
case $output in *"in use"*) ;; *) failed "the reason is missing: $output" ;; esac
kill $listener
wait $listener 2>/dev/null
listener=

echo "  settings of features that are not built are named"
cp -p "$prefix/etc/imapd" "$root/imapd.kept"
printf '%s\n' 'OUTBOX=.Outbox' 'SMAP_CAPABILITY=SMAP1' \
    'IMAP_CAPABILITY="IMAP4rev1 CONDSTORE"' >>"$prefix/etc/imapd"
"$prefix/libexec/imapd.rc" start 2>"$root/notes" || failed "start with unbuilt features"
for setting in OUTBOX SMAP_CAPABILITY CONDSTORE; do
    grep -q "$setting" "$root/notes" || failed "$setting is not named"
done
"$prefix/libexec/imapd.rc" stop
cp -p "$root/imapd.kept" "$prefix/etc/imapd"

echo "  PROXY_HOSTNAME of the caller counts where the settings have none"
for line in '#' 'PROXY_HOSTNAME=configured'; do
    echo "$line" >>"$prefix/etc/imapd"
    PROXY_HOSTNAME=callers IMAP_PROXY=9 "$prefix/libexec/imapd.rc" start || failed "start with PROXY_HOSTNAME"
    found=
    for pid in $(daemons_of); do
        [ "$(cat "/proc/$pid/comm")" = couriertcpd ] || continue
        found=$(tr '\0' '\n' <"/proc/$pid/environ" | grep -E '^(PROXY_HOSTNAME|IMAP_PROXY)=' | sort)
    done
    case $line in '#') expected=callers ;; *) expected=configured ;; esac
    [ "$found" = "IMAP_PROXY=0
PROXY_HOSTNAME=$expected" ] || failed "the server has $found"
    "$prefix/libexec/imapd.rc" stop
done
cp -p "$root/imapd.kept" "$prefix/etc/imapd"

echo "  imaps without a certificate is refused"
output=$("$prefix/libexec/imapd-ssl.rc" start 2>&1) && failed "imapd-ssl started without a certificate"
case $output in *TLS_CERTFILE*) ;; *) failed "imapd-ssl says: $output" ;; esac

if command -v openssl >/dev/null; then
    echo "  encryption, once there is a certificate"
    output=$("$prefix/sbin/mkimapdcert") || failed "mkimapdcert"
    case $output in *'CN'*localhost*) ;; *) failed "mkimapdcert: $output" ;; esac
    output=$("$prefix/sbin/mkimapdcert") && failed "mkimapdcert overwrites"
    [ "$output" = "$prefix/share/imapd.pem already exists." ] || failed "mkimapdcert says: $output"
    printf '%s\n' 'organization = "Example & Sons"' 'cn = "localhost"' 'expiration_days = 90' >"$prefix/etc/pop3d.cnf"
    output=$("$prefix/sbin/mkpop3dcert") || failed "mkpop3dcert"
    case $output in *'Example & Sons'*) ;; *) failed "mkpop3dcert ignores the template: $output" ;; esac
    for file in imapd pop3d; do
        [ "$(stat -c %a "$prefix/share/$file.pem")" = 600 ] || failed "others can read the key of $file.pem"
    done
    "$prefix/sbin/mkdhparams" || failed "mkdhparams"
    openssl dhparam -in "$prefix/share/dhparams.pem" -noout -check 2>/dev/null || failed "mkdhparams writes rubbish"
    for days in 25:kept 26:replaced; do
        echo old >"$prefix/share/dhparams.pem"
        touch -d "${days%:*} days ago 1 minute ago" "$prefix/share/dhparams.pem"
        "$prefix/sbin/mkdhparams" || failed "mkdhparams after ${days%:*} days"
        case ${days#*:}:$(head -n 1 "$prefix/share/dhparams.pem") in
            kept:old | 'replaced:-----BEGIN DH PARAMETERS-----') ;;
            *) failed "mkdhparams: parameters ${days%:*} days old are not ${days#*:}" ;;
        esac
    done
    # What cron and systemd run does the same.
    units=$prefix/share/systemd/courier-imap-mkdhparams
    touch -d '30 days ago' "$prefix/share/dhparams.pem"
    sh -c "$(sed -n 's/^[0-9].*root[[:blank:]]*//p' "$prefix/share/courier-imap-mkdhparams.cron")" || failed "the cron entry"
    [ -z "$(find "$prefix/share/dhparams.pem" -mtime +1)" ] || failed "the cron entry does nothing"
    touch -d '30 days ago' "$prefix/share/dhparams.pem"
    sh -c "$(sed -n 's/^ExecStart=//p' "$units.service")" || failed "the service of the timer"
    [ -z "$(find "$prefix/share/dhparams.pem" -mtime +1)" ] || failed "the service of the timer does nothing"
    if command -v systemd-analyze >/dev/null; then
        output=$(systemd-analyze verify --man=no "$units.timer" "$units.service" 2>&1 | grep courier-imap-mkdhparams || :)
        [ -z "$output" ] || failed "systemd-analyze: $output"
    fi

    for script in imapd.rc imapd-ssl.rc pop3d.rc pop3d-ssl.rc; do
        "$prefix/libexec/$script" start 2>"$root/notes" || { cat "$root/notes" >&2; failed "$script start"; }
        [ ! -s "$root/notes" ] || failed "$script: $(cat "$root/notes")"
        "$prefix/libexec/$script" status >/dev/null || failed "$script status"
        [ -S "$prefix/var/run/${script%.rc}.tls.socket" ] || failed "$script: couriertlsd does not run"
    done
    encrypted() { # certificate, more of curl's arguments: reads the message, the server's name is checked
        curl --silent --show-error --max-time 20 --user 'alice:correct horse' --cacert "$prefix/share/$1.pem" \
            --connect-to localhost::127.0.0.1: "$2" ${3:+"$3"} 2>&1
    }
    read_encrypted() {
        for arguments in "imapd imap://localhost:$port/INBOX;MAILINDEX=1 --ssl-reqd" \
            "imapd imaps://localhost:$sslport/INBOX;MAILINDEX=1" \
            "pop3d pop3://localhost:$popport/1 --ssl-reqd" "pop3d pop3s://localhost:$popsslport/1"; do
            # shellcheck disable=SC2086
            output=$(encrypted $arguments)
            case $output in *Hello.*) ;; *) failed "$1, $arguments: $output" ;; esac
        done
    }
    read_encrypted "with couriertlsd"
    for file in imapd imapd-ssl pop3d pop3d-ssl; do
        "$prefix/sbin/courierlogger" -pid="$prefix/var/run/$file.tls.pid" -stop || failed "stopping couriertlsd"
    done
    read_encrypted "without couriertlsd"
    for script in imapd.rc imapd-ssl.rc pop3d.rc pop3d-ssl.rc; do
        "$prefix/libexec/$script" stop || failed "$script stop"
    done
    ! "$prefix/libexec/imapd-ssl.rc" status >/dev/null || failed "imapd-ssl.rc status after stop"

    echo "  the shells of other systems"
    for shell in dash 'busybox sh' bash; do
        command -v "${shell% *}" >/dev/null || { echo "  skipped: no $shell"; continue; }
        $shell "$prefix/libexec/imapd-ssl.rc" start 2>"$root/notes" || failed "$shell: start: $(cat "$root/notes")"
        output=$(encrypted imapd "imaps://localhost:$sslport/INBOX;MAILINDEX=1")
        case $output in *Hello.*) ;; *) failed "$shell: $output" ;; esac
        $shell "$prefix/libexec/imapd-ssl.rc" restart 2>"$root/notes" || failed "$shell: restart: $(cat "$root/notes")"
        output=$(encrypted imapd "imaps://localhost:$sslport/INBOX;MAILINDEX=1")
        case $output in *Hello.*) ;; *) failed "$shell: after restart: $output" ;; esac
        $shell "$prefix/libexec/imapd-ssl.rc" stop --drain || failed "$shell: stop"
    done

    echo "  all four by courier-imap.sysvinit, with no more privileges than the systemd units leave"
    for setting in imapd:IMAPDSTART imapd-ssl:IMAPDSSLSTART pop3d:POP3DSTART pop3d-ssl:POP3DSSLSTART; do
        sed -i "s/^${setting#*:}=.*/${setting#*:}=YES/" "$prefix/etc/${setting%:*}"
    done
    limited=
    if [ "$uid" != "$(id -u)" ] && command -v setpriv >/dev/null; then
        limited="setpriv --inh-caps=-all --bounding-set=-all$(sed -n '/^CapabilityBoundingSet=/,/[^\\]$/p' \
            "$prefix/share/systemd/courier-imap.service" | sed 's/.*=//; s/\\$//' | tr -s ' \n' '\n' |
            sed -n 's/^CAP_\(.*\)/\1/p' | tr 'A-Z' 'a-z' | sed 's/^/,+/' | tr -d '\n')"
    fi
    all() {
        # shellcheck disable=SC2086
        $limited "$prefix/share/courier-imap.sysvinit" "$1"
    }
    "$prefix/sbin/authdaemond" status >/dev/null || failed "status of authdaemond"
    all status >/dev/null && failed "status before start"
    output=$(all start 2>&1) || failed "courier-imap.sysvinit start: $output"
    [ "$output" = "Starting Courier-IMAP server: imap imap-ssl pop3 pop3-ssl" ] ||
        failed "courier-imap.sysvinit says: $output"
    all status >/dev/null || failed "courier-imap.sysvinit status: $(all status)"
    read_encrypted "started by courier-imap.sysvinit"
    all restart >/dev/null || failed "courier-imap.sysvinit restart"
    read_encrypted "restarted by courier-imap.sysvinit"
    all reload || failed "courier-imap.sysvinit reload"
    read_encrypted "after courier-imap.sysvinit reload"
    mv "$prefix/share/pop3d.pem" "$root/pop3d.pem"
    output=$(all restart 2>&1) || failed "courier-imap.sysvinit restart without a certificate"
    case $output in *' imap-ssl generating-SSL-certificate... pop3 pop3-ssl'*) ;; *) failed "courier-imap.sysvinit says: $output" ;; esac
    read_encrypted "with a certificate made by courier-imap.sysvinit"
    sed -i "s/^COURIERTLS=.*/COURIERTLS=nonesuch/" "$prefix/etc/imapd-ssl"
    output=$(all restart 2>&1) && failed "courier-imap.sysvinit succeeds although imap-ssl cannot start"
    all status >/dev/null && failed "status although imap-ssl is missing"
    sed -i "s|^COURIERTLS=.*|COURIERTLS=$prefix/bin/couriertls|" "$prefix/etc/imapd-ssl"
    all stop >/dev/null || failed "courier-imap.sysvinit stop"
    ! "$prefix/libexec/pop3d-ssl.rc" status >/dev/null || failed "running after courier-imap.sysvinit stop"
    echo "  on a socket that systemd would hold"
    cat >"$root/activate.py" <<'END'
import os, poplib, signal, socket, subprocess, sys

prefix = sys.argv[1]
listener = socket.create_server(("127.0.0.1", 0))
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
path = prefix + "/notify"
manager.bind(path)
manager.settimeout(20)
activate = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\""
command = ["/bin/sh", "-c", activate, "sh", prefix + "/libexec/pop3d.rc", "run"]
environment = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": path}
server = subprocess.Popen(command, stdin=listener.fileno(), stderr=subprocess.PIPE, env=environment, text=True)
assert manager.recv(100).decode() == f"READY=1\nMAINPID={server.pid}"
os.unlink(path)


def login():
    pop = poplib.POP3("127.0.0.1", listener.getsockname()[1], timeout=20)
    pop.user("alice")
    pop.pass_("correct horse")
    return pop


before = login()
server.send_signal(signal.SIGUSR2)
for _ in range(20):
    login().quit()
assert before.stat()[0] == 1
before.quit()
server.terminate()
log = server.communicate()[1]
assert "INFO: LOGIN, user=alice, ip=[" in log, log
assert "ERR" not in log, log
print("served", server.returncode)
END
    output=$(python3 "$root/activate.py" "$prefix" 2>&1)
    [ "$output" = 'served 0' ] || failed "pop3d.rc run: $output"
    "$prefix/sbin/courierlogger" -pid="$prefix/var/run/pop3d.tls.pid" -stop
    if command -v systemd-analyze >/dev/null; then
        output=$(cd "$prefix/share/systemd" && cp courier-socket@.service courier-socket@imapd.service &&
            systemd-analyze verify --man=no --recursive-errors=no ./*[!@].service ./*.socket 2>&1
            status=$?; rm courier-socket@imapd.service; exit $status) ||
            failed "systemd units: $output"
        [ -z "$output" ] || failed "systemd units: $output"
    else
        echo "  skipped: systemd units (no systemd-analyze)"
    fi

    echo "  started by inetd and by xinetd"
    "$(dirname "$0")/inetd.sh" "$prefix" "$root" $port $sslport $popport $popsslport || failed "inetd"
else
    echo "  skipped: encryption and inetd (no openssl command)"
fi

"$prefix/sbin/authdaemond" stop || failed "authdaemond stop"
left=$(daemons_of)
[ -z "$left" ] || failed "still running: $left"

echo "  an upgrade keeps what was set"
sed -i 's/^MAXDAEMONS=.*/MAXDAEMONS=77/' "$prefix/etc/imapd"
make_quietly install install-configure
grep -q '^MAXDAEMONS=77$' "$prefix/etc/imapd" || failed "same release: a setting was lost"
sed -i 's/^##VERSION:.*/##VERSION: older/' "$prefix/etc/imapd"
make_quietly install-configure
grep -q '^MAXDAEMONS=77$' "$prefix/etc/imapd" || failed "other release: a setting was lost"
grep -q 'VERSION: older' "$prefix/etc/imapd.bak" || failed "no backup"

echo "  uninstall leaves configuration, accounts and mail"
make_quietly uninstall
left=$(find "$prefix" -type f \( -perm -100 -o -name '*.dist' -o -path '*/man/*' \))
[ -z "$left" ] || failed "left behind: $left"
[ -f "$prefix/etc/imapd" ] && [ -f "$prefix/etc/authlib/userdb" ] || failed "configuration was removed"
