/* open, openat, creat: flags, modes, errors and their order. */
#include "diff.h"

int main(void)
{
	struct stat st;
	char b[8];
	int fd, d;

	R(open("none", O_RDONLY));
	R(open("f", O_RDWR | O_CREAT | O_EXCL, 0666));
	R(open("f", O_RDWR | O_CREAT | O_EXCL, 0666));
	R(stat("f", &st));
	P("mode %o size %ld nlink %ld", st.st_mode, (long)st.st_size, (long)st.st_nlink);
	R(write(3, "hello", 5));
	R(read(3, b, 1));
	R(fcntl(3, F_GETFL));
	R(fcntl(3, F_GETFD));
	R(close(3));
	R(open("f", O_RDONLY | O_CLOEXEC));
	R(fcntl(3, F_GETFD));
	R(write(3, "x", 1));
	R(read(3, b, 8));
	R(read(3, b, 8));
	R(close(3));
	R(open("f", O_WRONLY));
	R(read(3, b, 1));
	R(close(3));
	R(open("f", O_WRONLY | O_TRUNC));
	R(fstat(3, &st));
	T(st.st_size == 0);
	R(close(3));

	R(creat("c", 0777));
	R(fstat(3, &st));
	P("mode %o", st.st_mode);
	R(fcntl(3, F_GETFL));
	R(close(3));
	R(creat("c", 0400));
	R(stat("c", &st));
	P("mode stays %o", st.st_mode);
	R(close(3));
	fd = open("m", O_RDWR | O_CREAT, 07777);
	fstat(fd, &st);
	P("mode %o", st.st_mode);
	close(fd);
	umask(077);
	fd = open("m2", O_RDWR | O_CREAT, 0666);
	fstat(fd, &st);
	P("mode %o", st.st_mode);
	close(fd);
	umask(022);
	R(open("zero", O_RDWR | O_CREAT, 0));
	R(write(3, "ab", 2));
	R(close(3));

	R(mkdir("d", 0755));
	R(open("d", O_RDONLY));
	R(read(3, b, 1));
	R(write(3, b, 1));
	R(close(3));
	R(open("d", O_WRONLY));
	R(open("d", O_RDWR));
	R(open("d", O_RDONLY | O_CREAT, 0644));
	R(open("d", O_RDONLY | O_CREAT | O_EXCL, 0644));
	R(open("d", O_RDONLY | O_TRUNC));
	R(open("d/", O_RDONLY | O_DIRECTORY));
	R(close(3));
	R(open("f", O_RDONLY | O_DIRECTORY));
	R(open("f/", O_RDONLY));
	R(open("f/x", O_RDONLY));
	R(open("new/", O_WRONLY | O_CREAT, 0644));
	R(open("none/x", O_WRONLY | O_CREAT, 0644));
	R(open("", O_RDONLY));
	R(open(BAD, O_RDONLY));
	R(open(KBAD, O_RDONLY));
	R(syscall(SYS_open, "f", O_RDONLY | O_LARGEFILE));
	R(close(3));

	d = open("d", O_RDONLY | O_DIRECTORY);
	R(openat(d, "in", O_CREAT | O_RDWR, 0644));
	R(close(4));
	R(openat(d, "none", O_RDONLY));
	R(openat(d, "..", O_RDONLY));
	R(close(4));
	R(openat(d, "../f", O_RDONLY));
	R(close(4));
	R(openat(d, "/", O_RDONLY));
	R(close(4));
	R(openat(-1, "/", O_RDONLY));
	R(close(4));
	R(openat(-1, "x", O_RDONLY));
	R(openat(999, "x", O_RDONLY));
	R(openat(999, BAD, O_RDONLY));
	R(openat(AT_FDCWD, "f", O_RDONLY));
	R(openat(4, "x", O_RDONLY));
	R(close(4));
	R(close(d));

	R(symlink("f", "ln"));
	R(symlink("nowhere", "dangling"));
	R(symlink("loop", "loop"));
	R(symlink("d", "dl"));
	R(open("ln", O_RDONLY));
	R(close(3));
	R(open("ln", O_RDONLY | O_NOFOLLOW));
	R(open("dangling", O_RDONLY));
	R(open("dangling", O_RDWR | O_CREAT | O_EXCL, 0644));
	R(open("dangling", O_RDWR | O_CREAT, 0644));
	R(close(3));
	R(stat("nowhere", &st));
	R(open("loop", O_RDONLY));
	R(open("loop", O_RDONLY | O_NOFOLLOW));
	R(open("dl", O_RDONLY | O_NOFOLLOW));
	R(open("dl", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
	R(open("dl/", O_RDONLY | O_NOFOLLOW));
	R(close(3));
	R(open("dl/in", O_RDONLY | O_NOFOLLOW));
	R(close(3));

	/* access mode 3, flags that are ignored, flags that need the right owner */
	R(open("f", 3));
	R(read(3, b, 1));
	R(write(3, b, 1));
	R(close(3));
	R(open("f", O_RDONLY | O_NOATIME));
	R(close(3));
	R(open("f", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_SYNC | O_DSYNC));
	R(fcntl(3, F_GETFL));
	R(close(3));
	R(open("f", O_WRONLY | O_APPEND | O_TRUNC));
	R(fcntl(3, F_GETFL));
	R(close(3));
	R(open("d", O_RDONLY | O_CREAT | O_DIRECTORY, 0644));
	R(open("nonex", O_RDONLY | O_CREAT | O_DIRECTORY, 0644));
	R(stat("nonex", &st));

	/* who may open what */
	R(chmod("f", 0600));
	R(chmod("d", 0711));
	CHILD({
		if (setgid(1000) || setuid(1000))
			_exit(1);
		R(open("f", O_RDONLY));
		R(open("f", O_WRONLY));
		R(open("d", O_RDONLY));
		R(open("d/in", O_RDONLY));
		R(open("d/in", O_RDWR));
		R(open("d/new", O_RDWR | O_CREAT, 0644));
		R(open("d/in", O_RDONLY | O_NOATIME));
		R(open("d/in", O_RDONLY | O_TRUNC));
	});
	/* a program that runs may not be written, a written one not run */
	R(open("/proc/self/exe", O_RDWR));
	R(open("/proc/self/exe", O_RDONLY));
	return 0;
}
