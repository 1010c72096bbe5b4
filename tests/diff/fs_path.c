/* Path walking: lengths, dots, slashes, links, search permission, order of errors. */
#include "diff.h"

int main(void)
{
	struct stat s;
	char *p = malloc(10000), *e;
	mkdir("a", 0755);
	mkdir("a/b", 0755);
	put("a/f", "F");
	put("f", "f");
	symlink("a", "la");
	symlink("loop2", "loop1");
	symlink("loop1", "loop2");
	symlink("f/", "lfs");
	symlink("a/", "las");
	symlink("..", "a/up");

	R(stat("a/b/../f", &s));
	R(stat("a/./b/./../f", &s));
	R(stat("a//b///..//f", &s));
	R(stat("a/f/..", &s));
	R(stat("a/f/.", &s));
	R(stat("a/f/", &s));
	R(stat("a/none/..", &s));
	R(stat("a/none/../f", &s));
	R(stat("la/b", &s));
	R(stat("la/../f", &s));
	R(stat("a/up/f", &s));
	R(stat("a/up/a/up/a/up/f", &s));
	R(stat("lfs", &s));
	R(stat("las", &s));
	R(stat("las/f", &s));
	R(lstat("las", &s));
	T(S_ISLNK(s.st_mode));
	R(lstat("las/", &s));
	T(S_ISDIR(s.st_mode));
	R(stat("loop1", &s));
	R(stat("loop1/x", &s));
	R(lstat("loop1", &s));
	R(lstat("loop1/", &s));
	R(unlink("loop1/"));
	R(stat("f/none", &s));
	R(stat("//", &s));
	R(stat("/..", &s));
	R(stat("/../../..", &s));
	R(stat("/./dev/../dev/null", &s));
	R(stat("...", &s));
	R(stat("a/...", &s));

	/* long names and paths */
	memset(p, 'x', 10000);
	p[255] = 0;
	R(stat(p, &s));
	p[255] = 'x';
	p[256] = 0;
	R(stat(p, &s));
	R(open(p, O_CREAT | O_RDWR, 0644));
	p[256] = '/';
	p[257] = 0;
	R(stat(p, &s));
	memset(p, '/', 4095);
	p[4094] = 'f';
	p[4095] = 0;
	R(stat(p, &s) == -1 && errno == ENOENT);
	memset(p, '/', 4096);
	p[4096] = 0;
	R(stat(p, &s));
	for (int i = 0; i < 4094; i += 2)
		memcpy(p + i, "./", 2);
	strcpy(p + 4094, "f");
	R(stat(p, &s));
	strcpy(p + 4094, "ff");
	R(stat(p, &s));
	/* a path that ends at the edge of memory, with and without its end */
	e = edge(2);
	memcpy(e, "f", 2);
	R(stat(e, &s));
	memcpy(e, "ff", 2);
	R(stat(e, &s));
	e = edge(4096);
	memset(e, 'y', 4096);
	R(stat(e, &s));
	e = edge(4095);
	memset(e, 'y', 4095);
	R(stat(e, &s));

	/* deep: more than PATH_MAX altogether */
	int depth = 0;
	char name[201];
	memset(name, 'd', 200);
	name[200] = 0;
	int top = open(".", O_RDONLY);
	for (; depth < 25; depth++)
		if (mkdir(name, 0755) || chdir(name))
			break;
	P("depth %d", depth);
	R(syscall(SYS_getcwd, p, 10000) > 0);
	R(getcwd(p, 4096) != NULL);
	put("deepfile", "x");
	R(stat("deepfile", &s));
	R(stat("../deepfile", &s));
	fchdir(top);

	/* names with any byte */
	put("sp ace", "");
	put("\xff\xfe\x01", "");
	put("new\nline", "");
	R(stat("\xff\xfe\x01", &s));
	R(stat("new\nline", &s));
	R(stat("sp ace", &s));
	R(stat("F", &s));

	/* search permission */
	chmod("a", 0644);
	CHILD({
		setuid(1000);
		R(stat("a", &s));
		R(stat("a/f", &s));
		R(stat("a/none", &s));
		R(stat("a/..", &s));
		R(stat("a/.", &s));
		R(stat("la/f", &s));
		R(open("a", O_RDONLY) >= 0);
	});
	chmod("a", 0711);
	CHILD({
		setuid(1000);
		R(stat("a/f", &s));
		R(open("a", O_RDONLY) >= 0);
		R(stat("a/none", &s));
	});
	/* across the mounts */
	R(stat("/proc/../dev", &s));
	R(stat("/proc/self/../self/status", &s));
	R(stat("/dev/pts/..", &s));
	struct stat dv;
	stat("/dev", &dv);
	T(s.st_ino == dv.st_ino && s.st_dev == dv.st_dev);
	R(stat("/proc/self/fd/0/x", &s));
	R(mkdir("/proc/x", 0755));
	R(unlink("/proc/self/status"));
	R(rmdir("/proc"));
	R(rmdir("/dev/pts"));
	R(rename("/dev/pts", "/dev/pts2"));
	return 0;
}
