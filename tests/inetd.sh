#!/bin/sh
# The servers started by Debian's openbsd-inetd and xinetd, as the shipped examples say. Called by tests/install.sh while
# authdaemond runs, the account alice exists and there are certificates:
#   tests/inetd.sh PREFIX ROOT IMAP IMAPS POP3 POP3S     the last four are free ports

set -u
prefix=$1 root=$2
imap=$3 imaps=$4 pop3=$5 pop3s=$6
peers=$(cd "$(dirname "$0")" && pwd)/peers/peers
maildir=$root/alice/Maildir
server=

failed() {
    echo "inetd test: $*" >&2
    [ ! -s "$root/inetd.log" ] || cat "$root/inetd.log" >&2
    exit 1
}
end() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; }
    server=
}
finish() {
    status=$?
    end
    [ ! -f "$root/courierlogger.kept" ] || mv "$root/courierlogger.kept" "$prefix/sbin/courierlogger"
    [ ! -f "$root/pop3d.kept" ] || mv "$root/pop3d.kept" "$prefix/etc/pop3d"
    exit $status
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

if [ "$(id -u)" != 0 ]; then
    echo "  skipped: inetd starts services for root only"
    exit 0
fi

# Instead of the system's log.
cp -p "$prefix/sbin/courierlogger" "$root/courierlogger.kept"
cat >"$root/recorder" <<END
#!/bin/sh
while IFS= read -r line; do echo "\$* \$line"; done >>$root/inetd.log
END
chmod 755 "$root/recorder"
mv "$root/recorder" "$prefix/sbin/courierlogger"

# A session without login, for the owner of the maildir.
uid=$(stat -c %u "$maildir")
cat >"$root/preauth" <<END
#!/bin/sh
export AUTHENTICATED=nobody
cd $root/alice && exec setpriv --reuid=$uid --regid=$uid --clear-groups $prefix/bin/\$1 Maildir 2>>$root/preauth.log
END
chmod 755 "$root/preauth"
touch "$root/preauth.log"
chmod 666 "$root/preauth.log"

read_message() { # URL and more arguments of curl
    curl --silent --show-error --max-time 20 --user 'alice:correct horse' --cacert "$certificate" \
        --connect-to localhost::127.0.0.1: "$@" 2>&1
}
logged() { # waits for a line
    tries=0
    until grep -q "$1" "$root/inetd.log" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || failed "$kind: nothing in the log like $1"
        sleep 0.1
    done
}

for kind in inetd xinetd; do
    program=$(command -v $kind) || program=/usr/sbin/$kind
    libraries=
    if [ ! -x "$program" ]; then
        if ! unpacked=$("$peers" fetch $kind) || [ ! -x "$unpacked/usr/sbin/$kind" ]; then
            echo "  skipped: no $kind here, and none to be had: $unpacked"
            continue
        fi
        program=$unpacked/usr/sbin/$kind
        libraries=$(find "$unpacked" -name 'libwrap.so.0' -printf %h)
    fi
    : >"$root/inetd.log"
    configuration=$root/$kind.conf
    # shellcheck disable=SC2046 # two words
    set -- $(python3 -c 'import socket
sockets = [socket.socket() for _ in range(2)]
for s in sockets: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))')
    poppreauth=$1 imappreauth=$2
    case $kind in
        inetd)
            sed "s/^imap /127.0.0.1:$imap /; s/^imaps /127.0.0.1:$imaps /; s/^pop3 /127.0.0.1:$pop3 /
                s/^pop3s /127.0.0.1:$pop3s /" "$prefix/share/inetd.conf.example" >"$configuration"
            echo "127.0.0.1:$poppreauth stream tcp nowait root $root/preauth preauth pop3d" >>"$configuration"
            echo "127.0.0.1:$imappreauth stream tcp nowait root $root/preauth preauth imapd" >>"$configuration"
            options=-i
            ;;
        xinetd)
            {
                echo "defaults { log_type = FILE $root/xinetd.own"
                echo "bind = 127.0.0.1"
                echo '}'
                sed "s/= 143$/= $imap/; s/= 993$/= $imaps/; s/= 110$/= $pop3/; s/= 995$/= $pop3s/" \
                    "$prefix/share/xinetd.conf.example"
                for alone in "pop3d $poppreauth" "imapd $imappreauth"; do
                    sed -n '/^service pop3$/,/^}/p' "$prefix/share/xinetd.conf.example" |
                        sed "s/pop3$/alone-${alone% *}/; s/= 110$/= ${alone#* }/; s|server  *=.*|server = $root/preauth|
                            s/= inetd/= ${alone% *}/"
                done
            } | sed 's/^defaults {/defaults\n{\n/' >"$configuration"
            options="-dontfork -pidfile $root/xinetd.pid -f"
            ;;
    esac
    # shellcheck disable=SC2086
    LD_LIBRARY_PATH=$libraries "$program" $options "$configuration" >"$root/$kind.out" 2>&1 &
    server=$!
    tries=0
    until grep -q " 0100007F:$(printf %04X "$pop3s") 00000000:0000 0A" /proc/net/tcp; do
        kill -0 $server 2>/dev/null || failed "$kind ended: $(cat "$root/$kind.out")"
        tries=$((tries + 1))
        [ $tries -lt 100 ] || failed "$kind does not listen on $pop3s: $(cat "$root/$kind.out")"
        sleep 0.1
    done

    for service in imap imaps pop3 pop3s; do
        for encryption in '' --ssl-reqd; do
            case $service in
                imap*) certificate=$prefix/share/imapd.pem mail='INBOX;MAILINDEX=1' ;;
                pop3*) certificate=$prefix/share/pop3d.pem mail=1 ;;
            esac
            eval "port=\$$service"
            output=$(read_message "$service://localhost:$port/$mail" $encryption)
            case $output in *Hello.*) ;; *) failed "$kind: $service $encryption: $output" ;; esac
        done
    done
    # The address is the client's, though nobody passed it on in variables; with STLS and pop3s as well.
    for name in imapd imapd-ssl pop3d pop3d-ssl; do
        logged "^-name=$name INFO: LOGIN, user=alice, ip=\[\(::ffff:\)\{0,1\}127.0.0.1\], port=\[[1-9]"
    done
    grep 'INFO: LOG' "$root/inetd.log" | grep -v 'port=\[[1-9]' && failed "$kind: a session without a peer"

    # What a session gets to know.
    printf '#!/bin/sh\nenv >environment\n' >"$maildir/loginexec"
    chmod 700 "$maildir/loginexec"
    chown "$uid" "$maildir/loginexec"
    read_message "pop3s://localhost:$pop3s/" >/dev/null || failed "$kind: with loginexec"
    grep -q '^TCPREMOTEIP=\(::ffff:\)\{0,1\}127.0.0.1$' "$maildir/environment" || failed "$kind: no TCPREMOTEIP"
    rm "$maildir/environment"

    # A wrong password, a missing configuration: the log has it, the client nothing that it does not expect.
    output=$(curl --silent --max-time 20 --user alice:wrong "pop3://127.0.0.1:$pop3/") && failed "$kind: wrong password"
    logged "^-name=pop3d INFO: LOGIN FAILED, user=alice, ip=\["
    mv "$prefix/etc/pop3d" "$root/pop3d.kept"
    output=$(python3 -c 'import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20); print(s.makefile("rb").read())' "$pop3")
    mv "$root/pop3d.kept" "$prefix/etc/pop3d"
    [ "$output" = "b''" ] || failed "$kind: without configuration the client sees $output"
    logged "pop3d does not exist, forgot make install-configure"

    # Without login.
    output=$(python3 -c 'import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20); s.sendall(b"STAT\r\nQUIT\r\n")
print(s.makefile("rb").read().decode())' "$poppreauth" | tr -d '\r')
    case $output in '+OK logged in.
+OK 1 '*'
+OK Bye-bye.'*) ;; *) failed "$kind: pop3d alone: $output" ;; esac
    grep -q 'INFO: LOGIN, user=nobody, ip=\[\(::ffff:\)\{0,1\}127.0.0.1\], port=\[[1-9]' "$root/preauth.log" ||
        failed "$kind: pop3d alone: $(cat "$root/preauth.log")"
    output=$(python3 -c 'import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20); s.sendall(b"a SELECT INBOX\r\nb LOGOUT\r\n")
print(s.makefile("rb").read().decode())' "$imappreauth" | tr -d '\r')
    case $output in '* PREAUTH '*'* 1 EXISTS'*'b OK '*) ;; *) failed "$kind: imapd alone: $output" ;; esac
    grep -q 'INFO: LOGIN, user=[^,]*, ip=\[\(::ffff:\)\{0,1\}127.0.0.1\], port=\[[1-9][0-9]*\], protocol=IMAP' \
        "$root/preauth.log" || failed "$kind: imapd alone: $(cat "$root/preauth.log")"
    end
done
