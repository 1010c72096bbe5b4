/* setsid, setpgid, getsid, getpgid, subreaper, parent death signal. */
#include "diff.h"

int main(void)
{
	pid_t me = getpid(), k;
	int p[2], q[2], v;
	char c;
	pipe(p);
	pipe(q);

	T(getpgrp() == getpgid(0));
	T(getsid(0) == me);
	R(setsid());
	R(setpgid(0, 0));
	R(getpgid(99999));
	R(getsid(99999));
	R(getpgid(-1));
	R(setpgid(-1, 0));
	R(setpgid(0, -1));
	R(setpgid(99999, 0));
	CHILD({
		T(getpgrp() == me && getsid(0) == me);
		R(setpgid(0, 0));
		T(getpgrp() == getpid());
		R(setpgid(0, me));
		T(getpgrp() == me);
		R(setpgid(0, 99999));
		T(setsid() == getpid());
		T(getsid(0) == getpid() && getpgrp() == getpid());
		R(setsid());
		R(setpgid(0, 0));
		R(setpgid(0, me));
		CHILD({ R(setpgid(0, me)); T(getsid(0) == getppid()); R(setsid() > 0); });
	});
	k = fork();
	if (!k) {
		write(p[1], "r", 1);
		read(q[0], &c, 1);
		execl("/bin/busybox", "sh", "-c", "echo r >&2; read x", NULL);
		_exit(1);
	}
	read(p[0], &c, 1);
	R(setpgid(k, k));
	T(getpgid(k) == k);
	R(setpgid(k, me));
	kill(k, SIGKILL);
	reap(__LINE__, "child", k);
	/* after exec the parent may not */
	k = fork();
	if (!k) {
		char a[8];
		sprintf(a, "%d", p[1]);
		execl("/bin/busybox", "sh", "-c", "echo x; sleep 5", NULL);
	}
	msleep(100);
	R(setpgid(k, k));
	kill(k, SIGKILL);
	reap(__LINE__, "child", k);
	/* a session leader's group of another session */
	k = fork();
	if (!k) {
		setsid();
		write(p[1], "s", 1);
		read(q[0], &c, 1);
		_exit(0);
	}
	read(p[0], &c, 1);
	R(setpgid(k, 0));
	R(setpgid(0, k));
	T(getsid(k) == k);
	R(kill(-k, 0));
	write(q[1], "g", 1);
	reap(__LINE__, "leader", k);
	R(kill(-k, 0));

	/* subreaper */
	R(prctl(PR_GET_CHILD_SUBREAPER, &v, 0, 0, 0));
	P("subreaper %d", v);
	CHILD({
		R(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
		R(prctl(PR_GET_CHILD_SUBREAPER, &v, 0, 0, 0));
		P("subreaper %d", v);
		pid_t sub = getpid();
		CHILD({
			R(prctl(PR_GET_CHILD_SUBREAPER, &v, 0, 0, 0));
			P("child is subreaper %d", v);
			if (fork() == 0) {
				while (getppid() != sub && getppid() != 1)
					msleep(2);
				_exit(getppid() == sub ? 17 : 18);
			}
		});
		int st;
		R(wait(&st) > 0);
		say_status(__LINE__, "adopted", st);
	});

	/* parent death signal */
	R(prctl(PR_GET_PDEATHSIG, &v));
	P("pdeathsig %d", v);
	R(prctl(PR_SET_PDEATHSIG, 65));
	CHILD({
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
		pid_t mid = fork();
		if (!mid) {
			if (fork() == 0) {
				R(prctl(PR_SET_PDEATHSIG, SIGTERM));
				R(prctl(PR_GET_PDEATHSIG, &v));
				P("pdeathsig %d", v);
				write(p[1], "r", 1);
				for (;;)
					pause();
			}
			read(p[0], &c, 1);
			_exit(0);
		}
		reap(__LINE__, "middle", mid);
		int st;
		wait(&st);
		say_status(__LINE__, "orphan", st);
	});
	/* orphaned stopped group gets HUP and CONT */
	CHILD({
		setsid();
		pid_t mid = fork();
		if (!mid) {
			setpgid(0, 0);
			if (fork() == 0) {
				write(p[1], "r", 1);
				raise(SIGSTOP);
				_exit(3);
			}
			read(p[0], &c, 1);
			msleep(50);
			_exit(0);
		}
		reap(__LINE__, "middle", mid);
	});
	R(wait(&v) > 0);
	say_status(__LINE__, "stopped orphan", v);
	R(getpriority(PRIO_PROCESS, 0));
	R(setpriority(PRIO_PROCESS, 0, 5));
	R(getpriority(PRIO_PROCESS, 0));
	R(setpriority(PRIO_PROCESS, 0, 0));
	R(setpriority(PRIO_PROCESS, 99999, 0));
	R(setpriority(7, 0, 0));
	R(getpriority(7, 0));
	R(getpriority(PRIO_PROCESS, 99999));
	R(syscall(SYS_getpriority, PRIO_PROCESS, 0));
	return 0;
}
