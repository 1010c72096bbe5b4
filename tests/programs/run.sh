#!/bin/bash
# run.sh: run real programs natively and in the sandbox and compare.
#
#   tests/programs/run.sh [-n] [-s] [-k] [-r N] [NAME...]
#
# NAME is a script of tests/programs without .sh; without a name all are run. Each
# runs under bash in a Debian root (scripts/make-rootfs debian) that is thrown away.
#
#   -n     only natively, printing what the script prints, and the time it took
#   -s     only in the sandbox, likewise
#   -r N   N times in the sandbox, each compared
#   -k     keep the work directory and say where it is
#
# RUNSC, RUNSC_PLATFORM, RUNSC_FLAGS as for tests/diff/run.sh; known differences in
# known.txt: NAME REASON. Exit status: 0 when all is as expected.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
build=${DIFF_BUILD:-$top/target/diff}
native_only= sandbox_only= repeat=1 keep=
while getopts nsr:kh o; do
    case $o in
        n) native_only=1 ;;
        s) sandbox_only=1 ;;
        r) repeat=$OPTARG ;;
        k) keep=1 ;;
        *) sed -n '2,/^set -/s/^# \{0,1\}//p' "$0" | sed '/^set -/d'; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
. "$top/tests/lib/world.sh"
find_runsc

limit=${LIMIT:-280}
work=$(mktemp -d "${TMPDIR:-/tmp}/runsc-programs.XXXXXX")
clean() {
    local m
    for m in "$work"/*/root; do mountpoint -q "$m" && umount -l "$m"; done
    [ -n "$keep" ] && echo "work directory: $work" || rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM

# run native|sandbox NAME OUT: over a root of its own.
run() {
    local d st; d=$(mktemp -d "$work/r.XXXXXX"); chmod 755 "$d"
    mkdir "$d"/{up,wk,root}
    mount -t overlay overlay -o "lowerdir=$rootfs,upperdir=$d/up,workdir=$d/wk" "$d/root" || exit 2
    cp "$here/$2.sh" "$d/root/case.sh"
    if [ -d "$here/files" ]; then cp -r "$here/files" "$d/root/files"; fi
    "$1" "$d" "$limit" /root /bin/bash /case.sh > "$3" 2>&1
    st=$?
    echo "exit status $st" >> "$3"
    umount -l "$d/root"
    [ -n "$keep" ] || rm -rf "$d"
}

one() { # NAME
    local n=$work/$1.native s=$work/$1.sandbox i
    if [ -n "$native_only$sandbox_only" ]; then
        local start=$SECONDS
        run "${native_only:+native}${sandbox_only:+sandbox}" "$1" "$n"
        cat "$n"
        echo "($((SECONDS - start)) s)"
        return 0
    fi
    run native "$1" "$n"
    if ! grep -qx 'exit status 0' "$n"; then
        tail -5 "$n"
        echo "FAIL $1: does not end well natively"
        return 1
    fi
    for ((i = 0; i < repeat; i++)); do
        run sandbox "$1" "$s"
        verdict "$1" "$n" "$s" || return 1
    done
}

if [ $# -eq 0 ]; then
    for f in "$here"/*.sh; do
        f=$(basename "$f" .sh)
        [ "$f" = run ] || set -- "$@" "$f"
    done
fi
[ -n "$native_only" ] || need_runsc
rootfs=$("$top/scripts/make-rootfs" debian) || exit 2
compile "$build/native" "$top/tests/lib/native.c" || exit 2

bad=0
for name in "$@"; do
    one "$name" || bad=$((bad + 1))
done
[ $# -gt 1 ] && [ -z "$native_only$sandbox_only" ] && echo "$(($# - bad)) of $# as expected"
[ "$bad" = 0 ]
