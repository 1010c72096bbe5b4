/* lseek: all whences, holes and data, overflow, kinds of file. */
#include "diff.h"

int main(void)
{
	char b[4096];
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	memset(b, 'd', sizeof b);

	R(lseek(fd, 0, SEEK_DATA));
	R(lseek(fd, 0, SEEK_HOLE));
	R(lseek(fd, 10, SEEK_SET));
	R(lseek(fd, -11, SEEK_CUR));
	R(lseek(fd, -5, SEEK_CUR));
	R(lseek(fd, -1, SEEK_SET));
	R(lseek(fd, 0, SEEK_END));
	R(lseek(fd, 100, SEEK_END));
	R(lseek(fd, 0, 5));
	R(lseek(fd, 0, -1));
	R(lseek(fd, 0x7fffffffffffffff, SEEK_CUR));
	R(lseek(-1, 0, SEEK_SET));
	R(lseek(-1, 0, 9));

	/* data at 0..4K, hole to 64K, data to 68K, hole to 128K */
	R(pwrite(fd, b, sizeof b, 0));
	R(pwrite(fd, b, sizeof b, 65536));
	R(ftruncate(fd, 131072));
	R(fsync(fd));
	R(lseek(fd, 0, SEEK_DATA));
	R(lseek(fd, 0, SEEK_HOLE));
	R(lseek(fd, 100, SEEK_HOLE));
	R(lseek(fd, 4096, SEEK_DATA));
	R(lseek(fd, 4096, SEEK_HOLE));
	R(lseek(fd, 65536, SEEK_HOLE));
	R(lseek(fd, 69632, SEEK_DATA));
	R(lseek(fd, 69632, SEEK_HOLE));
	R(lseek(fd, 131071, SEEK_HOLE));
	R(lseek(fd, 131072, SEEK_HOLE));
	R(lseek(fd, 131072, SEEK_DATA));
	R(lseek(fd, 131073, SEEK_HOLE));
	R(lseek(fd, -1, SEEK_DATA));
	R(lseek(fd, 0, SEEK_CUR));
	memset(b, 1, sizeof b);
	R(pread(fd, b, sizeof b, 8192));
	int nz = 0;
	for (unsigned i = 0; i < sizeof b; i++)
		nz += b[i] != 0;
	P("bytes of the hole that are not zero: %d", nz);

	int p[2], s = open(".", O_RDONLY), z = open("/dev/zero", O_RDONLY), n = open("/dev/null", O_RDWR);
	pipe(p);
	R(lseek(p[0], 0, SEEK_SET));
	R(lseek(p[0], 0, SEEK_CUR));
	R(lseek(p[1], 0, 77));
	R(lseek(s, 0, SEEK_SET));
	R(lseek(s, 0, SEEK_CUR));
	R(lseek(s, -1, SEEK_SET));
	R(lseek(z, 10, SEEK_SET));
	R(lseek(n, 10, SEEK_SET));
	R(lseek(n, 10, SEEK_END));
	R(lseek(0, 0, SEEK_CUR));

	/* the offset is shared with a child and a dup, not with another open */
	R(lseek(fd, 5, SEEK_SET));
	CHILD({ R(lseek(fd, 3, SEEK_CUR)); });
	R(lseek(fd, 0, SEEK_CUR));
	R(lseek(open("f", O_RDONLY), 0, SEEK_CUR));
	R(lseek(dup(fd), 0, SEEK_CUR));
	int pr = open("/proc/self/status", O_RDONLY);
	R(lseek(pr, 3, SEEK_SET));
	R(read(pr, b, 2));
	P("%.2s", b);
	return 0;
}
