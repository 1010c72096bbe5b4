/* sigaltstack, the frame's place, siglongjmp, context registers changed by a handler. */
#include "fault.h"
#include <ucontext.h>

static char *alt;
static size_t altsz = 65536;
static volatile int on, nested_on;
static stack_t seen;

static int within(void *p) { return (char *)p >= alt && (char *)p < alt + altsz; }
static void h(int s)
{
	char c;
	on = within(&c);
	sigaltstack(NULL, &seen);
	if (s == SIGUSR2)
		raise(SIGUSR1);
}
static void h1(int s) { char c; (void)s; nested_on = within(&c); }
static void try_change(int s)
{
	(void)s;
	stack_t ss = { .ss_sp = alt, .ss_size = altsz };
	R(sigaltstack(&ss, NULL));
	ss.ss_flags = SS_DISABLE;
	R(sigaltstack(&ss, NULL));
}
static void skip(int s, siginfo_t *si, void *v)
{
	(void)s, (void)si;
	ucontext_t *u = v;
	u->uc_mcontext.gregs[REG_RIP] += 3;
	u->uc_mcontext.gregs[REG_RAX] = 1234;
}
static sigjmp_buf jb;
static void overflow(int s) { (void)s; char c; on = within(&c); siglongjmp(jb, 1); }
static int eat(int n) { volatile char b[4096]; b[0] = n; return n ? eat(n + 1) + b[0] : 0; }

int main(void)
{
	stack_t ss, o;
	struct sigaction sa = { .sa_handler = h, .sa_flags = SA_ONSTACK };
	alt = mmap(NULL, altsz, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	R(sigaltstack(NULL, &o));
	P("flags %d size %zu sp %d", o.ss_flags, o.ss_size, o.ss_sp != NULL);
	ss = (stack_t){ .ss_sp = alt, .ss_size = 1000 };
	R(sigaltstack(&ss, NULL));
	ss.ss_size = altsz;
	ss.ss_flags = 8;
	R(sigaltstack(&ss, NULL));
	ss.ss_flags = SS_ONSTACK;
	R(sigaltstack(&ss, NULL));
	ss.ss_flags = 0;
	R(sigaltstack(&ss, NULL));
	R(sigaltstack(BAD, NULL));
	R(sigaltstack(NULL, BAD));
	R(sigaltstack(NULL, &o));
	T(o.ss_sp == alt && o.ss_size == altsz && o.ss_flags == 0);

	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	P("on the alternate stack %d flags inside %d", on, seen.ss_flags);
	sa.sa_flags = 0;
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	P("on the alternate stack %d flags inside %d", on, seen.ss_flags);
	sa.sa_flags = SA_ONSTACK;
	sigaction(SIGUSR2, &sa, NULL);
	sa.sa_handler = h1;
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR2);
	P("nested stays on it %d", nested_on);
	sa.sa_handler = try_change;
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	ss.ss_flags = SS_DISABLE;
	R(sigaltstack(&ss, &o));
	R(sigaltstack(NULL, &o));
	P("flags %d", o.ss_flags);
	ss.ss_flags = 1 << 31;
	R(sigaltstack(&ss, NULL));
	sa.sa_handler = h;
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	P("autodisarm: on it %d flags inside %d", on, seen.ss_flags);
	R(sigaltstack(NULL, &o));
	P("back %d", o.ss_flags == (1 << 31));
	ss.ss_flags = 0;
	sigaltstack(&ss, NULL);
	CHILD({ sigaltstack(NULL, &o); T(o.ss_sp == alt); });

	/* stack overflow is caught on the alternate stack */
	sa.sa_handler = overflow;
	sigaction(SIGSEGV, &sa, NULL);
	for (int i = 0; i < 3; i++) {
		on = 0;
		if (sigsetjmp(jb, 1) == 0)
			eat(1);
		P("overflow caught on the alternate stack %d", on);
	}
	/* no room for a frame: the process dies */
	CHILD({
		signal(SIGSEGV, SIG_DFL);
		ss = (stack_t){ .ss_sp = page_with(PROT_NONE), .ss_size = 4096 };
		R(sigaltstack(&ss, NULL));
		sa.sa_handler = h;
		sigaction(SIGUSR1, &sa, NULL);
		raise(SIGUSR1);
		P("not reached");
	});
	CHILD({
		ss = (stack_t){ .ss_sp = page_with(PROT_NONE), .ss_size = 4096 };
		sigaltstack(&ss, NULL);
		sa.sa_handler = h;
		sigaction(SIGSEGV, &sa, NULL);
		*(volatile int *)8 = 1;
	});
	/* a fault while the signal is blocked or ignored kills */
	CHILD({
		sigset_t m;
		sigemptyset(&m);
		sigaddset(&m, SIGSEGV);
		sigprocmask(SIG_BLOCK, &m, NULL);
		*(volatile int *)8 = 1;
	});
	CHILD({ signal(SIGSEGV, SIG_IGN); *(volatile int *)8 = 1; });

	/* registers changed by the handler take effect */
	struct sigaction sk = { .sa_sigaction = skip, .sa_flags = SA_SIGINFO };
	sigaction(SIGSEGV, &sk, NULL);
	long r;
	asm volatile("xor %%ecx, %%ecx\n mov $8, %%edx\n mov (%%rdx), %%rax\n" : "=a"(r) : : "rcx", "rdx", "memory");
	P("rax set by the handler %ld", r);
	/* general and vector registers live through a handler */
	sa.sa_handler = h1;
	sa.sa_flags = 0;
	sigaction(SIGUSR1, &sa, NULL);
	register long r12 asm("r12") = 0x1122334455667788;
	long pid = getpid(), tid = gettid(), out, nr = SYS_tgkill;
	double d = 1.25, d2;
	asm volatile("movq %4, %%xmm5\n syscall\n movq %%xmm5, %1\n" : "=a"(out), "=r"(d2), "+r"(r12)
		     : "0"(nr), "r"(d), "D"(pid), "S"(tid), "d"((long)SIGUSR1) : "rcx", "r11", "memory", "xmm5");
	P("%ld r12 %lx xmm5 %g", out, r12, d2);
	return 0;
}
