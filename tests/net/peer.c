/* peer.c: one end of a network test, for Linux and for the sandbox.
 *
 *   peer serve PORT             serve for ever, many connections at once
 *   peer push HOST PORT BYTES   send a pattern, which the server checks
 *   peer pull HOST PORT BYTES   receive a pattern and check it
 *   peer many HOST PORT COUNT   COUNT connections at once, a byte back and forth on each
 *   peer trip HOST PORT COUNT   COUNT round trips of one byte
 *   peer udp HOST PORT COUNT SIZE  datagrams there and back; at most one in ten may be lost
 *
 * Prints one line; the exit status is 0 when every byte was right.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 65536
#define MAXFD 70000

static unsigned char pattern_byte(uint64_t at) {
    return (at * 0x9e3779b97f4a7c15ull) >> 56;
}

static void fill(unsigned char *b, uint64_t at, size_t n) {
    for (size_t i = 0; i < n; i++) b[i] = pattern_byte(at + i);
}

static int check(const unsigned char *b, uint64_t at, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (b[i] != pattern_byte(at + i)) return 0;
    return 1;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
    printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

static void parse(const char *host, int port, struct sockaddr_storage *a, socklen_t *len) {
    struct sockaddr_in *v4 = (void *)a;
    struct sockaddr_in6 *v6 = (void *)a;
    memset(a, 0, sizeof *a);
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET, v4->sin_port = htons(port), *len = sizeof *v4;
    } else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6, v6->sin6_port = htons(port), *len = sizeof *v6;
    } else {
        errno = EINVAL;
        die(host);
    }
}

static int dial(const char *host, int port) {
    struct sockaddr_storage a;
    socklen_t len;
    parse(host, port, &a, &len);
    int s = socket(a.ss_family, SOCK_STREAM, 0);
    if (s < 0) die("socket");
    if (connect(s, (void *)&a, len)) die("connect");
    return s;
}

static void put(int s, const void *b, size_t n) {
    const char *p = b;
    while (n) {
        ssize_t k = send(s, p, n, MSG_NOSIGNAL);
        if (k < 0) die("send");
        p += k, n -= k;
    }
}

static void get(int s, void *b, size_t n) {
    char *p = b;
    while (n) {
        ssize_t k = recv(s, p, n, 0);
        if (k < 0) die("recv");
        if (k == 0) { errno = ECONNRESET; die("early end"); }
        p += k, n -= k;
    }
}

/* What a connection of the server is about: 'R' it receives, 'S' it sends, 'E' it echoes. */
struct conn { char mode, ok, done; uint64_t at, total; };
static struct conn conns[MAXFD];

static void serve_one(int ep, int s, uint32_t events) {
    static unsigned char b[CHUNK];
    struct conn *c = &conns[s];
    if (!c->mode) {
        unsigned char head[9];
        ssize_t k = recv(s, head, sizeof head, MSG_PEEK);
        if (k <= 0) goto end;
        if (head[0] != 'E' && k < 9) return;
        recv(s, head, head[0] == 'E' ? 1 : 9, 0);
        c->mode = head[0], c->ok = 1, c->at = 0;
        memcpy(&c->total, head + 1, 8);
        if (c->mode == 'S') {
            struct epoll_event e = { EPOLLOUT, { .fd = s } };
            epoll_ctl(ep, EPOLL_CTL_MOD, s, &e);
            return;
        }
    }
    if (c->mode == 'S') {
        while (c->at < c->total) {
            size_t n = c->total - c->at < CHUNK ? c->total - c->at : CHUNK;
            fill(b, c->at, n);
            ssize_t k = send(s, b, n, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (k < 0 && errno == EAGAIN) return;
            if (k < 0) goto end;
            c->at += k;
        }
        goto end;
    }
    (void)events;
    for (int i = 0; i < 16; i++) {
        ssize_t k = recv(s, b, CHUNK, MSG_DONTWAIT);
        if (k < 0 && errno == EAGAIN) return;
        if (k < 0) goto end;
        if (c->mode == 'E') {
            if (k == 0) goto end;
            if (send(s, b, k, MSG_NOSIGNAL) != k) goto end;
            continue;
        }
        if (k == 0) {
            unsigned char reply[9];
            reply[0] = c->ok;
            memcpy(reply + 1, &c->at, 8);
            send(s, reply, sizeof reply, MSG_NOSIGNAL);
            goto end;
        }
        c->ok &= check(b, c->at, k);
        c->at += k;
    }
    return;
end:
    memset(c, 0, sizeof *c);
    close(s);
}

static int serve(int port) {
    struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    int one = 1, l = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int u = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0), ep = epoll_create1(0);
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(l, (void *)&a, sizeof a) || listen(l, 4096)) die("listen");
    if (bind(u, (void *)&a, sizeof a)) die("bind");
    struct epoll_event e = { EPOLLIN, { .fd = l } }, ev[256];
    epoll_ctl(ep, EPOLL_CTL_ADD, l, &e);
    e.data.fd = u;
    epoll_ctl(ep, EPOLL_CTL_ADD, u, &e);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(ep, ev, 256, -1);
        for (int i = 0; i < n; i++) {
            int s = ev[i].data.fd;
            if (s == l) {
                while ((s = accept4(l, 0, 0, 0)) >= 0) {
                    if (s >= MAXFD) { close(s); continue; }
                    memset(&conns[s], 0, sizeof conns[s]);
                    e.events = EPOLLIN, e.data.fd = s;
                    epoll_ctl(ep, EPOLL_CTL_ADD, s, &e);
                }
            } else if (s == u) {
                static char b[CHUNK];
                struct sockaddr_in6 from;
                socklen_t len = sizeof from;
                ssize_t k;
                while ((k = recvfrom(u, b, sizeof b, 0, (void *)&from, &len)) >= 0) {
                    sendto(u, b, k, 0, (void *)&from, len);
                    len = sizeof from;
                }
            } else {
                serve_one(ep, s, ev[i].events);
            }
        }
    }
}

