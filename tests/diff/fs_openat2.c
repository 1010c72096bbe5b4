/* openat2: struct size, flags, RESOLVE_*. */
#include "diff.h"
#include <linux/openat2.h>

static long o2(int dfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = flags, .mode = mode, .resolve = resolve };
	long fd = syscall(SYS_openat2, dfd, path, &how, sizeof how);
	if (fd >= 0)
		close(fd);
	return fd;
}

int main(void)
{
	struct { struct open_how how; char tail[16]; } big;
	struct open_how how = { .flags = O_RDONLY };
	char *p;

	put("f", "text");
	mkdir("d", 0755);
	mkdir("d/e", 0755);
	put("d/g", "g");
	symlink("f", "ln");
	symlink("d", "dl");
	symlink("../f", "d/up");
	symlink("/scratch", "d/abs");
	symlink("g", "d/lg");

	R(o2(AT_FDCWD, "f", O_RDONLY, 0, 0));
	R(o2(AT_FDCWD, "none", O_RDONLY, 0, 0));
	R(o2(AT_FDCWD, "f", O_RDONLY, 0644, 0));
	R(o2(AT_FDCWD, "n1", O_RDWR | O_CREAT, 0644, 0));
	R(o2(AT_FDCWD, "n2", O_RDWR | O_CREAT, 010644, 0));
	R(o2(AT_FDCWD, "f", 1ull << 40, 0, 0));
	R(o2(AT_FDCWD, "f", O_RDONLY, 0, 1ull << 30));
	R(o2(AT_FDCWD, "f", O_PATH | O_RDWR, 0, 0));
	R(o2(AT_FDCWD, "f", O_PATH, 0, 0));
	R(o2(AT_FDCWD, "f", O_PATH | O_CREAT, 0644, 0));
	R(syscall(SYS_openat2, AT_FDCWD, "f", &how, 0));
	R(syscall(SYS_openat2, AT_FDCWD, "f", &how, 23));
	R(syscall(SYS_openat2, AT_FDCWD, "f", &how, 8192));
	R(syscall(SYS_openat2, AT_FDCWD, "f", BAD, sizeof how));
	R(syscall(SYS_openat2, AT_FDCWD, BAD, &how, sizeof how));
	memset(&big, 0, sizeof big);
	R(syscall(SYS_openat2, AT_FDCWD, "f", &big, sizeof big));
	R(close(3));
	big.tail[3] = 1;
	R(syscall(SYS_openat2, AT_FDCWD, "f", &big, sizeof big));
	p = edge(sizeof how);
	memset(p, 0, sizeof how);
	R(syscall(SYS_openat2, AT_FDCWD, "f", p, sizeof how));
	R(close(3));
	R(syscall(SYS_openat2, AT_FDCWD, "f", p, sizeof how + 8));

	R(o2(AT_FDCWD, "ln", O_RDONLY, 0, RESOLVE_NO_SYMLINKS));
	R(o2(AT_FDCWD, "dl/g", O_RDONLY, 0, RESOLVE_NO_SYMLINKS));
	R(o2(AT_FDCWD, "d/g", O_RDONLY, 0, RESOLVE_NO_SYMLINKS));
	R(o2(AT_FDCWD, "ln", O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS));
	R(o2(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS));
	R(o2(AT_FDCWD, "/proc/self/cwd/f", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS));
	R(o2(AT_FDCWD, "ln", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS));
	R(o2(AT_FDCWD, "/proc/self/status", O_RDONLY, 0, RESOLVE_NO_XDEV));
	R(o2(AT_FDCWD, "f", O_RDONLY, 0, RESOLVE_NO_XDEV));

	int d = open("d", O_RDONLY | O_DIRECTORY);
	R(o2(d, "g", O_RDONLY, 0, RESOLVE_BENEATH));
	R(o2(d, "e/../g", O_RDONLY, 0, RESOLVE_BENEATH));
	R(o2(d, "../f", O_RDONLY, 0, RESOLVE_BENEATH));
	R(o2(d, "..", O_RDONLY, 0, RESOLVE_BENEATH));
	R(o2(d, "up", O_RDONLY, 0, RESOLVE_BENEATH));
	R(o2(d, "abs", O_RDONLY, 0, RESOLVE_BENEATH));
	R(o2(d, "lg", O_RDONLY, 0, RESOLVE_BENEATH));
	R(o2(d, "/", O_RDONLY, 0, RESOLVE_BENEATH));
	R(o2(d, "/g", O_RDONLY, 0, RESOLVE_IN_ROOT));
	R(o2(d, "../../g", O_RDONLY, 0, RESOLVE_IN_ROOT));
	R(o2(d, "up", O_RDONLY, 0, RESOLVE_IN_ROOT));
	R(o2(d, "lg", O_RDONLY, 0, RESOLVE_IN_ROOT));
	R(o2(d, "abs", O_RDONLY, 0, RESOLVE_IN_ROOT));
	R(o2(d, "g", O_RDONLY, 0, RESOLVE_IN_ROOT | RESOLVE_BENEATH));
	R(o2(d, "g", O_CREAT, 0, RESOLVE_CACHED));
	R(o2(d, "new", O_CREAT | O_RDWR, 0600, RESOLVE_IN_ROOT));
	R(access("d/new", F_OK));
	R(o2(-1, "g", O_RDONLY, 0, 0));
	R(o2(AT_FDCWD, "f", O_RDONLY | O_TMPFILE, 0, 0));
	R(o2(AT_FDCWD, ".", O_RDWR | O_TMPFILE, 0600, 0));
	R(o2(AT_FDCWD, "d", O_RDONLY | O_DIRECTORY | O_CREAT, 0600, 0));
	return 0;
}
