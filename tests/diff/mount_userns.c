/* Mounts by the root of a user namespace: which types, locked mounts and flags, spreading. */
#include "mounts.h"

static void give(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	if (write(fd, text, strlen(text)) < 0)
		P("%s: %s", path, ename(errno));
	close(fd);
}
/* Becomes root of a new user namespace with mounts of its own. */
static void enter(int uid)
{
	if (uid) {
		setresgid(uid, uid, uid);
		setresuid(uid, uid, uid);
		prctl(PR_SET_DUMPABLE, 1);
	}
	char map[40];
	R(unshare(CLONE_NEWUSER | CLONE_NEWNS));
	snprintf(map, sizeof map, "0 %d 1", uid);
	give("/proc/self/setgroups", "deny");
	give("/proc/self/uid_map", map);
	give("/proc/self/gid_map", map);
}
static void in_child(const char *name, void (*f)(void))
{
	printf("== %s\n", name);
	fflush(stdout);
	pid_t kid = fork();
	if (!kid) {
		alarm(15);
		f();
		fflush(stdout);
		_exit(0);
	}
	int st;
	waitpid(kid, &st, 0);
	P("ended %d", st);
}
static int bind(const char *a, const char *b, int more)
{
	return mount(a, b, NULL, MS_BIND | more, NULL);
}

static void types(void)
{
	struct stat st;
	enter(1000);
	R(mount("t", "a", "tmpfs", 0, "size=64k"));
	stat("a", &st);
	P("owner %d:%d mode %o", st.st_uid, st.st_gid, st.st_mode);
	mounts("tmpfs");
	R(mkdir("a/d", 0755));
	R(mknod("a/null", S_IFCHR | 0666, 0x103));
	R(umount("a"));
	R(mount("t", "a", "tmpfs", 0, "uid=5"));
	R(mount("t", "a", "tmpfs", 0, "uid=0,gid=0,size=64k"));
	R(umount("a"));
	R(mount("t", "a", "ramfs", 0, NULL));
	R(umount("a"));
	R(mount("p", "a", "proc", 0, NULL));
	R(mount("s", "a", "sysfs", 0, NULL));
	R(mount("q", "a", "mqueue", 0, NULL));
	R(mount("x", "a", "nofs", 0, NULL));
	R(mount("d", "a", "devpts", 0, "newinstance"));
	R(access("a/ptmx", F_OK));
	R(umount("a"));
	int fd = syscall(SYS_fsopen, "proc", 0);
	T(fd >= 0);
	R(syscall(SYS_fsconfig, fd, 6, NULL, NULL, 0));
	R(syscall(SYS_fsconfig, fd, 0, "ro", NULL, 0));
	fd = syscall(SYS_fsopen, "tmpfs", 0);
	R(syscall(SYS_fsconfig, fd, 6, NULL, NULL, 0));
	int m = syscall(SYS_fsmount, fd, 0, 0);
	R(syscall(SYS_move_mount, m, "", AT_FDCWD, "a", 4));
	R(mount(NULL, "a", NULL, MS_REMOUNT, "size=32k"));
	R(mount(NULL, "a", NULL, MS_REMOUNT | MS_RDONLY, NULL));
	R(umount2("a", MNT_DETACH));
}

