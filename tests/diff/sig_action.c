/* sigaction, signal masks, pending, default actions, flags, order of delivery. */
#include "diff.h"
#include <ucontext.h>

struct kact { void *h; unsigned long flags; void *rest; uint64_t mask; };

static volatile int n, order[20], in_handler, depth, maxdepth;
static void rec(int s) { order[n++ % 20] = s; }
static void nest(int s)
{
	if (++depth > maxdepth)
		maxdepth = depth;
	if (n++ < 3)
		raise(s);
	depth--;
}
static void show_mask(int s)
{
	sigset_t m;
	sigprocmask(SIG_BLOCK, NULL, &m);
	P("in handler of %d: blocked USR1 %d USR2 %d HUP %d", s, sigismember(&m, SIGUSR1), sigismember(&m, SIGUSR2),
	  sigismember(&m, SIGHUP));
}
static void change_uc(int s, siginfo_t *si, void *v)
{
	(void)s, (void)si;
	sigaddset(&((ucontext_t *)v)->uc_sigmask, SIGHUP);
}
static void raise_other(int s)
{
	order[n++ % 20] = s;
	if (s == SIGUSR1)
		raise(SIGUSR2);
	order[n++ % 20] = -s;
}

static void act(int s, void (*h)(int), int flags, int block)
{
	struct sigaction sa = { .sa_handler = h, .sa_flags = flags };
	sigemptyset(&sa.sa_mask);
	if (block)
		sigaddset(&sa.sa_mask, block);
	sigaction(s, &sa, NULL);
}

static void orders(int line)
{
	char b[200] = "";
	for (int i = 0; i < n && i < 20; i++)
		sprintf(b + strlen(b), " %d", order[i]);
	say(line, "order%s", b);
	n = 0;
}

