#!/bin/bash
# slow.sh: the gofer stands still for a second at a time while guests need it. Another
# guest process, which does not, must not notice, and a kill must end the container.
#
#   tests/security/slow.sh
#
# RUNSC, RUNSC_PLATFORM and RUNSC_FLAGS as for tests/diff/run.sh.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
build=${DIFF_BUILD:-$top/target/diff}
. "$top/tests/lib/world.sh"
find_runsc
need_runsc
compile "$build/slow" "$here/slow.c" || exit 2
work=$(mktemp -d "${TMPDIR:-/tmp}/runsc-slow.XXXXXX")
gofer=
trap '[ -n "$gofer" ] && kill -CONT $gofer 2>/dev/null; rm -rf "$work"' EXIT
mkdir -p "$work"/root/{bin,proc,dev,sys,etc,tmp}
chmod 755 "$work"
cp "$build/slow" "$work/root/bin/slow"

# The gofer of the one sandbox there, once its guest runs.
find_gofer() {
    local state i
    gofer=
    for ((i = 0; i < 200; i++)); do
        state=$(cat "$work"/state/*/state.json 2>/dev/null)
        if [[ $state =~ '"process":{"pid":'([0-9]+).*'"phase":"running"' ]]; then
            gofer=$(pgrep -P "${BASH_REMATCH[1]}" -x runsc-gofer) && return
        fi
        sleep 0.05
    done
    echo "no gofer found"
    return 1
}

bad=0
sandbox "$work" 30 / /bin/slow 5 > "$work/out" 2>&1 &
run=$!
if find_gofer; then
    for i in 1 2; do
        sleep 0.5
        kill -STOP "$gofer"
        sleep 1
        kill -CONT "$gofer"
    done
fi
wait $run || bad=1
cat "$work/out"
longest=$(sed -n 's/^longest \([0-9]*\).*/\1/p' "$work/out")
[ "${longest:-9999}" -lt 700 ] || { echo "FAIL: another's wait was felt"; bad=1; }

# Killed while everything that needs the gofer stands still: the first process, or others.
killed() { # ARG...
    sandbox "$work" 30 / /bin/slow 20 "$@" > "$work/out" 2>&1 &
    run=$!
    find_gofer || return 1
    sleep 0.5
    kill -STOP "$gofer"
    sleep 0.3
    local start took
    start=$(date +%s%N)
    timeout 10 "$runsc" --root "$work/state" kill "$(ls "$work/state" | head -1)" KILL
    wait $run
    [ $? = 137 ] || { echo "FAIL: the killed container's status"; return 1; }
    took=$((($(date +%s%N) - start) / 1000000))
    echo "killed in $took ms"
    [ $took -lt 3000 ] || { echo "FAIL: a kill waited"; return 1; }
}
killed || bad=1
killed self || bad=1
exit $bad
