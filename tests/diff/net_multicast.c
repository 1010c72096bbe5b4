/* Multicast over lo: the chosen link, membership, who receives. */
#include "diff.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

static int udp(int port, const char *ip)
{
	int s = socket(AF_INET, SOCK_DGRAM, 0), one = 1;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	inet_pton(AF_INET, ip, &a.sin_addr);
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(s, (void *)&a, sizeof a))
		P("bind %s", ename(errno));
	return s;
}

static void send_to(int s, const char *group, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	inet_pton(AF_INET, group, &a.sin_addr);
	long r = sendto(s, "hello", 5, 0, (void *)&a, sizeof a);
	P("send to %s: %s", group, r == 5 ? "5" : ename(errno));
}

static void look(const char *what, int s)
{
	char buf[16];
	struct sockaddr_in from = { 0 };
	socklen_t len = sizeof from;
	struct pollfd p = { s, POLLIN, 0 };
	int n = poll(&p, 1, 100);
	if (n != 1) {
		P("%s: nothing", what);
		return;
	}
	long r = recvfrom(s, buf, sizeof buf, 0, (void *)&from, &len);
	P("%s: %ld from %s", what, r, inet_ntoa(from.sin_addr));
}

int main(void)
{
	struct in_addr lo = { htonl(INADDR_LOOPBACK) }, other = { htonl(0xc0000201) }, any = { 0 };
	struct ip_mreqn by_index = { .imr_ifindex = 1 }, no_index = { .imr_ifindex = 4711 };
	struct in_addr got;
	socklen_t len = sizeof got;
	int zero = 0, one = 1, minus = -1, six = 6;
	int a = udp(7801, "0.0.0.0"), b = udp(7801, "0.0.0.0"), g = udp(7801, "239.1.2.3"), s = udp(0, "0.0.0.0");

	P("if short %s", setsockopt(s, 0, IP_MULTICAST_IF, &lo, 3) ? ename(errno) : "0");
	P("if other %s", setsockopt(s, 0, IP_MULTICAST_IF, &other, 4) ? ename(errno) : "0");
	P("if no index %s", setsockopt(s, 0, IP_MULTICAST_IF, &no_index, sizeof no_index) ? ename(errno) : "0");
	P("if lo %s", setsockopt(s, 0, IP_MULTICAST_IF, &lo, 4) ? ename(errno) : "0");
	P("get %d %u %s", getsockopt(s, 0, IP_MULTICAST_IF, &got, &len), len, inet_ntoa(got));
	P("ttl -1 %s 256 %s", setsockopt(s, 0, IP_MULTICAST_TTL, &minus, 4) ? ename(errno) : "0", setsockopt(s, 0, IP_MULTICAST_TTL, &(int){ 256 }, 4) ? ename(errno) : "0");
	P("all -1 %s", setsockopt(s, 0, IP_MULTICAST_ALL, &minus, 4) ? ename(errno) : "0");
	P("discover 6 %s", setsockopt(s, 0, IP_MTU_DISCOVER, &six, 4) ? ename(errno) : "0");
	send_to(s, "239.1.2.3", 7801);
	look("nobody joined", a);

	struct ip_mreq join = { .imr_interface = lo };
	inet_pton(AF_INET, "239.1.2.3", &join.imr_multiaddr);
	P("join %s", setsockopt(a, 0, IP_ADD_MEMBERSHIP, &join, sizeof join) ? ename(errno) : "0");
	P("again %s", setsockopt(a, 0, IP_ADD_MEMBERSHIP, &join, sizeof join) ? ename(errno) : "0");
	send_to(s, "239.1.2.3", 7801);
	look("joined", a), look("beside it", b), look("bound to the group", g);
	setsockopt(b, 0, IP_MULTICAST_ALL, &zero, 4);
	send_to(s, "239.1.2.3", 7801);
	look("joined", a), look("not of all", b), look("bound to the group", g);
	send_to(s, "239.1.2.4", 7801);
	look("another group", a);

	P("by index %s", setsockopt(s, 0, IP_MULTICAST_IF, &by_index, sizeof by_index) ? ename(errno) : "0");
	setsockopt(s, 0, IP_MULTICAST_LOOP, &zero, 4);
	send_to(s, "239.1.2.3", 7801);
	look("without loop", a);
	P("leave %s", setsockopt(a, 0, IP_DROP_MEMBERSHIP, &join, sizeof join) ? ename(errno) : "0");
	P("again %s", setsockopt(a, 0, IP_DROP_MEMBERSHIP, &join, sizeof join) ? ename(errno) : "0");
	while (recv(g, (char[8]){ 0 }, 8, MSG_DONTWAIT) > 0)
		;
	send_to(s, "239.1.2.3", 7801);
	look("left", g);

	int from_lo = udp(0, "127.0.0.1");
	setsockopt(a, 0, IP_ADD_MEMBERSHIP, &join, sizeof join);
	send_to(from_lo, "239.1.2.3", 7801);
	look("bound to lo", a);
	P("reset %s", setsockopt(s, 0, IP_MULTICAST_IF, &any, 4) ? ename(errno) : "0");
	getsockopt(s, 0, IP_MULTICAST_IF, &got, &len);
	P("get %s", inet_ntoa(got));

	int v6 = socket(AF_INET6, SOCK_DGRAM, 0);
	P("v6 lo %s none %s", setsockopt(v6, IPPROTO_IPV6, IPV6_MULTICAST_IF, &one, 4) ? ename(errno) : "0", setsockopt(v6, IPPROTO_IPV6, IPV6_MULTICAST_IF, &(int){ 4711 }, 4) ? ename(errno) : "0");
	int t = socket(AF_INET6, SOCK_STREAM, 0);
	P("levels %s", getsockopt(t, IPPROTO_UDP, 1, &got, &len) ? ename(errno) : "0");
	P("%s", getsockopt(s, IPPROTO_IPV6, 1, &got, &len) ? ename(errno) : "0");
	P("short %s", setsockopt(t, IPPROTO_TCP, 99, &one, 1) ? ename(errno) : "0");
	P("filters %s", setsockopt(s, 0, 39, &one, 4) ? ename(errno) : "0");
	return 0;
}