static int push(const char *host, int port, uint64_t total) {
    static unsigned char b[CHUNK];
    int s = dial(host, port);
    double t = now();
    unsigned char head[9] = { 'R' };
    memcpy(head + 1, &total, 8);
    put(s, head, sizeof head);
    for (uint64_t at = 0; at < total;) {
        size_t n = total - at < CHUNK ? total - at : CHUNK;
        fill(b, at, n);
        put(s, b, n);
        at += n;
    }
    shutdown(s, SHUT_WR);
    unsigned char reply[9];
    get(s, reply, sizeof reply);
    uint64_t got;
    memcpy(&got, reply + 1, 8);
    t = now() - t;
    int good = reply[0] && got == total;
    printf("push %s %.1f MB/s\n", good ? "good" : "BAD", total / t / 1e6);
    return !good;
}

static int pull(const char *host, int port, uint64_t total) {
    static unsigned char b[CHUNK];
    int s = dial(host, port), good = 1;
    double t = now();
    unsigned char head[9] = { 'S' };
    memcpy(head + 1, &total, 8);
    put(s, head, sizeof head);
    uint64_t at = 0;
    for (;;) {
        ssize_t k = recv(s, b, sizeof b, 0);
        if (k < 0) die("recv");
        if (k == 0) break;
        good &= check(b, at, k);
        at += k;
    }
    t = now() - t;
    good &= at == total;
    printf("pull %s %.1f MB/s\n", good ? "good" : "BAD", total / t / 1e6);
    return !good;
}

static int many(const char *host, int port, int count) {
    int *s = calloc(count, sizeof *s), good = 1;
    double t = now();
    for (int i = 0; i < count; i++) {
        s[i] = dial(host, port);
        put(s[i], "E", 1);
    }
    for (int i = 0; i < count; i++) put(s[i], &(char){ i }, 1);
    for (int i = 0; i < count; i++) {
        char c;
        get(s[i], &c, 1);
        good &= c == (char)i;
    }
    for (int i = 0; i < count; i++) close(s[i]);
    printf("many %s %d in %.2f s\n", good ? "good" : "BAD", count, now() - t);
    return !good;
}

static int trip(const char *host, int port, int count) {
    int s = dial(host, port), one = 1, good = 1;
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    put(s, "E", 1);
    double t = now();
    for (int i = 0; i < count; i++) {
        char c = i, d;
        put(s, &c, 1);
        get(s, &d, 1);
        good &= c == d;
    }
    printf("trip %s %.1f us\n", good ? "good" : "BAD", (now() - t) / count * 1e6);
    return !good;
}

static int udp(const char *host, int port, int count, int size) {
    static unsigned char b[CHUNK], r[CHUNK];
    struct sockaddr_storage a;
    socklen_t len;
    parse(host, port, &a, &len);
    int s = socket(a.ss_family, SOCK_DGRAM, 0), lost = 0, bad = 0;
    if (connect(s, (void *)&a, len)) die("connect");
    for (int i = 0; i < count; i++) {
        fill(b, i, size);
        if (send(s, b, size, 0) != size) die("send");
        struct pollfd p = { s, POLLIN, 0 };
        if (poll(&p, 1, 1000) != 1) { lost++; continue; }
        ssize_t k = recv(s, r, sizeof r, 0);
        bad += k != size || memcmp(b, r, size);
    }
    int good = !bad && lost * 10 <= count;
    printf("udp %s lost %d of %d\n", good ? "good" : "BAD", lost, count);
    return !good;
}

int main(int argc, char **argv) {
    struct rlimit r = { MAXFD, MAXFD };
    setrlimit(RLIMIT_NOFILE, &r);
    if (argc == 3 && !strcmp(argv[1], "serve")) return serve(atoi(argv[2]));
    if (argc < 5) return 2;
    const char *host = argv[2];
    int port = atoi(argv[3]);
    if (!strcmp(argv[1], "push")) return push(host, port, strtoull(argv[4], 0, 0));
    if (!strcmp(argv[1], "pull")) return pull(host, port, strtoull(argv[4], 0, 0));
    if (!strcmp(argv[1], "many")) return many(host, port, atoi(argv[4]));
    if (!strcmp(argv[1], "trip")) return trip(host, port, atoi(argv[4]));
    if (!strcmp(argv[1], "udp") && argc == 6) return udp(host, port, atoi(argv[4]), atoi(argv[5]));
    return 2;
}
