/* File mappings: SIGBUS past the end, truncation under a mapping, coherence with read and write. */
#include "fault.h"

#define RW (PROT_READ | PROT_WRITE)

int main(void)
{
	fault_init();
	int fd = open("f", O_RDWR | O_CREAT, 0644), p[2];
	char b[16];
	pipe(p);
	ftruncate(fd, PAGE + 100);
	pwrite(fd, "start", 5, 0);
	pwrite(fd, "tail", 4, PAGE + 96);
	volatile char *s = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0), *v = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, fd, 0);

	P("%.5s %.4s %d", (char *)s, (char *)s + PAGE + 96, s[PAGE + 100]);
	FAULT((void)s[2 * PAGE - 1], 0);
	FAULT((void)s[2 * PAGE], s + 2 * PAGE);
	FAULT(s[2 * PAGE + 5] = 1, s + 2 * PAGE + 5);
	FAULT((void)v[2 * PAGE], v + 2 * PAGE);
	FAULT(v[3 * PAGE] = 1, v + 3 * PAGE);
	R(write(p[1], (char *)s + 2 * PAGE, 1));
	write(p[1], "abc", 3);
	R(read(p[0], (char *)s + 2 * PAGE, 1));
	R(read(p[0], b, 3));
	/* growing makes it good */
	R(ftruncate(fd, 4 * PAGE));
	FAULT(s[2 * PAGE] = 'g', 0);
	FAULT((void)v[3 * PAGE], 0);
	pread(fd, b, 1, 2 * PAGE);
	P("%c", b[0]);
	/* shrinking takes it away, private copies too */
	v[PAGE] = 'V';
	v[0] = 'V';
	R(ftruncate(fd, 10));
	FAULT((void)s[PAGE], s + PAGE);
	FAULT((void)v[PAGE], v + PAGE);
	FAULT((void)v[2 * PAGE], v + 2 * PAGE);
	P("%c %c", v[0], s[1]);
	R(ftruncate(fd, 4 * PAGE));
	P("zero again %d %d", s[PAGE + 96], v[PAGE + 96]);
	/* coherence */
	pwrite(fd, "by write", 8, 100);
	P("%.8s", (char *)s + 100);
	memcpy((char *)s + 200, "by store", 8);
	pread(fd, b, 8, 200);
	P("%.8s", b);
	int fd2 = open("f", O_RDONLY);
	pread(fd2, b, 8, 200);
	P("%.8s", b);
	char *s2 = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd2, 0);
	s[200] = 'B';
	P("%.8s", s2 + 200);
	v[300] = 'p';
	P("%d", s[300]);
	CHILD({ s[400] = 'k'; v[400] = 'K'; });
	P("%c %d", s[400], v[400] == 'K');
	/* the mapping outlives descriptor and name */
	close(fd);
	close(fd2);
	unlink("f");
	s[500] = 'z';
	P("%c %.8s", s2[500], s2 + 100);
	R(msync((char *)s, PAGE, MS_SYNC));
	/* offset within the file, and replacing part of it */
	fd = open("g", O_RDWR | O_CREAT, 0644);
	for (int i = 0; i < 8; i++)
		pwrite(fd, "01234567" + i, 1, i * PAGE);
	char *m = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 2 * PAGE);
	P("%c%c%c%c", m[0], m[PAGE], m[2 * PAGE], m[3 * PAGE]);
	mmap(m + PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 7 * PAGE);
	P("%c%c%c%c", m[0], m[PAGE], m[2 * PAGE], m[3 * PAGE]);
	mmap(m + 2 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	P("%c%c%d%c", m[0], m[PAGE], m[2 * PAGE], m[3 * PAGE]);
	m[PAGE] = 'S';
	pread(fd, b, 1, 7 * PAGE);
	P("%c", b[0]);
	/* write a file from its own mapping, and read into it */
	R(pwrite(fd, m, PAGE, 20 * PAGE));
	R(pread(fd, m, PAGE, 3 * PAGE));
	P("%c", m[0]);
	R(pwrite(fd, m, 2 * PAGE, 2 * PAGE));
	/* an executable mapping of a file */
	static const unsigned char code[] = { 0xb8, 77, 0, 0, 0, 0xc3 };
	int x = open("x", O_RDWR | O_CREAT, 0755);
	write(x, code, sizeof code);
	int (*fn)(void) = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, x, 0);
	if ((void *)fn == MAP_FAILED)
		P("exec mapping %s", ename(errno));
	else
		R(fn());
	/* big file, sparse touches */
	int big = open("big", O_RDWR | O_CREAT, 0644);
	R(ftruncate(big, 1l << 32));
	char *bm = mmap(NULL, 1l << 32, RW, MAP_SHARED, big, 0);
	T(bm != MAP_FAILED);
	if (bm != MAP_FAILED) {
		bm[0] = 1;
		bm[3l << 30] = 2;
		bm[(1l << 32) - 1] = 3;
		pread(big, b, 1, 3l << 30);
		P("%d", b[0]);
	}
	return 0;
}
