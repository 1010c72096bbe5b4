// Requests on sockets of each kind (ioctl(2), sockios): queues, owners, stamps, interfaces.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *e(long r) { return r < 0 ? strerrorname_np(errno) : "ok"; }

static const struct { const char *name; int domain, type, protocol; } kinds[] = {
    {"tcp4", AF_INET, SOCK_STREAM, 0}, {"tcp6", AF_INET6, SOCK_STREAM, 0}, {"udp4", AF_INET, SOCK_DGRAM, 0},
    {"udp6", AF_INET6, SOCK_DGRAM, 0}, {"raw4", AF_INET, SOCK_RAW, 253}, {"raw6", AF_INET6, SOCK_RAW, 253},
    {"ustream", AF_UNIX, SOCK_STREAM, 0}, {"udgram", AF_UNIX, SOCK_DGRAM, 0}, {"useq", AF_UNIX, SOCK_SEQPACKET, 0},
    {"route", AF_NETLINK, SOCK_RAW, 0},
};

static void number(const char *what, int fd, unsigned long request)
{
    int n = -77;
    long r = ioctl(fd, request, &n);
    printf(" %s %s", what, e(r));
    if (r >= 0)
        printf(" %d", n);
    printf(" %s;", e(ioctl(fd, request, (void *)8)));
}

static void general(int fd)
{
    number("inq", fd, SIOCINQ), number("outq", fd, SIOCOUTQ), number("nsd", fd, 0x894b);
    number("mark", fd, SIOCATMARK), number("pgrp", fd, SIOCGPGRP), number("owner", fd, FIOGETOWN);
    long stamp[2];
    unsigned long stamps[] = {0x8906, 0x8907, 0x80108906, 0x80108907};
    for (int i = 0; i < 4; i++) {
        printf(" stamp %s", e(ioctl(fd, stamps[i], stamp)));
        printf(" %s;", e(ioctl(fd, stamps[i], (void *)8)));
    }
    int one = 1, zero = 0, me = getpid(), bad = 999999;
    printf(" async %s", e(ioctl(fd, FIOASYNC, &one))), printf(" %s", e(ioctl(fd, FIOASYNC, &zero)));
    printf(" %s;", e(ioctl(fd, FIOASYNC, (void *)8)));
    printf(" nbio %s", e(ioctl(fd, FIONBIO, &one))), printf(" %s;", e(ioctl(fd, FIONBIO, (void *)8)));
    printf(" set owner %s", e(ioctl(fd, SIOCSPGRP, &me))), printf(" %s", e(ioctl(fd, FIOSETOWN, &bad)));
    int got = 0;
    ioctl(fd, SIOCGPGRP, &got);
    printf(" mine %d", got == me);
    printf(" %s\n", e(ioctl(fd, SIOCSPGRP, (void *)8)));
}

