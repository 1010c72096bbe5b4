#!/bin/bash
# run.sh: the life of a container by the command line: every command, bad input, what is
# left behind.
#
#   tests/oci/run.sh [CASE...]      cases are the functions case_* below
#
# RUNSC, RUNSC_PLATFORM and RUNSC_FLAGS as for tests/diff/run.sh. Exit status: 0 when
# every case passed.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
build=${DIFF_BUILD:-$top/target/diff}
. "$top/tests/lib/world.sh"
find_runsc
need_runsc
rootfs=$("$top/scripts/make-rootfs" small) || exit 2

bad=0
fail() { echo "  line ${BASH_LINENO[1]}: $*"; bad=1; }
is() { [ "$1" = "$2" ] || fail "\"$1\" where \"$2\" was wanted"; }
like() { [[ $1 =~ $2 ]] || fail "\"$1\" is not like /$2/"; }

# rs ARG...: runsc with the case's state folder, with a time limit.
rs() { timeout -k 5 "${LIMIT:-30}" "$runsc" --root "$w/state" ${RUNSC_PLATFORM:+--platform "$RUNSC_PLATFORM"} ${RUNSC_FLAGS:-} "$@"; }

# config ARG...: a bundle in $w whose program is ARG...
config() {
    [ -d "$w/root" ] || cp -a "$rootfs" "$w/root"
    bundle "$w" / "$@"
    # The default cgroup is named after the container alone, whatever the state folder.
    edit "c.setdefault('linux', {})['cgroupsPath'] = '/runsc-test-$$'"
}

# edit EXPR: change the bundle's config with a python expression over c.
edit() { python3 -c "import json; p='$w/config.json'; c=json.load(open(p)); $1; json.dump(c, open(p, 'w'))"; }

# until CONDITION...: wait up to 10 s.
until_() { local i; for ((i = 0; i < 200; i++)); do "$@" > /dev/null 2>&1 && return; sleep 0.05; done; fail "never: $*"; }
status() { rs state "$1" 2>/dev/null | python3 -c 'import json,sys; print(json.load(sys.stdin)["status"])' 2>/dev/null; }
is_status() { [ "$(status "$1")" = "$2" ]; }

case_run() {
    config /bin/echo hello world
    is "$(rs run --bundle "$w" a)" "hello world"
    config /bin/sh -c 'exit 7'
    rs run --bundle "$w" a; is $? 7
    config /bin/sh -c 'kill -9 $$; exit 3'
    rs run --bundle "$w" a; is $? 3
    config /bin/cat
    is "$(echo by stdin | rs run --bundle "$w" a)" "by stdin"
    config /bin/sh -c 'echo out; echo err >&2'
    is "$(rs run --bundle "$w" a 2>/dev/null)" out
    is "$(rs run --bundle "$w" a 2>&1 >/dev/null)" err
    config /bin/sh -c 'echo $$; hostname; pwd; id -u; echo $HOME; ulimit -n'
    is "$(rs run --bundle "$w" a | tr '\n' ' ')" "1 diff / 0 /root 1024 "
    (cd "$w" && is "$(rs run a | head -1)" 1)
}

case_bad_bundle() {
    local out
    out=$(rs run --bundle "$w/none" a 2>&1); is $? 1; like "$out" 'none|no such file|does not exist'
    config /bin/true
    rm "$w/config.json"
    out=$(rs run --bundle "$w" a 2>&1); is $? 1; like "$out" 'config.json'
    echo '{"ociVersion": "1.0.2",' > "$w/config.json"
    out=$(rs run --bundle "$w" a 2>&1); is $? 1; like "$out" '[a-z]'
    config /bin/true; edit 'c["process"]["args"] = 5'
    out=$(rs run --bundle "$w" a 2>&1); is $? 1; like "$out" 'args'
    config /bin/true; edit 'c["process"]["args"] = []'
    rs run --bundle "$w" a > /dev/null 2>&1; is $? 1
    config /bin/true; edit 'c["root"]["path"] = "nowhere"'
    out=$(rs run --bundle "$w" a 2>&1); is $? 1; like "$out" 'nowhere|root'
    config /bin/true; edit 'c["process"]["cwd"] = "relative"'
    rs run --bundle "$w" a > /dev/null 2>&1; is $? 1
    config /bin/true
    rs run --bundle "$w" 'bad/id' > /dev/null 2>&1; is $? 1
    rs run --bundle "$w" > /dev/null 2>&1; [ $? != 0 ] || fail "no id"
    rs nosuchcommand > /dev/null 2>&1; [ $? != 0 ] || fail "unknown command"
    is "$(rs list -q 2>/dev/null)" ""
}

