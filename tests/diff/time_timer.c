/* setitimer, alarm, POSIX timers, timerfd. */
#include "diff.h"
#include <sys/timerfd.h>

static volatile int n, lastval, lastcode, lastover;
static void h(int s, siginfo_t *si, void *u)
{
	(void)s, (void)u;
	n++;
	lastcode = si->si_code;
	lastval = si->si_value.sival_int;
	lastover = si->si_overrun;
}
static void tick(union sigval v) { n += v.sival_int; }

static void until(int want)
{
	for (int i = 0; i < 600 && n < want; i++)
		msleep(5);
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = h, .sa_flags = SA_SIGINFO };
	struct itimerval iv = { { 0, 0 }, { 0, 30000 } }, o;
	struct itimerspec it, ot;
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGVTALRM, &sa, NULL);
	sigaction(SIGPROF, &sa, NULL);
	sigaction(40, &sa, NULL);

	/* alarm and ITIMER_REAL are one */
	R(alarm(19));
	R(getitimer(ITIMER_REAL, &o));
	T(o.it_value.tv_sec >= 17 && o.it_interval.tv_sec == 0);
	sigaction(SIGALRM, &sa, NULL);
	R(setitimer(ITIMER_REAL, &iv, &o));
	T(o.it_value.tv_sec >= 17);
	until(1);
	P("n %d code %d", n, lastcode);
	R(getitimer(ITIMER_REAL, &o));
	P("left %ld %ld", (long)o.it_value.tv_sec, (long)o.it_value.tv_usec);
	n = 0;
	iv.it_interval.tv_usec = 10000;
	R(setitimer(ITIMER_REAL, &iv, NULL));
	until(5);
	T(n >= 5);
	memset(&iv, 0, sizeof iv);
	R(setitimer(ITIMER_REAL, &iv, &o));
	T(o.it_interval.tv_usec == 10000);
	R(setitimer(9, &iv, NULL));
	R(getitimer(9, &o));
	R(getitimer(0, BAD));
	R(setitimer(0, BAD, NULL));
	iv.it_value.tv_usec = 1000000;
	R(setitimer(0, &iv, NULL));
	iv.it_value.tv_usec = -1;
	R(setitimer(0, &iv, NULL));
	/* CPU time ones */
	iv = (struct itimerval){ { 0, 0 }, { 0, 20000 } };
	n = 0;
	R(setitimer(ITIMER_VIRTUAL, &iv, NULL));
	msleep(60);
	P("asleep: %d", n);
	while (!n)
		;
	P("at work: %d", n);
	n = 0;
	R(setitimer(ITIMER_PROF, &iv, NULL));
	while (!n)
		;
	P("prof: %d", n);
	struct sigaction lim = { .sa_handler = on_limit };
	sigaction(SIGALRM, &lim, NULL);
	alarm(19);

	/* POSIX timers */
	timer_t t;
	int id = -1;
	struct sigevent se = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = 40, .sigev_value.sival_int = 321 };
	R(syscall(SYS_timer_create, CLOCK_MONOTONIC, &se, &id));
	it = (struct itimerspec){ { 0, 0 }, { 0, 20000000 } };
	n = 0;
	R(syscall(SYS_timer_settime, id, 0, &it, &ot));
	P("old %ld %ld", (long)ot.it_value.tv_sec, ot.it_value.tv_nsec);
	R(syscall(SYS_timer_gettime, id, &ot));
	T(ot.it_value.tv_nsec > 0 && ot.it_value.tv_nsec <= 20000000);
	until(1);
	P("n %d code %d val %d", n, lastcode, lastval);
	R(syscall(SYS_timer_gettime, id, &ot));
	P("left %ld %ld", (long)ot.it_value.tv_sec, ot.it_value.tv_nsec);
	R(syscall(SYS_timer_getoverrun, id));
	/* overrun while blocked */
	sigset_t m;
	sigemptyset(&m);
	sigaddset(&m, 40);
	sigprocmask(SIG_BLOCK, &m, NULL);
	it = (struct itimerspec){ { 0, 10000000 }, { 0, 10000000 } };
	n = 0;
	R(syscall(SYS_timer_settime, id, 0, &it, NULL));
	msleep(150);
	memset(&it, 0, sizeof it);
	R(syscall(SYS_timer_settime, id, 0, &it, &ot));
	T(ot.it_interval.tv_nsec == 10000000);
	sigprocmask(SIG_UNBLOCK, &m, NULL);
	P("came %d", n);
	/* absolute, in the past: at once */
	n = 0;
	it = (struct itimerspec){ { 0, 0 }, { 0, 1 } };
	R(syscall(SYS_timer_settime, id, TIMER_ABSTIME, &it, NULL));
	until(1);
	P("n %d", n);
	it.it_value.tv_nsec = 1000000000;
	R(syscall(SYS_timer_settime, id, 0, &it, NULL));
	R(syscall(SYS_timer_settime, id, 0, BAD, NULL));
	R(syscall(SYS_timer_settime, 12345, 0, &it, NULL));
	R(syscall(SYS_timer_gettime, 12345, &it));
	R(syscall(SYS_timer_gettime, id, BAD));
	R(syscall(SYS_timer_delete, id));
	R(syscall(SYS_timer_delete, id));
	R(syscall(SYS_timer_getoverrun, id));
	R(syscall(SYS_timer_create, 99, &se, &id));
	se.sigev_signo = 65;
	R(syscall(SYS_timer_create, CLOCK_REALTIME, &se, &id));
	se.sigev_notify = 99;
	R(syscall(SYS_timer_create, CLOCK_REALTIME, &se, &id));
	R(syscall(SYS_timer_create, CLOCK_REALTIME, BAD, &id));
	R(syscall(SYS_timer_create, CLOCK_REALTIME, NULL, BAD));
	/* to a thread, by thread, none, default */
	memset(&se, 0, sizeof se);
	se.sigev_notify = SIGEV_THREAD_ID;
	se.sigev_signo = SIGUSR1;
	((int *)&se)[4] = gettid();
	R(syscall(SYS_timer_create, CLOCK_BOOTTIME, &se, &id));
	n = 0;
	it = (struct itimerspec){ { 0, 0 }, { 0, 5000000 } };
	R(syscall(SYS_timer_settime, id, 0, &it, NULL));
	until(1);
	P("n %d", n);
	se.sigev_notify = SIGEV_NONE;
	R(syscall(SYS_timer_create, CLOCK_REALTIME, &se, &id));
	R(syscall(SYS_timer_settime, id, 0, &it, NULL));
	msleep(20);
	R(syscall(SYS_timer_gettime, id, &ot));
	P("left %ld", ot.it_value.tv_nsec);
	memset(&se, 0, sizeof se);
	se.sigev_notify = SIGEV_THREAD;
	se.sigev_notify_function = tick;
	se.sigev_value.sival_int = 100;
	n = 0;
	R(timer_create(CLOCK_MONOTONIC, &se, &t));
	R(timer_settime(t, 0, &it, NULL));
	until(100);
	P("n %d", n);
	R(timer_delete(t));
	/* CPU timers */
	memset(&se, 0, sizeof se);
	se.sigev_notify = SIGEV_SIGNAL;
	se.sigev_signo = SIGUSR1;
	R(syscall(SYS_timer_create, CLOCK_PROCESS_CPUTIME_ID, &se, &id));
	n = 0;
	R(syscall(SYS_timer_settime, id, 0, &it, NULL));
	while (!n)
		;
	P("n %d", n);
	/* not inherited by fork, gone after exec */
	it = (struct itimerspec){ { 0, 5000000 }, { 0, 5000000 } };
	CHILD({ n = 0; R(syscall(SYS_timer_settime, id, 0, &it, NULL)); msleep(30); P("child %d", n); });

	/* timerfd */
	uint64_t v;
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	R(fd);
	R(fcntl(fd, F_GETFL));
	R(timerfd_create(99, 0));
	R(timerfd_create(CLOCK_MONOTONIC, 1));
	R(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0));
	R(timerfd_settime(fd, 0, &it, &ot));
	msleep(60);
	struct pollfd pf = { fd, POLLIN, 0 };
	R(poll(&pf, 1, 1000));
	R(read(fd, &v, 4));
	R(read(fd, &v, 8));
	T(v >= 5 && v < 500);
	R(timerfd_gettime(fd, &ot));
	T(ot.it_interval.tv_nsec == 5000000 && ot.it_value.tv_nsec <= 5000000);
	memset(&it, 0, sizeof it);
	R(timerfd_settime(fd, 0, &it, &ot));
	R(read(fd, &v, 8));
	R(poll(&pf, 1, 10));
	it.it_value.tv_nsec = 20000000;
	R(timerfd_settime(fd, 0, &it, NULL));
	fcntl(fd, F_SETFL, 0);
	R(read(fd, &v, 8));
	P("once %llu", (unsigned long long)v);
	R(timerfd_settime(fd, TFD_TIMER_ABSTIME, &it, NULL));
	R(read(fd, &v, 100));
	it.it_value.tv_nsec = -1;
	R(timerfd_settime(fd, 0, &it, NULL));
	R(timerfd_settime(fd, 0x100, &it, NULL));
	R(timerfd_settime(0, 0, &it, NULL));
	R(timerfd_settime(-1, 0, &it, NULL));
	R(timerfd_settime(fd, 0, BAD, NULL));
	R(timerfd_gettime(0, &it));
	R(timerfd_gettime(fd, BAD));
	R(write(fd, &v, 8));
	it = (struct itimerspec){ { 0, 0 }, { 0, 1000 } };
	R(timerfd_settime(fd, 0, &it, NULL));
	msleep(10);
	R(read(fd, BAD, 8));
	R(lseek(fd, 0, SEEK_SET));
	return 0;
}