static void interfaces(int fd)
{
    struct ifreq r;
    static const struct { const char *name; unsigned long request; } gets[] = {
        {"name", SIOCGIFNAME}, {"flags", SIOCGIFFLAGS}, {"addr", SIOCGIFADDR}, {"dst", SIOCGIFDSTADDR},
        {"brd", SIOCGIFBRDADDR}, {"mask", SIOCGIFNETMASK}, {"metric", SIOCGIFMETRIC}, {"mtu", SIOCGIFMTU},
        {"hw", SIOCGIFHWADDR}, {"index", SIOCGIFINDEX}, {"qlen", SIOCGIFTXQLEN}, {"map", SIOCGIFMAP},
        {"mem", SIOCGIFMEM}, {"slave", SIOCGIFSLAVE}, {"pflags", SIOCGIFPFLAGS}, {"count", SIOCGIFCOUNT},
        {"br", SIOCGIFBR}, {"bond", SIOCBONDINFOQUERY}, {"mii", SIOCGMIIPHY}, {"stamp", SIOCGHWTSTAMP},
        {"vlan", SIOCGIFVLAN}, {"encap", 0x8925}, {"ethtool", SIOCETHTOOL}, {"wireless", 0x8b01},
    };
    for (unsigned i = 0; i < sizeof gets / sizeof *gets; i++) {
        const char *names[] = {"lo", "nosuch", "lo:1", ""};
        printf("  %s:", gets[i].name);
        for (int n = 0; n < 4; n++) {
            memset(&r, 0, sizeof r);
            strcpy(r.ifr_name, names[n]);
            if (gets[i].request == SIOCGIFNAME)
                r.ifr_ifindex = n == 0 ? 1 : 77;
            long x = ioctl(fd, gets[i].request, &r);
            printf(" %s", e(x));
            if (x >= 0 && n == 0) {
                printf(" [%.15s]", r.ifr_name);
                for (unsigned b = 0; b < 16; b++)
                    printf("%02x", (unsigned char)((char *)&r.ifr_addr)[b]);
            }
        }
        printf(" %s\n", e(ioctl(fd, gets[i].request, (void *)8)));
    }
    static const struct { const char *name; unsigned long request; } sets[] = {
        {"flags", SIOCSIFFLAGS}, {"addr", SIOCSIFADDR}, {"mtu", SIOCSIFMTU}, {"hw", SIOCSIFHWADDR},
        {"name", SIOCSIFNAME}, {"qlen", SIOCSIFTXQLEN}, {"metric", SIOCSIFMETRIC}, {"link", SIOCSIFLINK},
        {"mask", SIOCSIFNETMASK}, {"add route", SIOCADDRT}, {"del route", SIOCDELRT}, {"del arp", SIOCDARP},
        {"get arp", SIOCGARP}, {"add bridge", SIOCBRADDBR}, {"vlan", SIOCSIFVLAN}, {"stamp", SIOCSHWTSTAMP},
    };
    for (unsigned i = 0; i < sizeof sets / sizeof *sets; i++) {
        memset(&r, 0, sizeof r);
        strcpy(r.ifr_name, "nosuch");
        printf("  set %s: %s\n", sets[i].name, e(ioctl(fd, sets[i].request, &r)));
    }
    struct ifreq many[4];
    struct ifconf c = {.ifc_len = sizeof many, .ifc_req = many};
    printf("  conf %s", e(ioctl(fd, SIOCGIFCONF, &c)));
    printf(" %d %s\n", c.ifc_len, many[0].ifr_name);
    c.ifc_req = 0, c.ifc_len = 0;
    printf("  conf size %s", e(ioctl(fd, SIOCGIFCONF, &c)));
    printf(" %d\n", c.ifc_len);
    c.ifc_req = many, c.ifc_len = 10;
    printf("  conf short %s", e(ioctl(fd, SIOCGIFCONF, &c)));
    printf(" %d %s\n", c.ifc_len, e(ioctl(fd, SIOCGIFCONF, (void *)8)));
}

int main(void)
{
    signal(SIGIO, SIG_IGN);
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        int fd = socket(kinds[i].domain, kinds[i].type, kinds[i].protocol);
        printf("%s %s:", kinds[i].name, e(fd));
        general(fd);
        if (kinds[i].domain == AF_INET || kinds[i].domain == AF_UNIX)
            interfaces(fd);
        printf("  unknown %s", e(ioctl(fd, 0x89ff, &fd)));
        printf(" %s", e(ioctl(fd, 0x5401, &fd)));
        printf(" %s\n", e(ioctl(fd, 0x1234, 0)));
        close(fd);
    }
    // With data.
    int a = socket(AF_INET, SOCK_DGRAM, 0), n;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    bind(a, (void *)&at, len), getsockname(a, (void *)&at, &len);
    long stamp[2];
    printf("stamp at first %s\n", e(ioctl(a, SIOCGSTAMP, stamp)));
    for (int i = 0; i < 2; i++)
        sendto(a, "abcdef", 3 + i, 0, (void *)&at, len);
    ioctl(a, SIOCINQ, &n), printf("udp inq %d\n", n);
    char buf[16];
    recv(a, buf, 16, 0);
    printf("stamp %s\n", e(ioctl(a, SIOCGSTAMP, stamp)));
    ioctl(a, SIOCINQ, &n), printf("udp inq %d\n", n);
    int p[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, p);
    send(p[0], "abc", 3, 0), send(p[0], "de", 2, 0);
    ioctl(p[1], SIOCINQ, &n), printf("unix inq %d\n", n);
    return 0;
}
