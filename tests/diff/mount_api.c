/* fsopen(2), fsconfig(2), fsmount(2), fspick(2), open_tree(2), move_mount(2). */
#include "mounts.h"

#define SET_FLAG 0
#define SET_STRING 1
#define SET_BINARY 2
#define SET_PATH 3
#define SET_PATH_EMPTY 4
#define SET_FD 5
#define CREATE 6
#define RECONFIGURE 7
#define CREATE_EXCL 8
#define F_EMPTY 4
#define T_EMPTY 0x40
#define T_SYMLINKS 0x10
#define SET_GROUP 0x100
#define CLONE 1
#define RECURSIVE 0x8000

static int fsopen_(const char *n, int f)
{
	return syscall(SYS_fsopen, n, f);
}
static int config(int fd, int cmd, const char *k, const void *v, int aux)
{
	return syscall(SYS_fsconfig, fd, cmd, k, v, aux);
}
static int fsmount_(int fd, int f, int attr)
{
	return syscall(SYS_fsmount, fd, f, attr);
}
static int pick(int d, const char *p, int f)
{
	return syscall(SYS_fspick, d, p, f);
}
static int tree(int d, const char *p, int f)
{
	return syscall(SYS_open_tree, d, p, f);
}
static int move(int fd, const char *f, int td, const char *t, int flags)
{
	return syscall(SYS_move_mount, fd, f, td, t, flags);
}
static void said(int fd)
{
	char b[300];
	for (int i = 0; i < 10; i++) {
		errno = 0;
		ssize_t n = read(fd, b, sizeof b - 1);
		if (n < 0) {
			P("log: %s", ename(errno));
			return;
		}
		b[n] = 0;
		P("log: %s", b);
	}
}

static void opening(void)
{
	S(fsopen_("tmpfs", 2));
	S(fsopen_("nofs", 0));
	S(fsopen_("", 0));
	S(fsopen_(BAD, 0));
	S(fsopen_(NULL, 0));
	int fd = fsopen_("tmpfs", 1);
	P("cloexec %d %s", fcntl(fd, F_GETFD), fcntl(fd, F_GETFL) == O_RDWR ? "rdwr" : "other");
	char l[100] = "";
	char at[64];
	snprintf(at, sizeof at, "/proc/self/fd/%d", fd);
	readlink(at, l, 99);
	puts(l);
	said(fd);
	R(config(fd, SET_FLAG, "nonsense", NULL, 0));
	R(config(fd, SET_STRING, "size", "x", 0));
	R(config(fd, SET_FLAG, "size", NULL, 0));
	R(config(fd, SET_STRING, "mode", "99", 0));
	R(config(fd, SET_STRING, "inode64", "z", 0));
	R(config(fd, SET_STRING, "nonsense", "z", 0));
	said(fd);
	for (int i = 0; i < 10; i++) {
		char k[20];
		snprintf(k, sizeof k, "k%d", i);
		config(fd, SET_FLAG, k, NULL, 0);
	}
	char small[4];
	R(read(fd, small, 4));
	R(read(fd, BAD, 400));
	said(fd);
	R(write(fd, "x", 1));
	R(lseek(fd, 0, SEEK_SET));
	R(config(fd, 99, NULL, NULL, 0));
	R(config(fd, -1, NULL, NULL, 0));
	R(config(-1, SET_FLAG, "ro", NULL, 0));
	R(config(900, SET_FLAG, "ro", NULL, 0));
	R(config(0, SET_FLAG, "ro", NULL, 0));
	R(config(fd, SET_FLAG, NULL, NULL, 0));
	R(config(fd, SET_FLAG, "ro", "x", 0));
	R(config(fd, SET_FLAG, "ro", NULL, 1));
	R(config(fd, SET_FLAG, BAD, NULL, 0));
	R(config(fd, SET_FLAG, "", NULL, 0));
	R(config(fd, SET_STRING, "source", NULL, 0));
	R(config(fd, SET_STRING, "source", BAD, 0));
	R(config(fd, SET_STRING, "source", "one", 0));
	R(config(fd, SET_STRING, "source", "two", 0));
	R(config(fd, SET_FLAG, "source", NULL, 0));
	R(config(fd, SET_BINARY, "size", "xx", 0));
	R(config(fd, SET_BINARY, "size", "xx", 2));
	R(config(fd, SET_BINARY, "size", BAD, 2));
	R(config(fd, SET_PATH, "size", "/", AT_FDCWD));
	R(config(fd, SET_PATH, "size", "/", -5));
	R(config(fd, SET_FD, "size", NULL, 0));
	R(config(fd, SET_FD, "size", NULL, 900));
	R(config(fd, CREATE, "x", NULL, 0));
	R(config(fd, RECONFIGURE, NULL, NULL, 0));
	said(fd);
	R(fsmount_(fd, 0, 0));
	R(config(fd, SET_STRING, "size", "64k", 0));
	R(config(fd, SET_STRING, "mode", "700", 0));
	R(config(fd, CREATE, NULL, NULL, 0));
	R(config(fd, CREATE, NULL, NULL, 0));
	R(config(fd, SET_FLAG, "ro", NULL, 0));
	S(fsmount_(fd, 2, 0));
	S(fsmount_(fd, 0, 0x30));
	S(fsmount_(fd, 0, 0x40));
	S(fsmount_(fd, 0, 0x100000));
	S(fsmount_(0, 0, 0));
	S(fsmount_(900, 0, 0));
	int m = fsmount_(fd, 1, 2 | 8 | 0x10);
	P("mount fd %d cloexec %d flags %s", m >= 0, fcntl(m, F_GETFD), fcntl(m, F_GETFL) == O_PATH ? "path" : "other");
	S(fsmount_(fd, 0, 0));
	mkdirat(m, "inside", 0755);
	R(mkdir("at", 0755));
	R(move(m, "inside", AT_FDCWD, "at", 0));
	R(move(m, "", AT_FDCWD, "at", 0));
	R(move(m, "", AT_FDCWD, "nothing", F_EMPTY));
	R(move(m, "", AT_FDCWD, "/etc/passwd", F_EMPTY));
	R(move(m, "", AT_FDCWD, "at", F_EMPTY | 0x1000));
	R(move(900, "", AT_FDCWD, "at", F_EMPTY));
	R(move(m, BAD, AT_FDCWD, "at", 0));
	R(move(m, "", AT_FDCWD, "at", F_EMPTY));
	mounts("moved in");
	R(access("at/inside", F_OK));
	R(umount("at"));
	close(m);
	R(config(fd, SET_FLAG, "ro", NULL, 0));
	R(config(fd, SET_STRING, "size", "128k", 0));
	R(config(fd, RECONFIGURE, NULL, NULL, 0));
	mounts("changed");
	R(umount("at"));
	said(fd);
	close(fd);
}

