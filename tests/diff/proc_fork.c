/* fork and vfork: what is inherited, what is the child's own. */
#include "diff.h"

static volatile int shared_by_vfork = 1;

int main(void)
{
	int p[2];
	char b[16];
	pipe(p);
	put("f", "0123456789");
	int fd = open("f", O_RDONLY);
	pid_t me = getpid(), k;

	k = fork();
	if (!k) {
		T(getppid() == me);
		T(getpid() != me);
		T(gettid() == getpid());
		T(getpgrp() == getpgid(me));
		T(getsid(0) == getsid(me));
		_exit(7);
	}
	reap(__LINE__, "child", k);
	T(k > 0);
	/* offset, flags, umask, cwd, signals */
	lseek(fd, 3, SEEK_SET);
	signal(SIGUSR1, SIG_IGN);
	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, SIGUSR2);
	sigprocmask(SIG_BLOCK, &s, NULL);
	raise(SIGUSR2);
	alarm(15);
	umask(027);
	CHILD({
		P("offset %ld umask %o", (long)lseek(fd, 0, SEEK_CUR), umask(0));
		P("alarm left %d", alarm(0) == 20);
		sigset_t q;
		sigpending(&q);
		P("pending in the child %d", sigismember(&q, SIGUSR2));
		sigprocmask(SIG_BLOCK, NULL, &q);
		P("mask inherited %d", sigismember(&q, SIGUSR2));
		T(signal(SIGUSR1, SIG_DFL) == SIG_IGN);
		read(fd, b, 2);
		close(fd);
		chdir("/");
	});
	alarm(20);
	P("parent's offset %ld", (long)lseek(fd, 0, SEEK_CUR));
	T(signal(SIGUSR1, SIG_DFL) == SIG_IGN);
	/* file descriptors are copies */
	CHILD({ close(p[0]); R(fcntl(p[0], F_GETFD)); dup2(p[1], 50); });
	R(fcntl(p[0], F_GETFD));
	R(fcntl(50, F_GETFD));
	/* threads do not come along */
	/* times start at zero, counts too */
	CHILD({
		struct rusage ru;
		getrusage(RUSAGE_CHILDREN, &ru);
		P("child's children used %ld", (long)(ru.ru_utime.tv_sec + ru.ru_utime.tv_usec));
	});
	/* exit codes are cut to eight bits */
	CHILD(_exit(0x1ff));
	CHILD(_exit(-1));
	CHILD(exit(3));
	CHILD(kill(getpid(), SIGKILL));
	CHILD(abort());
	CHILD(raise(SIGTERM));

	/* vfork: shared memory, parent waits */
	k = vfork();
	if (!k) {
		shared_by_vfork = 2;
		_exit(9);
	}
	P("vfork: seen %d", shared_by_vfork);
	reap(__LINE__, "vfork child", k);
	k = vfork();
	if (!k) {
		execl("/bin/busybox", "sh", "-c", "exit 12", NULL);
		_exit(1);
	}
	reap(__LINE__, "vfork exec", k);
	k = vfork();
	if (!k) {
		execl("/none", "none", NULL);
		shared_by_vfork = errno;
		_exit(1);
	}
	P("exec failed with %s", ename(shared_by_vfork));
	reap(__LINE__, "vfork exec none", k);
	k = vfork();
	if (!k) {
		kill(getpid(), SIGKILL);
		_exit(1);
	}
	reap(__LINE__, "vfork killed", k);

	/* orphans go to pid 1 */
	pipe(p);
	CHILD({
		if (fork() == 0) {
			while (getppid() != 1)
				msleep(5);
			write(p[1], "1", 1);
			_exit(0);
		}
	});
	R(read(p[0], b, 1));
	R(wait(NULL) > 0);
	R(wait(NULL));
	/* a limit on processes counts for a plain user */
	CHILD({
		struct rlimit rl = { 0, 0 };
		setrlimit(RLIMIT_NPROC, &rl);
		setuid(12345);
		R(fork());
	});
	/* a thousand in a row */
	int ok = 0, st;
	for (int i = 0; i < 300; i++) {
		k = fork();
		if (!k)
			_exit(i & 127);
		if (waitpid(k, &st, 0) == k && WEXITSTATUS(st) == (i & 127))
			ok++;
	}
	P("ok %d", ok);
	return 0;
}
