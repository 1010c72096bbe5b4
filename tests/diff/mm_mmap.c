/* mmap and munmap: flags, protections, placement, errors. */
#include "fault.h"

#define RW (PROT_READ | PROT_WRITE)
#define AP (MAP_PRIVATE | MAP_ANONYMOUS)

static long mm(void *a, size_t n, int prot, int flags, int fd, off_t off)
{
	void *p = mmap(a, n, prot, flags, fd, off);
	if (p == MAP_FAILED)
		return -1;
	munmap(p, n);
	return 0;
}

int main(void)
{
	fault_init();
	volatile char *p;
	char b[16];
	put("f", "file content");
	int fd = open("f", O_RDWR), ro = open("f", O_RDONLY), wo = open("f", O_WRONLY), d = open(".", O_RDONLY), pp[2];
	pipe(pp);

	R(mm(NULL, 0, RW, AP, -1, 0));
	R(mm(NULL, 1, RW, AP, -1, 0));
	R(mm(NULL, 4096, RW, MAP_ANONYMOUS, -1, 0));
	R(mm(NULL, 4096, RW, MAP_PRIVATE, -1, 0));
	R(mm(NULL, 4096, RW, MAP_PRIVATE, 99, 0));
	R(mm(NULL, 4096, RW, MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	R(mm(NULL, 4096, RW, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0));
	R(mm(NULL, 4096, RW, MAP_PRIVATE, fd, 1));
	R(mm(NULL, 4096, RW, MAP_PRIVATE, fd, 4096));
	R(mm(NULL, 4096, RW, MAP_PRIVATE, fd, -4096));
	R(mm(NULL, -1ul, RW, AP, -1, 0));
	R(mm(NULL, 1ul << 47, RW, AP, -1, 0));
	R(mm(NULL, 4096, RW, MAP_SHARED, ro, 0));
	R(mm(NULL, 4096, PROT_READ, MAP_SHARED, ro, 0));
	R(mm(NULL, 4096, RW, MAP_PRIVATE, ro, 0));
	R(mm(NULL, 4096, PROT_READ, MAP_SHARED, wo, 0));
	R(mm(NULL, 4096, PROT_WRITE, MAP_SHARED, wo, 0));
	R(mm(NULL, 4096, PROT_READ, MAP_PRIVATE, d, 0));
	R(mm(NULL, 4096, PROT_READ, MAP_PRIVATE, pp[0], 0));
	R(mm((void *)4097, 4096, RW, AP | MAP_FIXED, -1, 0));
	R(mm((void *)(1ul << 47), 4096, RW, AP | MAP_FIXED, -1, 0));
	R(mm((void *)((1ul << 47) - 4096), 4096, RW, AP | MAP_FIXED, -1, 0));
	R(mm((void *)-4096ul, 4096, RW, AP | MAP_FIXED, -1, 0));
	R(mm(NULL, 4096, 0x100, AP, -1, 0));
	R(mm(NULL, 4096, RW, AP | MAP_NORESERVE | MAP_STACK, -1, 0));
	R(mm(NULL, 1ul << 40, PROT_NONE, AP | MAP_NORESERVE, -1, 0));
	R(mm(NULL, 1ul << 36, RW, AP | MAP_NORESERVE, -1, 0));
	R(mm(NULL, 1 << 20, RW, AP | MAP_POPULATE, -1, 0));
	R(mm(NULL, 4096, RW, AP | MAP_GROWSDOWN, -1, 0));
	R(mm(NULL, 4096, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0));

	/* a hint is taken when free, rounded down; else ignored */
	char *h = mmap((void *)0x200000000000, 4096, RW, AP, -1, 0);
	T(h == (void *)0x200000000000);
	T(mmap((void *)0x200000000000, 4096, RW, AP, -1, 0) != h);
	T(mmap((void *)0x200000002123, 4096, RW, AP, -1, 0) == h + 0x2000);
	errno = 0;
	T(mmap(h, 4096, RW, AP | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
	T(mmap(h - 4096, 8192, RW, AP | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
	T(mmap(h + 4096, 4096, RW, AP | MAP_FIXED_NOREPLACE, -1, 0) == h + 4096);
	h[0] = 7;
	T(mmap(h, 4096, RW, AP | MAP_FIXED, -1, 0) == h);
	P("replaced by zero: %d", h[0]);
	T(((uintptr_t)mmap(NULL, 100, RW, AP, -1, 0) & 4095) == 0);
	T((long)mmap(NULL, 4096, RW, AP | MAP_32BIT, -1, 0) < (1l << 32));

	/* munmap */
	p = mmap(NULL, 5 * PAGE, RW, AP, -1, 0);
	memset((void *)p, 'x', 5 * PAGE);
	R(munmap((void *)(p + PAGE), PAGE));
	FAULT(p[PAGE] = 1, p + PAGE);
	FAULT(p[0] = 1, p);
	FAULT(p[2 * PAGE] = 1, p);
	R(munmap((void *)p, 3 * PAGE));
	R(munmap((void *)p, 3 * PAGE));
	FAULT(p[3 * PAGE] = 1, 0);
	R(munmap((void *)(p + 1), PAGE));
	R(munmap((void *)p, 0));
	R(munmap((void *)p, -1ul));
	R(munmap((void *)(1ul << 47), PAGE));
	R(munmap((void *)(p + 3 * PAGE), 1));
	FAULT(p[3 * PAGE] = 1, p + 3 * PAGE);
	FAULT(p[4 * PAGE] = 1, 0);

	/* protections */
	p = mmap(NULL, PAGE, PROT_NONE, AP, -1, 0);
	FAULT((void)p[5], p + 5);
	FAULT(p[6] = 1, p + 6);
	R(write(pp[1], (void *)p, 1));
	p = mmap(NULL, PAGE, PROT_READ, AP, -1, 0);
	FAULT((void)p[7], p + 7);
	FAULT(p[8] = 1, p + 8);
	write(pp[1], "abc", 3);
	R(read(pp[0], (void *)p, 1));
	R(read(pp[0], b, 3));
	p = mmap(NULL, PAGE, PROT_WRITE, AP, -1, 0);
	FAULT(p[9] = 1, 0);
	FAULT((void)p[9], 0);
	/* the address is what faulted for wild ones too */
	FAULT(*(volatile char *)0 = 1, 0);
	FAULT(*(volatile char *)0x1000 = 1, 0x1000);
	FAULT(*(volatile char *)0xffffffffff600000 = 1, 0xffffffffff600000);
	FAULT(*(volatile char *)0x8000000000000000 = 1, 0);
	FAULT(*(volatile char *)0xffff880000000000 = 1, 0xffff880000000000);

	/* file mapping basics */
	p = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
	P("%.12s %d", (char *)p, p[12]);
	close(fd);
	p[0] = 'F';
	show(__LINE__, "f");
	char *q = mmap(NULL, PAGE, RW, MAP_PRIVATE, ro, 0);
	q[1] = 'I';
	show(__LINE__, "f");
	pwrite(wo, "Z", 1, 2);
	P("%.4s %c%c%c", (char *)p, q[0], q[1], q[3]);
	p[100] = 'b';
	struct stat s;
	fstat(ro, &s);
	P("writing past the end grows nothing: %ld", (long)s.st_size);
	return 0;
}
