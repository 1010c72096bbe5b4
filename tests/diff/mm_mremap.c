/* mremap: shrink, grow, move, fixed, dontunmap. */
#include "fault.h"

#define RW (PROT_READ | PROT_WRITE)
#define AP (MAP_PRIVATE | MAP_ANONYMOUS)

static char *area(int pages)
{
	char *p = mmap(NULL, (pages + 4) * PAGE, PROT_NONE, AP, -1, 0);
	p = mmap(p, pages * PAGE, RW, AP | MAP_FIXED, -1, 0);
	munmap(p + pages * PAGE, 4 * PAGE);
	for (int i = 0; i < pages; i++)
		p[i * PAGE] = 'a' + i;
	return p;
}

int main(void)
{
	fault_init();
	char *p = area(4), *q;
	volatile char *v;

	T(mremap(p, 4 * PAGE, 2 * PAGE, 0) == p);
	v = p;
	FAULT((void)v[2 * PAGE], v + 2 * PAGE);
	T(mremap(p, 2 * PAGE, 4 * PAGE, 0) == p);
	P("%c%c %d", p[0], p[PAGE], p[2 * PAGE]);
	T(mremap(p, 4 * PAGE, 4 * PAGE, 0) == p);
	mmap(p + 4 * PAGE, PAGE, RW, AP | MAP_FIXED, -1, 0);
	mprotect(p + 4 * PAGE, PAGE, PROT_READ);
	errno = 0;
	T(mremap(p, 4 * PAGE, 5 * PAGE, 0) == MAP_FAILED && errno == ENOMEM);
	q = mremap(p, 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE);
	T(q != MAP_FAILED && q != p);
	P("%c%c %d", q[0], q[PAGE], q[5 * PAGE]);
	v = p;
	FAULT((void)v[0], v);

	/* to a given place, over what is there */
	char *t = area(8);
	T(mremap(q, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, t + PAGE) == t + PAGE);
	P("%c%c%c%c", t[0], t[PAGE], t[2 * PAGE], t[3 * PAGE]);
	v = q;
	FAULT((void)v[0], v);
	FAULT((void)v[2 * PAGE], 0);
	errno = 0;
	T(mremap(t, 2 * PAGE, 2 * PAGE, MREMAP_FIXED, t + 4 * PAGE) == MAP_FAILED && errno == EINVAL);
	errno = 0;
	T(mremap(t, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, t + PAGE) == MAP_FAILED && errno == EINVAL);
	errno = 0;
	T(mremap(t, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, t + 1) == MAP_FAILED && errno == EINVAL);
	errno = 0;
	T(mremap(t + 1, PAGE, PAGE, 0) == MAP_FAILED && errno == EINVAL);
	errno = 0;
	T(mremap(t, PAGE, 0, 0) == MAP_FAILED && errno == EINVAL);
	errno = 0;
	T(mremap(t, PAGE, PAGE, 0x80) == MAP_FAILED && errno == EINVAL);
	errno = 0;
	T(mremap((void *)0x320000000000, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
	errno = 0;
	T(mremap(t, -PAGE, PAGE, 0) == MAP_FAILED);
	P("%s", ename(errno));
	errno = 0;
	T(mremap(t, PAGE, 1ul << 48, MREMAP_MAYMOVE) == MAP_FAILED);
	P("%s", ename(errno));
	errno = 0;
	/* growing across two mappings */
	mprotect(t + PAGE, PAGE, PROT_READ);
	T(mremap(t, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED);
	P("%s", ename(errno));

	/* old size 0 of a shared mapping gives a second view */
	char *s = mmap(NULL, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	s[0] = 'S';
	char *s2 = mremap(s, 0, 2 * PAGE, MREMAP_MAYMOVE);
	T(s2 != MAP_FAILED && s2 != s);
	s2[PAGE] = 'T';
	P("%c%c", s2[0], s[PAGE]);
	errno = 0;
	p = area(2);
	T(mremap(p, 0, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED);
	P("%s", ename(errno));

	/* dontunmap: the content goes, the old place stays, empty */
	p = area(2);
	q = mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
	T(q != MAP_FAILED && q != p);
	P("%c%c %d", q[0], q[PAGE], p[0]);
	p[0] = 'n';
	P("%c %c", p[0], q[0]);
	errno = 0;
	T(mremap(p, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0) == MAP_FAILED && errno == EINVAL);

	/* file mappings: growing shows more of the file */
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	ftruncate(fd, 4 * PAGE);
	for (int i = 0; i < 4; i++)
		pwrite(fd, "0123" + i, 1, i * PAGE);
	p = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
	q = mremap(p, PAGE, 4 * PAGE, MREMAP_MAYMOVE);
	P("%c%c%c%c", q[0], q[PAGE], q[2 * PAGE], q[3 * PAGE]);
	q[3 * PAGE] = 'Q';
	char c;
	pread(fd, &c, 1, 3 * PAGE);
	P("%c", c);
	/* moved memory after a fork is still the parent's own */
	p = area(3);
	if (fork() == 0) {
		q = mremap(p, 3 * PAGE, 6 * PAGE, MREMAP_MAYMOVE);
		q[0] = 'C';
		P("child %c%c%c", q[0], q[PAGE], q[2 * PAGE]);
		_exit(0);
	}
	wait(NULL);
	P("parent %c%c%c", p[0], p[PAGE], p[2 * PAGE]);
	/* big and back again, the content stays */
	size_t n = 1 << 20;
	unsigned *u = mmap(NULL, n, RW, AP, -1, 0);
	for (size_t i = 0; i < n / 4; i++)
		u[i] = i * 2654435761u;
	for (int k = 0; k < 5; k++) {
		u = mremap(u, n, 2 * n, MREMAP_MAYMOVE);
		n *= 2;
	}
	int bad = 0;
	for (size_t i = 0; i < (1 << 20) / 4; i++)
		bad += u[i] != (unsigned)(i * 2654435761u);
	P("bad words %d, new part %u", bad, u[n / 4 - 1]);
	return 0;
}
