/* mount_setattr(2), open_tree_attr(2), statmount(2), listmount(2), STATX_MNT_ID. */
#include "mounts.h"
#include <linux/types.h>
#include <sys/sysmacros.h>

struct attr {
	__u64 set, clr, prop, ns, more;
};
static int sa(int d, const char *p, int f, struct attr a, size_t n)
{
	return syscall(442, d, p, f, &a, n);
}
#define SA(p, f, ...) R(sa(AT_FDCWD, p, f, (struct attr){ __VA_ARGS__ }, 32))
#define REC 0x8000

static void attrs(void)
{
	mkdir("a", 0755);
	mkdir("b", 0755);
	R(mount("t", "a", "tmpfs", 0, "size=64k"));
	mkdir("a/d", 0755);
	R(mount("u", "a/d", "tmpfs", 0, "size=64k"));
	R(syscall(442, AT_FDCWD, "a", 0x10, NULL, 0));
	R(syscall(442, AT_FDCWD, "a", 0, NULL, 0));
	R(syscall(442, AT_FDCWD, "a", 0, NULL, 32));
	R(syscall(442, AT_FDCWD, "a", 0, BAD, 5000));
	R(sa(AT_FDCWD, "a", 0, (struct attr){ 1 }, 31));
	R(sa(AT_FDCWD, "a", 0, (struct attr){ .more = 1 }, 40));
	R(sa(AT_FDCWD, "a", 0, (struct attr){ 2 }, 40));
	R(sa(AT_FDCWD, "nothing", 0, (struct attr){ 0 }, 32));
	R(sa(99, "", 0x1000, (struct attr){ 1 }, 32));
	SA("nothing", 0, 1);
	SA("a", 0, 0x40000);
	SA("a", 0, .prop = MS_SHARED | MS_SLAVE);
	SA("a", 0, .prop = MS_BIND);
	SA("b", 0, 1);
	SA("nothing", 0, 0x40000);
	SA("a", 0, 1 | 4 | 8);
	mounts("set");
	SA("a", 0, .clr = 1 | 8);
	mounts("clear");
	SA("a", REC, 0x10, 0x70);
	mounts("noatime");
	SA("a", 0, 0x20, 0x70);
	SA("a", 0, 0x80);
	mounts("strict, nodir");
	SA("a", 0, 0x20);
	SA("a", 0, 0x10, 0x10);
	SA("a", 0, 0x30, 0x70);
	SA("a", 0, 0, 0x70);
	SA("a", 0, 0x200000, 0x80);
	mounts("relatime, nosymfollow");
	int w = open("a/d/f", O_CREAT | O_WRONLY, 0600);
	SA("a", REC, 1);
	mounts("all or none");
	close(w);
	SA("a", REC, 1, .prop = MS_SHARED);
	mounts("read only, shared");
	SA("a", REC, .clr = 1, .prop = MS_PRIVATE);
	SA("a", 0, 0x100000, .ns = 99);
	SA("a", 0, 0x100000, .ns = 1ull << 40);
	SA("a", 0, 0x100000, .ns = 0);
	int user = open("/proc/self/ns/user", O_RDONLY), uts = open("/proc/self/ns/uts", O_RDONLY);
	SA("a", 0, 0x100000, .ns = user);
	SA("a", 0, 0x100000, .ns = uts);
	int fd = syscall(467, AT_FDCWD, "a", 1 | REC, &(struct attr){ 2 }, 32);
	T(fd >= 0);
	R(syscall(467, AT_FDCWD, "a", 1, NULL, 32));
	R(syscall(467, AT_FDCWD, "a", 1, &(struct attr){ 2 }, 8));
	S(syscall(467, AT_FDCWD, "a", 0, NULL, 0));
	R(syscall(429, fd, "", AT_FDCWD, "b", 4));
	SA("b", 0, 4);
	mounts("tree with attributes");
	close(fd);
	fd = syscall(428, AT_FDCWD, "a", 1);
	R(sa(fd, "", 0x1000, (struct attr){ 1, .prop = MS_SHARED }, 32));
	R(mkdirat(fd, "x", 0755));
	close(fd);
	mounts("detached changed");
	R(umount2("b", MNT_DETACH));
}