static void picking(void)
{
	R(mount("t", "at", "tmpfs", 0, "size=64k"));
	mkdir("at/d", 0755);
	S(pick(AT_FDCWD, "at", 0x10));
	S(pick(AT_FDCWD, "at/d", 0));
	S(pick(AT_FDCWD, "nothing", 0));
	S(pick(AT_FDCWD, "", 0));
	S(pick(900, "", 8));
	int fd = pick(AT_FDCWD, "at", 1);
	R(config(fd, CREATE, NULL, NULL, 0));
	R(fsmount_(fd, 0, 0));
	R(config(fd, SET_FLAG, "ro", NULL, 0));
	int w = open("at/f", O_CREAT | O_WRONLY, 0600);
	R(config(fd, RECONFIGURE, NULL, NULL, 0));
	said(fd);
	close(w);
	mounts("busy");
	close(fd);
	fd = pick(AT_FDCWD, "at", 1);
	R(config(fd, SET_FLAG, "ro", NULL, 0));
	R(config(fd, RECONFIGURE, NULL, NULL, 0));
	mounts("read only");
	R(open("at/f", O_WRONLY));
	R(config(fd, SET_FLAG, "rw", NULL, 0));
	R(config(fd, SET_STRING, "size", "1", 0));
	R(config(fd, RECONFIGURE, NULL, NULL, 0));
	mounts("writable");
	close(fd);
	R(umount("at"));
}

