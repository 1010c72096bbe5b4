/*
 * Calls whose answer hardly ever changes, made so often that a kernel may answer them at
 * the call site: every change must be seen at once, and the site must look as it was.
 */
#include "diff.h"
#include <asm/prctl.h>
#include <ucontext.h>

#define HEAT 200

/* One call site of getppid whose bytes are known. */
asm(".text\n.balign 64\n.globl site, site_call, site_end\n"
    "nop\nsite: mov $110, %eax\nsite_call: syscall\nsite_end: ret\n.balign 64\n");
long site(void);
extern char site_call[], site_end[], __executable_start[], etext[];

static const unsigned char site_bytes[] = { 0xb8, 110, 0, 0, 0, 0x0f, 0x05, 0xc3 };

/* A site that never gets hot. */
static inline __attribute__((always_inline)) long cold(long nr)
{
	long r;
	asm volatile("mov %1, %%rax\n syscall" : "=a"(r) : "r"(nr) : "rcx", "r11", "memory");
	return r;
}

static void heat(void)
{
	for (int i = 0; i < HEAT; i++) {
		site();
		getpid(), getppid(), gettid(), getuid(), geteuid(), getgid(), getegid();
		syscall(SYS_getpid), syscall(SYS_gettid);
	}
}

static int all_true(void)
{
	return getpid() == cold(SYS_getpid) && getppid() == cold(SYS_getppid) && gettid() == cold(SYS_gettid) &&
	       getuid() == cold(SYS_getuid) && geteuid() == cold(SYS_geteuid) && getgid() == cold(SYS_getgid) &&
	       getegid() == cold(SYS_getegid) && site() == cold(SYS_getppid) &&
	       syscall(SYS_getpid) == cold(SYS_getpid) && syscall(SYS_gettid) == cold(SYS_gettid);
}

static int many_true(void)
{
	int ok = 1;
	for (int i = 0; i < HEAT; i++)
		ok &= all_true();
	return ok;
}

/* ---- threads -------------------------------------------------------------- */

static pthread_barrier_t bar;
static volatile int stop_threads;

static void *hammer(void *arg)
{
	int me = cold(SYS_gettid), bad = 0;
	(void)arg;
	pthread_barrier_wait(&bar);
	for (int i = 0; i < 3000; i++)
		bad += gettid() != me || getpid() != cold(SYS_getpid) || syscall(SYS_gettid) != me;
	return (void *)(long)bad;
}

static void threads(void)
{
	pthread_t t[4];
	long bad = 0;
	pthread_barrier_init(&bar, NULL, 4);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, hammer, NULL);
	for (int i = 0; i < 4; i++) {
		void *r;
		pthread_join(t[i], &r);
		bad += (long)r;
	}
	P("threads that asked for their number: %ld wrong", bad);
	T(many_true());
}

/* A site that becomes hot while several threads run through it. */
asm(".text\n.balign 64\n.globl fresh\nnop\nfresh: mov $39, %eax\nsyscall\nret\n.balign 64\n");
long fresh(void);

static void *through(void *arg)
{
	long bad = 0, me = *(int *)arg;
	while (!stop_threads)
		bad += fresh() != me;
	return (void *)bad;
}

static void patch_under_threads(void)
{
	pthread_t t[4];
	long bad = 0;
	int me = getpid();
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, through, &me);
	/* Processes forked meanwhile. */
	for (int i = 0; i < 20; i++) {
		pid_t p = fork();
		if (!p) {
			int ok = 1;
			for (int n = 0; n < 50; n++)
				ok &= fresh() == cold(SYS_getpid) && site() == cold(SYS_getppid);
			_exit(!ok);
		}
		int st = -1;
		waitpid(p, &st, 0);
		bad += st != 0;
	}
	P("children forked while threads call: %ld wrong", bad);
	stop_threads = 1;
	bad = 0;
	for (int i = 0; i < 4; i++) {
		void *r;
		pthread_join(t[i], &r);
		bad += (long)r;
	}
	P("threads through a fresh site: %ld wrong", bad);
}

/* ---- who I am changes ------------------------------------------------------- */

static int in_clone(void *arg)
{
	int *bad = arg;
	for (int i = 0; i < 50; i++)
		*bad += !all_true();
	return 0;
}

static void *other_user(void *arg)
{
	(void)arg;
	heat();
	/* This thread only. */
	long r = syscall(SYS_setresuid, 11, 12, 13);
	int ok = r == 0;
	for (int i = 0; i < HEAT; i++)
		ok &= getuid() == 11 && geteuid() == 12;
	return (void *)(long)ok;
}

