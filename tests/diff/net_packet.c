// Packet sockets: frames of the loopback and of a pair, bind, names, send, filters, auxiliary
// data, statistics, memberships, who may.
#include "userns.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_addr.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int pack(int kind, int protocol) { return socket(AF_PACKET, kind | SOCK_NONBLOCK, htons(protocol)); }

static struct sockaddr_ll place(int index, int protocol)
{
    struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_ifindex = index, .sll_protocol = htons(protocol)};
    return a;
}

static void name(int s)
{
    struct sockaddr_ll a = {0};
    socklen_t len = sizeof a;
    int r = getsockname(s, (void *)&a, &len);
    printf("  name %s len %d family %d protocol %#x link %d hardware %d type %d address %d\n", e(r), len,
           a.sll_family, ntohs(a.sll_protocol), a.sll_ifindex, a.sll_hatype, a.sll_pkttype, a.sll_halen);
}

// What has come: all but identifications and checksums.
static void drain(const char *what, int s)
{
    unsigned char buf[2048];
    printf("%s:\n", what);
    for (int i = 0; i < 8; i++) {
        struct pollfd p = {s, POLLIN, 0};
        if (poll(&p, 1, 60) != 1 || !(p.revents & POLLIN))
            break;
        struct sockaddr_ll a = {0};
        char control[256];
        struct iovec v = {buf, sizeof buf};
        struct msghdr m = {&a, sizeof a, &v, 1, control, sizeof control, 0};
        int n = recvmsg(s, &m, 0);
        printf("  %d from len %d family %d protocol %#06x link %d hardware %d type %d address %d", n, m.msg_namelen,
               a.sll_family, ntohs(a.sll_protocol), a.sll_ifindex, a.sll_hatype, a.sll_pkttype, a.sll_halen);
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
            struct tpacket_auxdata *x = (void *)CMSG_DATA(c);
            printf(" aux %d/%d %d user %d len %d snap %d mac %d net %d", c->cmsg_level, c->cmsg_type,
                   (int)c->cmsg_len, x->tp_status & 1, x->tp_len, x->tp_snaplen, x->tp_mac, x->tp_net);
        }
        puts("");
        int type;
        socklen_t len = sizeof type;
        getsockopt(s, SOL_SOCKET, SO_TYPE, &type, &len);
        int at = type == SOCK_RAW ? 14 : 0;
        printf("   ");
        for (int k = 0; k < at && k < n; k++)
            printf(" %02x", buf[k]);
        if (n >= at + 28 && a.sll_protocol == htons(ETH_P_IP)) {
            struct iphdr *ip = (void *)(buf + at);
            printf(" ip %d %d len %d protocol %d ttl %d", ip->version, ip->ihl, ntohs(ip->tot_len), ip->protocol, ip->ttl);
            if (ip->protocol == 17)
                printf(" udp to %d len %d text %.*s", ntohs(*(uint16_t *)(buf + at + 22)),
                       ntohs(*(uint16_t *)(buf + at + 24)), n - at - 28, buf + at + 28);
            if (ip->protocol == 1)
                printf(" icmp %d %d", buf[at + 20], buf[at + 21]);
        } else {
            printf(" %.*s", n - at, buf + at);
        }
        puts("");
    }
}

