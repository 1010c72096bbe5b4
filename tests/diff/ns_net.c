// Network namespaces: clone, unshare, setns, what they separate, the loopback of a new one,
// links, addresses and routes in it, pairs between two, who may.
#include "userns.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NS_GET_USERNS 0xb701
#define NS_GET_PARENT 0xb702
#define NS_GET_NSTYPE 0xb703

static ino_t ns(const char *path)
{
    struct stat st;
    return stat(path, &st) ? 0 : st.st_ino;
}

static int child(int (*f)(void *), void *arg)
{
    fflush(stdout);
    pid_t k = fork();
    if (k == 0) {
        int r = f(arg);
        fflush(stdout);
        _exit(r);
    }
    int st;
    waitpid(k, &st, 0);
    return WIFEXITED(st) ? WEXITSTATUS(st) : -WTERMSIG(st);
}

// ---- netlink

static struct { struct nlmsghdr n; char body[4000]; } q;
static int seq = 1;

static void *begin(int kind, int flags, int len)
{
    memset(&q, 0, sizeof q);
    q.n.nlmsg_len = NLMSG_LENGTH(len);
    q.n.nlmsg_type = kind;
    q.n.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    q.n.nlmsg_seq = seq++;
    return NLMSG_DATA(&q.n);
}

static struct rtattr *attr(int kind, const void *data, int len)
{
    struct rtattr *a = (void *)((char *)&q + NLMSG_ALIGN(q.n.nlmsg_len));
    a->rta_type = kind;
    a->rta_len = RTA_LENGTH(len);
    if (len)
        memcpy(RTA_DATA(a), data, len);
    q.n.nlmsg_len = NLMSG_ALIGN(q.n.nlmsg_len) + RTA_ALIGN(a->rta_len);
    return a;
}

static void end(struct rtattr *a) { a->rta_len = (char *)&q + q.n.nlmsg_len - (char *)a; }

static const char *talk(int s)
{
    static char buf[32768];
    struct sockaddr_nl to = {AF_NETLINK};
    if (sendto(s, &q, q.n.nlmsg_len, 0, (void *)&to, sizeof to) < 0)
        return strerrorname_np(errno);
    for (;;) {
        int n = recv(s, buf, sizeof buf, 0);
        if (n < 0)
            return strerrorname_np(errno);
        for (struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n))
            if (h->nlmsg_type == NLMSG_ERROR && h->nlmsg_seq == q.n.nlmsg_seq) {
                int err = -((struct nlmsgerr *)NLMSG_DATA(h))->error;
                return err ? strerrorname_np(err) : "ok";
            }
    }
}

static int nl(void) { return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE); }

static const char *link_up(int s, int index, int up)
{
    struct ifinfomsg *i = begin(RTM_NEWLINK, 0, sizeof *i);
    i->ifi_index = index;
    i->ifi_flags = up ? IFF_UP : 0;
    i->ifi_change = IFF_UP;
    return talk(s);
}

static const char *address(int s, int kind, int flags, int index, const char *ip, int prefix)
{
    int v6 = strchr(ip, ':') != 0;
    unsigned char raw[16];
    inet_pton(v6 ? AF_INET6 : AF_INET, ip, raw);
    struct ifaddrmsg *a = begin(kind, flags, sizeof *a);
    a->ifa_family = v6 ? AF_INET6 : AF_INET;
    a->ifa_prefixlen = prefix;
    a->ifa_flags = v6 ? IFA_F_NODAD : 0;
    a->ifa_index = index;
    attr(IFA_LOCAL, raw, v6 ? 16 : 4);
    attr(IFA_ADDRESS, raw, v6 ? 16 : 4);
    return talk(s);
}

static const char *route(int s, int kind, int flags, const char *dst, int prefix, const char *via, int oif, int metric)
{
    unsigned char raw[4];
    struct rtmsg *r = begin(kind, flags, sizeof *r);
    r->rtm_family = AF_INET;
    r->rtm_dst_len = prefix;
    r->rtm_table = RT_TABLE_MAIN;
    r->rtm_protocol = kind == RTM_NEWROUTE ? RTPROT_BOOT : 0;
    r->rtm_scope = kind == RTM_DELROUTE ? RT_SCOPE_NOWHERE : via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    r->rtm_type = kind == RTM_NEWROUTE ? RTN_UNICAST : 0;
    inet_pton(AF_INET, dst, raw);
    if (prefix)
        attr(RTA_DST, raw, 4);
    if (via) {
        inet_pton(AF_INET, via, raw);
        attr(RTA_GATEWAY, raw, 4);
    }
    if (oif)
        attr(RTA_OIF, &oif, 4);
    if (metric)
        attr(RTA_PRIORITY, &metric, 4);
    return talk(s);
}

