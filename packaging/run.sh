#!/bin/sh
# A private mail server to try, in the foreground, below ./run: "make run". Account demo, password demo. Ctrl-C ends
# it and leaves no process behind; the mail stays for the next time.
#   BUILT=DIR   where the programs are      PORT=N   where to listen on 127.0.0.1 (1143); POP3: 33 below (1110),
#                                            IMAP over TLS: 850 above (1993), POP3 over TLS: 852 above (1995)

set -eu

source=$(cd "$(dirname "$0")/.." && pwd)
here=$PWD/run
: "${BUILT:?}" "${PORT:=1143}"

say() { echo "run: $*"; }
die() {
    echo "run: $*" >&2
    exit 1
}
case $PORT in '' | *[!0-9]*) die "PORT=$PORT is not a number" ;; esac
popport=$((PORT - 33)) tlsport=$((PORT + 850)) poptlsport=$((PORT + 852))

# The session belongs to whoever called this. root would be refused as an account: an unused uid stands in.
if [ "$(id -u)" = 0 ]; then
    mailuser=daemon mailgroup=$(id -gn daemon)
    if [ -d "$here/home/demo" ]; then
        uid=$(stat -c %u "$here/home/demo")
    else
        uid=5000
        while getent passwd "$uid" >/dev/null || getent group "$uid" >/dev/null; do uid=$((uid + 1)); done
    fi
    gid=$uid
else
    mailuser=$(id -un) mailgroup=$(id -gn)
    uid=$(id -u) gid=$(id -g)
fi

reachable() { # can the session's uid enter $1?
    [ "$(id -u)" != 0 ] || setpriv --reuid="$uid" --regid="$gid" --clear-groups test -x "$1" 2>/dev/null
}

# A home directory below /root, say, is closed to the session; then everything is below /var/tmp.
if [ -L "$here" ] && [ ! -d "$here/" ]; then
    rm "$here"
fi
if [ ! -e "$here" ]; then
    if reachable "$PWD"; then
        mkdir -m 755 "$here"
    else
        away=$(mktemp -d /var/tmp/courier-run.XXXXXX)
        chmod 755 "$away"
        ln -s "$away" "$here"
    fi
fi
run=$(cd "$here" && pwd -P)
[ "$(stat -c %u "$run")" = "$(id -u)" ] || die "$here belongs to another user; remove it"
reachable "$run" || die "uid $uid cannot enter $run; remove $here and start again"

if [ -f "$run/pid" ] && grep -q run.sh "/proc/$(cat "$run/pid")/cmdline" 2>/dev/null; then
    die "already running, pid $(cat "$run/pid")"
fi
echo $$ >"$run/pid"

programs=$run/bin
mkdir -p "$programs" "$run/etc" "$run/home" "$run/state"
for program in imapd imaplogin pop3d pop3login couriertcpd courierlogger authdaemond \
    couriertls couriertlsd systemhost systemuser maildirmake userdb userdbpw makeuserdb; do
    [ -x "$BUILT/$program" ] || die "$BUILT/$program is missing; run make first"
    # A new file, not new content: what still runs goes on undisturbed.
    cmp -s "$BUILT/$program" "$programs/$program" || {
        cp "$BUILT/$program" "$programs/$program.new"
        mv "$programs/$program.new" "$programs/$program"
    }
done

cat >"$run/etc/paths" <<END
prefix=$run
bindir=$programs
sbindir=$programs
libexecdir=$programs
sysconfdir=$run/etc
datadir=$run/etc
localstatedir=$run/state
piddir=$run/state
userdb=$run/etc/userdb
authdaemonvar=$run/state/authdaemon
authdaemonrc=$run/etc/authdaemonrc
mailuser=$mailuser
mailgroup=$mailgroup
END
printf 'authmodulelist="authuserdb"\ndaemons=2\n' >"$run/etc/authdaemonrc"
COURIER_PATHS=$run/etc/paths
export COURIER_PATHS
# Whoever can enter this directory can ask for password hashes.
mkdir -p "$run/state/authdaemon"
chmod 750 "$run/state/authdaemon"
[ "$(id -u)" != 0 ] || chown "$mailuser:$mailgroup" "$run/state/authdaemon"

