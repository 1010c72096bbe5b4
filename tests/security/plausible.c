/*
 * plausible: a guest whose system calls mostly make sense, by a fixed seed.
 *
 *   plausible SEED
 *
 * Wild arguments mostly meet the first check. Here children call with descriptors that are
 * open, lengths that fit, paths that exist and flags that are defined, so that what lies
 * behind the checks is reached, in orders that nobody planned: from several threads, with
 * signals, forks and the exits of others in between. It prints only that it came to its end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static __thread uint64_t state;
static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

#define FDS 48
#define ROOM 65536
static int fds[FDS];
static char room[ROOM] __attribute__((aligned(4096)));
static char *maps[16];

static const char *const paths[] = { ".", "..", "a", "b", "d", "d/e", "d/e/f", "link", "fifo", "sock", "/proc/self/maps",
	"/proc/self/status", "/proc/self/fd", "/proc/self/mem", "/proc/self/task", "/dev/null", "/dev/zero", "/dev/ptmx",
	"/dev/shm", "/tmp", "/proc/sys/kernel", "/sys", "/proc/self/ns", "/dev/full", "/proc/self/exe", "/dev/tty", "d/../a",
	"/proc/self/cwd/b", "/proc/self/fdinfo", "/proc/net", "a/", "//", "" };

static int keep(int fd)
{
	if (fd < 0)
		return fd;
	if (fd < 3 || fd > 400)
		return fd;
	int at = rnd() % FDS, old = __atomic_exchange_n(&fds[at], fd, __ATOMIC_SEQ_CST);
	if (old > 2 && old != fd)
		close(old);
	return fd;
}

/* One argument: f descriptor, F one of them or AT_FDCWD, b buffer, l length, s small number, p path, o offset,
 * 0 zero, a mapped address, n length of memory, v iovec, S sockaddr, L its length's place, t timespec, T itimerspec,
 * g signal, P process, m mask, i anything small signed, e epoll event, k msghdr, q pollfds, c clock, w wild */
static uint64_t argument(char kind)
{
	char *at = room + rnd() % 512 * 64;
	switch (kind) {
	case 'f': return rnd() % 32 ? (uint64_t)fds[rnd() % FDS] : rnd() % 512;
	case 'F': return rnd() % 2 ? (uint64_t)AT_FDCWD : (uint64_t)fds[rnd() % FDS];
	case 'b': return (uint64_t)at;
	case 'l': return rnd() % 3 ? rnd() % 4096 : rnd() % 32768;
	case 's': return rnd() % 8;
	case 'i': return (uint64_t)((int64_t)(rnd() % 9) - 2);
	case 'p': return (uint64_t)paths[rnd() % (sizeof paths / sizeof *paths)];
	case 'o': return rnd() % 4 ? rnd() % 70000 : 1ull << rnd() % 40;
	case '0': return 0;
	case 'a': {
		char *m = maps[rnd() % 16];
		return m ? (uint64_t)m + rnd() % 4 * 4096 : (uint64_t)room;
	}
	case 'n': return (1 + rnd() % 8) * 4096;
	case 'v': {
		struct iovec *v = (struct iovec *)at;
		for (int i = 0; i < 4; i++)
			v[i] = (struct iovec){ room + rnd() % 32768, rnd() % 2000 };
		return (uint64_t)v;
	}
	case 'S':
		if (rnd() % 2) {
			struct sockaddr_in *s = (struct sockaddr_in *)at;
			*s = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(20000 + rnd() % 8) };
			s->sin_addr.s_addr = htonl(rnd() % 4 ? INADDR_LOOPBACK : INADDR_ANY);
		} else {
			struct sockaddr_un *s = (struct sockaddr_un *)at;
			*s = (struct sockaddr_un){ .sun_family = AF_UNIX };
			if (rnd() % 2)
				strcpy(s->sun_path, "sock");
			else
				s->sun_path[1] = 'a' + rnd() % 4;
		}
		return (uint64_t)at;
	case 'L':
		*(uint32_t *)at = rnd() % 128;
		return (uint64_t)at;
	case 't':
		*(struct timespec *)at = (struct timespec){ 0, rnd() % 2000000 };
		return (uint64_t)at;
	case 'T':
		*(struct itimerspec *)at = (struct itimerspec){ { 0, rnd() % 2000000 }, { 0, 1 + rnd() % 2000000 } };
		return (uint64_t)at;
	case 'g': {
		static const int signals[] = { SIGUSR1, SIGUSR2, SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGIO, 34, 35, 0 };
		return signals[rnd() % 10];
	}
	case 'P': return rnd() % 2 ? 0 : (uint64_t)getpid();
	case 'm': {
		uint64_t mask = rnd() & rnd();
		mask &= ~(1ull << (SIGALRM - 1));
		memcpy(at, &mask, 8);
		return (uint64_t)at;
	}
	case 'e':
		*(struct epoll_event *)at = (struct epoll_event){ .events = rnd() & 0xf000201f, .data.u64 = rnd() };
		return (uint64_t)at;
	case 'k': {
		struct msghdr *m = (struct msghdr *)at;
		struct iovec *v = (struct iovec *)(at + 64);
		*v = (struct iovec){ room + rnd() % 32768, rnd() % 2000 };
		*m = (struct msghdr){ .msg_iov = v, .msg_iovlen = 1, .msg_control = at + 128, .msg_controllen = rnd() % 2 ? 64 : 0 };
		struct cmsghdr *c = (struct cmsghdr *)(at + 128);
		*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(4 * (1 + rnd() % 3)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		for (int i = 0; i < 3; i++)
			((int *)CMSG_DATA(c))[i] = fds[rnd() % FDS];
		return (uint64_t)m;
	}
	case 'q': {
		struct pollfd *p = (struct pollfd *)at;
		for (int i = 0; i < 8; i++)
			p[i] = (struct pollfd){ fds[rnd() % FDS], rnd() & 0x3f, 0 };
		return (uint64_t)p;
	}
	case 'c': return rnd() % 12;
	default: return rnd() % 2 ? rnd() : -(rnd() % 64);
	}
}

