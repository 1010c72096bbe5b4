/*
 * A call is parked; its descriptor is closed and the number used for something
 * else; then what it waits for comes. The call keeps what it was given.
 */
#include "diff.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

static char buf[256], big[70000];
static uint64_t val;
static struct pollfd pf;

static void c_read(struct parked *p) { PARKED_RET(p, read(p->fd, buf, sizeof buf)); }
static void c_readv(struct parked *p) { struct iovec v = { buf, 10 }; PARKED_RET(p, readv(p->fd, &v, 1)); }
static void c_write(struct parked *p) { PARKED_RET(p, write(p->fd, big, sizeof big)); }
static void c_recv(struct parked *p) { PARKED_RET(p, recv(p->fd, buf, sizeof buf, 0)); }
static void c_send(struct parked *p) { PARKED_RET(p, send(p->fd, big, 100, 0)); }
static void c_accept(struct parked *p) { PARKED_RET(p, accept(p->fd, NULL, NULL) >= 0 ? 0 : -1); }
static void c_read8(struct parked *p) { PARKED_RET(p, read(p->fd, &val, 8)); }
static void c_poll(struct parked *p) { PARKED_RET(p, poll(&pf, 1, 3000)); }
static void c_flock(struct parked *p) { PARKED_RET(p, flock(p->fd, LOCK_EX)); }
static void c_setlkw(struct parked *p) { struct flock f = { .l_type = F_WRLCK }; PARKED_RET(p, fcntl(p->fd, F_OFD_SETLKW, &f)); }
static void c_epoll(struct parked *p)
{
	struct epoll_event e;
	PARKED_RET(p, epoll_wait(p->fd, &e, 1, 3000));
}
static void c_select(struct parked *p)
{
	fd_set r;
	struct timeval t = { 3, 0 };
	FD_ZERO(&r);
	FD_SET(p->fd, &r);
	PARKED_RET(p, select(p->fd + 1, &r, NULL, NULL, &t));
}

static int null;
/* close the number and give it to /dev/null at once */
static void replace(int fd) { dup2(null, fd); }
static void drop(int fd) { close(fd); }

