/* Core dumps: who leaves one, and what is in it. */
#include "diff.h"
#include <elf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>

static long magic = 0x1234abcd5678;
static pthread_barrier_t both;

static void limit(long n)
{
	struct rlimit r = { n, n };
	setrlimit(RLIMIT_CORE, &r);
}

static void note(int line, const char *name, unsigned type, const unsigned char *d, unsigned n)
{
	if (type == NT_PRSTATUS)
		say(line, "%s prstatus %u: signal %d", name, n, *(short *)(d + 12));
	else if (type == NT_PRPSINFO)
		say(line, "%s prpsinfo %u: %.16s", name, n, d + 40);
	else if (type == NT_SIGINFO)
		say(line, "%s siginfo %u: %d code %d", name, n, *(int *)d, *(int *)(d + 8));
	else if (type == NT_FILE)
		say(line, "%s files %d", name, n > 16);
	else if (type == NT_AUXV)
		say(line, "%s auxv %d", name, n > 200);
	else if (type == NT_FPREGSET || type == NT_X86_XSTATE)
		say(line, "%s regset %x %u", name, type, n);
}

/* Reads the core file and says what is in it; removes it. */
static void look(int line)
{
	static unsigned char b[1 << 16];
	struct stat st;
	int fd = open("core", O_RDONLY);
	if (fd < 0) {
		say(line, "core: %s", ename(errno));
		return;
	}
	fstat(fd, &st);
	say(line, "mode %o", st.st_mode);
	if (st.st_size < 20000)
		say(line, "size %ld", (long)st.st_size);
	ssize_t got = pread(fd, b, sizeof b, 0);
	Elf64_Ehdr *e = (void *)b;
	if (got < (ssize_t)sizeof *e) { unlink("core"); return; }
	say(line, "type %d machine %d class %d", e->e_type, e->e_machine, b[4]);
	long seen = -1;
	int dumped = 0;
	for (int i = 0; i < e->e_phnum; i++) {
		Elf64_Phdr *p = (void *)(b + e->e_phoff + i * sizeof *p);
		if (p->p_type == PT_NOTE) {
			for (unsigned at = p->p_offset; at + 12 < p->p_offset + p->p_filesz && at + 12 < got;) {
				Elf64_Nhdr *n = (void *)(b + at);
				const char *name = (char *)(n + 1);
				unsigned char *d = b + at + 12 + ((n->n_namesz + 3) & ~3);
				if (d + n->n_descsz <= b + got)
					note(line, name, n->n_type, d, n->n_descsz);
				at = d - b + ((n->n_descsz + 3) & ~3);
			}
		} else if (p->p_type == PT_LOAD) {
			dumped += p->p_filesz > 0;
			unsigned long a = (unsigned long)&magic;
			if (a >= p->p_vaddr && a < p->p_vaddr + p->p_filesz)
				pread(fd, &seen, sizeof seen, p->p_offset + a - p->p_vaddr);
		}
	}
	say(line, "magic %lx, something dumped: %d", seen, dumped > 0);
	close(fd);
	unlink("core");
}

static void end(int line, pid_t p)
{
	int st;
	waitpid(p, &st, 0);
	if (WIFSIGNALED(st))
		say(line, "killed by %d core %d", WTERMSIG(st), !!WCOREDUMP(st));
	else
		say(line, "exited %d", WEXITSTATUS(st));
	look(line);
}
#define DIES(...) do { pid_t p_ = fork(); if (!p_) { alarm(20); __VA_ARGS__; _exit(0); } end(__LINE__, p_); } while (0)

static void *waits(void *p)
{
	pthread_barrier_wait(&both);
	pause();
	return p;
}

static void *spins(void *p)
{
	pthread_barrier_wait(&both);
	for (;;) ;
	return p;
}

static void threads(void)
{
	pthread_t t;
	pthread_barrier_init(&both, 0, 3);
	pthread_create(&t, 0, waits, 0);
	pthread_create(&t, 0, spins, 0);
	pthread_barrier_wait(&both);
	magic = 77;
	raise(SIGQUIT);
}

int main(void)
{
	unlink("core");
	DIES(limit(0); abort());
	DIES(limit(RLIM_INFINITY); magic = 42; abort());
	DIES(limit(RLIM_INFINITY); *(volatile int *)0 = 1);
	DIES(limit(RLIM_INFINITY); kill(getpid(), SIGKILL));
	DIES(limit(RLIM_INFINITY); kill(getpid(), SIGTERM));
	DIES(limit(4095); abort());
	DIES(limit(8192); abort());
	DIES(limit(RLIM_INFINITY); prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); abort());
	DIES(limit(RLIM_INFINITY); threads());
	DIES({
		limit(RLIM_INFINITY);
		int fd = open("/proc/self/coredump_filter", O_RDWR);
		char b[32];
		R(read(fd, b, 32));
		P("%.9s", b);
		R(write(fd, "0", 1));
		abort();
	});
	DIES({
		limit(RLIM_INFINITY);
		struct sock_filter f[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getsid, 0, 1),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
		struct sock_fprog prog = { 4, f };
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		prctl(PR_SET_SECCOMP, 2, &prog, 0, 0);
		syscall(SYS_getsid, 0);
	});
	/* A file that is in the way goes. */
	close(open("core", O_CREAT | O_WRONLY, 0444));
	DIES(limit(RLIM_INFINITY); abort());
	return 0;
}
