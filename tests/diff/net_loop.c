/* TCP and UDP over loopback: connection, refusal, shutdown, addresses, options, v6. */
#include "diff.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static struct sockaddr_in lo(int port) { return (struct sockaddr_in){ AF_INET, htons(port), { htonl(INADDR_LOOPBACK) } }; }
static void opt(int line, int s, int lev, int o)
{
	int v = -1;
	socklen_t n = sizeof v;
	int r = getsockopt(s, lev, o, &v, &n);
	say(line, "option %d/%d: %s %d", lev, o, r ? ename(errno) : "ok", v);
}

int main(void)
{
	struct sockaddr_in a = lo(4321), b;
	socklen_t n = sizeof b;
	char buf[100];
	int one = 1, q;
	static char big[1 << 20];
	signal(SIGPIPE, SIG_IGN);

	int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
	R(setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, 4));
	R(connect(c, (void *)&a, sizeof a));
	R(bind(l, (void *)&a, sizeof a));
	R(bind(l, (void *)&a, sizeof a));
	R(listen(l, 5));
	R(bind(c, (void *)&a, sizeof a));
	R(fcntl(l, F_SETFL, O_NONBLOCK));
	R(accept(l, NULL, NULL));
	R(connect(c, (void *)&a, sizeof a));
	R(connect(c, (void *)&a, sizeof a));
	fcntl(l, F_SETFL, 0);
	int s = accept(l, (void *)&b, &n);
	R(s >= 0);
	P("peer %s family %d len %u", inet_ntoa(b.sin_addr), b.sin_family, n);
	n = sizeof b;
	getsockname(s, (void *)&b, &n);
	P("own %s:%d", inet_ntoa(b.sin_addr), ntohs(b.sin_port));
	R(send(c, "hello", 5, 0));
	R(recv(s, buf, 3, MSG_PEEK));
	R(recv(s, buf, 100, 0));
	P("%.5s", buf);
	R(recv(s, buf, 100, MSG_DONTWAIT));
	R(ioctl(s, FIONREAD, &q));
	P("%d", q);
	R(setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, 4));
	opt(__LINE__, c, IPPROTO_TCP, TCP_NODELAY);
	opt(__LINE__, c, SOL_SOCKET, SO_TYPE);
	opt(__LINE__, c, SOL_SOCKET, SO_PROTOCOL);
	opt(__LINE__, c, SOL_SOCKET, SO_ERROR);
	opt(__LINE__, l, SOL_SOCKET, SO_ACCEPTCONN);
	opt(__LINE__, c, SOL_SOCKET, SO_KEEPALIVE);
	struct tcp_info ti;
	n = sizeof ti;
	R(getsockopt(c, IPPROTO_TCP, TCP_INFO, &ti, &n));
	P("state %d", ti.tcpi_state);
	pid_t k = fork();
	if (!k) {
		close(s);
		size_t t = 0;
		ssize_t r;
		memset(big, 'b', sizeof big);
		while (t < sizeof big && (r = write(c, big + t, sizeof big - t)) > 0)
			t += r;
		shutdown(c, SHUT_WR);
		r = read(c, buf, 100);
		P("child wrote %zu, read %zd", t, r);
		_exit(0);
	}
	close(c);
	size_t t = 0;
	ssize_t r;
	while ((r = read(s, big, 50000)) > 0)
		t += r;
	P("read %zu", t);
	write(s, "bye", 3);
	reap(__LINE__, "child", k);
	R(read(s, buf, 1));
	close(s);
	/* reset */
	c = socket(AF_INET, SOCK_STREAM, 0);
	R(connect(c, (void *)&a, sizeof a));
	s = accept(l, NULL, NULL);
	struct linger lg = { 1, 0 };
	R(setsockopt(s, SOL_SOCKET, SO_LINGER, &lg, sizeof lg));
	close(s);
	msleep(20);
	R(read(c, buf, 1));
	R(read(c, buf, 1));
	R(write(c, "x", 1));
	close(c);
	/* non-blocking connect, poll, refused */
	c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	a = lo(4999);
	r = connect(c, (void *)&a, sizeof a);
	struct pollfd pf = { c, POLLOUT, 0 };
	R(poll(&pf, 1, 1000));
	opt(__LINE__, c, SOL_SOCKET, SO_ERROR);
	close(c);
	a = lo(4321);
	c = socket(AF_INET, SOCK_STREAM, 0);
	R(getpeername(c, (void *)&b, &n));
	R(read(c, buf, 1));
	R(write(c, "x", 1));
	R(shutdown(c, SHUT_RD));
	R(connect(c, (void *)&a, 5));
	a.sin_family = 77;
	R(connect(c, (void *)&a, sizeof a));
	a = lo(4321);
	close(c);
	a.sin_addr.s_addr = htonl(0x0a010203);
	c = socket(AF_INET, SOCK_STREAM, 0);
	R(bind(c, (void *)&a, sizeof a));
	R(connect(c, (void *)&a, sizeof a));
	close(c);
	close(l);

	/* UDP */
	int u = socket(AF_INET, SOCK_DGRAM, 0), w = socket(AF_INET, SOCK_DGRAM, 0);
	a = lo(4322);
	R(bind(u, (void *)&a, sizeof a));
	R(send(w, "x", 1, 0));
	R(sendto(w, "one", 3, 0, (void *)&a, sizeof a));
	R(sendto(w, "", 0, 0, (void *)&a, sizeof a));
	R(sendto(w, "three", 5, 0, (void *)&a, sizeof a));
	n = sizeof b;
	R(recvfrom(u, buf, 2, MSG_TRUNC, (void *)&b, &n));
	P("from %s", inet_ntoa(b.sin_addr));
	R(recv(u, buf, 100, 0));
	R(recv(u, buf, 100, 0));
	R(sendto(u, "back", 4, 0, (void *)&b, sizeof b));
	R(recv(w, buf, 100, 0));
	R(sendto(w, big, 70000, 0, (void *)&a, sizeof a));
	R(connect(w, (void *)&a, sizeof a));
	R(send(w, "conn", 4, 0));
	R(recv(u, buf, 100, 0));
	close(u);
	R(send(w, "lost", 4, 0));
	msleep(10);
	R(send(w, "lost", 4, 0));
	R(recv(w, buf, 1, MSG_DONTWAIT));
	/* IPv6 and mapped */
	int s6 = socket(AF_INET6, SOCK_STREAM, 0);
	struct sockaddr_in6 a6 = { AF_INET6, htons(4323), 0, IN6ADDR_ANY_INIT, 0 };
	R(bind(s6, (void *)&a6, sizeof a6));
	R(listen(s6, 1));
	c = socket(AF_INET, SOCK_STREAM, 0);
	a = lo(4323);
	R(connect(c, (void *)&a, sizeof a));
	n = sizeof a6;
	R(accept(s6, (void *)&a6, &n) >= 0);
	char str[64];
	P("%s", inet_ntop(AF_INET6, &a6.sin6_addr, str, 64));
	return 0;
}
