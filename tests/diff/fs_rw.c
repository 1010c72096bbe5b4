/* read, write and their p, v and v2 forms: counts, offsets, faults, limits. */
#include "diff.h"

static long rv2(int fd, struct iovec *v, int n, long off, int flags)
{
	return preadv2(fd, v, n, off, flags);
}

int main(void)
{
	char b[64], c[64];
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	struct iovec v[4];
	char *e = edge(4);
	memset(b, 'b', sizeof b);

	R(write(fd, "0123456789abcdef", 16));
	R(lseek(fd, 0, SEEK_SET));
	R(read(fd, c, 0));
	R(read(fd, BAD, 0));
	R(read(fd, BAD, 1));
	R(read(fd, KBAD, 1));
	R(write(fd, BAD, 0));
	R(write(fd, BAD, 1));
	R(read(-1, BAD, 1));
	R(write(-1, BAD, 1));
	R(read(fd, c, (size_t)-1));
	R(lseek(fd, 0, SEEK_CUR));
	R(lseek(fd, 0, SEEK_SET));
	R(read(fd, e, 8));
	P("edge %.4s", e);
	R(lseek(fd, 0, SEEK_SET));
	R(pread(fd, c, 4, 10));
	R(pread(fd, c, 40, 10));
	R(pread(fd, c, 4, 16));
	R(pread(fd, c, 4, 1000));
	R(pread(fd, c, 4, -1));
	R(pread(-1, c, 4, -1));
	R(pwrite(fd, "ZZ", 2, 4));
	R(pwrite(fd, "ZZ", 2, -1));
	R(pwrite(fd, "end", 3, 20));
	show(__LINE__, "f");
	R(lseek(fd, 0, SEEK_CUR));
	R(lseek(fd, 0, SEEK_END));

	/* vectors */
	v[0] = (struct iovec){ c, 2 };
	v[1] = (struct iovec){ c + 10, 0 };
	v[2] = (struct iovec){ c + 20, 3 };
	R(lseek(fd, 0, SEEK_SET));
	R(readv(fd, v, 3));
	P("%.2s %.3s", c, c + 20);
	R(readv(fd, v, 0));
	R(readv(fd, v, -1));
	R(readv(fd, v, 1025));
	R(readv(fd, BAD, 1));
	R(readv(-1, BAD, 1));
	R(readv(fd, BAD, 0));
	v[1].iov_len = (size_t)-1;
	R(readv(fd, v, 3));
	R(lseek(fd, 0, SEEK_SET));
	v[0] = (struct iovec){ c, 2 };
	v[1] = (struct iovec){ BAD, 4 };
	R(readv(fd, v, 2));
	R(lseek(fd, 0, SEEK_CUR));
	v[0] = (struct iovec){ BAD, 2 };
	R(readv(fd, v, 1));
	v[0] = (struct iovec){ "AB", 2 };
	v[1] = (struct iovec){ "CD", 2 };
	R(writev(fd, v, 2));
	R(pwritev(fd, v, 2, 30));
	R(pwritev(fd, v, 2, -1));
	R(preadv(fd, v, 0, 0));
	show(__LINE__, "f");
	v[0] = (struct iovec){ c, 4 };
	R(preadv(fd, v, 1, 30));
	R(preadv(fd, v, 1, -5));
	R(rv2(fd, v, 1, 30, 0));
	R(lseek(fd, 2, SEEK_SET));
	R(rv2(fd, v, 1, -1, 0));
	R(lseek(fd, 0, SEEK_CUR));
	R(rv2(fd, v, 1, -2, 0));
	R(rv2(fd, v, 1, 0, 0x40000000));
	R(rv2(fd, v, 1, 0, RWF_HIPRI));
	v[0] = (struct iovec){ "++", 2 };
	R(pwritev2(fd, v, 1, 0, RWF_APPEND));
	R(pwritev2(fd, v, 1, 0, RWF_DSYNC));
	R(pwritev2(fd, v, 1, -1, RWF_SYNC));
	show(__LINE__, "f");
	R(pwritev2(fd, v, 1, 0, 0x40000000));

	/* partial copies from user memory */
	memcpy(e, "edge", 4);
	R(pwrite(fd, e, 8, 0));
	show(__LINE__, "f");

	/* append */
	int a = open("f", O_WRONLY | O_APPEND);
	R(lseek(a, 0, SEEK_CUR));
	R(write(a, "tail", 4));
	R(lseek(a, 0, SEEK_CUR));
	R(pwrite(a, "PW", 2, 0));
	R(lseek(a, 0, SEEK_CUR));
	R(lseek(fd, 0, SEEK_END));
	show(__LINE__, "f");
	close(a);

	/* file size limit */
	signal(SIGXFSZ, SIG_IGN);
	struct rlimit rl = { 100, RLIM_INFINITY };
	R(setrlimit(RLIMIT_FSIZE, &rl));
	R(pwrite(fd, b, 20, 90));
	R(pwrite(fd, b, 20, 100));
	R(pwrite(fd, b, 0, 100));
	R(ftruncate(fd, 101));
	R(ftruncate(fd, 100));
	CHILD({ signal(SIGXFSZ, SIG_DFL); R(pwrite(fd, b, 1, 200)); });
	rl.rlim_cur = RLIM_INFINITY;
	R(setrlimit(RLIMIT_FSIZE, &rl));
	R(pwrite(fd, "x", 1, 0x7fffffffffffffff));
	R(pwrite(fd, "x", 1, 1l << 62));

	/* wrong kinds of file */
	int p[2];
	pipe(p);
	R(pread(p[0], c, 1, 0));
	R(pwrite(p[1], c, 1, 0));
	v[0] = (struct iovec){ c, 1 };
	R(preadv(p[0], v, 1, 0));
	R(rv2(p[0], v, 1, 0, 0));
	R(fcntl(p[0], F_SETFL, O_NONBLOCK));
	R(rv2(p[0], v, 1, -1, 0));
	R(rv2(p[0], v, 1, -1, RWF_NOWAIT));
	int o = open(".", O_RDONLY);
	R(read(o, c, 1));
	R(pread(o, c, 1, 0));
	R(write(o, c, 1));
	int pa = open("f", O_PATH);
	R(read(pa, c, 1));
	R(write(pa, c, 1));
	R(pread(pa, c, 1, 0));
	/* a big one in one call */
	char *big = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 8 << 20; i++)
		big[i] = i * 7 >> 3;
	R(pwrite(fd, big, 8 << 20, 5));
	char *in = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	R(pread(fd, in, 8 << 20, 5));
	T(memcmp(big, in, 8 << 20) == 0);
	return 0;
}
