#!/bin/bash
# run.sh: hostile guests. The sandbox must end them with a normal status and stay well.
#
#   tests/security/run.sh [-n] [MODE [SEED]]
#
# MODE is one of wild.c's, or post or plausible; without it all run with seed 1. -n runs natively, to see
# that the program itself comes to its end. RUNSC, RUNSC_PLATFORM and RUNSC_FLAGS as
# for tests/diff/run.sh. Exit status: 0 when each came to its end.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
build=${DIFF_BUILD:-$top/target/diff}
world=sandbox
[ "${1:-}" = -n ] && { world=native; shift; }
. "$top/tests/lib/world.sh"
find_runsc
[ "$world" = native ] || need_runsc
compile "$build/native" "$top/tests/lib/native.c" || exit 2
compile "$build/wild" "$here/wild.c" || exit 2
compile "$build/post" "$here/post.c" || exit 2
compile "$build/plausible" "$here/plausible.c" || exit 2

work=$(mktemp -d "${TMPDIR:-/tmp}/runsc-wild.XXXXXX")
trap 'rm -rf "$work"' EXIT
seed=${2:-1} bad=0
for mode in ${1:-jump bytes calls pointers frames memory threads post plausible}; do
    d=$work/$mode
    mkdir -p "$d"/root/{bin,proc,dev,sys,etc,scratch,tmp}
    chmod 1777 "$d"/root/scratch
    chmod 755 "$work" "$d"
    program=(wild "$mode" "$seed")
    case $mode in post | plausible) program=("$mode" "$seed") ;; esac
    cp "$build/${program[0]}" "$d/root/bin/"
    "$world" "$d" 200 / "/bin/${program[0]}" "${program[@]:1}" > "$d/out" 2>&1
    st=$?
    if [ "$st" = 0 ] && grep -qx "$mode $seed: the kernel is still there" "$d/out"; then
        echo "PASS $mode $seed"
    else
        tail -20 "$d/out"
        echo "FAIL $mode $seed: status $st"
        bad=1
    fi
done
exit $bad
