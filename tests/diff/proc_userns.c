/* user_namespaces(7): unshare, clone, id maps, setgroups, capabilities, ids shown, setns, nsfs. */
#include "diff.h"
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <grp.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>

static void give(const char *path, const char *text)
{
	int fd = open(path, O_RDWR);
	ssize_t n = write(fd, text, strlen(text));
	printf("%s <- %.20s: %zd %d\n", strrchr(path, '/'), text, n, n < 0 ? errno : 0);
	close(fd);
}
static void print_file(const char *path)
{
	char b[400];
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, b, sizeof b - 1);
	printf("%s: %.*s", strrchr(path, '/'), n > 0 ? (int)n : 0, b);
	close(fd);
}
static void ids(void)
{
	uid_t r, e, s;
	struct stat st;
	getresuid(&r, &e, &s);
	printf("uids %d %d %d gid %d", r, e, s, getgid());
	stat("/", &st);
	printf(" / %d:%d\n", st.st_uid, st.st_gid);
}
static void caps(void)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];
	syscall(SYS_capget, &h, d);
	printf("caps %d %d\n", d[0].effective == 0xffffffff, d[0].inheritable != 0);
}
static void same(const char *what, const char *a, const char *b)
{
	char x[64] = "", y[64] = "";
	readlink(a, x, 63);
	readlink(b, y, 63);
	printf("%s %s\n", what, strcmp(x, y) ? "differs" : "same");
}
/* Runs f in a child whose own end the parent answers. */
static void in_child(const char *name, void (*f)(void))
{
	printf("-- %s\n", name);
	fflush(stdout);
	pid_t kid = fork();
	if (!kid) {
		f();
		fflush(stdout);
		_exit(0);
	}
	int st;
	waitpid(kid, &st, 0);
	printf("ended %d\n", st);
}

static void root(void)
{
	char up[64];
	snprintf(up, sizeof up, "/proc/%d/ns/user", getppid());
	setgroups(0, NULL);
	R(unshare(CLONE_NEWUSER));
	same("user", "/proc/self/ns/user", up);
	ids();
	caps();
	R(setgroups(0, NULL));
	R(setuid(0));
	give("/proc/self/uid_map", "0 0");
	give("/proc/self/uid_map", "0 5 1");
	give("/proc/self/uid_map", "0 0 2");
	give("/proc/self/gid_map", "0 0 1");
	give("/proc/self/setgroups", "deny");
	give("/proc/self/uid_map", "7 0 1\n");
	give("/proc/self/uid_map", "7 0 1\n");
	give("/proc/self/gid_map", "8 0 1");
	give("/proc/self/setgroups", "allow");
	print_file("/proc/self/uid_map");
	print_file("/proc/self/gid_map");
	print_file("/proc/self/setgroups");
	ids();
	R(setuid(0));
	R(setuid(7));
	R(setresgid(-1, 8, 8));
	R(setgroups(0, NULL));
	R(chown("/", 7, 9));
	R(mount("none", "/proc", "none", MS_REMOUNT | MS_BIND, NULL) < 0);
	R(sethostname("never", 5));
	R(unshare(CLONE_NEWUTS));
	R(sethostname("inner", 5));
	char n[20];
	gethostname(n, sizeof n);
	puts(n);
	int fd = open("/proc/self/ns/uts", O_RDONLY), user = ioctl(fd, NS_GET_USERNS);
	printf("owner %d type %x\n", user >= 0, ioctl(user, NS_GET_NSTYPE));
	uid_t owner = 99;
	R(ioctl(user, NS_GET_OWNER_UID, &owner));
	printf("owned by %d\n", owner);
	R(ioctl(user, NS_GET_PARENT));
	R(ioctl(user, NS_GET_USERNS));
	R(setns(user, 0));
	fd = open(up, O_RDONLY);
	R(setns(fd, CLONE_NEWUSER) < 0);
	R(chroot("/"));
	R(mknod("/userns-null", S_IFCHR | 0600, 0x103));
	R(prctl(PR_SET_SECUREBITS, 1));
	R(kill(getppid(), 0));
	/* nested */
	R(unshare(CLONE_NEWUSER));
	ids();
	give("/proc/self/uid_map", "0 7 1");
	ids();
	print_file("/proc/self/uid_map");
	int deep = 0;
	while (!unshare(CLONE_NEWUSER) && deep < 100) {
		give("/proc/self/uid_map", "0 0 1");
		if (++deep > 2)
			break;
	}
	printf("deep %d %d\n", deep, errno);
}

