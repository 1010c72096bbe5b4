/* wire.c: joins two links by hand, as a wire with faults.
 *
 *   wire LINK-A LINK-B LOSS DELAY SEED [REORDER]
 *
 * Moves frames between the links. LOSS in a thousand are lost; each is held for DELAY ms;
 * REORDER in a thousand are not held at all and so overtake the others. What `tc netem`
 * does, for hosts without it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define FRAME 2048
#define HELD 16384

struct held { double due; int len; unsigned char bytes[FRAME]; };
/* Frames of one direction: a ring in order of their times, which grow. */
struct way { struct held *ring; unsigned from, to; int out; };

static uint64_t state;
static unsigned dice(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 20) % 1000;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int opened(const char *link) {
    int one = 1, size = 16 << 20, s = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL));
    struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    a.sll_ifindex = if_nametoindex(link);
    setsockopt(s, SOL_PACKET, 23 /* PACKET_IGNORE_OUTGOING */, &one, sizeof one);
    setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    if (s < 0 || bind(s, (void *)&a, sizeof a)) {
        perror(link);
        exit(1);
    }
    return s;
}

static void push(int fd, const void *frame, int len) {
    while (send(fd, frame, len, 0) < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
        struct pollfd p = {fd, POLLOUT, 0};
        poll(&p, 1, 1);
    }
}

int main(int argc, char **argv) {
    if (argc < 6) return 2;
    unsigned loss = atoi(argv[3]), reorder = argc > 6 ? atoi(argv[6]) : 0;
    double delay = atof(argv[4]) / 1000;
    int in[2] = {opened(argv[1]), opened(argv[2])};
    struct way ways[2];
    state = 0x9e3779b97f4a7c15ull ^ strtoull(argv[5], 0, 10);
    for (int i = 0; i < 2; i++)
        ways[i] = (struct way){calloc(HELD, sizeof(struct held)), 0, 0, in[1 - i]};
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct pollfd p[2] = {{in[0], POLLIN, 0}, {in[1], POLLIN, 0}};
        double t = now(), wait = -1;
        for (int i = 0; i < 2; i++) {
            struct way *w = &ways[i];
            while (w->from != w->to && w->ring[w->from % HELD].due <= t) {
                struct held *h = &w->ring[w->from++ % HELD];
                push(w->out, h->bytes, h->len);
            }
            if (w->from != w->to) {
                double left = w->ring[w->from % HELD].due - t;
                if (wait < 0 || left < wait) wait = left;
            }
        }
        struct timespec ts = {(time_t)wait, (long)((wait - (time_t)wait) * 1e9)};
        ppoll(p, 2, wait < 0 ? NULL : &ts, NULL);
        for (int i = 0; i < 2; i++) {
            struct way *w = &ways[i];
            for (int n = 0; n < 64 && p[i].revents; n++) {
                if (w->to - w->from == HELD) break;
                struct held *h = &w->ring[w->to % HELD];
                h->len = recv(in[i], h->bytes, FRAME, MSG_TRUNC);
                if (h->len < 0) break;
                if (h->len > FRAME || dice() < loss) continue;
                if (delay == 0 || dice() < reorder) {
                    push(w->out, h->bytes, h->len);
                    continue;
                }
                h->due = now() + delay;
                w->to++;
            }
        }
    }
}