int main(void)
{
	struct sigaction sa, old;
	struct kact ka;
	sigset_t m, q;

	/* errors */
	R(sigaction(0, NULL, &old));
	R(sigaction(65, NULL, &old));
	R(sigaction(SIGKILL, NULL, &old));
	R(syscall(SYS_rt_sigaction, SIGKILL, NULL, &ka, 8));
	memset(&ka, 0, sizeof ka);
	R(syscall(SYS_rt_sigaction, SIGKILL, &ka, NULL, 8));
	R(syscall(SYS_rt_sigaction, SIGSTOP, &ka, NULL, 8));
	R(syscall(SYS_rt_sigaction, SIGUSR1, &ka, NULL, 4));
	R(syscall(SYS_rt_sigaction, SIGUSR1, BAD, NULL, 8));
	R(syscall(SYS_rt_sigaction, SIGUSR1, NULL, BAD, 8));
	R(syscall(SYS_rt_sigaction, -1, NULL, NULL, 8));
	act(SIGUSR1, rec, SA_RESTART | SA_NODEFER, SIGHUP);
	R(sigaction(SIGUSR1, NULL, &old));
	P("flags %x handler %d mask HUP %d", old.sa_flags & ~0x04000000, old.sa_handler == rec, sigismember(&old.sa_mask, SIGHUP));
	R(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &q, 4));
	R(syscall(SYS_rt_sigprocmask, 99, &q, NULL, 8));
	R(syscall(SYS_rt_sigprocmask, 99, NULL, &q, 8));
	R(syscall(SYS_rt_sigprocmask, SIG_BLOCK, BAD, NULL, 8));
	R(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, BAD, 8));
	R(syscall(SYS_rt_sigpending, BAD, 8));
	R(syscall(SYS_rt_sigpending, &q, 9));

	/* KILL and STOP cannot be blocked */
	sigfillset(&m);
	sigprocmask(SIG_SETMASK, &m, NULL);
	sigprocmask(SIG_BLOCK, NULL, &q);
	P("KILL %d STOP %d TERM %d", sigismember(&q, SIGKILL), sigismember(&q, SIGSTOP), sigismember(&q, SIGTERM));
	sigemptyset(&m);
	sigprocmask(SIG_SETMASK, &m, NULL);

	/* blocked, pending, merged, delivered lowest first */
	act(SIGUSR1, rec, 0, 0);
	act(SIGUSR2, rec, 0, 0);
	act(SIGHUP, rec, 0, 0);
	act(SIGTERM, rec, 0, 0);
	sigaddset(&m, SIGUSR1);
	sigaddset(&m, SIGUSR2);
	sigaddset(&m, SIGHUP);
	sigaddset(&m, SIGTERM);
	sigprocmask(SIG_BLOCK, &m, NULL);
	raise(SIGUSR2);
	raise(SIGUSR1);
	raise(SIGUSR1);
	raise(SIGHUP);
	kill(getpid(), SIGTERM);
	sigpending(&q);
	P("pending %d%d%d%d", sigismember(&q, SIGUSR1), sigismember(&q, SIGUSR2), sigismember(&q, SIGHUP), sigismember(&q, SIGTERM));
	sigprocmask(SIG_UNBLOCK, &m, NULL);
	orders(__LINE__);
	/* ignoring throws pending ones away */
	sigprocmask(SIG_BLOCK, &m, NULL);
	raise(SIGUSR1);
	signal(SIGUSR1, SIG_IGN);
	sigpending(&q);
	P("pending %d", sigismember(&q, SIGUSR1));
	raise(SIGUSR1);
	act(SIGUSR1, rec, 0, 0);
	sigprocmask(SIG_UNBLOCK, &m, NULL);
	orders(__LINE__);
	/* default action "ignore" too */
	sigemptyset(&m);
	sigaddset(&m, SIGCHLD);
	sigprocmask(SIG_BLOCK, &m, NULL);
	act(SIGCHLD, rec, 0, 0);
	raise(SIGCHLD);
	signal(SIGCHLD, SIG_DFL);
	sigpending(&q);
	P("pending %d", sigismember(&q, SIGCHLD));
	sigprocmask(SIG_UNBLOCK, &m, NULL);

	/* masks within handlers */
	act(SIGUSR1, show_mask, 0, SIGHUP);
	raise(SIGUSR1);
	act(SIGUSR1, show_mask, SA_NODEFER, SIGUSR2);
	raise(SIGUSR1);
	show_mask(0);
	/* nesting */
	act(SIGUSR1, nest, 0, 0);
	n = 0;
	raise(SIGUSR1);
	P("without NODEFER depth %d calls %d", maxdepth, n);
	n = maxdepth = 0;
	act(SIGUSR1, nest, SA_NODEFER, 0);
	raise(SIGUSR1);
	P("with NODEFER depth %d calls %d", maxdepth, n);
	n = 0;
	act(SIGUSR1, raise_other, 0, 0);
	act(SIGUSR2, raise_other, 0, 0);
	raise(SIGUSR1);
	orders(__LINE__);
	act(SIGUSR1, raise_other, 0, SIGUSR2);
	raise(SIGUSR1);
	orders(__LINE__);
	/* reset */
	act(SIGUSR1, rec, SA_RESETHAND, 0);
	raise(SIGUSR1);
	sigaction(SIGUSR1, NULL, &old);
	P("after one: default %d flags kept %d", old.sa_handler == SIG_DFL, !!(old.sa_flags & SA_RESETHAND));
	orders(__LINE__);
	CHILD({ act(SIGUSR1, rec, SA_RESETHAND | SA_NODEFER, 0); raise(SIGUSR1); raise(SIGUSR1); });
	/* the mask in the context is what is restored */
	memset(&sa, 0, sizeof sa);
	sa.sa_sigaction = change_uc;
	sa.sa_flags = SA_SIGINFO;
	sigaction(SIGUSR2, &sa, NULL);
	raise(SIGUSR2);
	sigprocmask(SIG_BLOCK, NULL, &q);
	P("HUP blocked by the context %d", sigismember(&q, SIGHUP));

	/* what each does by default, in a child */
	for (int s = 1; s < 65; s++) {
		if (s == 32 || s == 33)
			continue;
		pid_t k = fork();
		if (!k) {
			alarm(0);
			sigemptyset(&m);
			sigprocmask(SIG_SETMASK, &m, NULL);
			signal(s, SIG_DFL);
			raise(s);
			_exit(0);
		}
		int st;
		waitpid(k, &st, WUNTRACED);
		char b[30];
		sprintf(b, "default of %s", sname(s));
		say_status(__LINE__, b, st);
		if (WIFSTOPPED(st)) {
			kill(k, SIGKILL);
			waitpid(k, &st, 0);
		}
	}
	/* PID 1 is not killed by what it does not catch, not even by itself */
	signal(SIGUSR1, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	R(raise(SIGUSR1));
	R(kill(getpid(), SIGTERM));
	R(kill(getpid(), SIGKILL));
	R(kill(getpid(), SIGSTOP));
	CHILD({ R(kill(1, SIGKILL)); R(kill(1, SIGTERM)); R(kill(1, SIGSTOP)); });
	P("still here");
	return 0;
}