static const char *veth(int s, const char *name, const char *peer, int peer_ns)
{
    begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
    attr(IFLA_IFNAME, name, strlen(name) + 1);
    struct rtattr *info = attr(IFLA_LINKINFO, 0, 0);
    attr(IFLA_INFO_KIND, "veth", 5);
    struct rtattr *data = attr(IFLA_INFO_DATA, 0, 0);
    struct ifinfomsg none = {0};
    struct rtattr *p = attr(VETH_INFO_PEER, &none, sizeof none);
    attr(IFLA_IFNAME, peer, strlen(peer) + 1);
    if (peer_ns >= 0)
        attr(IFLA_NET_NS_FD, &peer_ns, 4);
    end(p);
    end(data);
    end(info);
    return talk(s);
}

static const char *delete(int s, int index)
{
    struct ifinfomsg *i = begin(RTM_DELLINK, 0, sizeof *i);
    i->ifi_index = index;
    return talk(s);
}

// ---- what is there

static void show_as(const char *name, const char *path)
{
    char line[512];
    FILE *f = fopen(path, "r");
    printf("%s %s\n", name, f ? "" : strerrorname_np(errno));
    while (f && fgets(line, sizeof line, f))
        printf("  %s", line);
    if (f)
        fclose(f);
}

static void show(const char *path) { show_as(path, path); }

static void flags(int s, const char *name)
{
    struct ifreq r = {0};
    strcpy(r.ifr_name, name);
    int got = ioctl(s, SIOCGIFFLAGS, &r);
    printf("%s %s", name, e(got));
    if (!got)
        // When a link starts to run is the kernel's leisure.
        printf(" %#x", (unsigned short)r.ifr_flags & ~IFF_RUNNING);
    got = ioctl(s, SIOCGIFINDEX, &r);
    printf(" index %d", got ? -1 : r.ifr_ifindex);
    got = ioctl(s, SIOCGIFMTU, &r);
    printf(" mtu %d", got ? -1 : r.ifr_mtu);
    got = ioctl(s, SIOCGIFADDR, &r);
    printf(" addr %s\n", got ? e(got) : inet_ntoa(((struct sockaddr_in *)&r.ifr_addr)->sin_addr));
}

static void names(void)
{
    struct if_nameindex *all = if_nameindex(), *i;
    printf("links:");
    for (i = all; i && i->if_index; i++)
        printf(" %u=%s", i->if_index, i->if_name);
    puts("");
}

static struct sockaddr_in v4(const char *ip, int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, ip, &a.sin_addr);
    return a;
}

static const char *try(int kind, int connecting, const char *ip, int port)
{
    int v6 = strchr(ip, ':') != 0;
    int s = socket(v6 ? AF_INET6 : AF_INET, kind, 0);
    struct sockaddr_in a = v4(ip, port);
    struct sockaddr_in6 b = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (v6)
        inet_pton(AF_INET6, ip, &b.sin6_addr);
    void *addr = v6 ? (void *)&b : &a;
    int len = v6 ? sizeof b : sizeof a;
    const char *r = e(connecting ? connect(s, addr, len) : bind(s, addr, len));
    close(s);
    return r;
}

static void loopback(const char *when)
{
    printf("%s:", when);
    for (int kind = SOCK_STREAM; kind <= SOCK_DGRAM; kind++)
        for (int c = 0; c < 2; c++)
            printf(" %s %s %s", try(kind, c, "127.0.0.1", 4321), try(kind, c, "127.3.2.1", 4321),
                   try(kind, c, "::1", 4321));
    puts("");
    printf("  10.1.1.1 %s", try(SOCK_DGRAM, 1, "10.1.1.1", 9));
    printf(" bind %s", try(SOCK_DGRAM, 0, "10.1.1.1", 9));
    printf(" fd00::1 %s", try(SOCK_DGRAM, 1, "fd00::1", 9));
    printf(" bind %s\n", try(SOCK_DGRAM, 0, "fd00::1", 9));
}

