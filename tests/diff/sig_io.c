/* Signal-driven I/O: O_ASYNC, FIOASYNC, F_SETOWN, F_SETOWN_EX, F_SETSIG. */
#include "diff.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int sigs[2] = { SIGIO, 40 };
static void take(int line, const char *what)
{
	sigset_t s;
	sigemptyset(&s);
	for (int i = 0; i < 2; i++)
		sigaddset(&s, sigs[i]);
	siginfo_t si;
	struct timespec t = { 0, 80000000 };
	int n = 0;
	while (n++ < 4 && sigtimedwait(&s, &si, &t) > 0)
		if (si.si_code == 0x80)
			say(line, "%s: signal %d from the kernel", what, si.si_signo);
		else
			say(line, "%s: signal %d code %d band %lx fd %d", what, si.si_signo, si.si_code, si.si_band, si.si_fd);
	if (n == 1)
		say(line, "%s: none", what);
}
#define TAKE(e) do { e; take(__LINE__, #e); } while (0)

int main(void)
{
	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, SIGIO);
	sigaddset(&s, 40);
	sigprocmask(SIG_BLOCK, &s, NULL);
	int p[2], on = 1, off = 0;
	char c[100];
	pipe(p);
	R(fcntl(p[0], F_GETOWN));
	R(fcntl(p[0], F_SETFL, O_ASYNC));
	R(fcntl(p[0], F_GETFL));
	TAKE(write(p[1], "x", 1));
	R(fcntl(p[0], F_SETOWN, getpid()));
	TAKE(write(p[1], "x", 1));
	R(fcntl(p[0], F_SETSIG, 40));
	R(fcntl(p[0], F_GETSIG));
	TAKE(write(p[1], "x", 1));
	R(fcntl(p[0], F_SETFL, 0));
	R(fcntl(p[0], F_GETFL));
	TAKE(write(p[1], "x", 1));
	R(ioctl(p[0], FIOASYNC, &on));
	R(fcntl(p[0], F_GETFL));
	TAKE(write(p[1], "x", 1));
	R(fcntl(p[0], F_SETSIG, 0));
	TAKE(write(p[1], "x", 1));
	R(fcntl(p[0], F_SETSIG, 65));
	R(fcntl(p[0], F_SETSIG, -1));
	R(fcntl(p[0], F_SETOWN, 0));
	TAKE(write(p[1], "x", 1));
	/* a thread, a group */
	struct f_owner_ex o = { F_OWNER_TID, getpid() };
	R(fcntl(p[0], F_SETOWN_EX, &o));
	TAKE(write(p[1], "x", 1));
	R(fcntl(p[0], F_GETOWN));
	o = (struct f_owner_ex){ F_OWNER_PGRP, getpgrp() };
	setpgid(0, 0);
	o.pid = getpgrp();
	R(fcntl(p[0], F_SETOWN_EX, &o));
	TAKE(write(p[1], "x", 1));
	T(fcntl(p[0], F_GETOWN) == -getpgrp());
	o.type = 7;
	R(fcntl(p[0], F_SETOWN_EX, &o));
	R(fcntl(p[0], F_SETOWN_EX, BAD));
	R(fcntl(p[0], F_GETOWN_EX, BAD));
	R(fcntl(p[0], F_SETOWN, 99999));
	R(fcntl(p[0], F_SETOWN, -99999));
	R(fcntl(p[0], F_SETOWN, INT_MIN));
	/* room in a pipe, the end of it */
	fcntl(p[0], F_SETFL, 0);
	fcntl(p[1], F_SETOWN, getpid());
	fcntl(p[1], F_SETSIG, 40);
	fcntl(p[1], F_SETFL, O_ASYNC | O_NONBLOCK);
	char big[PAGE] = "";
	while (write(p[1], big, PAGE) > 0)
		;
	take(__LINE__, "filled");
	TAKE(read(p[0], big, PAGE));
	/* sockets */
	int sv[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	fcntl(sv[0], F_SETOWN, getpid());
	fcntl(sv[0], F_SETSIG, 40);
	fcntl(sv[0], F_SETFL, O_ASYNC);
	TAKE(write(sv[1], "x", 1));
	TAKE(read(sv[0], c, 1));
	R(ioctl(sv[0], FIOASYNC, &off));
	TAKE(write(sv[1], "x", 1));
	R(ioctl(sv[0], FIOASYNC, BAD));
	/* what does not do it */
	int fd = open("f", O_RDWR | O_CREAT, 0644), ev = eventfd(0, 0), ep = epoll_create1(0), in = inotify_init();
	R(fcntl(fd, F_SETFL, O_ASYNC));
	R(fcntl(fd, F_GETFL) & O_ASYNC);
	R(ioctl(fd, FIOASYNC, &on));
	R(ioctl(fd, FIOASYNC, &off));
	R(fcntl(ev, F_SETFL, O_ASYNC));
	R(fcntl(ev, F_GETFL));
	R(ioctl(ev, FIOASYNC, &on));
	R(fcntl(ep, F_SETFL, O_ASYNC));
	R(fcntl(ep, F_GETFL));
	R(fcntl(in, F_SETFL, O_ASYNC));
	R(fcntl(in, F_GETFL));
	fcntl(in, F_SETOWN, getpid());
	inotify_add_watch(in, ".", IN_CREATE);
	TAKE(close(open("g", O_CREAT | O_RDWR, 0644)));
	/* a copy of the descriptor keeps it, closing ends it */
	int d = dup(p[0]);
	fcntl(p[0], F_SETOWN, getpid());
	fcntl(p[0], F_SETSIG, 40);
	fcntl(p[0], F_SETFL, O_ASYNC);
	fcntl(p[1], F_SETFL, O_NONBLOCK);
	while (read(p[0], big, PAGE) == PAGE)
		if (ioctl(p[0], FIONREAD, &on) == 0 && on == 0)
			break;
	close(p[0]);
	TAKE(write(p[1], "x", 1));
	close(d);
	signal(SIGPIPE, SIG_IGN);
	TAKE(write(p[1], "x", 1));
	return 0;
}
