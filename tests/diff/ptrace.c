/* ptrace: stops of every kind, registers, memory, events, attaching, job control. */
#include "diff.h"
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <elf.h>
#include <linux/filter.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>

static pid_t kid;

static void tell(int line, pid_t p, int st)
{
	const char *who = p == kid ? "kid" : p > 0 ? "other" : "none";
	if (p < 0)
		say(line, "wait: %s", ename(errno));
	else if (WIFEXITED(st))
		say(line, "%s exited %d", who, WEXITSTATUS(st));
	else if (WIFSIGNALED(st))
		say(line, "%s killed by %d", who, WTERMSIG(st));
	else if (WIFCONTINUED(st))
		say(line, "%s continued", who);
	else
		say(line, "%s stopped by %d%s event %d", who, WSTOPSIG(st) & 0x7f,
		    WSTOPSIG(st) & 0x80 ? " (call)" : "", st >> 16);
}

static int W(int line, pid_t p)
{
	int st = 0;
	pid_t r = waitpid(p, &st, __WALL);
	tell(line, r, st);
	return st;
}
#define WAIT(p) W(__LINE__, p)
#define PT(req, a, d) R(ptrace(req, kid, a, d))

static struct user_regs_struct regs(void)
{
	struct user_regs_struct r;
	memset(&r, 0, sizeof r);
	ptrace(PTRACE_GETREGS, kid, 0, &r);
	return r;
}

static void info(int line)
{
	siginfo_t i;
	if (ptrace(PTRACE_GETSIGINFO, kid, 0, &i))
		say(line, "siginfo: %s", ename(errno));
	else
		say(line, "siginfo: %d code %d", i.si_signo, i.si_code);
}

static void call(int line)
{
	struct ptrace_syscall_info i;
	memset(&i, 0, sizeof i);
	long n = syscall(SYS_ptrace, PTRACE_GET_SYSCALL_INFO, kid, sizeof i, &i);
	if (i.op == PTRACE_SYSCALL_INFO_ENTRY)
		say(line, "%ld: entry %llu", n, i.entry.nr);
	else if (i.op == PTRACE_SYSCALL_INFO_EXIT)
		say(line, "%ld: exit %s %d", n, i.exit.is_error ? ename(-i.exit.rval) : "fine", i.exit.is_error);
	else if (i.op == PTRACE_SYSCALL_INFO_SECCOMP)
		say(line, "%ld: seccomp %llu %u", n, i.seccomp.nr, i.seccomp.ret_data);
	else
		say(line, "%ld: none", n);
	struct user_regs_struct r = regs();
	say(line, "ip %d sp %d nr %lld", r.rip == i.instruction_pointer, r.rsp == i.stack_pointer, r.orig_rax);
}

static long word = 0x1122334455667788;

