/* File capabilities: what security.capability takes and what a program gets by it. */
#include "diff.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NAME "security.capability"
#define NET_RAW 13
#define CHOWN 0
#define SYS_BOOT 22

static struct vfs_cap_data cap(unsigned permitted, unsigned inheritable, int effective) {
	struct vfs_cap_data c = {.magic_etc = VFS_CAP_REVISION_2 | effective};
	c.data[0].permitted = permitted;
	c.data[0].inheritable = inheritable;
	return c;
}

static int tell(void) {
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2] = {0};
	syscall(SYS_capget, &h, d);
	printf("  uid %d/%d p=%x i=%x e=%x amb=%d secure=%lu dumpable=%d\n", getuid(), geteuid(),
	       d[0].permitted, d[0].inheritable, d[0].effective,
	       prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CHOWN, 0, 0), getauxval(AT_SECURE),
	       prctl(PR_GET_DUMPABLE));
	return 0;
}

enum { PLAIN, NNP, INHERIT, AMBIENT, DROPPED, ROOT };

static void run(const char *what, int how) {
	printf("%s\n", what);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
		struct __user_cap_data_struct d[2] = {0};
		if (how == DROPPED) prctl(PR_CAPBSET_DROP, NET_RAW);
		if (how == NNP) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (how >= INHERIT && how <= AMBIENT) prctl(PR_SET_KEEPCAPS, 1);
		if (how != ROOT && setresuid(1000, 1000, 1000)) perror("setresuid");
		if (how >= INHERIT && how <= AMBIENT) {
			d[0].permitted = d[0].inheritable = 1 << CHOWN;
			syscall(SYS_capset, &h, d);
			if (how == AMBIENT) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CHOWN, 0, 0);
		}
		execl("./prog", "prog", "show", NULL);
		printf("  exec: %s\n", strerrorname_np(errno));
		fflush(stdout);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

static void all(const char *what) {
	static const char *how[] = {"plain", "no new privileges", "inheritable", "ambient", "bounding set", "root"};
	printf("== %s\n", what);
	for (int i = PLAIN; i <= ROOT; i++) run(how[i], i);
}

#define SET(c) R(setxattr("prog", NAME, &c, sizeof c, 0))

int main(int argc, char **argv) {
	(void)argv;
	if (argc > 1) return tell();
	static char buf[1 << 20];
	int in = open("/proc/self/exe", O_RDONLY), out = open("prog", O_WRONLY | O_CREAT, 0755);
	for (ssize_t n; (n = read(in, buf, sizeof buf)) > 0;) write(out, buf, n);
	close(out);
	chmod("prog", 0755);
	struct vfs_cap_data c = cap(1 << NET_RAW, 0, 1), got;
	SET(c);
	R(getxattr("prog", NAME, &got, sizeof got));
	T(!memcmp(&c, &got, sizeof c));
	R(setxattr("prog", NAME, &c, 19, 0));
	c.magic_etc = 0x05000000;
	SET(c);
	CHILD({ c = cap(1, 0, 0); setresuid(1000, 1000, 1000); SET(c); R(removexattr("prog", NAME)); });
	all("permitted, effective");
	c = cap(1 << NET_RAW, 0, 0);
	SET(c);
	all("permitted");
	c = cap(0, 1 << CHOWN, 1);
	SET(c);
	all("inheritable");
	c = cap(1 << SYS_BOOT, 0, 1);
	SET(c);
	all("beyond the bounding set");
	c = cap(1 << SYS_BOOT | 1 << NET_RAW, 0, 0);
	SET(c);
	all("beyond the bounding set, later");
	c = cap(1 << NET_RAW, 0, 1);
	chown("prog", 0, 0);
	SET(c);
	chmod("prog", 04755);
	all("with set-user-id");
	chmod("prog", 0755);
	R(removexattr("prog", NAME));
	all("without");
	/* Writing takes them away. */
	SET(c);
	out = open("prog", O_WRONLY | O_APPEND);
	write(out, "x", 1);
	close(out);
	R(getxattr("prog", NAME, &got, sizeof got));
	return 0;
}
