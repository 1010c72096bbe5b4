/*
 * wild: a guest that does what no program should, by a fixed seed.
 *
 *   wild jump SEED      children jump to random addresses with random registers
 *   wild bytes SEED     children execute random bytes
 *   wild calls SEED     children make system calls with wild numbers and arguments
 *   wild pointers SEED  every system call gets pointers at the edges of memory
 *   wild frames SEED    rt_sigreturn with random frames
 *   wild memory SEED    random mmap, munmap, mprotect, mremap over everything
 *   wild threads SEED   all of it from several threads of one process
 *
 * It prints nothing that depends on how the children ended, only that it came to
 * its end: the kernel below must still be there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t state;
static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static char page[8192] __attribute__((aligned(4096)));

/* A value that is likely to be interesting as an argument. */
static uint64_t wild(void)
{
	switch (rnd() % 16) {
	case 0: return 0;
	case 1: return rnd() % 16;
	case 2: return rnd();
	case 3: return -(rnd() % 4096);
	case 4: return 0x7fffffffffff - rnd() % 8192;
	case 5: return 0xffff800000000000 + rnd() % 0x100000000;
	case 6: return (uint64_t)page + rnd() % 8192;
	case 7: return (uint64_t)page + 8192 - rnd() % 16;
	case 8: return 1ull << (rnd() % 64);
	case 9: return (1ull << (rnd() % 64)) - 1;
	case 10: return (uint64_t)&state;
	case 11: return 0x7fffffff;
	case 12: return 0x80000000;
	case 13: return rnd() & 0xffffffff;
	case 14: return (uint64_t)__builtin_frame_address(0) + rnd() % 65536;
	default: return rnd() % 4096;
	}
}

/* Calls that would end the test itself or the machine's patience, not the kernel. */
static int skip(long nr)
{
	switch (nr) {
	case SYS_exit: case SYS_exit_group: case SYS_pause: case SYS_kill: case SYS_tkill: case SYS_tgkill:
	case SYS_rt_sigqueueinfo: case SYS_rt_tgsigqueueinfo: case SYS_reboot: case SYS_fork: case SYS_vfork:
	case SYS_rt_sigsuspend: case SYS_select: case SYS_pselect6:
		return 1;
	}
	return 0;
}

static void limits(int seconds)
{
	struct rlimit r = { 64 << 20, 64 << 20 };
	setrlimit(RLIMIT_FSIZE, &r);
	r = (struct rlimit){ 1 << 30, 1 << 30 };
	setrlimit(RLIMIT_AS, &r);
	struct itimerval it = { { 0, 100000 }, { seconds, 300000 } };
	signal(SIGALRM, SIG_DFL);
	setitimer(ITIMER_REAL, &it, NULL);
}

static void jump(void)
{
	uint64_t v[16], to = rnd() % 4 == 0 ? (rnd() & 0x7fffffffffff) : wild();
	for (int i = 0; i < 16; i++)
		v[i] = wild();
	asm volatile("mov %1, %%r15\n mov (%0), %%rbx\n mov 8(%0), %%rcx\n mov 16(%0), %%rdx\n mov 24(%0), %%rsi\n"
		     "mov 32(%0), %%rdi\n mov 40(%0), %%rbp\n mov 48(%0), %%r8\n mov 56(%0), %%r9\n mov 64(%0), %%r10\n"
		     "mov 72(%0), %%r11\n mov 80(%0), %%r12\n mov 88(%0), %%r13\n mov 96(%0), %%rsp\n jmp *%%r15"
		     : : "a"(v), "r"(to) : "memory");
}

static void bytes(void)
{
	size_t n = 65536;
	uint8_t *m = mmap(NULL, n, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED)
		_exit(1);
	for (size_t i = 0; i < n; i++)
		m[i] = rnd() >> 24;
	/* strew system call instructions among them */
	for (int i = 0; i < 2000; i++) {
		size_t at = rnd() % (n - 2);
		m[at] = 0x0f;
		m[at + 1] = 0x05;
	}
	asm volatile("jmp *%0" : : "r"(m + rnd() % n), "a"(rnd() % 460), "D"(wild()), "S"(wild()), "d"(wild()) : "memory");
}

static void calls(void)
{
	for (int i = 0; i < 300; i++) {
		long nr = rnd() % 8 ? (long)(rnd() % 470) : (long)wild();
		if (skip(nr))
			continue;
		syscall(nr, wild(), wild(), wild(), wild(), wild(), wild());
	}
}