static void basics(void)
{
	kid = fork();
	if (!kid) {
		R(ptrace(PTRACE_TRACEME, 0, 0, 0));
		R(ptrace(PTRACE_TRACEME, 0, 0, 0));
		raise(SIGSTOP);
		P("word %lx", word);
		syscall(SYS_getppid);
		syscall(SYS_dup, 55);
		kill(getpid(), SIGUSR1);
		_exit(7);
	}
	WAIT(kid);
	info(__LINE__);
	call(__LINE__);
	R(ptrace(PTRACE_CONT, 999999, 0, 0));
	R(ptrace(PTRACE_PEEKDATA, kid, &word, 0) == word);
	PT(PTRACE_PEEKDATA, BAD, 0);
	PT(PTRACE_POKEDATA, &word, 0xabcdef);
	PT(PTRACE_POKEDATA, BAD, 1);
	R(ptrace(PTRACE_PEEKUSER, kid, offsetof(struct user, regs.rip), 0) == (long)regs().rip);
	PT(PTRACE_PEEKUSER, 3, 0);
	PT(PTRACE_PEEKUSER, 100000, 0);
	PT(PTRACE_PEEKUSER, offsetof(struct user, u_debugreg[7]), 0);
	PT(PTRACE_CONT, 0, 1000);
	PT(PTRACE_SETOPTIONS, 0, 0x400);
	PT(PTRACE_SETOPTIONS, 0, PTRACE_O_TRACESYSGOOD);
	PT(PTRACE_LISTEN, 0, 0);
	PT(PTRACE_INTERRUPT, 0, 0);
	PT(77777, 0, 0);
	struct user_regs_struct r = regs();
	P("cs %llx ss %llx ds %llx", r.cs, r.ss, r.ds);
	struct user_fpregs_struct fp;
	memset(&fp, 0, sizeof fp);
	PT(PTRACE_GETFPREGS, 0, &fp);
	P("cwd %x mxcsr %x", fp.cwd, fp.mxcsr);
	fp.xmm_space[0] = 0x1234;
	PT(PTRACE_SETFPREGS, 0, &fp);
	memset(&fp, 0, sizeof fp);
	PT(PTRACE_GETFPREGS, 0, &fp);
	P("xmm %x", fp.xmm_space[0]);
	static char state[16384];
	struct iovec v = { state, sizeof state };
	PT(PTRACE_GETREGSET, NT_X86_XSTATE, &v);
	P("xstate %zu features %d", v.iov_len, *(long *)(state + 464) & 7 ? 1 : 0);
	PT(PTRACE_SETREGSET, NT_X86_XSTATE, &v);
	v.iov_len = 16384;
	PT(PTRACE_GETREGSET, NT_PRSTATUS, &v);
	P("prstatus %zu", v.iov_len);
	v.iov_len = 7;
	PT(PTRACE_GETREGSET, NT_PRSTATUS, &v);
	v.iov_len = 64;
	PT(PTRACE_GETREGSET, 0x999, &v);
	PT(PTRACE_GETREGSET, NT_PRSTATUS, BAD);
	unsigned long mask = 0;
	R(syscall(SYS_ptrace, PTRACE_GETSIGMASK, kid, 8, &mask));
	R(syscall(SYS_ptrace, PTRACE_GETSIGMASK, kid, 4, &mask));
	/* Calls: write, getppid, dup, kill. */
	int st;
	for (;;) {
		ptrace(PTRACE_SYSCALL, kid, 0, 0);
		st = WAIT(kid);
		if (!WIFSTOPPED(st)) break;
		info(__LINE__);
		call(__LINE__);
		r = regs();
		if (r.orig_rax == SYS_getppid && r.rax == -ENOSYS) {
			r.orig_rax = SYS_getpid;
			PT(PTRACE_SETREGS, 0, &r);
		} else if (r.orig_rax == SYS_dup && r.rax == -ENOSYS) {
			r.orig_rax = -1;
			r.rax = -EXDEV;
			PT(PTRACE_SETREGS, 0, &r);
		} else if (WSTOPSIG(st) == SIGUSR1) {
			siginfo_t i;
			PT(PTRACE_GETSIGINFO, 0, &i);
			T(i.si_pid == kid);
			PT(PTRACE_SETSIGINFO, 0, &i);
		}
	}
}

static volatile int handled;
static void on_usr(int s) { handled = s; }

/* A call that waits, and signals that come to it. */
static void waiting(void)
{
	int p[2];
	pipe(p);
	kid = fork();
	if (!kid) {
		char c;
		signal(SIGUSR1, on_usr);
		struct sigaction a = { .sa_handler = on_usr };
		sigaction(SIGUSR2, &a, 0);
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		long r1 = read(p[0], &c, 1);
		int h1 = handled;
		long r2 = read(p[0], &c, 1);
		int h2 = handled;
		struct timespec ts = { 0, 300000000 };
		long r3 = nanosleep(&ts, 0);
		P("%ld %d, %ld %d, %ld %d", r1, h1, r2, h2, r3, handled);
		_exit(1);
	}
	WAIT(kid);
	ptrace(PTRACE_SETOPTIONS, kid, 0, PTRACE_O_TRACESYSGOOD);
	int sig[] = { SIGWINCH, SIGUSR1, SIGUSR2 };
	for (int i = 0; i < 3; i++) {
		PT(PTRACE_SYSCALL, 0, 0);
		for (;;) {
			WAIT(kid);
			struct user_regs_struct r = regs();
			call(__LINE__);
			if (r.orig_rax == SYS_read && r.rax == -ENOSYS) break;
			PT(PTRACE_SYSCALL, 0, 0);
		}
		PT(PTRACE_SYSCALL, 0, 0);
		usleep(50000);
		kill(kid, sig[i]);
		WAIT(kid);
		P("rax %lld", regs().rax);
		call(__LINE__);
		PT(PTRACE_SYSCALL, 0, 0);
		WAIT(kid);
		info(__LINE__);
		call(__LINE__);
		PT(PTRACE_SYSCALL, 0, i == 0 ? 0 : sig[i]);
		WAIT(kid);
		call(__LINE__);
		if (i == 0) {
			/* The call goes on. */
			PT(PTRACE_CONT, 0, 0);
			write(p[1], "x", 1);
			usleep(30000);
			kill(kid, SIGCHLD);
			WAIT(kid);
		} else if (i == 1) {
			/* rt_sigreturn, then the call again. */
			PT(PTRACE_SYSCALL, 0, 0);
			WAIT(kid);
			call(__LINE__);
			PT(PTRACE_SYSCALL, 0, 0);
			WAIT(kid);
			call(__LINE__);
			write(p[1], "x", 1);
			PT(PTRACE_CONT, 0, 0);
			kill(kid, SIGCHLD);
			WAIT(kid);
			/* The sleep: an ignored signal does not end it. */
			break;
		}
	}
	PT(PTRACE_CONT, 0, 0);
	usleep(50000);
	kill(kid, SIGWINCH);
	WAIT(kid);
	P("sleeps %d", regs().rax == -516);
	PT(PTRACE_CONT, 0, 0);
	WAIT(kid);
}

