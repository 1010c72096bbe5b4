// Links whose other end is a file: making, names, errors, owners, packets out and in, frames,
// a stream through it, what stays and what goes.
#include "userns.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static int ctl;

static int dev(void) { return open("/dev/net/tun", O_RDWR | O_NONBLOCK); }

static int set(int fd, const char *name, int flags)
{
    struct ifreq r = {0};
    strcpy(r.ifr_name, name);
    r.ifr_flags = flags;
    int got = ioctl(fd, TUNSETIFF, &r);
    printf("  set '%s' %#x: %s '%s'\n", name, flags, e(got), r.ifr_name);
    return got;
}

static void flags(const char *name)
{
    struct ifreq r = {0};
    strcpy(r.ifr_name, name);
    int got = ioctl(ctl, SIOCGIFFLAGS, &r);
    printf("  %s %s", name, e(got));
    if (!got)
        printf(" %#x", (unsigned short)r.ifr_flags & ~IFF_RUNNING);
    got = ioctl(ctl, SIOCGIFHWADDR, &r);
    printf(" hardware %d", got ? -1 : r.ifr_hwaddr.sa_family);
    got = ioctl(ctl, SIOCGIFMTU, &r);
    printf(" mtu %d\n", got ? -1 : r.ifr_mtu);
}

static const char *up(const char *name, int on)
{
    struct ifreq r = {0};
    strcpy(r.ifr_name, name);
    r.ifr_flags = on ? IFF_UP : 0;
    return e(ioctl(ctl, SIOCSIFFLAGS, &r));
}

static void address(const char *name, const char *ip, int prefix)
{
    struct { struct nlmsghdr n; struct ifaddrmsg a; struct rtattr r; unsigned char ip[4]; } q = {
        {sizeof q, RTM_NEWADDR, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, 1, 0},
        {AF_INET, prefix, 0, 0, if_nametoindex(name)}, {RTA_LENGTH(4), IFA_LOCAL}, {0}};
    inet_pton(AF_INET, ip, q.ip);
    char buf[4000];
    int n = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    send(n, &q, sizeof q, 0);
    recv(n, buf, sizeof buf, 0);
    printf("address of %s %d\n", name, ((struct nlmsgerr *)NLMSG_DATA(buf))->error);
    close(n);
}

// The next IPv4 packet, past what IPv6 says by itself; `at`: where it starts.
static int next(int fd, unsigned char *b, int room, int at)
{
    for (int i = 0; i < 50; i++) {
        struct pollfd p = {fd, POLLIN, 0};
        if (poll(&p, 1, 300) != 1)
            return -1;
        int n = read(fd, b, room);
        if (n < 0 || n > at && b[at] >> 4 == 4)
            return n;
    }
    return -2;
}

static unsigned short sum(const void *p, int n, unsigned s)
{
    const unsigned short *w = p;
    for (; n > 1; n -= 2)
        s += *w++;
    if (n)
        s += *(const unsigned char *)w;
    s = (s >> 16) + (s & 0xffff);
    return s + (s >> 16);
}

static void show(const unsigned char *b, int n)
{
    const struct iphdr *ip = (void *)b;
    char from[20], to[20];
    inet_ntop(AF_INET, &ip->saddr, from, 20);
    inet_ntop(AF_INET, &ip->daddr, to, 20);
    printf("  %d ihl %d tos %d length %d ttl %d protocol %d %s to %s sum %d", n, ip->ihl, ip->tos, ntohs(ip->tot_len),
           ip->ttl, ip->protocol, from, to, sum(b, 20, 0) == 0xffff);
    if (ip->protocol == 17)
        printf(" port %d length %d %.*s", ntohs(*(uint16_t *)(b + 22)), ntohs(*(uint16_t *)(b + 24)), n - 28, b + 28);
    if (ip->protocol == 1)
        printf(" icmp %d %d", b[20], b[21]);
    puts("");
}

static int udp(unsigned char *b, const char *from, const char *to, int sport, int dport, const char *text)
{
    struct iphdr *ip = (void *)b;
    int n = strlen(text);
    memset(b, 0, 28);
    ip->version = 4;
    ip->ihl = 5;
    ip->tot_len = htons(28 + n);
    ip->ttl = 33;
    ip->protocol = 17;
    inet_pton(AF_INET, from, &ip->saddr);
    inet_pton(AF_INET, to, &ip->daddr);
    ip->check = ~sum(ip, 20, 0);
    uint16_t u[4] = {htons(sport), htons(dport), htons(8 + n), 0};
    memcpy(b + 20, u, 8);
    memcpy(b + 28, text, n);
    return 28 + n;
}