case_bad_program() {
    local out
    config /bin/nosuch
    out=$(rs run --bundle "$w" a 2>&1); is $? 127; like "$out" 'nosuch'
    config nosuch
    out=$(rs run --bundle "$w" a 2>&1); is $? 127; like "$out" 'nosuch'
    config /etc/passwd
    out=$(rs run --bundle "$w" a 2>&1); is $? 126; like "$out" '[Pp]ermission|passwd'
    config /tmp
    rs run --bundle "$w" a > /dev/null 2>&1; is $? 126
    config echo found by PATH
    is "$(rs run --bundle "$w" a)" "found by PATH"
}

case_life() {
    local out
    config /bin/sleep 100
    rs create --bundle "$w" --pid-file "$w/pid" a < /dev/null > /dev/null 2>&1; is $? 0
    is "$(status a)" created
    is "$(rs state a | python3 -c 'import json,sys; s=json.load(sys.stdin); print(s["id"], s["bundle"] == sys.argv[1], s["pid"] == int(open(sys.argv[2]).read()), s["ociVersion"][:2])' "$w" "$w/pid")" "a True True 1."
    [ -d "/proc/$(cat "$w/pid")" ] || fail "pid file names no process"
    rs create --bundle "$w" a > /dev/null 2>&1; [ $? != 0 ] || fail "made twice"
    rs start a; is $? 0
    until_ is_status a running
    out=$(rs start a 2>&1); [ $? != 0 ] || fail "started twice"
    rs delete a > /dev/null 2>&1; [ $? != 0 ] || fail "a running one was deleted"
    is "$(rs list -q)" a
    like "$(rs list)" 'running'
    like "$(rs ps a)" 'sleep'
    rs kill a 0 ; is $? 0
    rs kill a TERM; is $? 0
    sleep 0.3
    is "$(status a)" running
    rs kill a KILL; is $? 0
    until_ is_status a stopped
    rs kill a KILL > /dev/null 2>&1; [ $? != 0 ] || fail "killed twice"
    rs start a > /dev/null 2>&1; [ $? != 0 ] || fail "started after its end"
    rs delete a; is $? 0
    rs state a > /dev/null 2>&1; [ $? != 0 ] || fail "state of a deleted one"
    rs delete a > /dev/null 2>&1; [ $? != 0 ] || fail "deleted twice"
    rs delete --force a > /dev/null 2>&1; is $? 0
    rs kill nosuch KILL > /dev/null 2>&1; [ $? != 0 ] || fail "killed nothing"
    # never started
    rs create --bundle "$w" b < /dev/null > /dev/null 2>&1; is $? 0
    rs kill b KILL; until_ is_status b stopped; rs delete b; is $? 0
    rs create --bundle "$w" b < /dev/null > /dev/null 2>&1; rs delete --force b; is $? 0
}

case_killed() {
    config /bin/sleep 100
    rs run --bundle "$w" a < /dev/null & local p=$!
    until_ is_status a running
    rs kill a KILL; wait $p; is $? 137
    config /bin/sh -c 'trap "exit 9" TERM; while :; do sleep 0.05; done'
    rs run --bundle "$w" a < /dev/null & p=$!
    until_ is_status a running
    sleep 0.5; rs kill a; wait $p; is $? 9
    # the runtime passes signals on
    rs run --bundle "$w" a < /dev/null & p=$!
    until_ is_status a running
    sleep 0.5; pkill -TERM -P $p; wait $p; is $? 9
}

case_detach() {
    config /bin/sh -c 'echo ready > /tmp/r; sleep 100'
    rs run --detach --bundle "$w" --pid-file "$w/pid" a < /dev/null > /dev/null 2>&1; is $? 0
    until_ test -e "$w/root/tmp/r"
    kill -0 "$(cat "$w/pid")" || fail "no process"
    rs delete --force a; is $? 0
    until_ test ! -d "/proc/$(cat "$w/pid")"
}

