/* Threads: identity, exit, exec from a thread, exit_group, join by CLEARTID, signals to one. */
#include "diff.h"

static volatile int n;
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cv = PTHREAD_COND_INITIALIZER;
static __thread int tls = 5;

static void *count(void *a)
{
	(void)a;
	tls++;
	for (int i = 0; i < 1000; i++) {
		pthread_mutex_lock(&mu);
		n++;
		pthread_mutex_unlock(&mu);
	}
	return (void *)(long)tls;
}

static void *ident(void *a)
{
	T(getpid() == (long)a);
	T(gettid() != getpid());
	T(getppid() == 0 || getppid() == 1);
	return NULL;
}

static void *sleeper(void *a) { (void)a; for (;;) pause(); return NULL; }
static void *do_exec(void *a) { (void)a; execl("/bin/busybox", "sh", "-c", "echo from exec, pid $$ same; exit 6", NULL); return NULL; }
static void *do_exit(void *a) { (void)a; msleep(30); exit(8); }
static void *do_thread_exit(void *a) { (void)a; syscall(SYS_exit, 3); return NULL; }
static void *do_fault(void *a) { (void)a; *(volatile int *)8 = 1; return NULL; }
static void *do_busy(void *a) { (void)a; for (;;) n++; return NULL; }

static void *main_gone(void *a)
{
	(void)a;
	msleep(60);
	P("the main thread has gone, we go on");
	T(kill(getpid(), 0) == 0);
	_exit(4);
}

static volatile pid_t waiter_tid;
static void *cond_wait(void *a)
{
	(void)a;
	pthread_mutex_lock(&mu);
	while (!n)
		pthread_cond_wait(&cv, &mu);
	n--;
	pthread_mutex_unlock(&mu);
	return NULL;
}

static volatile int hits;
static volatile pid_t hit_tid;
static void hit(int s) { (void)s; hit_tid = gettid(); hits++; }

static void *catcher(void *a)
{
	waiter_tid = gettid();
	while (!*(volatile int *)a)
		msleep(2);
	return NULL;
}

int main(void)
{
	pthread_t t[50];
	void *r;
	for (int i = 0; i < 16; i++)
		pthread_create(&t[i], NULL, count, NULL);
	long sum = 0;
	for (int i = 0; i < 16; i++) {
		pthread_join(t[i], &r);
		sum += (long)r;
	}
	P("count %d tls %ld mine %d", n, sum, tls);
	pthread_create(&t[0], NULL, ident, (void *)(long)getpid());
	pthread_join(t[0], NULL);
	/* condition variables */
	n = 0;
	for (int i = 0; i < 10; i++)
		pthread_create(&t[i], NULL, cond_wait, NULL);
	msleep(20);
	pthread_mutex_lock(&mu);
	n = 10;
	pthread_cond_broadcast(&cv);
	pthread_mutex_unlock(&mu);
	for (int i = 0; i < 10; i++)
		pthread_join(t[i], NULL);
	P("left %d", n);
	/* a signal for a thread goes to that thread */
	struct sigaction sa = { .sa_handler = hit };
	sigaction(SIGUSR1, &sa, NULL);
	volatile int stop = 0;
	pthread_create(&t[0], NULL, catcher, (void *)&stop);
	while (!waiter_tid)
		msleep(1);
	R(syscall(SYS_tgkill, getpid(), waiter_tid, SIGUSR1));
	while (!hits)
		msleep(1);
	T(hit_tid == waiter_tid);
	R(syscall(SYS_tgkill, getpid(), 99999, SIGUSR1));
	R(syscall(SYS_tgkill, 99999, waiter_tid, SIGUSR1));
	R(syscall(SYS_tgkill, -1, waiter_tid, SIGUSR1));
	R(syscall(SYS_tkill, waiter_tid, 0));
	R(syscall(SYS_tkill, 0, 0));
	R(kill(waiter_tid, 0));
	stop = 1;
	pthread_join(t[0], NULL);
	msleep(100); /* its number is cleared a moment before it is gone */
	R(syscall(SYS_tgkill, getpid(), waiter_tid, 0));

	/* ends of a whole group */
	CHILD({ pthread_create(&t[0], NULL, sleeper, NULL); msleep(20); _exit(2); });
	CHILD({ pthread_create(&t[0], NULL, do_exit, NULL); pause(); });
	CHILD({ pthread_create(&t[0], NULL, do_exit, NULL); for (;;) n++; });
	CHILD({ pthread_create(&t[0], NULL, sleeper, NULL); pthread_create(&t[1], NULL, do_exec, NULL); pause(); });
	CHILD({ pthread_create(&t[0], NULL, do_busy, NULL); pthread_create(&t[1], NULL, do_exec, NULL); for (;;) n++; });
	CHILD({ pthread_create(&t[0], NULL, sleeper, NULL); msleep(20); execl("/bin/busybox", "sh", "-c", "exit 5", NULL); });
	CHILD({ pthread_create(&t[0], NULL, do_fault, NULL); pause(); });
	CHILD({ pthread_create(&t[0], NULL, sleeper, NULL); msleep(20); kill(getpid(), SIGTERM); pause(); });
	CHILD({ pthread_create(&t[0], NULL, do_thread_exit, NULL); msleep(60); });
	CHILD({ pthread_create(&t[0], NULL, main_gone, NULL); syscall(SYS_exit, 1); });
	CHILD({ syscall(SYS_exit, 33); });
	/* fork in a threaded process: only the caller comes along */
	pthread_create(&t[0], NULL, catcher, (void *)&stop);
	CHILD({
		int c = 0;
		msleep(20);
		for (int i = 0; i < 1; i++)
			c++;
		P("child of a threaded process %d", c);
	});
	pthread_join(t[0], NULL);
	/* many at once, and again */
	for (int k = 0; k < 5; k++) {
		n = 0;
		for (int i = 0; i < 50; i++)
			pthread_create(&t[i], NULL, count, NULL);
		for (int i = 0; i < 50; i++)
			pthread_join(t[i], NULL);
		P("count %d", n);
	}
	/* exec does not disturb the parent's threads */
	R(syscall(SYS_set_tid_address, &n) == gettid());
	return 0;
}
