/* truncate, ftruncate, fallocate with its modes. */
#include "diff.h"
#include <linux/falloc.h>

static void sz(int line, int fd)
{
	struct stat s;
	fstat(fd, &s);
	say(line, "size %ld blocks %s", (long)s.st_size, s.st_blocks ? "some" : "none");
}

static void hex(int line, int fd, off_t off)
{
	unsigned char b[8];
	ssize_t n = pread(fd, b, sizeof b, off);
	char o[40] = "";
	for (int i = 0; i < n; i++)
		sprintf(o + 3 * i, "%02x ", b[i]);
	say(line, "at %ld: %s", (long)off, o);
}

int main(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644), ro = open("f", O_RDONLY), d = open(".", O_RDONLY), p[2];
	char b[8192];
	memset(b, 'q', sizeof b);
	pipe(p);

	R(ftruncate(fd, 100));
	sz(__LINE__, fd);
	R(write(fd, b, 50));
	R(ftruncate(fd, 20));
	R(ftruncate(fd, 40));
	hex(__LINE__, fd, 16);
	R(lseek(fd, 0, SEEK_CUR));
	R(write(fd, "Z", 1));
	hex(__LINE__, fd, 46);
	R(ftruncate(fd, -1));
	R(ftruncate(ro, 5));
	R(ftruncate(-1, 5));
	R(ftruncate(d, 5));
	R(ftruncate(p[1], 5));
	R(truncate("f", 10));
	sz(__LINE__, fd);
	R(truncate("f", -1));
	R(truncate("none", 1));
	R(truncate(".", 1));
	R(truncate("", 1));
	R(truncate(BAD, 1));
	R(truncate("f/", 1));
	R(truncate("f", 1l << 40));
	sz(__LINE__, fd);
	R(truncate("f", 0));
	sz(__LINE__, fd);
	R(truncate("f", 0x7fffffffffffffff) == 0);
	R(truncate("f", 0));
	chmod("f", 0444);
	CHILD({ setuid(1000); R(truncate("f", 1)); });
	chmod("f", 0644);
	R(truncate("/proc/self/exe", 0));

	R(fallocate(fd, 0, 0, 0));
	R(fallocate(fd, 0, -1, 1));
	R(fallocate(fd, 0, 0, -1));
	R(fallocate(fd, 0, 0x7fffffffffffffff, 10));
	R(fallocate(ro, 0, 0, 10));
	R(fallocate(-1, 0, 0, 10));
	R(fallocate(d, 0, 0, 10));
	R(fallocate(p[1], 0, 0, 10));
	R(fallocate(fd, 0x8000, 0, 10));
	R(fallocate(fd, 0, 0, 10000));
	sz(__LINE__, fd);
	R(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100000));
	sz(__LINE__, fd);
	R(pwrite(fd, b, 8192, 0));
	R(pwrite(fd, b, 8192, 8192));
	R(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096));
	R(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4090, 10));
	hex(__LINE__, fd, 4086);
	hex(__LINE__, fd, 4096);
	R(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 16000, 100000));
	sz(__LINE__, fd);
	hex(__LINE__, fd, 15996);
	R(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 20));
	sz(__LINE__, fd);
	R(lseek(fd, 0, SEEK_DATA));
	R(fallocate(fd, 0x70, 0, 4096));
	/* through a mapping */
	R(ftruncate(fd, 8192));
	R(pwrite(fd, b, 8192, 0));
	char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	R(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096));
	P("mapped %d %d", m[4095], m[4096]);
	m[5000] = 'M';
	hex(__LINE__, fd, 4998);
	R(ftruncate(fd, 5001));
	R(ftruncate(fd, 8192));
	P("after cut %d %d", m[5000], m[5001]);
	R(posix_fallocate(fd, 0, 20000));
	R(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	R(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM));
	R(posix_fadvise(fd, 0, 0, 77));
	R(posix_fadvise(p[0], 0, 0, 0));
	R(posix_fadvise(-1, 0, 0, 0));
	R(readahead(fd, 0, 4096));
	R(readahead(-1, 0, 4096));
	R(readahead(p[0], 0, 4096));
	return 0;
}
