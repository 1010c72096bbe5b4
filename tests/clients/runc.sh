#!/bin/bash
# runc.sh: the integration tests of runc 1.1.5 (Debian's source package), run against this
# runtime.
#
#   tests/clients/runc.sh [-u] [FILE...]       FILE as exec.bats; all that can run without
#
#   -u     write the outcome to runc.expect instead of comparing
#
# Left out are checkpoints, sshfs, delegation of cgroups (version 2 and systemd) and the
# notifications of seccomp, which need an agent of runc's. runc.expect holds the tests that do
# not pass, NAME fail|skip. RUNSC as for tests/diff/run.sh. Must be run by root.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
. "$here/lib.sh"
update=
[ "${1:-}" = -u ] && { update=1; shift; }
begin runc bats=bats jq=jq gawk=gawk gcc=gcc
source=$(debian_source runc 1.1.5) || exit 2
small=$("$top/scripts/make-rootfs" small) && debian=$("$top/scripts/make-rootfs" debian) || exit 2

cp -r "$source" "$work/runc"
tests=$work/runc/tests/integration
mkdir -p "$work/bin" "$work/runc/contrib/cmd/recvtty" "$tests/testdata"
gcc -O1 -o "$work/runc/contrib/cmd/recvtty/recvtty" "$here/recvtty.c" || exit 2
printf '#!/bin/sh\necho amd64\n' > "$work/bin/go"
chmod 755 "$work/bin/go"
tar -C "$small" -cf "$tests/testdata/busybox-amd64.tar.xz" --exclude ./proc --exclude ./sys .
# One test uses it, for its linker's configuration.
tar -C "$debian" -cf "$tests/testdata/debian-amd64.tar.xz" --exclude ./usr/share \
    --exclude ./usr/lib/jvm --exclude ./usr/lib/gcc --exclude ./usr/lib/git-core \
    --exclude ./usr/include --exclude ./usr/lib/python3 --exclude ./usr/sbin/runc .
export PATH=$work/bin:$PATH RUNC=$runsc
cd "$tests" || exit 2
[ $# -gt 0 ] || set -- $(ls ./*.bats | sed 's|^\./||' |
    grep -vE '^(checkpoint|mounts_sshfs|cgroup_delegation|seccomp-notify.*)\.bats$')
out=$work/out
for file in "$@"; do
    # Without a terminal many tests have none to give.
    timeout -k 5 150 script -qec "bats -t $file" /dev/null < /dev/null > "$file.log" 2>&1
    tap "$file.log" "${file%.bats}: "
done | tee "$out"
outcome runc "$out" "$here/runc.expect" "$update"