case_exec() {
    config /bin/sleep 100
    rs run --detach --bundle "$w" a < /dev/null > /dev/null 2>&1
    is "$(rs exec a echo in)" in
    rs exec a sh -c 'exit 5'; is $? 5
    is "$(rs exec --env X=y --cwd /tmp a sh -c 'echo $X $PWD')" "y /tmp"
    is "$(rs exec --user 1000:1001 a sh -c 'id -u; id -g' | tr '\n' ' ')" "1000 1001 "
    is "$(echo through | rs exec a cat)" through
    # as with runc: 255 for all that fails before the program runs, with the reason in words
    like "$(rs exec a nosuch 2>&1)" 'executable file not found'; rs exec a nosuch > /dev/null 2>&1; is $? 255
    like "$(rs exec a /etc/passwd 2>&1)" 'permission denied'
    rs exec a sh -c 'kill -9 $$'; is $? 137
    rs exec --detach --pid-file "$w/epid" a sleep 50; is $? 0
    kill -0 "$(cat "$w/epid")" || fail "no holder"
    like "$(rs exec a ps)" 'sleep 50'
    is "$(for i in 1 2 3 4 5; do rs exec a echo "$i" & done | sort | tr '\n' ' '; wait)" "1 2 3 4 5 "
    rs exec nosuch true > /dev/null 2>&1; [ $? != 0 ] || fail "exec in nothing"
    rs kill a KILL; until_ is_status a stopped
    rs exec a true > /dev/null 2>&1; [ $? != 0 ] || fail "exec in a stopped one"
    rs delete a
}

case_pause() {
    config /bin/sh -c 'i=0; while :; do i=$((i + 1)); echo $i > /tmp/n; sleep 0.05; done'
    rs run --detach --bundle "$w" a < /dev/null > /dev/null 2>&1
    until_ test -s "$w/root/tmp/n"
    rs pause a; is $? 0
    is "$(status a)" paused
    local one; one=$(cat "$w/root/tmp/n"); sleep 0.4
    is "$(cat "$w/root/tmp/n")" "$one"
    rs resume a; is $? 0
    moved() { [ "$(cat "$w/root/tmp/n")" != "$one" ]; }
    until_ moved
    rs delete --force a
}

case_config() {
    config /bin/sh -c 'touch /x 2>&1; echo $?'; edit 'c["root"]["readonly"] = True'
    is "$(rs run --bundle "$w" a | tail -1)" 1
    config /bin/sh -c 'id -u; id -g; id -G'; edit 'c["process"]["user"] = {"uid": 5, "gid": 6, "additionalGids": [7, 8]}'
    is "$(rs run --bundle "$w" a | tr '\n' ' ')" "5 6 6 7 8 "
    config /bin/pwd; edit 'c["process"]["cwd"] = "/usr/bin"'
    is "$(rs run --bundle "$w" a)" /usr/bin
    config /bin/sh -c 'umask'; edit 'c["process"]["user"]["umask"] = 0o27'
    is "$(rs run --bundle "$w" a)" 0027
    mkdir -p "$w/vol"; echo content > "$w/vol/f"
    config /bin/sh -c 'cat /mnt/f; echo new > /mnt/g'; edit "c['mounts'].append({'destination': '/mnt', 'type': 'bind', 'source': '$w/vol', 'options': ['rbind', 'rw']})"
    is "$(rs run --bundle "$w" a)" content
    is "$(cat "$w/vol/g")" new
    config /bin/sh -c 'echo x > /mnt/h'; edit "c['mounts'].append({'destination': '/mnt', 'type': 'bind', 'source': '$w/vol', 'options': ['rbind', 'ro']})"
    rs run --bundle "$w" a > /dev/null 2>&1; is $? 1
    config /bin/cat /proc/sys/kernel/hostname; edit 'c["hostname"] = "named"'
    is "$(rs run --bundle "$w" a)" named
    config /bin/sh -c 'grep CapEff /proc/self/status | cut -f2; grep NoNew /proc/self/status | cut -f2'
    edit 'c["process"]["capabilities"] = {k: ["CAP_KILL"] for k in ("bounding", "effective", "permitted")}; c["process"]["noNewPrivileges"] = True'
    is "$(rs run --bundle "$w" a | tr '\n' ' ')" "0000000000000020 1 "
    config /bin/sh -c 'cat /proc/version | wc -c; ls /sys | wc -l'; edit 'c["linux"]["maskedPaths"] = ["/proc/version", "/sys"]'
    is "$(rs run --bundle "$w" a | tr '\n' ' ')" "0 0 "
}

