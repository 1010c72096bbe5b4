#!/bin/bash
# run.sh: run differential programs natively and in the sandbox and compare.
#
#   tests/diff/run.sh [-n] [-s] [-k] [-r N] [-p PLATFORM] [NAME[@PLACE]...]
#
# NAME is a program of tests/diff without .c; without a name all are run. PLACE is
# where it works: root (the container's root file system) or shm (a tmpfs); fs_*
# programs run in both, the others in root. mount_* and *_admin programs have all capabilities.
#
#   -n     only natively, printing what the program prints
#   -s     only in the sandbox, printing what the program prints
#   -p P   on this platform
#   -r N   only natively, N times: says whether it is deterministic
#   -k     keep the work directory and say where it is
#
# RUNSC           the runsc to test (default target/release/runsc, then debug)
# RUNSC_PLATFORM  passed as --platform
# RUNSC_FLAGS     further global flags of runsc
#
# Differences known and accepted stand in known.txt with a reason: NAME@PLACE REASON; those
# of one platform in known-PLATFORM.txt.
# An entry that passes is an error too, so that the list only shrinks.
# Exit status: 0 when all is as expected.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
build=${DIFF_BUILD:-$top/target/diff}
native_only= sandbox_only= repeat= keep=
while getopts nsp:r:kh o; do
    case $o in
        n) native_only=1 ;;
        s) sandbox_only=1 ;;
        p) RUNSC_PLATFORM=$OPTARG ;;
        r) repeat=$OPTARG ;;
        k) keep=1 ;;
        *) sed -n '2,/^set -/s/^# \{0,1\}//p' "$0" | sed '/^set -/d'; exit 2 ;;
    esac
done
shift $((OPTIND - 1))

. "$top/tests/lib/world.sh"
find_runsc

work=$(mktemp -d "${TMPDIR:-/tmp}/runsc-diff.XXXXXX")
trap '[ -n "$keep" ] && echo "work directory: $work" || rm -rf "$work"' EXIT

# A fresh root for one run of one program.
make_root() { # DIR NAME
    mkdir -p "$1"/{bin,t,proc,dev,sys,etc,root,scratch} && mkdir -m 1777 "$1/tmp"
    cp "$(command -v busybox)" "$1/bin/busybox"
    for a in sh cat echo true false sleep ls; do ln -s busybox "$1/bin/$a"; done
    cp "$build/$2" "$1/t/$2"
    printf 'root:x:0:0:root:/root:/bin/sh\n' > "$1/etc/passwd"
    printf 'root:x:0:\n' > "$1/etc/group"
}

place_dir() { [ "$1" = shm ] && echo /dev/shm || echo /scratch; }

# finish STATUS OUT: what a run leaves to compare.
finish() { echo "exit status $1" >> "$2"; }

# run native|sandbox NAME PLACE OUT
run() {
    local d; d=$(mktemp -d "$work/r.XXXXXX"); chmod 755 "$d"
    make_root "$d/root" "$2"
    local caps=${WORLD_CAPS:-}
    case $2 in mount_* | *_admin) caps=all ;; esac
    WORLD_CAPS=$caps "$1" "$d" ${DIFF_LIMIT:-40} "$(place_dir "$3")" "/t/$2" > "$4" 2>&1
    finish $? "$4"
    rm -rf "$d"
}

one() { # NAME PLACE
    local n=$work/$1.$2.native s=$work/$1.$2.sandbox
    compile "$build/$1" "$here/$1.c" || { echo "FAIL $1@$2: does not compile"; return 1; }
    if [ -n "$sandbox_only" ]; then
        run sandbox "$1" "$2" "$s"
        cat "$s"
        return 0
    fi
    run native "$1" "$2" "$n"
    if [ -n "$native_only" ]; then
        cat "$n"
        return 0
    fi
    if [ -n "$repeat" ]; then
        for ((i = 1; i < repeat; i++)); do
            run native "$1" "$2" "$s"
            if ! diff -u "$n" "$s"; then echo "FAIL $1@$2: differs from itself"; return 1; fi
        done
        if ! grep -qx 'exit status 0' "$n"; then tail -3 "$n"; echo "FAIL $1@$2: status"; return 1; fi
        echo "PASS $1@$2: $repeat runs"
        return 0
    fi
    if grep -qx 'exit status 77' "$n"; then
        echo "PASS $1@$2: skipped, the host's kernel is too old"
        return 0
    fi
    if ! grep -qx 'exit status 0' "$n"; then
        tail -3 "$n"
        echo "FAIL $1@$2: does not end well natively"
        return 1
    fi
    run sandbox "$1" "$2" "$s"
    # A timing hiccup of a loaded machine may hit either side: ask native once more.
    if ! cmp -s "$n" "$s"; then run native "$1" "$2" "$n"; fi
    verdict "$1@$2" "$n" "$s"
}

if [ $# -eq 0 ]; then
    for f in "$here"/*.c; do
        set -- "$@" "$(basename "$f" .c)"
    done
fi
[ -n "$native_only$repeat" ] || need_runsc
compile "$build/native" "$top/tests/lib/native.c" || exit 2

bad=0 all=0
for arg in "$@"; do
    name=${arg%@*}
    case $arg in
        *@*) places=${arg##*@} ;;
        fs_*) places="root shm" ;;
        *) places=root ;;
    esac
    for place in $places; do
        all=$((all + 1))
        one "$name" "$place" || bad=$((bad + 1))
    done
done
[ "$all" -gt 1 ] && [ -z "$native_only$sandbox_only" ] && echo "$((all - bad)) of $all as expected"
[ "$bad" = 0 ]
