#!/bin/bash
# freeze.sh: stop and continue the sandbox's guest processes on the host at random, and
# freeze its cgroup where there is one, while load.c counts every byte.
#
#   tests/security/freeze.sh [SECONDS [SEED]]
#
# RUNSC, RUNSC_PLATFORM and RUNSC_FLAGS as for tests/diff/run.sh.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
build=${DIFF_BUILD:-$top/target/diff}
seconds=${1:-8}
RANDOM=${2:-1}
. "$top/tests/lib/world.sh"
find_runsc
need_runsc
compile "$build/load" "$here/load.c" || exit 2

work=$(mktemp -d "${TMPDIR:-/tmp}/runsc-freeze.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/root/{bin,proc,dev,sys,etc,tmp}
chmod 755 "$work"
cp "$build/load" "$work/root/bin/load"

# Every process below PID, and those that carry the state folder in their arguments.
below() { local c; for c in $(pgrep -P "$1"); do echo "$c"; below "$c"; done; }
tree() { local p; for p in $(pgrep -f -- "--root $work/state"); do echo "$p"; below "$p"; done | sort -un; }

# A stub has no argument list of ours: it maps no runsc binary of its own accord. The
# Sentry and the gofer are runsc; stopping them is allowed too, they must only go on.
sandbox "$work" $((seconds + 60)) / /bin/load "$seconds" > "$work/out" 2>&1 &
main=$!
for ((i = 0; i < 200; i++)); do
    [ "$(tree | wc -l)" -ge 5 ] && break
    sleep 0.05
done
stops=0
for ((i = 0; i < seconds * 8; i++)); do
    mapfile -t all < <(tree)
    [ ${#all[@]} -gt 0 ] || break
    victim=${all[RANDOM % ${#all[@]}]}
    [ "$(cat "/proc/$victim/comm" 2>/dev/null)" = timeout ] && continue
    kill -STOP "$victim" 2>/dev/null && stops=$((stops + 1))
    sleep "0.0$((RANDOM % 9 + 1))"
    kill -CONT "$victim" 2>/dev/null
    sleep "0.0$((RANDOM % 5 + 1))"
done
wait "$main"
st=$?
cat "$work/out"
echo "stopped and continued $stops times"
if [ $st = 0 ] && [ "$(grep -c ': whole$' "$work/out")" = 4 ] && [ $stops -gt 10 ]; then
    echo "PASS freeze"
else
    echo "FAIL freeze: status $st"
    exit 1
fi