struct req {
	__u32 size, fd;
	__u64 id, param, ns, more;
};
struct sm {
	__u32 size, opts;
	__u64 mask;
	__u32 maj, min;
	__u64 magic;
	__u32 sb_flags, fs_type;
	__u64 id, parent;
	__u32 old, parent_old;
	__u64 attr, prop, peer, master, from;
	__u32 root, point;
	__u64 ns;
	__u32 sub, source;
	__u64 spare[48];
	char str[512];
};
static __u64 uid_of(const char *p)
{
	struct statx x;
	if (statx(AT_FDCWD, p, 0, 0x4000, &x))
		return 0;
	return x.stx_mnt_id;
}
static long stat_(__u64 id, __u64 mask, struct sm *s, size_t n)
{
	struct req r = { 24, 0, id, mask };
	memset(s, 0xff, sizeof *s);
	return syscall(457, &r, s, n, 0);
}
static void tell(const char *p)
{
	struct sm s;
	struct stat st;
	__u64 id = uid_of(p);
	if (stat_(id, 0x3f | 0x200 | 0x80, &s, sizeof s)) {
		P("%s: %s", p, ename(errno));
		return;
	}
	stat(p, &st);
	P("%s: mask %llx magic %llx sb %x attr %llx prop %llx peer %d master %d", p, s.mask & 0x2bf, s.magic, s.sb_flags,
	  s.attr, s.prop, s.peer != 0, s.master != 0);
	P("  type %s root %s at %s source %s id %d dev %d from %d", s.str + s.fs_type, s.str + s.root, s.str + s.point,
	  s.str + s.source, s.id == id, makedev(s.maj, s.min) == st.st_dev, s.from == s.master);
	struct statx x;
	statx(AT_FDCWD, p, 0, 0x1000, &x);
	P("  old %d parent %d", x.stx_mnt_id == s.old, s.parent == uid_of("/tmp/m"));
}
static void list(const char *title, __u64 id, __u64 last, size_t n, int flags)
{
	struct req r = { 24, 0, id, last };
	__u64 ids[300], base = uid_of("."), a = uid_of("a"), d = uid_of("a/d");
	long got = syscall(458, &r, ids, n, flags);
	if (got < 0) {
		P("%s: %s", title, ename(errno));
		return;
	}
	printf("%s:", title);
	for (long i = 0; i < got; i++)
		if (ids[i] == base || ids[i] == a || ids[i] == d)
			printf(" %s", ids[i] == base ? "base" : ids[i] == a ? "a" : "d");
	for (long i = 1; i < got; i++)
		if ((ids[i - 1] < ids[i]) == (flags & 1))
			printf(" unordered");
	puts("");
}
/* The number in mountinfo, in fdinfo and of statx are one. */
static void numbers(const char *p, const char *at)
{
	char line[1000], name[64], where[300];
	long id, seen = -1, of_fd = -2;
	FILE *f = fopen("/proc/self/mountinfo", "r");
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "%ld %*d %*s %*s %299s", &id, where) == 2 && !strcmp(where, at))
			seen = id;
	fclose(f);
	int fd = open(p, O_RDONLY | O_DIRECTORY);
	snprintf(name, sizeof name, "/proc/self/fdinfo/%d", fd);
	f = fopen(name, "r");
	while (fgets(line, sizeof line, f))
		sscanf(line, "mnt_id: %ld", &of_fd);
	fclose(f);
	close(fd);
	struct statx x;
	statx(AT_FDCWD, p, 0, 0x1000, &x);
	P("%s: mountinfo %d fdinfo %d", p, seen == (long)x.stx_mnt_id, of_fd == (long)x.stx_mnt_id);
}

static void stats(void)
{
	struct sm s;
	mount(NULL, "a", NULL, MS_SHARED, NULL);
	R(mount("a/d", "b", NULL, MS_BIND, NULL));
	mount(NULL, "a/d", NULL, MS_SHARED, NULL);
	mount(NULL, "a/d", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOEXEC, NULL);
	tell("a");
	tell("a/d");
	tell("b");
	tell("/proc");
	numbers("a", BASE "/a");
	numbers("a/d", BASE "/a/d");
	numbers("/", "/");
	numbers("/dev/shm", "/dev/shm");
	mount(NULL, "a/d", NULL, MS_UNBINDABLE, NULL);
	tell("a/d");
	__u64 a = uid_of("a");
	T(a > 1ull << 31);
	R(stat_(a, 2, &s, 8));
	R(stat_(a, 2, &s, 0));
	R(stat_(a, 0x20, &s, 512));
	R(stat_(a, 0x20, &s, 519));
	R(stat_(a, 0, &s, sizeof s));
	P("mask %llx", s.mask);
	R(stat_(5, 2, &s, sizeof s));
	R(stat_(a + 100000, 2, &s, sizeof s));
	struct req r = { 24, 0, a, 2 };
	R(syscall(457, &r, &s, sizeof s, 1));
	R(syscall(457, BAD, &s, sizeof s, 0));
	R(syscall(457, &r, BAD, sizeof s, 0));
	r.size = 16;
	R(syscall(457, &r, &s, sizeof s, 0));
	r.size = 5000;
	R(syscall(457, &r, &s, sizeof s, 0));
	r = (struct req){ 40, 0, a, 2, 0, 1 };
	R(syscall(457, &r, &s, sizeof s, 0));
	r = (struct req){ 40, 0, a, 2 };
	R(syscall(457, &r, &s, sizeof s, 0));
	r = (struct req){ 32, 0, a, 2, 12345 };
	R(syscall(457, &r, &s, sizeof s, 0));
	list("root", -1, 0, 300, 0);
	list("reverse", -1, 0, 300, 1);
	list("below base", uid_of("."), 0, 300, 0);
	list("below a", a, 0, 300, 0);
	list("after a", -1, a, 300, 0);
	list("before a", uid_of("."), a, 300, 1);
	list("one", uid_of("."), 0, 1, 0);
	list("none", uid_of("."), 0, 0, 0);
	list("flags", -1, 0, 300, 2);
	list("last", -1, 7, 300, 0);
	list("small", 7, 0, 300, 0);
	list("nobody", a + 100000, 0, 300, 0);
	list("many", -1, 0, 1000001, 0);
	R(umount("b"));
	R(umount2("a", MNT_DETACH));
}

int main(void)
{
	world();
	attrs();
	stats();
	return 0;
}
