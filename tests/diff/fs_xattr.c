/* Extended attributes: set, get, list, remove and their l and f forms. */
#include "diff.h"
#include <sys/xattr.h>

static int cmp(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }

static void list(int line, const char *f)
{
	char b[1000], *n[20];
	ssize_t r = listxattr(f, b, sizeof b);
	int k = 0;
	for (ssize_t i = 0; i < r && k < 20; i += strlen(b + i) + 1)
		if (strncmp(b + i, "security.selinux", 16))
			n[k++] = b + i;
	qsort(n, k, sizeof *n, cmp);
	char o[500] = "";
	for (int i = 0; i < k; i++) {
		strcat(o, " ");
		strcat(o, n[i]);
	}
	say(line, "%s:%s%s", f, r < 0 ? ename(errno) : "", o);
}

int main(void)
{
	char b[100];
	put("f", "");
	mkdir("d", 0755);
	symlink("f", "ln");
	mkfifo("p", 0644);
	int fd = open("f", O_RDONLY), pa = open("f", O_PATH);

	R(getxattr("f", "user.a", b, 100));
	R(setxattr("f", "user.a", "hello", 5, 0));
	R(getxattr("f", "user.a", b, 100));
	P("%.5s", b);
	R(getxattr("f", "user.a", b, 0));
	R(getxattr("f", "user.a", b, 4));
	R(getxattr("f", "user.a", BAD, 100));
	R(setxattr("f", "user.a", "again", 5, XATTR_CREATE));
	R(setxattr("f", "user.b", "x", 1, XATTR_REPLACE));
	R(setxattr("f", "user.a", "xy", 2, XATTR_REPLACE));
	R(setxattr("f", "user.a", "xy", 2, 7));
	R(setxattr("f", "user.b", "", 0, XATTR_CREATE));
	R(getxattr("f", "user.b", b, 100));
	list(__LINE__, "f");
	R(listxattr("f", b, 0));
	R(listxattr("f", b, 3));
	R(setxattr("f", "plain", "x", 1, 0));
	R(setxattr("f", "user.", "x", 1, 0));
	R(setxattr("f", "", "x", 1, 0));
	R(setxattr("f", "user.c", BAD, 1, 0));
	R(setxattr("f", BAD, "x", 1, 0));
	R(setxattr("f", "user.c", "x", 70000, 0));
	char name[400] = "user.";
	memset(name + 5, 'n', 300);
	R(setxattr("f", name, "x", 1, 0));
	name[255] = 0;
	R(setxattr("f", name, "x", 1, 0));
	R(removexattr("f", name));
	R(setxattr("none", "user.a", "x", 1, 0));
	R(setxattr("f", "trusted.a", "x", 1, 0));
	R(getxattr("f", "trusted.a", b, 100));
	R(setxattr("f", "bogus.a", "x", 1, 0));
	R(setxattr("p", "user.a", "x", 1, 0));
	R(getxattr("p", "user.a", b, 1));
	R(lsetxattr("ln", "user.a", "x", 1, 0));
	R(lgetxattr("ln", "user.a", b, 1));
	R(setxattr("ln", "user.through", "x", 1, 0));
	list(__LINE__, "f");
	R(llistxattr("ln", b, 100));
	R(lremovexattr("ln", "user.a"));
	R(removexattr("ln", "user.through"));
	R(setxattr("d", "user.d", "dir", 3, 0));
	list(__LINE__, "d");
	R(fsetxattr(fd, "user.f", "fd", 2, 0));
	R(fgetxattr(fd, "user.f", b, 100));
	R(flistxattr(fd, b, 0));
	R(fremovexattr(fd, "user.f"));
	R(fremovexattr(fd, "user.f"));
	R(fsetxattr(-1, "user.f", "fd", 2, 0));
	R(fgetxattr(pa, "user.a", b, 100));
	R(fsetxattr(pa, "user.a", b, 1, 0));
	list(__LINE__, "f");
	R(removexattr("f", "user.a"));
	R(removexattr("f", "user.b"));
	R(removexattr("f", "user.b"));
	list(__LINE__, "f");
	chmod("f", 0400);
	setxattr("f", "user.r", "1", 1, 0);
	CHILD({
		setuid(1000);
		R(getxattr("f", "user.r", b, 100));
		R(setxattr("f", "user.r", "2", 1, 0));
		list(__LINE__, "f");
	});
	R(getxattr("/proc/self/status", "user.x", b, 1));
	R(setxattr("/proc/self/status", "user.x", b, 1, 0));
	return 0;
}
