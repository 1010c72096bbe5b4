// What socket options do: links, filters, control messages, corks and segments, zero copies,
// peeks with an offset, low-water marks, source filters, who the peer is, UDP-Lite.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <grp.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif
#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif
#ifndef SO_RCVMARK
#define SO_RCVMARK 75
#endif

static const char *e(long r) { return r < 0 ? strerrorname_np(errno) : "ok"; }

static struct sockaddr_in lo(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return at;
}

static int bound(int type, int protocol, struct sockaddr_in *at)
{
    int fd = socket(AF_INET, type, protocol);
    socklen_t n = sizeof *at;
    *at = lo(0);
    bind(fd, (void *)at, n);
    getsockname(fd, (void *)at, &n);
    return fd;
}

static long on(int fd, int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof value); }

static void take(const char *what, int fd, int flags)
{
    char buf[256] = "";
    long n = recv(fd, buf, sizeof buf - 1, flags | MSG_DONTWAIT);
    printf("%s: %s %ld [%.40s]\n", what, e(n), n, n > 0 ? buf : "");
}

// A message with its control messages; what varies is left out.
static void tell(const char *what, int fd, int flags)
{
    char buf[256], control[512];
    struct sockaddr_in6 from;
    struct iovec iov = {buf, sizeof buf};
    struct msghdr m = {&from, sizeof from, &iov, 1, control, sizeof control, 0};
    long n = recvmsg(fd, &m, flags | MSG_DONTWAIT);
    printf("%s: %s %ld flags %x name %d:", what, e(n), n, n < 0 ? 0 : m.msg_flags, n < 0 ? 0 : (int)m.msg_namelen);
    if (n >= 0)
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
            size_t len = c->cmsg_len - CMSG_LEN(0);
            unsigned char *d = CMSG_DATA(c);
            printf(" (%d,%d,%zu", c->cmsg_level, c->cmsg_type, len);
            int stamp = c->cmsg_level == SOL_SOCKET && c->cmsg_type != 36 && c->cmsg_type != 12 && c->cmsg_type != 40;
            if (stamp) {
                long *t = (void *)d;
                printf(" %s", t[0] > time(0) - 100 && t[0] <= time(0) ? "now" : "?");
            } else if (!(c->cmsg_level == 0 && c->cmsg_type == 20))
                for (size_t i = 0; i < len; i++)
                    printf("%s%02x", i ? "" : " ", d[i]);
            printf(")");
        }
    printf("\n");
}

static void links(void)
{
    struct sockaddr_in at;
    int a = bound(SOCK_DGRAM, 0, &at), b = socket(AF_INET, SOCK_DGRAM, 0);
    char name[32] = "??";
    socklen_t n = sizeof name;
    printf("device none %s\n", e(setsockopt(b, SOL_SOCKET, SO_BINDTODEVICE, "nosuch0", 7)));
    printf("device lo %s\n", e(setsockopt(b, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3)));
    printf("get %s", e(getsockopt(b, SOL_SOCKET, SO_BINDTODEVICE, name, &n)));
    printf(" %d %s\n", (int)n, name);
    n = 4;
    printf("short %s\n", e(getsockopt(b, SOL_SOCKET, SO_BINDTODEVICE, name, &n)));
    printf("send %s\n", e(sendto(b, "x", 1, 0, (void *)&at, sizeof at)));
    take("came", a, 0);
    printf("index of none %s\n", e(on(b, SOL_SOCKET, SO_BINDTOIFINDEX, 99)));
    printf("send %s\n", e(sendto(b, "x", 1, 0, (void *)&at, sizeof at)));
    printf("off %s\n", e(on(b, SOL_SOCKET, SO_BINDTOIFINDEX, 0)));
    // Two sockets of one port, bound to links that differ.
    printf("receiver elsewhere %s\n", e(on(a, SOL_SOCKET, SO_BINDTOIFINDEX, 99)));
    printf("send %s\n", e(sendto(b, "y", 1, 0, (void *)&at, sizeof at)));
    take("not for it", a, 0);
    int c = socket(AF_INET, SOCK_DGRAM, 0);
    on(c, SOL_SOCKET, SO_BINDTOIFINDEX, 1);
    printf("same port %s\n", e(bind(c, (void *)&at, sizeof at)));
    sendto(b, "z", 1, 0, (void *)&at, sizeof at);
    take("for the other", c, 0);
    take("nothing", a, 0);
    int t = socket(AF_INET, SOCK_STREAM, 0), l = bound(SOCK_STREAM, 0, &at);
    listen(l, 1);
    on(l, SOL_SOCKET, SO_BINDTOIFINDEX, 99);
    printf("tcp to a listener elsewhere %s\n", e(connect(t, (void *)&at, sizeof at)));
    on(l, SOL_SOCKET, SO_BINDTOIFINDEX, 1);
    printf("tcp to one here %s\n", e(connect(t, (void *)&at, sizeof at)));
    close(t), t = socket(AF_INET, SOCK_STREAM, 0);
    on(t, SOL_SOCKET, SO_BINDTOIFINDEX, 99);
    printf("tcp from nowhere %s\n", e(connect(t, (void *)&at, sizeof at)));
    // Addresses of others.
    struct sockaddr_in foreign = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a090807)};
    int f = socket(AF_INET, SOCK_DGRAM, 0);
    printf("foreign %s\n", e(bind(f, (void *)&foreign, sizeof foreign)));
    on(f, IPPROTO_IP, IP_FREEBIND, 1);
    printf("freebind %s\n", e(bind(f, (void *)&foreign, sizeof foreign)));
    close(a), close(b), close(c), close(t), close(l), close(f);
}