"$programs/userdb" demo set "uid=$uid" "gid=$gid" "home=$run/home/demo" mail=Maildir
password=$(echo demo | "$programs/userdbpw")
for field in imappw pop3pw; do echo "$password" | "$programs/userdb" demo set "$field"; done
"$programs/makeuserdb"

# A certificate for one's own eyes. Without one there is no encryption to try.
certificate=$run/etc/certificate.pem
if command -v openssl >/dev/null && ! openssl x509 -in "$certificate" -noout -checkend 86400 >/dev/null 2>&1; then
    if (umask 077 && openssl req -new -x509 -sha256 -days 365 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
        -keyout "$certificate.key" -out "$certificate.new" 2>"$run/etc/openssl.log"); then
        cat "$certificate.key" >>"$certificate.new"
        mv "$certificate.new" "$certificate"
        [ "$(id -u)" != 0 ] || chown "$mailuser:$mailgroup" "$certificate"
    else
        say "no certificate, so no encryption: $(tail -n 1 "$run/etc/openssl.log")"
    fi
    rm -f "$certificate.key" "$certificate.new" "$run/etc/openssl.log"
fi

deliver() { # folder directory, message file, flags
    count=$((count + 1))
    target=$1/cur/$(date -d "$(sed -n 's/^Date: //p; /^$/q' "$2")" +%s).M${count}P$$.demo:2,$3
    cp "$2" "$target"
    touch -d "$(sed -n 's/^Date: //p; /^$/q' "$2")" "$target"
}
if [ ! -d "$run/home/demo/Maildir" ]; then
    # Complete or not there at all: an interrupted first run starts afresh.
    rm -rf "$run/home/new"
    mkdir "$run/home/new"
    maildir=$run/home/new/Maildir
    "$programs/maildirmake" "$maildir"
    for folder in Sent Drafts Trash Lists 'Projekte.Übersicht'; do
        "$programs/maildirmake" -f "$folder" "$maildir"
    done
    printf 'INBOX.%s\n' Sent Drafts Trash Lists 'Projekte.Übersicht' >"$maildir/courierimapsubscribed"
    count=0
    for message in "$source"/tests/demo/INBOX/*.eml; do
        case $message in
            */01-* | */05-*) deliver "$maildir" "$message" S ;;
            */02-*) deliver "$maildir" "$message" RS ;;
            */10-*) deliver "$maildir" "$message" FS ;;
            *) deliver "$maildir" "$message" '' ;;
        esac
    done
    for message in "$source"/tests/demo/Lists/*.eml; do deliver "$maildir/.Lists" "$message" ''; done
    for message in "$source"/tests/demo/Sent/*.eml; do deliver "$maildir/.Sent" "$message" S; done
    [ "$(id -u)" != 0 ] || chown -R "$uid:$gid" "$run/home/new"
    mv "$run/home/new" "$run/home/demo"
fi

# The daemons, each under a logger that writes to the terminal, and each logger in a session of its own: Ctrl-C reaches
# this script alone, which then stops them in order and waits until the last has gone.
daemon= listener= poplistener= tlslistener= poptlslistener= tlsservice= sleeper=
stop() {
    trap '' INT TERM HUP
    trap - EXIT
    for logger in $sleeper $listener $poplistener $tlslistener $poptlslistener $tlsservice $daemon; do
        kill "$logger" 2>/dev/null || :
        wait "$logger" 2>/dev/null || :
    done
    rm -f "$run/pid"
    say "stopped; the mail is in $run/home/demo/Maildir"
    exit "${1:-0}"
}
trap 'stop 1' EXIT
trap 'echo; stop 0' INT TERM HUP

couriertls=
[ ! -f "$certificate" ] || couriertls=$programs/couriertls
start() { # name in the log, 1 if encrypted from the start, program, its arguments
    name=$1 tls=$2
    shift 2
    # Without COURIERTLS no encryption is offered.
    exec setsid env -i COURIER_PATHS="$COURIER_PATHS" IMAP_CAPABILITY="IMAP4rev1 UIDPLUS CHILDREN NAMESPACE IDLE AUTH=PLAIN" \
        IMAP_KEYWORDS=1 IMAP_EMPTYTRASH=Trash:7 IMAP_USELOCKS=1 IMAP_IDLE_TIMEOUT=60 IMAP_TLS="$tls" \
        POP3_TLS="$tls" IMAP_STARTTLS=YES POP3_STARTTLS=YES COURIERTLS="$couriertls" TLS_CERTFILE="$certificate" TLS_VERIFYPEER=NONE \
        "$programs/courierlogger" -stderr -name="$name" "$@"
}
listen() { # name in the log, 1 if encrypted from the start, port, program, its arguments
    name=$1 tls=$2 at=$3
    shift 3
    start "$name" "$tls" "$programs/couriertcpd" -maxprocs=40 -maxperip=40 -nodnslookup "127.0.0.1.$at" "$@"
}
start authdaemond 0 "$programs/authdaemond" &
daemon=$!
if [ -n "$couriertls" ]; then
    start couriertlsd 0 "$programs/couriertlsd" &
    tlsservice=$!
fi
listen imapd 0 "$PORT" "$programs/imaplogin" "$programs/imapd" Maildir &
listener=$!
listen pop3d 0 "$popport" "$programs/pop3login" "$programs/pop3d" Maildir &
poplistener=$!
if [ -n "$couriertls" ]; then
    listen imapd-ssl 1 "$tlsport" "$couriertls" -server -tcpd "-user=$mailuser" \
        "$programs/imaplogin" "$programs/imapd" Maildir &
    tlslistener=$!
    listen pop3d-ssl 1 "$poptlsport" "$couriertls" -server -tcpd "-user=$mailuser" \
        "$programs/pop3login" "$programs/pop3d" Maildir &
    poptlslistener=$!
fi

tries=0
until curl --silent --max-time 5 --user demo:demo "imap://127.0.0.1:$PORT/" >/dev/null 2>&1; do
    kill -0 "$listener" 2>/dev/null || die "the server did not start; is port $PORT taken? (make run PORT=1144)"
    kill -0 "$daemon" 2>/dev/null || die "authdaemond did not start"
    tries=$((tries + 1))
    [ $tries -lt 50 ] || die "the server does not answer"
    sleep 0.2
done

# Nobody asked for this port, so a taken one does not end the rest.
pop3="  curl -u demo:demo 'pop3://127.0.0.1:$popport/1'"
kill -0 "$poplistener" 2>/dev/null || pop3="  (no POP3: port $popport is taken)"
pop3s=
if [ -n "$couriertls" ]; then
    pop3s="  curl --cacert '$certificate' -u demo:demo 'pop3s://127.0.0.1:$poptlsport/1'"
    kill -0 "$poptlslistener" 2>/dev/null || pop3s="  (no POP3 over TLS: port $poptlsport is taken)"
fi
if [ -z "$couriertls" ]; then
    imaps="  (no encryption: no openssl command)"
elif kill -0 "$tlslistener" 2>/dev/null; then
    imaps="  curl --cacert '$certificate' -u demo:demo 'imaps://127.0.0.1:$tlsport/INBOX?ALL'"
else
    imaps="  (no IMAP over TLS: port $tlsport is taken)"
fi

cat <<END

An IMAP server is listening on 127.0.0.1:$PORT; account demo, password demo. Try in another terminal:

  curl -u demo:demo 'imap://127.0.0.1:$PORT/'
  curl -u demo:demo 'imap://127.0.0.1:$PORT/INBOX;MAILINDEX=3'
  mutt -n -F /dev/null -e 'set ssl_force_tls=no ssl_starttls=no folder=imap://demo:demo@127.0.0.1:$PORT/' -f =INBOX
$imaps
$pop3
$pop3s

Its log follows. Ctrl-C stops it; the mail stays in $here/home/demo/Maildir.

END

# Until a signal comes, or one of the first two ends by itself. A signal interrupts wait but not sleep.
while kill -0 "$listener" 2>/dev/null && kill -0 "$daemon" 2>/dev/null; do
    sleep 1 &
    sleeper=$!
    wait $sleeper || :
done
die "a server ended"
