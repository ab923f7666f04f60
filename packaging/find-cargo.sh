#!/bin/sh
# Prints the cargo to build with: the first one whose rustc is new enough. Says why not otherwise and fails.
# Ubuntu installs additional versions below /usr/lib/rust-1.85 and so on.

set -u

# As stated by rust-version in Cargo.toml.
needed=85

new_enough() { # the words of "rustc --version"
    case ${2:-} in
        1.*)
            minor=${2#1.}
            minor=${minor%%.*}
            case $minor in '' | *[!0-9]*) return 1 ;; esac
            [ "$minor" -ge $needed ]
            ;;
        [2-9].* | [1-9][0-9].*) true ;;
        *) false ;;
    esac
}

found=
try() { # cargo rustc
    cargo=$(command -v "$1") || return 1
    version=$("$2" --version 2>/dev/null) || return 1
    # shellcheck disable=SC2086
    if new_enough $version; then
        echo "$cargo"
        exit 0
    fi
    found="$found, $version"
}

try "${CARGO:-cargo}" "${RUSTC:-rustc}"
try /usr/bin/cargo /usr/bin/rustc
for directory in /usr/lib/rust-1.[89]?/bin /usr/lib/rust-1.1??/bin; do
    [ -x "$directory/cargo" ] && try "$directory/cargo" "$directory/rustc"
done
if [ -n "$found" ]; then
    echo "Rust 1.$needed or newer is needed; found only ${found#, }. 'make deps' installs a newer one." >&2
else
    echo "No Rust compiler found (1.$needed or newer is needed). 'make deps' installs one." >&2
fi
exit 1
