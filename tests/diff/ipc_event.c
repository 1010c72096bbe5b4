/* eventfd, poll, ppoll, select, pselect6. */
#include "diff.h"
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>

static volatile int n;
static void h(int s) { (void)s; n++; }

int main(void)
{
	uint64_t v = 0;
	int e, s, p[2], sv[2];
	char b[64];

	e = eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC);
	R(e);
	R(fcntl(e, F_GETFL));
	R(eventfd(0, 0x100));
	R(read(e, &v, 8));
	P("%llu", (unsigned long long)v);
	R(read(e, &v, 8));
	v = 5;
	R(write(e, &v, 8));
	R(write(e, &v, 8));
	R(read(e, &v, 4));
	R(read(e, b, 64));
	v = -1;
	R(write(e, &v, 8));
	v = -2;
	R(write(e, &v, 8));
	v = 1;
	R(write(e, &v, 8));
	R(write(e, &v, 7));
	R(write(e, &v, 9));
	R(read(e, BAD, 8));
	R(read(e, &v, 8));
	T(v == (uint64_t)-2);
	R(write(e, BAD, 8));
	s = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
	R(read(s, &v, 8));
	P("%llu", (unsigned long long)v);
	R(read(s, &v, 8));
	R(read(s, &v, 8));
	R(pread(s, &v, 8, 0));
	R(lseek(s, 0, SEEK_SET));
	/* a blocked writer and a blocked reader */
	int bl = eventfd(0, 0);
	pid_t k = fork();
	if (!k) {
		R(read(bl, &v, 8));
		P("woken with %llu", (unsigned long long)v);
		_exit(0);
	}
	settle(k, k);
	v = 7;
	write(bl, &v, 8);
	reap(__LINE__, "reader", k);
	v = -2;
	write(bl, &v, 8);
	k = fork();
	if (!k) {
		v = 5;
		R(write(bl, &v, 8));
		_exit(0);
	}
	settle(k, k);
	read(bl, &v, 8);
	reap(__LINE__, "writer", k);
	read(bl, &v, 8);
	P("then %llu", (unsigned long long)v);

	/* poll */
	struct pollfd f[4];
	pipe(p);
	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	put("file", "x");
	int fd = open("file", O_RDWR), d = open(".", O_RDONLY);
	f[0] = (struct pollfd){ fd, POLLIN | POLLOUT, 9 };
	f[1] = (struct pollfd){ -1, POLLIN, 9 };
	f[2] = (struct pollfd){ 99, POLLIN, 9 };
	f[3] = (struct pollfd){ d, POLLIN | POLLOUT | POLLPRI, 9 };
	R(poll(f, 4, 0));
	P("%x %x %x %x", f[0].revents, f[1].revents, f[2].revents, f[3].revents);
	f[0] = (struct pollfd){ e, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM, 0 };
	f[1] = (struct pollfd){ sv[0], POLLIN | POLLOUT | POLLRDHUP, 0 };
	f[2] = (struct pollfd){ p[0], 0, 0 };
	R(poll(f, 3, 0));
	P("%x %x %x", f[0].revents, f[1].revents, f[2].revents);
	close(p[1]);
	shutdown(sv[1], SHUT_WR);
	R(poll(f, 3, 0));
	P("%x %x %x", f[0].revents, f[1].revents, f[2].revents);
	close(sv[1]);
	R(poll(f + 1, 1, 0));
	P("%x", f[1].revents);
	R(poll(BAD, 1, 0));
	R(poll(BAD, 0, 0));
	R(poll(NULL, 0, 20));
	R(poll(f, -1, 0));
	R(poll(f, 1025, 0));
	R(syscall(SYS_ppoll, f, 0, BAD, NULL, 0));
	struct timespec t = { 0, 1000000000 }, t2 = { 1, 0 };
	R(syscall(SYS_ppoll, NULL, 0, &t, NULL, 0));
	sigset_t m;
	sigemptyset(&m);
	R(syscall(SYS_ppoll, f + 1, 1, &t2, &m, 4));
	R(syscall(SYS_ppoll, f + 1, 1, &t2, BAD, 8));
	/* the time left is written back */
	t = (struct timespec){ 0, 30000000 };
	R(syscall(SYS_ppoll, NULL, 0, &t, NULL, 0));
	P("left %ld %ld", (long)t.tv_sec, t.tv_nsec);
	t = (struct timespec){ 5, 0 };
	f[0] = (struct pollfd){ sv[0], POLLIN, 0 };
	R(syscall(SYS_ppoll, f, 1, &t, NULL, 0));
	T(t.tv_sec == 4);
	/* a signal that only ppoll's mask lets in */
	struct sigaction sa = { .sa_handler = h };
	sigaction(SIGUSR1, &sa, NULL);
	sigaddset(&m, SIGUSR1);
	sigprocmask(SIG_BLOCK, &m, NULL);
	raise(SIGUSR1);
	sigset_t none;
	sigemptyset(&none);
	t = (struct timespec){ 2, 0 };
	R(ppoll(NULL, 0, &t, &none));
	P("handler ran %d", n);
	raise(SIGUSR1);
	f[0] = (struct pollfd){ fd, POLLIN, 0 };
	R(ppoll(f, 1, &t, &none));
	P("ready first: handler ran %d", n);
	sigset_t pend;
	sigpending(&pend);
	P("pending still %d", sigismember(&pend, SIGUSR1));
	R(pselect(0, NULL, NULL, NULL, &t, &none));
	P("handler ran %d", n);

	/* select */
	fd_set r, w, x;
	struct timeval tv = { 0, 20000 };
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_ZERO(&x);
	FD_SET(fd, &r);
	FD_SET(fd, &w);
	FD_SET(e, &r);
	FD_SET(e, &w);
	FD_SET(sv[0], &r);
	R(select(64, &r, &w, &x, &tv));
	P("%d%d %d%d %d", !!FD_ISSET(fd, &r), !!FD_ISSET(fd, &w), !!FD_ISSET(e, &r), !!FD_ISSET(e, &w), !!FD_ISSET(sv[0], &r));
	FD_ZERO(&r);
	FD_SET(99, &r);
	R(select(100, &r, NULL, NULL, &tv));
	R(select(-1, NULL, NULL, NULL, &tv));
	R(select(0, NULL, NULL, NULL, &tv));
	P("left %ld %ld", (long)tv.tv_sec, (long)tv.tv_usec);
	tv = (struct timeval){ 0, -1 };
	R(select(0, NULL, NULL, NULL, &tv));
	tv = (struct timeval){ 0, 0 };
	R(syscall(SYS_select, 8, BAD, NULL, NULL, &tv));
	R(syscall(SYS_select, 0, NULL, NULL, NULL, BAD));
	FD_ZERO(&r);
	FD_SET(e, &r);
	tv = (struct timeval){ 0, 20000 };
	R(select(e + 1, &r, NULL, NULL, &tv));
	P("bits after a timeout %d", !!FD_ISSET(e, &r));
	FD_SET(e, &r);
	R(select(e, &r, NULL, NULL, &tv));
	/* wake-ups by another process */
	k = fork();
	if (!k) {
		msleep(60);
		v = 1;
		write(e, &v, 8);
		_exit(0);
	}
	FD_ZERO(&r);
	FD_SET(e, &r);
	R(select(e + 1, &r, NULL, NULL, NULL));
	reap(__LINE__, "writer", k);
	R(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &t, BAD));
	return 0;
}
