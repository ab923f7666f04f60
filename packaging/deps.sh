#!/bin/sh
# Installs what building and testing need, or says how. When nothing is missing it runs no program but
# rustc, to ask what it is and has. Debian, Ubuntu and Fedora; elsewhere it names what is missing.
#   YES=1   do not ask, even on a terminal
#   deps.sh run   leaves out the database and directory servers, which only tests need

set -eu
cd "$(dirname "$0")/.."
scope=${1:-all}

# One line for each thing:  test | Debian and Ubuntu package | Fedora package | what for
# The tests are "cmd NAME" (in PATH or an sbin directory), "file PATH", "server NAME" (where daemons lie) and "perl
# FILE" (where packages put modules).
needs='
cmd gcc                             | gcc              | gcc              | links the programs
cmd make                            | make             | make             | this
cmd pkg-config                      | pkg-config       | pkgconf          | finds libraries
file /usr/include/gdbm.h            | libgdbm-dev      | gdbm-devel       | access file and userdb databases
file /usr/include/crypt.h           | libcrypt-dev     | libxcrypt-devel  | password hashes of authdaemond
file /usr/include/security/pam_appl.h | libpam0g-dev    | pam-devel        | system accounts of authdaemond
file /usr/include/sqlite3.h           | libsqlite3-dev   | sqlite-devel     | accounts in SQLite files
file /usr/include/openssl/ssl.h       | libssl-dev       | openssl-devel    | the TLS service
server mariadbd                     | mariadb-server   | mariadb-server   | tests accounts in MySQL databases
server slapd                        | slapd            | openldap-servers | tests accounts in LDAP directories
server postgres                     | postgresql       | postgresql-server | tests accounts in PostgreSQL databases
cmd openssl                         | openssl          | openssl          | mkimapdcert
cmd mandoc                          | mandoc           | mandoc           | lints the manual pages
cmd readelf                         | binutils         | binutils         | tests what each program links
cmd strace                          | strace           | strace           | records file operations for the durability test
cmd python3                         | python3          | python3          | imaplib as a test client
cmd curl                            | curl             | curl             | test client
cmd mutt                            | mutt             | mutt             | test client
cmd neomutt                         | neomutt          | neomutt          | test client
cmd mbsync                          | isync            | isync            | test client
cmd offlineimap                     | offlineimap3     | offlineimap      | test client
perl Mail/IMAPClient.pm             | libmail-imapclient-perl | perl-Mail-IMAPClient | test client
cmd fetchmail                       | fetchmail        | fetchmail        | test client
cmd getmail                         | getmail6         | getmail6         | test client
cmd mpop                            | mpop             | mpop             | test client
cmd fail2ban-regex                  | fail2ban         | fail2ban-server  | tests that log lines are recognised
file /etc/logcheck/ignore.d.server  | logcheck-database | logcheck        | tests that log lines are recognised
cmd git                             | git              | git              | make dist
'

say() { echo "deps: $*"; }

# Whether to go on: asked on a terminal only.
agreed() {
    [ "${YES:-}" != 1 ] && [ -t 0 ] || return 0
    printf 'deps: go on? [Y/n] '
    read -r answer || answer=n
    case $answer in
        '' | y | Y | yes) return 0 ;;
        *) return 1 ;;
    esac
}

