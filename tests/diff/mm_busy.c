/* Threads that map, protect and unmap in one address space at once, with forks in between:
 * each sees its own memory as it left it, and children see what was there at the fork. */
#include "fault.h"

#include <pthread.h>

#define RW (PROT_READ | PROT_WRITE)
#define ROUNDS 400

static int bad;

/* Maps a page, fills it, makes it read-only and writable again, and unmaps it. */
static void *churn(void *arg)
{
	int id = (int)(long)arg;
	for (int i = 0; i < ROUNDS; i++) {
		int pages = 1 + (i + id) % 3;
		unsigned char *p = mmap(NULL, pages * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED || p[0] || p[pages * PAGE - 1])
			__atomic_add_fetch(&bad, 1, __ATOMIC_SEQ_CST);
		memset(p, id + i % 64, pages * PAGE);
		if (mprotect(p, PAGE, PROT_READ) || p[17] != id + i % 64)
			__atomic_add_fetch(&bad, 1, __ATOMIC_SEQ_CST);
		if (mprotect(p, PAGE, RW))
			__atomic_add_fetch(&bad, 1, __ATOMIC_SEQ_CST);
		p[3] = 7;
		if (munmap(p, pages * PAGE))
			__atomic_add_fetch(&bad, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

/* Protects and writes one page over and over while others fork. */
static unsigned char *kept;

static void *toggle(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		mprotect(kept, PAGE, PROT_READ);
		mprotect(kept, PAGE, RW);
		kept[0] = i;
		kept[1] = i;
		if (kept[0] != (unsigned char)i)
			__atomic_add_fetch(&bad, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

int main(void)
{
	pthread_t th[4];
	int children = 0, status;
	unsigned char *own = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	kept = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (long i = 0; i < 3; i++)
		pthread_create(&th[i], NULL, churn, (void *)(i + 1));
	pthread_create(&th[3], NULL, toggle, NULL);
	for (int i = 0; i < 40; i++) {
		memset(own, i, 4 * PAGE);
		pid_t k = fork();
		if (k == 0) {
			int wrong = 0;
			for (int n = 0; n < 4; n++)
				wrong += own[n * PAGE + 5] != i;
			memset(own, 99, 4 * PAGE);
			mprotect(kept, PAGE, RW);
			kept[2] = 1;
			_exit(wrong);
		}
		memset(own, i + 100, 2 * PAGE);
		children += k > 0 && waitpid(k, &status, 0) == k && status == 0;
		for (int n = 0; n < 4; n++)
			if (own[n * PAGE + 5] != (n < 2 ? i + 100 : i))
				__atomic_add_fetch(&bad, 1, __ATOMIC_SEQ_CST);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(th[i], NULL);
	P("children %d bad %d kept %d", children, bad, kept[2]);

	/* Alone: what both sides of a fork write is told apart, again and again. */
	int local = 0, good = 0;
	char *heap = malloc(100);
	for (int i = 0; i < 30; i++) {
		local = i;
		heap[0] = i;
		pid_t k = fork();
		if (k == 0) {
			int right = local == i && heap[0] == i;
			local = heap[0] = -1;
			_exit(right && heap[0] == -1 ? 0 : 1);
		}
		local++;
		heap[0]++;
		waitpid(k, &status, 0);
		good += status == 0 && local == i + 1 && heap[0] == i + 1;
	}
	P("alone %d", good);

	/* A page that was given up is gone at once. */
	unsigned char *gone = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	gone[0] = 1;
	munmap(gone, PAGE);
	fault_init();
	FAULT(gone[0] = 1, gone);
	unsigned char *ro = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ro[0] = 1;
	mprotect(ro, PAGE, PROT_READ);
	FAULT(ro[0] = 2, ro);
	P("still %d", ro[0]);
	return 0;
}
