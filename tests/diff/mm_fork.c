/* Copy on write over fork, shared memory, generations, system calls into such pages. */
#include "fault.h"

#define RW (PROT_READ | PROT_WRITE)

static int data = 1;
static char bss[3 * PAGE];

int main(void)
{
	char *a = mmap(NULL, 64 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *s = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int *heap = malloc(4096), local = 3, p[2];
	*heap = 2;
	pipe(p);
	put("f", "ffff");
	int fd = open("f", O_RDWR);
	char *fp = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0), *fs = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
	memset(a, 'p', 64 * PAGE);
	fp[1] = 'P';

	CHILD({
		P("child sees %d %d %d %c %c", data, *heap, local, a[0], fp[1]);
		data = *heap = local = 99;
		memset(a, 'c', 32 * PAGE);
		bss[PAGE] = 1;
		s[0] = 'c';
		fp[2] = 'C';
		fs[3] = 'S';
		P("child has %d %d %d %c%c %c%c", data, *heap, local, a[0], a[63 * PAGE], fp[1], fp[2]);
	});
	P("parent has %d %d %d %c %d shared %c file %.4s", data, *heap, local, a[0], bss[PAGE], s[0], fp);
	show(__LINE__, "f");

	/* parent writes first */
	int go[2];
	char c;
	pipe(go);
	pid_t k = fork();
	if (!k) {
		read(go[0], &c, 1);
		P("child still sees %c%c %d", a[0], a[40 * PAGE], data);
		_exit(0);
	}
	memset(a, 'n', 64 * PAGE);
	data = 50;
	write(go[1], "g", 1);
	reap(__LINE__, "child", k);

	/* system calls write into shared-for-copy pages */
	k = fork();
	if (!k) {
		write(go[1], "kid", 3);
		read(go[0], a + 100, 3);
		P("child read %.3s%c", a + 100, a[103]);
		_exit(0);
	}
	reap(__LINE__, "child", k);
	P("parent keeps %.3s", a + 100);
	CHILD({ pread(fd, a + PAGE - 2, 4, 0); P("across pages %.4s%c", a + PAGE - 2, a[PAGE + 2]); });
	P("parent keeps %.4s", a + PAGE - 2);

	/* generations */
	a[0] = '0';
	k = fork();
	if (!k) {
		a[0] = '1';
		pid_t k2 = fork();
		if (!k2) {
			a[0] = '2';
			pid_t k3 = fork();
			if (!k3) {
				a[0] = '3';
				P("gen 3 %c", a[0]);
				_exit(0);
			}
			waitpid(k3, NULL, 0);
			P("gen 2 %c", a[0]);
			_exit(0);
		}
		waitpid(k2, NULL, 0);
		P("gen 1 %c", a[0]);
		_exit(0);
	}
	reap(__LINE__, "chain", k);
	P("gen 0 %c", a[0]);

	/* many forks, each writes its own page; the parent changes in between */
	int bad = 0;
	for (int i = 0; i < 60; i++) {
		a[i * PAGE] = i;
		if ((k = fork()) == 0) {
			for (int j = 0; j <= i; j++)
				if (a[j * PAGE] != j)
					_exit(1);
			a[i * PAGE] = 100;
			_exit(a[i * PAGE] == 100 ? 0 : 2);
		}
		int st;
		waitpid(k, &st, 0);
		bad += st != 0 || a[i * PAGE] != i;
	}
	P("bad %d", bad);

	/* shared memory counts from several processes */
	volatile int *cnt = (void *)(s + PAGE);
	for (int i = 0; i < 8; i++)
		if (fork() == 0) {
			for (int j = 0; j < 1000; j++)
				__sync_fetch_and_add(cnt, 1);
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
	P("count %d", *cnt);
	/* protections are each one's own */
	fault_init();
	CHILD({ mprotect(a, PAGE, PROT_NONE); volatile char *v = a; FAULT((void)v[0], v); munmap(a, 64 * PAGE); });
	P("parent still %d", a[5 * PAGE]);
	/* madvise and munmap in the child leave the parent's */
	CHILD({ madvise(a, 64 * PAGE, MADV_DONTNEED); P("child %d", a[5 * PAGE]); });
	P("parent still %d", a[5 * PAGE]);
	/* memory of a child that was forked from a thread with a mapping in flux */
	CHILD({
		char *x = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		x[0] = 5;
		CHILD({ x[0] = 6; P("grandchild %d", x[0]); });
		P("child %d", x[0]);
	});
	return 0;
}