present() {
    case $1 in
        cmd)
            command -v "$2" >/dev/null 2>&1 || [ -x "/usr/sbin/$2" ] || [ -x "/sbin/$2" ]
            ;;
        file) [ -e "$2" ] ;;
        server)
            [ "$scope" != run ] || return 0
            for candidate in "/usr/sbin/$2" "/usr/bin/$2" "/usr/libexec/$2" /usr/lib/postgresql/*/bin/"$2"; do
                [ ! -x "$candidate" ] || return 0
            done
            return 1
            ;;
        perl) [ -e "/usr/share/perl5/$2" ] || [ -e "/usr/share/perl5/vendor_perl/$2" ] ;;
    esac
}

family=other
if [ -r /etc/os-release ]; then
    # shellcheck disable=SC1091
    family=$(. /etc/os-release && echo " ${ID:-} ${ID_LIKE:-} ")
    case $family in
        *" debian "* | *" ubuntu "*) family=debian ;;
        *" fedora "*) family=fedora ;;
        *) family=other ;;
    esac
fi

missing= packages=
while IFS='|' read -r test debian fedora purpose; do
    # shellcheck disable=SC2086
    set -- $test
    [ $# -eq 2 ] || continue
    present "$1" "$2" && continue
    missing="$missing
    $2 ($(echo $purpose))"
    case $family in
        debian) packages="$packages $debian" ;;
        fedora) packages="$packages $fedora" ;;
    esac
done <<END
$needs
END

# The compiler with its formatter and lints. Those lie beside cargo, whoever installed it.
rust=found
if cargo=$(packaging/find-cargo.sh 2>&1); then
    for tool in cargo-fmt cargo-clippy; do
        [ -x "${cargo%/*}/$tool" ] && continue
        case $cargo in
            /usr/bin/* | /usr/lib/rust*) rust=missing ;;
            *)
                echo "deps: $tool is missing beside $cargo (with rustup: rustup component add rustfmt clippy)" >&2
                exit 1
                ;;
        esac
        missing="$missing
    $tool (make check)"
    done
else
    rust=missing
    missing="$missing
    cargo, rustc ($cargo)"
fi

# Wanted, not needed: the target that the programs before login are faster with, see the Makefile. Only rustup has it.
# What could not be had once (no network) is not tried again before "make clean".
without_musl=${CARGO_TARGET_DIR:-target}/without-musl
if [ $rust = found ] && [ ! -e "$without_musl" ] && [ -z "$(packaging/musl-target.sh "$cargo")" ]; then
    target=$(packaging/musl-target.sh -name "$cargo")
    if [ -n "$target" ] && [ -x "${cargo%/*}/rustup" ]; then
        say "the login programs are faster with another target of the compiler: rustup target add $target"
        { agreed && timeout 120 "${cargo%/*}/rustup" target add "$target"; } || {
            say "going on without it"
            mkdir -p "${without_musl%/*}"
            : >"$without_musl"
        }
    fi
fi
[ -n "$missing" ] || exit 0

root=no
[ "$(id -u)" != 0 ] || root=yes

# The first set of packages that brings a Rust new enough: the distribution's own, Debian 12's backport for
# browsers, Ubuntu's versioned ones. All four are named together so that their versions match.
rust_packages() {
    for set in "rustc cargo rustfmt rust-clippy" "rustc-web cargo-web rustfmt-web rust-web-clippy"; do
        version=$(apt-cache policy "${set%% *}" 2>/dev/null | sed -n 's/^ *Candidate: //p')
        case $version in
            1.8[5-9].* | 1.9[0-9].* | 1.[1-9][0-9][0-9].*)
                echo "$set"
                return
                ;;
        esac
    done
    version=$(apt-cache pkgnames rustc-1. | sed -n 's/^rustc-1\.\([0-9]*\)$/\1/p' | sort -n | tail -n 1)
    if [ -n "$version" ] && [ "$version" -ge 85 ]; then
        echo "rustc-1.$version cargo-1.$version rustfmt-1.$version rust-1.$version-clippy"
    else
        say "no package here brings Rust 1.85 or newer; install it from https://rustup.rs and come back" >&2
        return 1
    fi
}

case $family in
    debian)
        if [ $rust = missing ]; then
            if [ $root = yes ] && [ -z "$(apt-cache pkgnames rustc | head -n 1)" ]; then
                say "no package lists yet: apt-get update"
                apt-get update -qq
            fi
            packages="$packages $(rust_packages)"
        fi
        command="apt-get install -y --no-install-recommends$(echo " $packages" | tr -s ' ')"
        ;;
    fedora)
        [ $rust = found ] || packages="$packages rust cargo rustfmt clippy"
        command="dnf install -y --setopt=install_weak_deps=False$(echo " $packages" | tr -s ' ')"
        ;;
    *)
        say "missing:$missing"
        say "install these with your system's package manager and run make again"
        exit 1
        ;;
esac

say "missing:$missing"
if [ $root = no ]; then
    say "to install, run:"
    echo "    sudo $command"
    exit 1
fi
say "about to run: $command"
agreed || {
    say "nothing installed"
    exit 1
}

if [ $family = fedora ]; then
    exec $command
fi

# A test tool must not leave a daemon running: while packages are unpacked every start is refused, and
# the services that this run brought are switched off; the tests start programs of their own.
policy=/usr/sbin/policy-rc.d
ours=
cleanup() { [ -z "$ours" ] || rm -f "$policy"; }
trap cleanup EXIT
trap 'exit 1' HUP INT TERM
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    ours=yes
fi
export DEBIAN_FRONTEND=noninteractive
if ! $command; then
    say "refreshing the package lists and trying again"
    apt-get update -qq
    $command
fi
# Package and its service.
for service in fail2ban:fail2ban mariadb-server:mariadb postgresql:postgresql slapd:slapd; do
    case " $packages " in
        *" ${service%:*} "*) ;;
        *) continue ;;
    esac
    if [ -d /run/systemd/system ]; then
        systemctl disable --now "${service#*:}.service" >/dev/null 2>&1 || say "could not disable ${service#*:}.service"
    elif command -v update-rc.d >/dev/null 2>&1; then
        update-rc.d "${service#*:}" disable >/dev/null 2>&1 || say "could not disable ${service#*:}"
    fi
done
say "done"