static struct sockaddr_in udp_to(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static unsigned short sum(const void *p, int n)
{
    const unsigned short *w = p;
    unsigned s = 0;
    for (; n > 1; n -= 2)
        s += *w++;
    s = (s >> 16) + (s & 0xffff);
    return ~(s + (s >> 16));
}

static unsigned crafted_from = INADDR_LOOPBACK, crafted_to = INADDR_LOOPBACK;

static int craft(unsigned char *out, const char *text, int port)
{
    struct iphdr *ip = (void *)out;
    int n = strlen(text);
    memset(out, 0, 28);
    ip->version = 4;
    ip->ihl = 5;
    ip->tot_len = htons(28 + n);
    ip->ttl = 9;
    ip->protocol = 17;
    ip->saddr = htonl(crafted_from);
    ip->daddr = htonl(crafted_to);
    ip->check = sum(ip, 20);
    uint16_t u[4] = {htons(5005), htons(port), htons(8 + n), 0};
    memcpy(out + 20, u, 8);
    memcpy(out + 28, text, n);
    return 28 + n;
}

static void own_address(const char *ip)
{
    struct { struct nlmsghdr n; struct ifaddrmsg a; struct rtattr r; unsigned char ip[4]; } q = {
        {sizeof q, RTM_NEWADDR, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, 1, 0}, {AF_INET, 32, 0, 0, 1},
        {RTA_LENGTH(4), IFA_LOCAL}, {0}};
    inet_pton(AF_INET, ip, q.ip);
    char buf[4000];
    int n = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    send(n, &q, sizeof q, 0);
    recv(n, buf, sizeof buf, 0);
    printf("address %d\n", ((struct nlmsgerr *)NLMSG_DATA(buf))->error);
    close(n);
}

static void refused(void)
{
    printf("type %s, stream %s\n", e(socket(AF_PACKET, SOCK_SEQPACKET, 0)), e(socket(AF_PACKET, SOCK_STREAM, 0)));
    int s = pack(SOCK_RAW, 0);
    name(s);
    struct sockaddr_ll a = place(1, ETH_P_IP);
    struct sockaddr_in in = udp_to(1);
    char b[4];
    printf("connect %s listen %s accept %s shutdown %s peer %s\n", e(connect(s, (void *)&a, sizeof a)), e(listen(s, 1)),
           e(accept(s, 0, 0)), e(shutdown(s, 2)), e(getpeername(s, (void *)&a, &(socklen_t){sizeof a})));
    printf("short %s", e(bind(s, (void *)&a, 12)));
    printf(" other family %s", e(bind(s, (void *)&in, sizeof in)));
    a.sll_ifindex = 99;
    printf(" no link %s", e(bind(s, (void *)&a, sizeof a)));
    a.sll_ifindex = -1;
    printf(" bad link %s\n", e(bind(s, (void *)&a, sizeof a)));
    printf("receive %s send %s", e(recv(s, b, 4, 0)), e(send(s, "x", 1, 0)));
    a.sll_ifindex = 99;
    printf(" to nowhere %s", e(sendto(s, "x", 1, 0, (void *)&a, sizeof a)));
    printf(" short %s\n", e(sendto(s, "x", 1, 0, (void *)&a, 12)));
    int n = 0;
    socklen_t len = sizeof n;
    printf("option %s %s\n", e(getsockopt(s, SOL_PACKET, 77, &n, &len)), e(setsockopt(s, SOL_PACKET, 77, &n, 4)));
    int names[] = {SO_TYPE, SO_DOMAIN, SO_PROTOCOL, SO_ERROR, SO_ACCEPTCONN};
    for (int i = 0; i < 5; i++) {
        getsockopt(s, SOL_SOCKET, names[i], &n, &len);
        printf(" %d", n);
    }
    puts("");
    close(s);
}

static void over_loopback(void)
{
    int all = pack(SOCK_RAW, ETH_P_ALL), ip = pack(SOCK_RAW, ETH_P_IP), cooked = pack(SOCK_DGRAM, ETH_P_IP),
        six = pack(SOCK_RAW, ETH_P_IPV6), lo = pack(SOCK_DGRAM, 0);
    struct sockaddr_ll a = place(1, ETH_P_ALL);
    printf("bind %s\n", e(bind(lo, (void *)&a, sizeof a)));
    name(lo);
    a = place(0, 0);
    printf("to any %s\n", e(bind(ip, (void *)&a, sizeof a)));
    name(ip);
    int u = socket(AF_INET, SOCK_DGRAM, 0), v = socket(AF_INET, SOCK_DGRAM, 0), one = 1;
    struct sockaddr_in to = udp_to(4007);
    bind(u, (void *)&to, sizeof to);
    setsockopt(cooked, SOL_PACKET, PACKET_AUXDATA, &one, 4);
    setsockopt(all, SOL_PACKET, PACKET_AUXDATA, &one, 4);
    printf("send %s\n", e(sendto(v, "datagram", 8, 0, (void *)&to, sizeof to)));
    drain("all", all);
    drain("ip", ip);
    drain("cooked", cooked);
    drain("ipv6", six);
    drain("loopback", lo);
    char buf[64];
    printf("delivered %zd\n", recv(u, buf, sizeof buf, MSG_DONTWAIT));

    // Nobody there.
    to = udp_to(4008);
    connect(v, (void *)&to, sizeof to);
    send(v, "void", 4, 0);
    drain("refused", ip);
    printf("told %s\n", e(recv(v, buf, 4, 0)));

    // Statistics are read once.
    struct tpacket_stats st;
    socklen_t len = sizeof st;
    printf("statistics %s", e(getsockopt(ip, SOL_PACKET, PACKET_STATISTICS, &st, &len)));
    printf(" %u %u", st.tp_packets, st.tp_drops);
    getsockopt(ip, SOL_PACKET, PACKET_STATISTICS, &st, &len);
    printf(" then %u %u\n", st.tp_packets, st.tp_drops);

    // Cut, looked at, asked for.
    to = udp_to(4007);
    drain("rest", all);
    sendto(v, "0123456789", 10, 0, (void *)&to, sizeof to);
    usleep(20000);
    printf("peek %zd", recv(ip, buf, 20, MSG_PEEK));
    int n = -1;
    printf(" waits %s %d", e(ioctl(ip, FIONREAD, &n)), n);
    printf(" whole %zd", recv(ip, buf, 20, MSG_TRUNC));
    printf(" then %s\n", e(recv(ip, buf, 20, 0)));
    printf("bad place %s\n", e(recv(cooked, (void *)8, 20, 0)));

    // Outgoing ones left out.
    drain("rest", all);
    printf("ignore %s", e(setsockopt(all, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, 4)));
    n = 7;
    printf(" bad %s\n", e(setsockopt(all, SOL_PACKET, PACKET_IGNORE_OUTGOING, &n, 4)));
    sendto(v, "in only", 7, 0, (void *)&to, sizeof to);
    drain("all", all);
    close(all), close(ip), close(cooked), close(six), close(lo), close(u), close(v);
}

static void sending(void)
{
    int u = socket(AF_INET, SOCK_DGRAM, 0), one = 1;
    struct sockaddr_in to = udp_to(4009), from;
    to.sin_addr.s_addr = INADDR_ANY;
    bind(u, (void *)&to, sizeof to);
    setsockopt(u, IPPROTO_IP, IP_RECVTTL, &one, 4);
    int s = pack(SOCK_DGRAM, ETH_P_ALL), r = pack(SOCK_RAW, ETH_P_ALL);
    struct sockaddr_ll a = place(1, ETH_P_IP);
    a.sll_halen = 6;
    unsigned char b[200] = {0};
    // Loopback addresses are for routed packets, own ones no source of others.
    int n = craft(b, "crafted", 4009);
    printf("cooked %zd", sendto(s, b, n, 0, (void *)&a, sizeof a));
    crafted_to = 0x0a090001;
    n = craft(b, "crafted", 4009);
    printf(" %zd", sendto(s, b, n, 0, (void *)&a, sizeof a));
    crafted_from = 0x0a090001;
    n = craft(b, "crafted", 4009);
    printf(" %zd", sendto(s, b, n, 0, (void *)&a, sizeof a));
    char buf[64], control[64] = {0};
    usleep(20000);
    printf(" arrives %s\n", e(recv(u, buf, sizeof buf, MSG_DONTWAIT)));
    drain("the rest", r);
    crafted_from = 0x0ac80001;
    n = craft(b, "crafted", 4009);
    printf("cooked %zd\n", sendto(s, b, n, 0, (void *)&a, sizeof a));
    struct iovec v = {buf, sizeof buf};
    struct msghdr m = {&from, sizeof from, &v, 1, control, sizeof control, 0};
    usleep(20000);
    n = recvmsg(u, &m, MSG_DONTWAIT);
    struct cmsghdr *c = n < 0 ? 0 : CMSG_FIRSTHDR(&m);
    printf("arrives %d %.*s from port %d ttl %d\n", n, n > 0 ? n : 0, buf, n < 0 ? 0 : ntohs(from.sin_port),
           c ? *(int *)CMSG_DATA(c) : -1);
    drain("the sender sees", s);
    drain("another sees", r);

    memset(b, 0, 14);
    b[12] = 8;
    n = 14 + craft(b + 14, "whole", 4009);
    printf("raw %zd", sendto(r, b, n, 0, (void *)&a, sizeof a));
    usleep(20000);
    n = recv(u, buf, sizeof buf, MSG_DONTWAIT);
    printf(" arrives %d %.*s\n", n, n > 0 ? n : 0, buf);
    drain("cooked sees", s);
    drain("the sender sees", r);
    // To somebody else, to all, of no protocol.
    b[0] = 2;
    n = 14 + craft(b + 14, "other", 4009);
    sendto(r, b, n, 0, (void *)&a, sizeof a);
    memset(b, 255, 6);
    sendto(r, b, n, 0, (void *)&a, sizeof a);
    memset(b, 0, 14);
    b[12] = 0x88, b[13] = 0xb5;
    strcpy((char *)b + 14, "hello");
    sendto(r, b, 19, 0, (void *)&a, sizeof a);
    drain("cooked sees", s);
    printf("too short %s %s", e(sendto(r, b, 13, 0, (void *)&a, sizeof a)), e(sendto(r, b, 0, 0, (void *)&a, sizeof a)));
    static char big[70000];
    printf(" too big %s\n", e(sendto(s, big, sizeof big, 0, (void *)&a, sizeof a)));
    a = place(1, 0x88b5);
    printf("bound: %s %zd\n", e(bind(s, (void *)&a, sizeof a)), send(s, "by name", 7, 0));
    drain("raw sees", r);
    close(s), close(r), close(u);
}

static void filters(void)
{
    int s = pack(SOCK_DGRAM, ETH_P_ALL);
    // UDP to port 4010, not outgoing, 30 bytes of it.
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, SKF_AD_OFF + SKF_AD_PROTOCOL),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 8),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 17, 0, 6),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, SKF_AD_OFF + SKF_AD_PKTTYPE),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 4, 0),
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
        BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 4010, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 30),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog p = {11, code};
    int one = 1;
    printf("none to take %s\n", e(setsockopt(s, SOL_SOCKET, SO_DETACH_FILTER, &one, 4)));
    printf("attach %s", e(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof p)));
    p.len = 0;
    printf(" empty %s", e(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof p)));
    p.len = 9;
    printf(" endless %s", e(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof p)));
    p.len = 11;
    printf(" short %s", e(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &p, 8)));
    p.filter = (void *)8;
    printf(" bad place %s\n", e(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof p)));
    p.filter = code;
    setsockopt(s, SOL_PACKET, PACKET_AUXDATA, &one, 4);
    int v = socket(AF_INET, SOCK_DGRAM, 0);
    for (int port = 4009; port < 4012; port++) {
        struct sockaddr_in to = udp_to(port);
        sendto(v, "filtered", 8, 0, (void *)&to, sizeof to);
    }
    drain("filtered", s);
    printf("lock %s", e(setsockopt(s, SOL_SOCKET, SO_LOCK_FILTER, &one, 4)));
    printf(" detach %s", e(setsockopt(s, SOL_SOCKET, SO_DETACH_FILTER, &one, 4)));
    printf(" attach %s\n", e(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof p)));
    close(s), close(v);
}

