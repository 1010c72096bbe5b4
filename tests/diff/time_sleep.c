/* nanosleep and clock_nanosleep: length, remaining time, absolute, errors, clocks. */
#include "diff.h"

static void h(int s) { (void)s; }
static long long since(long long a)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec - a;
}

static void kicker(int ms)
{
	pid_t me = getpid();
	if (fork() == 0) {
		msleep(ms);
		kill(me, SIGUSR1);
		_exit(0);
	}
}

int main(void)
{
	struct timespec t = { 0, 50000000 }, rem = { 7, 7 }, bad = { 0, 1000000000 }, neg = { -1, 0 }, z = { 0, 0 };
	struct sigaction sa = { .sa_handler = h };
	sigaction(SIGUSR1, &sa, NULL);
	long long a = since(0);

	R(syscall(SYS_nanosleep, &t, &rem));
	T(since(a) >= 50000000 && since(a) < 3000000000);
	P("rem untouched %ld %ld", (long)rem.tv_sec, rem.tv_nsec);
	R(syscall(SYS_nanosleep, &z, NULL));
	R(syscall(SYS_nanosleep, &bad, NULL));
	R(syscall(SYS_nanosleep, &neg, NULL));
	R(syscall(SYS_nanosleep, BAD, NULL));
	R(syscall(SYS_nanosleep, &z, BAD));
	t = (struct timespec){ 2, 0 };
	kicker(60);
	R(syscall(SYS_nanosleep, &t, &rem));
	T(rem.tv_sec == 1 && rem.tv_nsec > 100000000 && rem.tv_nsec <= 990000000);
	wait(NULL);
	kicker(60);
	R(syscall(SYS_nanosleep, &t, BAD));
	wait(NULL);
	/* the remaining time may be the request itself */
	kicker(60);
	R(syscall(SYS_nanosleep, &t, &t));
	T(t.tv_sec == 1);
	wait(NULL);

	t = (struct timespec){ 0, 30000000 };
	R(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, 0, &t, NULL));
	R(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, NULL));
	R(syscall(SYS_clock_nanosleep, CLOCK_BOOTTIME, 0, &t, NULL));
	R(syscall(SYS_clock_nanosleep, CLOCK_TAI, 0, &t, NULL));
	R(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &t, NULL));
	R(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC_RAW, 0, &t, NULL));
	R(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC_COARSE, 0, &t, NULL));
	R(syscall(SYS_clock_nanosleep, 99, 0, &t, NULL));
	R(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &bad, NULL));
	R(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, BAD, NULL));
	R(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &z, NULL));
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += 50000000;
	if (t.tv_nsec >= 1000000000)
		t.tv_sec++, t.tv_nsec -= 1000000000;
	long long due = t.tv_sec * 1000000000ll + t.tv_nsec;
	R(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL));
	T(since(due) >= 0 && since(due) < 3000000000);
	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += 5;
	kicker(60);
	rem = (struct timespec){ 9, 9 };
	R(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &t, &rem));
	P("rem untouched %ld", (long)rem.tv_sec);
	wait(NULL);
	t = (struct timespec){ 3, 0 };
	kicker(60);
	R(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, &rem));
	T(rem.tv_sec == 2);
	wait(NULL);
	/* stop and continue is no interruption: the sleep lasts its time */
	a = since(0);
	pid_t me = getpid(), k = fork();
	(void)me;
	if (!k) {
		t = (struct timespec){ 0, 250000000 };
		_exit(syscall(SYS_nanosleep, &t, NULL) == 0 ? 0 : 1);
	}
	msleep(50);
	kill(k, SIGSTOP);
	msleep(30);
	kill(k, SIGCONT);
	reap(__LINE__, "sleeper", k);
	T(since(a) >= 245000000);
	/* an ignored signal too */
	k = fork();
	if (!k) {
		signal(SIGUSR1, SIG_IGN);
		t = (struct timespec){ 0, 200000000 };
		_exit(syscall(SYS_nanosleep, &t, NULL) == 0 ? 0 : 1);
	}
	msleep(60);
	kill(k, SIGUSR1);
	reap(__LINE__, "sleeper", k);
	/* in many threads the shortest is first */
	R(usleep(1000));
	R(sleep(0));
	return 0;
}