static int fresh(void *arg)
{
    int old = *(int *)arg;
    ino_t before = ns("/proc/self/ns/net");
    int kept = socket(AF_INET, SOCK_STREAM, 0), kept_nl = nl();
    struct sockaddr_in any = v4("127.0.0.1", 0);
    socklen_t len = sizeof any;
    bind(kept, (void *)&any, sizeof any);
    listen(kept, 5);
    getsockname(kept, (void *)&any, &len);
    int port = ntohs(any.sin_port);
    struct sockaddr_un name = {AF_UNIX, "\0ns_net"};
    int u = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t ulen = offsetof(struct sockaddr_un, sun_path) + 7;
    bind(u, (void *)&name, ulen);
    listen(u, 5);

    printf("unshare %s\n", e(unshare(CLONE_NEWNET)));
    ino_t now = ns("/proc/self/ns/net");
    printf("another %d, as thread %d\n", now && now != before, now == ns("/proc/thread-self/ns/net"));
    int fd = open("/proc/self/ns/net", O_RDONLY);
    printf("type %#x", ioctl(fd, NS_GET_NSTYPE));
    int owner = ioctl(fd, NS_GET_USERNS);
    struct stat a, b;
    fstat(owner, &a);
    stat("/proc/self/ns/user", &b);
    printf(" owner mine %d", a.st_ino == b.st_ino);
    printf(" parent %s\n", e(ioctl(fd, NS_GET_PARENT)));

    int s = socket(AF_INET, SOCK_DGRAM, 0), n = nl();
    names();
    flags(s, "lo");
    show("/proc/self/net/if_inet6");
    show("/proc/self/net/route");
    show("/proc/self/net/dev");
    show("/proc/self/net/tcp");
    printf("abstract name: %s\n", e(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&name, ulen)));
    printf("again bound: %s\n", e(bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&name, ulen)));
    loopback("down");
    printf("old port: %s\n", try(SOCK_STREAM, 1, "127.0.0.1", port));

    // The old socket still is where it was.
    printf("kept accepts: ");
    fflush(stdout);
    printf("setns back %s", e(setns(old, CLONE_NEWNET)));
    printf(" connect %s", try(SOCK_STREAM, 1, "127.0.0.1", port));
    flags(kept, "lo");
    printf("setns again %s", e(setns(fd, 0)));
    printf(" wrong type %s", e(setns(fd, CLONE_NEWUTS)));
    printf(" same %d\n", now == ns("/proc/self/ns/net"));
    flags(kept, "lo");
    flags(s, "lo");
    (void)kept_nl;

    // Up, by both ways.
    printf("up %s\n", link_up(n, 1, 1));
    flags(s, "lo");
    show("/proc/self/net/if_inet6");
    loopback("up");
    printf("still other ports: %s\n", try(SOCK_STREAM, 1, "127.0.0.1", port));
    struct ifreq r = {0};
    strcpy(r.ifr_name, "lo");
    printf("down by request %s\n", e(ioctl(s, SIOCSIFFLAGS, &r)));
    flags(s, "lo");
    show("/proc/self/net/if_inet6");
    printf("bind %s %s\n", try(SOCK_STREAM, 0, "127.0.0.1", 77), try(SOCK_STREAM, 0, "::1", 77));
    r.ifr_flags = IFF_UP;
    printf("up by request %s\n", e(ioctl(s, SIOCSIFFLAGS, &r)));
    flags(s, "lo");
    strcpy(r.ifr_name, "nolink");
    printf("no link %s\n", e(ioctl(s, SIOCSIFFLAGS, &r)));

    // The whole network of an address of the loopback is local.
    printf("address %s", address(n, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, 1, "10.9.0.1", 16));
    printf(" again %s", address(n, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, 1, "10.9.0.1", 16));
    printf(" bad prefix %s", address(n, RTM_NEWADDR, NLM_F_CREATE, 1, "10.9.0.1", 33));
    printf(" no link %s\n", address(n, RTM_NEWADDR, NLM_F_CREATE, 99, "10.9.0.1", 16));
    printf("bind %s, in net %s, beside %s\n", try(SOCK_STREAM, 0, "10.9.0.1", 80),
           try(SOCK_STREAM, 0, "10.9.7.7", 80), try(SOCK_STREAM, 0, "10.8.7.7", 80));
    printf("connect %s %s\n", try(SOCK_STREAM, 1, "10.9.0.1", 80), try(SOCK_STREAM, 1, "10.8.0.1", 80));
    printf("gone %s", address(n, RTM_DELADDR, 0, 1, "10.9.0.1", 16));
    printf(" twice %s\n", address(n, RTM_DELADDR, 0, 1, "10.9.0.1", 16));
    printf("bind %s connect %s\n", try(SOCK_STREAM, 0, "10.9.0.1", 80), try(SOCK_STREAM, 1, "10.9.0.1", 80));
    printf("six %s", address(n, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, 1, "fd09::1", 64));
    printf(" again %s", address(n, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, 1, "fd09::1", 64));
    printf(" bind %s", try(SOCK_STREAM, 0, "fd09::1", 80));
    printf(" gone %s\n", address(n, RTM_DELADDR, 0, 1, "fd09::1", 64));
    return 0;
}

