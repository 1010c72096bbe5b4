/* chdir, fchdir, getcwd, chroot, umask. */
#include "diff.h"

static void cwd(int line)
{
	char b[4096];
	long n = syscall(SYS_getcwd, b, sizeof b);
	if (n < 0)
		say(line, "cwd %s", ename(errno));
	else
		say(line, "cwd %s (%ld)", strncmp(b, "/dev/shm", 8) == 0 ? b + 8 : strncmp(b, "/scratch", 8) == 0 ? b + 8 : b,
		    strncmp(b, "/dev/shm", 8) == 0 || strncmp(b, "/scratch", 8) == 0 ? n - 8 : n);
}

int main(void)
{
	char b[100], *e = edge(4);
	mkdir("d", 0755);
	mkdir("d/e", 0755);
	mkdir("x", 0600);
	put("f", "");
	symlink("d/e", "ln");
	int d = open("d", O_RDONLY), f = open("f", O_RDONLY), pa = open("d/e", O_PATH), top = open(".", O_RDONLY);

	cwd(__LINE__);
	R(chdir("d"));
	cwd(__LINE__);
	R(chdir("e/.."));
	cwd(__LINE__);
	R(chdir("../ln"));
	cwd(__LINE__);
	R(chdir("none"));
	R(chdir(""));
	R(chdir(BAD));
	R(fchdir(top));
	R(chdir("f"));
	R(chdir("f/"));
	R(fchdir(f));
	R(fchdir(-1));
	R(fchdir(pa));
	cwd(__LINE__);
	R(fchdir(d));
	cwd(__LINE__);
	R(chdir("/"));
	cwd(__LINE__);
	R(chdir(".."));
	cwd(__LINE__);
	R(syscall(SYS_getcwd, b, 2));
	R(syscall(SYS_getcwd, b, 1));
	R(syscall(SYS_getcwd, b, 0));
	R(syscall(SYS_getcwd, BAD, 100));
	R(syscall(SYS_getcwd, e, 100));
	fchdir(top);
	R(syscall(SYS_getcwd, e, 100));
	R(syscall(SYS_getcwd, e, 4));

	/* renamed and removed */
	R(chdir("d/e"));
	R(rename("../e", "../e2"));
	cwd(__LINE__);
	R(rmdir("../e2"));
	cwd(__LINE__);
	R(chdir("."));
	R(open("made", O_CREAT | O_RDWR, 0644));
	R(access(".", F_OK));
	R(chdir(".."));
	cwd(__LINE__);
	/* the child has its own */
	CHILD({ chdir("/"); cwd(__LINE__); });
	cwd(__LINE__);
	fchdir(top);
	CHILD({
		setuid(1000);
		R(chdir("x"));
		R(chdir("d"));
		R(chroot("."));
	});

	R(chroot("none"));
	R(chroot("f"));
	R(chroot(""));
	R(chroot(BAD));
	CHILD({
		R(chroot("d"));
		cwd(__LINE__);
		R(access("f", F_OK));
		R(chdir("/"));
		cwd(__LINE__);
		R(access("/f", F_OK));
		R(chdir(".."));
		R(access("../../../f", F_OK));
		R(mkdir("/in", 0755));
		symlink("/in", "/abs");
		R(chdir("abs"));
		cwd(__LINE__);
		R(fchdir(top));
		cwd(__LINE__);
		R(access("f", F_OK));
		R(chroot("."));
		R(access("/f", F_OK));
	});
	R(access("d/in", F_OK));
	R(access("d/abs", F_OK));

	P("umask %o", umask(0));
	P("umask %o", umask(07777));
	P("umask %o", umask(022));
	CHILD({ P("inherited %o", umask(0)); });
	P("own %o", umask(022));
	return 0;
}
