/* FUTEX_WAIT, WAKE, bitsets, timeouts, shared between processes, alignment and address errors. */
#include "diff.h"
#include <linux/futex.h>

static uint32_t f;
static long fx(void *a, int op, uint32_t v, void *t, void *b, uint32_t v3) { return syscall(SYS_futex, a, op, v, t, b, v3); }

static volatile int ready, woken;
static long results[20];

struct w { uint32_t *at; uint32_t bits; int op; int i; };

static void *waiter(void *v)
{
	struct w *w = v;
	__sync_fetch_and_add(&ready, 1);
	long r = fx(w->at, w->op, 0, NULL, NULL, w->bits);
	results[w->i] = r < 0 ? -errno : r;
	__sync_fetch_and_add(&woken, 1);
	return NULL;
}

static void start(pthread_t *t, struct w *w, int n)
{
	ready = woken = 0;
	for (int i = 0; i < n; i++) {
		w[i].i = i;
		pthread_create(&t[i], NULL, waiter, &w[i]);
	}
	while (ready < n)
		msleep(1);
	msleep(80);
}

static void until(int n)
{
	for (int i = 0; i < 400 && woken < n; i++)
		msleep(5);
	msleep(20);
}

int main(void)
{
	struct timespec t = { 0, 40000000 }, z = { 0, 0 }, badts = { 0, -1 }, neg = { -1, 0 }, abs;
	pthread_t th[10];
	struct w w[10];

	R(fx(&f, FUTEX_WAIT, 1, NULL, NULL, 0));
	R(fx(&f, FUTEX_WAIT, 0, &z, NULL, 0));
	R(fx(&f, FUTEX_WAIT, 0, &t, NULL, 0));
	R(fx(&f, FUTEX_WAIT, 0, &badts, NULL, 0));
	R(fx(&f, FUTEX_WAIT, 0, &neg, NULL, 0));
	R(fx(&f, FUTEX_WAIT, 0, BAD, NULL, 0));
	R(fx((char *)&f + 1, FUTEX_WAIT, 0, &z, NULL, 0));
	R(fx(BAD, FUTEX_WAIT, 0, &z, NULL, 0));
	R(fx(KBAD, FUTEX_WAIT, 0, &z, NULL, 0));
	R(fx(page_with(PROT_NONE), FUTEX_WAIT, 0, &z, NULL, 0));
	R(fx(page_with(PROT_READ), FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, &z, NULL, 0));
	R(fx(page_with(PROT_READ), FUTEX_WAIT, 0, &z, NULL, 0));
	R(fx(&f, FUTEX_WAKE, 1, NULL, NULL, 0));
	R(fx(BAD, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0));
	R(fx(BAD, FUTEX_WAKE, 1, NULL, NULL, 0));
	R(fx((char *)&f + 2, FUTEX_WAKE, 1, NULL, NULL, 0));
	R(fx(&f, 99, 1, NULL, NULL, 0));
	R(fx(&f, FUTEX_FD, 1, NULL, NULL, 0));
	R(fx(&f, FUTEX_WAIT_BITSET, 0, &z, NULL, 0));
	R(fx(&f, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0));
	R(fx(&f, FUTEX_WAIT_BITSET, 0, &z, NULL, 1));
	R(fx(&f, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &z, NULL, 1));
	R(fx(&f, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 0, &z, NULL, 1));
	R(fx(&f, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 1));
	/* relative and absolute time */
	long a = now_ms();
	fx(&f, FUTEX_WAIT, 0, &t, NULL, 0);
	T(now_ms() - a >= 39);
	clock_gettime(CLOCK_MONOTONIC, &abs);
	abs.tv_nsec += 40000000;
	if (abs.tv_nsec >= 1000000000)
		abs.tv_sec++, abs.tv_nsec -= 1000000000;
	a = now_ms();
	R(fx(&f, FUTEX_WAIT_BITSET, 0, &abs, NULL, FUTEX_BITSET_MATCH_ANY));
	T(now_ms() - a >= 38 && now_ms() - a < 5000);
	clock_gettime(CLOCK_REALTIME, &abs);
	abs.tv_nsec += 40000000;
	if (abs.tv_nsec >= 1000000000)
		abs.tv_sec++, abs.tv_nsec -= 1000000000;
	a = now_ms();
	R(fx(&f, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &abs, NULL, 1));
	T(now_ms() - a >= 38 && now_ms() - a < 5000);

	/* wake some, wake all */
	for (int i = 0; i < 6; i++)
		w[i] = (struct w){ &f, 0, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, i };
	start(th, w, 6);
	R(fx(&f, FUTEX_WAKE, 1, NULL, NULL, 0));
	R(fx(&f, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0));
	R(fx(&f, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 2, NULL, NULL, 0));
	R(fx(&f, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 100, NULL, NULL, 0));
	until(6);
	for (int i = 0; i < 6; i++)
		pthread_join(th[i], NULL);
	P("woken %d", woken);
	/* bitsets */
	for (int i = 0; i < 4; i++)
		w[i] = (struct w){ &f, 1u << i, FUTEX_WAIT_BITSET, i };
	start(th, w, 4);
	R(fx(&f, FUTEX_WAKE_BITSET, 10, NULL, NULL, 0x10));
	R(fx(&f, FUTEX_WAKE_BITSET, 10, NULL, NULL, 0x5));
	R(fx(&f, FUTEX_WAKE_BITSET, 10, NULL, NULL, 0x1));
	R(fx(&f, FUTEX_WAKE, 10, NULL, NULL, 0));
	for (int i = 0; i < 4; i++)
		pthread_join(th[i], NULL);
	P("woken %d", woken);

	/* between processes: shared memory, at different addresses; private ones do not meet */
	int m = memfd_create("f", 0);
	ftruncate(m, PAGE);
	uint32_t *s1 = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, m, 0);
	uint32_t *s2 = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, m, 0);
	uint32_t *an = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t k = fork();
	if (!k) {
		long r = fx(s1, FUTEX_WAIT, 0, NULL, NULL, 0);
		long q = fx(an, FUTEX_WAIT, 0, NULL, NULL, 0);
		_exit(r == 0 && q == 0 ? 0 : 1);
	}
	settle(k, k);
	R(fx(s2, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0));
	R(fx(s2, FUTEX_WAKE, 1, NULL, NULL, 0));
	settle(k, k);
	R(fx(an, FUTEX_WAKE, 1, NULL, NULL, 0));
	reap(__LINE__, "child", k);
	k = fork();
	if (!k) {
		struct timespec q = { 0, 200000000 };
		_exit(fx(&f, FUTEX_WAIT, 0, &q, NULL, 0) == -1 && errno == ETIMEDOUT ? 0 : 1);
	}
	settle(k, k);
	R(fx(&f, FUTEX_WAKE, 1, NULL, NULL, 0));
	reap(__LINE__, "private memory is the child's own", k);
	/* the file by another path */
	put("ff", "\0\0\0\0");
	int fd = open("ff", O_RDWR);
	ftruncate(fd, 4096);
	uint32_t *g1 = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	k = fork();
	if (!k)
		_exit(fx(g1, FUTEX_WAIT, 0, NULL, NULL, 0) == 0 ? 0 : 1);
	settle(k, k);
	int fd2 = open("ff", O_RDWR);
	uint32_t *g2 = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd2, 0);
	R(fx(g2, FUTEX_WAKE, 1, NULL, NULL, 0));
	reap(__LINE__, "file", k);

	return 0;
}