static void locked(void)
{
	enter(0);
	R(umount("l"));
	R(umount2("l", MNT_DETACH));
	R(umount2("l/in", MNT_DETACH));
	R(mount("l", "a", NULL, MS_MOVE, NULL));
	R(bind(".", "a", 0));
	R(bind("l", "a", 0));
	R(bind("l", "a", MS_REC));
	R(umount("a/in"));
	R(umount2("a", MNT_DETACH));
	R(bind("l/in", "a", 0));
	R(umount("a"));
	R(mount(NULL, "l", NULL, MS_REMOUNT | MS_BIND, NULL));
	R(mount(NULL, "l", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
	R(mount(NULL, "l", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME, NULL));
	R(mount(NULL, "l", NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
	R(mount(NULL, "l", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NODEV | MS_NOEXEC, NULL));
	R(mount(NULL, "l/in", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
	R(mount(NULL, "l/in", NULL, MS_REMOUNT | MS_BIND, NULL));
	R(bind("l", "a", MS_REC));
	R(mount(NULL, "a", NULL, MS_REMOUNT | MS_BIND, NULL));
	R(umount2("a", MNT_DETACH));
	int fd = syscall(SYS_open_tree, AT_FDCWD, "l", 1);
	R(fd);
	fd = syscall(SYS_open_tree, AT_FDCWD, "l", 1 | 0x8000);
	T(fd >= 0);
	R(syscall(SYS_move_mount, fd, "", AT_FDCWD, "a", 4));
	mounts("cloned");
	close(fd);
	R(umount2("a", MNT_DETACH));
	R(syscall(SYS_move_mount, AT_FDCWD, "l", AT_FDCWD, "a", 0));
	R(mount("t", "a", "tmpfs", 0, "size=64k"));
	R(mkdir("a/old", 0755));
	R(syscall(SYS_pivot_root, "l", "l/in"));
	R(syscall(SYS_pivot_root, "a", "a/old"));
	R(umount("/old/tmp/m/l"));
	R(umount2("/old", MNT_DETACH));
	R(access("/old/tmp", F_OK));
}

static void kinds(void)
{
	enter(0);
	mounts("slaves");
	R(mount(NULL, "s", NULL, MS_SHARED, NULL));
	mounts("shared slave");
	R(mount(NULL, "s", NULL, MS_PRIVATE, NULL));
	R(unshare(CLONE_NEWNS));
	R(umount2("l/in", MNT_DETACH));
	R(umount2("/", MNT_EXPIRE));
	R(chroot("/tmp"));
	R(unshare(CLONE_NEWUSER));
}

static int go[2], back[2];
static void spread(void)
{
	char c;
	enter(0);
	write(back[1], "x", 1);
	read(go[0], &c, 1);
	mounts("got it");
	R(umount("s/d/deep"));
	R(umount("s/d"));
	R(mount("t", "s/e", "tmpfs", 0, "size=64k"));
	write(back[1], "x", 1);
	read(go[0], &c, 1);
	mounts("lost it");
}

static void devices(void)
{
	enter(0);
	R(mount("t", "a", "tmpfs", 0, "size=64k"));
	R(open("/dev/full", O_RDONLY) < 0);
	close(open("a/bound", O_CREAT, 0644));
	R(bind("/dev/null", "a/bound", 0));
	S(open("a/bound", O_WRONLY));
	R(umount("a/bound"));
	R(setns(open("/proc/self/ns/mnt", O_RDONLY), 0));
}

int main(void)
{
	world();
	mkdir("a", 0777);
	chmod("a", 0777);
	chmod(".", 0777);
	mkdir("l", 0755);
	mkdir("s", 0755);
	mkdir("s2", 0755);
	R(mount("t", "l", "tmpfs", 0, "size=64k"));
	mkdir("l/in", 0755);
	R(mount("u", "l/in", "tmpfs", 0, "size=64k"));
	R(mount(NULL, "l", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
	R(mount("t", "s", "tmpfs", 0, "size=64k"));
	R(mount(NULL, "s", NULL, MS_SHARED, NULL));
	mkdir("s/d", 0755);
	mkdir("s/e", 0755);
	in_child("types", types);
	in_child("locked", locked);
	in_child("kinds", kinds);
	in_child("devices", devices);
	pipe(go);
	pipe(back);
	fflush(stdout);
	pid_t kid = fork();
	if (!kid) {
		spread();
		fflush(stdout);
		_exit(0);
	}
	char c;
	read(back[0], &c, 1);
	R(mkdir("s2/deep", 0755));
	R(mount("n", "s2", "tmpfs", MS_NOSUID, "size=64k"));
	R(mkdir("s2/deep", 0755));
	R(mount("n2", "s2/deep", "tmpfs", 0, "size=64k"));
	R(mount("s2", "s/d", NULL, MS_BIND | MS_REC, NULL));
	fflush(stdout);
	write(go[1], "x", 1);
	read(back[0], &c, 1);
	mounts("not back");
	R(umount2("s/d", MNT_DETACH));
	R(umount2("s2", MNT_DETACH));
	fflush(stdout);
	write(go[1], "x", 1);
	int st;
	waitpid(kid, &st, 0);
	R(st);
	return 0;
}
