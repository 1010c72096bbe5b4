"""wire.py LINK-A LINK-B LOSS DELAY-MS SEED: joins two links by hand.

Moves frames between the links, losing LOSS in a thousand and holding each for DELAY-MS: what
`tc netem` does, for hosts without it.
"""
import heapq, random, select, socket, sys, time

def opened(link):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.setsockopt(263, 23, 1)
    s.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)
    s.bind((link, 3))
    s.setblocking(False)
    return s

def main():
    a, b, loss, delay, seed = sys.argv[1:]
    loss, delay, rng = int(loss), int(delay) / 1000, random.Random(int(seed))
    ends = [opened(a), opened(b)]
    waits, serial = [], 0
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        while waits and waits[0][0] <= now:
            _, _, to, frame = heapq.heappop(waits)
            try:
                ends[to].send(frame)
            except OSError:
                pass
        left = max(0, waits[0][0] - now) if waits else None
        ready, _, _ = select.select(ends, [], [], left)
        for s in ready:
            to = 1 - ends.index(s)
            for _ in range(64):
                try:
                    frame = s.recv(70000)
                except BlockingIOError:
                    break
                if rng.randrange(1000) < loss:
                    continue
                serial += 1
                heapq.heappush(waits, (time.monotonic() + delay, serial, to, frame))

main()
