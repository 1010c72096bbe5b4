/* utimensat, futimesat, utimes, utime, and which calls move which time. */
#include "diff.h"
#include <utime.h>

static struct stat st;

static void show_times(int line, const char *name)
{
	lstat(name, &st);
	say(line, "%s a %ld.%09ld m %ld.%09ld", name, (long)st.st_atim.tv_sec, st.st_atim.tv_nsec,
	    (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static struct stat before;
static void mark(const char *n) { lstat(n, &before); msleep(15); }
static int newer(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}
static void moved(int line, const char *what, const char *n)
{
	struct stat s;
	lstat(n, &s);
	say(line, "%s: %s m%d c%d", what, n, newer(s.st_mtim, before.st_mtim), newer(s.st_ctim, before.st_ctim));
}

int main(void)
{
	struct timespec t[2] = { { 1000, 123456789 }, { 2000, 987654321 } };
	struct timeval tv[2] = { { 3000, 111111 }, { 4000, 222222 } };
	struct utimbuf u = { 5000, 6000 };
	put("f", "x");
	mkdir("d", 0755);
	symlink("f", "ln");
	int fd = open("f", O_RDWR), pa = open("f", O_PATH);

	R(utimensat(AT_FDCWD, "f", t, 0));
	show_times(__LINE__, "f");
	R(utimes("f", tv));
	show_times(__LINE__, "f");
	R(utime("f", &u));
	show_times(__LINE__, "f");
	R(futimens(fd, t));
	show_times(__LINE__, "f");
	R(futimens(pa, t));
	R(utimensat(AT_FDCWD, "ln", (struct timespec[]){ { 1, 0 }, { 2, 0 } }, AT_SYMLINK_NOFOLLOW));
	show_times(__LINE__, "ln");
	show_times(__LINE__, "f");
	t[0].tv_nsec = UTIME_OMIT;
	t[1] = (struct timespec){ 77, 0 };
	R(utimensat(AT_FDCWD, "f", t, 0));
	show_times(__LINE__, "f");
	t[1].tv_nsec = UTIME_OMIT;
	R(utimensat(AT_FDCWD, "f", t, 0));
	R(utimensat(AT_FDCWD, "none", t, 0));
	show_times(__LINE__, "f");
	t[0].tv_nsec = UTIME_NOW;
	R(utimensat(AT_FDCWD, "f", t, 0));
	stat("f", &st);
	T(time(NULL) - st.st_atim.tv_sec <= 2 && st.st_mtim.tv_sec == 77);
	t[0].tv_nsec = 1000000000;
	R(utimensat(AT_FDCWD, "f", t, 0));
	t[0] = (struct timespec){ -5, 5 };
	t[1] = (struct timespec){ 1l << 33, 5 };
	R(utimensat(AT_FDCWD, "f", t, 0));
	show_times(__LINE__, "f");
	R(utimensat(AT_FDCWD, "f", NULL, 0));
	R(utimensat(AT_FDCWD, "f", BAD, 0));
	R(utimensat(AT_FDCWD, BAD, NULL, 0));
	R(utimensat(-1, "f", NULL, 0));
	R(utimensat(AT_FDCWD, "f", NULL, 0x4000));
	R(syscall(SYS_utimensat, AT_FDCWD, NULL, NULL, 0));
	R(syscall(SYS_utimensat, fd, NULL, NULL, 0));
	R(syscall(SYS_utimensat, fd, NULL, NULL, AT_SYMLINK_NOFOLLOW));
	tv[0].tv_usec = 1000000;
	R(utimes("f", tv));
	R(syscall(SYS_futimesat, AT_FDCWD, "f", NULL));
	R(utime("none", NULL));
	stat("f", &st);
	T(time(NULL) - st.st_mtim.tv_sec <= 2);

	/* what moves */
	mark("f");
	R(write(fd, "y", 1));
	moved(__LINE__, "write", "f");
	mark("f");
	R(chmod("f", 0666));
	moved(__LINE__, "chmod", "f");
	mark("f");
	R(link("f", "h"));
	moved(__LINE__, "link", "f");
	mark("f");
	R(rename("f", "f2"));
	moved(__LINE__, "rename", "f2");
	R(rename("f2", "f"));
	mark("f");
	R(ftruncate(fd, 10));
	moved(__LINE__, "ftruncate", "f");
	mark("f");
	R(truncate("f", 10));
	moved(__LINE__, "truncate to the same", "f");
	mark("f");
	R(write(fd, "", 0));
	moved(__LINE__, "write of nothing", "f");
	mark("f");
	R(close(open("f", O_WRONLY | O_TRUNC)));
	moved(__LINE__, "O_TRUNC", "f");
	mark("f");
	R(chown("f", 1, 1));
	moved(__LINE__, "chown", "f");
	mark("d");
	put("d/x", "");
	moved(__LINE__, "create", "d");
	mark("d");
	R(rename("d/x", "d/y"));
	moved(__LINE__, "rename", "d");
	mark("d");
	put("d/y", "content");
	moved(__LINE__, "write in", "d");
	mark("d");
	R(unlink("d/y"));
	moved(__LINE__, "unlink", "d");
	mark("d");
	R(mkdir("d/s", 0755));
	moved(__LINE__, "mkdir", "d");
	/* rights */
	R(chown("f", 1000, 1000));
	R(chmod("d", 0777));
	CHILD({
		setgid(1000);
		setuid(1000);
		R(utimensat(AT_FDCWD, "f", (struct timespec[]){ { 1, 0 }, { 2, 0 } }, 0));
		R(utimensat(AT_FDCWD, "d", (struct timespec[]){ { 1, 0 }, { 2, 0 } }, 0));
		R(utimensat(AT_FDCWD, "d", NULL, 0));
		R(utimensat(AT_FDCWD, "d/s", NULL, 0));
	});
	return 0;
}
