// What every number of a socket option answers, for each kind of socket and each level:
// reads and writes of several lengths, and the value read back. Neighbours that answer the
// same share a line.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const struct kind {
    const char *name;
    int domain, type, protocol;
    char state; // 0 new, 'c' connected, 'l' listening, 'b' bound
} kinds[] = {
    {"tcp4", AF_INET, SOCK_STREAM, 0, 0},
    {"tcp6", AF_INET6, SOCK_STREAM, 0, 0},
    {"udp4", AF_INET, SOCK_DGRAM, 0, 0},
    {"udp6", AF_INET6, SOCK_DGRAM, 0, 0},
    {"udplite4", AF_INET, SOCK_DGRAM, 136, 0},
    {"udplite6", AF_INET6, SOCK_DGRAM, 136, 0},
    {"raw4", AF_INET, SOCK_RAW, 253, 0},
    {"raw6", AF_INET6, SOCK_RAW, 253, 0},
    {"rawhdr", AF_INET, SOCK_RAW, 255, 0},
    {"icmp4", AF_INET, SOCK_RAW, 1, 0},
    {"icmp6", AF_INET6, SOCK_RAW, 58, 0},
    {"ping4", AF_INET, SOCK_DGRAM, 1, 0},
    {"ping6", AF_INET6, SOCK_DGRAM, 58, 0},
    {"ustream", AF_UNIX, SOCK_STREAM, 0, 0},
    {"udgram", AF_UNIX, SOCK_DGRAM, 0, 0},
    {"useq", AF_UNIX, SOCK_SEQPACKET, 0, 0},
    {"route", AF_NETLINK, SOCK_RAW, 0, 0},
    {"tcp4c", AF_INET, SOCK_STREAM, 0, 'c'},
    {"tcp4l", AF_INET, SOCK_STREAM, 0, 'l'},
    {"tcp6c", AF_INET6, SOCK_STREAM, 0, 'c'},
    {"udp4c", AF_INET, SOCK_DGRAM, 0, 'c'},
    {"udp6b", AF_INET6, SOCK_DGRAM, 0, 'b'},
    {"ustreamc", AF_UNIX, SOCK_STREAM, 0, 'c'},
};

static const struct { const char *name; int number; } levels[] = {
    {"ip", 0}, {"socket", 1}, {"tcp", 6}, {"udp", 17}, {"ipv6", 41}, {"icmpv6", 58},
    {"other", 99}, {"udplite", 136}, {"raw", 255}, {"netlink", 270},
};

// Files that a connected or listening socket needs; closed with it.
static int extra[2];

static int make(const struct kind *k)
{
    extra[0] = extra[1] = -1;
    if (k->domain == AF_UNIX && k->state) {
        int two[2];
        if (socketpair(k->domain, k->type, 0, two) < 0)
            return -1;
        extra[0] = two[1];
        return two[0];
    }
    int fd = socket(k->domain, k->type, k->protocol);
    if (fd < 0 || !k->state)
        return fd;
    struct sockaddr_in6 at6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    struct sockaddr_in at4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr *at = k->domain == AF_INET ? (void *)&at4 : (void *)&at6;
    socklen_t n = k->domain == AF_INET ? sizeof at4 : sizeof at6;
    if (k->state != 'c') {
        bind(fd, at, n);
        if (k->state == 'l')
            listen(fd, 5);
        return fd;
    }
    extra[0] = socket(k->domain, k->type, k->protocol);
    bind(extra[0], at, n);
    if (k->type == SOCK_STREAM)
        listen(extra[0], 1);
    getsockname(extra[0], at, &n);
    connect(fd, at, n);
    if (k->type == SOCK_STREAM)
        extra[1] = accept(extra[0], 0, 0);
    return fd;
}

static void unmake(int fd)
{
    close(fd);
    for (int i = 0; i < 2; i++)
        if (extra[i] >= 0)
            close(extra[i]);
}

static char line[65536];
static size_t used;
#define say(...) (used += snprintf(line + used, sizeof line - used, __VA_ARGS__))

// The socket's buffers are tuned by the algorithm of congestion the host has.
static int tuned;

// Values that differ from run to run or from host to host: their length is told alone.
static int varies(int level, int name, int len)
{
    if (level == 1 && tuned && (name == 7 || name == 55)) // SO_SNDBUF, SO_MEMINFO
        return 1;
    if (level == 1) // SO_INCOMING_CPU, SO_COOKIE, SO_NETNS_COOKIE
        return (name == 28 && len > 1) || name == 49 || ((name == 57 || name == 71) && len >= 8);
    if (level == 6) // TCP_INFO, TCP_CONGESTION, TCP_TIMESTAMP, TCP_CC_INFO
        return name == 11 || name == 13 || name == 24 || name == 26;
    return level == 0 && name == 52; // IP_PROTOCOL: the port of some
}

