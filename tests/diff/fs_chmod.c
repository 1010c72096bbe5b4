/* chmod, fchmod, fchmodat, fchmodat2, chown, lchown, fchown, fchownat. */
#include "diff.h"
#include <grp.h>

static void m(int line, const char *name)
{
	struct stat s;
	if (lstat(name, &s))
		say(line, "%s %s", name, ename(errno));
	else
		say(line, "%s %o %u:%u", name, s.st_mode, s.st_uid, s.st_gid);
}

int main(void)
{
	put("f", "x");
	mkdir("d", 0755);
	put("d/g", "y");
	symlink("f", "ln");
	int fd = open("f", O_RDONLY), d = open("d", O_RDONLY), pa = open("f", O_PATH);
	int pl = open("ln", O_PATH | O_NOFOLLOW);

	R(chmod("f", 0));
	m(__LINE__, "f");
	R(chmod("f", 07777));
	m(__LINE__, "f");
	R(chmod("f", 0170644));
	m(__LINE__, "f");
	R(chmod("d", 03711));
	m(__LINE__, "d");
	R(chmod("none", 0644));
	R(chmod("", 0644));
	R(chmod(BAD, 0644));
	R(chmod("f/", 0644));
	R(chmod("ln", 0600));
	m(__LINE__, "ln");
	m(__LINE__, "f");
	R(fchmod(fd, 0640));
	R(fchmod(-1, 0640));
	R(fchmod(pa, 0640));
	m(__LINE__, "f");
	R(syscall(SYS_fchmodat, d, "g", 0700));
	R(syscall(SYS_fchmodat, -1, "g", 0700));
	m(__LINE__, "d/g");
	R(syscall(452, d, "g", 0711, 0));
	R(syscall(452, d, "g", 0711, 0x1));
	R(syscall(452, pa, "", 0604, AT_EMPTY_PATH));
	R(syscall(452, AT_FDCWD, "f", 0606, AT_SYMLINK_NOFOLLOW));
	m(__LINE__, "f");
	m(__LINE__, "d/g");
	R(chmod("/proc/self/status", 0644));

	R(chown("f", 1000, 1001));
	m(__LINE__, "f");
	R(chown("f", -1, -1));
	m(__LINE__, "f");
	R(chown("f", 5, -1));
	R(chown("f", -1, 6));
	m(__LINE__, "f");
	R(chown("none", 1, 1));
	R(chown(BAD, 1, 1));
	R(lchown("ln", 7, 8));
	m(__LINE__, "ln");
	m(__LINE__, "f");
	R(chown("ln", 9, 10));
	m(__LINE__, "ln");
	m(__LINE__, "f");
	R(fchown(fd, 11, 12));
	R(fchown(-1, 11, 12));
	R(fchown(pa, 11, 12));
	m(__LINE__, "f");
	R(fchownat(d, "g", 13, 14, 0));
	R(fchownat(d, "", 15, 16, AT_EMPTY_PATH));
	R(fchownat(pl, "", 17, 18, AT_EMPTY_PATH));
	R(fchownat(d, "", 15, 16, 0));
	R(fchownat(d, "g", 1, 1, 0x10000000));
	R(fchownat(AT_FDCWD, "ln", 19, 20, AT_SYMLINK_NOFOLLOW));
	m(__LINE__, "d/g");
	m(__LINE__, "d");
	m(__LINE__, "ln");
	m(__LINE__, "f");

	/* set-id bits go when owner or content changes */
	R(chown("f", 0, 0));
	R(chmod("f", 06755));
	R(chown("f", 1, 1));
	m(__LINE__, "f");
	R(chmod("f", 06745));
	R(chown("f", -1, -1));
	m(__LINE__, "f");
	R(chmod("d", 06755));
	R(chown("d", 1, 1));
	m(__LINE__, "d");
	R(chown("f", 0, 0));
	R(chmod("f", 06777));
	CHILD({
		setgid(1000);
		setuid(1000);
		int w = open("f", O_WRONLY);
		R(write(w, "z", 1));
	});
	m(__LINE__, "f");
	R(chmod("f", 06777));
	CHILD({ setgid(1000); setuid(1000); R(truncate("f", 0)); });
	m(__LINE__, "f");
	R(chmod("f", 06755));
	int w = open("f", O_WRONLY);
	R(write(w, "z", 1));
	m(__LINE__, "f");

	/* owners without privilege */
	R(chown("f", 1000, 1000));
	R(chmod("f", 0644));
	CHILD({
		gid_t g[] = { 2000, 2001 };
		setgroups(2, g);
		setgid(1000);
		setuid(1000);
		R(chmod("f", 0600));
		R(chmod("d/g", 0600));
		R(chown("f", 1000, 2000));
		R(chown("f", -1, 2001));
		R(chown("f", 1000, 3000));
		R(chown("f", 1001, -1));
		R(chown("f", 1000, -1));
		R(chown("f", -1, -1));
		R(chown("d/g", -1, -1));
		m(__LINE__, "f");
		R(chmod("f", 02755));
		m(__LINE__, "f");
		R(chown("f", 1000, 2000));
		m(__LINE__, "f");
	});
	/* setgid not for a foreign group */
	R(chown("f", 1000, 3000));
	CHILD({
		setgid(1000);
		setuid(1000);
		R(chmod("f", 02755));
		m(__LINE__, "f");
	});
	return 0;
}
