# world.sh: run a command natively and in the sandbox, for run.sh of diff, programs
# and security. Sourced; needs $top (the repository) and $build (where programs go).

# The runsc to test: $RUNSC, else the release build, else the debug build.
find_runsc() {
    runsc=${RUNSC:-}
    [ -n "$runsc" ] && return
    for runsc in "$top/target/release/runsc" "$top/target/debug/runsc"; do
        [ -x "$runsc" ] && return
    done
}

need_runsc() {
    [ -x "$runsc" ] || { echo "no runsc at $runsc: build it (cargo build --release -p runsc) or set RUNSC" >&2; exit 2; }
}

# compile OUT SOURCE: unless the product is newer than its source and the headers there are.
compile() {
    if [ ! -x "$1" ] || [ "$2" -nt "$1" ] ||
        [ -n "$(find "$top/tests/lib" "${2%/*}" -maxdepth 1 -name '*.h' -newer "$1" -print -quit)" ]; then
        mkdir -p "$build"
        gcc -O1 -g -static -pthread -Wall -Wno-unused-result -Wno-nonnull -Wno-array-bounds \
            -Wno-stringop-overflow -Wno-stringop-overread -Wno-infinite-recursion -Wno-format-truncation \
            -I"$top/tests/lib" -o "$1.$$" "$2" && mv "$1.$$" "$1"
    fi
}

# All capabilities but CAP_SYS_RESOURCE, which hosts may lack: WORLD_CAPS=all.
all_caps=$(printf '"CAP_%s",' CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP \
    LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE \
    SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_TIME SYS_TTY_CONFIG \
    MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM \
    BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE)
export all_caps="[${all_caps%,}]"

# bundle DIR CWD ARG...: write DIR/config.json for the root DIR/root. Capabilities and
# limits are those that tests/lib/native.c gives.
bundle() {
    local dir=$1 cwd=$2 args='' a
    local caps='["CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FSETID","CAP_FOWNER","CAP_MKNOD","CAP_NET_RAW","CAP_SETGID","CAP_SETUID","CAP_SETFCAP","CAP_SETPCAP","CAP_NET_BIND_SERVICE","CAP_SYS_CHROOT","CAP_KILL","CAP_AUDIT_WRITE"]'
    shift 2
    [ "${WORLD_CAPS:-}" != all ] || caps=$all_caps
    for a in "$@"; do
        a=${a//\\/\\\\}
        a=${a//\"/\\\"}
        args=$args${args:+,}\"$a\"
    done
    cat > "$dir/config.json" <<JSON
{"ociVersion": "1.0.2",
 "process": {"terminal": false, "user": {"uid": 0, "gid": 0}, "args": [$args], "cwd": "$cwd",
  "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C"],
  "capabilities": {"bounding": $caps, "effective": $caps, "permitted": $caps},
  "rlimits": [{"type": "RLIMIT_NOFILE", "hard": ${WORLD_NOFILE:-1024}, "soft": ${WORLD_NOFILE:-1024}}, {"type": "RLIMIT_CORE", "hard": 0, "soft": 0},
   {"type": "RLIMIT_NPROC", "hard": 4096, "soft": 4096}, {"type": "RLIMIT_MEMLOCK", "hard": 8388608, "soft": 8388608}],
  "noNewPrivileges": false},
 "root": {"path": "root", "readonly": false},
 "hostname": "diff",
 "mounts": [
  {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
  {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
  {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
  {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
  {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
  {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]}],
 "linux": {"namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]}}
JSON
}

# native DIR LIMIT CWD ARG...: in the root DIR/root on the host kernel.
native() {
    local dir=$1 limit=$2
    shift 2
    timeout -k 5 "$limit" "$build/native" "$dir/root" "$@" < /dev/null
}

# sandbox DIR LIMIT CWD ARG...: the same in a container.
sandbox() {
    local dir=$1 limit=$2 id st
    shift 2
    id=test-$$-$RANDOM
    bundle "$dir" "$@"
    timeout -k 5 "$limit" "$runsc" --root "$dir/state" ${RUNSC_PLATFORM:+--platform "$RUNSC_PLATFORM"} ${RUNSC_FLAGS:-} \
        run --bundle "$dir" "$id" < /dev/null
    st=$?
    timeout 10 "$runsc" --root "$dir/state" delete --force "$id" > /dev/null 2>&1
    return $st
}

# known NAME: the reason in $here/known.txt, or for a platform in $here/known-PLATFORM.txt, why
# this case may differ; fails when there is none.
known() {
    local f
    for f in "$here/known.txt" "$here/known-${RUNSC_PLATFORM:-}.txt"; do
        sed -n "s|^$1 ||p" "$f" 2>/dev/null
    done | grep .
}

# verdict NAME NATIVE SANDBOX: compare two outputs, print the difference and what it means.
verdict() {
    local why
    if diff -u --label "$1 native" --label "$1 sandbox" "$2" "$3" > "$work/diff"; then
        if known "$1" > /dev/null; then echo "FIXED $1: passes: take it out of known.txt"; return 1; fi
        echo "PASS $1"
    elif why=$(known "$1"); then
        echo "KNOWN $1: $why"
    else
        cat "$work/diff"
        echo "FAIL $1"
        return 1
    fi
}
