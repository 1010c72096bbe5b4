/* mprotect: splitting, gaps, upgrades, executable memory. */
#include "fault.h"

#define RW (PROT_READ | PROT_WRITE)

static int count_maps(char *from, char *to)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	int n = 0;
	unsigned long a, b;
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "%lx-%lx", &a, &b) == 2 && (char *)a >= from && (char *)b <= to)
			n++;
	if (f)
		fclose(f);
	return n;
}

int main(void)
{
	fault_init();
	volatile char *p = mmap((void *)0x300000000000, 8 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	put("f", "0123");
	int ro = open("f", O_RDONLY), rw = open("f", O_RDWR);
	char *c = (char *)p;

	memset(c, 1, 8 * PAGE);
	P("maps %d", count_maps(c, c + 8 * PAGE));
	R(mprotect(c + PAGE, PAGE, PROT_READ));
	P("maps %d", count_maps(c, c + 8 * PAGE));
	FAULT(p[PAGE] = 2, p + PAGE);
	FAULT((void)p[PAGE], p);
	FAULT(p[PAGE - 1] = 2, p);
	R(mprotect(c + PAGE, PAGE, PROT_NONE));
	FAULT((void)p[PAGE], p + PAGE);
	R(mprotect(c + PAGE, PAGE, RW));
	P("content kept %d maps %d", p[PAGE], count_maps(c, c + 8 * PAGE));
	R(mprotect(c + 1, PAGE, PROT_READ));
	R(mprotect(c, 0, PROT_READ));
	R(mprotect(c + 1, 0, PROT_READ));
	R(mprotect(c, 1, PROT_READ));
	FAULT(p[PAGE - 1] = 2, p + PAGE - 1);
	R(mprotect(c, PAGE, RW));
	R(mprotect(c, PAGE, 0x100));
	R(mprotect(c, PAGE, PROT_GROWSDOWN | PROT_GROWSUP));
	R(mprotect(c, PAGE, RW | PROT_GROWSDOWN));
	R(mprotect(c, -1ul, RW));
	R(mprotect((char *)(1ul << 47), PAGE, RW));
	R(mprotect((char *)0x310000000000, PAGE, RW));
	/* a gap: what is before it is changed, then ENOMEM */
	R(munmap(c + 3 * PAGE, PAGE));
	R(mprotect(c + 2 * PAGE, 3 * PAGE, PROT_READ));
	FAULT(p[2 * PAGE] = 1, p + 2 * PAGE);
	FAULT(p[4 * PAGE] = 1, 0);
	/* files */
	c = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ro, 0);
	R(mprotect(c, PAGE, RW));
	R(mprotect(c, PAGE, PROT_READ | PROT_EXEC));
	c = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, ro, 0);
	R(mprotect(c, PAGE, RW));
	FAULT(c[0] = 'X', 0);
	c = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, rw, 0);
	R(mprotect(c, PAGE, RW));
	FAULT(c[0] = 'Y', 0);
	show(__LINE__, "f");

	/* code made at run time */
	static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
	unsigned char *x = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(x, code, sizeof code);
	int (*fn)(void) = (int (*)(void))x;
	FAULT(fn(), x);
	R(mprotect(x, PAGE, PROT_READ | PROT_EXEC));
	R(fn());
	FAULT(x[1] = 43, x + 1);
	R(mprotect(x, PAGE, RW | PROT_EXEC));
	x[1] = 43;
	R(fn());
	x[1] = 44;
	R(fn());
	R(mprotect(x, PAGE, PROT_READ));
	FAULT(fn(), x);
	R(mprotect(x, PAGE, PROT_EXEC));
	R(fn());
	/* the same code by two views of one memory */
	int m = memfd_create("code", 0);
	ftruncate(m, PAGE);
	unsigned char *w = mmap(NULL, PAGE, RW, MAP_SHARED, m, 0);
	fn = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, m, 0);
	memcpy(w, code, sizeof code);
	R(fn());
	w[1] = 45;
	R(fn());
	/* read-only at the time a system call writes */
	int pp[2];
	pipe(pp);
	write(pp[1], "ab", 2);
	c = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(c + PAGE, PAGE, PROT_READ);
	R(read(pp[0], c + PAGE, 2));
	R(read(pp[0], c + PAGE - 1, 2));
	return 0;
}
