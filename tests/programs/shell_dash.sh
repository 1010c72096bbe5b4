# dash and busybox sh run the same script.
cat > /tmp/s.sh <<'END'
i=0
while [ $i -lt 200 ]; do i=$((i + 1)); done; echo $i
seq 5 | while read -r n; do printf '%s,' "$n"; done; echo
cat <<X
here $((6 * 7))
X
trap 'echo trapped' INT
kill -INT $$
trap - INT
(exit 3); echo $?
a=$(echo x | sed s/x/y/); echo "$a"
for f in 1 2 3; do sleep 0.05 & done; wait; echo waited
{ echo out; echo err >&2; } 2>&1 | sort
set -- a b c; shift; echo "$1 $#"
echo "$PWD" | tr / :
test -d /proc && echo proc
sh -c 'kill -9 $$'; echo "killed $?"
eval "echo evaluated"
umask
END
for sh in "dash" "busybox sh"; do echo "== $sh"; $sh /tmp/s.sh; done
busybox ls / | busybox sort | busybox head -3
busybox seq 100 | busybox awk '{s+=$1} END {print s}'
busybox find /etc -name 'passwd*' | busybox sort
echo hello | busybox gzip | busybox gunzip
busybox md5sum /etc/passwd | busybox wc -w
