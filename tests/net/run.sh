#!/bin/bash
# run.sh: the sandbox on one side of a wire, Linux on the other.
#
#   tests/net/run.sh [-b] [CASE...]
#
# Two network namespaces are joined by a veth, or by two that wire.py joins with loss and
# delay. Cases: clean (both directions, TCP and UDP, IPv4 and IPv6), loss (1 %, 5 ms),
# many (connections at once), tools (what ip and /proc/net show).
#
#   -b    big: 1 GB each way, 10,000 connections, loss of 0.1, 1 and 5 % with 20 ms
#
# RUNSC: the runsc to test. Needs root, iproute2, gcc, python3; skips without.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
runsc=${RUNSC:-$top/target/release/runsc}
big=
if [ "${1-}" = -b ]; then big=1; shift; fi
cases=${*:-clean loss many tools}

skip() { echo "SKIP $1"; exit 0; }
[ "$(id -u)" = 0 ] || skip "not root"
for tool in ip gcc python3; do command -v $tool > /dev/null || skip "no $tool"; done
[ -x "$runsc" ] || skip "no runsc at $runsc"

w=$(mktemp -d /tmp/runsc-net.XXXXXX)
a=rn-a-$$ b=rn-b-$$ m=rn-m-$$
failed=0 started=()
cleanup() {
    for pid in "${started[@]-}"; do [ -n "$pid" ] && kill "$pid" 2> /dev/null; done
    for id in $("$runsc" --root "$w/state" list -q 2> /dev/null); do
        timeout 10 "$runsc" --root "$w/state" delete -f "$id"
    done
    ip netns del $a 2> /dev/null
    ip netns del $b 2> /dev/null
    ip netns del $m 2> /dev/null
    rm -rf "$w"
}
trap cleanup EXIT
gcc -O2 -static -o "$w/peer" "$here/peer.c" || exit 1
mkdir -p "$w/root/proc" "$w/root/tmp" && cp "$w/peer" "$w/root/peer"
ip netns add $a 2> /dev/null && ip netns add $b && ip netns add $m || skip "no network namespaces"

