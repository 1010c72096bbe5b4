/* A handler repairs what faulted and returns: the access goes on, many times, in threads too. */
#include "diff.h"

static char *area;
static volatile int faults;

static void fix(int s, siginfo_t *si, void *v)
{
	(void)s, (void)v;
	faults++;
	mprotect((void *)((uintptr_t)si->si_addr & ~4095ul), PAGE, PROT_READ | PROT_WRITE);
}

static void fix_map(int s, siginfo_t *si, void *v)
{
	(void)s, (void)v;
	faults++;
	mmap((void *)((uintptr_t)si->si_addr & ~4095ul), PAGE, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static void *toucher(void *a)
{
	char *p = area + (long)a * 64 * PAGE;
	for (int i = 0; i < 64; i++)
		p[i * PAGE] = i;
	return NULL;
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = fix, .sa_flags = SA_SIGINFO };
	sigaction(SIGSEGV, &sa, NULL);
	size_t n = 512 * PAGE;
	area = mmap(NULL, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < n; i += PAGE)
		area[i] = i >> 12;
	P("faults %d", faults);
	faults = 0;
	mprotect(area, n, PROT_READ);
	int sum = 0;
	for (size_t i = 0; i < n; i += PAGE)
		sum += (unsigned char)area[i];
	P("reads fault %d sum %d", faults, sum);
	for (size_t i = 0; i < n; i += PAGE)
		area[i]++;
	P("writes fault %d", faults);
	/* by mapping */
	faults = 0;
	sa.sa_sigaction = fix_map;
	sigaction(SIGSEGV, &sa, NULL);
	munmap(area, n);
	for (size_t i = 0; i < n; i += PAGE)
		area[i] = 1;
	P("faults %d", faults);
	/* threads at once */
	faults = 0;
	munmap(area, n);
	pthread_t t[8];
	/* keep their place from the thread stacks */
	mmap(area, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	for (long i = 0; i < 8; i++)
		pthread_create(&t[i], NULL, toucher, (void *)i);
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
	int bad = 0;
	for (int i = 0; i < 512; i++)
		bad += area[i * PAGE] != i % 64;
	P("bad %d faults at least all %d", bad, faults >= 500);
	/* and in a child */
	faults = 0;
	mprotect(area, n, PROT_NONE);
	sa.sa_sigaction = fix;
	sigaction(SIGSEGV, &sa, NULL);
	CHILD({ for (int i = 0; i < 20; i++) area[i * PAGE] = 3; P("child's faults %d", faults); });
	P("own %d", faults);
	return 0;
}
