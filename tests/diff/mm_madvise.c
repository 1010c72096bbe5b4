/* madvise, mincore, msync, mlock and its family, process_madvise left out. */
#include "fault.h"

#define RW (PROT_READ | PROT_WRITE)
#define AP (MAP_PRIVATE | MAP_ANONYMOUS)

int main(void)
{
	fault_init();
	char *p = mmap((void *)0x330000000000, 8 * PAGE, RW, AP | MAP_FIXED, -1, 0), *q;
	unsigned char vec[16];
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	ftruncate(fd, 4 * PAGE);
	pwrite(fd, "file", 4, 0);
	char *sh = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0), *pr = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, fd, 0);
	char *an = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	memset(p, 'x', 8 * PAGE);
	R(madvise(p + PAGE, PAGE, MADV_DONTNEED));
	P("%c %d %c", p[0], p[PAGE], p[2 * PAGE]);
	R(madvise(p + 1, PAGE, MADV_DONTNEED));
	R(madvise(p, 0, MADV_DONTNEED));
	R(madvise(p, 100, MADV_DONTNEED));
	P("%d", p[PAGE - 1]);
	R(madvise(p, PAGE, 9999));
	R(madvise(p, -1ul, MADV_DONTNEED));
	R(madvise((char *)0x331000000000, PAGE, MADV_DONTNEED));
	R(madvise((char *)0x331000000000, PAGE, MADV_WILLNEED));
	munmap(p + 4 * PAGE, PAGE);
	p[5 * PAGE] = 'y';
	R(madvise(p + 3 * PAGE, 3 * PAGE, MADV_DONTNEED));
	P("%d %d", p[3 * PAGE], p[5 * PAGE]);
	R(madvise(p, 2 * PAGE, MADV_NORMAL));
	R(madvise(p, 2 * PAGE, MADV_RANDOM));
	R(madvise(p, 2 * PAGE, MADV_SEQUENTIAL));
	R(madvise(p, 2 * PAGE, MADV_WILLNEED));
	R(madvise(p, 2 * PAGE, MADV_DONTDUMP));
	R(madvise(p, 2 * PAGE, MADV_DODUMP));
	pr[0] = 'P';
	R(madvise(pr, PAGE, MADV_DONTNEED));
	P("private file back to the file: %.4s", pr);
	sh[0] = 'S';
	R(madvise(sh, PAGE, MADV_DONTNEED));
	P("shared keeps: %.4s", sh);
	an[0] = 'A';
	R(madvise(an, PAGE, MADV_DONTNEED));
	P("shared anonymous keeps: %c", an[0]);
	R(madvise(an, PAGE, MADV_REMOVE));
	P("removed: %d", an[0]);
	R(madvise(p, PAGE, MADV_REMOVE));
	R(madvise(sh, PAGE, MADV_FREE));
	R(madvise(p, PAGE, MADV_FREE));
	R(madvise(p, PAGE, MADV_POPULATE_READ));
	R(madvise(p, PAGE, MADV_POPULATE_WRITE));
	R(madvise(p, PAGE, MADV_COLD));
	R(madvise(p, PAGE, MADV_PAGEOUT));

	/* fork advice */
	q = mmap(NULL, 3 * PAGE, RW, AP, -1, 0);
	memset(q, 'q', 3 * PAGE);
	R(madvise(q, PAGE, MADV_DONTFORK));
	R(madvise(q + PAGE, PAGE, MADV_WIPEONFORK));
	volatile char *vq = q;
	CHILD({
		FAULT((void)vq[0], vq);
		P("%d %c", vq[PAGE], vq[2 * PAGE]);
	});
	P("%c%c", q[0], q[PAGE]);
	R(madvise(q, PAGE, MADV_DOFORK));
	R(madvise(q + PAGE, PAGE, MADV_KEEPONFORK));
	CHILD(P("%c%c", vq[0], vq[PAGE]));
	R(madvise(sh, PAGE, MADV_WIPEONFORK));

	/* mincore */
	q = mmap(NULL, 4 * PAGE, RW, AP, -1, 0);
	R(mincore(q, 4 * PAGE, vec));
	q[2 * PAGE] = 1;
	R(mincore(q, 4 * PAGE, vec));
	P("%d%d%d%d", vec[0] & 1, vec[1] & 1, vec[2] & 1, vec[3] & 1);
	R(mincore(q + 1, PAGE, vec));
	R(mincore(q, 0, vec));
	R(mincore(q, PAGE, BAD));
	R(mincore((char *)0x331000000000, PAGE, vec));
	R(mincore(q, -1ul, vec));

	/* msync */
	R(msync(sh, PAGE, MS_SYNC));
	R(msync(sh, PAGE, MS_ASYNC));
	R(msync(sh, PAGE, MS_ASYNC | MS_SYNC));
	R(msync(sh, PAGE, MS_INVALIDATE));
	R(msync(sh, PAGE, 0));
	R(msync(sh, PAGE, 8));
	R(msync(sh + 1, PAGE, MS_SYNC));
	R(msync(sh, 0, MS_SYNC));
	R(msync(p + 3 * PAGE, 3 * PAGE, MS_SYNC));
	R(msync((char *)0x331000000000, PAGE, MS_SYNC));
	show(__LINE__, "f");

	/* mlock */
	R(mlock(q, PAGE));
	R(munlock(q, PAGE));
	R(mlock(q + 1, 1));
	R(mlock((char *)0x331000000000, PAGE));
	R(munlock((char *)0x331000000000, PAGE));
	R(mlock(p + 3 * PAGE, 3 * PAGE));
	R(mlock(q, -1ul));
	R(mlock2(q, PAGE, MLOCK_ONFAULT));
	R(mlock2(q, PAGE, 8));
	R(munlock(q, 4 * PAGE));
	R(mlockall(0));
	R(mlockall(64));
	R(mlockall(MCL_ONFAULT));
	R(munlockall());
	CHILD({
		struct rlimit rl = { 2 * PAGE, 2 * PAGE };
		R(setrlimit(RLIMIT_MEMLOCK, &rl));
		R(mlock(q, 2 * PAGE));
		R(mlock(q + 2 * PAGE, PAGE));
		R(mlock(q, 2 * PAGE));
		rl.rlim_cur = 0;
		R(setrlimit(RLIMIT_MEMLOCK, &rl));
		R(mlock(q + 2 * PAGE, PAGE));
	});
	return 0;
}
