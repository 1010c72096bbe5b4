/* mknod, mknodat, device nodes of /dev. */
#include "diff.h"
#include <sys/sysmacros.h>

static void m(int line, const char *n)
{
	struct stat s;
	if (lstat(n, &s))
		say(line, "%s %s", n, ename(errno));
	else
		say(line, "%s %o %u:%u", n, s.st_mode, major(s.st_rdev), minor(s.st_rdev));
}

int main(void)
{
	char b[16];
	R(mknod("reg", S_IFREG | 0666, 0));
	m(__LINE__, "reg");
	R(mknod("reg0", 0644, 0));
	m(__LINE__, "reg0");
	R(mknod("fifo", S_IFIFO | 0666, 0));
	m(__LINE__, "fifo");
	R(mknod("sock", S_IFSOCK | 0666, 0));
	m(__LINE__, "sock");
	R(open("sock", O_RDONLY));
	R(mknod("dir", S_IFDIR | 0755, 0));
	R(mknod("lnk", S_IFLNK | 0755, 0));
	R(mknod("odd", 0070000 | 0755, 0));
	R(mknod("reg", S_IFREG | 0666, 0));
	R(mknod("none/x", S_IFREG | 0666, 0));
	R(mknod("x/", S_IFREG | 0666, 0));
	R(mknod("", S_IFREG | 0666, 0));
	R(mknod(BAD, S_IFREG | 0666, 0));
	int d = open(".", O_RDONLY);
	R(mknodat(d, "at", S_IFIFO | 0600, 0));
	R(mknodat(-1, "at", S_IFIFO | 0600, 0));
	R(mkfifo("fifo", 0600));
	CHILD({ setuid(1000); R(mknod("n1", S_IFCHR | 0666, makedev(1, 3))); R(mkfifo("n2", 0600)); });

	/* the usual devices */
	int n = open("/dev/null", O_RDWR), z = open("/dev/zero", O_RDWR), f = open("/dev/full", O_RDWR);
	int u = open("/dev/urandom", O_RDWR);
	R(read(n, b, 16));
	R(write(n, b, 16));
	R(write(n, BAD, 16));
	R(read(n, BAD, 16));
	memset(b, 1, 16);
	R(read(z, b, 16));
	T(b[0] == 0 && b[15] == 0);
	R(read(z, BAD, 16));
	R(write(z, b, 16));
	R(write(z, BAD, 16));
	memset(b, 1, 16);
	R(read(f, b, 16));
	T(b[0] == 0);
	R(write(f, b, 16));
	R(write(f, b, 0));
	R(pread(z, b, 4, 100));
	R(pwrite(n, b, 4, 100));
	R(read(u, b, 16));
	R(read(u, BAD, 16));
	R(write(u, b, 16));
	R(ftruncate(n, 5));
	R(open("/dev/null", O_RDWR | O_TRUNC | O_CREAT, 0644));
	R(open("/dev/null", O_RDWR | O_CREAT | O_EXCL, 0644));
	R(open("/dev/null", O_RDONLY | O_DIRECTORY));
	char *m1 = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, z, 0);
	T(m1 != MAP_FAILED);
	P("%d", m1[100]);
	m1[100] = 3;
	char *m2 = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, z, 0);
	T(m2 != MAP_FAILED);
	m2[0] = 1;
	CHILD({ m2[0] = 9; });
	P("shared zero %d", m2[0]);
	R(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, n, 0) != MAP_FAILED);
	for (int i = 0; i < 8; i++) {
		static const char *names[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom",
			"/dev/tty", "/dev/ptmx", "/dev/fd" };
		m(__LINE__, names[i]);
	}
	m(__LINE__, "/dev/pts/ptmx");
	R(open("/dev/stdin", O_RDONLY) >= 0);
	R(open("/dev/fd/1", O_WRONLY) >= 0);
	R(open("/dev/fd/99", O_WRONLY));
	return 0;
}