static struct sockaddr_in in(const char *ip, int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, ip, &a.sin_addr);
    return a;
}

static void errors(void)
{
    int f = dev(), g = dev();
    char b[100] = "";
    struct pollfd p = {f, POLLIN | POLLOUT, 0};
    struct ifreq r = {0};
    int got = poll(&p, 1, 0);
    printf("open %s poll %d %#x\n", e(f), got, p.revents);
    printf("read %s write %s get %s persist %s owner %s unknown %s\n", e(read(f, b, 100)), e(write(f, b, 100)),
           e(ioctl(f, TUNGETIFF, &r)), e(ioctl(f, TUNSETPERSIST, 1)), e(ioctl(f, TUNSETOWNER, 0)), e(ioctl(f, 0x54ff, 0)));
    unsigned features = 0;
    printf("features %s %#x\n", e(ioctl(f, TUNGETFEATURES, &features)), features & 0x1003);
    printf("bad place %s %s\n", e(ioctl(f, TUNSETIFF, 8)), e(ioctl(f, TUNGETFEATURES, 8)));
    set(f, "", 0);
    set(f, "x", IFF_NO_PI);
    set(f, "a/b", IFF_TUN);
    set(f, "lo", IFF_TUN);
    set(f, "", IFF_TUN | IFF_NO_PI);
    set(f, "", IFF_TUN);
    set(g, "tun0", IFF_TAP);
    set(g, "tun0", IFF_TUN | IFF_TUN_EXCL);
    set(g, "tun0", IFF_TUN);
    set(g, "", IFF_TAP);
    int h = dev();
    set(h, "my%d", IFF_TUN | IFF_ONE_QUEUE);
    printf("get %s", e(ioctl(h, TUNGETIFF, &r)));
    printf(" '%s' %#x\n", r.ifr_name, (unsigned short)r.ifr_flags & ~0x1000);
    flags("tun0");
    flags("tap0");
    flags("my0");
    p.revents = 0;
    got = poll(&p, 1, 0);
    printf("down: poll %d %#x", got, p.revents);
    int n = udp((void *)b, "10.0.0.2", "10.0.0.1", 1, 2, "x");
    printf(" write %s read %s\n", e(write(f, b, n)), e(read(f, b, 100)));
    printf("offload %s %s persist %s %s\n", e(ioctl(f, TUNSETOFFLOAD, 0)), e(ioctl(f, TUNSETOFFLOAD, 0x10000)),
           e(ioctl(f, TUNSETPERSIST, 1)), e(ioctl(f, TUNSETPERSIST, 0)));
    close(f);
    flags("tun0");
    close(g), close(h);
    flags("tap0");
    // One that stays.
    f = dev();
    set(f, "stay", IFF_TUN);
    ioctl(f, TUNSETPERSIST, 1);
    printf("owner %s, nobody %s\n", e(ioctl(f, TUNSETOWNER, 0)), e(ioctl(f, TUNSETOWNER, 4242)));
    close(f);
    flags("stay");
    f = dev();
    set(f, "stay", IFF_TUN | IFF_NO_PI);
    ioctl(f, TUNGETIFF, &r);
    printf("again '%s' %#x\n", r.ifr_name, (unsigned short)r.ifr_flags & ~0x1000);
    ioctl(f, TUNSETPERSIST, 0);
    close(f);
    flags("stay");
    f = dev();
    int number = 77;
    printf("number %s\n", e(ioctl(f, TUNSETIFINDEX, &number)));
    set(f, "numbered", IFF_TUN);
    printf("is %d, later %s\n", if_nametoindex("numbered"), e(ioctl(f, TUNSETIFINDEX, &number)));
    close(f);
}

