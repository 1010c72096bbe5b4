/* Unix datagram and seqpacket sockets: boundaries, truncation, addresses, queue limits. */
#include "diff.h"
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct sockaddr_un un(const char *s)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	strcpy(a.sun_path, s);
	return a;
}
static long rmsg(int line, int s, int flags, size_t cap)
{
	char b[100] = "";
	struct sockaddr_un from = { 0 };
	struct iovec v[2] = { { b, cap > 2 ? 2 : cap }, { b + 2, cap > 2 ? cap - 2 : 0 } };
	struct msghdr m = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = v, .msg_iovlen = 2 };
	ssize_t r = recvmsg(s, &m, flags);
	if (r < 0)
		say(line, "recvmsg %s", ename(errno));
	else
		say(line, "recvmsg %zd \"%s\" flags %x from %u \"%s\"", r, b, m.msg_flags, m.msg_namelen, from.sun_path);
	return r;
}

int main(void)
{
	int sv[2], a, b, c, n;
	char buf[200];
	struct sockaddr_un A = un("a"), B = un("b");
	signal(SIGPIPE, SIG_IGN);
	static char huge[400000];

	R(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, sv));
	R(send(sv[0], "one", 3, 0));
	R(send(sv[0], "", 0, 0));
	R(send(sv[0], "three", 5, 0));
	R(ioctl(sv[1], FIONREAD, &n));
	P("next has %d", n);
	R(recv(sv[1], buf, 2, MSG_PEEK | MSG_TRUNC));
	rmsg(__LINE__, sv[1], 0, 2);
	rmsg(__LINE__, sv[1], 0, 50);
	rmsg(__LINE__, sv[1], MSG_TRUNC, 3);
	rmsg(__LINE__, sv[1], 0, 50);
	R(send(sv[0], huge, sizeof huge, 0));
	n = 0;
	while (send(sv[0], "x", 1, 0) == 1)
		n++;
	P("queue until %s; more than 5: %d", ename(errno), n > 5);
	close(sv[1]);
	R(send(sv[0], "x", 1, 0));
	R(recv(sv[0], buf, 1, 0));
	close(sv[0]);

	a = socket(AF_UNIX, SOCK_DGRAM, 0);
	b = socket(AF_UNIX, SOCK_DGRAM, 0);
	c = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	R(bind(a, (void *)&A, sizeof A));
	R(bind(b, (void *)&B, sizeof B));
	R(listen(a, 1));
	R(accept(a, NULL, NULL));
	R(send(c, "x", 1, 0));
	R(sendto(c, "anon", 4, 0, (void *)&A, sizeof A));
	R(sendto(b, "named", 5, 0, (void *)&A, sizeof A));
	rmsg(__LINE__, a, 0, 50);
	rmsg(__LINE__, a, 0, 50);
	R(sendto(c, "x", 1, 0, (void *)&(struct sockaddr_un){ AF_UNIX, "none" }, sizeof A));
	R(sendto(c, "x", 1, 0, BAD, sizeof A));
	R(sendto(c, "x", 1, 0, (void *)&A, 1));
	/* connected ones take only from their peer */
	R(connect(a, (void *)&B, sizeof B));
	R(sendto(c, "x", 1, 0, (void *)&A, sizeof A));
	R(connect(c, (void *)&A, sizeof A));
	R(send(a, "to b", 4, 0));
	rmsg(__LINE__, b, 0, 50);
	R(connect(a, (void *)&(struct sockaddr){ AF_UNSPEC }, sizeof(struct sockaddr)));
	R(send(a, "x", 1, 0));
	R(connect(c, (void *)&A, sizeof A));
	R(send(c, "ok", 2, 0));
	rmsg(__LINE__, a, MSG_DONTWAIT, 50);
	unlink("a");
	R(send(c, "still", 5, 0));
	rmsg(__LINE__, a, MSG_DONTWAIT, 50);
	close(a);
	R(send(c, "x", 1, 0));
	R(shutdown(b, SHUT_RD));
	R(sendto(c, "x", 1, 0, (void *)&B, sizeof B));

	/* seqpacket */
	R(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv));
	R(send(sv[0], "first", 5, 0));
	R(send(sv[0], "second", 6, 0));
	R(write(sv[0], "third", 5));
	rmsg(__LINE__, sv[1], 0, 3);
	rmsg(__LINE__, sv[1], MSG_PEEK, 50);
	rmsg(__LINE__, sv[1], 0, 50);
	R(read(sv[1], buf, 2));
	rmsg(__LINE__, sv[1], MSG_DONTWAIT, 50);
	R(sendto(sv[0], "x", 1, 0, (void *)&B, sizeof B));
	close(sv[0]);
	rmsg(__LINE__, sv[1], 0, 50);
	R(send(sv[1], "x", 1, 0));
	int l = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	struct sockaddr_un Q = un("q");
	bind(l, (void *)&Q, sizeof Q);
	listen(l, 2);
	c = socket(AF_UNIX, SOCK_STREAM, 0);
	R(connect(c, (void *)&Q, sizeof Q));
	c = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	R(recv(c, buf, 1, 0));
	R(connect(c, (void *)&Q, sizeof Q));
	a = accept(l, NULL, NULL);
	R(send(c, "via name", 8, 0));
	rmsg(__LINE__, a, 0, 50);
	/* mmsg */
	struct mmsghdr mm[3];
	struct iovec v[3] = { { "m1", 2 }, { "m22", 3 }, { "m333", 4 } };
	memset(mm, 0, sizeof mm);
	for (int i = 0; i < 3; i++)
		mm[i].msg_hdr = (struct msghdr){ .msg_iov = &v[i], .msg_iovlen = 1 };
	R(sendmmsg(c, mm, 3, 0));
	P("%u %u %u", mm[0].msg_len, mm[1].msg_len, mm[2].msg_len);
	char in[3][10];
	for (int i = 0; i < 3; i++)
		v[i] = (struct iovec){ in[i], 10 };
	R(recvmmsg(a, mm, 2, 0, NULL));
	P("%.2s %.3s", in[0], in[1]);
	R(recvmmsg(a, mm, 3, MSG_DONTWAIT, NULL));
	R(recvmmsg(a, mm, 3, MSG_DONTWAIT, NULL));
	R(sendmmsg(c, BAD, 1, 0));
	R(recvmmsg(a, BAD, 1, MSG_DONTWAIT, NULL));
	R(sendmsg(c, BAD, 0));
	R(recvmsg(c, BAD, 0));
	struct msghdr h = { .msg_iov = v, .msg_iovlen = 1025 };
	R(sendmsg(c, &h, 0));
	h.msg_iov = BAD;
	h.msg_iovlen = 1;
	R(sendmsg(c, &h, 0));
	return 0;
}