static void members(void)
{
    int s = pack(SOCK_RAW, ETH_P_ALL);
    struct packet_mreq m = {1, PACKET_MR_PROMISC, 0, {0}};
    printf("promiscuous %s", e(setsockopt(s, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof m)));
    printf(" twice %s", e(setsockopt(s, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof m)));
    printf(" drop %s", e(setsockopt(s, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &m, sizeof m)));
    printf(" short %s", e(setsockopt(s, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, 8)));
    m.mr_type = PACKET_MR_ALLMULTI;
    printf(" not in %s", e(setsockopt(s, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &m, sizeof m)));
    m.mr_ifindex = 99;
    printf(" no link %s", e(setsockopt(s, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof m)));
    m.mr_ifindex = 1;
    m.mr_alen = 9;
    printf(" long %s\n", e(setsockopt(s, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof m)));
    close(s);
}

// A connection over the loopback is seen too.
static void stream(void)
{
    int l = socket(AF_INET, SOCK_STREAM, 0), old = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = udp_to(4020);
    bind(l, (void *)&to, sizeof to);
    listen(l, 5);
    int r0 = connect(old, (void *)&to, sizeof to), o = accept(l, 0, 0);
    int s = pack(SOCK_DGRAM, ETH_P_IP), c = socket(AF_INET, SOCK_STREAM, 0);
    int r1 = connect(c, (void *)&to, sizeof to), a = accept(l, 0, 0);
    printf("connect %d %d accept %d %d", r0, r1, o > 0, a > 0);
    char buf[2000];
    printf(" send %zd", write(c, "streamed", 8));
    printf(" got %zd", read(a, buf, 20));
    printf(" answer %zd", write(a, "back", 4));
    printf(" got %zd", read(c, buf, 20));
    printf(" old %zd", write(old, "old", 3));
    printf(" got %zd\n", read(o, buf, 20));
    close(c);
    printf("end %zd", read(a, buf, 20));
    close(a), close(o), close(old);
    usleep(50000);
    int syn = 0, fin = 0, data = 0, n;
    while ((n = recv(s, buf, sizeof buf, 0)) > 0) {
        if (buf[9] != 6 || n < 40)
            continue;
        syn += buf[33] & 2 ? 1 : 0;
        fin += buf[33] & 1 ? 1 : 0;
        data += memmem(buf, n, "streamed", 8) || memmem(buf, n, "back", 4);
    }
    printf(" seen %d %d %d\n", syn, fin > 1, data);
    to = udp_to(4021);
    c = socket(AF_INET, SOCK_STREAM, 0);
    printf("nobody %s\n", e(connect(c, (void *)&to, sizeof to)));
    close(c), close(l), close(s);
}

