/*
 * post SEED: a guest that overwrites the page in which its own calls are posted, posts calls
 * that it never made, and jumps to random places of the code beside it. It may be killed for
 * it; the kernel must be there afterwards. The page's place is that of the first platform.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define REGION 0x20000000ull
#define PAGE_AT (0x40000 + 0x4000 + 1024)

static uint64_t state;
static volatile uint32_t *page;

static uint64_t rnd(void)
{
	state ^= state << 13, state ^= state >> 7, state ^= state << 17;
	return state;
}

static void trash(void)
{
	for (int i = 0; i < 40; i++)
		if (rnd() % 3)
			page[i] = rnd() % 6 ? rnd() % 400 : (uint32_t)rnd();
}

static void *disturb(void *arg)
{
	for (;;) {
		for (int i = 0; i < 30; i++)
			page[0] = rnd() % 6, page[2] = rnd() % 335;
		getppid();
		lseek(0, 0, SEEK_CUR);
	}
	return arg;
}

static void child(int mode, uint64_t base)
{
	pthread_t t;
	alarm(2);
	int f = open("/dev/null", O_RDWR);
	dup2(f, 1), dup2(f, 2);
	if (mode == 4)
		pthread_create(&t, NULL, disturb, NULL);
	for (long i = 0; i < 30000; i++) {
		lseek(f, 0, SEEK_SET);
		if (i < 500)
			continue;
		if (mode == 1 || (mode == 2 && i % 50 == 0)) {
			page[2] = mode == 1 ? SYS_lseek : (uint32_t)(rnd() % 335);
			page[0] = 1;
			for (volatile int n = 0; n < 1000; n++)
				;
		} else if (mode == 3 && rnd() % 1000 == 0) {
			((void (*)(void))(base + rnd() % 0x400))();
		} else if (i % 97 == 0) {
			trash();
		}
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	uint64_t base = getauxval(AT_SYSINFO_EHDR) & -REGION;
	int seed = argc > 1 ? atoi(argv[1]) : 1;
	page = (void *)(base + PAGE_AT);
	for (int n = 0; n < 60; n++) {
		pid_t p = fork();
		state = seed * 7919 + n + 12345;
		if (!p)
			child(n % 5, base);
		waitpid(p, NULL, 0);
	}
	if (syscall(SYS_getpid) != getpid() || getppid() != syscall(SYS_getppid))
		return 1;
	printf("post %d: the kernel is still there\n", seed);
	return 0;
}