int main(void)
{
	null = open("/dev/null", O_RDWR);
	for (int way = 0; way < 2; way++) {
		void (*lose)(int) = way ? drop : replace;
		int p[2], e, sv[2], ep;
		uint64_t one = 1;
		struct parked k = { 0 };
		P("the number is %s", way ? "closed" : "reused");

		pipe(p);
		k = (struct parked){ .fn = c_read, .fd = p[0] };
		park(&k);
		lose(p[0]);
		R(write(p[1], "pipe", 4));
		parked_end(__LINE__, "read", &k);
		P("%.4s", buf);
		close(p[1]);

		pipe(p);
		k = (struct parked){ .fn = c_readv, .fd = p[0] };
		park(&k);
		lose(p[0]);
		close(p[1]);
		parked_end(__LINE__, "readv, the writer closes", &k);

		/* the reading end exists only in the parked call: the writer sees no EPIPE */
		signal(SIGPIPE, SIG_IGN);
		pipe(p);
		k = (struct parked){ .fn = c_write, .fd = p[1] };
		park(&k);
		lose(p[1]);
		long sum = 0, r;
		while (sum < 70000 && (r = read(p[0], big, sizeof big)) > 0)
			sum += r;
		P("drained %ld", sum);
		parked_end(__LINE__, "write", &k);
		R(read(p[0], buf, 1));
		close(p[0]);

		socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
		k = (struct parked){ .fn = c_recv, .fd = sv[0] };
		park(&k);
		lose(sv[0]);
		R(write(sv[1], "sock", 4));
		parked_end(__LINE__, "recv", &k);
		R(write(sv[1], "x", 1));
		close(sv[1]);

		socketpair(AF_UNIX, SOCK_DGRAM, 0, sv);
		while (send(sv[0], big, 100, MSG_DONTWAIT) > 0)
			;
		k = (struct parked){ .fn = c_send, .fd = sv[0] };
		park(&k);
		lose(sv[0]);
		while (recv(sv[1], buf, 100, MSG_DONTWAIT) > 0)
			;
		parked_end(__LINE__, "send", &k);
		close(sv[1]);

		struct sockaddr_un un = { AF_UNIX, "\0park" };
		int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
		bind(l, (void *)&un, 7);
		listen(l, 3);
		k = (struct parked){ .fn = c_accept, .fd = l };
		park(&k);
		lose(l);
		R(connect(c, (void *)&un, 7));
		parked_end(__LINE__, "accept", &k);
		close(c);

		e = eventfd(0, 0);
		int other = dup(e);
		k = (struct parked){ .fn = c_read8, .fd = e };
		park(&k);
		lose(e);
		one = 41;
		R(write(other, &one, 8));
		parked_end(__LINE__, "eventfd", &k);
		P("%llu", (unsigned long long)val);
		close(other);

		e = timerfd_create(CLOCK_MONOTONIC, 0);
		struct itimerspec it = { { 0, 0 }, { 0, 250000000 } };
		timerfd_settime(e, 0, &it, NULL);
		k = (struct parked){ .fn = c_read8, .fd = e };
		park(&k);
		lose(e);
		parked_end(__LINE__, "timerfd", &k);

		mkdir("w", 0755);
		e = inotify_init();
		inotify_add_watch(e, "w", IN_CREATE);
		k = (struct parked){ .fn = c_read, .fd = e };
		park(&k);
		lose(e);
		put("w/x", "");
		parked_end(__LINE__, "inotify", &k);
		unlink("w/x");

		pipe(p);
		pf = (struct pollfd){ p[0], POLLIN, 0 };
		k = (struct parked){ .fn = c_poll };
		park(&k);
		lose(p[0]);
		R(write(p[1], "x", 1));
		parked_end(__LINE__, "poll", &k);
		/* the number is looked up again, or was not: either way there is something to tell */
		T(pf.revents != 0);
		close(p[1]);

		pipe(p);
		k = (struct parked){ .fn = c_select, .fd = p[0] };
		park(&k);
		lose(p[0]);
		close(p[1]);
		parked_end(__LINE__, "select", &k);

		ep = epoll_create1(0);
		e = eventfd(0, 0);
		epoll_ctl(ep, EPOLL_CTL_ADD, e, &(struct epoll_event){ EPOLLIN, { 0 } });
		k = (struct parked){ .fn = c_epoll, .fd = ep };
		park(&k);
		lose(ep);
		R(write(e, &one, 8));
		parked_end(__LINE__, "epoll_wait", &k);
		close(e);
		ep = epoll_create1(0);
		e = eventfd(0, 0);
		other = dup(e);
		epoll_ctl(ep, EPOLL_CTL_ADD, e, &(struct epoll_event){ EPOLLIN, { 0 } });
		k = (struct parked){ .fn = c_epoll, .fd = ep };
		park(&k);
		lose(e);
		R(write(other, &one, 8));
		parked_end(__LINE__, "epoll_wait, the watched one is lost, a duplicate stays", &k);
		close(other);
		close(ep);

		put("lock", "");
		int l1 = open("lock", O_RDWR), l2 = open("lock", O_RDWR);
		flock(l1, LOCK_EX);
		k = (struct parked){ .fn = c_flock, .fd = l2 };
		park(&k);
		lose(l2);
		R(flock(l1, LOCK_UN));
		parked_end(__LINE__, "flock", &k);
		R(flock(l1, LOCK_EX | LOCK_NB));
		close(l1);
		l1 = open("lock", O_RDWR);
		l2 = open("lock", O_RDWR);
		struct flock fl = { .l_type = F_WRLCK };
		fcntl(l1, F_OFD_SETLK, &fl);
		k = (struct parked){ .fn = c_setlkw, .fd = l2 };
		park(&k);
		lose(l2);
		fl.l_type = F_UNLCK;
		R(fcntl(l1, F_OFD_SETLK, &fl));
		parked_end(__LINE__, "F_OFD_SETLKW", &k);
		close(l1);
	}
	return 0;
}
