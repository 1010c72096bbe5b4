#!/bin/bash
# churn.sh [COUNT]: containers made, started, killed at random moments and deleted, four at
# a time; then nothing of them may be left. RUNSC as for run.sh. Exit status 0 when so.
set -uo pipefail

count=${1:-16}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
build=${DIFF_BUILD:-$top/target/diff}
. "$top/tests/lib/world.sh"
find_runsc
need_runsc
rootfs=$("$top/scripts/make-rootfs" small) || exit 2
w=$(mktemp -d "${TMPDIR:-/tmp}/runsc-churn.XXXXXX")
name=$(basename "$w")
chmod 755 "$w"
cp -a "$rootfs" "$w/root"
bundle "$w" / /bin/sh -c 'while :; do sh -c "sleep 0.01"; done'

rs() { timeout -k 5 30 "$runsc" --root "$w/state" "$@"; }

# The bundle is one; the cgroup each container's own.
one() {
    local b=$w/b$1
    mkdir "$b"
    python3 -c "import json; c=json.load(open('$w/config.json')); c['root']['path']='$w/root'; c.setdefault('linux', {})['cgroupsPath']='/$name/c$1'; json.dump(c, open('$b/config.json', 'w'))"
    "$runsc" --root "$w/state" create --bundle "$b" "c$1" < /dev/null > /dev/null 2>&1 &
    local made=$!
    # Some are killed while they are being made.
    if [ $((RANDOM % 4)) = 0 ]; then
        sleep "0.0$((RANDOM % 6))"; kill -9 $made 2> /dev/null; wait $made 2> /dev/null
    else
        wait $made
        rs start "c$1" > /dev/null 2>&1
        sleep "0.$((RANDOM % 3))$((RANDOM % 10))"
        [ $((RANDOM % 2)) = 0 ] && rs kill "c$1" KILL > /dev/null 2>&1
    fi
    rs delete --force "c$1" > /dev/null 2>&1 || echo "delete of c$1 failed"
}

worker() { local i; for ((i = $1; i < count; i += 4)); do one "$i"; done; }
for k in 0 1 2 3; do worker $k & done
wait

left() {
    pgrep -af -- "--root $w/state"
    grep -- "$w" /proc/self/mounts
    ls -A "$w/state" | grep -v lock
    find /sys/fs/cgroup -type d -path "*/$name/*"
}
for _ in $(seq 40); do [ -z "$(left)" ] && break; sleep 0.1; done
bad=$(left)
find /sys/fs/cgroup -depth -type d -path "*/$name*" -exec rmdir {} + 2> /dev/null
[ -n "$bad" ] && { echo "left behind:"; echo "$bad"; exit 1; }
rm -rf "$w"
echo "$count containers: nothing is left"
