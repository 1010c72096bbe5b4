/* prctl, personality, getrusage, times, rlimits. */
#include "diff.h"
#include <sys/personality.h>
#include <sys/times.h>

static void lim(int line, int what)
{
	struct rlimit r;
	if (getrlimit(what, &r))
		say(line, "%s", ename(errno));
	else
		say(line, "limit %d: %ld %ld", what, (long)r.rlim_cur, (long)r.rlim_max);
}

int main(void)
{
	char name[32];
	int v = -1;
	struct rlimit r, o;

	R(prctl(PR_GET_NAME, name));
	P("%s", name);
	R(prctl(PR_SET_NAME, "a-name-longer-than-fifteen"));
	R(prctl(PR_GET_NAME, name));
	P("%s", name);
	show(__LINE__, "/proc/self/comm");
	R(prctl(PR_SET_NAME, BAD));
	R(prctl(PR_GET_NAME, BAD));
	R(prctl(9999, 0, 0, 0, 0));
	R(prctl(PR_GET_DUMPABLE));
	R(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
	R(prctl(PR_GET_DUMPABLE));
	R(prctl(PR_SET_DUMPABLE, 2, 0, 0, 0));
	R(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
	R(prctl(PR_GET_KEEPCAPS));
	R(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
	R(prctl(PR_GET_KEEPCAPS));
	R(prctl(PR_SET_KEEPCAPS, 2, 0, 0, 0));
	R(prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0));
	R(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	CHILD({
		R(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
		R(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0));
		R(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
		R(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
		CHILD(R(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)));
	});
	R(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	R(prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
	R(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0));
	R(prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0));
	R(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0));
	R(prctl(PR_SET_TIMERSLACK, 0, 0, 0, 0));
	R(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0));
	R(prctl(PR_CAPBSET_READ, 0, 0, 0, 0));
	R(prctl(PR_CAPBSET_READ, 21, 0, 0, 0));
	R(prctl(PR_CAPBSET_READ, 200, 0, 0, 0));
	R(prctl(PR_GET_SECUREBITS));
	R(prctl(PR_GET_TSC, &v));
	R(prctl(PR_SET_MM, 0, 0, 0, 0));
	R(prctl(PR_SET_VMA, 0, page_with(PROT_READ), PAGE, "label"));
	R(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	R(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0));
	R(prctl(PR_GET_TIMING, 0, 0, 0, 0));
	R(prctl(PR_SET_TIMING, 1, 0, 0, 0));

	R(personality(0xffffffff));
	CHILD({
		R(personality(ADDR_NO_RANDOMIZE));
		R(personality(0xffffffff));
		CHILD(R(personality(0xffffffff)));
		execl("/bin/busybox", "cat", "/proc/self/personality", NULL);
	});

	lim(__LINE__, RLIMIT_NOFILE);
	lim(__LINE__, RLIMIT_CORE);
	lim(__LINE__, RLIMIT_NPROC);
	lim(__LINE__, RLIMIT_MEMLOCK);
	R(getrlimit(77, &r));
	R(getrlimit(RLIMIT_NOFILE, BAD));
	R(setrlimit(RLIMIT_NOFILE, BAD));
	r = (struct rlimit){ 10, 5 };
	R(setrlimit(RLIMIT_NOFILE, &r));
	r = (struct rlimit){ 100, 2000 };
	R(setrlimit(RLIMIT_NOFILE, &r));
	r = (struct rlimit){ 100, 900 };
	R(setrlimit(RLIMIT_NOFILE, &r));
	lim(__LINE__, RLIMIT_NOFILE);
	r = (struct rlimit){ 100, 1000 };
	R(setrlimit(RLIMIT_NOFILE, &r));
	R(prlimit(0, RLIMIT_NOFILE, &(struct rlimit){ 200, 900 }, &o));
	P("old %ld %ld", (long)o.rlim_cur, (long)o.rlim_max);
	R(prlimit(getpid(), RLIMIT_NOFILE, NULL, &o));
	P("now %ld %ld", (long)o.rlim_cur, (long)o.rlim_max);
	R(prlimit(0, RLIMIT_NOFILE, NULL, NULL));
	R(prlimit(99999, RLIMIT_NOFILE, NULL, &o));
	R(prlimit(0, 77, NULL, &o));
	pid_t k = fork();
	if (!k) {
		for (;;)
			pause();
	}
	R(prlimit(k, RLIMIT_NOFILE, &(struct rlimit){ 50, 60 }, &o));
	R(prlimit(k, RLIMIT_NOFILE, NULL, &o));
	P("child's %ld %ld", (long)o.rlim_cur, (long)o.rlim_max);
	kill(k, SIGKILL);
	reap(__LINE__, "child", k);
	lim(__LINE__, RLIMIT_NOFILE);
	CHILD({ setuid(1000); R(prlimit(1, RLIMIT_NOFILE, NULL, &o)); });
	/* RLIMIT_CPU */
	CHILD({
		struct rlimit c = { 1, 3 };
		R(setrlimit(RLIMIT_CPU, &c));
		for (;;)
			v++;
	});

	struct rusage ru;
	R(getrusage(RUSAGE_SELF, &ru));
	T(ru.ru_maxrss > 0);
	T(ru.ru_utime.tv_sec < 30 && ru.ru_utime.tv_usec < 1000000);
	R(getrusage(RUSAGE_CHILDREN, &ru));
	T(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec >= 1 || ru.ru_utime.tv_usec + ru.ru_stime.tv_usec > 900000);
	R(getrusage(RUSAGE_THREAD, &ru));
	R(getrusage(5, &ru));
	R(getrusage(RUSAGE_SELF, BAD));
	struct tms tm;
	S(times(&tm));
	T(tm.tms_cutime + tm.tms_cstime >= 80);
	S(times(NULL));
	R(syscall(SYS_times, BAD));
	R(syscall(SYS_sysinfo, BAD));
	return 0;
}