static void filters(void)
{
    // Datagrams whose first byte is 'a', and of those nine bytes at most, header and all.
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'a', 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 11),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_filter len[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 2),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0xffff),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, SKF_AD_OFF + SKF_AD_PROTOCOL),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x800, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 10),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_filter bad[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0)};
    struct sock_fprog p = {4, code}, q = {8, len}, none = {0, code}, wrong = {1, bad}, gone = {4, (void *)8};
    struct sockaddr_in at;
    int a = bound(SOCK_DGRAM, 0, &at), b = socket(AF_INET, SOCK_DGRAM, 0);
    printf("empty %s\n", e(setsockopt(a, SOL_SOCKET, SO_ATTACH_FILTER, &none, sizeof none)));
    printf("wrong %s\n", e(setsockopt(a, SOL_SOCKET, SO_ATTACH_FILTER, &wrong, sizeof wrong)));
    printf("bad place %s\n", e(setsockopt(a, SOL_SOCKET, SO_ATTACH_FILTER, &gone, sizeof gone)));
    printf("filter %s\n", e(setsockopt(a, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof p)));
    const char *words[] = {"abcdef", "bcd", "", "a"};
    for (int i = 0; i < 4; i++)
        printf("send %s\n", e(sendto(b, words[i], strlen(words[i]), 0, (void *)&at, sizeof at)));
    for (int i = 0; i < 3; i++)
        take("through", a, 0);
    struct sock_filter back[16];
    memset(back, 0, sizeof back);
    socklen_t n = 0;
    printf("how long %s", e(getsockopt(a, SOL_SOCKET, SO_GET_FILTER, back, &n)));
    printf(" %d\n", (int)n);
    n = 3;
    printf("too short %s\n", e(getsockopt(a, SOL_SOCKET, SO_GET_FILTER, back, &n)));
    n = 16;
    printf("whole %s", e(getsockopt(a, SOL_SOCKET, SO_GET_FILTER, back, &n)));
    printf(" %d %d\n", (int)n, memcmp(back, code, sizeof code));
    printf("another %s\n", e(setsockopt(a, SOL_SOCKET, SO_ATTACH_FILTER, &q, sizeof q)));
    for (int i = 0; i < 2; i++)
        sendto(b, words[i], strlen(words[i]), 0, (void *)&at, sizeof at);
    take("even", a, 0), take("odd", a, 0);
    printf("lock %s\n", e(on(a, SOL_SOCKET, SO_LOCK_FILTER, 1)));
    printf("attach %s\n", e(setsockopt(a, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof p)));
    printf("detach %s\n", e(on(a, SOL_SOCKET, SO_DETACH_FILTER, 0)));
    printf("unlock %s\n", e(on(a, SOL_SOCKET, SO_LOCK_FILTER, 0)));
    close(a), close(b);
}

