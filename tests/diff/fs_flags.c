/* O_TMPFILE, O_APPEND, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_TRUNC, O_SYNC, O_DIRECT. */
#include "diff.h"
#include <sys/xattr.h>

int main(void)
{
	struct stat s;
	char b[64], path[64];
	put("f", "0123456789");
	mkdir("d", 0755);
	put("d/g", "in");
	symlink("f", "ln");

	/* O_TMPFILE */
	int t = open(".", O_TMPFILE | O_RDWR, 0640);
	R(t);
	if (t >= 0) {
		fstat(t, &s);
		P("tmpfile mode %o nlink %ld", s.st_mode, (long)s.st_nlink);
		R(write(t, "temp", 4));
		sprintf(path, "/proc/self/fd/%d", t);
		R(linkat(AT_FDCWD, path, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW));
		show(__LINE__, "linked");
		fstat(t, &s);
		P("nlink %ld", (long)s.st_nlink);
		close(t);
	}
	t = open("d", O_TMPFILE | O_RDWR | O_EXCL, 0600);
	R(t >= 0);
	sprintf(path, "/proc/self/fd/%d", t);
	R(linkat(AT_FDCWD, path, AT_FDCWD, "linked2", AT_SYMLINK_FOLLOW));
	close(t);
	R(open(".", O_TMPFILE | O_RDONLY, 0600));
	R(open("f", O_TMPFILE | O_RDWR, 0600));
	R(open("none", O_TMPFILE | O_RDWR, 0600));
	R(open(".", O_TMPFILE | O_RDWR | O_CREAT, 0600));

	/* O_PATH */
	int p = open("f", O_PATH | O_RDWR | O_APPEND);
	R(p >= 0);
	P("flags %o", fcntl(p, F_GETFL));
	R(read(p, b, 1));
	R(fsync(p));
	R(fchmod(p, 0600));
	R(ftruncate(p, 0));
	R(lseek(p, 0, SEEK_SET));
	R(fstat(p, &s));
	R(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, p, 0) == MAP_FAILED && errno == EBADF);
	R(syscall(SYS_getdents64, p, b, 64));
	R(fgetxattr(p, "user.x", b, 1));
	R(openat(p, "x", O_RDONLY));
	sprintf(path, "/proc/self/fd/%d", p);
	int again = open(path, O_RDWR);
	R(again >= 0);
	R(read(again, b, 3));
	P("%.3s", b);
	struct pollfd pf = { p, POLLIN, 0 };
	R(poll(&pf, 1, 0));
	P("revents %x", pf.revents);
	close(p);
	int pd = open("d", O_PATH | O_DIRECTORY);
	int g = openat(pd, "g", O_RDONLY);
	R(g >= 0);
	R(fchdir(pd));
	R(fchdir(open("..", O_PATH)));
	R(open("f", O_PATH | O_DIRECTORY));
	R(open("none", O_PATH | O_CREAT, 0644));
	int pl = open("ln", O_PATH | O_NOFOLLOW);
	fstat(pl, &s);
	T(S_ISLNK(s.st_mode));
	sprintf(path, "/proc/self/fd/%d", pl);
	R(open(path, O_RDONLY));
	chmod("f", 0);
	CHILD({ setuid(1000); R(open("f", O_PATH) >= 0); R(open("f", O_RDONLY)); });
	chmod("f", 0644);

	/* O_APPEND and O_TRUNC */
	int a = open("f", O_RDWR | O_APPEND);
	R(lseek(a, 2, SEEK_SET));
	R(read(a, b, 2));
	R(write(a, "++", 2));
	R(lseek(a, 0, SEEK_CUR));
	int a2 = open("f", O_WRONLY | O_APPEND);
	R(write(a2, "--", 2));
	R(write(a, "..", 2));
	show(__LINE__, "f");
	R(ftruncate(a, 3));
	R(write(a, "end", 3));
	show(__LINE__, "f");
	R(fcntl(a, F_SETFL, 0));
	R(lseek(a, 0, SEEK_SET));
	R(write(a, "S", 1));
	show(__LINE__, "f");
	R(close(open("f", O_RDONLY | O_TRUNC)));
	show(__LINE__, "f");

	R(fcntl(open("f", O_RDWR | O_SYNC), F_GETFL));
	R(fcntl(open("f", O_RDWR | O_DSYNC), F_GETFL));
	R(fcntl(open("f", O_RDONLY | O_NOATIME), F_GETFL));
	R(fcntl(open("f", O_RDONLY | O_NOFOLLOW), F_GETFL));
	R(fcntl(open("d", O_RDONLY | O_DIRECTORY), F_GETFL));
	R(fcntl(open("f", O_RDONLY | O_CREAT | O_TRUNC | O_NOCTTY, 0), F_GETFL));
	R(fcntl(open("f", O_RDONLY | O_ASYNC), F_GETFL));
	R(open("f", O_RDONLY | 040000000) >= 0);

	/* unlinked but open */
	int u = open("u", O_RDWR | O_CREAT, 0644), u2;
	write(u, "alive", 5);
	R(unlink("u"));
	R(pread(u, b, 5, 0));
	R(fstat(u, &s));
	P("nlink %ld size %ld", (long)s.st_nlink, (long)s.st_size);
	R(ftruncate(u, 2));
	R(fchmod(u, 0600));
	sprintf(path, "/proc/self/fd/%d", u);
	ssize_t n = readlink(path, b, 63);
	b[n > 0 ? n : 0] = 0;
	P("link ends %s", strrchr(b, '/') ? strrchr(b, '/') : b);
	u2 = open(path, O_RDONLY);
	R(u2 >= 0);
	R(pread(u2, b, 5, 0));
	put("u", "new one");
	R(pread(u, b, 5, 0));
	show(__LINE__, "u");
	return 0;
}