static void steps(void)
{
	kid = fork();
	if (!kid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		asm volatile("int3\n nop\n nop\n mov $39, %%eax\n syscall\n nop\n nop\n" ::: "rax", "rcx", "r11", "memory");
		_exit(3);
	}
	WAIT(kid);
	PT(PTRACE_CONT, 0, 0);
	WAIT(kid);
	info(__LINE__);
	unsigned long last = regs().rip;
	for (int i = 0; i < 6; i++) {
		PT(PTRACE_SINGLESTEP, 0, 0);
		WAIT(kid);
		info(__LINE__);
		struct user_regs_struct r = regs();
		P("+%lld flags %llx", r.rip - last, r.eflags & 0x100);
		last = r.rip;
	}
	/* A call that is emulated. */
	PT(PTRACE_SYSEMU, 0, 0);
	WAIT(kid);
	call(__LINE__);
	struct user_regs_struct r = regs();
	r.rdi = 9;
	PT(PTRACE_SETREGS, 0, &r);
	PT(PTRACE_KILL, 0, 0);
	WAIT(kid);
}

static int nothing(void *p) { (void)p; return 0; }
static void *thread(void *p) { return p; }

static void events(void)
{
	kid = fork();
	if (!kid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		pid_t p = fork();
		if (!p) _exit(11);
		waitpid(p, 0, 0);
		p = vfork();
		if (!p) _exit(12);
		waitpid(p, 0, 0);
		static char stack[16384];
		p = clone(nothing, stack + sizeof stack, SIGUSR1, 0);
		waitpid(p, 0, __WALL);
		pthread_t t;
		pthread_create(&t, 0, thread, 0);
		pthread_join(t, 0);
		struct sock_filter f[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getsid, 0, 1),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | 77),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
		struct sock_fprog prog = { 4, f };
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		prctl(PR_SET_SECCOMP, 2, &prog, 0, 0);
		R(syscall(SYS_getsid, 0));
		R(syscall(SYS_getsid, 0));
		execl("/bin/true", "true", NULL);
		_exit(99);
	}
	WAIT(kid);
	PT(PTRACE_SETOPTIONS, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
	   PTRACE_O_TRACEEXEC | PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXIT | PTRACE_O_TRACESECCOMP);
	PT(PTRACE_CONT, 0, 0);
	int seen = 0;
	/* Stops of the children come in any order with those of the parent: tell them apart. */
	for (int left = 1, n = 0; left && n < 200; n++) {
		int st;
		pid_t p = waitpid(kid, &st, __WALL | WNOHANG);
		if (p == 0) {
			p = waitpid(-1, &st, __WALL | WNOHANG);
			if (p == 0) { usleep(2000); n--; if (++seen > 5000) break; continue; }
			if (p < 0) break;
			if (p != kid) {
				if (WIFSTOPPED(st)) ptrace(PTRACE_CONT, p, 0, 0);
				continue;
			}
		}
		tell(__LINE__, p, st);
		if (!WIFSTOPPED(st)) { left = 0; break; }
		unsigned long msg = 0;
		ptrace(PTRACE_GETEVENTMSG, kid, 0, &msg);
		int ev = st >> 16;
		if (ev == PTRACE_EVENT_EXIT || ev == PTRACE_EVENT_SECCOMP)
			P("message %lx", msg);
		else if (ev)
			P("message %s", msg == (unsigned long)kid ? "own" : msg ? "a number" : "none");
		if (ev) info(__LINE__);
		if (ev == PTRACE_EVENT_SECCOMP) {
			call(__LINE__);
			static int n;
			if (n++) {
				struct user_regs_struct r = regs();
				r.orig_rax = -1;
				r.rax = 4711;
				PT(PTRACE_SETREGS, 0, &r);
			}
		}
		ptrace(PTRACE_CONT, kid, 0, WSTOPSIG(st) == SIGUSR1 || WSTOPSIG(st) == SIGCHLD ? WSTOPSIG(st) : 0);
	}
	while (waitpid(-1, 0, __WALL | WNOHANG) > 0 || (errno != ECHILD && usleep(1000) == 0))
		;
}