static void control(void)
{
    struct sockaddr_in at;
    int a = bound(SOCK_DGRAM, 0, &at), b = socket(AF_INET, SOCK_DGRAM, 0);
    connect(b, (void *)&at, sizeof at);
    int levels[][2] = {{IPPROTO_IP, IP_PKTINFO}, {IPPROTO_IP, IP_RECVTTL}, {IPPROTO_IP, IP_RECVTOS},
                       {IPPROTO_IP, IP_RECVORIGDSTADDR}, {IPPROTO_IP, IP_RECVOPTS}, {IPPROTO_IP, IP_RETOPTS},
                       {SOL_SOCKET, SO_TIMESTAMP}, {SOL_SOCKET, SO_TIMESTAMPNS}, {SOL_SOCKET, SO_RCVMARK},
                       {SOL_SOCKET, 82}};
    on(b, SOL_SOCKET, SO_PRIORITY, 5);
    printf("mark %s\n", e(on(b, SOL_SOCKET, SO_MARK, 0x1234)));
    on(b, IPPROTO_IP, IP_TTL, 33);
    for (int i = 0; i < 10; i++) {
        on(a, levels[i][0], levels[i][1], 1);
        send(b, "abc", 3, 0);
        char what[32];
        sprintf(what, "with %d,%d", levels[i][0], levels[i][1]);
        tell(what, a, 0);
        if (i != 6)
            on(a, levels[i][0], levels[i][1], 0);
    }
    on(a, SOL_SOCKET, SO_TIMESTAMP, 0);
    on(a, SOL_SOCKET, SO_TIMESTAMPING, 0x18);
    send(b, "abc", 3, 0);
    tell("timestamping", a, 0);
    on(a, SOL_SOCKET, SO_TIMESTAMPING, 0);
    // What a sender says.
    on(a, IPPROTO_IP, IP_RECVTTL, 1), on(a, IPPROTO_IP, IP_RECVTOS, 1), on(a, IPPROTO_IP, IP_PKTINFO, 1);
    struct { int type; size_t len; unsigned char data[16]; } said[] = {
        {IP_TTL, 4, {7}}, {IP_TTL, 4, {0}}, {IP_TTL, 1, {7}}, {IP_TOS, 1, {0x10}}, {IP_TOS, 4, {0x20}},
        {IP_PKTINFO, 12, {0, 0, 0, 0, 127, 0, 0, 9}}, {IP_PKTINFO, 12, {99}}, {IP_PKTINFO, 4, {1}}, {77, 4, {0}},
        {IP_PKTINFO, 12, {0, 0, 0, 0, 10, 9, 8, 7}},
    };
    for (unsigned i = 0; i < sizeof said / sizeof *said; i++) {
        char c[CMSG_SPACE(16)];
        struct iovec iov = {"abc", 3};
        struct msghdr m = {0, 0, &iov, 1, c, CMSG_SPACE(said[i].len), 0};
        memset(c, 0, sizeof c);
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        *h = (struct cmsghdr){CMSG_LEN(said[i].len), IPPROTO_IP, said[i].type};
        memcpy(CMSG_DATA(h), said[i].data, said[i].len);
        printf("said %d: %s\n", said[i].type, e(sendmsg(b, &m, 0)));
        tell("  heard", a, 0);
    }
    close(a), close(b);
    // IPv6.
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    socklen_t n = sizeof six;
    a = socket(AF_INET6, SOCK_DGRAM, 0), b = socket(AF_INET6, SOCK_DGRAM, 0);
    bind(a, (void *)&six, n), getsockname(a, (void *)&six, &n), connect(b, (void *)&six, n);
    int sixes[] = {IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS, 2, 8, 74};
    for (int i = 0; i < 6; i++) {
        on(a, IPPROTO_IPV6, sixes[i], 1);
        send(b, "abc", 3, 0);
        if (sixes[i] == 74) {
            take("ipv6 74", a, 0);
            break;
        }
        tell("ipv6", a, 0);
        on(a, IPPROTO_IPV6, sixes[i], 0);
    }
    close(a), close(b);
}

