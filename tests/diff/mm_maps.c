/* What /proc/self/maps, smaps_rollup, statm and /proc/self/mem tell; process_vm_readv. */
#include "fault.h"

static void find(int line, void *p)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char l[512], perm[8], name[256];
	unsigned long a, b, off, ino;
	unsigned maj, min;
	while (f && fgets(l, sizeof l, f)) {
		name[0] = 0;
		if (sscanf(l, "%lx-%lx %7s %lx %x:%x %lu %255s", &a, &b, perm, &off, &maj, &min, &ino, name) < 7)
			say(line, "odd line");
		if (a <= (unsigned long)p && (unsigned long)p < b)
			say(line, "pages %lu %s off %lx ino %s name %s", (b - a) / PAGE, perm, off, ino ? "set" : "0",
			    strrchr(name, '/') ? strrchr(name, '/') : name);
	}
	if (f)
		fclose(f);
}

int main(void)
{
	char *base = (char *)0x350000000000;
	put("file", "data");
	int fd = open("file", O_RDWR);
	ftruncate(fd, 8 * PAGE);

	mmap(base, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	find(__LINE__, base);
	mmap(base + 3 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	find(__LINE__, base);
	mprotect(base + PAGE, PAGE, PROT_NONE);
	find(__LINE__, base);
	find(__LINE__, base + PAGE);
	find(__LINE__, base + 2 * PAGE);
	mmap(base + 16 * PAGE, 2 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 2 * PAGE);
	find(__LINE__, base + 16 * PAGE);
	mmap(base + 18 * PAGE, 2 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 4 * PAGE);
	find(__LINE__, base + 16 * PAGE);
	mmap(base + 24 * PAGE, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0);
	find(__LINE__, base + 24 * PAGE);
	mmap(base + 32 * PAGE, PAGE, PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	find(__LINE__, base + 32 * PAGE);
	unlink("file");
	find(__LINE__, (void *)main);

	FILE *f = fopen("/proc/self/maps", "r");
	char l[512];
	int stack = 0, vdso = 0, heap = 0, vvar = 0;
	unsigned long last = 0, a, b, bad = 0;
	malloc(100);
	while (fgets(l, sizeof l, f)) {
		stack += strstr(l, "[stack]") != NULL;
		vdso += strstr(l, "[vdso]") != NULL;
		vvar += strstr(l, "[vvar]") != NULL;
		heap += strstr(l, "[heap]") != NULL;
		sscanf(l, "%lx-%lx", &a, &b);
		bad += a < last || b <= a;
		last = b;
	}
	P("stack %d vdso %d heap %d out of order %lu", stack, vdso, heap, bad);

	/* /proc/self/mem */
	int m = open("/proc/self/mem", O_RDWR);
	T(m >= 0);
	char c[8];
	base[0] = 'm';
	R(pread(m, c, 1, (off_t)base));
	P("%c", c[0]);
	R(pwrite(m, "W", 1, (off_t)base));
	P("%c", base[0]);
	R(pread(m, c, 1, 8));
	R(pread(m, c, 1, (off_t)(base + PAGE)));

	/* process_vm_readv and writev on oneself */
	struct iovec lo = { c, 4 }, re = { base, 4 };
	memcpy(base, "vmrd", 4);
	R(process_vm_readv(getpid(), &lo, 1, &re, 1, 0));
	P("%.4s", c);
	re.iov_base = BAD;
	R(process_vm_readv(getpid(), &lo, 1, &re, 1, 0));
	R(process_vm_readv(99999, &lo, 1, &re, 1, 0));
	R(process_vm_readv(getpid(), &lo, 1, &re, 1, 1));
	re.iov_base = base + 8;
	R(process_vm_writev(getpid(), &lo, 1, &re, 1, 0));
	P("%.4s", base + 8);

	unsigned long size, rss;
	f = fopen("/proc/self/statm", "r");
	T(fscanf(f, "%lu %lu", &size, &rss) == 2 && size >= rss && rss > 0);
	char *t = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(t, 1, 4 << 20);
	unsigned long size2, rss2;
	f = fopen("/proc/self/statm", "r");
	T(fscanf(f, "%lu %lu", &size2, &rss2) == 2);
	T(size2 - size >= 1024 && size2 - size < 1200);
	T(rss2 >= rss + 900);
	return 0;
}
