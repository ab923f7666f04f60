#!/bin/sh
# Prints the name of the compiler's target for programs on musl's C library, if it is installed: musl-target.sh CARGO.
# "musl-target.sh -name CARGO" prints it also if it is not, and nothing where that makes no sense.

set -u

any=
if [ "$1" = -name ]; then
    any=yes
    shift
fi
# The compiler lies beside cargo.
rustc=${1%/*}/rustc
host=$("$rustc" -vV 2>/dev/null | sed -n 's/^host: //p')
case $host in
    *-linux-gnu) target=${host%gnu}musl ;;
    *) exit 0 ;;
esac
if [ -z "$any" ]; then
    library=$("$rustc" --print target-libdir --target "$target" 2>/dev/null) || exit 0
    set -- "$library"/libstd-*.rlib
    [ -e "$1" ] || exit 0
fi
echo "$target"
