/* mount(2), umount2(2), pivot_root(2): flags, order of errors, what is shown. */
#include "mounts.h"
#include <sys/statfs.h>
#include <sys/vfs.h>

static long mnt(const char *s, const char *t, const char *k, unsigned long f, const void *d)
{
	return syscall(SYS_mount, s, t, k, f, d);
}

static void args(void)
{
	mkdir("a", 0755);
	mkdir("b", 0755);
	close(open("file", O_CREAT | O_RDWR, 0644));
	R(mnt("x", "a", "nofs", 0, NULL));
	R(mnt("x", "a", NULL, 0, NULL));
	R(mnt("x", "a", BAD, 0, NULL));
	R(mnt(BAD, "a", "tmpfs", 0, NULL));
	R(mnt("x", BAD, "tmpfs", 0, NULL));
	R(mnt("x", "nothing", "tmpfs", 0, NULL));
	R(mnt("x", "", "tmpfs", 0, NULL));
	R(mnt("x", "file", "tmpfs", 0, NULL));
	R(mnt("x", "file/", "tmpfs", 0, NULL));
	R(mnt("x", "a", "tmpfs", 0, "nonsense"));
	R(mnt("x", "a", "tmpfs", 0, "size=x"));
	R(mnt("x", "a", "tmpfs", 1u << 31, NULL));
	R(mnt("file", "a", NULL, MS_BIND, NULL));
	R(mnt("a", "file", NULL, MS_BIND, NULL));
	R(mnt("nothing", "a", NULL, MS_BIND, NULL));
	R(mnt("", "a", NULL, MS_BIND, NULL));
	R(mnt(NULL, "a", NULL, MS_BIND, NULL));
	R(mnt(NULL, "a", NULL, MS_REMOUNT, NULL));
	R(mnt(NULL, "a", NULL, MS_REMOUNT | MS_BIND, NULL));
	R(mnt(NULL, "a", "tmpfs", 0, "size=64k"));
	mounts("no source");
	R(umount("a"));
	R(mnt("file", "b", NULL, MS_BIND | MS_REC, NULL));
	close(open("other", O_CREAT | O_RDWR, 0644));
	R(mnt("file", "other", NULL, MS_BIND, NULL));
	mounts("a file");
	R(unlink("other"));
	R(rename("other", "another"));
	R(umount("other"));
	R(unlink("other"));
	R(mnt("x", "a", "tmpfs", 0xc0ed0000 | MS_NOSUID, "size=64k"));
	R(rmdir("a"));
	R(rename("a", "c"));
	mounts("magic");
	R(umount("a"));
}