// A pair, both ends here.
static void pair(void)
{
    static struct { struct nlmsghdr n; struct ifinfomsg i; char rest[200]; } q;
    q.n = (struct nlmsghdr){NLMSG_LENGTH(sizeof q.i), RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 1, 0};
    struct rtattr *a = (void *)q.rest, *b;
    *a = (struct rtattr){RTA_LENGTH(3), IFLA_IFNAME};
    memcpy(RTA_DATA(a), "p0", 3);
    b = (void *)((char *)a + RTA_ALIGN(a->rta_len));
    *b = (struct rtattr){RTA_LENGTH(RTA_LENGTH(5)), IFLA_LINKINFO};
    struct rtattr *c = RTA_DATA(b);
    *c = (struct rtattr){RTA_LENGTH(5), IFLA_INFO_KIND};
    memcpy(RTA_DATA(c), "veth", 5);
    q.n.nlmsg_len = (char *)b + RTA_ALIGN(b->rta_len) - (char *)&q;
    int n = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    char buf[4000];
    send(n, &q, q.n.nlmsg_len, 0);
    recv(n, buf, sizeof buf, 0);
    close(n);
    int u = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq r = {0};
    unsigned char mac[2][6];
    int index[2];
    for (int i = 0; i < 2; i++) {
        strcpy(r.ifr_name, i ? "veth0" : "p0");
        ioctl(u, SIOCGIFHWADDR, &r);
        memcpy(mac[i], r.ifr_hwaddr.sa_data, 6);
        index[i] = if_nametoindex(r.ifr_name);
    }
    int s = pack(SOCK_RAW, 0x88b5), d = pack(SOCK_DGRAM, 0x88b5);
    struct sockaddr_ll from = place(index[0], 0x88b5), to = place(index[1], 0x88b5);
    printf("down: bind %s", e(bind(s, (void *)&from, sizeof from)));
    printf(" receive %s", e(recv(s, buf, 9, 0)));
    printf(" then %s", e(recv(s, buf, 9, 0)));
    printf(" send %s\n", e(send(s, "12345678901234", 14, 0)));
    for (int i = 0; i < 2; i++) {
        strcpy(r.ifr_name, i ? "veth0" : "p0");
        r.ifr_flags = IFF_UP;
        ioctl(u, SIOCSIFFLAGS, &r);
    }
    usleep(100000);
    printf("bind %s\n", e(bind(d, (void *)&to, sizeof to)));
    name(d);
    memcpy(from.sll_addr, mac[1], 6);
    from.sll_halen = 6;
    int w = pack(SOCK_DGRAM, 0);
    printf("send %zd\n", sendto(w, "to the other end", 16, 0, (void *)&from, sizeof from));
    drain("cooked", d);
    memset(from.sll_addr, 0xff, 6);
    sendto(w, "to all", 6, 0, (void *)&from, sizeof from);
    from.sll_addr[1] = 0;
    sendto(w, "to some", 7, 0, (void *)&from, sizeof from);
    from.sll_addr[0] = 2;
    sendto(w, "to others", 9, 0, (void *)&from, sizeof from);
    drain("cooked", d);
    drain("its own end", s);
    static char big[1600];
    printf("too big %s\n", e(sendto(w, big, 1501, 0, (void *)&from, sizeof from)));
}

int main(void)
{
    setvbuf(stdout, 0, _IOLBF, 0);
    if (become_root_of_own()) {
        puts("no user namespaces");
        return 77;
    }
    printf("not mine %s\n", e(socket(AF_PACKET, SOCK_RAW, 0)));
    unshare(CLONE_NEWNET);
    struct ifreq r = {0};
    strcpy(r.ifr_name, "lo");
    r.ifr_flags = IFF_UP;
    ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &r);
    own_address("10.9.0.1");
    refused();
    over_loopback();
    sending();
    filters();
    members();
    stream();
    pair();
    unshare(CLONE_NEWUSER);
    printf("below %s\n", e(socket(AF_PACKET, SOCK_RAW, 0)));
    return 0;
}
