/* link, linkat, symlink, symlinkat, readlink, readlinkat. */
#include "diff.h"

int main(void)
{
	struct stat s;
	char b[300], *e = edge(3);
	put("f", "F");
	mkdir("d", 0755);
	int d = open("d", O_RDONLY), f = open("f", O_RDONLY);

	R(link("f", "g"));
	stat("f", &s);
	P("nlink %ld", (long)s.st_nlink);
	R(link("f", "g"));
	R(link("f", "d"));
	R(link("d", "d2"));
	R(link("none", "x"));
	R(link("f", "none/x"));
	R(link("f/", "x"));
	R(link("f", "x/"));
	R(link("", "x"));
	R(link("f", ""));
	R(link(BAD, "x"));
	R(link("f", BAD));
	R(link("f", "/proc/x"));
	R(link("/proc/self/status", "x"));
	symlink("f", "ln");
	symlink("none", "dang");
	R(link("ln", "lnhard"));
	lstat("lnhard", &s);
	P("a link to a link %d nlink %ld", S_ISLNK(s.st_mode), (long)s.st_nlink);
	R(link("dang", "danghard"));
	R(linkat(AT_FDCWD, "ln", d, "followed", AT_SYMLINK_FOLLOW));
	lstat("d/followed", &s);
	P("followed regular %d nlink %ld", S_ISREG(s.st_mode), (long)s.st_nlink);
	R(linkat(AT_FDCWD, "f", d, "x", 0x10));
	R(linkat(-1, "f", d, "x", 0));
	R(linkat(AT_FDCWD, "f", -1, "x", 0));
	R(linkat(AT_FDCWD, "f", f, "x", 0));
	R(linkat(d, "followed", AT_FDCWD, "back", 0));
	sprintf(b, "/proc/self/fd/%d", f);
	R(linkat(AT_FDCWD, b, AT_FDCWD, "byproc", AT_SYMLINK_FOLLOW) == 0);
	unlink("byproc");
	unlink("back");
	unlink("g");
	unlink("d/followed");
	unlink("f");
	R(linkat(AT_FDCWD, b, AT_FDCWD, "revive", AT_SYMLINK_FOLLOW) == 0);
	put("f", "F");

	R(symlink("", "x"));
	R(symlink("x", ""));
	R(symlink("x", "f"));
	R(symlink("x", "d"));
	R(symlink("x", "dang"));
	R(symlink("x", "none/x"));
	R(symlink("x", "new/"));
	R(symlink(BAD, "y"));
	R(symlink("y", BAD));
	R(symlinkat("tgt", d, "s"));
	R(symlinkat("tgt", -1, "s"));
	R(symlinkat("tgt", f, "s"));
	R(lstat("d/s", &s));
	P("%o size %ld", s.st_mode, (long)s.st_size);
	char *big = malloc(5000);
	memset(big, 'x', 5000);
	big[4095] = 0;
	R(symlink(big, "big") == 0);
	big[4095] = 'x';
	big[4096] = 0;
	R(symlink(big, "big2") == 0);

	memset(b, '#', sizeof b);
	R(readlink("ln", b, sizeof b));
	P("%.3s", b);
	R(readlink("d/s", b, 2));
	P("%.4s", b);
	R(readlink("ln", b, 0));
	R(readlink("ln", b, -1));
	R(readlink("ln", BAD, 10));
	R(readlink("f", b, 10));
	R(readlink("d", b, 10));
	R(readlink("none", b, 10));
	R(readlink("", b, 10));
	R(readlink("ln/", b, 10));
	R(readlink("d/s", e, 10));
	P("%.3s", e);
	R(readlinkat(d, "s", b, 10));
	R(readlinkat(-1, "s", b, 10));
	int pa = open("ln", O_PATH | O_NOFOLLOW);
	R(readlinkat(pa, "", b, 10));
	R(readlinkat(d, "", b, 10));
	R(readlinkat(f, "", b, 10));
	R(readlink("/proc/self/cwd", b, sizeof b) > 0);
	ssize_t n = readlink("/proc/self/exe", b, sizeof b);
	P("exe %.*s", (int)n, b);
	n = readlink("/proc/self/fd/0", b, sizeof b);
	P("fd 0 %.*s", (int)n, b);
	n = readlink("/proc/self/root", b, sizeof b);
	P("root %.*s", (int)n, b);
	n = readlink("/proc/self", b, sizeof b);
	P("self is the pid %d", n > 0 && atoi(b) == getpid());

	/* chains */
	symlink("f", "c0");
	for (int i = 1; i < 45; i++) {
		char a[10], c[10];
		sprintf(a, "c%d", i - 1);
		sprintf(c, "c%d", i);
		symlink(a, c);
	}
	R(stat("c10", &s));
	R(stat("c39", &s));
	R(stat("c40", &s));
	R(stat("c44", &s));
	R(lstat("c44", &s));
	symlink(".", "dot");
	R(stat("dot/dot/dot/f", &s));
	symlink("d/../f", "rel");
	R(stat("rel", &s));
	symlink("f/", "slash");
	R(stat("slash", &s));
	R(lstat("slash", &s));
	return 0;
}