static void trees(void)
{
	R(mkdir("b", 0755));
	R(mount("t", "at", "tmpfs", 0, "size=64k"));
	mkdir("at/d", 0755);
	R(mount("u", "at/d", "tmpfs", 0, "size=32k"));
	S(tree(AT_FDCWD, "at", 2));
	S(tree(AT_FDCWD, "at", RECURSIVE));
	S(tree(AT_FDCWD, "nothing", CLONE));
	S(tree(AT_FDCWD, "", 0));
	S(tree(900, "", 0x1000));
	int fd = tree(AT_FDCWD, "at", CLONE | O_CLOEXEC);
	P("fd %d cloexec %d", fd >= 0, fcntl(fd, F_GETFD));
	T(faccessat(fd, "d", F_OK, 0) == 0);
	R(umount2("at/d", 0x10));
	R(move(fd, "", AT_FDCWD, "b", F_EMPTY));
	mounts("one");
	R(move(fd, "", AT_FDCWD, "at", F_EMPTY));
	mounts("moved on");
	R(umount2("at", MNT_DETACH));
	close(fd);
	fd = tree(AT_FDCWD, "at", CLONE | RECURSIVE);
	R(move(fd, "", AT_FDCWD, "b", F_EMPTY));
	mounts("recursive");
	close(fd);
	fd = tree(AT_FDCWD, "b", 0);
	R(move(fd, "", AT_FDCWD, "b/d", F_EMPTY));
	R(move(fd, "", AT_FDCWD, "at/d", F_EMPTY));
	mounts("moved by a path fd");
	R(umount2("at/d", MNT_DETACH));
	R(move(fd, "", AT_FDCWD, "b", F_EMPTY));
	close(fd);
	fd = tree(AT_FDCWD, "at", CLONE);
	R(mount(NULL, "at", NULL, MS_UNBINDABLE, NULL));
	S(tree(AT_FDCWD, "at", CLONE));
	R(mount(NULL, "at", NULL, MS_SHARED, NULL));
	R(symlink("b", "link"));
	R(move(fd, "", AT_FDCWD, "link", F_EMPTY));
	R(move(fd, "", AT_FDCWD, "link", F_EMPTY | T_SYMLINKS));
	R(move(AT_FDCWD, "at", AT_FDCWD, "b", SET_GROUP));
	mounts("group set");
	R(move(AT_FDCWD, "at", AT_FDCWD, "b", SET_GROUP));
	R(move(AT_FDCWD, "b/d", AT_FDCWD, "b", SET_GROUP));
	R(move(AT_FDCWD, BASE, AT_FDCWD, "b", SET_GROUP));
	close(fd);
	R(umount2("b", MNT_DETACH));
	R(umount2("at", MNT_DETACH));
	mounts("clean");
}

static void beneath(void)
{
	mkdir("x", 0755);
	R(mount("top", "x", "tmpfs", 0, "size=64k"));
	mkdir("x/in", 0755);
	R(mount("new", "at", "tmpfs", 0, "size=32k"));
	mkdir("at/in", 0755);
	R(move(AT_FDCWD, "at", AT_FDCWD, "x/in", 0x200));
	R(move(AT_FDCWD, "at", AT_FDCWD, "b", 0x200));
	R(move(AT_FDCWD, "at", AT_FDCWD, "/", 0x200));
	R(move(AT_FDCWD, "at", AT_FDCWD, "x", 0x200 | SET_GROUP));
	R(move(AT_FDCWD, "x", AT_FDCWD, "x", 0x200));
	R(move(AT_FDCWD, "at", AT_FDCWD, "x", 0x200));
	mounts("beneath");
	R(umount("x"));
	mounts("top gone");
	int fd = tree(AT_FDCWD, "x", CLONE);
	R(move(fd, "", AT_FDCWD, "x", 0x200 | F_EMPTY));
	close(fd);
	mounts("a copy beneath");
	R(mount(NULL, BASE, NULL, MS_SHARED, NULL));
	R(mount(BASE, "b", NULL, MS_BIND, NULL));
	R(mount("t3", "at", "tmpfs", 0, "size=16k"));
	fd = tree(AT_FDCWD, "x", CLONE);
	R(move(fd, "", AT_FDCWD, "at", 0x200 | F_EMPTY));
	mounts("beneath in a shared parent");
	fd = tree(AT_FDCWD, "x", CLONE);
	R(move(fd, "", AT_FDCWD, "b", 0x200 | F_EMPTY));
	mounts("beneath a peer");
	R(mount(NULL, BASE, NULL, MS_REC | MS_PRIVATE, NULL));
	R(umount2("b", MNT_DETACH));
	R(umount2("at", MNT_DETACH));
	R(umount2("at", MNT_DETACH));
	R(umount2("x", MNT_DETACH));
	R(umount2("x", MNT_DETACH));
	mounts("clean");
}

static void spaces(void)
{
	char t[64];
	int fd, p[2];
	close(open("ns", O_CREAT | O_RDWR, 0644));
	R(mount("/proc/self/ns/uts", "ns", NULL, MS_BIND, NULL));
	fd = open("ns", O_RDONLY);
	R(setns(fd, CLONE_NEWUTS));
	R(setns(fd, CLONE_NEWNS));
	close(fd);
	R(umount("ns"));
	R(mount("/proc/self/ns/mnt", "ns", NULL, MS_BIND, NULL));
	pipe(p);
	snprintf(t, sizeof t, "/proc/self/fd/%d", p[0]);
	R(mount(t, "ns", NULL, MS_BIND, NULL));
}

int main(void)
{
	world();
	opening();
	picking();
	trees();
	beneath();
	spaces();
	return 0;
}