static void flags(void)
{
	struct statfs st;
	R(mnt("x", "a", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_SYNCHRONOUS | MS_DIRSYNC, "size=64k"));
	mounts("many");
	statfs("a", &st);
	P("statfs %lx", (long)st.f_flags);
	R(open("a/f", O_CREAT | O_RDWR, 0644));
	R(mnt(NULL, "a", NULL, MS_REMOUNT, NULL));
	mounts("remounted plain");
	int fd = open("a/f", O_CREAT | O_RDWR, 0644);
	R(mnt(NULL, "a", NULL, MS_REMOUNT | MS_RDONLY, NULL));
	R(mnt(NULL, "a", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
	close(fd);
	R(mnt(NULL, "a", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
	mounts("bind ro");
	R(open("a/f", O_RDWR));
	R(mkdir("a/d", 0755));
	R(unlink("a/f"));
	R(mnt("a", "b", NULL, MS_BIND, NULL));
	R(mnt(NULL, "b", NULL, MS_REMOUNT | MS_BIND, NULL));
	mounts("two views");
	fd = open("b/f", O_RDWR);
	T(fd >= 0);
	R(mnt(NULL, "a", NULL, MS_REMOUNT | MS_RDONLY, NULL));
	close(fd);
	R(mnt(NULL, "a", NULL, MS_REMOUNT | MS_RDONLY, NULL));
	mounts("file system ro");
	R(open("b/f", O_RDWR));
	R(mnt(NULL, "a", NULL, MS_REMOUNT, "size=128k"));
	R(mnt(NULL, "a", NULL, MS_REMOUNT, "size=y"));
	R(mnt(NULL, "a", NULL, MS_REMOUNT, "wrong"));
	mounts("larger");
	unsigned long at[] = { MS_NOATIME, MS_STRICTATIME, MS_NODIRATIME, MS_RELATIME, MS_NOATIME | MS_RELATIME, 0,
			       MS_NOATIME | MS_STRICTATIME, MS_NODIRATIME | MS_STRICTATIME };
	for (size_t i = 0; i < NELEM(at); i++) {
		R(mnt(NULL, "b", NULL, MS_REMOUNT | MS_BIND | at[i], NULL));
		mounts("times");
	}
	R(symlink("f", "b/link"));
	R(mnt(NULL, "b", NULL, MS_REMOUNT | MS_BIND | 256, NULL));
	mounts("no links");
	R(open("b/link", O_RDONLY));
	S(open("b/link", O_PATH | O_NOFOLLOW));
	R(access("b/link/", F_OK));
	statfs("b", &st);
	P("statfs %lx", (long)st.f_flags);
	char dir[64];
	mkdir("b/in", 0755);
	snprintf(dir, sizeof dir, "%s", "b/in");
	R(mnt(NULL, dir, NULL, MS_REMOUNT | MS_BIND, NULL));
	R(mnt(NULL, dir, NULL, MS_REMOUNT, NULL));
	R(umount("b"));
	R(umount("a"));
}

static void unmount(void)
{
	R(mnt("x", "a", "tmpfs", 0, "size=64k"));
	mkdir("a/d", 0755);
	R(umount2("a", 16));
	R(umount2("a/d", 0));
	R(umount2("nothing", 0));
	R(umount2(BAD, 0));
	R(umount2("file", 0));
	R(symlink("a", "link"));
	R(umount2("link", UMOUNT_NOFOLLOW));
	R(umount2("a", MNT_EXPIRE | MNT_DETACH));
	R(umount2("a", MNT_EXPIRE | MNT_FORCE));
	R(umount2("/", MNT_EXPIRE));
	R(umount2("a", MNT_EXPIRE));
	R(access("a", F_OK));
	R(umount2("a", MNT_EXPIRE));
	int fd = open("a/d", O_RDONLY);
	R(umount2("a", MNT_EXPIRE));
	R(umount2("a", 0));
	close(fd);
	R(umount2("a", MNT_EXPIRE));
	R(umount2("a", MNT_EXPIRE));
	R(umount2("a", MNT_EXPIRE));
	R(mnt("x", "a", "tmpfs", 0, "size=64k"));
	mkdir("a/d", 0755);
	R(mnt("y", "a/d", "tmpfs", 0, "size=64k"));
	R(umount2("a", 0));
	R(chdir("a/d"));
	R(umount2("/tmp/m/a", MNT_DETACH));
	char b[64] = "";
	T(getcwd(b, 64) != NULL);
	puts(b);
	R(mkdir("made", 0755));
	R(chdir(".."));
	T(syscall(SYS_getcwd, b, 64) > 0);
	puts(b);
	R(mnt("x", "made", "tmpfs", 0, NULL));
	R(mnt("x", ".", "tmpfs", 0, NULL));
	R(umount2(".", 0));
	R(chdir(BASE));
	R(umount2("link", 0));
	unlink("link");
	mounts("clean");
}

static void pivot(void)
{
	R(syscall(SYS_pivot_root, "a", "a"));
	R(mnt("x", "a", "tmpfs", 0, "size=64k"));
	mkdir("a/old", 0755);
	mkdir("a/tmp", 0755);
	R(syscall(SYS_pivot_root, "a", "b"));
	R(syscall(SYS_pivot_root, "nothing", "b"));
	R(syscall(SYS_pivot_root, "a", "nothing"));
	R(syscall(SYS_pivot_root, "file", "b"));
	R(syscall(SYS_pivot_root, "b", "a/old"));
	R(syscall(SYS_pivot_root, "/", "a/old"));
	R(syscall(SYS_pivot_root, BAD, "a/old"));
	R(mnt(NULL, BASE, NULL, MS_SHARED, NULL));
	R(syscall(SYS_pivot_root, "a", "a/old"));
	R(mnt(NULL, BASE, NULL, MS_PRIVATE, NULL));
	R(mnt(NULL, "a", NULL, MS_SHARED, NULL));
	R(syscall(SYS_pivot_root, "a", "a/old"));
	R(mnt(NULL, "a", NULL, MS_PRIVATE, NULL));
	mkdir("a/proc", 0755);
	fflush(stdout);
	pid_t kid = fork();
	if (!kid) {
		R(unshare(CLONE_NEWNS));
		R(chdir("a"));
		R(mnt("proc", "proc", "proc", 0, NULL));
		R(syscall(SYS_pivot_root, ".", "."));
		char b[64] = "";
		syscall(SYS_getcwd, b, 64);
		puts(b);
		R(umount2(".", MNT_DETACH));
		R(access("/old", F_OK));
		R(access("/etc", F_OK));
		R(chdir("/"));
		int fd = open("/proc/self/mounts", O_RDONLY);
		char all[500];
		ssize_t n = read(fd, all, 499);
		all[n > 0 ? n : 0] = 0;
		char *in = strstr(all, ",inode64");
		if (in)
			memmove(in, in + 8, strlen(in + 8) + 1);
		puts(all);
		R(umount2("/", MNT_EXPIRE));
		fflush(stdout);
		_exit(0);
	}
	int st;
	waitpid(kid, &st, 0);
	R(st);
	kid = fork();
	if (!kid) {
		R(unshare(CLONE_NEWNS));
		R(syscall(SYS_pivot_root, "a", "a/old"));
		R(access("/old/tmp/m", F_OK));
		char b[64] = "";
		syscall(SYS_getcwd, b, 64);
		puts(b);
		R(chroot("/old/tmp"));
		R(syscall(SYS_pivot_root, "/m", "/m/b"));
		fflush(stdout);
		_exit(0);
	}
	waitpid(kid, &st, 0);
	R(st);
	R(umount("a"));
}

static void removed(void)
{
	int go[2], back[2], st;
	char c;
	mkdir("r", 0755);
	mkdir("r/d", 0755);
	mkdir("r/e", 0755);
	mkdir("r/m", 0755);
	close(open("r/f", O_CREAT | O_RDWR, 0644));
	pipe(go);
	pipe(back);
	fflush(stdout);
	pid_t kid = fork();
	if (!kid) {
		unshare(CLONE_NEWNS);
		R(mnt("t", "r/d", "tmpfs", 0, "size=64k"));
		R(mkdir("r/d/in", 0755));
		R(mnt("t", "r/d/in", "tmpfs", 0, "size=64k"));
		R(mnt("t", "r/e", "tmpfs", 0, "size=64k"));
		R(mnt("t", "r/m", "tmpfs", 0, "size=64k"));
		R(mnt("file", "r/f", NULL, MS_BIND, NULL));
		R(rmdir("r/d"));
		R(rename("r/d", "r/x"));
		R(rename("r/x", "r/d"));
		R(unlink("r/f"));
		mounts("before");
		write(back[1], "x", 1);
		read(go[0], &c, 1);
		mounts("after");
		fflush(stdout);
		_exit(0);
	}
	read(back[0], &c, 1);
	R(rmdir("r/d"));
	R(unlink("r/f"));
	mkdir("r/new", 0755);
	R(rename("r/new", "r/e"));
	R(rename("r/m", "r/moved"));
	fflush(stdout);
	write(go[1], "x", 1);
	waitpid(kid, &st, 0);
	R(st);
	R(access("r/moved", F_OK));
	R(mnt("t", "r/moved", "tmpfs", 0, "size=64k"));
	R(umount("r/moved"));
}

static void plain(void)
{
	fflush(stdout);
	pid_t kid = fork();
	if (!kid) {
		setresuid(1000, 1000, 1000);
		R(mnt("x", "a", "tmpfs", 0, NULL));
		R(mnt("x", "a", "nofs", 0, NULL));
		R(mnt("x", "nothing", "tmpfs", 0, NULL));
		R(mnt("x", "a", "tmpfs", 1u << 31, NULL));
		R(mnt("a", "b", NULL, MS_BIND, NULL));
		R(umount2("a", 0));
		R(umount2("a", 16));
		R(umount2("nothing", 0));
		R(syscall(SYS_pivot_root, "nothing", BAD));
		R(syscall(SYS_fsopen, "nofs", 99));
		R(syscall(SYS_fsmount, 99, 99, 0));
		R(syscall(SYS_fspick, 99, "x", 99));
		R(syscall(SYS_open_tree, AT_FDCWD, "a", 1));
		R(syscall(SYS_move_mount, 99, "x", 99, "y", 0x10000));
		S(syscall(SYS_open_tree, AT_FDCWD, "a", 0));
		fflush(stdout);
		_exit(0);
	}
	int st;
	waitpid(kid, &st, 0);
	R(st);
}

int main(void)
{
	world();
	args();
	flags();
	unmount();
	pivot();
	removed();
	plain();
	return 0;
}