case_hooks() {
    local kind
    config /bin/sh -c 'cat /seen-inside'
    cat > "$w/hook" <<HOOK
#!/bin/sh
cat > /dev/null; echo \$1 >> "$w/hooks"
HOOK
    chmod 755 "$w/hook"
    printf '#!/bin/sh\necho "$1 $$ $X $(grep -c \\"created\\")" > /seen-inside\n' > "$w/root/inside"; chmod 755 "$w/root/inside"
    for kind in prestart createRuntime createContainer poststart poststop; do
        edit "c.setdefault('hooks', {})['$kind'] = [{'path': '$w/hook', 'args': ['hook', '$kind']}]"
    done
    edit "c['hooks']['startContainer'] = [{'path': '/inside', 'args': ['inside', 'word'], 'env': ['X=y', 'PATH=/bin']}]"
    is "$(rs run --bundle "$w" a)" "word 2 y 1"
    is "$(tr '\n' ' ' < "$w/hooks")" "prestart createRuntime createContainer poststart poststop "
    edit "c['hooks'] = {'startContainer': [{'path': '/bin/false'}]}"
    like "$(rs run --bundle "$w" a 2>&1)" 'hook #0 \(startContainer\).*exit status 1'
}

case_update() {
    local many='for i in 1 2 3 4 5 6; do sleep 1 & done; wait'
    config /bin/sleep 100; edit 'c["linux"]["resources"] = {"pids": {"limit": 20}}'
    rs run --detach --bundle "$w" a < /dev/null > /dev/null 2>&1
    is "$(rs exec a sh -c "$many" 2>&1)" ""
    rs update --pids-limit 5 a; is $? 0
    like "$(rs exec a sh -c "$many" 2>&1)" 'fork'
    echo '{"pids": {"limit": -1}}' | rs update --resources - a; is $? 0
    is "$(rs exec a sh -c "$many" 2>&1)" ""
    rs delete --force a
}

case_ignore_cgroups() {
    config /bin/sleep 100; edit 'c["linux"]["resources"] = {"memory": {"limit": 1 << 28}}'
    rs --ignore-cgroups=true --network=none run --detach --bundle "$w" a < /dev/null > /dev/null 2>&1; is $? 0
    grep -q "runsc-test-$$" "/proc/$(rs list --format json | python3 -c 'import json,sys; print(json.load(sys.stdin)[0]["pid"])')/cgroup" && fail "in a cgroup"
    is "$(rs exec a echo in)" in
    rs --ignore-cgroups delete --force a; is $? 0
}

case_namespaces() {
    config /bin/true; edit 'c["linux"]["namespaces"] = [dict(n, path="/proc/self/ns/pid") if n["type"] == "pid" else n for n in c["linux"]["namespaces"]]'
    like "$(rs run --bundle "$w" a 2>&1)" 'is not the pid namespace of a container'
}

# has_ended PID: gone, or a zombie that nobody has reaped yet.
has_ended() { ! grep -q '^State:[[:space:]]*[^Z]' "/proc/$1/status" 2> /dev/null; }

# A second container among the processes of the first: one kernel, two of everything else.
case_joins() {
    config /bin/sh -c 'hostname; exec sleep 300'; edit 'c["hostname"] = "first"'
    rs run --detach --bundle "$w" a > "$w/o" 2>&1; is $? 0
    local pid b
    pid=$(rs state a | python3 -c 'import json,sys; print(json.load(sys.stdin)["pid"])')
    config /bin/sh -c 'echo $$ > /number; exec sleep 200'
    edit 'c["hostname"] = "second"; c["linux"]["cgroupsPath"] += "-b"; c["linux"]["namespaces"] = [dict(n, path="/proc/'"$pid"'/ns/pid") if n["type"] == "pid" else n for n in c["linux"]["namespaces"]]'
    rs run --detach --bundle "$w" --pid-file "$w/pid" b > "$w/p" 2>&1; is $? 0
    is_status b running
    is "$(rs exec b hostname)" second
    like "$(rs exec b ps -o args | tr '\n' ' ')" 'sleep 300.*sleep 200'
    like "$(rs ps b | tr '\n' ' ')" 'sleep'
    [ "$(rs ps b | grep -c sleep)" = 1 ] || fail "it counts the other's"
    b=$(cat "$w/pid")
    rs exec a kill -TERM "$(cat "$w/root/number")"; until_ is_status b stopped
    is_status a running
    rs delete b; is $? 0
    rs run --detach --bundle "$w" c > "$w/p" 2>&1; is $? 0
    rs kill a KILL; until_ is_status a stopped; until_ is_status c stopped
    rs delete a; rs delete c; is $? 0
    until_ has_ended "$b"
}

