/* Signals to oneself and faults with a handler, again and again from the same places, with
* timers between: no register may be lost. */
#include "diff.h"
#include <sys/time.h>
#include <ucontext.h>

static volatile long handled, alarms;
static char *page;

static void on_usr1(int sig)
{
	/* Whatever the handler leaves in these is not the program's. */
	asm volatile("pcmpeqd %%xmm3, %%xmm3\n\tmovdqa %%xmm3, %%xmm15\n\tstd\n\tcld" ::: "xmm3", "xmm15");
	handled++;
}

static void on_alarm(int sig)
{
	alarms++;
}

static void on_segv(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	uc->uc_mcontext.gregs[REG_RIP] += 2;
	handled++;
}

/* long hot_kill(const uint64_t in[16], uint64_t out[16]): kill(in[2], in[3]) with in[] in all
* registers that the call leaves alone and in two vectors; what is there afterwards in out[],
* and the carry flag, set before, as the result. */
long hot_kill(const uint64_t *in, uint64_t *out);
asm(".text\n.globl hot_kill\n.type hot_kill, @function\nhot_kill:\n"
	"push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\npush %rsi\n"
	"mov %rdi, %rax\n"
	"mov 16(%rax), %rdi\nmov 24(%rax), %rsi\nmov 32(%rax), %rdx\nmov 40(%rax), %r10\n"
	"mov 48(%rax), %r8\nmov 56(%rax), %r9\nmov 64(%rax), %rbx\nmov 72(%rax), %rbp\n"
	"mov 80(%rax), %r12\nmov 88(%rax), %r13\nmov (%rax), %r14\nmov 8(%rax), %r15\n"
	"movdqu 96(%rax), %xmm3\nmovdqu 112(%rax), %xmm15\n"
	"stc\n"
	"mov $62, %eax\nsyscall\n"
	"mov (%rsp), %rcx\n"
	"mov %rdi, 16(%rcx)\nmov %rsi, 24(%rcx)\nmov %rdx, 32(%rcx)\nmov %r10, 40(%rcx)\n"
	"mov %r8, 48(%rcx)\nmov %r9, 56(%rcx)\nmov %rbx, 64(%rcx)\nmov %rbp, 72(%rcx)\n"
	"mov %r12, 80(%rcx)\nmov %r13, 88(%rcx)\nmov %r14, (%rcx)\nmov %r15, 8(%rcx)\n"
	"movdqu %xmm3, 96(%rcx)\nmovdqu %xmm15, 112(%rcx)\n"
	"setc %cl\nmovzbl %cl, %eax\n"
	"pop %rsi\npop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n");

/* How much of a round came back changed. */
static long round_of(long n)
{
	uint64_t before[16], after[16] = { 0 };
	for (int i = 0; i < 16; i++)
		before[i] = 0x0101010101010101ull * (uint64_t)(n + i) ^ (uint64_t)n << 40;
	before[2] = (uint64_t)getpid();
	before[3] = SIGUSR1;
	long carry = hot_kill(before, after);
	return (memcmp(before, after, sizeof before) != 0) + (carry != 1);
}

int main(void)
{
	struct itimerval every = {{0, 700}, {0, 700}}, never = {{0, 0}, {0, 0}};
	struct sigaction action = {0};
	long bad = 0;

	signal(SIGUSR1, on_usr1);
	signal(SIGALRM, on_alarm);
	for (long n = 0; n < 3000; n++)
		bad += round_of(n);
	P("quiet: %ld handled, %ld bad", handled, bad);

	handled = bad = 0;
	setitimer(ITIMER_REAL, &every, NULL);
	for (long n = 0; n < 6000 || alarms < 20; n++) {
		bad += round_of(n);
		if (n >= 6000)
			handled--;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	P("with a timer: %ld handled, %ld bad, alarms %d", handled, bad, alarms >= 20);

	page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	action.sa_sigaction = on_segv;
	action.sa_flags = SA_SIGINFO;
	sigaction(SIGSEGV, &action, NULL);
	handled = bad = 0;
	for (long n = 0; n < 3000; n++) {
		uint64_t kept = n * 0x100000001ull, was = kept;
		asm volatile(".byte 0x8a, 0x00" : "+b"(kept) : "a"(page) : "memory");
		bad += kept != was;
	}
	P("faults: %ld handled, %ld bad", handled, bad);
	return 0;
}
