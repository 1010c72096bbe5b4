/* seccomp: modes, checks of programs, every action, inheritance, TSYNC, notification. */
#include "diff.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <dirent.h>
#include <poll.h>
#include <ucontext.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>

#define NR BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define ARG(n) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[n]))
#define IS(v, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, v, 0, skip)
#define GIVE(v) BPF_STMT(BPF_RET | BPF_K, v)

static long sec(unsigned op, unsigned flags, void *arg)
{
	return syscall(SYS_seccomp, op, flags, arg);
}

static long load(unsigned flags, struct sock_filter *f, int n)
{
	struct sock_fprog p = { n, f };
	return sec(SECCOMP_SET_MODE_FILTER, flags, &p);
}

/* One rule: call NR gives ACTION. */
static long rule(unsigned flags, int nr, unsigned action)
{
	struct sock_filter f[] = { NR, IS(nr, 1), GIVE(action), GIVE(SECCOMP_RET_ALLOW) };
	return load(flags, f, 4);
}

static void status_lines(void)
{
	char line[128];
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, "NoNewPrivs", 10) || !strncmp(line, "Seccomp", 7)) {
			line[strcspn(line, "\n")] = 0;
			P("%s", line);
		}
	if (f) fclose(f);
}

static void checks(void)
{
	struct sock_filter ok[] = { GIVE(SECCOMP_RET_ALLOW) };
	struct sock_filter half[] = { BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0), GIVE(0x7fff0000) };
	struct sock_filter odd[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), GIVE(0x7fff0000) };
	struct sock_filter far_[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), GIVE(0x7fff0000) };
	struct sock_filter noret[] = { NR };
	struct sock_filter jump[] = { BPF_STMT(BPF_JMP | BPF_JA, 1), GIVE(0x7fff0000) };
	struct sock_filter div0[] = { BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), GIVE(0x7fff0000) };
	struct sock_filter mod[] = { BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 3), GIVE(0x7fff0000) };
	struct sock_filter shift[] = { BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), GIVE(0x7fff0000) };
	struct sock_filter mem[] = { BPF_STMT(BPF_LD | BPF_MEM, 3), GIVE(0x7fff0000) };
	struct sock_fprog p = { 1, ok };

	R(load(0, half, 2));
	R(load(0, odd, 2));
	R(load(0, far_, 2));
	R(load(0, noret, 1));
	R(load(0, jump, 2));
	R(load(0, div0, 2));
	R(load(0, mod, 2));
	R(load(0, shift, 2));
	R(load(0, mem, 2));
	R(load(0, ok, 0));
	R(load(0x100, ok, 1));
	R(load(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_NEW_LISTENER, ok, 1));
	R(load(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, ok, 1));
	R(sec(SECCOMP_SET_MODE_FILTER, 0, BAD));
	R(sec(SECCOMP_SET_MODE_STRICT, 1, 0));
	R(sec(SECCOMP_SET_MODE_STRICT, 0, &p));
	R(sec(77, 0, 0));
	p.filter = BAD;
	R(sec(SECCOMP_SET_MODE_FILTER, 0, &p));
	R(prctl(PR_SET_SECCOMP, 3, 0, 0, 0));
	for (unsigned i = 0; i < 9; i++) {
		unsigned a[] = { SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP,
			SECCOMP_RET_ERRNO, SECCOMP_RET_USER_NOTIF, SECCOMP_RET_TRACE, SECCOMP_RET_LOG,
			SECCOMP_RET_ALLOW, 0x1234 };
		R(sec(SECCOMP_GET_ACTION_AVAIL, 0, &a[i]));
	}
	R(sec(SECCOMP_GET_ACTION_AVAIL, 1, 0));
	R(sec(SECCOMP_GET_ACTION_AVAIL, 0, BAD));
	struct seccomp_notif_sizes s;
	R(sec(SECCOMP_GET_NOTIF_SIZES, 0, &s));
	P("%d %d %d", s.seccomp_notif, s.seccomp_notif_resp, s.seccomp_data);
}

static void on_sys(int s, siginfo_t *i, void *u)
{
	ucontext_t *c = u;
	P("signal %d code %d errno %d nr %d arch %x", s, i->si_code, i->si_errno, i->si_syscall, i->si_arch);
	T((unsigned long)i->si_call_addr == (unsigned long)c->uc_mcontext.gregs[REG_RIP]);
	P("rax %lld", c->uc_mcontext.gregs[REG_RAX]);
	c->uc_mcontext.gregs[REG_RAX] = 4711;
}

