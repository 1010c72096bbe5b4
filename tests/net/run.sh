#!/bin/bash
# run.sh: the sandbox on one side of a wire, Linux on the other.
#
#   tests/net/run.sh [-b] [CASE...]
#
# Two network namespaces are joined by a veth, or by two that wire.c joins with loss and
# delay. Cases: clean (both directions, TCP and UDP, IPv4 and IPv6), loss (1 %, 5 ms),
# many (connections at once), tools (what ip and /proc/net show).
#
#   -b    big: 1 GB each way, 10,000 connections, loss of 0.1, 1 and 5 % with 20 ms
#
# RUNSC: the runsc to test. Needs root, iproute2, gcc, python3; skips without.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
big=
if [ "${1-}" = -b ]; then big=1; shift; fi
cases=${*:-clean loss many tools}

. "$here/lib.sh"
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
stop_inside() {
    timeout 10 "$runsc" --root "$w/state" delete -f $server > /dev/null 2>&1
}
stop_outside() {
    kill "${started[-1]}" 2> /dev/null
    sleep 0.2
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
