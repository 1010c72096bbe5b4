/* sigtimedwait, sigwaitinfo, sigsuspend, pause, signalfd. */
#include "diff.h"
#include <sys/signalfd.h>
#include <sys/epoll.h>

static volatile int n;
static void h(int s) { (void)s; n++; }

static void later(int ms, int sig)
{
	pid_t me = getpid();
	if (fork() == 0) {
		msleep(ms);
		kill(me, sig);
		_exit(0);
	}
}

static void si_show(int line, siginfo_t *si)
{
	say(line, "signo %d code %d val %d", si->si_signo, si->si_code, si->si_code == SI_QUEUE ? si->si_value.sival_int : 0);
}

int main(void)
{
	sigset_t m, o, e;
	siginfo_t si;
	struct timespec zero = { 0, 0 }, ts = { 0, 50000000 }, badts = { 0, 1000000000 }, neg = { -1, 0 };
	sigemptyset(&m);
	sigemptyset(&e);
	sigaddset(&m, SIGUSR1);
	sigaddset(&m, SIGUSR2);
	sigaddset(&m, 40);
	sigprocmask(SIG_BLOCK, &m, &o);

	R(sigtimedwait(&m, &si, &zero));
	R(sigtimedwait(&m, &si, &ts));
	R(sigtimedwait(&m, &si, &badts));
	R(sigtimedwait(&m, &si, &neg));
	R(syscall(SYS_rt_sigtimedwait, BAD, &si, &zero, 8));
	R(syscall(SYS_rt_sigtimedwait, &m, &si, &zero, 4));
	R(syscall(SYS_rt_sigtimedwait, &m, &si, BAD, 8));
	kill(getpid(), SIGUSR2);
	kill(getpid(), SIGUSR1);
	sigqueue(getpid(), 40, (union sigval){ .sival_int = 9 });
	R(sigtimedwait(&m, &si, &zero));
	si_show(__LINE__, &si);
	R(sigwaitinfo(&m, &si));
	si_show(__LINE__, &si);
	R(sigwaitinfo(&m, &si));
	si_show(__LINE__, &si);
	raise(SIGUSR1);
	R(syscall(SYS_rt_sigtimedwait, &m, BAD, &zero, 8));
	R(sigtimedwait(&m, &si, &zero));
	later(40, SIGUSR1);
	R(sigwaitinfo(&m, &si));
	si_show(__LINE__, &si);
	wait(NULL);
	/* another signal that has a handler interrupts */
	struct sigaction sa = { .sa_handler = h, .sa_flags = SA_RESTART };
	sigaction(SIGHUP, &sa, NULL);
	later(40, SIGHUP);
	R(sigwaitinfo(&m, &si));
	P("n %d", n);
	wait(NULL);

	/* sigsuspend */
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	raise(SIGUSR1);
	n = 0;
	sigprocmask(SIG_BLOCK, NULL, &o);
	sigdelset(&o, SIGUSR1);
	R(sigsuspend(&o));
	P("n %d", n);
	sigprocmask(SIG_BLOCK, NULL, &o);
	P("blocked again %d", sigismember(&o, SIGUSR1));
	later(40, SIGUSR2);
	R(sigsuspend(&e));
	P("n %d", n);
	wait(NULL);
	R(syscall(SYS_rt_sigsuspend, BAD, 8));
	R(syscall(SYS_rt_sigsuspend, &e, 4));
	/* pause */
	later(40, SIGHUP);
	R(pause());
	wait(NULL);
	/* an ignored one does not end it */
	signal(SIGTERM, SIG_IGN);
	later(30, SIGTERM);
	later(90, SIGHUP);
	n = 0;
	R(pause());
	P("n %d", n);
	wait(NULL);
	wait(NULL);

	/* signalfd */
	struct signalfd_siginfo fi;
	int sf = signalfd(-1, &m, SFD_NONBLOCK | SFD_CLOEXEC);
	R(sf);
	R(fcntl(sf, F_GETFL));
	R(fcntl(sf, F_GETFD));
	R(read(sf, &fi, sizeof fi));
	R(read(sf, &fi, 4));
	R(signalfd(-1, &m, 1));
	R(signalfd(0, &m, 0));
	R(signalfd(99, &m, 0));
	R(syscall(SYS_signalfd4, -1, BAD, 8, 0));
	R(syscall(SYS_signalfd4, -1, &m, 4, 0));
	raise(SIGUSR1);
	sigqueue(getpid(), 40, (union sigval){ .sival_int = 55 });
	struct pollfd pf = { sf, POLLIN | POLLOUT, 0 };
	R(poll(&pf, 1, 0));
	P("revents %x", pf.revents);
	R(read(sf, &fi, sizeof fi));
	P("signo %u code %d pid %d uid %u", fi.ssi_signo, fi.ssi_code, fi.ssi_pid == (unsigned)getpid(), fi.ssi_uid);
	R(read(sf, &fi, sizeof fi));
	P("signo %u code %d int %d", fi.ssi_signo, fi.ssi_code, fi.ssi_int);
	R(read(sf, &fi, sizeof fi));
	struct signalfd_siginfo two[3];
	raise(SIGUSR1);
	raise(SIGUSR2);
	R(read(sf, two, sizeof two + 5));
	P("%u %u", two[0].ssi_signo, two[1].ssi_signo);
	raise(SIGUSR1);
	R(read(sf, BAD, 128));
	R(read(sf, &fi, sizeof fi));
	R(write(sf, &fi, sizeof fi));
	R(lseek(sf, 0, SEEK_SET));
	/* change of the mask */
	sigdelset(&m, SIGUSR1);
	R(signalfd(sf, &m, 0) == sf);
	raise(SIGUSR1);
	R(read(sf, &fi, sizeof fi));
	sigaddset(&m, SIGUSR1);
	R(signalfd(sf, &m, 0) == sf);
	R(read(sf, &fi, sizeof fi));
	/* epoll, and a blocking read */
	int ep = epoll_create1(0);
	struct epoll_event ev = { EPOLLIN, { .u32 = 1 } };
	epoll_ctl(ep, EPOLL_CTL_ADD, sf, &ev);
	R(epoll_wait(ep, &ev, 1, 0));
	later(40, SIGUSR2);
	R(epoll_wait(ep, &ev, 1, 3000));
	R(read(sf, &fi, sizeof fi));
	wait(NULL);
	fcntl(sf, F_SETFL, 0);
	later(40, SIGUSR1);
	R(read(sf, &fi, sizeof fi));
	wait(NULL);
	/* SIGCHLD by signalfd carries the status */
	sigset_t c;
	sigemptyset(&c);
	sigaddset(&c, SIGCHLD);
	sigprocmask(SIG_BLOCK, &c, NULL);
	int cf = signalfd(-1, &c, 0);
	pid_t k = fork();
	if (!k)
		_exit(6);
	R(read(cf, &fi, sizeof fi));
	P("signo %u code %d status %d pid %d", fi.ssi_signo, fi.ssi_code, fi.ssi_status, fi.ssi_pid == (unsigned)k);
	wait(NULL);
	/* a child reads its own signals by the inherited one */
	CHILD({ raise(SIGUSR1); R(read(sf, &fi, sizeof fi)); P("child's pid %d", fi.ssi_pid == (unsigned)getpid()); });
	return 0;
}
