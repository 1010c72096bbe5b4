#!/bin/bash
# crun.sh: the tests of crun 1.8.1 (Debian's source package), run against this runtime.
#
#   tests/clients/crun.sh [-u] [FILE...]       FILE as test_exec.py; all without
#
#   -u     write the outcome to crun.expect instead of comparing
#
# crun.expect holds the tests that do not pass, NAME fail|skip. RUNSC as for tests/diff/run.sh.
# Needs apt-get, python3 and gcc; must be run by root.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
. "$here/lib.sh"
update=
[ "${1:-}" = -u ] && { update=1; shift; }
begin crun python3=python3 gcc=gcc
source=$(debian_source crun 1.8.1) || exit 2

cp -r "$source/tests" "$work/tests"
cd "$work/tests" || exit 2
: > config.h
gcc -O1 -I. -static -o init init.c 2> /dev/null || exit 2
[ $# -gt 0 ] || set -- test_*.py
export OCI_RUNTIME=$runsc INIT=$PWD/init
out=$work/out
for file in "$@"; do
    # Some tests want a terminal.
    timeout -k 5 120 script -qec "python3 $file" /dev/null < /dev/null > "$file.log" 2>&1
    tap "$file.log" "${file%.py}:"
done | tee "$out"
outcome crun "$out" "$here/crun.expect" "$update"