static void actions(void)
{
	CHILD({
		R(rule(0, SYS_getuid, SECCOMP_RET_ERRNO | 13));
		R(syscall(SYS_getuid));
		R(syscall(SYS_getgid));
		status_lines();
		R(rule(0, SYS_getuid, SECCOMP_RET_ERRNO | 0xffff));
		P("%ld", ({ long r; asm volatile("syscall" : "=a"(r) : "a"(SYS_getuid) : "rcx", "r11", "memory"); r; }));
		status_lines();
		R(rule(0, SYS_getuid, SECCOMP_RET_ERRNO));
		R(syscall(SYS_getuid));
		CHILD(R(syscall(SYS_getuid)); status_lines(););
		R(prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
		R(prctl(PR_SET_SECCOMP, 1, 0, 0, 0));
	});
	CHILD({
		struct sigaction a = { .sa_sigaction = on_sys, .sa_flags = SA_SIGINFO };
		sigaction(SIGSYS, &a, 0);
		R(rule(SECCOMP_FILTER_FLAG_LOG, SYS_getppid, SECCOMP_RET_TRAP | 77));
		R(syscall(SYS_getppid));
		R(rule(0, 1000, SECCOMP_RET_TRAP | 5));
		R(syscall(1000));
	});
	CHILD(R(rule(0, SYS_getppid, SECCOMP_RET_TRAP)); R(syscall(SYS_getppid)););
	CHILD(R(rule(0, SYS_getppid, SECCOMP_RET_KILL_PROCESS)); R(syscall(SYS_getppid)););
	CHILD(R(rule(0, SYS_getppid, SECCOMP_RET_KILL_THREAD)); R(syscall(SYS_getppid)););
	CHILD(R(rule(0, SYS_getppid, SECCOMP_RET_TRACE | 1)); R(syscall(SYS_getppid)););
	CHILD(R(rule(0, SYS_getppid, SECCOMP_RET_LOG)); T(syscall(SYS_getppid) > 0););
	CHILD(R(rule(0, SYS_getppid, 0x1230000)); R(syscall(SYS_getppid)););
	/* By argument. */
	CHILD({
		struct sock_filter f[] = { NR, IS(SYS_dup, 3), ARG(0), IS(77, 1),
			GIVE(SECCOMP_RET_ERRNO | 99), GIVE(SECCOMP_RET_ALLOW) };
		R(load(0, f, 6));
		R(syscall(SYS_dup, 77));
		R(syscall(SYS_dup, 78));
		R(syscall(SYS_dup, 0));
	});
	/* Strict mode. */
	CHILD({
		R(prctl(PR_SET_SECCOMP, 1, 0, 0, 0));
		syscall(SYS_write, 1, "strict\n", 7);
		syscall(SYS_exit, 3);
	});
	CHILD(R(sec(0, 0, 0)); syscall(SYS_getpid););
	/* No privilege, no filter. */
	CHILD({
		R(setuid(1000));
		R(rule(0, SYS_getppid, SECCOMP_RET_ERRNO | 1));
		R(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
		R(rule(0, SYS_getppid, SECCOMP_RET_ERRNO | 1));
		R(syscall(SYS_getppid));
	});
}

static int go;
static void *thread(void *p)
{
	long *r = p;
	if (r[1])
		rule(0, SYS_getpgid, SECCOMP_RET_ERRNO | 9);
	__atomic_store_n(&go, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&go, __ATOMIC_SEQ_CST) != 2)
		usleep(1000);
	r[0] = syscall(SYS_getppid) < 0 ? -errno : 0;
	return 0;
}

static void *killed(void *p)
{
	rule(0, SYS_getppid, SECCOMP_RET_KILL_THREAD);
	syscall(SYS_getppid);
	return p;
}

static void threads(void)
{
	for (int diverge = 0; diverge < 2; diverge++)
		CHILD({
			pthread_t t;
			long r[2] = { 1, diverge };
			pthread_create(&t, 0, thread, r);
			while (!__atomic_load_n(&go, __ATOMIC_SEQ_CST))
				usleep(1000);
			P("%d", rule(SECCOMP_FILTER_FLAG_TSYNC, SYS_getppid, SECCOMP_RET_ERRNO | 33) > 0);
			R(rule(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH, SYS_getppid,
			       SECCOMP_RET_ERRNO | 33));
			__atomic_store_n(&go, 2, __ATOMIC_SEQ_CST);
			pthread_join(t, 0);
			P("thread: %ld", r[0]);
		});
	CHILD({
		pthread_t t;
		pthread_create(&t, 0, killed, 0);
		char path[64];
		for (int i = 0; i < 2000; i++) {
			int n = 0;
			DIR *d = opendir("/proc/self/task");
			while (readdir(d)) n++;
			closedir(d);
			if (n == 3) break;
			usleep(1000);
		}
		(void)path;
		P("the process goes on");
	});
}

static void notify(void)
{
	int sv[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	pid_t p = fork();
	if (!p) {
		struct sock_filter f[] = { NR, IS(SYS_getppid, 1), GIVE(SECCOMP_RET_USER_NOTIF),
			IS(SYS_dup2, 1), GIVE(SECCOMP_RET_USER_NOTIF), GIVE(SECCOMP_RET_ALLOW) };
		int l = load(SECCOMP_FILTER_FLAG_NEW_LISTENER, f, 6);
		R(load(SECCOMP_FILTER_FLAG_NEW_LISTENER, f, 6));
		P("cloexec %d", fcntl(l, F_GETFD));
		char c[CMSG_SPACE(4)];
		memset(c, 0, sizeof c);
		struct iovec v = { "x", 1 };
		struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = sizeof c };
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET, h->cmsg_type = SCM_RIGHTS, h->cmsg_len = CMSG_LEN(4);
		memcpy(CMSG_DATA(h), &l, 4);
		sendmsg(sv[1], &m, 0);
		close(l);
		long r[4];
		int e[4];
		for (int i = 0; i < 4; i++) {
			errno = 0;
			r[i] = i < 3 ? syscall(SYS_getppid) : syscall(SYS_dup2, 100, 101);
			e[i] = errno;
		}
		char b[8];
		read(sv[1], b, 1);
		for (int i = 0; i < 4; i++)
			P("%s %s", r[i] == getpid() ? "own pid" : r[i] == 30 ? "30" : r[i] < 0 ? "failed" : "other", ename(e[i]));
		R(fcntl(20, F_GETFD));
		R(syscall(SYS_getppid));
		_exit(0);
	}
	char b, c[CMSG_SPACE(4)];
	struct iovec v = { &b, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = sizeof c };
	recvmsg(sv[0], &m, 0);
	int l;
	memcpy(&l, CMSG_DATA(CMSG_FIRSTHDR(&m)), 4);
	struct seccomp_notif n;
	struct seccomp_notif_resp r;
	struct pollfd pf = { l, POLLIN | POLLOUT, 0 };
	memset(&n, 1, sizeof n);
	R(ioctl(l, SECCOMP_IOCTL_NOTIF_RECV, &n));
	for (int i = 0; i < 3; i++) {
		memset(&n, 0, sizeof n);
		R(ioctl(l, SECCOMP_IOCTL_NOTIF_RECV, &n));
		T(n.pid == (unsigned)p);
		P("nr %d arch %x flags %d", n.data.nr, n.data.arch, n.flags);
		poll(&pf, 1, 0);
		P("revents %x", pf.revents);
		R(ioctl(l, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id));
		memset(&r, 0, sizeof r);
		r.id = n.id;
		r.flags = 2;
		R(ioctl(l, SECCOMP_IOCTL_NOTIF_SEND, &r));
		r.flags = i == 0 ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
		if (i == 1) r.error = -EXDEV;
		if (i == 2) r.val = p;
		R(ioctl(l, SECCOMP_IOCTL_NOTIF_SEND, &r));
		R(ioctl(l, SECCOMP_IOCTL_NOTIF_SEND, &r) < 0 && (errno == EINPROGRESS || errno == ENOENT));
	}
	memset(&n, 0, sizeof n);
	R(ioctl(l, SECCOMP_IOCTL_NOTIF_RECV, &n));
	P("nr %d args %llu %llu", n.data.nr, n.data.args[0], n.data.args[1]);
	struct seccomp_notif_addfd a = { .id = n.id, .srcfd = 0, .newfd = 20 };
	R(ioctl(l, SECCOMP_IOCTL_NOTIF_ADDFD, &a));
	a.flags = SECCOMP_ADDFD_FLAG_SETFD;
	a.newfd_flags = O_CLOEXEC;
	R(ioctl(l, SECCOMP_IOCTL_NOTIF_ADDFD, &a));
	a.srcfd = 777;
	R(ioctl(l, SECCOMP_IOCTL_NOTIF_ADDFD, &a));
	a.srcfd = 1, a.newfd = 30, a.flags |= SECCOMP_ADDFD_FLAG_SEND;
	R(ioctl(l, SECCOMP_IOCTL_NOTIF_ADDFD, &a));
	unsigned long long no = 12345678;
	R(ioctl(l, SECCOMP_IOCTL_NOTIF_ID_VALID, &no));
	close(l);
	write(sv[0], "x", 1);
	reap(__LINE__, "notified", p);
}

int main(void)
{
	CHILD(R(rule(0, SYS_getppid, SECCOMP_RET_ERRNO | 1)););
	status_lines();
	R(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	checks();
	actions();
	threads();
	notify();
	status_lines();
	return 0;
}
