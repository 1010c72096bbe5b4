/* Synchronous signals: si_code and si_addr of each exception, and what kills. */
#include "fault.h"
#include <ucontext.h>

static volatile int trapno, err;
static sigjmp_buf env2;

static void h(int s, siginfo_t *si, void *v)
{
	ucontext_t *u = v;
	trapno = u->uc_mcontext.gregs[REG_TRAPNO];
	err = u->uc_mcontext.gregs[REG_ERR];
	fault_sig = s;
	fault_code = si->si_code;
	fault_addr = si->si_addr;
	siglongjmp(env2, 1);
}

#define EXC(what, ...) do { \
	if (sigsetjmp(env2, 1) == 0) { __VA_ARGS__; say(__LINE__, "%s: ok", what); } \
	else say(__LINE__, "%s: SIG%s code %d trapno %d err %x", what, sname(fault_sig), fault_code, trapno, err & ~1 /* whether a page was there is not asked */); \
} while (0)

static volatile int after;
static void step(int s, siginfo_t *si, void *v)
{
	(void)v;
	P("SIG%s code %d", sname(s), si->si_code);
	after++;
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = h, .sa_flags = SA_SIGINFO };
	for (int i = 0; i < 5; i++)
		sigaction((int[]){ SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP }[i], &sa, NULL);
	volatile char *ro = page_with(PROT_READ), *no = page_with(PROT_NONE);
	volatile int z = 0;

	EXC("read of nothing", (void)*(volatile char *)8);
	EXC("write of nothing", *(volatile char *)8 = 1);
	EXC("write read-only", ro[1] = 1);
	EXC("read none", (void)no[1]);
	EXC("jump to nothing", ((void (*)(void))16)());
	EXC("jump to data", ((void (*)(void))ro)());
	EXC("non-canonical", *(volatile char *)0x8000000000000000 = 1);
	EXC("kernel address", (void)*(volatile char *)0xffff880000000000);
	EXC("non-canonical jump", asm volatile("mov $0x800000000000000, %%rax\n jmp *%%rax" ::: "rax"));
	EXC("divide by zero", z = 1 / z);
	EXC("divide overflow", asm volatile("mov $0x80000000, %%eax\n cltd\n mov $-1, %%ecx\n idiv %%ecx" ::: "eax", "ecx", "edx"));
	EXC("ud2", asm volatile("ud2"));
	EXC("bad opcode", asm volatile(".byte 0x0f, 0xff"));
	EXC("hlt", asm volatile("hlt"));
	EXC("cli", asm volatile("cli"));
	EXC("in", asm volatile("in $0x60, %%al" ::: "al"));
	EXC("rdmsr", asm volatile("rdmsr" ::: "eax", "ecx", "edx"));
	EXC("int3", asm volatile("int3"));
	EXC("int 0x81", asm volatile("int $0x81"));
	EXC("into a gdt", asm volatile("mov $0x1234, %%ax\n mov %%ax, %%ds" ::: "ax"));
	EXC("sse exception", {
		unsigned mx = 0x1f80 & ~(1 << 9);
		asm volatile("ldmxcsr %0" ::"m"(mx));
		volatile double d = 1.0, e = 0.0;
		d = d / e;
	});
	unsigned mx = 0x1f80;
	asm volatile("ldmxcsr %0" ::"m"(mx));
	EXC("sse misaligned", asm volatile("movaps 8(%0), %%xmm0" ::"r"((uintptr_t)&sa & ~15ul) : "xmm0"));
	EXC("x87 exception", {
		unsigned short cw = 0x37b;
		asm volatile("fninit\n fldcw %0\n fld1\n fldz\n fdivrp\n fwait" ::"m"(cw));
	});
	asm volatile("fninit");
	/* single step: one trap after each instruction */
	sa.sa_sigaction = step;
	sigaction(SIGTRAP, &sa, NULL);
	asm volatile("pushf\n orl $0x100, (%%rsp)\n popf\n nop\n pushf\n andl $~0x100, (%%rsp)\n popf\n" ::: "memory");
	P("traps %d", after);

	/* uncaught ones */
	CHILD({ signal(SIGSEGV, SIG_DFL); *(volatile int *)8 = 1; });
	CHILD({ signal(SIGILL, SIG_DFL); asm volatile("ud2"); });
	CHILD({ signal(SIGFPE, SIG_DFL); z = 0; z = 1 / z; });
	CHILD({ signal(SIGTRAP, SIG_DFL); asm volatile("int3"); });
	CHILD({ signal(SIGBUS, SIG_DFL); raise(SIGBUS); });
	CHILD({ signal(SIGSEGV, SIG_DFL); asm volatile("mov $8, %%rsp\n push %%rax" ::: "memory"); });
	/* no stack for the handler: killed */
	CHILD(asm volatile("mov $0x800000000000000, %%rax\n mov %%rax, %%rsp\n push %%rax" ::: "rax", "memory"));
	return 0;
}
