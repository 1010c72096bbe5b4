/* FUTEX_REQUEUE, CMP_REQUEUE, WAKE_OP. */
#include "diff.h"
#include <linux/futex.h>

static uint32_t a, b;
static volatile int ready, woken;
static long fx(void *u, int op, uint32_t v, long v2, void *u2, uint32_t v3) { return syscall(SYS_futex, u, op, v, v2, u2, v3); }

static void *wait_on(void *v)
{
	__sync_fetch_and_add(&ready, 1);
	uint32_t val = *(uint32_t *)v;
	long r = fx(v, FUTEX_WAIT_PRIVATE, val, 0, NULL, 0);
	if (r == 0)
		__sync_fetch_and_add(&woken, 1);
	return NULL;
}

static pthread_t th[10];
static void start(uint32_t *u, int n)
{
	ready = woken = 0;
	for (int i = 0; i < n; i++)
		pthread_create(&th[i], NULL, wait_on, u);
	while (ready < n)
		msleep(1);
	msleep(80);
}
static void end(int line, int n)
{
	for (int i = 0; i < n; i++)
		pthread_join(th[i], NULL);
	say(line, "woken %d", woken);
}

int main(void)
{
	start(&a, 5);
	R(fx(&a, FUTEX_CMP_REQUEUE_PRIVATE, 1, 2, &b, 7));
	R(fx(&a, FUTEX_CMP_REQUEUE_PRIVATE, 1, 2, &b, 0));
	R(fx(&b, FUTEX_WAKE_PRIVATE, 10, 0, NULL, 0));
	R(fx(&a, FUTEX_REQUEUE_PRIVATE, 0, 1, &b, 0));
	R(fx(&b, FUTEX_WAKE_PRIVATE, 10, 0, NULL, 0));
	R(fx(&a, FUTEX_WAKE_PRIVATE, 10, 0, NULL, 0));
	end(__LINE__, 5);
	R(fx(&a, FUTEX_CMP_REQUEUE_PRIVATE, -1, 2, &b, 0));
	R(fx(&a, FUTEX_CMP_REQUEUE_PRIVATE, 1, -2, &b, 0));
	R(fx(BAD, FUTEX_CMP_REQUEUE, 1, 2, &b, 0));
	R(fx(&a, FUTEX_CMP_REQUEUE, 1, 2, BAD, 0));
	R(fx((char *)&a + 1, FUTEX_CMP_REQUEUE, 1, 2, &b, 0));
	start(&a, 3);
	R(fx(&a, FUTEX_REQUEUE_PRIVATE, 0, 3, &a, 0));
	R(fx(&a, FUTEX_WAKE_PRIVATE, 10, 0, NULL, 0));
	end(__LINE__, 3);

	/* WAKE_OP: op << 28 | cmp << 24 | oparg << 12 | cmparg */
	static const struct { int op, cmp, oparg, cmparg; uint32_t start; } ops[] = {
		{ FUTEX_OP_SET, FUTEX_OP_CMP_EQ, 5, 1, 1 }, { FUTEX_OP_ADD, FUTEX_OP_CMP_NE, 3, 1, 1 },
		{ FUTEX_OP_OR, FUTEX_OP_CMP_LT, 6, 2, 1 }, { FUTEX_OP_ANDN, FUTEX_OP_CMP_LE, 3, 7, 7 },
		{ FUTEX_OP_XOR, FUTEX_OP_CMP_GT, 5, 2, 3 }, { FUTEX_OP_SET | 8, FUTEX_OP_CMP_GE, 4, 9, 3 },
		{ FUTEX_OP_ADD, FUTEX_OP_CMP_EQ, 0xfff, 0xfff, 10 }, { 6, FUTEX_OP_CMP_EQ, 1, 1, 1 },
		{ FUTEX_OP_SET, 9, 1, 1, 1 }, { FUTEX_OP_ADD, FUTEX_OP_CMP_LT, 1, 0, 0xfffffff0 },
	};
	for (unsigned i = 0; i < NELEM(ops); i++) {
		a = b = 0;
		start(&a, 2);
		pthread_t keep[2] = { th[0], th[1] };
		b = ops[i].start;
		pthread_t o;
		ready = 0;
		pthread_create(&o, NULL, wait_on, &b);
		while (!ready)
			msleep(1);
		msleep(60);
		uint32_t enc = (uint32_t)ops[i].op << 28 | (uint32_t)ops[i].cmp << 24 | (ops[i].oparg & 0xfff) << 12 | (ops[i].cmparg & 0xfff);
		errno = 0;
		long r = fx(&a, FUTEX_WAKE_OP_PRIVATE, 1, 5, &b, enc);
		P("case %u: %ld %s b=%x", i, r, ename(r < 0 ? errno : 0), b);
		fx(&a, FUTEX_WAKE_PRIVATE, 10, 0, NULL, 0);
		fx(&b, FUTEX_WAKE_PRIVATE, 10, 0, NULL, 0);
		pthread_join(keep[0], NULL);
		pthread_join(keep[1], NULL);
		pthread_join(o, NULL);
	}
	R(fx(&a, FUTEX_WAKE_OP, 1, 1, BAD, 0));
	R(fx(&a, FUTEX_WAKE_OP, 1, 1, page_with(PROT_READ), 0));
	return 0;
}
