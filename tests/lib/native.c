/*
 * native: run a program on the host kernel the way a container is run, as the
 * oracle of the differential tests. Own pid, mount, net, ipc, uts and cgroup
 * namespaces, the root changed, /proc /dev /sys mounted, the capabilities and
 * limits of the bundle that run.sh writes; the program is PID 1.
 *
 *   native ROOT CWD PROGRAM [ARG...]        ends with the program's status
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "native: %s: %s\n", what, strerror(errno));
	_exit(126);
}

static void must(int r, const char *what)
{
	if (r < 0)
		die(what);
}

static void device(const char *name, unsigned maj, unsigned min)
{
	must(mknod(name, S_IFCHR | 0666, makedev(maj, min)), name);
	must(chmod(name, 0666), name);
}

static void make_dev(void)
{
	must(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"), "dev");
	must(mkdir("dev/pts", 0755), "pts");
	must(mkdir("dev/shm", 01777), "shm");
	must(mkdir("dev/mqueue", 0755), "mqueue");
	must(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"), "devpts");
	must(mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k"), "shm");
	must(mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL), "mqueue");
	device("dev/null", 1, 3);
	device("dev/zero", 1, 5);
	device("dev/full", 1, 7);
	device("dev/random", 1, 8);
	device("dev/urandom", 1, 9);
	device("dev/tty", 5, 0);
	must(symlink("pts/ptmx", "dev/ptmx"), "ptmx");
	must(symlink("/proc/self/fd", "dev/fd"), "fd");
	must(symlink("/proc/self/fd/0", "dev/stdin"), "stdin");
	must(symlink("/proc/self/fd/1", "dev/stdout"), "stdout");
	must(symlink("/proc/self/fd/2", "dev/stderr"), "stderr");
}

static void loopback_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	must(s, "socket");
	must(ioctl(s, SIOCGIFFLAGS, &ifr), "lo");
	ifr.ifr_flags |= IFF_UP;
	must(ioctl(s, SIOCSIFFLAGS, &ifr), "lo up");
	close(s);
}

/* The set that docker gives by default: run.sh's config.json names the same. */
static const int caps[] = {
	CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FSETID, CAP_FOWNER, CAP_MKNOD, CAP_NET_RAW, CAP_SETGID,
	CAP_SETUID, CAP_SETFCAP, CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_KILL,
	CAP_AUDIT_WRITE,
};

static void drop_caps(void)
{
	unsigned long long keep = 0;
	const char *all = getenv("WORLD_CAPS");

	if (all && !strcmp(all, "all"))
		return;
	for (size_t i = 0; i < sizeof caps / sizeof caps[0]; i++)
		keep |= 1ull << caps[i];
	for (int c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
		if (!(keep >> c & 1))
			must(prctl(PR_CAPBSET_DROP, c, 0, 0, 0), "bounding set");
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = {
		{ keep, keep, 0 }, { keep >> 32, keep >> 32, 0 },
	};
	must(syscall(SYS_capset, &h, d), "capset");
}

static void limit(int what, rlim_t v)
{
	struct rlimit r = { v, v };
	must(setrlimit(what, &r), "setrlimit");
}

static void child(const char *root, const char *cwd, char **argv)
{
	char *env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
			"LC_ALL=C", NULL };
	must(prctl(PR_SET_PDEATHSIG, SIGKILL), "pdeathsig");
	must(mount("", "/", "", MS_REC | MS_PRIVATE, NULL), "private");
	must(mount(root, root, "", MS_BIND | MS_REC, NULL), "bind");
	must(chdir(root), "chdir root");
	must(mount("proc", "proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL), "proc");
	must(mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL), "sys");
	make_dev();
	loopback_up();
	must(sethostname("diff", 4), "hostname");
	must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	must(umount2(".", MNT_DETACH), "umount");
	must(chdir("/"), "chdir /");
	const char *nofile = getenv("WORLD_NOFILE");
	limit(RLIMIT_NOFILE, nofile ? strtoul(nofile, NULL, 10) : 1024);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NPROC, 4096);
	limit(RLIMIT_MEMLOCK, 8 << 20);
	umask(022);
	must(setsid(), "setsid");
	drop_caps();
	must(chdir(cwd), "chdir cwd");
	must(prctl(PR_SET_PDEATHSIG, 0), "pdeathsig");
	/* By the raw call: the C library keeps two signals to itself. */
	for (int s = 1; s < 65; s++) {
		unsigned long dfl[4] = { 0 };
		syscall(SYS_rt_sigaction, s, dfl, NULL, 8);
	}
	execve(argv[0], argv, env);
	if (errno == ENOENT) {
		fprintf(stderr, "native: %s: no such file\n", argv[0]);
		_exit(127);
	}
	die(argv[0]);
}

static pid_t kid;

static void forward(int sig)
{
	kill(kid, sig == SIGTERM ? SIGKILL : sig);
}

int main(int argc, char **argv)
{
	int st;
	if (argc < 4) {
		fprintf(stderr, "usage: native ROOT CWD PROGRAM [ARG...]\n");
		return 2;
	}
	/* Before the fork, which then makes a descriptor table of the smallest size. */
	must(close_range(3, ~0u, 0), "close_range");
	must(unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP), "unshare");
	kid = fork();
	must(kid, "fork");
	if (kid == 0)
		child(argv[1], argv[2], argv + 3);
	signal(SIGTERM, forward);
	signal(SIGINT, SIG_IGN);
	while (waitpid(kid, &st, 0) < 0)
		if (errno != EINTR)
			die("wait");
	return WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st);
}