case_files() {
    config /bin/sh -c 'echo made > /made; rm /etc/group; chmod 600 /etc/passwd; ln -s x /link; mkfifo /fifo'
    rs run --bundle "$w" a; is $? 0
    is "$(cat "$w/root/made")" made
    [ ! -e "$w/root/etc/group" ] || fail "not removed"
    is "$(stat -c %a "$w/root/etc/passwd")" 600
    is "$(readlink "$w/root/link")" x
    [ -p "$w/root/fifo" ] || fail "no FIFO"
    config /bin/sh -c 'cat /made; until [ -e /seen ]; do sleep 0.05; done; cat /seen'
    rs run --bundle "$w" a > "$w/o" & local p=$!
    until_ is_status a running; sleep 0.3; echo from host > "$w/root/seen"; wait $p
    is "$(tr '\n' ' ' < "$w/o")" "made from host "
}

case_spec() {
    mkdir "$w/s"; rs spec --bundle "$w/s"; is $? 0
    python3 -c "import json; c=json.load(open('$w/s/config.json')); assert c['process']['args'] and c['root']['path']" || fail "no config"
    rs spec --bundle "$w/s" > /dev/null 2>&1; [ $? != 0 ] || fail "written over"
    like "$(rs --version)" 'runsc'
    rs --help > /dev/null; is $? 0
}

case_do() {
    is "$(rs do -- /bin/echo done)" done
    rs do -- /bin/sh -c 'exit 4'; is $? 4
    rs do -- /bin/sh -c 'echo x > /runsc-do-was-here'; [ ! -e /runsc-do-was-here ] || fail "wrote to the host"
}

case_seccomp() {
    profile() { edit "c['linux']['seccomp'] = {'defaultAction': 'SCMP_ACT_ALLOW', 'architectures': ['SCMP_ARCH_X86_64'], 'syscalls': $1}"; }
    config /bin/sh -c 'grep Seccomp: /proc/self/status; mkdir /tmp/x 2>&1; sync; echo $?'
    profile "[{'names': ['mkdir', 'no_such_call'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 75}, {'names': ['sync'], 'action': 'SCMP_ACT_KILL_PROCESS'}]"
    is "$(rs run --bundle "$w" a 2>/dev/null | tr '\n\t' '  ')" "Seccomp: 2 mkdir: can't create directory '/tmp/x': Value too large for defined data type 159 "
    config /bin/sleep 20
    profile "[{'names': ['mkdir'], 'action': 'SCMP_ACT_ERRNO'}]"
    rs run --bundle "$w" --detach a
    is "$(rs exec a /bin/sh -c 'mkdir /tmp/x 2>&1; grep Seccomp_filters /proc/self/status' | tr '\n\t' '  ')" "mkdir: can't create directory '/tmp/x': Operation not permitted Seccomp_filters: 1 "
    rs delete --force a
    config /bin/true
    profile "[{'names': ['mkdir'], 'action': 'SCMP_ACT_NOTIFY'}]"
    like "$(rs run --bundle "$w" a 2>&1)" 'SCMP_ACT_NOTIFY'
}

