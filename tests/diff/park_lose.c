/*
 * As park_close, for the rest of the calls that wait: connect, datagrams with addresses,
 * message queues, signalfd, splice and sendfile, POSIX locks, pidfd, waits with a mask.
 */
#include "diff.h"
#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>

static char buf[8192], big[70000];
static sigset_t none;
static int from, to;

static void c_connect(struct parked *p) { struct sockaddr_un un = { AF_UNIX, "\0lose" }; PARKED_RET(p, connect(p->fd, (void *)&un, 7)); }
static void c_accept4(struct parked *p)
{
	struct sockaddr_un un;
	socklen_t n = sizeof un;
	PARKED_RET(p, accept4(p->fd, (void *)&un, &n, SOCK_CLOEXEC) >= 0 ? 0 : -1);
}
static void c_recvfrom(struct parked *p)
{
	struct sockaddr_un un;
	socklen_t n = sizeof un;
	PARKED_RET(p, recvfrom(p->fd, buf, 100, 0, (void *)&un, &n));
}
static void c_recvmsg(struct parked *p)
{
	struct iovec v = { buf, 100 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	PARKED_RET(p, recvmsg(p->fd, &m, 0));
}
static void c_sendmsg(struct parked *p)
{
	struct iovec v = { big, 100 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	PARKED_RET(p, sendmsg(p->fd, &m, 0));
}
static void c_stream(struct parked *p) { PARKED_RET(p, send(p->fd, big, sizeof big, 0)); }
static void c_mqrecv(struct parked *p) { PARKED_RET(p, mq_receive(p->fd, buf, sizeof buf, NULL)); }
static void c_mqsend(struct parked *p) { PARKED_RET(p, mq_send(p->fd, "second", 6, 1)); }
static void c_signalfd(struct parked *p) { PARKED_RET(p, read(p->fd, buf, sizeof(struct signalfd_siginfo))); }
static void c_eventfd(struct parked *p) { PARKED_RET(p, write(p->fd, &(uint64_t){ 5 }, 8)); }
static void c_splice(struct parked *p) { PARKED_RET(p, splice(from, NULL, to, NULL, 4, 0)); }
static void c_tee(struct parked *p) { PARKED_RET(p, tee(from, to, 4, 0)); }
static void c_sendfile(struct parked *p) { PARKED_RET(p, sendfile(to, from, NULL, 6)); }
static void c_setlkw(struct parked *p) { struct flock f = { .l_type = F_WRLCK }; PARKED_RET(p, fcntl(p->fd, F_SETLKW, &f)); }
static void c_waitid(struct parked *p) { siginfo_t i; PARKED_RET(p, waitid(P_PIDFD, p->fd, &i, WEXITED)); }
static void c_ppoll(struct parked *p)
{
	struct pollfd f = { p->fd, POLLIN, 0 };
	struct timespec t = { 3, 0 };
	PARKED_RET(p, ppoll(&f, 1, &t, &none));
}
static void c_pselect(struct parked *p)
{
	struct timespec t = { 3, 0 };
	fd_set r;
	FD_ZERO(&r);
	FD_SET(p->fd, &r);
	PARKED_RET(p, pselect(p->fd + 1, &r, NULL, NULL, &t, &none));
}
static void c_epoll(struct parked *p)
{
	struct epoll_event e;
	PARKED_RET(p, epoll_pwait(p->fd, &e, 1, 3000, &none));
}

static int null;
static void replace(int fd) { dup2(null, fd); }
static void drop(int fd) { close(fd); }
static void (*lose)(int);
#define PARK(f, d) do { k = (struct parked){ .fn = f, .fd = d }; park(&k); } while (0)
#define END(what) parked_end(__LINE__, what, &k)
static struct parked k;

static void fill(int fd)
{
	int fl = fcntl(fd, F_GETFL);
	fcntl(fd, F_SETFL, fl | O_NONBLOCK);
	while (write(fd, big, 4096) > 0)
		;
	fcntl(fd, F_SETFL, fl);
}

static void sockets(void)
{
	int sv[2], c[3], got, tail;
	struct sockaddr_un un = { AF_UNIX, "\0lose" };
	int l = socket(AF_UNIX, SOCK_STREAM, 0);
	bind(l, (void *)&un, 7);
	listen(l, 0);
	for (int i = 0; i < 2; i++)
		c[i] = socket(AF_UNIX, SOCK_STREAM, 0);
	R(connect(c[0], (void *)&un, 7));
	PARK(c_connect, c[1]);
	lose(c[1]);
	S(got = accept(l, NULL, NULL));
	END("connect to a full backlog");
	S(tail = accept(l, NULL, NULL));
	/* its only descriptor was the parked call's */
	R(read(tail, buf, 1));
	close(got), close(tail), close(c[0]);

	PARK(c_accept4, l);
	lose(l);
	c[2] = socket(AF_UNIX, SOCK_STREAM, 0);
	R(connect(c[2], (void *)&un, 7));
	END("accept4");
	close(c[2]);

	socketpair(AF_UNIX, SOCK_DGRAM, 0, sv);
	PARK(c_recvfrom, sv[0]);
	lose(sv[0]);
	R(send(sv[1], "from", 4, 0));
	END("recvfrom");
	close(sv[1]);
	socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv);
	PARK(c_recvmsg, sv[0]);
	lose(sv[0]);
	close(sv[1]);
	END("recvmsg, the other end closes");

	socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv);
	while (send(sv[0], big, 100, MSG_DONTWAIT) > 0)
		;
	PARK(c_sendmsg, sv[0]);
	lose(sv[0]);
	while (recv(sv[1], buf, 100, MSG_DONTWAIT) > 0)
		;
	END("sendmsg");
	close(sv[1]);
	signal(SIGPIPE, SIG_IGN);
	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	fill(sv[0]);
	PARK(c_stream, sv[0]);
	lose(sv[0]);
	close(sv[1]);
	END("send, the other end closes");
}