static void changes(void)
{
	static char stack[65536];
	int bad = 0;

	CHILD(T(many_true()); heat(); T(many_true()); CHILD(T(many_true())); T(many_true()));
	pid_t v = vfork();
	if (!v)
		_exit(!(getpid() == cold(SYS_getpid) && site() == cold(SYS_getppid) && gettid() == cold(SYS_gettid)));
	int st = -1;
	waitpid(v, &st, 0);
	T(st == 0);
	T(many_true());
	/* The same memory, another process, both running. */
	pid_t c = clone(in_clone, stack + sizeof stack, CLONE_VM | SIGCHLD, &bad);
	int ok = many_true();
	T(ok);
	waitpid(c, &st, 0);
	P("process that shares the memory: %d wrong", bad);
	T(many_true());
	CHILD(heat(); T(setresgid(21, 22, 23) == 0); T(getgid() == 21 && getegid() == 22);
	      T(setresuid(1, 2, 3) == 0); T(getuid() == 1 && geteuid() == 2); T(many_true());
	      T(seteuid(3) == 0); T(geteuid() == 3); T(many_true()));
	CHILD(heat(); pthread_t t; void *r; pthread_create(&t, NULL, other_user, NULL); int mine = 1;
	      for (int i = 0; i < 10 * HEAT; i++) mine &= getuid() == 0 && geteuid() == 0;
	      pthread_join(t, &r); T((long)r == 1); T(mine && getuid() == 0); T(many_true()));
}

static void adopted(void)
{
	int p[2];
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pipe(p);
	int me = getpid();
	pid_t c = fork();
	if (!c) {
		if (!fork()) {
			heat();
			int was = site();
			write(p[1], "r", 1);
			while (site() == was)
				;
			char ok = site() == me && getppid() == me && was != me;
			write(p[1], &ok, 1);
			_exit(0);
		}
		char b;
		read(p[0], &b, 1);
		_exit(0);
	}
	waitpid(c, NULL, 0);
	char ok = 0;
	read(p[0], &ok, 1);
	P("orphan sees its new parent: %d", ok);
	waitpid(-1, NULL, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}

/* ---- the text -------------------------------------------------------------- */

static int same(const void *b) { return !memcmp(b, site_bytes, sizeof site_bytes); }

static void text(void)
{
	unsigned char b[8] = { 0 };
	int p[2];

	heat();
	pipe(p);
	T(write(p[1], (void *)site, 8) == 8 && read(p[0], b, 8) == 8 && same(b));
	heat();
	T(site() == getppid());
	unsigned long page = (unsigned long)site & -PAGE;
	T(same((void *)site));
	R(mprotect((void *)page, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC));
	T(same((void *)site));
	((char *)site)[1] = 39;
	T(site() == getpid());
	heat();
	T(site() == getpid());
	((char *)site)[1] = 110;
	T(site() == getppid());
	R(mprotect((void *)page, PAGE, PROT_READ | PROT_EXEC));
	heat();
	T(site() == getppid());
	close(p[0]), close(p[1]);
}

/* A page of code in a file: moved, replaced, read by others. */
static void file_code(void)
{
	char code[64] = "\x90\xb8\x6e\0\0\0\x0f\x05\xc3";
	int f = memfd_create("code", 0);
	ftruncate(f, 2 * PAGE);
	pwrite(f, code, sizeof code, 0);
	code[2] = 39;
	pwrite(f, code, sizeof code, PAGE);
	char *m = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, f, 0);
	long (*call)(void) = (long (*)(void))(m + 1);
	for (int i = 0; i < HEAT; i++)
		call();
	T(call() == getppid());
	unsigned char b[8] = { 0 };
	int mem = open("/proc/self/mem", O_RDONLY);
	T(pread(mem, b, 8, (off_t)(m + 1)) == 8 && same(b));
	close(mem);
	char *m2 = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, f, 0);
	call = (long (*)(void))(m2 + 1);
	for (int i = 0; i < HEAT; i++)
		call();
	CHILD(T(call() == getppid()); munmap(m, PAGE); T(call() == getppid()));
	char *to = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	T(mremap(m2, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	call = (long (*)(void))(to + 1);
	T(call() == getppid() && same(to + 1));
	char *m3 = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, f, 0);
	call = (long (*)(void))(m3 + 1);
	for (int i = 0; i < HEAT; i++)
		call();
	T(mmap(m3, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, f, PAGE) == m3);
	T(call() == getpid());
	for (int i = 0; i < HEAT; i++)
		call();
	T(call() == getpid());
	R(madvise(m3, PAGE, MADV_DONTNEED));
	T(call() == getpid() && m3[1] == '\xb8');
	R(mprotect(m3, PAGE, PROT_READ));
	R(mprotect(m3, PAGE, PROT_READ | PROT_EXEC));
	T(call() == getpid());
	close(f);
}

