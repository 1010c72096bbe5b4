#!/bin/bash
# run.sh: run a test suite that others wrote, natively or in the sandbox.
#
#   tests/suites/run.sh [-n] [-u] [-q] [-j N] SUITE [CASE...]
#
# SUITE is a file of this folder without .sh: it says which cases there are and how one
# is run. Each case runs in a fresh container over a fresh overlay of the root,
# with a time limit.
#
#   -n     natively, in a chroot of the same root: what the host kernel makes of it
#   -q     only the quick selection
#   -e     only if the root is there already; else says so and ends with 77
#   -u     write the outcome to SUITE.expect instead of comparing
#   -j N   N cases at a time (default 2)
#
# SUITE.expect holds the cases that do not pass, CASE fail|skip|time, natively (`native`
# in the third column) or only here. The exit status is 0 when every case does at least
# as well as there. The log of each case stays in target/suites/SUITE.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
build=$top/target/diff
world=sandbox update= quick= jobs=2 present=
while getopts nuqej:h o; do
    case $o in
        n) world=native ;;
        u) update=1 ;;
        q) quick=1 ;;
        e) present=--present ;;
        j) jobs=$OPTARG ;;
        *) sed -n '2,/^set -/s/^# \{0,1\}//p' "$0" | sed '/^set -/d'; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
suite=${1:?name a suite}
shift
. "$top/tests/lib/world.sh"
. "$here/$suite.sh"
find_runsc
need_runsc
compile "$build/native" "$top/tests/lib/native.c" || exit 2
if ! root=$("$top/scripts/make-suite-root" $present); then
    [ -z "$present" ] || { echo "SKIP $suite: no root of suites (scripts/make-suite-root)"; exit 77; }
    exit 2
fi
logs=$top/target/suites/$suite.$world
mkdir -p "$logs"

# One case: prints "CASE pass|fail|skip|time".
one() {
    local d log=$logs/${1//\//_} st cmd
    d=$(mktemp -d "${TMPDIR:-/tmp}/runsc-suite.XXXXXX")
    mkdir "$d/root" "$d/rw"
    mount -t tmpfs tmpfs "$d/rw" && mkdir "$d/rw/upper" "$d/rw/work"
    mount -t overlay -o "lowerdir=$root,upperdir=$d/rw/upper,workdir=$d/rw/work" overlay "$d/root"
    cmd=$(case_command "$1")
    "$world" "$d" "${LIMIT:-120}" / /bin/sh -c "$cmd" > "$log" 2>&1
    st=$?
    umount -l "$d/root" "$d/rw"
    rm -rf "$d"
    case $st in
        0) echo "$1 pass" ;;
        124 | 137) echo "$1 time" ;;
        *) echo "$1 $(case_status "$st" "$log")" ;;
    esac
}

if [ $# -eq 0 ]; then
    mapfile -t list < <([ -n "$quick" ] && quick_cases || cases)
    set -- "${list[@]}"
fi
out=$(mktemp)
export -f one native sandbox bundle case_command case_status
export world root logs build runsc LIMIT RUNSC_PLATFORM RUNSC_FLAGS 2>/dev/null
printf '%s\n' "$@" | xargs -P "$jobs" -I{} bash -c 'one "$1"' _ {} | tee "$out"
sort -o "$out" "$out"
printf '%s: %s passed, %s failed, %s skipped, %s out of time, of %s\n' "$suite" \
    "$(grep -c ' pass$' "$out")" "$(grep -c ' fail$' "$out")" "$(grep -c ' skip$' "$out")" \
    "$(grep -c ' time$' "$out")" "$#"
expect=$here/$suite.expect
touch "$expect"
if [ -n "$update" ]; then
    grep -v ' pass$' "$out" > "$expect"
    exit 0
fi
# Worse than expected: not passed and not in the list.
worse=$(grep -v ' pass$' "$out" | grep -vxFf "$expect" || true)
[ -z "$worse" ] || { echo "worse than expected:"; echo "$worse"; exit 1; }