static int links(void *arg)
{
    (void)arg;
    unshare(CLONE_NEWNET);
    int s = socket(AF_INET, SOCK_DGRAM, 0), n = nl();
    printf("lo goes %s, nobody %s, none %s\n", delete(n, 1), delete(n, 77), delete(n, 0));
    printf("pair %s", veth(n, "far", "d0", -1));
    printf(" again %s", veth(n, "far", "d0", -1));
    printf(" bad %s %s", veth(n, "a/b", "c", -1), veth(n, "a b", "c", -1));
    printf(" any %s %s\n", veth(n, "x%d", "y%d", -1), link_up(n, 3, 1));
    names();
    flags(s, "d0");
    begin(RTM_NEWLINK, NLM_F_CREATE, sizeof(struct ifinfomsg));
    attr(IFLA_IFNAME, "odd", 4);
    struct rtattr *info = attr(IFLA_LINKINFO, 0, 0);
    attr(IFLA_INFO_KIND, "oddkind", 8);
    end(info);
    printf("odd kind %s", talk(n));
    begin(RTM_NEWLINK, 0, 4);
    printf(" short %s\n", talk(n));
    printf("route by a link that is down %s\n", route(n, RTM_NEWROUTE, NLM_F_CREATE, "10.50.0.0", 16, 0, 2, 0));
    printf("address %s up %s\n", address(n, RTM_NEWADDR, NLM_F_CREATE, 2, "10.1.0.1", 16), link_up(n, 2, 1));
    flags(s, "d0");
    show("/proc/self/net/route");
    printf("routes: %s", route(n, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "10.60.0.0", 16, "10.1.0.9", 0, 0));
    printf(" again %s", route(n, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "10.60.0.0", 16, "10.1.0.9", 0, 0));
    printf(" metric %s", route(n, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "10.60.0.0", 16, "10.1.0.8", 0, 5));
    printf(" far %s", route(n, RTM_NEWROUTE, NLM_F_CREATE, "10.61.0.0", 16, "10.2.0.9", 0, 0));
    printf(" host bits %s", route(n, RTM_NEWROUTE, NLM_F_CREATE, "10.61.0.1", 16, "10.1.0.9", 0, 0));
    printf(" no way %s", route(n, RTM_NEWROUTE, NLM_F_CREATE, "10.61.0.0", 16, 0, 0, 0));
    printf(" no link %s", route(n, RTM_NEWROUTE, NLM_F_CREATE, "10.61.0.0", 16, 0, 99, 0));
    printf(" own %s", route(n, RTM_NEWROUTE, NLM_F_CREATE, "10.61.0.0", 16, "10.1.0.1", 0, 0));
    printf(" not made %s", route(n, RTM_NEWROUTE, NLM_F_REPLACE, "10.63.0.0", 16, "10.1.0.7", 0, 0));
    printf(" default %s\n", route(n, RTM_NEWROUTE, NLM_F_CREATE, "0.0.0.0", 0, "10.1.0.254", 0, 0));
    show("/proc/self/net/route");
    printf("reach: %s %s\n", try(SOCK_DGRAM, 1, "10.60.1.1", 5), try(SOCK_DGRAM, 1, "8.8.8.8", 5));
    printf("gone: %s", route(n, RTM_DELROUTE, 0, "10.60.0.0", 16, 0, 0, 0));
    printf(" %s", route(n, RTM_DELROUTE, 0, "10.60.0.0", 16, "10.1.0.8", 0, 0));
    printf(" %s", route(n, RTM_DELROUTE, 0, "10.60.0.0", 16, 0, 0, 0));
    printf(" default %s\n", route(n, RTM_DELROUTE, 0, "0.0.0.0", 0, 0, 0, 0));
    printf("no way: %s\n", try(SOCK_DGRAM, 1, "8.8.8.8", 5));

    struct ifreq r = {0};
    strcpy(r.ifr_name, "d0");
    r.ifr_mtu = 900;
    printf("mtu %s", e(ioctl(s, SIOCSIFMTU, &r)));
    strcpy(r.ifr_newname, "named");
    printf(" name %s", e(ioctl(s, SIOCSIFNAME, &r)));
    strcpy(r.ifr_name, "named");
    strcpy(r.ifr_newname, "lo");
    printf(" taken %s\n", e(ioctl(s, SIOCSIFNAME, &r)));
    flags(s, "named");
    struct sockaddr_in a = v4("10.77.1.2", 0);
    memcpy(&r.ifr_addr, &a, sizeof a);
    printf("set address %s", e(ioctl(s, SIOCSIFADDR, &r)));
    a = v4("255.255.0.0", 0);
    memcpy(&r.ifr_addr, &a, sizeof a);
    printf(" mask %s\n", e(ioctl(s, SIOCSIFNETMASK, &r)));
    flags(s, "named");
    show("/proc/self/net/route");
    printf("down %s\n", link_up(n, 2, 0));
    show("/proc/self/net/route");
    printf("delete %s\n", delete(n, 2));
    names();
    return 0;
}

