/* mkdir, rmdir, unlink, unlinkat. */
#include "diff.h"

int main(void)
{
	struct stat s;
	char longname[300];
	memset(longname, 'n', sizeof longname);

	R(mkdir("d", 0777));
	R(stat("d", &s));
	P("%o", s.st_mode);
	R(mkdir("d", 0777));
	R(mkdir("d/", 0777));
	R(mkdir("t/", 0755));
	R(mkdir("t///", 0755));
	R(mkdir("none/x", 0755));
	R(mkdir(".", 0755));
	R(mkdir("..", 0755));
	R(mkdir("/", 0755));
	R(mkdir("d/.", 0755));
	R(mkdir("d/..", 0755));
	R(mkdir("new/.", 0755));
	R(mkdir("", 0755));
	R(mkdir(BAD, 0755));
	longname[255] = 0;
	R(mkdir(longname, 0755) == 0);
	R(rmdir(longname) == 0);
	longname[255] = 'n';
	longname[256] = 0;
	R(mkdir(longname, 0755) == 0);
	put("f", "x");
	R(mkdir("f", 0755));
	R(mkdir("f/x", 0755));
	symlink("none", "dang");
	symlink("d", "dl");
	R(mkdir("dang", 0755));
	R(mkdir("dang/", 0755));
	R(mkdir("dl/in", 0755));
	R(mkdir("sticky", 01777));
	stat("sticky", &s);
	P("%o", s.st_mode);
	R(mkdir("suid", 06755));
	stat("suid", &s);
	P("%o", s.st_mode);
	/* set-group-ID directories pass the group on */
	R(mkdir("sg", 0755));
	R(chown("sg", 0, 77));
	R(chmod("sg", 02755));
	R(mkdir("sg/sub", 0755));
	stat("sg/sub", &s);
	P("%o gid %u", s.st_mode, s.st_gid);
	put("sg/f", "");
	stat("sg/f", &s);
	P("%o gid %u", s.st_mode, s.st_gid);

	R(rmdir("d"));
	R(rmdir("d/in/"));
	R(rmdir("d/in"));
	R(rmdir("d/."));
	R(rmdir("d/.."));
	R(rmdir("."));
	R(rmdir("/"));
	R(rmdir(""));
	R(rmdir(BAD));
	R(rmdir("f"));
	R(rmdir("f/"));
	R(rmdir("dl"));
	R(rmdir("dl/"));
	R(rmdir("d"));
	R(rmdir("d"));

	R(unlink("t"));
	R(unlink("t/"));
	R(unlink("f/"));
	R(unlink("f/x"));
	R(unlink("none"));
	R(unlink(""));
	R(unlink("."));
	R(unlink(".."));
	R(unlink(BAD));
	R(unlink("dang"));
	R(unlink("dl/"));
	R(unlink("dl"));
	R(unlink("f"));
	R(unlink("f"));

	int d = open("t", O_RDONLY);
	R(mkdirat(d, "x", 0755));
	R(mkdirat(d, "x", 0755));
	R(mkdirat(-1, "x", 0755));
	R(mkdirat(0, "x", 0755));
	R(unlinkat(d, "x", 0));
	R(unlinkat(d, "x", AT_REMOVEDIR));
	R(unlinkat(d, "x", AT_REMOVEDIR));
	R(unlinkat(d, "x", 0x10));
	R(unlinkat(-1, "x", 0));
	R(unlinkat(d, ".", AT_REMOVEDIR));

	/* an open directory that is removed */
	mkdir("gone", 0755);
	int g = open("gone", O_RDONLY);
	R(rmdir("gone"));
	R(openat(g, "x", O_CREAT | O_RDWR, 0644));
	R(mkdirat(g, "x", 0755));
	R(fstat(g, &s));
	P("nlink %ld", (long)s.st_nlink);
	R(openat(g, "..", O_RDONLY) >= 0);
	R(openat(g, ".", O_RDONLY) >= 0);
	R(fchdir(g));
	char cwd[100];
	R(getcwd(cwd, 100));
	R(open("y", O_CREAT | O_RDWR, 0644));
	R(chdir(".."));

	/* sticky: only the owner removes */
	put("sticky/mine", "");
	put("sticky/theirs", "");
	chown("sticky/theirs", 1000, 1000);
	CHILD({
		setgid(1000);
		setuid(1000);
		R(unlink("sticky/mine"));
		R(rename("sticky/mine", "sticky/z"));
		R(unlink("sticky/theirs"));
		R(mkdir("sticky/new", 0755));
		R(mkdir("no", 0755));
		R(rmdir("t"));
		R(rmdir("none"));
	});
	return 0;
}