# wire [LOSS DELAY]: joins the namespaces anew.
wire() {
    local n
    ip -n $a link del eth0 2> /dev/null
    ip -n $b link del eth0 2> /dev/null
    if [ $# = 0 ]; then
        ip -n $a link add eth0 type veth peer name eth0 netns $b
    else
        ip -n $a link add eth0 type veth peer name x netns $m
        ip -n $b link add eth0 type veth peer name y netns $m
        ip -n $m link set x up
        ip -n $m link set y up
        # Frames must be as on a wire: the relay moves bytes, not offload.
        for n in $a $b $m; do
            ip netns exec $n python3 -c '
import fcntl, socket, struct, array
s = socket.socket()
for link in (b"eth0", b"x", b"y"):
    for cmd in (0x17, 0x1f, 0x24, 0x2c, 0x22):
        v = array.array("B", struct.pack("II", cmd, 0))
        try: fcntl.ioctl(s, 0x8946, struct.pack("16sP", link, v.buffer_info()[0]))
        except OSError: pass
'
        done
        (exec ip netns exec $m python3 "$here/wire.py" x y "$1" "$2" 7) > "$w/wire" 2>&1 &
        started+=($!)
        for _ in $(seq 50); do grep -q ready "$w/wire" && break; sleep 0.1; done
    fi
    ip -n $a addr add 10.77.0.1/24 dev eth0
    ip -n $a addr add fd77::1/64 dev eth0 nodad
    ip -n $b addr add 10.77.0.2/24 dev eth0
    ip -n $b addr add fd77::2/64 dev eth0 nodad
    for n in $a $b; do ip -n $n link set lo up; ip -n $n link set eth0 up; done
}

# bundle ARGS...: makes a bundle whose process these are; its folder is $dir.
bundle() {
    dir=$(mktemp -d "$w/bundle.XXXXXX")
    "$runsc" spec --bundle "$dir" || return 1
    python3 - "$dir/config.json" "$w/root" "$a" "$@" << 'P'
import json, sys
path, root, netns, *args = sys.argv[1:]
c = json.load(open(path))
c["process"]["terminal"] = False
c["process"]["args"] = args
c["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 70000, "hard": 70000}]
c["root"] = {"path": root, "readonly": True}
for caps in c["process"]["capabilities"].values():
    if "CAP_NET_RAW" not in caps:
        caps.append("CAP_NET_RAW")
for n in c["linux"]["namespaces"]:
    if n["type"] == "network":
        n["path"] = "/run/netns/" + netns
json.dump(c, open(path, "w"))
P
}
# inside ARGS...: runs in the sandbox to its end.
inside() {
    bundle "$@" || return 1
    timeout ${limit:-60} "$runsc" --root "$w/state" run --bundle "$dir" "t${dir##*.}"
}
outside() { timeout ${limit:-60} ip netns exec $b "$@"; }
# server_outside, server_inside: start a server and wait until it serves.
server_outside() {
    (exec timeout 600 ip netns exec $b "$w/peer" serve 7000) > "$w/out" 2>&1 &
    started+=($!)
    ready "$w/out"
}
server_inside() {
    bundle /peer serve 7000
    server=s${dir##*.}
    (exec timeout 600 "$runsc" --root "$w/state" run --bundle "$dir" $server) > "$w/in" 2>&1 &
    started+=($!)
    ready "$w/in"
}
ready() {
    for _ in $(seq 100); do grep -q ready "$1" && return; sleep 0.1; done
    echo "FAIL a server does not start: $(cat "$1")"
    failed=1
}
stop_inside() {
    timeout 10 "$runsc" --root "$w/state" delete -f $server > /dev/null 2>&1
}
stop_outside() {
    kill "${started[-1]}" 2> /dev/null
    sleep 0.2
}
# is NAME COMMAND...: passes when the command does.
is() {
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then echo "PASS $name: $out"; else echo "FAIL $name: $out"; failed=1; fi
}

case_clean() {
    local n=$((20 << 20))
    [ -n "$big" ] && n=$((1 << 30))
    wire
    # One sandbox a namespace at a time: first it is the client, then the server.
    server_outside
    is "push out v4" inside /peer push 10.77.0.2 7000 $n
    is "pull out v4" inside /peer pull 10.77.0.2 7000 $n
    is "push out v6" inside /peer push fd77::2 7000 $n
    is "udp out" inside /peer udp 10.77.0.2 7000 50 1000
    is "udp out, fragments" inside /peer udp 10.77.0.2 7000 20 20000
    is "trip out" inside /peer trip 10.77.0.2 7000 500
    stop_outside
    server_inside
    is "push in v4" outside "$w/peer" push 10.77.0.1 7000 $n
    is "pull in v4" outside "$w/peer" pull 10.77.0.1 7000 $n
    is "pull in v6" outside "$w/peer" pull fd77::1 7000 $n
    is "udp in" outside "$w/peer" udp 10.77.0.1 7000 50 1000
    is "udp in, fragments" outside "$w/peer" udp fd77::1 7000 20 20000
    is "trip in" outside "$w/peer" trip 10.77.0.1 7000 500
    stop_inside
}

case_loss() {
    local rates=10 delay=5 n=$((2 << 20))
    [ -n "$big" ] && rates="1 10 50" delay=20 n=$((20 << 20))
    for rate in $rates; do
        wire $rate $delay
        server_outside
        limit=300 is "push, loss $rate/1000" inside /peer push 10.77.0.2 7000 $n
        limit=300 is "pull, loss $rate/1000" inside /peer pull 10.77.0.2 7000 $n
        stop_outside
    done
}

case_many() {
    local n=500
    [ -n "$big" ] && n=10000
    wire
    server_inside
    is "many in" outside "$w/peer" many 10.77.0.1 7000 $n
    stop_inside
    server_outside
    is "many out" inside /peer many 10.77.0.2 7000 $n
}

# What tools read: printed by a shell of the host's own busybox, where there is one.
case_tools() {
    local box
    box=$(command -v busybox) || { echo "SKIP tools: no busybox"; return; }
    cp "$box" "$w/root/busybox"
    wire
    ip -n $a route add default via 10.77.0.2
    is "address" eval "inside /busybox ip addr show eth0 | grep -o '10.77.0.1/24'"
    is "route" eval "inside /busybox ip route | grep 'default via 10.77.0.2 dev eth0'"
    is "ifconfig" eval "inside /busybox ifconfig eth0 | grep -o 'addr:10.77.0.1'"
    is "/proc/net/route" eval "inside /busybox cat /proc/net/route | grep -o 'eth0.00000000.02004D0A'"
    is "ping" eval "inside /busybox ping -c 2 10.77.0.2 | grep -o '2 packets received'"
    is "nobody there" eval "(inside /busybox nc -w 5 10.77.0.2 9 2>&1 < /dev/null; true) | grep -o refused"
}

for c in $cases; do case_$c; done
exit $failed