static void echo(int port)
{
    int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in a = v4("10.5.0.2", port);
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bind(s, (void *)&a, sizeof a);
    listen(s, 1);
    int c = accept(s, 0, 0);
    char buf[64];
    int n = read(c, buf, sizeof buf);
    write(c, buf, n);
    read(c, buf, 1);
    _exit(0);
}

static int pairs(void *arg)
{
    (void)arg;
    unshare(CLONE_NEWNET);
    int home = open("/proc/self/ns/net", O_RDONLY), n = nl(), s = socket(AF_INET, SOCK_DGRAM, 0);
    unshare(CLONE_NEWNET);
    int far = open("/proc/self/ns/net", O_RDONLY), fn = nl(), fs = socket(AF_INET, SOCK_DGRAM, 0);
    setns(home, CLONE_NEWNET);
    printf("pair %s", veth(n, "va", "vb", -1));
    printf(" taken %s %s", veth(n, "va", "vc", -1), veth(n, "vc", "va", -1));
    printf(" bad fd %s\n", veth(n, "vc", "vd", 0));
    names();
    flags(s, "va");
    struct ifinfomsg *i = begin(RTM_NEWLINK, 0, sizeof *i);
    i->ifi_index = if_nametoindex("vb");
    attr(IFLA_NET_NS_FD, &far, 4);
    printf("move %s", talk(n));
    i = begin(RTM_NEWLINK, 0, sizeof *i);
    i->ifi_index = 1;
    attr(IFLA_NET_NS_FD, &far, 4);
    printf(" lo %s\n", talk(n));
    names();
    flags(fs, "vb");
    flags(s, "vb");
    struct ifreq r = {0};
    strcpy(r.ifr_name, "vb");
    ioctl(fs, SIOCGIFINDEX, &r);
    int vb = r.ifr_ifindex, va = if_nametoindex("va");
    printf("addresses %s %s\n", address(n, RTM_NEWADDR, NLM_F_CREATE, va, "10.5.0.1", 24),
           address(fn, RTM_NEWADDR, NLM_F_CREATE, vb, "10.5.0.2", 24));
    printf("up %s", link_up(n, va, 1));
    flags(s, "va");
    printf("up %s", link_up(fn, vb, 1));
    flags(s, "va");
    flags(fs, "vb");

    // Datagrams there and back.
    setns(far, CLONE_NEWNET);
    int d = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = v4("10.5.0.2", 700), from;
    socklen_t len = sizeof from;
    printf("bind there %s\n", e(bind(d, (void *)&a, sizeof a)));
    setns(home, CLONE_NEWNET);
    printf("bind here %s\n", try(SOCK_DGRAM, 0, "10.5.0.2", 700));
    int h = socket(AF_INET, SOCK_DGRAM, 0);
    char buf[64];
    printf("send %zd", sendto(h, "over", 4, 0, (void *)&a, sizeof a));
    printf(" got %zd", recvfrom(d, buf, sizeof buf, 0, (void *)&from, &len));
    printf(" from %s", inet_ntoa(from.sin_addr));
    printf(" answer %zd", sendto(d, "and back", 8, 0, (void *)&from, len));
    printf(" got %zd\n", recv(h, buf, sizeof buf, 0));
    a.sin_port = htons(701);
    connect(h, (void *)&a, sizeof a);
    send(h, "x", 1, 0);
    printf("nobody there: %s\n", e(recv(h, buf, 1, 0)));

    // A connection.
    fflush(stdout);
    pid_t k = fork();
    if (!k) {
        setns(far, CLONE_NEWNET);
        echo(702);
    }
    a.sin_port = htons(702);
    int c, tries = 0;
    do {
        c = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(c, (void *)&a, sizeof a) == 0)
            break;
        close(c);
        usleep(10000);
    } while (tries++ < 200);
    write(c, "stream", 6);
    int got = read(c, buf, sizeof buf);
    printf("stream %.*s\n", got, buf);
    close(c);
    waitpid(k, 0, 0);

    printf("down there %s", link_up(fn, vb, 0));
    flags(s, "va");
    // An end that is deleted takes the other along; so does the end of its namespace.
    printf("delete %s\n", delete(n, va));
    flags(fs, "vb");
    return 0;
}

