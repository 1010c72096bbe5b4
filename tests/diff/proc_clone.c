/* clone and clone3 flags and their errors. */
#include "diff.h"
#include <linux/sched.h>
#include <sys/mount.h>

static char stack[65536] __attribute__((aligned(16)));
static volatile int mem;
static int fd;

static int fn_mem(void *a) { mem = (long)a; return 5; }
static int fn_fd(void *a) { (void)a; close(fd); return 0; }
static int fn_cwd(void *a) { (void)a; chdir("/"); umask(077); return 0; }
static int fn_sig(void *a) { (void)a; signal(SIGUSR1, SIG_IGN); return 0; }
static int fn_ppid(void *a) { return getppid() == (long)a ? 0 : 1; }
static int fn_ns(void *a) { (void)a; return getpid() == 1 ? 1 : 0; }

static long c3(struct clone_args *a, size_t n)
{
	return syscall(SYS_clone3, a, n);
}

static void run(int line, const char *what, int (*fn)(void *), int flags, void *arg)
{
	pid_t k = clone(fn, stack + sizeof stack, flags, arg);
	if (k < 0) {
		say(line, "%s: %s", what, ename(errno));
		return;
	}
	int st;
	if (waitpid(k, &st, __WALL) != k)
		say(line, "%s: wait %s", what, ename(errno));
	else
		say_status(line, what, st);
}

int main(void)
{
	char cwd[100];
	int st, pidfd = -1;
	pid_t tid = 0, k;

	run(__LINE__, "plain", fn_mem, SIGCHLD, (void *)3);
	P("mem %d", mem);
	run(__LINE__, "vm", fn_mem, CLONE_VM | SIGCHLD, (void *)4);
	P("mem %d", mem);
	run(__LINE__, "vm vfork", fn_mem, CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)5);
	P("mem %d", mem);
	fd = open("/dev/null", O_RDONLY);
	run(__LINE__, "own files", fn_fd, SIGCHLD, NULL);
	R(fcntl(fd, F_GETFD));
	run(__LINE__, "files", fn_fd, CLONE_FILES | SIGCHLD, NULL);
	R(fcntl(fd, F_GETFD));
	run(__LINE__, "own fs", fn_cwd, SIGCHLD, NULL);
	P("at root %d umask %o", strcmp(getcwd(cwd, 100), "/") == 0, umask(022));
	run(__LINE__, "fs", fn_cwd, CLONE_FS | SIGCHLD, NULL);
	P("at root %d umask %o", strcmp(getcwd(cwd, 100), "/") == 0, umask(022));
	run(__LINE__, "sighand", fn_sig, CLONE_VM | CLONE_SIGHAND | SIGCHLD, NULL);
	T(signal(SIGUSR1, SIG_DFL) == SIG_IGN);
	run(__LINE__, "sighand without vm", fn_sig, CLONE_SIGHAND | SIGCHLD, NULL);
	run(__LINE__, "thread without sighand", fn_sig, CLONE_VM | CLONE_THREAD, NULL);
	run(__LINE__, "fs and newns", fn_ns, CLONE_FS | CLONE_NEWNS | SIGCHLD, NULL);
	run(__LINE__, "newpid without privilege", fn_ns, CLONE_NEWPID | SIGCHLD, NULL);
	run(__LINE__, "newns without privilege", fn_ns, CLONE_NEWNS | SIGCHLD, NULL);
	run(__LINE__, "newnet without privilege", fn_ns, CLONE_NEWNET | SIGCHLD, NULL);
	R(unshare(CLONE_NEWNS));
	R(unshare(CLONE_NEWUTS));
	R(unshare(0));
	R(unshare(CLONE_FS));
	R(unshare(CLONE_FILES));
	R(unshare(CLONE_THREAD));
	R(unshare(CLONE_VM));
	R(unshare(0x1));
	/* exit signals */
	run(__LINE__, "no exit signal", fn_mem, 0, (void *)6);
	k = clone(fn_mem, stack + sizeof stack, 0, (void *)7);
	R(waitpid(k, &st, WNOHANG));
	R(waitpid(k, &st, __WCLONE) == k);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	k = clone(fn_mem, stack + sizeof stack, SIGUSR2, (void *)8);
	siginfo_t si;
	R(sigwaitinfo(&set, &si));
	P("code %d status %d pid %d", si.si_code, si.si_status, si.si_pid == k);
	R(waitpid(k, &st, 0));
	R(waitpid(k, &st, __WALL) == k);
	/* CLONE_PARENT */
	pid_t gp = getpid();
	if (fork() == 0)
		_exit(clone(fn_ppid, stack + sizeof stack, CLONE_PARENT | SIGCHLD, (void *)(long)gp) > 0 ? 0 : errno);
	int sum = 0;
	for (int i = 0; i < 2; i++)
		sum += waitpid(-1, &st, 0) > 0 && st == 0;
	P("both are my children %d", sum);

	/* raw clone with parent and child tid, CLEARTID */
	static volatile pid_t ptid, ctid;
	k = syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, 0, &ptid, &ctid, 0);
	if (!k)
		_exit(ctid == getpid() && ptid == getpid() ? 0 : 1);
	T(ptid == k && ctid == 0);
	reap(__LINE__, "settid", k);
	k = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &pidfd, 0, 0);
	if (!k)
		_exit(0);
	P("pidfd %d cloexec %d", pidfd, fcntl(pidfd, F_GETFD));
	reap(__LINE__, "pidfd", k);
	R(syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, 0, &pidfd, 0, 0));

	/* clone3 */
	struct clone_args a = { .exit_signal = SIGCHLD };
	k = c3(&a, sizeof a);
	if (!k)
		_exit(21);
	reap(__LINE__, "clone3", k);
	k = c3(&a, 64);
	if (!k)
		_exit(22);
	reap(__LINE__, "clone3 of 64", k);
	R(c3(&a, 63));
	R(c3(&a, 5000));
	R(c3(BAD, sizeof a));
	a.flags = 0x80;
	R(c3(&a, sizeof a));
	a.flags = CLONE_DETACHED;
	R(c3(&a, sizeof a));
	a.flags = 0;
	a.exit_signal = 65;
	R(c3(&a, sizeof a));
	a.exit_signal = SIGCHLD;
	a.stack = (uintptr_t)stack;
	R(c3(&a, sizeof a));
	a.stack = 0;
	a.stack_size = 4096;
	R(c3(&a, sizeof a));
	a.stack_size = 0;
	a.set_tid = (uintptr_t)&tid;
	a.set_tid_size = 1;
	R(c3(&a, sizeof a));
	a.set_tid_size = 33;
	R(c3(&a, sizeof a));
	a.set_tid = 0;
	a.set_tid_size = 0;
	a.flags = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
	R(c3(&a, sizeof a));
	a.flags = CLONE_CLEAR_SIGHAND | CLONE_SIGHAND | CLONE_VM;
	R(c3(&a, sizeof a));
	signal(SIGUSR1, on_limit);
	signal(SIGHUP, SIG_IGN);
	a.flags = CLONE_CLEAR_SIGHAND | CLONE_PARENT_SETTID | CLONE_PIDFD;
	a.parent_tid = (uintptr_t)&tid;
	a.pidfd = (uintptr_t)&pidfd;
	k = c3(&a, sizeof a);
	if (!k)
		_exit((signal(SIGUSR1, SIG_DFL) == SIG_DFL) + 2 * (signal(SIGHUP, SIG_DFL) == SIG_IGN));
	T(tid == k && pidfd > 2);
	reap(__LINE__, "clear sighand", k);
	return 0;
}