static void bulk(void)
{
    struct sockaddr_in at;
    int a = bound(SOCK_DGRAM, 0, &at), b = socket(AF_INET, SOCK_DGRAM, 0);
    connect(b, (void *)&at, sizeof at);
    send(b, "ab", 2, MSG_MORE), take("held", a, 0);
    send(b, "cd", 2, MSG_MORE), send(b, "ef", 2, 0), take("together", a, 0);
    on(b, IPPROTO_UDP, UDP_CORK, 1);
    send(b, "12", 2, 0), send(b, "34", 2, 0), take("corked", a, 0);
    printf("uncork %s\n", e(on(b, IPPROTO_UDP, UDP_CORK, 0)));
    take("uncorked", a, 0);
    printf("segment %s\n", e(on(b, IPPROTO_UDP, UDP_SEGMENT, 4)));
    printf("send %s\n", e(send(b, "aaaabbbbcc", 10, 0)));
    for (int i = 0; i < 4; i++)
        take("segment", a, 0);
    on(a, IPPROTO_UDP, UDP_GRO, 1);
    send(b, "aaaabbbbcc", 10, 0);
    tell("gro", a, 0);
    char big[600];
    memset(big, 'x', sizeof big);
    printf("too many %s\n", e(send(b, big, sizeof big, 0)));
    close(a), close(b);
    // A full receiver.
    a = bound(SOCK_DGRAM, 0, &at), b = socket(AF_INET, SOCK_DGRAM, 0);
    on(a, SOL_SOCKET, SO_RXQ_OVFL, 1);
    tell("empty", a, 0);
    close(a), close(b);
}

static void copies(void)
{
    struct sockaddr_in at;
    int a = bound(SOCK_DGRAM, 0, &at), b = socket(AF_INET, SOCK_DGRAM, 0);
    connect(b, (void *)&at, sizeof at);
    send(b, "abc", 3, 0x4000000), take("without the option", a, 0);
    tell("no error", b, MSG_ERRQUEUE);
    printf("zerocopy %s\n", e(on(b, SOL_SOCKET, SO_ZEROCOPY, 1)));
    for (int i = 0; i < 3; i++)
        printf("send %s\n", e(send(b, "abc", 3, 0x4000000)));
    struct pollfd p = {b, POLLOUT, 0};
    poll(&p, 1, 100);
    printf("poll %x\n", p.revents);
    tell("done", b, MSG_ERRQUEUE);
    p.revents = 0;
    poll(&p, 1, 0);
    printf("poll %x\n", p.revents);
    close(a), close(b);
}

static int x, y;
static void pair(void)
{
    struct sockaddr_in at;
    int l = bound(SOCK_STREAM, 0, &at);
    listen(l, 1);
    x = socket(AF_INET, SOCK_STREAM, 0);
    connect(x, (void *)&at, sizeof at);
    y = accept(l, 0, 0);
    close(l);
}

static void marks(const char *what)
{
    struct pollfd p = {y, POLLIN, 0};
    usleep(3000);
    poll(&p, 1, 0);
    printf("%s: poll %x\n", what, p.revents);
}

static void streams(void)
{
    pair();
    on(y, SOL_SOCKET, SO_RCVLOWAT, 4);
    send(x, "ab", 2, 0), marks("two of four");
    take("two", y, MSG_PEEK);
    send(x, "cde", 3, 0), marks("five of four");
    take("all", y, 0);
    if (!fork()) {
        usleep(30000);
        send(x, "ab", 2, 0);
        usleep(30000);
        send(x, "cd", 2, 0);
        _exit(0);
    }
    char buf[64] = "";
    long n = recv(y, buf, sizeof buf, 0);
    printf("waits for %ld %s\n", n, buf);
    wait(0);
    on(y, SOL_SOCKET, SO_RCVLOWAT, 1);
    on(y, IPPROTO_TCP, TCP_INQ, 1);
    send(x, "abcdef", 6, 0);
    usleep(3000);
    char two[2], control[64];
    struct iovec iov = {two, 2};
    struct msghdr m = {0, 0, &iov, 1, control, sizeof control, 0};
    n = recvmsg(y, &m, 0);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    printf("inq %ld %d,%d %d\n", n, c ? c->cmsg_level : -1, c ? c->cmsg_type : -1, c ? *(int *)CMSG_DATA(c) : -1);
    on(y, SOL_SOCKET, SO_PEEK_OFF, 0);
    n = recv(y, two, 2, MSG_PEEK), printf("peek %ld %.2s\n", n, two);
    n = recv(y, two, 2, MSG_PEEK), printf("peek %ld %.2s\n", n, two);
    n = recv(y, two, 2, MSG_PEEK | MSG_DONTWAIT), printf("peek %s\n", e(n));
    n = recv(y, two, 1, 0), printf("take %ld %.1s\n", n, two);
    n = recv(y, two, 2, MSG_PEEK | MSG_DONTWAIT), printf("peek %s\n", e(n));
    close(x), close(y);
    int d[2];
    struct sockaddr_in at;
    d[0] = bound(SOCK_DGRAM, 0, &at), d[1] = socket(AF_INET, SOCK_DGRAM, 0);
    sendto(d[1], "abcd", 4, 0, (void *)&at, sizeof at), sendto(d[1], "ef", 2, 0, (void *)&at, sizeof at);
    int two2 = 2;
    setsockopt(d[0], SOL_SOCKET, SO_PEEK_OFF, &two2, 4);
    for (int i = 0; i < 3; i++)
        take("peek on", d[0], MSG_PEEK);
    take("first", d[0], 0), take("second", d[0], 0);
    close(d[0]), close(d[1]);
}