static void plain(void)
{
	setgroups(0, NULL);
	setresgid(1000, 1000, 1000);
	setresuid(1000, 1000, 1000);
	prctl(PR_SET_DUMPABLE, 1);
	R(unshare(CLONE_NEWUTS));
	R(unshare(CLONE_NEWUSER | CLONE_NEWUTS));
	ids();
	give("/proc/self/uid_map", "0 0 1");
	give("/proc/self/uid_map", "0 1000 2");
	give("/proc/self/gid_map", "0 1000 1");
	give("/proc/self/uid_map", "0 1000 1");
	give("/proc/self/setgroups", "deny");
	give("/proc/self/gid_map", "0 1000 1");
	ids();
	caps();
	R(sethostname("mine", 4));
	R(open("/etc/shadow", O_RDONLY) < 0);
	int sv[2];
	struct ucred u;
	socklen_t len = sizeof u;
	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	getsockopt(sv[0], SOL_SOCKET, SO_PEERCRED, &u, &len);
	printf("peer %d %d\n", u.uid, u.gid);
	/* credentials of a message, a signal's sender */
	union { char b[CMSG_SPACE(sizeof u)]; struct cmsghdr h; } c;
	char byte;
	struct iovec v = { &byte, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c };
	setsockopt(sv[0], SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int));
	write(sv[1], "x", 1);
	R(recvmsg(sv[0], &m, 0));
	memcpy(&u, CMSG_DATA(&c.h), sizeof u);
	printf("message %d %d\n", u.uid, u.gid);
	sigset_t set;
	siginfo_t si;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	kill(getpid(), SIGUSR1);
	sigwaitinfo(&set, &si);
	printf("signal by %d\n", si.si_uid);
	execl("/bin/sh", "sh", "-c", "id -u; id -g; grep -E '^(Uid|Gid|CapEff)' /proc/self/status | tr 'a-f' 'ffffff'", NULL);
}

/* The parent writes the maps of a child in a namespace of its own. */
static void mapped(void)
{
	int go[2], at[2];
	char c, path[64];
	pipe(go);
	pipe(at);
	fflush(stdout);
	pid_t kid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
	if (!kid) {
		for (int i = 0; i < 20; i++)
			if (getuid() != 65534)
				puts("early");
		write(at[1], "", 1);
		read(go[0], &c, 1);
		ids();
		R(setgroups(2, (gid_t[]){ 3, 4 }));
		R(setgroups(1, (gid_t[]){ 400 }));
		R(setresuid(5, 6, 7));
		prctl(PR_SET_DUMPABLE, 1);
		ids();
		caps();
		fflush(stdout);
		write(at[1], "", 1);
		read(go[0], &c, 1);
		_exit(0);
	}
	read(at[0], &c, 1);
	snprintf(path, sizeof path, "/proc/%d/uid_map", kid);
	give(path, "0 100 10\n20 200 5\n5 700 3\n");
	give(path, "0 100 10\n20 200 5\n");
	print_file(path);
	snprintf(path, sizeof path, "/proc/%d/gid_map", kid);
	give(path, "0 0 10\n");
	write(go[1], "", 1);
	read(at[0], &c, 1);
	R(kill(kid, 0));
	snprintf(path, sizeof path, "/proc/%d/ns/user", kid);
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		printf("open: %d\n", errno);
	R(ioctl(fd, NS_GET_NSTYPE));
	R(ioctl(fd, NS_GET_PARENT) >= 0);
	R(setns(fd, CLONE_NEWUTS));
	R(setns(fd, CLONE_NEWUSER));
	ids();
	write(go[1], "", 1);
	R(waitpid(kid, NULL, 0) == kid);
	R(setns(fd, 0));
}

int main(void)
{
	in_child("root", root);
	in_child("plain", plain);
	in_child("mapped", mapped);
	R(syscall(SYS_clone, CLONE_NEWUSER | CLONE_FS | SIGCHLD, 0, 0, 0, 0));
	R(syscall(SYS_clone, CLONE_NEWUSER | CLONE_THREAD | CLONE_VM | CLONE_SIGHAND, 0, 0, 0, 0));
	give("/proc/self/uid_map", "0 0 1");
	print_file("/proc/self/uid_map");
	return 0;
}
