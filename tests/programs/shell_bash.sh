# bash: pipes, traps, jobs, here-documents, substitutions, arithmetic, arrays.
echo "version ok: $((BASH_VERSINFO[0] >= 5))"
seq 1 1000 | grep 7 | sort -rn | head -3 | tr '\n' ' '; echo
cat <<END | while read -r a b; do echo "$b-$a"; done
one two
three four
END
cat <<<"here string"
trap 'echo got USR1' USR1
kill -USR1 $$
(trap 'echo sub term; exit 9' TERM; kill -TERM $BASHPID; sleep 5); echo "sub $?"
for i in 1 2 3 4; do (sleep 0.$i; exit "$i") & pids[i]=$!; done
for i in 4 2 1 3; do wait "${pids[i]}"; echo "job $i: $?"; done
sleep 100 & p=$!; kill $p; wait $p; echo "killed $?"
diff <(printf 'a\nb\n') <(printf 'a\nc\n'); echo "diff $?"
declare -A m=([x]=1 [y]=2); for k in x y; do echo "$k=${m[$k]}"; done
f() { local IFS=,; echo "$*"; }; f a b c
set -o pipefail; false | true; echo "pipefail $?"
coproc cat; echo coproc >&"${COPROC[1]}"; read -r l <&"${COPROC[0]}"; echo "$l"
exec {COPROC[1]}>&-; wait
x=$(echo nested "$(echo deep)"); echo "$x"
set -m; sleep 0.2 & jobs | sed 's/+.*Running/ Running/'; wait; set +m
printf '%s\n' {a..e}{1..2} | wc -l
read -r -t 0.1 line < <(sleep 1); echo "read timed out: $(($? > 128))"
mkfifo /tmp/ff; echo through fifo > /tmp/ff & cat /tmp/ff; wait
[[ abc =~ ^a(.)c$ ]] && echo "${BASH_REMATCH[1]}"
ulimit -n
trap 'echo leaving' EXIT
nosuchcommand 2>/dev/null; echo "not found $?"
/etc/passwd 2>/dev/null; echo "not executable $?"
