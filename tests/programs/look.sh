# What programs look at: ps, top, free, mounts, users, devices.
ps -e -o pid,comm | head -2
ps -o ppid= -p $$ | tr -d ' '
top -b -n1 | head -1 | grep -c 'load average'
free | head -1 | tr -s ' '
free | awk 'NR == 2 {print ($2 > 0 && $3 <= $2)}'
uptime | grep -c load
pgrep -x bash | head -1
df / | wc -l; df /dev | tail -1 | awk '{print $1}'
mount | grep -c ' on /proc type proc'
id; hostname; uname -s; uname -m; nproc | grep -c .
ls -l /dev/null /dev/zero | cut -c1-10
stat -c '%F %a' /dev/null /tmp /proc /etc/passwd
tty; stty 2>&1 | head -1
getent passwd root; getconf PAGESIZE
date -u -d @0; TZ=UTC date +%Z
env | sort | grep -v '^_'
dd if=/dev/zero of=/tmp/z bs=1M count=20 2>/dev/null; stat -c %s /tmp/z
dd if=/dev/urandom bs=4096 count=10 2>/dev/null | wc -c
timeout 0.2 sleep 5; echo "timeout $?"
nice -n 5 nice; ulimit -a | wc -l
script -qc 'tty | cut -c1-9' /dev/null < /dev/null | tr -d '\r'
