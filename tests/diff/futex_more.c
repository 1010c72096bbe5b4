/* futex_wake, futex_wait, futex_requeue, FUTEX_WAIT_REQUEUE_PI and FUTEX_CMP_REQUEUE_PI. */
#include "diff.h"
#include <linux/futex.h>

#define U32 2
#define PRIV (U32 | 128)
struct waitv { uint64_t val, addr; uint32_t flags, reserved; };

static uint32_t w, l;
static volatile int ready, done;
static struct timespec past, soon;
static long fx(void *u, int op, uint32_t v, void *t, void *u2, uint32_t v3) { return syscall(SYS_futex, u, op, v, t, u2, v3); }
static long wake(void *u, unsigned long mask, int n, unsigned f) { return syscall(454, u, mask, n, f); }
static long fwait(void *u, unsigned long v, unsigned long mask, unsigned f, void *t, int c) { return syscall(455, u, v, mask, f, t, c); }
static long requeue(void *v, unsigned f, int n, int m) { return syscall(456, v, f, n, m); }

static void *plain(void *p)
{
	ready = 1;
	long r = fwait(p, *(uint32_t *)p, 1, PRIV, NULL, 0);
	P("plain %ld", r);
	__sync_fetch_and_add(&done, 1);
	return NULL;
}
static void *moved(void *p)
{
	(void)p;
	__sync_fetch_and_add(&ready, 1);
	long r = fx(&w, FUTEX_WAIT_REQUEUE_PI | FUTEX_PRIVATE_FLAG, w, NULL, &l, 0);
	if (r == 0 && (l & FUTEX_TID_MASK) == (uint32_t)syscall(SYS_gettid))
		__sync_fetch_and_add(&done, 1);
	if (fx(&l, FUTEX_UNLOCK_PI | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0))
		P("not unlocked");
	return NULL;
}

int main(void)
{
	pthread_t t[3];
	R(wake(&w, 1, 1, PRIV));
	R(wake(&w, 0, 1, PRIV));
	R(wake(&w, 1ul << 32, 1, PRIV));
	R(wake(&w, 1, 1, 1));
	R(wake(&w, 1, 1, 0));
	R(wake(&w, 1, 1, 0x100 | U32));
	R(wake(&w, 1, 1, U32));
	R(wake(BAD, 1, 1, U32));
	R(wake((char *)&w + 1, 1, 1, PRIV));
	R(fwait(&w, 1, 1, PRIV, NULL, 0));
	R(fwait(&w, 0, 0, PRIV, NULL, 0));
	R(fwait(&w, 1ul << 32, 1, PRIV, NULL, 0));
	R(fwait(&w, 0, 1ul << 32, PRIV, NULL, 0));
	R(fwait(&w, 0, 1, 0, NULL, 0));
	R(fwait(&w, 0, 1, PRIV, &past, CLOCK_MONOTONIC));
	R(fwait(&w, 0, 1, PRIV, &past, CLOCK_REALTIME));
	R(fwait(&w, 0, 1, PRIV, &past, CLOCK_BOOTTIME));
	R(fwait(&w, 0, 1, PRIV, BAD, CLOCK_MONOTONIC));
	clock_gettime(CLOCK_MONOTONIC, &soon);
	soon.tv_sec++;
	soon.tv_nsec = 0;
	R(fwait(BAD, 0, 1, PRIV, &soon, CLOCK_MONOTONIC));
	R(fwait(&w, 0, 1, PRIV, &soon, CLOCK_MONOTONIC));
	pthread_create(t, NULL, plain, &w);
	while (!ready)
		msleep(1);
	msleep(60);
	R(wake(&w, 2, 1, PRIV));
	R(wake(&w, 3, 0, PRIV));
	long n = wake(&w, 3, 5, PRIV);
	pthread_join(t[0], NULL);
	P("woken %ld", n);

	struct waitv v[2] = { { 0, (long)&w, PRIV, 0 }, { 0, (long)&l, PRIV, 0 } };
	R(requeue(v, 0, 1, 1));
	R(requeue(v, 1, 1, 1));
	R(requeue(NULL, 0, 1, 1));
	R(requeue(BAD, 0, 1, 1));
	R(requeue(v, 0, -1, 1));
	R(requeue(v, 0, 1, -1));
	v[0].val = 9;
	R(requeue(v, 0, 1, 1));
	v[0].val = 0;
	v[1].flags = 0;
	R(requeue(v, 0, 1, 1));
	v[1].flags = PRIV;
	v[1].reserved = 1;
	R(requeue(v, 0, 1, 1));
	v[1].reserved = 0;
	ready = 0;
	pthread_create(t, NULL, plain, &w);
	while (!ready)
		msleep(1);
	msleep(60);
	R(requeue(v, 0, 0, 1));
	R(wake(&w, 1, 1, PRIV));
	n = wake(&l, 1, 1, PRIV);
	pthread_join(t[0], NULL);
	P("woken %ld", n);

	/* moved to a PI lock */
	uint32_t me = syscall(SYS_gettid);
	R(fx(&w, FUTEX_WAIT_REQUEUE_PI | FUTEX_PRIVATE_FLAG, 1, NULL, &l, 0));
	R(fx(&w, FUTEX_WAIT_REQUEUE_PI | FUTEX_PRIVATE_FLAG, 0, NULL, &w, 0));
	R(fx(&w, FUTEX_WAIT_REQUEUE_PI | FUTEX_PRIVATE_FLAG, 0, &past, &l, 0));
	R(fx(&w, FUTEX_WAIT_REQUEUE_PI | FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME, 0, &past, &l, 0));
	R(fx(&w, FUTEX_CMP_REQUEUE_PI | FUTEX_PRIVATE_FLAG, 1, (void *)1, &w, 0));
	R(fx(&w, FUTEX_CMP_REQUEUE_PI | FUTEX_PRIVATE_FLAG, 2, (void *)1, &l, 0));
	R(fx(&w, FUTEX_CMP_REQUEUE_PI | FUTEX_PRIVATE_FLAG, 1, (void *)1, &l, 1));
	R(fx(&w, FUTEX_CMP_REQUEUE_PI | FUTEX_PRIVATE_FLAG, 1, (void *)1, &l, 0));
	ready = done = 0;
	for (int i = 0; i < 2; i++) {
		pthread_create(t + i, NULL, moved, NULL);
		while (ready <= i)
			msleep(1);
		msleep(50);
	}
	R(fx(&w, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0));
	R(fx(&w, FUTEX_CMP_REQUEUE_PI | FUTEX_PRIVATE_FLAG, 1, (void *)5, &soon, 0));
	/* held: both are moved */
	R(fx(&l, FUTEX_LOCK_PI | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0));
	T((l & FUTEX_TID_MASK) == me);
	R(fx(&w, FUTEX_CMP_REQUEUE_PI | FUTEX_PRIVATE_FLAG, 1, (void *)5, &l, 0));
	T(l == (me | FUTEX_WAITERS) && done == 0);
	R(fx(&l, FUTEX_UNLOCK_PI | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0));
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	P("word %x done %d", l, done);
	/* free: the first takes it */
	ready = done = 0;
	pthread_create(t, NULL, moved, NULL);
	while (!ready)
		msleep(1);
	msleep(50);
	R(fx(&w, FUTEX_CMP_REQUEUE_PI | FUTEX_PRIVATE_FLAG, 1, (void *)5, &l, 0));
	pthread_join(t[0], NULL);
	P("word %x done %d", l, done);
	return 0;
}