static void packets(void)
{
    int f = dev(), g = dev(), one = 1;
    set(f, "t0", IFF_TUN | IFF_NO_PI);
    set(g, "t1", IFF_TUN);
    address("t0", "10.8.0.1", 24);
    address("t1", "10.7.0.1", 24);
    printf("up %s %s\n", up("t0", 1), up("t1", 1));
    flags("t0");
    unsigned char b[3000];
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = in("10.8.0.9", 900), from;
    socklen_t len = sizeof from;
    printf("send %zd\n", sendto(s, "outward", 7, 0, (void *)&a, sizeof a));
    show(b, next(f, b, sizeof b, 0));
    a = in("10.7.0.9", 900);
    sendto(s, "with a header", 13, 0, (void *)&a, sizeof a);
    int n = next(g, b, sizeof b, 4);
    printf("  head %02x %02x %02x %02x\n", b[0], b[1], b[2], b[3]);
    show(b + 4, n - 4);
    sendto(s, "cut", 3, 0, (void *)&a, sizeof a);
    n = next(g, b, 24, 4);
    printf("  cut %d head %02x %02x %02x %02x\n", n, b[0], b[1], b[2], b[3]);
    sendto(s, "small", 5, 0, (void *)&a, sizeof a);
    usleep(50000);
    // What IPv6 says by itself may be in front.
    printf("  too small %s\n", e(read(g, b, 3)));
    while (read(g, b, sizeof b) > 0)
        ;

    // In.
    int u = socket(AF_INET, SOCK_DGRAM, 0);
    a = in("0.0.0.0", 700);
    bind(u, (void *)&a, sizeof a);
    n = udp(b, "10.8.0.9", "10.8.0.1", 900, 700, "inward");
    printf("write %zd", write(f, b, n));
    n = recvfrom(u, b, sizeof b, 0, (void *)&from, &len);
    printf(" got %d %.*s from %s %d\n", n, n, b, inet_ntoa(from.sin_addr), ntohs(from.sin_port));
    b[0] = 0, b[1] = 0, b[2] = 8, b[3] = 0;
    n = udp(b + 4, "10.7.0.9", "10.7.0.1", 900, 700, "headed");
    printf("write %zd", write(g, b, n + 4));
    n = recvfrom(u, b, sizeof b, 0, (void *)&from, &len);
    printf(" got %d %.*s from %s\n", n, n, b, inet_ntoa(from.sin_addr));
    printf("bad: %s", e(write(f, "", 0)));
    memset(b, 0, sizeof b);
    printf(" %s", e(write(f, b, 20)));
    printf(" %s\n", e(write(g, b, 3)));
    // To nobody, to another host.
    n = udp(b, "10.8.0.9", "10.8.0.1", 900, 701, "nobody");
    write(f, b, n);
    show(b, next(f, b, sizeof b, 0));
    // An echo.
    n = udp(b, "10.8.0.9", "10.8.0.1", 0x0800, 0, "1234567890");
    b[9] = 1;
    b[10] = b[11] = 0;
    *(uint16_t *)(b + 10) = ~sum(b, 20, 0);
    memset(b + 20, 0, 8);
    b[20] = 8;
    *(uint16_t *)(b + 22) = ~sum(b + 20, n - 20, 0);
    write(f, b, n);
    show(b, next(f, b, sizeof b, 0));
    // In pieces.
    n = udp(b, "10.8.0.9", "10.8.0.1", 900, 700, "gathered");
    struct iovec v[2] = {{b, 13}, {b + 13, n - 13}};
    printf("writev %zd", writev(f, v, 2));
    n = recv(u, b, sizeof b, 0);
    printf(" got %d\n", n);
    // Too long for the link: fragments.
    a = in("10.8.0.9", 900);
    setsockopt(s, IPPROTO_IP, IP_MTU_DISCOVER, &(int){IP_PMTUDISC_DONT}, 4);
    memset(b, 'f', 2000);
    printf("long %zd", sendto(s, b, 2000, 0, (void *)&a, sizeof a));
    for (int i = 0; i < 2; i++) {
        n = next(f, b, sizeof b, 0);
        printf(" %d at %d", n, (ntohs(*(uint16_t *)(b + 6)) & 0x1fff) * 8);
    }
    puts("");
    printf("down %s", up("t0", 0));
    n = udp(b, "10.8.0.9", "10.8.0.1", 900, 700, "down");
    printf(" write %s send %s\n", e(write(f, b, n)), e(sendto(s, "x", 1, 0, (void *)&a, sizeof a)));
    close(f), close(g), close(s), close(u);
    (void)one;
}

