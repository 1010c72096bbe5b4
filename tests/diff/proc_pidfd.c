/* pidfd_open, pidfd_send_signal, pidfd_getfd, poll on a pidfd. */
#include "diff.h"
#include <sys/epoll.h>

int main(void)
{
	int p[2], fd, pf;
	char c, b[100];
	siginfo_t si;
	pipe(p);

	R(syscall(SYS_pidfd_open, getpid(), 0));
	R(fcntl(5, F_GETFD));
	R(close(5));
	R(syscall(SYS_pidfd_open, 0, 0));
	R(syscall(SYS_pidfd_open, -1, 0));
	R(syscall(SYS_pidfd_open, 99999, 0));
	R(syscall(SYS_pidfd_open, getpid(), 1));
	R(syscall(SYS_pidfd_open, getpid(), O_NONBLOCK));
	R(fcntl(5, F_GETFL));
	R(read(5, &c, 1));
	R(close(5));

	pid_t k = fork();
	if (!k) {
		fd = open("/dev/null", O_RDONLY);
		dup2(p[0], 30);
		write(p[1], "r", 1);
		for (;;)
			pause();
	}
	pf = syscall(SYS_pidfd_open, k, 0);
	struct pollfd pl = { pf, POLLIN, 0 };
	read(p[0], &c, 1);
	R(poll(&pl, 1, 0));
	R(waitid(P_PIDFD, pf, &si, WEXITED | WNOHANG));
	R(syscall(SYS_pidfd_getfd, pf, 30, 0));
	R(syscall(SYS_pidfd_getfd, pf, 99, 0));
	R(syscall(SYS_pidfd_getfd, pf, 0, 1));
	R(syscall(SYS_pidfd_getfd, p[0], 0, 0));
	R(syscall(SYS_pidfd_send_signal, pf, 0, NULL, 0));
	int pd = open("/proc/self", O_DIRECTORY | O_RDONLY);
	R(syscall(SYS_pidfd_send_signal, pd, 0, NULL, 0));
	close(pd);
	pd = open("/proc/self/task/1", O_DIRECTORY | O_RDONLY);
	R(syscall(SYS_pidfd_send_signal, pd, 0, NULL, 0));
	close(pd);
	pd = open("/proc/self/stat", O_RDONLY);
	R(syscall(SYS_pidfd_send_signal, pd, 0, NULL, 0));
	close(pd);
	R(syscall(SYS_pidfd_send_signal, pf, 65, NULL, 0));
	R(syscall(SYS_pidfd_send_signal, pf, SIGTERM, NULL, 0x100));
	R(syscall(SYS_pidfd_send_signal, p[0], SIGTERM, NULL, 0));
	R(syscall(SYS_pidfd_send_signal, -1, SIGTERM, NULL, 0));
	memset(&si, 0, sizeof si);
	si.si_signo = SIGUSR1;
	si.si_code = SI_USER;
	R(syscall(SYS_pidfd_send_signal, pf, SIGUSR1, &si, 0));
	si.si_signo = SIGUSR2;
	si.si_code = SI_QUEUE;
	R(syscall(SYS_pidfd_send_signal, pf, SIGUSR1, &si, 0));
	R(syscall(SYS_pidfd_send_signal, pf, SIGTERM, BAD, 0));
	int ep = epoll_create1(0);
	struct epoll_event ev = { EPOLLIN, { .u32 = 9 } };
	R(epoll_ctl(ep, EPOLL_CTL_ADD, pf, &ev));
	R(epoll_wait(ep, &ev, 1, 0));
	R(syscall(SYS_pidfd_send_signal, pf, SIGTERM, NULL, 0));
	R(epoll_wait(ep, &ev, 1, 5000));
	P("events %x data %d", ev.events, ev.data.u32);
	R(poll(&pl, 1, 5000));
	P("revents %x", pl.revents);
	R(syscall(SYS_pidfd_send_signal, pf, 0, NULL, 0));
	R(waitid(P_PIDFD, pf, &si, WEXITED));
	P("status %d code %d", si.si_status, si.si_code);
	R(poll(&pl, 1, 0));
	P("revents %x", pl.revents);
	R(syscall(SYS_pidfd_send_signal, pf, 0, NULL, 0));
	R(syscall(SYS_pidfd_getfd, pf, 0, 0));
	R(waitid(P_PIDFD, pf, &si, WEXITED));
	R(syscall(SYS_pidfd_open, k, 0));
	sprintf(b, "/proc/self/fdinfo/%d", pf);
	FILE *f = fopen(b, "r");
	int pid = 0;
	char l[100];
	while (f && fgets(l, sizeof l, f))
		sscanf(l, "Pid: %d", &pid);
	P("fdinfo Pid %d", pid);
	/* a poll that waits for a child to end */
	k = fork();
	if (!k) {
		msleep(80);
		_exit(3);
	}
	pl.fd = syscall(SYS_pidfd_open, k, 0);
	R(poll(&pl, 1, -1));
	P("revents %x", pl.revents);
	reap(__LINE__, "child", k);
	/* a nonblocking one */
	k = fork();
	if (!k) {
		msleep(80);
		_exit(4);
	}
	fd = syscall(SYS_pidfd_open, k, O_NONBLOCK);
	R(waitid(P_PIDFD, fd, &si, WEXITED));
	pl.fd = fd;
	poll(&pl, 1, -1);
	R(waitid(P_PIDFD, fd, &si, WEXITED));
	P("status %d", si.si_status);
	return 0;
}
