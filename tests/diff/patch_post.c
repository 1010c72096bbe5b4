/*
 * Calls made so fast one after the other that a kernel may look for them instead of being
 * entered: registers, signals, waiting, forks and stops must be as with any other call.
 */
#include "diff.h"
#include <setjmp.h>
#include <sys/eventfd.h>
#include <ucontext.h>

extern char __executable_start[], etext[];

/* lseek with known bytes. */
asm(".text\n.balign 64\n.globl site, site_end\n"
    "nop\nsite: mov $8, %eax\nsyscall\nsite_end: ret\n.balign 64\n");
long site(long fd, long offset, long whence);
extern char site_end[];

static int file;

/* ---- registers -------------------------------------------------------------- */

static int registers(void)
{
	uint64_t in[16], out[16], flags[2] = { 0 };
	double x = 1.5, y = 0;
	int bad = 0;
	for (int i = 0; i < 16; i++)
		in[i] = 0x1111111111111111ull * i + 7;
	asm volatile(
		"movsd %3, %%xmm7\n"
		"push %%rbx; push %%rbp; push %%r12; push %%r13; push %%r14; push %%r15\n"
		"mov %0, %%r15; mov %1, %%r14\n"
		"mov 8(%%r15), %%rbx; mov 16(%%r15), %%rbp; mov 24(%%r15), %%r12; mov 32(%%r15), %%r13\n"
		"mov 40(%%r15), %%r8; mov 48(%%r15), %%r9; mov 56(%%r15), %%r10\n"
		"movq $123456789, -8(%%rsp); movq $987654321, -120(%%rsp)\n"
		"mov $77, %%esi; mov $0, %%edx; mov %5, %%edi\n"
		"push %2\n"
		"pop %2\n"
		"movq $987654321, -120(%%rsp); movq $123456789, -8(%%rsp)\n"
		"xor %%ecx, %%ecx; stc\n"
		"mov $8, %%eax\n syscall\n"
		"lea -128(%%rsp), %%rsp; pushfq; pop %%rcx; lea 128(%%rsp), %%rsp\n"
		"mov %%rcx, 120(%%r14)\n"
		"mov %%rax, (%%r14); mov %%rbx, 8(%%r14); mov %%rbp, 16(%%r14); mov %%r12, 24(%%r14)\n"
		"mov %%r13, 32(%%r14); mov %%r8, 40(%%r14); mov %%r9, 48(%%r14); mov %%r10, 56(%%r14)\n"
		"mov %%rdi, 64(%%r14); mov %%rsi, 72(%%r14); mov %%rdx, 80(%%r14)\n"
		"mov -8(%%rsp), %%rcx; mov %%rcx, 88(%%r14); mov -120(%%rsp), %%rcx; mov %%rcx, 96(%%r14)\n"
		"pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbp; pop %%rbx\n"
		"movsd %%xmm7, %4\n"
		: : "r"(in), "r"(out), "r"(flags), "m"(x), "m"(y), "m"(file)
		: "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "xmm7", "memory", "cc");
	for (int i = 1; i < 8; i++)
		bad += out[i] != in[i];
	bad += out[0] != 77 || out[8] != (uint64_t)file || out[9] != 77 || out[10] != 0;
	bad += out[11] != 123456789 || out[12] != 987654321 || !(out[15] & 1) || y != x;
	return bad;
}

/* ---- signals ---------------------------------------------------------------- */

static volatile long taken, stray, inside;
static void count_it(int s, siginfo_t *si, void *v)
{
	ucontext_t *u = v;
	long rip = u->uc_mcontext.gregs[REG_RIP];
	(void)s, (void)si;
	taken++;
	stray += rip < (long)__executable_start || rip >= (long)etext;
	inside += rip >= (long)site && rip <= (long)site_end;
}

static void act(int s, void (*h)(int, siginfo_t *, void *), int flags)
{
	struct sigaction sa = { .sa_sigaction = h, .sa_flags = SA_SIGINFO | flags };
	sigaction(s, &sa, NULL);
}

static long checked_loop(long n)
{
	long bad = 0;
	char b[8];
	for (long i = 0; i < n; i++) {
		bad += site(file, i % 100, SEEK_SET) != i % 100;
		bad += lseek(file, 0, SEEK_CUR) != i % 100;
		bad += read(file, b, 1) != 1 || b[0] != (char)(i % 100);
		bad += syscall(SYS_lseek, file, 3, SEEK_SET) != 3;
	}
	return bad;
}

static void under_signals(void)
{
	act(SIGUSR1, count_it, 0);
	pid_t me = getpid(), p = fork();
	if (!p) {
		for (int i = 0; i < 20000; i++) {
			kill(me, SIGUSR1);
			for (volatile int n = 0; n < i % 500; n++)
				;
		}
		kill(me, SIGUSR2);
		_exit(0);
	}
	long bad = 0;
	while (!taken)
		;
	for (int i = 0; i < 40; i++)
		bad += checked_loop(500);
	int st;
	kill(p, SIGKILL);
	waitpid(p, &st, 0);
	P("under signals: %ld wrong, %ld in strange places, some %d", bad, stray, taken > 0);
}

static sigjmp_buf env;
static void jump_out(int s, siginfo_t *si, void *v)
{
	(void)s, (void)si, (void)v;
	siglongjmp(env, 1);
}

static void nothing(int s, siginfo_t *si, void *v) { (void)s, (void)si, (void)v; }

static void soon(long us)
{
	struct itimerval it = { .it_value = { 0, us } };
	setitimer(ITIMER_REAL, &it, NULL);
}

static void waiting(void)
{
	int p[2], eintr = 0, jumped = 0, through = 0, bad = 0;
	char b;
	pipe(p);
	for (int i = 0; i < 30; i++) {
		checked_loop(100);
		act(SIGALRM, nothing, 0);
		soon(1000);
		eintr += read(p[0], &b, 1) == -1 && errno == EINTR;
		checked_loop(100);
		act(SIGALRM, jump_out, 0);
		if (!sigsetjmp(env, 1)) {
			soon(1000);
			read(p[0], &b, 1);
			bad++;
		} else {
			jumped++;
		}
		bad += checked_loop(50);
		/* A child brings what is waited for, a signal comes before. */
		act(SIGALRM, nothing, SA_RESTART);
		pid_t c = fork();
		if (!c) {
			usleep(3000);
			b = 'x';
			for (int n = 0; n < 200; n++)
				fcntl(file, F_GETFD);
			_exit(write(p[1], &b, 1) != 1);
		}
		checked_loop(50);
		soon(1000);
		through += read(p[0], &b, 1) == 1 && b == 'x';
		int st;
		waitpid(c, &st, 0);
		bad += st != 0;
	}
	P("waits: %d interrupted, %d left, %d restarted, %d wrong", eintr, jumped, through, bad);
	close(p[0]), close(p[1]);
}

/* ---- others ----------------------------------------------------------------- */

static void talk(void)
{
	int p[2], bad = 0;
	unsigned char b;
	pipe(p);
	for (int i = 0; i < 20000; i++) {
		b = i;
		bad += write(p[1], &b, 1) != 1;
		b = ~b;
		bad += read(p[0], &b, 1) != 1 || b != (unsigned char)i;
	}
	P("bytes through a pipe: %d wrong", bad);
	int e = eventfd(0, EFD_NONBLOCK);
	uint64_t v, sum = 0;
	for (int i = 1; i <= 10000; i++) {
		v = i;
		write(e, &v, 8);
		v = 0;
		read(e, &v, 8);
		sum += v;
	}
	P("sum %lu", (unsigned long)sum);
	R(read(e, &v, 8));
	R(read(-1, &v, 8));
	R(read(e, BAD, 8));
	R(write(e, BAD, 8));
	R(lseek(e, 0, SEEK_SET));
	close(e), close(p[0]), close(p[1]);
}

static void *in_thread(void *arg)
{
	(void)arg;
	long bad = 0;
	for (int i = 0; i < 3000; i++)
		bad += syscall(SYS_getuid) != 0 || fcntl(file, F_GETFD) < 0;
	return (void *)bad;
}

static void others(void)
{
	pthread_t t[2];
	long bad = 0;
	for (int round = 0; round < 5; round++) {
		bad += checked_loop(200);
		for (int i = 0; i < 2; i++)
			pthread_create(&t[i], NULL, in_thread, NULL);
		for (int i = 0; i < 2000; i++)
			bad += fcntl(file, F_GETFD) < 0;
		for (int i = 0; i < 2; i++) {
			void *r;
			pthread_join(t[i], &r);
			bad += (long)r;
		}
		bad += checked_loop(200);
		pid_t v = vfork();
		if (!v) {
			long x = checked_loop(100);
			_exit(x != 0);
		}
		int st = -1;
		waitpid(v, &st, 0);
		bad += st != 0;
	}
	P("with threads and vfork: %ld wrong", bad);

	pid_t c = fork();
	if (!c)
		for (;;)
			if (checked_loop(100))
				_exit(1);
	int st = 0, stops = 0;
	for (int i = 0; i < 20; i++) {
		usleep(2000);
		kill(c, SIGSTOP);
		waitpid(c, &st, WUNTRACED);
		stops += WIFSTOPPED(st);
		kill(c, SIGCONT);
	}
	usleep(2000);
	kill(c, SIGKILL);
	waitpid(c, &st, 0);
	P("stopped %d times, then killed by %d", stops, WIFSIGNALED(st) ? WTERMSIG(st) : 0);

	struct timespec a, b;
	int back = 0;
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < 5000; i++) {
		syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &b);
		back += b.tv_sec < a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec < a.tv_nsec);
		clock_gettime(CLOCK_MONOTONIC, &a);
		back += a.tv_sec < b.tv_sec || (b.tv_sec == a.tv_sec && a.tv_nsec < b.tv_nsec);
	}
	P("clocks that went back: %d", back);
	R(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, BAD));
	R(syscall(SYS_clock_gettime, 99, &a));
}

