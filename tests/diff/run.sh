#!/bin/bash
# run.sh: run differential programs natively and in the sandbox and compare.
#
#   tests/diff/run.sh [-n] [-k] [-r N] [NAME[@PLACE]...]
#
# NAME is a program of tests/diff without .c; without a name all are run. PLACE is
# where it works: root (the container's root file system) or shm (a tmpfs); fs_*
# programs run in both, the others in root.
#
#   -n     only natively, printing what the program prints
#   -s     only in the sandbox, printing what the program prints
#   -r N   only natively, N times: says whether it is deterministic
#   -k     keep the work directory and say where it is
#
# RUNSC           the runsc to test (default target/release/runsc, then debug)
# RUNSC_PLATFORM  passed as --platform
# RUNSC_FLAGS     further global flags of runsc
#
# Differences known and accepted stand in known.txt with a reason: NAME@PLACE REASON.
# An entry that passes is an error too, so that the list only shrinks.
# Exit status: 0 when all is as expected.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
build=${DIFF_BUILD:-$top/target/diff}
native_only= sandbox_only= repeat= keep=
while getopts nsr:kh o; do
    case $o in
        n) native_only=1 ;;
        s) sandbox_only=1 ;;
        r) repeat=$OPTARG ;;
        k) keep=1 ;;
        *) sed -n '2,/^set -/s/^# \{0,1\}//p' "$0" | sed '/^set -/d'; exit 2 ;;
    esac
done
shift $((OPTIND - 1))

runsc=${RUNSC:-}
if [ -z "$runsc" ]; then
    for runsc in "$top/target/release/runsc" "$top/target/debug/runsc"; do
        [ -x "$runsc" ] && break
    done
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/runsc-diff.XXXXXX")
trap '[ -n "$keep" ] && echo "work directory: $work" || rm -rf "$work"' EXIT

# newer: compile unless the product is newer than its sources.
compile() { # OUT SOURCE
    if [ ! -x "$1" ] || [ "$2" -nt "$1" ] || [ "$top/tests/lib/diff.h" -nt "$1" ]; then
        mkdir -p "$build"
        gcc -O1 -g -static -pthread -Wall -Wno-unused-result -Wno-nonnull -Wno-array-bounds \
            -Wno-stringop-overflow -Wno-stringop-overread -Wno-infinite-recursion -Wno-format-truncation \
            -I"$top/tests/lib" -o "$1.$$" "$2" && mv "$1.$$" "$1"
    fi
}

# A fresh root for one run of one program.
make_root() { # DIR NAME
    mkdir -p "$1"/{bin,t,proc,dev,sys,etc,root,scratch} && mkdir -m 1777 "$1/tmp"
    cp "$(command -v busybox)" "$1/bin/busybox"
    for a in sh cat echo true false sleep ls; do ln -s busybox "$1/bin/$a"; done
    cp "$build/$2" "$1/t/$2"
    printf 'root:x:0:0:root:/root:/bin/sh\n' > "$1/etc/passwd"
    printf 'root:x:0:\n' > "$1/etc/group"
}

