#!/bin/bash
# shake.sh: the load of load.c while the host stops, continues, freezes and thaws the
# processes that its guests run in. No byte may be lost or come twice.
#
#   tests/security/shake.sh [SECONDS [SEED]]
#
# RUNSC, RUNSC_PLATFORM and RUNSC_FLAGS as for tests/diff/run.sh.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
build=${DIFF_BUILD:-$top/target/diff}
. "$top/tests/lib/world.sh"
find_runsc
need_runsc
compile "$build/load" "$here/load.c" || exit 2
compile "$build/shake" "$here/shake.c" || exit 2
work=$(mktemp -d "${TMPDIR:-/tmp}/runsc-shake.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/root/{bin,proc,dev,sys,etc,tmp}
chmod 755 "$work"
cp "$build/load" "$work/root/bin/load"

seconds=${1:-8}
"$build/shake" "$work/state" "$seconds" "${2:-1}" > "$work/shake" 2>&1 &
sandbox "$work" 50 / /bin/load "$seconds" > "$work/out" 2>&1
st=$?
wait $!
shaken=$?
cat "$work/shake" "$work/out"
[ $st = 0 ] && [ $shaken = 0 ] && [ "$(grep -c ': whole$' "$work/out")" = 4 ]