static void queues(void)
{
	struct mq_attr a = { .mq_maxmsg = 1, .mq_msgsize = 16 };
	mq_unlink("/lose");
	int q = mq_open("/lose", O_CREAT | O_RDWR, 0600, &a), r = dup(q);
	PARK(c_mqrecv, q);
	lose(q);
	R(mq_send(r, "first", 5, 1));
	END("mq_receive");
	R(mq_send(r, "first", 5, 1));
	q = dup(r);
	PARK(c_mqsend, q);
	lose(q);
	R(mq_receive(r, buf, 16, NULL));
	END("mq_send");
	R(mq_receive(r, buf, 16, NULL));
	close(r);
	mq_unlink("/lose");

	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	int f = signalfd(-1, &s, 0);
	PARK(c_signalfd, f);
	lose(f);
	kill(getpid(), SIGUSR1);
	END("signalfd");
	f = eventfd(0xfffffffe, 0);
	R(write(f, &(uint64_t){ 0xfffffffffffffffeull - 0xfffffffe }, 8));
	r = dup(f);
	PARK(c_eventfd, f);
	lose(f);
	R(read(r, buf, 8));
	END("write of an eventfd");
	R(read(r, buf, 8));
	close(r);
}

static void moves(void)
{
	int a[2], b[2];
	pipe(a);
	pipe(b);
	from = a[0], to = b[1];
	PARK(c_splice, 0);
	lose(a[0]);
	R(write(a[1], "data", 4));
	END("splice, the source is lost");
	R(read(b[0], buf, 10));
	close(a[1]);
	pipe(a);
	from = a[0];
	fill(b[1]);
	R(write(a[1], "more", 4));
	PARK(c_splice, 0);
	lose(b[1]);
	R(read(b[0], big, 4096));
	END("splice, the target is lost");
	close(b[0]);
	pipe(b);
	to = b[1];
	PARK(c_tee, 0);
	lose(a[0]), lose(b[1]);
	R(write(a[1], "tee", 3));
	END("tee");
	R(read(b[0], buf, 10));
	R(read(b[0], buf, 10));
	close(a[1]), close(b[0]);
	put("source", "source");
	pipe(b);
	from = open("source", O_RDONLY), to = b[1];
	fill(b[1]);
	PARK(c_sendfile, 0);
	lose(from), lose(b[1]);
	while (read(b[0], big, 4096) == 4096)
		;
	END("sendfile");
	close(b[0]);
}

static void others(void)
{
	int p[2], fd, go[2];
	put("lock", "");
	pipe(p), pipe(go);
	pid_t o = fork();
	if (!o) {
		struct flock f = { .l_type = F_WRLCK };
		fd = open("lock", O_RDWR);
		fcntl(fd, F_SETLK, &f);
		write(go[1], "x", 1);
		read(p[0], buf, 1);
		_exit(0);
	}
	read(go[0], buf, 1);
	fd = open("lock", O_RDWR);
	PARK(c_setlkw, fd);
	lose(fd);
	write(p[1], "x", 1);
	END("F_SETLKW");
	waitpid(o, NULL, 0);
	fd = open("lock", O_RDWR);
	struct flock f = { .l_type = F_WRLCK };
	CHILD(R(fcntl(fd, F_GETLK, &f)); T(f.l_type == F_UNLCK));
	close(fd);

	o = fork();
	if (!o) {
		read(p[0], buf, 1);
		_exit(7);
	}
	fd = syscall(SYS_pidfd_open, o, 0);
	PARK(c_waitid, fd);
	lose(fd);
	write(p[1], "x", 1);
	END("waitid of a pidfd");
	R(waitpid(o, NULL, 0));
	close(go[0]), close(go[1]), close(p[0]), close(p[1]);

	pipe(p);
	PARK(c_ppoll, p[0]);
	lose(p[0]);
	close(p[1]);
	END("ppoll");
	pipe(p);
	PARK(c_pselect, p[0]);
	lose(p[0]);
	close(p[1]);
	END("pselect");
	int ep = epoll_create1(0), e = eventfd(0, 0);
	epoll_ctl(ep, EPOLL_CTL_ADD, e, &(struct epoll_event){ EPOLLIN, { 0 } });
	PARK(c_epoll, ep);
	lose(ep);
	R(write(e, &(uint64_t){ 1 }, 8));
	END("epoll_pwait");
	close(e);
}

int main(void)
{
	sigset_t s;
	sigemptyset(&none);
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	sigprocmask(SIG_BLOCK, &s, NULL);
	null = open("/dev/null", O_RDWR);
	for (int way = 0; way < 2; way++) {
		lose = way ? drop : replace;
		P("the number is %s", way ? "closed" : "reused");
		sockets();
		queues();
		moves();
		others();
	}
	return 0;
}
