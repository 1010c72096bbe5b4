/* access, faccessat, faccessat2: real and effective ids, flags. */
#include "diff.h"

static long fa2(int d, const char *p, int mode, int flags)
{
	return syscall(SYS_faccessat2, d, p, mode, flags);
}

int main(void)
{
	put("rw", "");
	put("none", "");
	put("x", "");
	put("g", "");
	put("o", "");
	mkdir("d", 0700);
	put("d/f", "");
	R(chmod("rw", 0600));
	R(chmod("none", 0));
	R(chmod("x", 0711));
	R(chmod("g", 0060));
	R(chown("g", 0, 1000));
	R(chmod("o", 0007));
	symlink("rw", "ln");
	symlink("gone", "dang");

	R(access("rw", F_OK));
	R(access("rw", R_OK | W_OK));
	R(access("rw", X_OK));
	R(access("none", R_OK | W_OK));
	R(access("none", X_OK));
	R(access("x", X_OK));
	R(access("o", X_OK));
	R(access("d", R_OK | W_OK | X_OK));
	R(access("gone", F_OK));
	R(access("dang", F_OK));
	R(access("", F_OK));
	R(access(BAD, F_OK));
	R(access("rw", 8));
	R(access("rw", -1));
	R(access("rw/", F_OK));
	R(access("rw/y", F_OK));
	R(fa2(AT_FDCWD, "dang", F_OK, AT_SYMLINK_NOFOLLOW));
	R(fa2(AT_FDCWD, "ln", W_OK, 0));
	R(fa2(AT_FDCWD, "ln", W_OK, 0x40));
	R(fa2(-1, "ln", W_OK, 0));
	int d = open("d", O_RDONLY);
	R(fa2(d, "f", R_OK, 0));
	R(fa2(d, "", R_OK, AT_EMPTY_PATH));
	R(fa2(d, "", R_OK, 0));
	R(syscall(SYS_faccessat, d, "f", R_OK));
	R(syscall(SYS_faccessat, d, "none", R_OK));

	CHILD({
		setgid(1000);
		setuid(1000);
		R(access("rw", R_OK));
		R(access("rw", F_OK));
		R(access("g", R_OK | W_OK));
		R(access("g", X_OK));
		R(access("o", R_OK | W_OK | X_OK));
		R(access("x", X_OK));
		R(access("x", R_OK));
		R(access("d", F_OK));
		R(access("d/f", F_OK));
		R(access("d", X_OK));
	});
	/* access looks at the real user, AT_EACCESS at the effective one */
	CHILD({
		R(setresgid(1000, 0, 0));
		R(setresuid(1000, 0, 0));
		R(access("rw", R_OK));
		R(fa2(AT_FDCWD, "rw", R_OK, AT_EACCESS));
		R(fa2(AT_FDCWD, "rw", R_OK, 0));
		R(open("rw", O_RDONLY));
	});
	CHILD({
		R(setresgid(0, 1000, 0));
		R(setresuid(0, 1000, 0));
		R(access("rw", R_OK));
		R(fa2(AT_FDCWD, "rw", R_OK, AT_EACCESS));
		R(open("rw", O_RDONLY));
	});
	/* the owner's bits win over the others', even when they give less */
	R(chown("o", 1000, 1000));
	CHILD({
		setgid(1000);
		setuid(1000);
		R(access("o", R_OK));
		R(open("o", O_RDONLY));
		R(chmod("o", 0700));
		R(access("o", R_OK));
	});
	R(access("/proc/self/mem", R_OK));
	R(access("/sys", W_OK));
	R(access("/sys", R_OK));
	return 0;
}