static void pointers(void)
{
	static const uint64_t edges[] = { 0, 8, 0xfff, 0x1000, 0x7fffffffe000, 0x7fffffffefff, 0x7ffffffff000, 0x800000000000,
		0xffff800000000000, 0xffffffffff600000, 0xfffffffffffff000, 0xffffffffffffffff };
	uint64_t e = edges[rnd() % (sizeof edges / sizeof *edges)];
	for (long nr = 0; nr < 470; nr++) {
		if (skip(nr) || nr == SYS_rt_sigreturn || nr == SYS_munmap)
			continue;
		uint64_t a = rnd() % 2 ? e : rnd() % 8, b = rnd() % 3 ? e : rnd() % 64, c = rnd() % 2 ? e : rnd() % 8192;
		syscall(nr, a, b, c, rnd() % 2 ? e : 0, rnd() % 2 ? e : 0, rnd() % 2 ? e : 0);
	}
}

static void frames(void)
{
	uint64_t *s = (uint64_t *)page;
	for (size_t i = 0; i < sizeof page / 8; i++)
		s[i] = wild();
	asm volatile("mov %0, %%rsp\n mov $15, %%eax\n syscall" : : "r"(page + rnd() % 4096) : "memory");
}

static void memory(void)
{
	for (int i = 0; i < 500; i++) {
		uint64_t at = rnd() % 3 ? wild() & ~4095ull : 0x100000000000 + rnd() % 64 * 4096, len = rnd() % 2 ? rnd() % 32 * 4096 : wild();
		switch (rnd() % 6) {
		case 0: syscall(SYS_mmap, at, len, rnd() % 8, rnd() % 2 ? 0x22 : wild(), rnd() % 2 ? -1 : rnd() % 5, wild()); break;
		case 1: syscall(SYS_mprotect, at, len, rnd() % 8); break;
		case 2: syscall(SYS_mremap, at, len, wild(), rnd() % 8, wild() & ~4095ull); break;
		case 3: syscall(SYS_madvise, at, len, rnd() % 30); break;
		case 4: syscall(SYS_brk, wild()); break;
		default: syscall(SYS_mmap, 0x100000000000 + rnd() % 64 * 4096, rnd() % 16 * 4096, rnd() % 8, 0x32, -1, 0); break;
		}
		if (rnd() % 100 == 0)
			syscall(SYS_munmap, at, len);
	}
}

static void *thread(void *a)
{
	state = (uint64_t)a;
	switch (rnd() % 4) {
	case 0: calls(); break;
	case 1: pointers(); break;
	case 2: memory(); break;
	default: frames(); break;
	}
	return NULL;
}

static void threads(void)
{
	pthread_t t[4];
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, thread, (void *)(rnd() | 1));
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

static const struct { const char *name; void (*fn)(void); int times; } modes[] = {
	{ "jump", jump, 100 }, { "bytes", bytes, 100 }, { "calls", calls, 25 }, { "pointers", pointers, 12 },
	{ "frames", frames, 100 }, { "memory", memory, 25 }, { "threads", threads, 8 },
};

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	uint64_t seed = strtoull(argv[2], NULL, 0) * 0x9e3779b97f4a7c15 | 1;
	int out = dup(1), null = open("/dev/null", O_RDWR);
	dup2(null, 1);
	dup2(null, 2);
	fcntl(out, F_DUPFD_CLOEXEC, 500);
	prctl(PR_SET_DUMPABLE, 0);
	if (chdir("/scratch"))
		return 3;
	for (unsigned m = 0; m < sizeof modes / sizeof *modes; m++) {
		if (strcmp(argv[1], modes[m].name))
			continue;
		for (int i = 0; i < modes[m].times; i++) {
			pid_t k = fork();
			if (k == 0) {
				setsid();
				state = seed + (uint64_t)i * 0x2545f4914f6cdd1d;
				limits(1);
				/* an ordinary user: the host that runs this natively keeps its files */
				if (setgid(12345) || setuid(12345))
					_exit(1);
				modes[m].fn();
				_exit(0);
			}
			/* the child, its children, whatever it made: wait with a limit */
			for (int w = 0; w < 400 && waitpid(k, NULL, WNOHANG) == 0; w++) {
				struct timespec ts = { 0, 10000000 };
				nanosleep(&ts, NULL);
				if (w == 300)
					kill(k, SIGKILL);
			}
			kill(-k, SIGKILL);
		}
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		dprintf(out, "%s %s: the kernel is still there\n", argv[1], argv[2]);
		return 0;
	}
	return 2;
}
