# python3: threads, subprocess, mmap, signal, sqlite3, tempfile, locks.
cat > /tmp/t.py <<'END'
import mmap, os, queue, select, signal, sqlite3, subprocess, sys, tempfile, threading, time
n, lock = 0, threading.Lock()
def work():
    global n
    for _ in range(2000):
        with lock:
            n += 1
ts = [threading.Thread(target=work) for _ in range(20)]
[t.start() for t in ts]; [t.join() for t in ts]
print("threads", n)
q = queue.Queue()
t = threading.Thread(target=lambda: [q.put(i) for i in range(1000)])
t.start(); print("queue", sum(q.get(timeout=5) for _ in range(1000))); t.join()
ev = threading.Event(); print("timed out", ev.wait(0.05))
p = subprocess.run(["sort"], input="b\na\n", capture_output=True, text=True); print(repr(p.stdout), p.returncode)
p = subprocess.Popen("cat | tr a-z A-Z", shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(p.communicate(b"shell")[0])
try: subprocess.run(["sleep", "9"], timeout=0.2)
except subprocess.TimeoutExpired: print("timeout")
print(subprocess.call(["sh", "-c", "kill -9 $$"]))
try: subprocess.run(["/none"])
except FileNotFoundError as e: print(e.errno)
with tempfile.TemporaryFile() as f:
    f.write(b"x" * 8192); f.flush()
    m = mmap.mmap(f.fileno(), 8192); m[4096:4100] = b"mmap"; m.flush()
    f.seek(4096); print(f.read(4)); m.close()
got = []
signal.signal(signal.SIGUSR1, lambda s, f: got.append(s)); os.kill(os.getpid(), signal.SIGUSR1); time.sleep(0.01)
print("signal", got)
signal.setitimer(signal.ITIMER_REAL, 0.05)
signal.signal(signal.SIGALRM, lambda s, f: got.append("alarm"))
time.sleep(0.2); print(got[-1])
try:
    signal.signal(signal.SIGINT, signal.default_int_handler); os.kill(os.getpid(), signal.SIGINT); time.sleep(1)
except KeyboardInterrupt: print("interrupted")
db = sqlite3.connect("/tmp/x.db"); db.execute("pragma journal_mode=wal")
db.execute("create table t(a integer primary key, b text)")
with db: db.executemany("insert into t(b) values (?)", [("v%d" % i,) for i in range(5000)])
print(db.execute("select count(*), max(b), sum(length(b)) from t").fetchone())
r, w = os.pipe(); pid = os.fork()
if not pid:
    os.write(w, b"child"); os._exit(7)
print(os.read(r, 10), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(select.select([r], [w], [], 0.01)[1] == [w])
print(sorted(os.listdir("/"))[:4], os.uname().sysname, os.path.realpath("/proc/self/exe"))
print(sum(1 for _, _, f in os.walk("/usr/share") for _ in f) > 1000)
END
python3 /tmp/t.py; echo "status $?"
python3 -c 'import sys; sys.exit(5)'; echo "status $?"
python3 -c 'import hashlib; print(hashlib.sha256(b"x" * 10_000_000).hexdigest())'
python3 -m compileall -q /usr/lib/python3*/json >/dev/null; echo "compiled $?"
python3 -c 'import decimal; print(sum(decimal.Decimal(i).sqrt() for i in range(2000)))'
