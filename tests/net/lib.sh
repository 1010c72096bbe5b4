# lib.sh: what the scripts of this folder share; they source it with `here` and `top` set.
#
# Makes two network namespaces, `$a` for the sandbox and `$b` for its peer, a work folder
# `$w` and in it a root that is empty but for the peer; removes all of it when the script ends.
runsc=${RUNSC:-$top/target/release/runsc}
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
gcc -O2 -static -o "$w/peer" "$here/peer.c" && gcc -O2 -o "$w/wire" "$here/wire.c" || exit 1
mkdir -p "$w/root"
mkdir -p "$w/root/proc" "$w/root/tmp" && cp "$w/peer" "$w/root/peer"
ip netns add $a 2> /dev/null && ip netns add $b && ip netns add $m || skip "no network namespaces"

# wire [LOSS DELAY [REORDER]]: joins the namespaces anew; wire.c says what the numbers are.
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
        (exec ip netns exec $m "$w/wire" x y "$1" "$2" 7 ${3-}) > "$w/wired" 2>&1 &
        started+=($!)
        for _ in $(seq 50); do grep -q ready "$w/wired" && break; sleep 0.1; done
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
c["process"]["env"] = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"]
c["root"] = {"path": root, "readonly": True}
for caps in c["process"]["capabilities"].values():
    caps += ["CAP_" + c for c in """NET_RAW CHOWN DAC_OVERRIDE FOWNER FSETID SETGID SETUID
        SYS_CHROOT""".split() if "CAP_" + c not in caps]
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
ready() {
    for _ in $(seq 100); do grep -q ready "$1" && return; sleep 0.1; done
    echo "FAIL a server does not start: $(cat "$1")"
    failed=1
}
# is NAME COMMAND...: passes when the command does.
is() {
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then echo "PASS $name: $out"; else echo "FAIL $name: $out"; failed=1; fi
}