static volatile int steps;
static volatile long offsets[64];
static void step(int s, siginfo_t *si, void *v)
{
	ucontext_t *u = v;
	long rip = u->uc_mcontext.gregs[REG_RIP];
	(void)s, (void)si;
	if (rip >= (long)site && rip <= (long)site_end && steps < 64)
		offsets[steps++] = rip - (long)site;
	stray += rip < (long)__executable_start || rip >= (long)etext;
}

/* Runs read and the C library's syscall stepwise. */
static void stepped(void)
{
	char b;
	long r;
	act(SIGTRAP, step, 0);
	for (int round = 0; round < 2; round++) {
		steps = 0, stray = 0;
		checked_loop(200);
		asm volatile("pushfq; orl $0x100, (%%rsp); popfq; call site; pushfq; andl $0xfffffeff, (%%rsp); popfq"
			     : "=a"(r) : "D"((long)file), "S"(5l), "d"(0l) : "rcx", "r11", "memory", "cc");
		P("steps %d, result %ld", steps, r);
		for (int i = 0; i < steps; i++)
			P("  at %ld", offsets[i]);
		taken = 0;
		asm volatile("pushfq; orl $0x100, (%%rsp); popfq" : : : "memory", "cc");
		r = read(file, &b, 1);
		r += syscall(SYS_lseek, file, 9, SEEK_SET) * 100;
		asm volatile("pushfq; andl $0xfffffeff, (%%rsp); popfq" : : : "memory", "cc");
		P("stepped %ld %d, strange places %ld", r, b, stray);
	}
}

int main(void)
{
	char data[128];
	for (int i = 0; i < 128; i++)
		data[i] = i;
	file = memfd_create("data", 0);
	write(file, data, sizeof data);
	int bad = 0;
	for (int i = 0; i < 5000; i++)
		bad += registers();
	P("registers: %d wrong", bad);
	P("calls: %ld wrong", checked_loop(3000));
	talk();
	under_signals();
	waiting();
	others();
	stepped();
	return 0;
}
