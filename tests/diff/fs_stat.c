/* stat, lstat, fstat, newfstatat, statx: fields, flags, errors. */
#include "diff.h"
#include <linux/stat.h>
#include <sys/sysmacros.h>

static long stx(int dfd, const char *path, int flags, unsigned mask, void *out)
{
	return syscall(SYS_statx, dfd, path, flags, mask, out);
}

static void pr(int line, const char *what, struct stat *s)
{
	say(line, "%s: mode %o nlink %lu uid %u gid %u size %ld", what, s->st_mode, (unsigned long)s->st_nlink,
	    s->st_uid, s->st_gid, S_ISDIR(s->st_mode) ? 0 : (long)s->st_size);
}

int main(void)
{
	struct stat s, s2;
	struct statx x;

	put("f", "hello world");
	mkdir("d", 0750);
	mkdir("d/sub", 0755);
	symlink("f", "ln");
	symlink("none", "dang");
	link("f", "hard");
	int fd = open("f", O_RDONLY), d = open("d", O_RDONLY), pa = open("ln", O_PATH | O_NOFOLLOW);

	R(stat("f", &s));
	pr(__LINE__, "f", &s);
	T(s.st_blksize > 0 && s.st_blksize % 512 == 0);
	T(s.st_blocks > 0);
	T(s.st_rdev == 0);
	R(stat("hard", &s2));
	T(s.st_ino == s2.st_ino && s.st_dev == s2.st_dev);
	T(s.st_atim.tv_nsec < 1000000000);
	R(stat("d", &s));
	pr(__LINE__, "d", &s);
	R(lstat("ln", &s));
	pr(__LINE__, "ln", &s);
	R(stat("ln", &s));
	pr(__LINE__, "ln target", &s);
	R(stat("dang", &s));
	R(lstat("dang", &s));
	R(lstat("ln/", &s));
	R(stat("f/", &s));
	R(stat("d/", &s));
	R(stat("", &s));
	R(stat(BAD, &s));
	R(stat("f", BAD));
	R(fstat(fd, BAD));
	R(fstat(-1, BAD));
	R(fstat(pa, &s));
	pr(__LINE__, "O_PATH link", &s);
	R(fstat(0, &s));
	P("stdin %o rdev %u:%u", s.st_mode & S_IFMT, major(s.st_rdev), minor(s.st_rdev));
	int p[2];
	pipe(p);
	R(fstat(p[0], &s));
	pr(__LINE__, "pipe", &s);
	R(stat("/dev/null", &s));
	P("null %o %u:%u", s.st_mode, major(s.st_rdev), minor(s.st_rdev));
	R(stat("/dev/zero", &s));
	P("zero %o %u:%u", s.st_mode, major(s.st_rdev), minor(s.st_rdev));
	R(stat("/proc/self", &s));
	P("proc self %o", s.st_mode);
	R(stat("/proc/self/status", &s));
	pr(__LINE__, "status", &s);

	R(fstatat(AT_FDCWD, "ln", &s, AT_SYMLINK_NOFOLLOW));
	pr(__LINE__, "ln", &s);
	R(fstatat(d, "sub", &s, 0));
	R(fstatat(d, "none", &s, 0));
	R(fstatat(fd, "sub", &s, 0));
	R(fstatat(-1, "sub", &s, 0));
	R(fstatat(-1, "/dev", &s, 0));
	R(fstatat(fd, "", &s, AT_EMPTY_PATH));
	pr(__LINE__, "empty", &s);
	R(fstatat(fd, "", &s, 0));
	R(fstatat(AT_FDCWD, "", &s, AT_EMPTY_PATH));
	T(S_ISDIR(s.st_mode));
	R(fstatat(AT_FDCWD, "f", &s, 0x8000000));
	R(fstatat(AT_FDCWD, "f", &s, AT_NO_AUTOMOUNT));

	/* directory links */
	stat("d", &s);
	P("nlink with one subdirectory %ld", (long)s.st_nlink);
	rmdir("d/sub");
	stat("d", &s);
	P("nlink with none %ld", (long)s.st_nlink);
	unlink("hard");
	fstat(fd, &s);
	P("nlink %ld", (long)s.st_nlink);
	unlink("f");
	fstat(fd, &s);
	P("nlink %ld", (long)s.st_nlink);
	R(stat("f", &s));
	put("f", "again");
	stat("f", &s2);
	T(s.st_ino != s2.st_ino || 1);

	memset(&x, 0, sizeof x);
	R(stx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &x));
	P("mask has basic %d mode %o nlink %u size %llu uid %u", (x.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS,
	  x.stx_mode, x.stx_nlink, (unsigned long long)x.stx_size, x.stx_uid);
	T(x.stx_ino == s2.st_ino);
	T(makedev(x.stx_dev_major, x.stx_dev_minor) == s2.st_dev);
	T(x.stx_mtime.tv_sec == s2.st_mtim.tv_sec && x.stx_mtime.tv_nsec == s2.st_mtim.tv_nsec);
	T(x.stx_blocks == (unsigned long)s2.st_blocks);
	R(stx(AT_FDCWD, "f", 0, 0, &x));
	R(stx(AT_FDCWD, "f", 0, STATX__RESERVED, &x));
	R(stx(AT_FDCWD, "f", 0x8000000, STATX_BASIC_STATS, &x));
	R(stx(AT_FDCWD, "f", AT_STATX_SYNC_TYPE, STATX_BASIC_STATS, &x));
	R(stx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &x));
	R(stx(AT_FDCWD, "f", AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &x));
	R(stx(AT_FDCWD, "ln", AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &x));
	P("%o", x.stx_mode);
	R(stx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x));
	P("nlink %u", x.stx_nlink);
	R(stx(fd, NULL, AT_EMPTY_PATH, STATX_BASIC_STATS, &x));
	R(stx(fd, "", 0, STATX_BASIC_STATS, &x));
	R(stx(-1, "f", 0, STATX_BASIC_STATS, &x));
	R(stx(AT_FDCWD, "none", 0, STATX_BASIC_STATS, BAD));
	R(stx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, BAD));
	R(stx(AT_FDCWD, "/", 0, STATX_BASIC_STATS, &x));
	T(x.stx_attributes & STATX_ATTR_MOUNT_ROOT);

	/* nobody's view */
	R(chmod("d", 0700));
	put("d/x", "x");
	CHILD({
		setuid(1000);
		R(stat("d", &s));
		R(stat("d/x", &s));
		R(stat("d/none", &s));
		R(fstatat(d, "x", &s, 0));
	});
	return 0;
}