static void sources(void)
{
    struct in_addr group = {htonl(0xe9010203)}, here = {htonl(INADDR_LOOPBACK)}, other = {htonl(0x7f000002)};
    int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t n = sizeof at;
    bind(a, (void *)&at, n), getsockname(a, (void *)&at, &n);
    at.sin_addr = group;
    on(a, IPPROTO_IP, IP_MULTICAST_ALL, 0);
    setsockopt(b, IPPROTO_IP, IP_MULTICAST_IF, &here, sizeof here);
    struct sockaddr_in own = lo(0);
    bind(b, (void *)&own, sizeof own);
    struct ip_mreq_source s = {group, here, here}, t = {group, here, other};
    struct ip_mreq g = {group, here};
    printf("block before a join %s\n", e(setsockopt(a, 0, IP_BLOCK_SOURCE, &s, sizeof s)));
    printf("add source %s\n", e(setsockopt(a, 0, IP_ADD_SOURCE_MEMBERSHIP, &t, sizeof t)));
    printf("again %s\n", e(setsockopt(a, 0, IP_ADD_SOURCE_MEMBERSHIP, &t, sizeof t)));
    printf("block %s\n", e(setsockopt(a, 0, IP_BLOCK_SOURCE, &s, sizeof s)));
    printf("send %s\n", e(sendto(b, "1", 1, 0, (void *)&at, sizeof at)));
    take("of another source", a, 0);
    printf("add own %s\n", e(setsockopt(a, 0, IP_ADD_SOURCE_MEMBERSHIP, &s, sizeof s)));
    sendto(b, "2", 1, 0, (void *)&at, sizeof at);
    take("of this source", a, 0);
    struct { struct ip_msfilter f; struct in_addr more[8]; } f = {{group, here, 9, 8}};
    n = sizeof f;
    printf("filter %s", e(getsockopt(a, 0, IP_MSFILTER, &f, &n)));
    printf(" %d mode %d count %d\n", (int)n, (int)f.f.imsf_fmode, (int)f.f.imsf_numsrc);
    printf("drop %s\n", e(setsockopt(a, 0, IP_DROP_SOURCE_MEMBERSHIP, &t, sizeof t)));
    printf("drop again %s\n", e(setsockopt(a, 0, IP_DROP_SOURCE_MEMBERSHIP, &t, sizeof t)));
    printf("drop last %s\n", e(setsockopt(a, 0, IP_DROP_SOURCE_MEMBERSHIP, &s, sizeof s)));
    printf("leave %s\n", e(setsockopt(a, 0, IP_DROP_MEMBERSHIP, &g, sizeof g)));
    printf("join %s\n", e(setsockopt(a, 0, IP_ADD_MEMBERSHIP, &g, sizeof g)));
    sendto(b, "3", 1, 0, (void *)&at, sizeof at);
    take("any source", a, 0);
    printf("block %s\n", e(setsockopt(a, 0, IP_BLOCK_SOURCE, &s, sizeof s)));
    sendto(b, "4", 1, 0, (void *)&at, sizeof at);
    take("blocked", a, 0);
    printf("unblock %s\n", e(setsockopt(a, 0, IP_UNBLOCK_SOURCE, &s, sizeof s)));
    sendto(b, "5", 1, 0, (void *)&at, sizeof at);
    take("unblocked", a, 0);
    struct ip_msfilter set = {group, here, MCAST_INCLUDE, 1, {other}};
    printf("set filter %s\n", e(setsockopt(a, 0, IP_MSFILTER, &set, IP_MSFILTER_SIZE(1))));
    set.imsf_numsrc = 0;
    printf("set none %s\n", e(setsockopt(a, 0, IP_MSFILTER, &set, IP_MSFILTER_SIZE(0))));
    printf("gone %s\n", e(setsockopt(a, 0, IP_DROP_MEMBERSHIP, &g, sizeof g)));
    struct group_source_req r = {.gsr_interface = 1};
    memcpy(&r.gsr_group, &at, sizeof at);
    own = lo(0), memcpy(&r.gsr_source, &own, sizeof own);
    printf("mcast join source %s\n", e(setsockopt(a, 0, MCAST_JOIN_SOURCE_GROUP, &r, sizeof r)));
    sendto(b, "6", 1, 0, (void *)&at, sizeof at);
    take("wanted", a, 0);
    printf("mcast leave source %s\n", e(setsockopt(a, 0, MCAST_LEAVE_SOURCE_GROUP, &r, sizeof r)));
    close(a), close(b);
}

