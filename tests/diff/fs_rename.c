/* rename, renameat, renameat2. */
#include "diff.h"

static long rn2(const char *a, const char *b, unsigned f)
{
	return syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, f);
}

static void reset(void)
{
	unlink("a");
	unlink("b");
	put("a", "A");
	put("b", "B");
}

int main(void)
{
	struct stat s, t;
	reset();
	stat("a", &s);
	R(rename("a", "c"));
	stat("c", &t);
	T(s.st_ino == t.st_ino);
	R(rename("a", "c"));
	R(rename("c", "c"));
	R(rename("c", "b"));
	show(__LINE__, "b");
	reset();
	link("a", "a2");
	R(rename("a", "a2"));
	R(access("a", F_OK));
	R(access("a2", F_OK));
	R(rename("a", "none/x"));
	R(rename("none/x", "a"));
	R(rename("a", ""));
	R(rename("", "a"));
	R(rename(BAD, "a"));
	R(rename("a", BAD));
	R(rename("a", "b/"));
	R(rename("a/", "b"));
	R(rename("a", "newdir/"));

	mkdir("d", 0755);
	mkdir("e", 0755);
	mkdir("full", 0755);
	put("full/x", "");
	R(rename("a", "d"));
	R(rename("d", "a"));
	R(rename("d", "e"));
	R(access("d", F_OK));
	R(rename("e", "full"));
	R(rename("full", "e"));
	R(rename("e", "e/sub"));
	R(mkdir("e/sub", 0755));
	R(rename("e", "e/sub/deep"));
	R(rename("e/sub", "e"));
	R(rename("e/.", "q"));
	R(rename("e", "e/.."));
	R(rename(".", "q"));
	R(rename("e", "."));
	R(rename("/", "q"));
	R(rename("e", "q/"));
	R(rename("q/", "e"));
	symlink("b", "ln");
	R(rename("ln", "ln2"));
	R(lstat("ln2", &s));
	T(S_ISLNK(s.st_mode));
	R(rename("a", "ln2"));
	show(__LINE__, "b");
	show(__LINE__, "ln2");
	symlink("e", "dl");
	R(rename("dl/", "dl2"));
	R(rename("dl", "e"));

	reset();
	R(rn2("a", "b", 1));
	R(rn2("a", "fresh", 1));
	R(rn2("none", "fresh2", 1));
	R(rn2("fresh", "a", 0));
	R(rn2("a", "b", 2));
	show(__LINE__, "a");
	show(__LINE__, "b");
	R(rn2("a", "none", 2));
	R(rn2("a", "e", 2));
	R(stat("a", &s));
	T(S_ISDIR(s.st_mode));
	R(rn2("a", "e", 2));
	R(rn2("e", "e/sub", 2));
	R(rn2("a", "b", 3));
	R(rn2("a", "b", 8));
	R(rn2("a", "a", 1));

	int d = open("e", O_RDONLY);
	R(renameat(AT_FDCWD, "a", d, "moved"));
	R(renameat(d, "moved", AT_FDCWD, "a"));
	R(renameat(-1, "a", d, "moved"));
	R(renameat(d, "moved", -1, "a"));
	R(renameat(0, "a", d, "moved"));

	/* across mounts */
	R(rename("a", "/proc/x"));
	R(rename("a", access("/dev/shm/x", F_OK) ? "/dev/x" : "/dev/x"));
	R(rename("/dev/null", "a"));

	/* over an open file: the old content stays with its descriptor */
	reset();
	char c;
	int fb = open("b", O_RDONLY);
	R(rename("a", "b"));
	R(read(fb, &c, 1));
	P("old content %c", c);
	R(fstat(fb, &s));
	P("nlink %ld", (long)s.st_nlink);
	show(__LINE__, "b");
	/* an open file keeps working under its new name */
	fb = open("b", O_RDWR);
	R(rename("b", "e/z"));
	R(pwrite(fb, "new", 3, 0));
	show(__LINE__, "e/z");
	/* parents' link counts */
	mkdir("p1", 0755);
	mkdir("p2", 0755);
	mkdir("p1/k", 0755);
	R(rename("p1/k", "p2/k"));
	stat("p1", &s);
	stat("p2", &t);
	P("nlinks %ld %ld", (long)s.st_nlink, (long)t.st_nlink);
	/* the current directory follows */
	char cwd[200];
	R(chdir("p2/k"));
	R(rename("../../p2", "../../p3"));
	getcwd(cwd, sizeof cwd);
	P("cwd ends %s", strrchr(cwd, 'p'));
	R(chdir("../.."));
	put("p3/k/f", "");
	CHILD({
		setgid(1000);
		setuid(1000);
		R(rename("p3/k/f", "p3/k/g"));
		R(rename("none", "p3/k/g"));
	});
	return 0;
}
