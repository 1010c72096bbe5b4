/* Queued and real-time signals: order, values, limits, siginfo of each source. */
#include "diff.h"
#include <sys/time.h>

static volatile int n;
static struct { int sig, code, val; pid_t pid; } got[40];

static void h(int s, siginfo_t *si, void *u)
{
	(void)u;
	if (n < 40) {
		got[n].sig = s;
		got[n].code = si->si_code;
		got[n].val = si->si_value.sival_int;
		got[n].pid = si->si_pid;
	}
	n++;
}

static void dump(int line, int vals)
{
	for (int i = 0; i < n && i < 40; i++) {
		if (vals)
			say(line, "sig %d code %d val %d pid %s", got[i].sig, got[i].code, got[i].val,
			    got[i].pid == getpid() ? "me" : "other");
		else
			say(line, "sig %d code %d pid %s", got[i].sig, got[i].code, got[i].pid == getpid() ? "me" : "other");
	}
	n = 0;
}

static long rtq(pid_t p, int s, int code, int val)
{
	siginfo_t si;
	memset(&si, 0, sizeof si);
	si.si_signo = s;
	si.si_code = code;
	si.si_pid = getpid();
	si.si_value.sival_int = val;
	return syscall(SYS_rt_sigqueueinfo, p, s, &si);
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = h, .sa_flags = SA_SIGINFO };
	sigset_t m, o;
	sigfillset(&sa.sa_mask);
	for (int s = 34; s < 65; s++)
		sigaction(s, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	sigaction(SIGCHLD, &sa, NULL);
	sigfillset(&m);
	sigdelset(&m, SIGALRM);
	sigprocmask(SIG_SETMASK, &m, &o);

	for (int i = 0; i < 4; i++) {
		R(sigqueue(getpid(), 40, (union sigval){ .sival_int = i }));
		R(sigqueue(getpid(), 36, (union sigval){ .sival_int = 10 + i }));
	}
	R(sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 77 }));
	R(sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 78 }));
	R(raise(SIGUSR2));
	R(kill(getpid(), 64));
	sigprocmask(SIG_SETMASK, &o, NULL);
	P("%d came", n);
	dump(__LINE__, 1);
	R(kill(getpid(), SIGUSR1));
	dump(__LINE__, 0);
	R(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1));
	dump(__LINE__, 0);
	R(syscall(SYS_tkill, gettid(), SIGUSR1));
	dump(__LINE__, 0);
	R(rtq(getpid(), SIGUSR1, -5, 3));
	dump(__LINE__, 1);
	R(rtq(getpid(), SIGUSR1, SI_USER, 3));
	R(rtq(getpid(), SIGUSR1, SI_TKILL, 3));
	R(rtq(getpid(), SIGUSR1, SI_KERNEL, 3));
	n = 0;
	R(rtq(getpid(), 0, -5, 3));
	R(rtq(getpid(), 65, -5, 3));
	R(rtq(99999, SIGUSR1, -5, 3));
	R(rtq(-1, SIGUSR1, -5, 3));
	R(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, BAD));
	siginfo_t si = { .si_signo = SIGUSR1, .si_code = -7 };
	R(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, &si));
	P("n %d", n);
	n = 0;
	R(syscall(SYS_rt_tgsigqueueinfo, getpid(), 99999, SIGUSR1, &si));
	pid_t k = fork();
	if (!k) {
		for (;;)
			pause();
	}
	msleep(20);
	R(rtq(k, 50, SI_USER, 3));
	R(rtq(k, 50, SI_QUEUE, 3));
	R(kill(k, SIGKILL));
	R(waitpid(k, NULL, 0) == k);
	T(n >= 1);
	P("SIGCHLD code %d pid %d", got[0].code, got[0].pid == k);
	n = 0;
	k = fork();
	if (!k) {
		signal(50, SIG_DFL);
		for (;;)
			pause();
	}
	msleep(20);
	R(rtq(k, 50, SI_QUEUE, 3));
	reap(__LINE__, "child", k);
	n = 0;

	/* a thread's signals come before the group's */
	sigprocmask(SIG_SETMASK, &m, NULL);
	kill(getpid(), 40);
	syscall(SYS_tgkill, getpid(), gettid(), 41);
	sigprocmask(SIG_SETMASK, &o, NULL);
	dump(__LINE__, 0);
	/* the queue's limit */
	CHILD({
		struct rlimit rl = { 5, 5 };
		sigprocmask(SIG_SETMASK, &m, NULL);
		R(setrlimit(RLIMIT_SIGPENDING, &rl));
		setuid(4321);
		int ok = 0;
		for (int i = 0; i < 10; i++)
			ok += sigqueue(getpid(), 40, (union sigval){ .sival_int = i }) == 0;
		P("queued %d", ok);
		R(sigqueue(getpid(), 40, (union sigval){ 0 }));
		R(kill(getpid(), 41));
		R(kill(getpid(), SIGUSR1));
		n = 0;
		sigprocmask(SIG_SETMASK, &o, NULL);
		P("came %d", n);
	});
	/* many */
	sigprocmask(SIG_SETMASK, &m, NULL);
	for (int i = 0; i < 1000; i++)
		sigqueue(getpid(), 45, (union sigval){ .sival_int = i });
	n = 0;
	sigprocmask(SIG_SETMASK, &o, NULL);
	P("came %d, the first %d, the 40th %d", n, got[0].val, got[39].val);
	return 0;
}