// Numbers whose answers depend on the host's modules: those of packet filters, and
// moving a connection, which not every kernel can.
static int skipped(int level, int name)
{
    if (level == 0)
        return (name >= 64 && name < 100) || name == 16 || name == 17;
    if (level == 41)
        return (name >= 64 && name < 70 && name != 66 && name != 67) || name == 80 || name == 34 || name == 35;
    if (level == 17 || level == 136)
        return name == 100; // UDP_ENCAP: of IPsec
    return level == 6 && (name == 19 || name == 26);
}

static void get(int fd, int level, int name, socklen_t room)
{
    unsigned char buf[512];
    memset(buf, 0xaa, sizeof buf);
    socklen_t len = room;
    int r = getsockopt(fd, level, name, buf, &len);
    if (r < 0) {
        say(" %s", strerrorname_np(errno));
        if (len != room)
            say("(%d)", (int)len);
        return;
    }
    if (level == 0 && name == 52)
        len = 1;
    say(" %d:", (int)len);
    if (varies(level, name, len)) {
        say("*");
        return;
    }
    if (level == 1 && name == 77 && len == 4) // SO_PEERPIDFD
        close(*(int *)buf);
    int n = len < sizeof buf ? len : sizeof buf;
    while (n > 1 && !buf[n - 1])
        n--;
    for (int i = 0; i < n; i++)
        say("%02x", buf[i]);
    for (unsigned i = len; i < room; i++)
        if (buf[i] != 0xaa) {
            say("+");
            break;
        }
}

static void set(int fd, int level, int name, const void *value, socklen_t len, const char *what)
{
    int r = setsockopt(fd, level, name, value, len);
    say(" %s", what);
    if (r < 0) {
        say("%s", strerrorname_np(errno));
        return;
    }
    say("ok");
    get(fd, level, name, 64);
}

static void one(const struct kind *k, int level, int name)
{
    used = 0;
    line[0] = 0;
    int fd = make(k);
    if (fd < 0) {
        say("no socket %s", strerrorname_np(errno));
        return;
    }
    static const int rooms[] = {0, 1, 4, 64};
    say("get");
    for (int i = 0; i < 4; i++)
        get(fd, level, name, rooms[i]);
    get(fd, level, name, -1);
    socklen_t four = 4;
    int r = getsockopt(fd, level, name, 0, &four);
    say(" %s", r < 0 ? strerrorname_np(errno) : "ok");
    r = getsockopt(fd, level, name, &four, 0);
    say(" %s | set", r < 0 ? strerrorname_np(errno) : "ok");
    // Descriptors, credentials and such live on: a fresh socket for what is written.
    unmake(fd);
    fd = make(k);
    static const int values[] = {1, 0, 2, -1, 100000, 7};
    static const char *names[] = {"1=", "0=", "2=", "-1=", "big=", "7="};
    int wide[64] = {0};
    for (int i = 0; i < 6; i++) {
        wide[0] = values[i];
        wide[1] = 0;
        set(fd, level, name, wide, 4, names[i]);
    }
    wide[0] = 1;
    set(fd, level, name, wide, 1, "byte=");
    set(fd, level, name, wide, 2, "half=");
    set(fd, level, name, wide, 8, "8=");
    set(fd, level, name, wide, 0, "none=");
    wide[0] = 0;
    set(fd, level, name, wide, 12, "12=");
    set(fd, level, name, wide, 16, "16=");
    set(fd, level, name, wide, 20, "20=");
    set(fd, level, name, wide, 64, "64=");
    set(fd, level, name, wide, 256, "256=");
    set(fd, level, name, wide, -1, "neg=");
    set(fd, level, name, (void *)1, 4, "bad=");
    set(fd, level, name, 0, 4, "null4=");
    set(fd, level, name, 0, 0, "null=");
    unmake(fd);
}

// From name to name, all of which answer `what`.
static void range(const struct kind *k, const char *level, int from, int to, const char *what)
{
    if (from == to)
        printf("%s %s %d: %s\n", k->name, level, from, what);
    else
        printf("%s %s %d-%d: %s\n", k->name, level, from, to, what);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    alarm(100);
#ifdef AS_USER
    if (setgid(65534) || setuid(65534))
        return 1;
#endif
    static char before[sizeof line];
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct kind *k = &kinds[i];
        tuned = k->type == SOCK_STREAM && k->domain != AF_UNIX && k->state == 'c';
        if (argc > 1 && strcmp(argv[1], k->name))
            continue;
        for (unsigned l = 0; l < sizeof levels / sizeof *levels; l++) {
            int from = 0;
            before[0] = 0;
            for (int name = 0; name <= 110; name++) {
                if (skipped(levels[l].number, name)) {
                    strcpy(line, "skipped");
                    used = 0;
                } else
                    one(k, levels[l].number, name);
                if (name && strcmp(line, before)) {
                    range(k, levels[l].name, from, name - 1, before);
                    from = name;
                }
                strcpy(before, line);
            }
            range(k, levels[l].name, from, 110, before);
        }
    }
    return 0;
}
