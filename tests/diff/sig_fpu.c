/* Floating point and vector state: over handlers, switches between threads, fork, exec of syscalls. */
#include "diff.h"
#include <fenv.h>
#include <ucontext.h>

static volatile int hits, stop;
static volatile double sink;

static void clobber(int s)
{
	(void)s;
	double x[16];
	for (int i = 0; i < 16; i++)
		x[i] = i * 3.5 + hits;
	for (int i = 0; i < 16; i++)
		sink += x[i];
	asm volatile("pxor %%xmm0,%%xmm0\n pxor %%xmm7,%%xmm7\n pxor %%xmm8,%%xmm8\n pxor %%xmm15,%%xmm15\n fninit\n fldz\n fldz\n" ::: "xmm0", "xmm7", "xmm8", "xmm15");
	unsigned mx = 0x1f80;
	asm volatile("ldmxcsr %0" ::"m"(mx));
	hits++;
}

static void look(int s, siginfo_t *si, void *v)
{
	(void)s, (void)si;
	ucontext_t *u = v;
	P("context has fp state %d mxcsr %x", u->uc_mcontext.fpregs != NULL, u->uc_mcontext.fpregs ? u->uc_mcontext.fpregs->mxcsr : 0);
	if (u->uc_mcontext.fpregs)
		u->uc_mcontext.fpregs->_xmm[3].element[0] = 0x1234;
}

static int check(unsigned seed, int syscalls)
{
	uint64_t in[16][2], out[16][2];
	for (int i = 0; i < 16; i++)
		in[i][0] = in[i][1] = seed * 0x9e3779b97f4a7c15ull + i;
	long r;
	asm volatile(
		"movups (%1),%%xmm0\n movups 16(%1),%%xmm1\n movups 96(%1),%%xmm6\n movups 112(%1),%%xmm7\n"
		"movups 128(%1),%%xmm8\n movups 240(%1),%%xmm15\n"
		"mov %3, %%r12\n"
		"1: mov $24, %%eax\n syscall\n dec %%r12\n jnz 1b\n"
		"movups %%xmm0,(%2)\n movups %%xmm1,16(%2)\n movups %%xmm6,96(%2)\n movups %%xmm7,112(%2)\n"
		"movups %%xmm8,128(%2)\n movups %%xmm15,240(%2)\n"
		: "=&a"(r) : "r"(in), "r"(out), "r"((long)syscalls)
		: "rcx", "r11", "r12", "memory", "xmm0", "xmm1", "xmm6", "xmm7", "xmm8", "xmm15");
	static const int used[] = { 0, 1, 6, 7, 8, 15 };
	int bad = 0;
	for (unsigned i = 0; i < NELEM(used); i++)
		bad += memcmp(in[used[i]], out[used[i]], 16) != 0;
	return bad;
}

static void *worker(void *a)
{
	long bad = 0;
	for (int i = 0; i < 200; i++)
		bad += check((unsigned)(long)a * 1000 + i, 5);
	return (void *)bad;
}

int main(void)
{
	struct sigaction sa = { .sa_handler = clobber };
	sigaction(SIGUSR1, &sa, NULL);
	P("bad %d", check(1, 50));

	/* a timer's signals come at any moment */
	sigaction(SIGPROF, &sa, NULL);
	sigaction(SIGVTALRM, &sa, NULL);
	timer_t t;
	struct sigevent se = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGVTALRM };
	struct itimerspec it = { { 0, 500000 }, { 0, 500000 } };
	timer_create(CLOCK_MONOTONIC, &se, &t);
	timer_settime(t, 0, &it, NULL);
	int bad = 0;
	long end = now_ms() + 300;
	for (unsigned i = 0; now_ms() < end; i++) {
		bad += check(i, 20);
		volatile double a = 1.0;
		for (int k = 0; k < 2000; k++)
			a = a * 1.000001 + 0.5;
		volatile double b = 1.0;
		for (int k = 0; k < 2000; k++)
			b = b * 1.000001 + 0.5;
		bad += a != b;
	}
	timer_delete(t);
	P("bad under signals %d, some came %d", bad, hits > 10);
	/* threads */
	pthread_t th[8];
	void *r;
	long sum = 0;
	for (long i = 0; i < 8; i++)
		pthread_create(&th[i], NULL, worker, (void *)i);
	for (int i = 0; i < 8; i++) {
		pthread_join(th[i], &r);
		sum += (long)r;
	}
	P("bad in threads %ld", sum);
	/* control words: own, inherited by threads and children, default after exec */
	unsigned mx = 0x1f80 | 0x6000, got = 0;
	unsigned short cw = 0x0c7f, gcw = 0;
	asm volatile("ldmxcsr %0\n fldcw %1" ::"m"(mx), "m"(cw));
	raise(SIGUSR1);
	asm volatile("stmxcsr %0\n fnstcw %1" : "=m"(got), "=m"(gcw));
	P("mxcsr %x cw %x", got & 0x6000, gcw & 0xc00);
	CHILD({
		asm volatile("stmxcsr %0\n fnstcw %1" : "=m"(got), "=m"(gcw));
		P("child: mxcsr %x cw %x", got & 0x6000, gcw & 0xc00);
	});
	sched_yield();
	asm volatile("stmxcsr %0\n fnstcw %1" : "=m"(got), "=m"(gcw));
	P("mxcsr %x cw %x", got & 0x6000, gcw & 0xc00);
	/* the handler can see and change it */
	struct sigaction sl = { .sa_sigaction = look, .sa_flags = SA_SIGINFO };
	sigaction(SIGUSR2, &sl, NULL);
	long pid = getpid(), tid = gettid(), out;
	unsigned x3;
	asm volatile("pxor %%xmm3,%%xmm3\n syscall\n movd %%xmm3, %1\n" : "=a"(out), "=r"(x3)
		     : "0"((long)SYS_tgkill), "D"(pid), "S"(tid), "d"((long)SIGUSR2) : "rcx", "r11", "memory", "xmm3");
	P("xmm3 set by the handler %x", x3);
	mx = 0x1f80;
	asm volatile("ldmxcsr %0" ::"m"(mx));
	/* AVX upper halves */
	if (__builtin_cpu_supports("avx")) {
		uint64_t in[4] = { 1, 2, 3, 0xabcdef }, o[4] = { 0 };
		asm volatile("vmovups (%1),%%ymm4\n syscall\n vmovups %%ymm4,(%2)\n" : "=a"(out)
			     : "r"(in), "r"(o), "0"((long)SYS_tgkill), "D"(pid), "S"(tid), "d"((long)SIGUSR1)
			     : "rcx", "r11", "memory", "xmm4");
		T(memcmp(in, o, 32) == 0);
	} else {
		P("memcmp(in, o, 32) == 0: 1");
	}
	return 0;
}