static const struct { int nr; const char *args; int keeps; } table[] = {
	{ SYS_read, "fbl", 0 }, { SYS_write, "fbl", 0 }, { SYS_pread64, "fblo", 0 }, { SYS_pwrite64, "fblo", 0 },
	{ SYS_readv, "fvs", 0 }, { SYS_writev, "fvs", 0 }, { SYS_preadv2, "fvso0s", 0 }, { SYS_pwritev2, "fvso0s", 0 },
	{ SYS_lseek, "fos", 0 }, { SYS_ftruncate, "fo", 0 }, { SYS_fallocate, "fsoo", 0 }, { SYS_fsync, "f", 0 },
	{ SYS_dup, "f", 1 }, { SYS_fcntl, "fsl", 0 }, { SYS_flock, "fs", 0 }, { SYS_fstat, "fb", 0 },
	{ SYS_newfstatat, "Fpb0", 0 }, { SYS_statx, "Fp0lb", 0 }, { SYS_openat, "Fpsl", 1 }, { SYS_getdents64, "fbl", 0 },
	{ SYS_mkdirat, "Fpl", 0 }, { SYS_unlinkat, "Fp0", 0 }, { SYS_renameat2, "FpFps", 0 }, { SYS_linkat, "FpFp0", 0 },
	{ SYS_symlinkat, "pFp", 0 }, { SYS_readlinkat, "Fpbl", 0 }, { SYS_fchmod, "fl", 0 }, { SYS_utimensat, "Fp00", 0 },
	{ SYS_fsetxattr, "fpbs0", 0 }, { SYS_fgetxattr, "fpbl", 0 }, { SYS_flistxattr, "fbl", 0 }, { SYS_truncate, "po", 0 },
	{ SYS_copy_file_range, "f0f0l0", 0 }, { SYS_sendfile, "ff0l", 0 }, { SYS_splice, "f0f0ls", 0 }, { SYS_tee, "ffls", 0 },
	{ SYS_vmsplice, "fvss", 0 }, { SYS_poll, "qss", 0 }, { SYS_ppoll, "qst0", 0 }, { SYS_epoll_ctl, "fsfe", 0 },
	{ SYS_epoll_wait, "fbss", 0 }, { SYS_socket, "sss", 1 }, { SYS_bind, "fSl", 0 }, { SYS_listen, "fs", 0 },
	{ SYS_connect, "fSl", 0 }, { SYS_accept4, "fbLl", 1 }, { SYS_sendto, "fblsSl", 0 }, { SYS_recvfrom, "fblsbL", 0 },
	{ SYS_sendmsg, "fks", 0 }, { SYS_recvmsg, "fks", 0 }, { SYS_shutdown, "fs", 0 }, { SYS_getsockopt, "fssbL", 0 },
	{ SYS_setsockopt, "fssbs", 0 }, { SYS_getsockname, "fbL", 0 }, { SYS_getpeername, "fbL", 0 }, { SYS_ioctl, "fwb", 0 },
	{ SYS_mprotect, "ans", 0 }, { SYS_madvise, "ans", 0 }, { SYS_mremap, "anns", 0 }, { SYS_msync, "ans", 0 },
	{ SYS_mincore, "anb", 0 }, { SYS_mlock, "an", 0 }, { SYS_munlock, "an", 0 }, { SYS_timerfd_settime, "fsTb", 0 },
	{ SYS_eventfd2, "ls", 1 }, { SYS_timerfd_create, "cs", 1 }, { SYS_epoll_create1, "0", 1 }, { SYS_memfd_create, "ps", 1 },
	{ SYS_inotify_add_watch, "fpl", 0 }, { SYS_signalfd4, "fms0", 0 }, { SYS_rt_sigprocmask, "smb", 0 }, { SYS_tgkill, "PPg", 0 },
	{ SYS_kill, "Pg", 0 }, { SYS_rt_sigtimedwait, "mbt", 0 }, { SYS_nanosleep, "tb", 0 }, { SYS_clock_nanosleep, "c0tb", 0 },
	{ SYS_clock_gettime, "cb", 0 }, { SYS_timer_create, "c0b", 0 }, { SYS_timer_settime, "ssTb", 0 }, { SYS_timer_delete, "s", 0 },
	{ SYS_futex, "bsst", 0 }, { SYS_getrlimit, "sb", 0 }, { SYS_prctl, "lsss", 0 }, { SYS_sched_getaffinity, "Plb", 0 },
	{ SYS_getrusage, "ib", 0 }, { SYS_wait4, "ibs", 0 }, { SYS_waitid, "sPbss", 0 }, { SYS_pidfd_open, "P0", 1 },
	{ SYS_shmget, "sls", 0 }, { SYS_shmat, "s0s", 0 }, { SYS_semget, "sss", 0 }, { SYS_semop, "sbs", 0 },
	{ SYS_msgget, "ss", 0 }, { SYS_msgsnd, "sbls", 0 }, { SYS_msgrcv, "sblis", 0 }, { SYS_mq_open, "psl0", 1 },
	{ SYS_process_vm_readv, "PvsvsO", 0 }, { SYS_getcpu, "bb0", 0 }, { SYS_sysinfo, "b", 0 }, { SYS_statfs, "pb", 0 },
	{ SYS_io_setup, "sb", 0 }, { SYS_membarrier, "s0s", 0 }, { SYS_kcmp, "PPsss", 0 }, { SYS_openat2, "Fpbl", 1 },
	{ SYS_pidfd_send_signal, "fg00", 0 }, { SYS_close_range, "ww0", 0 }, { SYS_chdir, "p", 0 }, { SYS_unshare, "w", 0 },
	{ SYS_set_robust_list, "bl", 0 }, { SYS_sched_yield, "", 0 }, { SYS_readahead, "fol", 0 }, { SYS_fadvise64, "fols", 0 },
};