bundle() { # DIR CWD PROGRAM
    local caps='["CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FSETID","CAP_FOWNER","CAP_MKNOD","CAP_NET_RAW","CAP_SETGID","CAP_SETUID","CAP_SETFCAP","CAP_SETPCAP","CAP_NET_BIND_SERVICE","CAP_SYS_CHROOT","CAP_KILL","CAP_AUDIT_WRITE"]'
    cat > "$1/config.json" <<JSON
{"ociVersion": "1.0.2",
 "process": {"terminal": false, "user": {"uid": 0, "gid": 0}, "args": ["$3"], "cwd": "$2",
  "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C"],
  "capabilities": {"bounding": $caps, "effective": $caps, "permitted": $caps},
  "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}, {"type": "RLIMIT_CORE", "hard": 0, "soft": 0},
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

place_dir() { [ "$1" = shm ] && echo /dev/shm || echo /scratch; }

# finish STATUS OUT: what a run leaves to compare.
finish() { echo "exit status $1" >> "$2"; }

run_native() { # NAME PLACE OUT
    local d; d=$(mktemp -d "$work/n.XXXXXX"); chmod 755 "$d"
    make_root "$d/root" "$1"
    timeout 40 "$build/native" "$d/root" "$(place_dir "$2")" "/t/$1" < /dev/null > "$3" 2>&1
    finish $? "$3"
    rm -rf "$d"
}

run_sandbox() { # NAME PLACE OUT
    local d id; d=$(mktemp -d "$work/s.XXXXXX"); chmod 755 "$d"
    id=diff-$1-$2-$$
    make_root "$d/root" "$1"
    bundle "$d" "$(place_dir "$2")" "/t/$1"
    timeout -k 5 60 "$runsc" --root "$d/state" ${RUNSC_PLATFORM:+--platform "$RUNSC_PLATFORM"} ${RUNSC_FLAGS:-} \
        run --bundle "$d" "$id" < /dev/null > "$3" 2>&1
    finish $? "$3"
    timeout 10 "$runsc" --root "$d/state" delete --force "$id" > /dev/null 2>&1
    rm -rf "$d"
}

known() { grep -q "^$1@$2 " "$here/known.txt" 2>/dev/null; }

one() { # NAME PLACE
    local n=$work/$1.$2.native s=$work/$1.$2.sandbox
    compile "$build/$1" "$here/$1.c" || { echo "FAIL $1@$2: does not compile"; return 1; }
    if [ -n "$sandbox_only" ]; then
        run_sandbox "$1" "$2" "$s"
        cat "$s"
        return 0
    fi
    run_native "$1" "$2" "$n"
    if [ -n "$native_only" ]; then
        cat "$n"
        return 0
    fi
    if [ -n "$repeat" ]; then
        for ((i = 1; i < repeat; i++)); do
            run_native "$1" "$2" "$s"
            if ! diff -u "$n" "$s"; then echo "FAIL $1@$2: differs from itself"; return 1; fi
        done
        if ! grep -qx 'exit status 0' "$n"; then tail -3 "$n"; echo "FAIL $1@$2: status"; return 1; fi
        echo "PASS $1@$2: $repeat runs"
        return 0
    fi
    if ! grep -qx 'exit status 0' "$n"; then
        tail -3 "$n"
        echo "FAIL $1@$2: does not end well natively"
        return 1
    fi
    run_sandbox "$1" "$2" "$s"
    # A timing hiccup of a loaded machine may hit either side: ask native once more.
    if ! cmp -s "$n" "$s"; then run_native "$1" "$2" "$n"; fi
    if diff -u --label "$1@$2 native" --label "$1@$2 sandbox" "$n" "$s" > "$work/diff"; then
        if known "$1" "$2"; then echo "FIXED $1@$2: passes: take it out of known.txt"; return 1; fi
        echo "PASS $1@$2"
    else
        if known "$1" "$2"; then echo "KNOWN $1@$2: $(sed -n "s/^$1@$2 //p" "$here/known.txt")"; return 0; fi
        cat "$work/diff"
        echo "FAIL $1@$2"
        return 1
    fi
}

if [ $# -eq 0 ]; then
    for f in "$here"/*.c; do
        set -- "$@" "$(basename "$f" .c)"
    done
fi
[ -n "$native_only$repeat" ] || [ -x "$runsc" ] || { echo "run.sh: no runsc at $runsc: build it, or set RUNSC" >&2; exit 2; }
compile "$build/native" "$top/tests/lib/native.c" || exit 2

bad=0 all=0
for arg in "$@"; do
    name=${arg%@*}
    case $arg in
        *@*) places=${arg##*@} ;;
        fs_*) places="root shm" ;;
        *) places=root ;;
    esac
    for place in $places; do
        all=$((all + 1))
        one "$name" "$place" || bad=$((bad + 1))
    done
done
[ "$all" -gt 1 ] && [ -z "$native_only$sandbox_only" ] && echo "$((all - bad)) of $all as expected"
[ "$bad" = 0 ]