static int may(void *arg)
{
    (void)arg;
    int old = open("/proc/self/ns/net", O_RDONLY);
    unshare(CLONE_NEWNET);
    int fd = open("/proc/self/ns/net", O_RDONLY), s = socket(AF_INET, SOCK_DGRAM, 0), n = nl();
    int low = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = v4("0.0.0.0", 80);
    printf("low port %s\n", e(bind(low, (void *)&a, sizeof a)));
    printf("raw %s\n", e(socket(AF_INET, SOCK_RAW, 1)));
    // In a user namespace below, nothing is left.
    printf("user %s\n", e(unshare(CLONE_NEWUSER)));
    struct ifreq r = {0};
    strcpy(r.ifr_name, "lo");
    r.ifr_flags = IFF_UP;
    printf("flags %s", e(ioctl(s, SIOCSIFFLAGS, &r)));
    printf(" link %s", link_up(n, 1, 1));
    printf(" address %s", address(n, RTM_NEWADDR, NLM_F_CREATE, 1, "10.9.0.1", 16));
    printf(" raw %s", e(socket(AF_INET, SOCK_RAW, 1)));
    printf(" setns %s", e(setns(fd, CLONE_NEWNET)));
    printf(" %s\n", e(setns(old, CLONE_NEWNET)));
    printf("own one %s", e(unshare(CLONE_NEWNET)));
    s = socket(AF_INET, SOCK_DGRAM, 0);
    printf(" flags %s\n", e(ioctl(s, SIOCSIFFLAGS, &r)));
    return 0;
}

static int cloned(void *arg)
{
    (void)arg;
    struct { unsigned long flags, pidfd, child_tid, parent_tid, exit_signal, rest[6]; } args = {
        .flags = CLONE_NEWNET, .exit_signal = SIGCHLD};
    fflush(stdout);
    ino_t mine = ns("/proc/self/ns/net");
    pid_t k = syscall(SYS_clone3, &args, sizeof args);
    if (k == 0) {
        printf("child another %d, parent's %d\n", ns("/proc/self/ns/net") != mine,
               ns("/proc/1/ns/net") != ns("/proc/self/ns/net"));
        names();
        fflush(stdout);
        pause();
    }
    usleep(100000);
    char path[64];
    sprintf(path, "/proc/%d/ns/net", k);
    int fd = open(path, O_RDONLY);
    printf("seen from outside %d\n", ns(path) != mine);
    sprintf(path, "/proc/%d/net/if_inet6", k);
    show_as("its if_inet6", path);
    printf("setns %s\n", e(setns(fd, CLONE_NEWNET)));
    names();
    kill(k, SIGKILL);
    waitpid(k, 0, 0);
    flags(socket(AF_INET, SOCK_DGRAM, 0), "lo");
    return 0;
}

int main(void)
{
    setvbuf(stdout, 0, _IOLBF, 0);
    if (become_root_of_own()) {
        puts("no user namespaces");
        return 77;
    }
    printf("not mine: setns %s\n", e(setns(open("/proc/self/ns/net", O_RDONLY), CLONE_NEWNET)));
    // A namespace of ours to come from, the same natively and here.
    unshare(CLONE_NEWNET);
    int s = nl(), home = open("/proc/self/ns/net", O_RDONLY);
    printf("home up %s\n", link_up(s, 1, 1));
    printf("fresh -> %d\n", child(fresh, &home));
    printf("links -> %d\n", child(links, 0));
    printf("pairs -> %d\n", child(pairs, 0));
    printf("may -> %d\n", child(may, 0));
    printf("cloned -> %d\n", child(cloned, 0));
    names();
    return 0;
}