static void map_something(void)
{
	int at = rnd() % 16, kind = rnd() % 3, fd = fds[rnd() % FDS];
	int flags = kind == 0 ? MAP_PRIVATE | MAP_ANONYMOUS : kind == 1 ? MAP_SHARED : MAP_PRIVATE;
	char *m = mmap(NULL, 8 * 4096, 1 + rnd() % 3, flags, kind ? fd : -1, 0);
	if (m == MAP_FAILED)
		return;
	char *old = __atomic_exchange_n(&maps[at], m, __ATOMIC_SEQ_CST);
	if (old)
		munmap(old, 8 * 4096);
}

static void open_things(void)
{
	int pair[2];
	mkdir("d", 0755), mkdir("d/e", 0755);
	symlink("a", "link"), mkfifo("fifo", 0600);
	keep(open("a", O_CREAT | O_RDWR, 0600)), keep(open("b", O_CREAT | O_RDWR | O_NONBLOCK, 0600));
	keep(open("d", O_RDONLY | O_DIRECTORY)), keep(open("fifo", O_RDWR | O_NONBLOCK));
	if (!pipe2(pair, O_NONBLOCK))
		keep(pair[0]), keep(pair[1]);
	for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type += type == SOCK_DGRAM ? 3 : 1)
		if (!socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, pair))
			keep(pair[0]), keep(pair[1]);
	keep(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)), keep(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	keep(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0)), keep(socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, 0));
	keep(epoll_create1(0)), keep(eventfd(3, EFD_NONBLOCK)), keep(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	keep(memfd_create("m", 2)), keep(inotify_init1(IN_NONBLOCK)), keep(open("/dev/ptmx", O_RDWR | O_NONBLOCK | O_NOCTTY));
	keep(open("/proc/self/maps", O_RDONLY)), keep(open("/dev/zero", O_RDWR)), keep(open("/proc/self/mem", O_RDWR));
}