static void attaching(void)
{
	int p[2];
	pipe(p);
	kid = fork();
	if (!kid) {
		char c;
		R(read(p[0], &c, 1));
		_exit(5);
	}
	usleep(50000);
	R(ptrace(PTRACE_ATTACH, getpid(), 0, 0));
	R(ptrace(PTRACE_ATTACH, 999999, 0, 0));
	R(ptrace(PTRACE_SEIZE, kid, 1, 0));
	R(ptrace(PTRACE_SEIZE, kid, 0, 0x400));
	PT(PTRACE_ATTACH, 0, 0);
	PT(PTRACE_ATTACH, 0, 0);
	WAIT(kid);
	info(__LINE__);
	P("rax %lld nr %lld", regs().rax, regs().orig_rax);
	show(__LINE__, "/proc/self/comm");
	char path[64], line[128];
	snprintf(path, sizeof path, "/proc/%d/status", kid);
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "State", 5)) P("%s", line);
		if (!strncmp(line, "TracerPid", 9)) T(atoi(line + 10) == getpid());
	}
	if (f) fclose(f);
	PT(PTRACE_DETACH, 0, 0);
	PT(PTRACE_CONT, 0, 0);
	usleep(20000);
	/* Seized: interrupted, stopped by job control, listening. */
	PT(PTRACE_SEIZE, 0, PTRACE_O_TRACESYSGOOD);
	int st;
	R(waitpid(kid, &st, WNOHANG | __WALL));
	PT(PTRACE_PEEKDATA, &word, 0);
	PT(PTRACE_INTERRUPT, 0, 0);
	WAIT(kid);
	info(__LINE__);
	PT(PTRACE_CONT, 0, 0);
	kill(kid, SIGSTOP);
	WAIT(kid);
	PT(PTRACE_CONT, 0, SIGSTOP);
	WAIT(kid);
	info(__LINE__);
	PT(PTRACE_LISTEN, 0, 0);
	R(waitpid(kid, &st, WNOHANG | __WALL));
	kill(kid, SIGCONT);
	WAIT(kid);
	PT(PTRACE_CONT, 0, 0);
	WAIT(kid);
	PT(PTRACE_DETACH, 0, 0);
	write(p[1], "x", 1);
	WAIT(kid);

	/* A tracer that dies: its tracee goes on, or dies with it. */
	for (int killed = 0; killed < 2; killed++) {
		int q[2];
		pipe(q);
		kid = fork();
		if (!kid) {
			char c;
			close(q[1]);
			_exit(read(q[0], &c, 1) + 20);
		}
		pid_t tracer = fork();
		if (!tracer) {
			close(q[1]);
			ptrace(PTRACE_SEIZE, kid, 0, killed ? PTRACE_O_EXITKILL : 0);
			ptrace(PTRACE_INTERRUPT, kid, 0, 0);
			waitpid(kid, &st, __WALL);
			_exit(st >> 16);
		}
		reap(__LINE__, "tracer", tracer);
		close(q[1]);
		WAIT(kid);
		close(q[0]);
	}
}

/* Job control of a tracee that was not seized. */
static void jobs(void)
{
	kid = fork();
	if (!kid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGTSTP);
		raise(SIGSTOP);
		_exit(8);
	}
	WAIT(kid);
	PT(PTRACE_CONT, 0, 0);
	WAIT(kid);
	PT(PTRACE_CONT, 0, SIGSTOP);
	WAIT(kid);
	info(__LINE__);
	PT(PTRACE_CONT, 0, 0);
	WAIT(kid);
}

/* The user may not; a set-id program does not count. */
static void denied(void)
{
	kid = fork();
	if (!kid) { pause(); _exit(0); }
	pid_t p = fork();
	if (!p) {
		alarm(10);
		if (setgid(1000) || setuid(1000)) P("setuid: %s", ename(errno));
		R(ptrace(PTRACE_ATTACH, kid, 0, 0));
		R(ptrace(PTRACE_SEIZE, kid, 0, 0));
		_exit(0);
	}
	reap(__LINE__, "user", p);
	kill(kid, SIGKILL);
	WAIT(kid);
	kid = fork();
	if (!kid) { prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); pause(); _exit(0); }
	usleep(30000);
	PT(PTRACE_ATTACH, 0, 0);
	kill(kid, SIGKILL);
	WAIT(kid);
}

int main(void)
{
	alarm(60);
	basics();
	waiting();
	steps();
	events();
	attaching();
	jobs();
	denied();
	return 0;
}
