/* mseal: what a sealed mapping refuses, and what it still allows. */
#include "diff.h"
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#define PG 4096L

static char *fresh(int prot) {
	return mmap(NULL, 4 * PG, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int main(void) {
	int rw = PROT_READ | PROT_WRITE, fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	char *p = fresh(rw), *q = fresh(rw), *ro = fresh(PROT_READ), *hole = fresh(rw), *to = fresh(rw);
	munmap(hole + PG, PG);
	R(syscall(SYS_mseal, p, PG, 1));
	R(syscall(SYS_mseal, p + 1, PG, 0));
	R(syscall(SYS_mseal, p, -1L, 0));
	R(syscall(SYS_mseal, p, 0, 0));
	R(syscall(SYS_mseal, hole, 3 * PG, 0));
	R(mprotect(hole, PG, PROT_READ));
	R(syscall(SYS_mseal, p + PG, 2 * PG - 1, 0));
	R(syscall(SYS_mseal, p + PG, 2 * PG, 0));
	R(syscall(SYS_mseal, ro, 4 * PG, 0));
	/* Refused, whole or in part. */
	R(munmap(p + PG, PG));
	R(munmap(p, 4 * PG));
	R(mprotect(p + PG, PG, PROT_READ));
	R(mprotect(p, 4 * PG, PROT_READ));
	R(mprotect(p + 2 * PG, PG, rw));
	T(mmap(p + PG, PG, rw, fixed, -1, 0) == MAP_FAILED && errno == EPERM);
	T(mmap(p, 2 * PG, rw, fixed, -1, 0) == MAP_FAILED && errno == EPERM);
	T(mremap(p + PG, 2 * PG, PG, 0) == MAP_FAILED && errno == EPERM);
	T(mremap(p + PG, PG, 8 * PG, MREMAP_MAYMOVE) == MAP_FAILED && errno == EPERM);
	T(mremap(p + PG, PG, PG, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED && errno == EPERM);
	T(mremap(q, PG, PG, MREMAP_MAYMOVE | MREMAP_FIXED, p + PG) == MAP_FAILED && errno == EPERM);
	R(madvise(ro, PG, MADV_DONTNEED));
	R(madvise(ro, PG, MADV_FREE));
	R(madvise(ro, PG, MADV_DONTFORK));
	R(madvise(ro, PG, MADV_WIPEONFORK));
	/* Allowed. */
	p[PG] = 'x';
	R(madvise(ro, PG, MADV_WILLNEED));
	R(madvise(ro, PG, MADV_DONTDUMP));
	T(p[PG] == 'x');
	R(madvise(p + PG, PG, MADV_DONTNEED));
	T(p[PG] == 0);
	R(mlock(p + PG, PG));
	R(munlock(p + PG, PG));
	R(munmap(p + 3 * PG, PG));
	CHILD({ R(munmap(p + PG, PG)); R(mprotect(ro, PG, rw)); });
	/* A sealed end of the heap. */
	char *end = sbrk(4 * PG);
	char *last = (char *)(((long)end + 3 * PG) & -PG);
	R(syscall(SYS_mseal, last, PG, 0));
	T(brk(end) == -1);
	T(sbrk(0) == end + 4 * PG);
	return 0;
}
