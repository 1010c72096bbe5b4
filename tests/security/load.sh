#!/bin/bash
# load.sh: pipes, futexes, sockets and megabyte writes at once, every byte counted by load.c.
#
#   tests/security/load.sh [SECONDS]
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
work=$(mktemp -d "${TMPDIR:-/tmp}/runsc-load.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/root/{bin,proc,dev,sys,etc,tmp}
chmod 755 "$work"
cp "$build/load" "$work/root/bin/load"
sandbox "$work" 90 / /bin/load "${1:-8}" > "$work/out" 2>&1
st=$?
cat "$work/out"
[ $st = 0 ] && [ "$(grep -c ': whole$' "$work/out")" = 4 ]
