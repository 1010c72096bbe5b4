# python3: multiprocessing and asyncio.
cat > /tmp/m.py <<'END'
import multiprocessing as mp, os, time
def sq(x): return x * x
def put(q, i): q.put(i)
def count(v):
    for _ in range(300):
        with v.get_lock(): v.value += 1
if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        ctx = mp.get_context(method)
        with ctx.Pool(4) as p: print(method, sum(p.map(sq, range(200))))
    q = mp.Queue(); ps = [mp.Process(target=put, args=(q, i)) for i in range(8)]
    [p.start() for p in ps]; print(sorted(q.get() for _ in ps)); [p.join() for p in ps]
    v = mp.Value("i", 0); ps = [mp.Process(target=count, args=(v,)) for _ in range(4)]
    [p.start() for p in ps]; [p.join() for p in ps]; print(v.value, [p.exitcode for p in ps])
    a, b = mp.Pipe(); p = mp.Process(target=lambda c: c.send(os.getppid() > 0), args=(b,)); p.start(); print(a.recv()); p.join()
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
    with ProcessPoolExecutor(3) as e: print(list(e.map(sq, range(6))))
    with ThreadPoolExecutor(8) as e: print(sum(e.map(sq, range(500))))
    from multiprocessing import shared_memory
    s = shared_memory.SharedMemory(create=True, size=4096); s.buf[0] = 9; o = shared_memory.SharedMemory(s.name); print(o.buf[0]); o.close(); s.close(); s.unlink()
END
python3 /tmp/m.py; echo "status $?"
cat > /tmp/a.py <<'END'
import asyncio, os, signal, socket, threading
async def main():
    order = []
    async def late(n, d): await asyncio.sleep(d); order.append(n)
    await asyncio.gather(late(3, .15), late(1, .05), late(2, .1)); print(order)
    p = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    out, _ = await p.communicate(b"piped"); print(out, p.returncode)
    ps = await asyncio.gather(*(asyncio.create_subprocess_shell(f"sleep 0.0{i}; exit {i}") for i in range(5)))
    print(await asyncio.gather(*(p.wait() for p in ps)))
    try: await asyncio.wait_for(asyncio.sleep(9), 0.05)
    except asyncio.TimeoutError: print("timeout")
    async def serve(r, w):
        w.write((await r.readline()).upper()); await w.drain(); w.close()
    s = await asyncio.start_unix_server(serve, "/tmp/sock")
    async def ask(i):
        r, w = await asyncio.open_unix_connection("/tmp/sock"); w.write(b"hello %d\n" % i)
        return (await r.read()).decode().strip()
    print(sorted(await asyncio.gather(*(ask(i) for i in range(20))))[-1]); s.close()
    loop, got = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, got.set); os.kill(os.getpid(), signal.SIGUSR1); await asyncio.wait_for(got.wait(), 2); print("signal")
    r, w = os.pipe(); rd = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(rd), os.fdopen(r, "rb"))
    threading.Timer(0.05, lambda: os.write(w, b"from thread\n")).start(); print(await rd.readline())
    print(await asyncio.to_thread(sum, range(1000)))
asyncio.run(main())
END
python3 /tmp/a.py; echo "status $?"
