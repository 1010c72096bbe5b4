/* wait4 and waitid: options, who is waited for, status, siginfo, errors, stop and continue. */
#include "diff.h"

static void nothing(int s) { (void)s; }

static pid_t spawn(int code)
{
	pid_t k = fork();
	if (!k)
		_exit(code);
	return k;
}

static void info(int line, siginfo_t *si, pid_t k)
{
	say(line, "signo %s code %d status %d pid %s uid %d", sname(si->si_signo), si->si_code, si->si_status,
	    si->si_pid == k ? "it" : si->si_pid ? "other" : "0", si->si_uid);
}

int main(void)
{
	int st = 0x1234;
	siginfo_t si;
	struct rusage ru;
	pid_t k, g;

	R(wait(&st));
	R(waitpid(-1, &st, WNOHANG));
	R(waitpid(12345, &st, 0));
	R(waitpid(INT_MIN, &st, 0));
	R(waitid(P_ALL, 0, &si, WEXITED));
	R(waitid(P_ALL, 0, &si, 0));
	R(waitid(77, 0, &si, WEXITED));
	R(waitid(P_PID, 0, &si, WEXITED));
	R(waitid(P_PID, -5, &si, WEXITED));
	R(waitid(P_ALL, 0, &si, WEXITED | 0x10000));
	R(waitpid(-1, &st, 0x10000));

	k = spawn(3);
	R(wait4(k, &st, 0, &ru) == k);
	say_status(__LINE__, "wait4", st);
	T(ru.ru_maxrss > 0);
	R(waitpid(k, &st, 0));
	k = spawn(4);
	R(waitid(P_PID, k, &si, WEXITED | WNOWAIT));
	info(__LINE__, &si, k);
	R(waitid(P_PID, k, &si, WEXITED | WNOWAIT));
	R(waitid(P_PID, k, &si, WSTOPPED | WNOHANG));
	P("pid %d", si.si_pid);
	R(waitid(P_PID, k, NULL, WEXITED));
	R(waitid(P_PID, k, &si, WEXITED));
	k = spawn(5);
	R(waitpid(k, BAD, 0));
	R(waitpid(k, &st, 0));
	k = spawn(5);
	R(waitid(P_PID, k, BAD, WEXITED));
	R(waitpid(k, &st, 0));
	k = spawn(5);
	R(wait4(k, &st, 0, BAD));
	R(waitpid(k, NULL, 0));
	k = spawn(6);
	R(waitpid(k, NULL, 0) == k);

	/* WNOHANG while it lives */
	int p[2];
	char c;
	pipe(p);
	k = fork();
	if (!k) {
		read(p[0], &c, 1);
		raise(SIGKILL);
	}
	R(waitpid(k, &st, WNOHANG));
	memset(&si, 0xff, sizeof si);
	R(waitid(P_PID, k, &si, WEXITED | WNOHANG));
	P("signo %d pid %d", si.si_signo, si.si_pid);
	write(p[1], "x", 1);
	R(waitid(P_PID, k, &si, WEXITED));
	info(__LINE__, &si, k);

	/* groups */
	k = fork();
	if (!k) {
		setpgid(0, 0);
		_exit(9);
	}
	g = spawn(10);
	msleep(20);
	R(waitpid(0, &st, 0) == g);
	say_status(__LINE__, "own group", st);
	R(waitpid(-k, &st, 0) == k);
	say_status(__LINE__, "its group", st);
	R(waitpid(-k, &st, 0));
	k = spawn(11);
	R(waitid(P_PGID, 0, &si, WEXITED));
	info(__LINE__, &si, k);
	k = spawn(11);
	R(waitid(P_PGID, getpgrp(), &si, WEXITED));
	info(__LINE__, &si, k);

	/* stop and continue */
	k = fork();
	if (!k) {
		raise(SIGSTOP);
		raise(SIGTSTP);
		_exit(12);
	}
	R(waitpid(k, &st, WUNTRACED) == k);
	say_status(__LINE__, "child", st);
	R(waitpid(k, &st, WUNTRACED | WNOHANG));
	kill(k, SIGCONT);
	R(waitpid(k, &st, WCONTINUED) == k);
	say_status(__LINE__, "child", st);
	R(waitid(P_PID, k, &si, WSTOPPED));
	info(__LINE__, &si, k);
	R(waitid(P_PID, k, &si, WCONTINUED | WNOHANG));
	P("pid %d", si.si_pid);
	kill(k, SIGCONT);
	R(waitid(P_PID, k, &si, WCONTINUED | WNOWAIT));
	info(__LINE__, &si, k);
	R(waitid(P_PID, k, &si, WEXITED | WSTOPPED));
	info(__LINE__, &si, k);

	/* SIGCHLD ignored: no zombies, wait blocks until all are gone */
	signal(SIGCHLD, SIG_IGN);
	spawn(1);
	spawn(2);
	R(wait(&st));
	signal(SIGCHLD, SIG_DFL);
	struct sigaction sa = { .sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT };
	sigaction(SIGCHLD, &sa, NULL);
	k = spawn(3);
	R(waitpid(k, &st, 0));
	sa.sa_flags = 0;
	sigaction(SIGCHLD, &sa, NULL);

	/* which child comes: oldest is not promised, all come */
	int sum = 0;
	for (int i = 1; i <= 20; i++)
		spawn(i);
	while ((k = wait(&st)) > 0)
		sum += WEXITSTATUS(st);
	P("sum %d then %s", sum, ename(errno));

	/* by pidfd */
	k = spawn(13);
	int pf = syscall(SYS_pidfd_open, k, 0);
	R(waitid(P_PIDFD, pf, &si, WEXITED));
	info(__LINE__, &si, k);
	R(waitid(P_PIDFD, pf, &si, WEXITED));
	R(waitid(P_PIDFD, 99, &si, WEXITED));
	R(waitid(P_PIDFD, 0, &si, WEXITED));
	/* a thread may wait for another thread's child, not with __WNOTHREAD */
	k = spawn(14);
	R(waitpid(k, &st, __WNOTHREAD) == k);
	R(waitpid(-1, &st, __WALL));
	/* a signal interrupts, unless SA_RESTART */
	struct sigaction sa2 = { .sa_handler = nothing };
	sigaction(SIGUSR1, &sa2, NULL);
	k = fork();
	if (!k) {
		msleep(100);
		kill(getppid(), SIGUSR1);
		msleep(100);
		_exit(15);
	}
	R(waitpid(k, &st, 0));
	while ((g = waitpid(k, &st, 0)) == -1 && errno == EINTR)
		c++;
	R(g == k);
	say_status(__LINE__, "after interruptions", st);
	k = fork();
	if (!k) {
		msleep(100);
		kill(getppid(), SIGUSR2);
		msleep(100);
		_exit(16);
	}
	sa2.sa_flags = SA_RESTART;
	sigaction(SIGUSR2, &sa2, NULL);
	R(waitpid(k, &st, 0) == k);
	say_status(__LINE__, "restarted", st);
	return 0;
}
