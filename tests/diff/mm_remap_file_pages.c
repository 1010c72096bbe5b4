/* remap_file_pages(2): other parts of a shared mapping's file, and what is refused. */
#define _GNU_SOURCE
#include "diff.h"
#include <sys/mman.h>
#include <sys/syscall.h>

#define PG 4096UL

static void pages(int line, char *m, int n)
{
	char b[64] = "";
	for (int i = 0; i < n; i++)
		sprintf(b + strlen(b), "%c ", m[i * PG]);
	say(line, "%s", b);
}

#define RFP(a, len, prot, off, flags) R(syscall(SYS_remap_file_pages, (a), (len), (prot), (off), (flags)))

int main(void)
{
	char *m;
	int fd = memfd_create("x", 0);
	ftruncate(fd, 8 * PG);
	m = mmap(0, 8 * PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	for (int i = 0; i < 8; i++)
		m[i * PG] = 'a' + i;
	RFP(m, PG, 0, 7, 0);
	pages(__LINE__, m, 8);
	RFP(m + 2 * PG, 3 * PG, 0, 0, MAP_NONBLOCK);
	pages(__LINE__, m, 8);
	/* what is written through one is seen through the other */
	m[2 * PG] = 'Z';
	m[0] = 'Y';
	char c[2];
	pread(fd, c, 1, 0);
	pread(fd, c + 1, 1, 7 * PG);
	P("%c %c", c[0], c[1]);
	/* over what was moved before: neighbours of the same file */
	RFP(m, 8 * PG, 0, 0, 0);
	pages(__LINE__, m, 8);
	/* unaligned */
	RFP(m + 100, PG + 5, 0, 3, 0);
	pages(__LINE__, m, 8);
	RFP(m, 100, 0, 3, 0);
	RFP(m, 0, 0, 3, 0);
	RFP(m, PG, PROT_READ, 3, 0);
	RFP(m, PG, PROT_NONE, -1UL, 0);
	RFP(m, PG, PROT_NONE, -1UL >> 12, 0);
	RFP(m, PG, PROT_NONE, -1UL >> 13, 0);
	RFP(m, -1UL, 0, 0, 0);
	RFP(-PG, 2 * PG, 0, 0, 0);
	RFP(m, 9 * PG, 0, 0, 0);
	RFP(m, PG, 0, 0, 0xffffff);
	/* beyond the end of the file: there, but not to be touched */
	RFP(m, PG, 0, 100, 0);
	/* a hole, another file, another kind */
	munmap(m + 4 * PG, PG);
	RFP(m + 3 * PG, 3 * PG, 0, 0, 0);
	RFP(m + 4 * PG, PG, 0, 0, 0);
	int fd2 = memfd_create("y", 0);
	ftruncate(fd2, 8 * PG);
	mmap(m + 4 * PG, PG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd2, 0);
	RFP(m + 3 * PG, 3 * PG, 0, 0, 0);
	RFP(m + 4 * PG, PG, 0, 1, 0);
	char *p = mmap(0, 2 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	RFP(p, PG, 0, 1, 0);
	char *a = mmap(0, 2 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	RFP(a, PG, 0, 1, 0);
	char *s = mmap(0, 4 * PG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 4; i++)
		s[i * PG] = '0' + i;
	RFP(s, PG, 0, 3, 0);
	pages(__LINE__, s, 4);
	/* rights are those of what is there */
	mprotect(s + PG, PG, PROT_READ);
	RFP(s + PG, PG, 0, 2, 0);
	pages(__LINE__, s, 4);
	R(read(open("/proc/self/exe", O_RDONLY), s + PG, 1));
	RFP(s, 2 * PG, 0, 0, 0);
	pages(__LINE__, s, 4);
	R(read(open("/proc/self/exe", O_RDONLY), s + PG, 1));
	return 0;
}
