/* Priority-inheriting futexes, robust lists, and pthread mutexes of each kind over processes. */
#include "diff.h"
#include <linux/futex.h>

static uint32_t f;
static long fx(void *u, int op, uint32_t v, void *t, void *u2, uint32_t v3) { return syscall(SYS_futex, u, op, v, t, u2, v3); }

static volatile int step, got;
static void *pi_wait(void *v)
{
	(void)v;
	step = 1;
	long r = fx(&f, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
	got = r == 0 && (f & FUTEX_TID_MASK) == (uint32_t)gettid();
	fx(&f, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0);
	return NULL;
}
static void *die_owner(void *v)
{
	f = gettid();
	(void)v;
	step = 2;
	msleep(100);
	return NULL;
}

struct rob { struct robust_list l; uint32_t f; };
static struct robust_list_head rh;

static void *hold_robust(void *m) { pthread_mutex_lock(m); return NULL; }

int main(void)
{
	struct timespec z = { 0, 0 }, past = { 1, 0 };
	pthread_t t;

	R(fx(&f, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	T(f == (uint32_t)gettid());
	R(fx(&f, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	R(fx(&f, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
	R(fx(&f, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	T(f == 0);
	R(fx(&f, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	R(fx(&f, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
	R(fx(BAD, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	R(fx(BAD, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	R(fx(&f, FUTEX_WAIT, f, &z, NULL, 0));
	/* a waiter gets it from the owner */
	pthread_create(&t, NULL, pi_wait, NULL);
	while (step != 1)
		msleep(1);
	msleep(80);
	T(f & FUTEX_WAITERS);
	R(fx(&f, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	pthread_join(t, NULL);
	P("the waiter owned it %d, now %x", got, f);
	/* foreign owner, no owner, owner that dies */
	f = 99999;
	R(fx(&f, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	R(fx(&f, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	R(fx(&f, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
	f = 0;
	pthread_create(&t, NULL, die_owner, NULL);
	while (step != 2)
		msleep(1);
	struct timespec soon;
	clock_gettime(CLOCK_REALTIME, &soon);
	R(fx(&f, FUTEX_LOCK_PI, 0, &past, NULL, 0));
	pthread_join(t, NULL);
	f = 0;

	/* pthread's kinds */
	pthread_mutexattr_t at;
	pthread_mutex_t *m = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int pi = 0; pi < 2; pi++)
		for (int robust = 0; robust < 2; robust++) {
			pthread_mutexattr_init(&at);
			pthread_mutexattr_setpshared(&at, PTHREAD_PROCESS_SHARED);
			if (pi)
				pthread_mutexattr_setprotocol(&at, PTHREAD_PRIO_INHERIT);
			if (robust)
				pthread_mutexattr_setrobust(&at, PTHREAD_MUTEX_ROBUST);
			P("init pi %d robust %d: %s", pi, robust, ename(pthread_mutex_init(m, &at)));
			volatile int *cnt = (void *)((char *)m + 1024);
			*cnt = 0;
			for (int i = 0; i < 4; i++)
				if (fork() == 0) {
					for (int j = 0; j < 500; j++) {
						pthread_mutex_lock(m);
						int c = *cnt;
						if (j % 50 == 0)
							sched_yield();
						*cnt = c + 1;
						pthread_mutex_unlock(m);
					}
					_exit(0);
				}
			while (wait(NULL) > 0)
				;
			P("count %d", *cnt);
			if (robust) {
				/* the owner dies holding it: process, then thread */
				pid_t k = fork();
				if (!k) {
					pthread_mutex_lock(m);
					_exit(0);
				}
				waitpid(k, NULL, 0);
				P("lock: %s", ename(pthread_mutex_lock(m)));
				pthread_mutex_consistent(m);
				pthread_mutex_unlock(m);
				k = fork();
				if (!k) {
					pthread_mutex_lock(m);
					for (;;)
						pause();
				}
				msleep(80);
				P("trylock: %s", ename(pthread_mutex_trylock(m)));
				kill(k, SIGKILL);
				P("lock: %s", ename(pthread_mutex_lock(m)));
				waitpid(k, NULL, 0);
				pthread_mutex_consistent(m);
				pthread_mutex_unlock(m);
				pthread_create(&t, NULL, hold_robust, m);
				pthread_join(t, NULL);
				P("lock: %s", ename(pthread_mutex_lock(m)));
				pthread_mutex_unlock(m);
				P("not made consistent: %s", ename(pthread_mutex_lock(m)));
			}
			pthread_mutex_destroy(m);
		}
	/* the raw list */
	struct robust_list_head *h;
	size_t len;
	R(syscall(SYS_get_robust_list, 0, &h, &len));
	P("len %zu set %d", len, h != NULL);
	R(syscall(SYS_get_robust_list, 99999, &h, &len));
	R(syscall(SYS_get_robust_list, 0, BAD, &len));
	R(syscall(SYS_set_robust_list, &rh, 8));
	uint32_t *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct rob *rb = (void *)(shared + 16);
	CHILD({
		struct robust_list_head *hd = (void *)(shared + 64);
		hd->list.next = &rb->l;
		rb->l.next = &hd->list;
		hd->futex_offset = offsetof(struct rob, f);
		hd->list_op_pending = NULL;
		rb->f = gettid() | FUTEX_WAITERS;
		R(syscall(SYS_set_robust_list, hd, sizeof *hd));
	});
	P("owner died %d waiters %d tid %x", !!(rb->f & FUTEX_OWNER_DIED), !!(rb->f & FUTEX_WAITERS), rb->f & FUTEX_TID_MASK);
	/* hostile lists end with the thread, not with the kernel */
	CHILD({
		struct robust_list_head *hd = (void *)(shared + 64);
		hd->list.next = (void *)8;
		syscall(SYS_set_robust_list, hd, sizeof *hd);
	});
	CHILD({
		struct robust_list_head *hd = (void *)(shared + 64);
		hd->list.next = &rb->l;
		rb->l.next = &rb->l;
		syscall(SYS_set_robust_list, hd, sizeof *hd);
	});
	CHILD(syscall(SYS_set_robust_list, BAD, sizeof rh));
	return 0;
}