static void peers(void)
{
    int p[2], fd = -1;
    gid_t groups[3] = {7, 11, 13}, got[8];
    setgroups(3, groups);
    socketpair(AF_UNIX, SOCK_STREAM, 0, p);
    setgroups(0, 0);
    socklen_t n = 4;
    printf("groups short %s", e(getsockopt(p[0], SOL_SOCKET, SO_PEERGROUPS, got, &n)));
    printf(" %d\n", (int)n);
    n = sizeof got;
    printf("groups %s", e(getsockopt(p[0], SOL_SOCKET, SO_PEERGROUPS, got, &n)));
    printf(" %d: %d %d %d\n", (int)n, got[0], got[1], got[2]);
    n = 4;
    printf("pidfd %s\n", e(getsockopt(p[0], SOL_SOCKET, SO_PEERPIDFD, &fd, &n)));
    char path[64], line[128];
    sprintf(path, "/proc/self/fdinfo/%d", fd);
    FILE *f = fopen(path, "r");
    int same = 0;
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "Pid:", 4))
            same = atoi(line + 4) == getpid();
    printf("of this process %d\n", same);
    if (f)
        fclose(f);
    close(fd), close(p[0]), close(p[1]);
}

static void lite(void)
{
    struct sockaddr_in at;
    int a = bound(SOCK_DGRAM, IPPROTO_UDPLITE, &at), b = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
    int u = socket(AF_INET, SOCK_DGRAM, 0), v;
    socklen_t n = 4;
    printf("lite connect %s\n", e(connect(b, (void *)&at, sizeof at)));
    printf("udp beside it %s\n", e(bind(u, (void *)&at, sizeof at)));
    printf("send %s\n", e(send(b, "abcdef", 6, 0)));
    take("whole", a, 0), take("not udp's", u, 0);
    for (int i = 0; i < 2; i++) {
        printf("coverage %s\n", e(on(b, 136, 10, i ? 10 : 3)));
        getsockopt(b, 136, 10, &v, &n);
        printf("is %d\n", v);
    }
    send(b, "abcdef", 6, 0), take("partly", a, 0);
    on(a, 136, 11, 12);
    send(b, "abcdef", 6, 0), take("too little", a, 0);
    on(b, 136, 10, 12);
    send(b, "abcdef", 6, 0), take("enough", a, 0);
    on(b, 136, 10, 0);
    send(b, "abcdef", 6, 0), take("all", a, 0);
    printf("udp has none %s\n", e(on(u, IPPROTO_UDP, 10, 8)));
    close(a), close(b), close(u);
}

int main(void)
{
    setvbuf(stdout, 0, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    alarm(30);
    links(), filters(), control(), bulk(), copies(), streams(), sources(), peers(), lite();
    return 0;
}