static void maps(void)
{
	char line[512];
	int odd = 0;
	heat();
	FILE *f = fopen("/proc/self/maps", "r");
	while (f && fgets(line, sizeof line, f))
		odd += strstr(line, "r-xp 00000000 00:00 0") && !strchr(line, '[');
	if (f)
		fclose(f);
	P("executable mappings of nothing: %d", odd);
}

/* ---- signals and debuggers --------------------------------------------------- */

static volatile long offsets[64];
static volatile int steps, stray;

static void step(int s, siginfo_t *si, void *v)
{
	ucontext_t *u = v;
	long rip = u->uc_mcontext.gregs[REG_RIP];
	(void)s, (void)si;
	if (rip >= (long)site && rip <= (long)site_end) {
		if (steps < 64)
			offsets[steps++] = rip - (long)site;
	} else if (rip < (long)__executable_start || rip >= (long)etext) {
		stray++;
	}
}

static void single_step(void)
{
	struct sigaction sa = { .sa_sigaction = step, .sa_flags = SA_SIGINFO };
	sigaction(SIGTRAP, &sa, NULL);
	for (int round = 0; round < 3; round++) {
		long r;
		steps = 0;
		asm volatile("pushfq; orl $0x100, (%%rsp); popfq; call site; pushfq; andl $0xfffffeff, (%%rsp); popfq"
			     : "=a"(r) : : "rcx", "r11", "memory", "cc");
		P("steps: %d, right %d, strange places %d", steps, r == getppid(), stray);
		for (int i = 0; i < steps; i++)
			P("  at %ld", offsets[i]);
		heat();
	}
	signal(SIGTRAP, SIG_DFL);
}

static volatile long taken;
static void count_it(int s, siginfo_t *si, void *v)
{
	taken++;
	step(s, si, v);
}

static void *sender(void *arg)
{
	(void)arg;
	for (int i = 0; i < 20000 && !stop_threads; i++)
		tgkill(getpid(), getpid(), SIGUSR1);
	stop_threads = 1;
	return NULL;
}

static void interrupted(void)
{
	struct sigaction sa = { .sa_sigaction = count_it, .sa_flags = SA_SIGINFO };
	pthread_t t;
	long bad = 0, calls = 0;
	int parent = getppid();
	sigaction(SIGUSR1, &sa, NULL);
	stray = 0, stop_threads = 0;
	heat();
	pthread_create(&t, NULL, sender, NULL);
	for (; !stop_threads; calls++)
		bad += site() != parent || syscall(SYS_getppid) != parent;
	pthread_join(t, NULL);
	P("wrong answers %ld, strange places %d, signals came %d, calls were made %d", bad, stray, taken > 0,
	  calls > 0);
}

static void odd_ways_in(void)
{
	long r;
	heat();
	/* Right at the syscall, with another number. */
	asm volatile("mov $39, %%eax; call *%1" : "=a"(r) : "r"(site_call) : "rcx", "r11", "memory");
	T(r == getpid());
	asm volatile("mov $102, %%eax; call *%1" : "=a"(r) : "r"(site_call) : "rcx", "r11", "memory");
	T(r == getuid());
	/* Flags survive a call. */
	unsigned long f;
	asm volatile("stc; std; call site; pushfq; pop %1; cld" : "=a"(r), "=r"(f) : : "rcx", "r11", "memory", "cc");
	P("carry %lu direction %lu", f & 1, f >> 10 & 1);
	asm volatile("xor %%eax, %%eax; call site; pushfq; pop %1" : "=a"(r), "=r"(f) : : "rcx", "r11", "memory", "cc");
	P("zero %lu carry %lu", f >> 6 & 1, f & 1);
	/* The bytes below the stack pointer survive too. */
	asm volatile("movq $1234567, -16(%%rsp); movq $7654321, -112(%%rsp);"
		     "mov $110, %%eax; syscall; mov -16(%%rsp), %0; add -112(%%rsp), %0"
		     : "=r"(r) : : "rax", "rcx", "r11", "memory");
	T(r == 1234567 + 7654321);
	static long word = 4711;
	long got, old = 0;
	S(syscall(SYS_arch_prctl, ARCH_GET_GS, &old));
	R(syscall(SYS_arch_prctl, ARCH_SET_GS, &word));
	heat();
	asm volatile("mov %%gs:0, %0" : "=r"(got));
	T(got == 4711 && all_true());
	R(syscall(SYS_arch_prctl, ARCH_SET_GS, old));
	T(many_true());
	/* Unknown and huge numbers through a hot site. */
	R(syscall(511));
	R(syscall(512));
	R(syscall(0x10000));
	R(syscall(-1));
}

int main(void)
{
	heat();
	T(many_true());
	threads();
	patch_under_threads();
	changes();
	adopted();
	text();
	file_code();
	maps();
	single_step();
	interrupted();
	odd_ways_in();
	return 0;
}