case_strace() {
    config /bin/sh -c 'cat /etc/passwd > /dev/null; cat /none; /bin/busybox head -n 1 /etc/passwd; true'
    timeout 30 "$runsc" --root "$w/state" --strace run --bundle "$w" a > "$w/o" 2>&1
    grep -qE 'openat\(AT_FDCWD, "/etc/passwd", O_RDONLY.*\) += [0-9]' "$w/o" || fail "no openat line"
    grep -qE '"/none".*= -1 ENOENT' "$w/o" || fail "no ENOENT line"
    grep -qE 'execve\("/bin/busybox", \["/bin/busybox", "head", "-n", "1", "/etc/passwd"\], 0x[0-9a-f]+ /\* [0-9]+ vars? \*/' "$w/o" ||
        fail "no execve line"
    grep -qE '\([0-9], "root:' "$w/o" || fail "no text of a buffer"
    grep -qE 'WIFEXITED\(s\) && WEXITSTATUS\(s\) == 0' "$w/o" || fail "no status of a child"
}

case_install() {
    local client file
    for client in docker containerd podman; do
        file=$w/$client
        rs install --client "$client" --config-file "$file" --runtime mine --default > /dev/null; is $? 0
        grep -q "$runsc" "$file" || fail "$client: the program is not named"
        cp "$file" "$w/first"
        rs install --client "$client" --config-file "$file" --runtime mine > /dev/null; is $? 0
        cmp -s "$w/first" "$file" || fail "$client: not the same when done again"
        like "$(rs install --client "$client" --config-file "$file" --runtime mine --path /bin/true 2>&1)" '--clobber'
        rs install --client "$client" --config-file "$file" --runtime mine --path /bin/true --clobber > /dev/null; is $? 0
        grep -q "$runsc" "$file" && fail "$client: the old program is still named"
        rs uninstall --client "$client" --config-file "$file" --runtime mine > /dev/null; is $? 0
        grep -q mine "$file" && fail "$client: something is left"
        like "$(rs uninstall --client "$client" --config-file "$file" --runtime mine)" 'no runtime mine'
    done
    file=$w/shim
    like "$(rs install --client containerd --config-file "$file" --runtime mine --shim)" 'io.containerd.runsc.v1'
    grep -q 'runtime_type = "io.containerd.runsc.v1"' "$file" || fail "the shim is not named"
    like "$(rs install --client docker --config-file "$file" --shim 2>&1)" 'for containerd only'
    echo '{' > "$w/bad"
    like "$(rs install --config-file "$w/bad" 2>&1)" "install failed: $w/bad"
    is "$(cat "$w/bad")" '{'
}

case_profile() {
    config /bin/sh -c 'for i in 1 2 3; do cat /etc/passwd > /dev/null; done'
    timeout 30 "$runsc" --root "$w/state" --profile "$w/p" run --bundle "$w" a; is $? 0
    grep -qE '^call +stops +total ms +guest +decode +handler +memory +gofer +resume +after$' "$w/p" || fail "no head"
    grep -qE '^openat +[1-9][0-9]* ' "$w/p" || fail "no openat"
    grep -qE '^execve +[34] ' "$w/p" || fail "not three programs"
}

case_doctor() {
    local out
    out=$(rs doctor); is $? 0
    like "$out" 'ok +trial'
    like "$out" 'ok +platform'
    rs doctor --format json | python3 -c 'import json,sys; all=json.load(sys.stdin); assert all[-1]["status"] == "ok", all' ||
        fail "no JSON"
}

# What must not be left: processes, mounts, state.
leftovers() {
    local i
    for ((i = 0; i < 60; i++)); do
        pgrep -f -- "--root $w/state" > /dev/null || break
        sleep 0.05
    done
    pgrep -af -- "--root $w/state" && fail "processes are left"
    grep -q " $w" /proc/self/mounts && fail "mounts are left"
    [ -z "$(ls -A "$w/state" 2>/dev/null | grep -v lock)" ] || fail "state is left: $(ls -A "$w/state")"
}

all=0 failed=0
[ $# -gt 0 ] || set -- $(declare -F | sed -n 's/^declare -f case_//p')
for name in "$@"; do
    w=$(mktemp -d "${TMPDIR:-/tmp}/runsc-oci.XXXXXX")
    chmod 755 "$w"
    all=$((all + 1)) bad=0
    "case_$name"
    leftovers
    for id in $(rs list -q 2>/dev/null); do rs delete --force "$id"; done
    rm -rf "$w"
    if [ $bad = 0 ]; then echo "PASS $name"; else echo "FAIL $name"; failed=$((failed + 1)); fi
done
[ $all -gt 1 ] && echo "$((all - failed)) of $all passed"
[ $failed = 0 ]
