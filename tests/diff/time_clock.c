/* clock_gettime, getres, settime, gettimeofday, time: every clock, relations, errors; vDSO beside the calls. */
#include "diff.h"
#include <sys/timex.h>

static long long ns(clockid_t c)
{
	struct timespec t = { -1, -1 };
	clock_gettime(c, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}
static long long raw(clockid_t c)
{
	struct timespec t = { -1, -1 };
	syscall(SYS_clock_gettime, c, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void *burn(void *a)
{
	clockid_t *c = a;
	volatile long x = 0;
	pthread_getcpuclockid(pthread_self(), c);
	while (ns(CLOCK_THREAD_CPUTIME_ID) < 30000000)
		x++;
	return NULL;
}

int main(void)
{
	struct timespec t, r;
	struct timeval tv;
	static const int clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID,
		CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_TAI };

	for (unsigned i = 0; i < NELEM(clocks); i++) {
		int g = clock_gettime(clocks[i], &t), q = syscall(SYS_clock_gettime, clocks[i], &t);
		int e = syscall(SYS_clock_getres, clocks[i], &r);
		long long a = ns(clocks[i]), b = raw(clocks[i]), c = ns(clocks[i]);
		P("clock %d: %d %d res %d %ld forward %d %d nsec ok %d", clocks[i], g, q, e,
		  clocks[i] == 5 || clocks[i] == 6 ? 0 : (long)r.tv_nsec, b >= a, c >= b, t.tv_nsec < 1000000000);
	}
	R(syscall(SYS_clock_gettime, 10, &t));
	R(syscall(SYS_clock_gettime, 99, &t));
	R(syscall(SYS_clock_gettime, -1, &t));
	R(syscall(SYS_clock_gettime, 0, BAD));
	R(syscall(SYS_clock_gettime, 99, BAD));
	R(syscall(SYS_clock_getres, 0, NULL));
	R(syscall(SYS_clock_getres, 99, NULL));
	R(syscall(SYS_clock_getres, 0, BAD));
	R(clock_gettime(99, &t));
	R(syscall(SYS_clock_settime, CLOCK_MONOTONIC, &t));
	R(syscall(SYS_clock_settime, CLOCK_REALTIME, BAD));
	t = (struct timespec){ 0, 1000000000 };
	R(syscall(SYS_clock_settime, CLOCK_REALTIME, &t));
	t = (struct timespec){ 1000000000, 0 };
	R(syscall(SYS_clock_settime, CLOCK_REALTIME, &t));
	tv = (struct timeval){ 1000000000, 0 };
	R(settimeofday(&tv, NULL));
	struct timex tx = { 0 };
	S(adjtimex(&tx));
	tx.modes = ADJ_OFFSET;
	R(adjtimex(&tx));
	R(syscall(SYS_adjtimex, BAD));
	/* the old adjtime(3) asks with two bits and sets with one */
	unsigned modes[] = { 0xa001, 0x8001, 0x8000, 0xa000, 0x2000, 0x1, 0x4000, 0x100 };
	for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++) {
		memset(&tx, 0, sizeof tx);
		tx.modes = modes[i];
		R(adjtimex(&tx) >= 0);
	}

	/* they agree with one another */
	R(gettimeofday(&tv, NULL));
	T(llabs(ns(CLOCK_REALTIME) / 1000 - (tv.tv_sec * 1000000ll + tv.tv_usec)) < 2000000);
	T(labs(time(NULL) - tv.tv_sec) <= 2);
	T(labs(syscall(SYS_time, NULL) - tv.tv_sec) <= 2);
	long tt;
	R(syscall(SYS_time, &tt) == tt);
	R(syscall(SYS_time, BAD));
	R(syscall(SYS_gettimeofday, BAD, NULL));
	R(syscall(SYS_gettimeofday, NULL, BAD));
	struct { int a, b; } tz = { 77, 77 };
	R(syscall(SYS_gettimeofday, NULL, &tz));
	P("tz %d %d", tz.a, tz.b);
	T(llabs(ns(CLOCK_REALTIME) - ns(CLOCK_REALTIME_COARSE)) < 500000000);
	T(llabs(ns(CLOCK_MONOTONIC) - ns(CLOCK_MONOTONIC_COARSE)) < 500000000);
	T(ns(CLOCK_BOOTTIME) - ns(CLOCK_MONOTONIC) > -500000000);
	/* tight monotonicity, between vDSO and call too */
	long long last = 0;
	int back = 0;
	for (int i = 0; i < 20000; i++) {
		long long x = i & 1 ? raw(CLOCK_MONOTONIC) : ns(CLOCK_MONOTONIC);
		back += x < last;
		last = x;
	}
	P("steps back %d", back);

	/* CPU clocks count work, not sleep */
	long long p0 = ns(CLOCK_PROCESS_CPUTIME_ID), t0 = ns(CLOCK_THREAD_CPUTIME_ID), m0 = ns(CLOCK_MONOTONIC);
	msleep(200);
	T(ns(CLOCK_MONOTONIC) - m0 >= 200000000);
	T(ns(CLOCK_PROCESS_CPUTIME_ID) - p0 < 150000000);
	T(ns(CLOCK_THREAD_CPUTIME_ID) - t0 < 150000000);
	pthread_t th;
	clockid_t c, pc;
	p0 = ns(CLOCK_PROCESS_CPUTIME_ID);
	t0 = ns(CLOCK_THREAD_CPUTIME_ID);
	pthread_create(&th, NULL, burn, &c);
	pthread_join(th, NULL);
	T(ns(CLOCK_PROCESS_CPUTIME_ID) - p0 >= 29000000);
	T(ns(CLOCK_THREAD_CPUTIME_ID) - t0 < 25000000);
	R(clock_gettime(c, &t));
	R(clock_getcpuclockid(0, &pc));
	R(clock_gettime(pc, &t));
	T(llabs(t.tv_sec * 1000000000ll + t.tv_nsec - ns(CLOCK_PROCESS_CPUTIME_ID)) < 1000000000);
	R(clock_getcpuclockid(99999, &pc));
	/* a child's clocks start anew, the wall clock does not */
	m0 = ns(CLOCK_MONOTONIC);
	CHILD({ T(ns(CLOCK_PROCESS_CPUTIME_ID) < 100000000); T(ns(CLOCK_MONOTONIC) >= m0); });
	return 0;
}
