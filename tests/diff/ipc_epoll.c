/* epoll: level, edge, one-shot, exclusive, nesting, errors, closed descriptors. */
#include "diff.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

static int ep;
static void waits(int line, int max, int ms)
{
	struct epoll_event ev[8];
	int n = epoll_wait(ep, ev, max, ms);
	char b[200] = "";
	for (int pass = 0; pass < 100; pass++) /* in the order of their data */
		for (int i = 0; i < n; i++)
			if (ev[i].data.u32 == (unsigned)pass)
				sprintf(b + strlen(b), " %x:%u", ev[i].events, ev[i].data.u32);
	say(line, "wait %d%s%s", n, n < 0 ? ename(errno) : "", b);
}

static long ctl(int op, int fd, unsigned events, unsigned data)
{
	struct epoll_event ev = { events, { .u32 = data } };
	return epoll_ctl(ep, op, fd, &ev);
}

static volatile int awake;
static void *ex_wait(void *a)
{
	struct epoll_event ev;
	int n = epoll_wait((int)(long)a, &ev, 1, 2000);
	__sync_fetch_and_add(&awake, n);
	return NULL;
}

int main(void)
{
	int p[2], q[2], sv[2], e2;
	uint64_t one = 1, v;
	char b[100];
	struct epoll_event ev;
	pipe2(p, O_NONBLOCK);
	pipe2(q, O_NONBLOCK);
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv);
	put("f", "x");
	int fd = open("f", O_RDONLY);

	R(epoll_create(0));
	R(epoll_create1(1));
	ep = epoll_create1(EPOLL_CLOEXEC);
	R(fcntl(ep, F_GETFD));
	R(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	R(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	R(ctl(EPOLL_CTL_MOD, q[0], EPOLLIN, 1));
	R(ctl(EPOLL_CTL_DEL, q[0], EPOLLIN, 1));
	R(ctl(EPOLL_CTL_ADD, 99, EPOLLIN, 1));
	R(ctl(EPOLL_CTL_ADD, ep, EPOLLIN, 1));
	R(ctl(EPOLL_CTL_ADD, fd, EPOLLIN, 1));
	R(ctl(77, p[0], EPOLLIN, 1));
	R(epoll_ctl(fd, EPOLL_CTL_ADD, p[0], &ev));
	R(epoll_ctl(99, EPOLL_CTL_ADD, p[0], &ev));
	R(epoll_ctl(ep, EPOLL_CTL_ADD, q[0], BAD));
	R(epoll_ctl(ep, EPOLL_CTL_DEL, q[0], BAD));
	R(epoll_wait(ep, &ev, 0, 0));
	R(epoll_wait(ep, &ev, -1, 0));
	R(epoll_wait(fd, &ev, 1, 0));
	R(epoll_wait(-1, &ev, 1, 0));
	R(read(ep, b, 1));
	R(lseek(ep, 0, SEEK_SET));

	/* level */
	waits(__LINE__, 8, 0);
	write(p[1], "ab", 2);
	waits(__LINE__, 8, 0);
	waits(__LINE__, 8, 0);
	R(epoll_wait(ep, BAD, 1, 0));
	read(p[0], b, 1);
	waits(__LINE__, 8, 0);
	read(p[0], b, 1);
	waits(__LINE__, 8, 0);
	/* edge */
	R(ctl(EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLET, 2));
	waits(__LINE__, 8, 0);
	write(p[1], "ab", 2);
	waits(__LINE__, 8, 0);
	waits(__LINE__, 8, 0);
	read(p[0], b, 1);
	waits(__LINE__, 8, 0);
	write(p[1], "c", 1);
	waits(__LINE__, 8, 0);
	R(ctl(EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLET, 3));
	waits(__LINE__, 8, 0);
	read(p[0], b, 100);
	/* one-shot */
	R(ctl(EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLONESHOT, 4));
	write(p[1], "x", 1);
	waits(__LINE__, 8, 0);
	write(p[1], "y", 1);
	waits(__LINE__, 8, 0);
	R(ctl(EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLONESHOT, 5));
	waits(__LINE__, 8, 0);
	R(ctl(EPOLL_CTL_DEL, p[0], 0, 0));
	waits(__LINE__, 8, 0);
	read(p[0], b, 100);
	/* several, and a small array: they take turns */
	R(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	R(ctl(EPOLL_CTL_ADD, q[0], EPOLLIN, 2));
	R(ctl(EPOLL_CTL_ADD, sv[0], EPOLLIN | EPOLLOUT | EPOLLRDHUP, 3));
	R(ctl(EPOLL_CTL_ADD, p[1], EPOLLOUT, 4));
	write(p[1], "x", 1);
	write(q[1], "x", 1);
	waits(__LINE__, 8, 0);
	unsigned seen = 0;
	for (int i = 0; i < 8; i++)
		if (epoll_wait(ep, &ev, 1, 0) == 1)
			seen |= 1u << ev.data.u32;
	P("all had a turn %x", seen);
	/* hang-ups */
	shutdown(sv[1], SHUT_WR);
	waits(__LINE__, 8, 0);
	close(sv[1]);
	waits(__LINE__, 8, 0);
	close(q[1]);
	waits(__LINE__, 8, 0);
	R(ctl(EPOLL_CTL_MOD, q[0], 0, 2));
	read(q[0], b, 10);
	waits(__LINE__, 8, 0);
	/* closing takes it out, a duplicate keeps it in */
	int dupd = dup(q[0]);
	close(q[0]);
	waits(__LINE__, 8, 0);
	close(dupd);
	waits(__LINE__, 8, 0);
	close(p[1]);
	close(sv[0]);
	waits(__LINE__, 8, 0);
	close(p[0]);
	waits(__LINE__, 8, 0);

	/* the same file under two numbers is two entries */
	e2 = eventfd(0, EFD_NONBLOCK);
	dupd = dup(e2);
	R(ctl(EPOLL_CTL_ADD, e2, EPOLLIN, 1));
	R(ctl(EPOLL_CTL_ADD, dupd, EPOLLIN, 2));
	write(e2, &one, 8);
	waits(__LINE__, 8, 0);
	R(ctl(EPOLL_CTL_DEL, e2, 0, 0));
	waits(__LINE__, 8, 0);
	read(e2, &v, 8);
	close(dupd);
	/* nesting */
	int outer = epoll_create1(0), inner = ep, third = epoll_create1(0);
	R(ctl(EPOLL_CTL_ADD, e2, EPOLLIN, 7));
	ep = outer;
	R(ctl(EPOLL_CTL_ADD, inner, EPOLLIN, 8));
	ep = inner;
	R(ctl(EPOLL_CTL_ADD, outer, EPOLLIN, 9));
	ep = outer;
	waits(__LINE__, 8, 0);
	write(e2, &one, 8);
	waits(__LINE__, 8, 0);
	struct pollfd pf = { outer, POLLIN, 0 };
	R(poll(&pf, 1, 0));
	read(e2, &v, 8);
	waits(__LINE__, 8, 0);
	R(poll(&pf, 1, 0));
	int deep[8];
	ep = third;
	R(ctl(EPOLL_CTL_ADD, outer, EPOLLIN, 9));
	deep[0] = third;
	for (int i = 1; i < 6; i++) {
		deep[i] = epoll_create1(0);
		ep = deep[i];
		R(ctl(EPOLL_CTL_ADD, deep[i - 1], EPOLLIN, i));
	}
	/* exclusive */
	int x = eventfd(0, EFD_NONBLOCK), es[4];
	pthread_t th[4];
	for (int i = 0; i < 4; i++) {
		ep = es[i] = epoll_create1(0);
		ctl(EPOLL_CTL_ADD, x, EPOLLIN | EPOLLEXCLUSIVE, 1);
		pthread_create(&th[i], NULL, ex_wait, (void *)(long)es[i]);
	}
	R(ctl(EPOLL_CTL_MOD, x, EPOLLIN | EPOLLEXCLUSIVE, 1));
	R(ctl(EPOLL_CTL_ADD, e2, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT, 1));
	msleep(100);
	write(x, &one, 8);
	msleep(100);
	T(awake >= 1 && awake <= 4);
	for (int i = 0; i < 4; i++)
		pthread_join(th[i], NULL);
	/* waiting for real, with a timeout, with a wake-up, epoll_pwait2 */
	ep = epoll_create1(0);
	read(x, &v, 8);
	R(ctl(EPOLL_CTL_ADD, x, EPOLLIN | EPOLLET, 1));
	long t0 = now_ms();
	waits(__LINE__, 8, 60);
	T(now_ms() - t0 >= 59);
	pid_t k = fork();
	if (!k) {
		msleep(50);
		write(x, &one, 8);
		_exit(0);
	}
	waits(__LINE__, 8, -1);
	reap(__LINE__, "writer", k);
	struct timespec ts = { 0, 20000000 }, bad = { 0, -1 };
	R(syscall(441, ep, &ev, 1, &ts, NULL, 8));
	R(syscall(441, ep, &ev, 1, &bad, NULL, 8));
	R(syscall(441, ep, &ev, 1, BAD, NULL, 8));
	R(syscall(SYS_epoll_pwait, ep, &ev, 1, 0, BAD, 8));
	R(syscall(SYS_epoll_pwait, ep, &ev, 1, 0, &v, 4));
	/* an entry added to a set someone already waits on */
	int late = eventfd(1, 0);
	k = fork();
	if (!k) {
		msleep(60);
		ctl(EPOLL_CTL_ADD, late, EPOLLIN, 6);
		_exit(0);
	}
	waits(__LINE__, 8, 3000);
	reap(__LINE__, "adder", k);
	return 0;
}