// A stream: what one link sends is put into the other, with addresses changed.
static void stream(void)
{
    int f = dev();
    set(f, "t0", IFF_TUN | IFF_NO_PI);
    address("t0", "10.8.0.1", 24);
    up("t0", 1);
    fflush(stdout);
    pid_t k = fork();
    if (!k) {
        // Everything that is sent to 10.8.0.2 comes back as if from there.
        unsigned char b[3000];
        for (;;) {
            int n = next(f, b, sizeof b, 0);
            if (n < 0)
                _exit(0);
            struct iphdr *ip = (void *)b;
            uint32_t x = ip->saddr;
            ip->saddr = ip->daddr;
            ip->daddr = x;
            write(f, b, n);
        }
    }
    int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = in("10.8.0.1", 800), peer;
    socklen_t len = sizeof peer;
    bind(l, (void *)&a, sizeof a);
    listen(l, 1);
    a = in("10.8.0.2", 800);
    printf("connect %s", e(connect(c, (void *)&a, sizeof a)));
    int s = accept(l, (void *)&peer, &len);
    printf(" accept %d from %s\n", s > 0, inet_ntoa(peer.sin_addr));
    static char big[300000];
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = i * 7 % 251;
    fflush(stdout);
    pid_t w = fork();
    if (!w) {
        size_t at = 0;
        while (at < sizeof big)
            at += write(c, big + at, sizeof big - at);
        _exit(0);
    }
    size_t at = 0, bad = 0;
    char b[9000];
    while (at < sizeof big) {
        int n = read(s, b, sizeof b);
        if (n <= 0)
            break;
        bad += memcmp(b, big + at, n) != 0;
        at += n;
    }
    printf("got %zu bad %zu\n", at, bad);
    waitpid(w, 0, 0);
    close(s), close(c), close(l);
    kill(k, 9);
    waitpid(k, 0, 0);
    close(f);
}

static void frames(void)
{
    int f = dev();
    set(f, "p0", IFF_TAP | IFF_NO_PI);
    struct ifreq r = {0};
    unsigned char own[6] = {2, 0, 0, 0, 0, 9};
    r.ifr_hwaddr.sa_family = 1;
    memcpy(r.ifr_hwaddr.sa_data, own, 6);
    printf("hardware %s", e(ioctl(f, SIOCSIFHWADDR, &r)));
    printf(" is %s", e(ioctl(f, SIOCGIFHWADDR, &r)));
    printf(" %d %d '%s'\n", r.ifr_hwaddr.sa_family, memcmp(r.ifr_hwaddr.sa_data, own, 6), r.ifr_name);
    address("p0", "10.6.0.1", 24);
    printf("up %s\n", up("p0", 1));
    flags("p0");
    unsigned char b[3000];
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = in("10.6.0.9", 900);
    sendto(s, "frame", 5, 0, (void *)&a, sizeof a);
    int n;
    do
        n = read(f, b, sizeof b);
    while (n < 0 && errno == EAGAIN ? usleep(1000), 1 : n > 0 && !(b[12] == 8 && b[13] == 6));
    printf("asks %d:", n);
    for (int i = 0; i < n; i++)
        printf(" %02x", b[i]);
    puts("");
    // The answer.
    unsigned char reply[42] = {2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 7, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2,
                               2, 0, 0, 0, 0, 7, 10, 6, 0, 9, 2, 0, 0, 0, 0, 9, 10, 6, 0, 1};
    printf("answer %zd\n", write(f, reply, 42));
    n = next(f, b, sizeof b, 14);
    for (int i = 0; i < 14; i++)
        printf(" %02x", b[i]);
    puts("");
    show(b + 14, n - 14);
    printf("short %s\n", e(write(f, b, 13)));
    close(f), close(s);
}

static int below(void)
{
    // What is owned may be used by its owner, and nothing else.
    int f = dev();
    set(f, "owned", IFF_TUN);
    ioctl(f, TUNSETOWNER, 0);
    ioctl(f, TUNSETPERSIST, 1);
    close(f);
    f = dev();
    set(f, "mine", IFF_TUN);
    ioctl(f, TUNSETPERSIST, 1);
    close(f);
    f = dev();
    int g = dev(), h = dev();
    fflush(stdout);
    if (!fork()) {
        printf("user %s\n", e(unshare(CLONE_NEWUSER)));
        set(f, "new", IFF_TUN);
        set(g, "owned", IFF_TUN);
        set(h, "mine", IFF_TUN);
        fflush(stdout);
        _exit(0);
    }
    wait(0);
    return 0;
}

int main(void)
{
    setvbuf(stdout, 0, _IOLBF, 0);
    mkdir("/dev/net", 0755);
    mknod("/dev/net/tun", S_IFCHR | 0666, makedev(10, 200));
    int there = open("/dev/net/tun", O_RDWR);
    if (there < 0 || become_root_of_own()) {
        puts("no such device here");
        return 77;
    }
    close(there);
    int old = dev();
    set(old, "elsewhere", IFF_TUN);
    unshare(CLONE_NEWNET);
    ctl = socket(AF_INET, SOCK_DGRAM, 0);
    up("lo", 1);
    errors();
    packets();
    stream();
    frames();
    below();
    return 0;
}