static void some_calls(int count)
{
	for (int i = 0; i < count; i++) {
		unsigned at = rnd() % (sizeof table / sizeof *table);
		uint64_t a[6] = { 0 };
		for (int k = 0; table[at].args[k]; k++)
			a[k] = argument(table[at].args[k]);
		/* low numbers and the whole mount tree or user are no concern of this test */
		if (table[at].nr == SYS_unshare)
			a[0] &= 0x600;
		if (table[at].nr == SYS_close_range)
			a[0] = 300 + rnd() % 100, a[1] = a[0] + rnd() % 8;
		long got = syscall(table[at].nr, a[0], a[1], a[2], a[3], a[4], a[5]);
		if (table[at].keeps && got >= 0) {
			if (got < 400)
				fcntl(got, F_SETFL, O_NONBLOCK);
			keep(got);
		}
		if (rnd() % 16 == 0)
			map_something();
		if (rnd() % 128 == 0)
			keep(fds[rnd() % FDS] > 2 ? dup(fds[rnd() % FDS]) : -1);
	}
}

static void *thread(void *seed)
{
	state = (uint64_t)seed;
	some_calls(250);
	return NULL;
}

static void nothing(int sig) { (void)sig; }

static void child(uint64_t seed)
{
	state = seed;
	struct rlimit r = { 16 << 20, 16 << 20 };
	setrlimit(RLIMIT_FSIZE, &r);
	r = (struct rlimit){ 256, 256 };
	setrlimit(RLIMIT_NOFILE, &r);
	r = (struct rlimit){ 0, 0 };
	setrlimit(RLIMIT_CORE, &r);
	for (int s = 1; s < 36; s++)
		if (s != SIGALRM && s != SIGSEGV && s != SIGBUS && s != SIGILL && s != 32 && s != 33)
			signal(s, nothing);
	struct itimerval it = { { 0, 100000 }, { 1, 0 } };
	signal(SIGALRM, SIG_DFL);
	setitimer(ITIMER_REAL, &it, NULL);
	open_things();
	pthread_t t[3];
	int many = rnd() % 3;
	for (int i = 0; i < many; i++)
		pthread_create(&t[i], NULL, thread, (void *)(rnd() | 1));
	if (rnd() % 4 == 0 && fork() == 0) {
		some_calls(100);
		_exit(0);
	}
	some_calls(400);
	for (int i = 0; i < many; i++)
		pthread_join(t[i], NULL);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	uint64_t seed = strtoull(argv[1], NULL, 0) * 0x9e3779b97f4a7c15 | 1;
	int out = dup(1), null = open("/dev/null", O_RDWR);
	dup2(null, 0), dup2(null, 1), dup2(null, 2);
	out = fcntl(out, F_DUPFD_CLOEXEC, 500);
	if (chdir("/scratch"))
		return 3;
	for (int i = 0; i < 40; i++) {
		pid_t k = fork();
		if (k == 0) {
			setsid();
			/* an ordinary user: the host that runs this natively keeps its files */
			if (setgid(12345) || setuid(12345))
				_exit(1);
			child(seed + (uint64_t)i * 0x2545f4914f6cdd1d);
			_exit(0);
		}
		for (int w = 0; w < 400 && waitpid(k, NULL, WNOHANG) == 0; w++) {
			struct timespec ts = { 0, 10000000 };
			nanosleep(&ts, NULL);
			if (w == 300)
				kill(k, SIGKILL);
		}
		kill(-k, SIGKILL);
	}
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	dprintf(out, "plausible %s: the kernel is still there\n", argv[1]);
	return 0;
}
