/* execve and execveat: errors, what stays and what goes, arguments, scripts. */
#include "diff.h"
#include <linux/auxvec.h>
#include <sys/auxv.h>

static int again(int argc, char **argv)
{
	if (!strcmp(argv[1], "state")) {
		sigset_t m, q;
		stack_t ss;
		char b[32];
		sigprocmask(SIG_BLOCK, NULL, &m);
		sigpending(&q);
		sigaltstack(NULL, &ss);
		P("cloexec fd %s, open fd %s", fcntl(20, F_GETFD) < 0 ? "gone" : "there", fcntl(21, F_GETFD) < 0 ? "gone" : "there");
		T(signal(SIGUSR1, SIG_DFL) == SIG_DFL);
		T(signal(SIGHUP, SIG_DFL) == SIG_IGN);
		P("mask %d pending %d altstack %s", sigismember(&m, SIGUSR2), sigismember(&q, SIGUSR2),
		  ss.ss_flags == SS_DISABLE ? "none" : "some");
		prctl(PR_GET_NAME, b);
		P("name %s umask %o", b, umask(0));
		T(getpid() == atoi(argv[2]));
		P("alarm stays %d", alarm(0) > 0);
		T(getauxval(AT_PAGESZ) == 4096);
		T(getauxval(AT_UID) == 0 && getauxval(AT_SECURE) == 0);
		P("execfn %s", (char *)getauxval(AT_EXECFN));
		T(getauxval(AT_RANDOM) != 0 && getauxval(AT_SYSINFO_EHDR) != 0);
		P("clktck %ld platform %s", getauxval(AT_CLKTCK), (char *)getauxval(AT_PLATFORM));
		T(((uintptr_t)__builtin_frame_address(0) & 15) == 0);
	} else if (!strcmp(argv[1], "args")) {
		for (int i = 0; i < argc && i < 6; i++)
			P("arg %d \"%.40s\" of %zu", i, argv[i], strlen(argv[i]));
		for (int i = 0; environ[i] && i < 4; i++)
			P("env %d %.40s", i, environ[i]);
	}
	return argc;
}

static void ex(int line, const char *path, char **av, char **ev)
{
	pid_t k = fork();
	if (!k) {
		execve(path, av, ev);
		say(line, "%s: %s", path && path != BAD ? path : "pointer", ename(errno));
		_exit(0);
	}
	reap(line, "exec", k);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return again(argc, argv);
	char *self = "/t/proc_exec", pid[20], **none = { NULL }, *ev[] = { "A=1", "B=two", NULL };
	char *sh[] = { "sh", "-c", "exit 3", NULL }, *big = malloc(200000);
	char *args[] = { "zero", "args", "", "two words", NULL };

	ex(__LINE__, "/bin/busybox", sh, ev);
	ex(__LINE__, self, args, ev);
	ex(__LINE__, "/none", sh, ev);
	ex(__LINE__, "", sh, ev);
	ex(__LINE__, BAD, sh, ev);
	ex(__LINE__, NULL, sh, ev);
	ex(__LINE__, "/bin", sh, ev);
	ex(__LINE__, "/etc/passwd", sh, ev);
	ex(__LINE__, "/etc/passwd/x", sh, ev);
	ex(__LINE__, "/dev/null", sh, ev);
	ex(__LINE__, self, BAD, ev);
	ex(__LINE__, self, args, BAD);
	char *badarg[] = { "x", BAD, NULL };
	ex(__LINE__, self, badarg, ev);
	put("empty", "");
	chmod("empty", 0755);
	ex(__LINE__, "empty", sh, ev);
	put("short", "\177ELF");
	chmod("short", 0755);
	ex(__LINE__, "short", sh, ev);
	put("text", "echo hi\n");
	chmod("text", 0755);
	ex(__LINE__, "text", sh, ev);
	put("noexec", "#!/bin/sh\nexit 1\n");
	ex(__LINE__, "noexec", sh, ev);
	mkfifo("fifo", 0755);
	ex(__LINE__, "fifo", sh, ev);
	symlink("/bin/busybox", "ln");
	ex(__LINE__, "ln", sh, ev);
	symlink("loop", "loop");
	ex(__LINE__, "loop", sh, ev);
	/* truncated and broken ELF */
	char hdr[64];
	int b = open("/bin/busybox", O_RDONLY);
	pread(b, hdr, 64, 0);
	int o = open("cut", O_WRONLY | O_CREAT, 0755);
	write(o, hdr, 64);
	close(o);
	ex(__LINE__, "cut", sh, ev);
	hdr[18] = 3;
	o = open("machine", O_WRONLY | O_CREAT, 0755);
	write(o, hdr, 64);
	close(o);
	ex(__LINE__, "machine", sh, ev);
	/* busy text */
	CHILD({
		int in = open("/bin/busybox", O_RDONLY), out = open("copy", O_WRONLY | O_CREAT, 0755);
		char buf[65536];
		ssize_t n;
		while ((n = read(in, buf, sizeof buf)) > 0)
			write(out, buf, n);
		ex(__LINE__, "copy", sh, ev);
		close(out);
		ex(__LINE__, "copy", sh, ev);
	});

	/* argument sizes */
	memset(big, 'a', 200000);
	big[131071] = 0;
	char *a1[] = { "x", "args", big, NULL };
	ex(__LINE__, self, a1, ev);
	big[131071] = 'a';
	big[131072] = 0;
	ex(__LINE__, self, a1, ev);
	char **many = calloc(300001, sizeof *many);
	for (int i = 0; i < 30000; i++)
		many[i] = "argument";
	many[1] = "n";
	ex(__LINE__, self, many, ev);
	for (int i = 0; i < 300000; i++)
		many[i] = "argument";
	ex(__LINE__, self, many, ev);
	/* no arguments at all: one empty one is given */
	ex(__LINE__, "/bin/true", none, ev);
	ex(__LINE__, "/bin/true", NULL, NULL);

	/* scripts */
	put("s1", "#!/t/proc_exec args\n");
	put("s2", "#! /t/proc_exec  args with  blanks \n");
	put("s3", "#!/none\n");
	put("s4", "#!\n");
	put("s5", "#!s1\n");
	put("s6", "#!./s6\n");
	put("s7", "#!/t/proc_exec args");
	for (int i = 1; i <= 7; i++) {
		char n[8];
		sprintf(n, "./s%d", i);
		chmod(n, 0755);
		ex(__LINE__, n, args, ev);
	}
	char longsh[400] = "#!/t/proc_exec args ";
	memset(longsh + strlen(longsh), 'l', 300);
	longsh[320] = 0;
	put("s8", longsh);
	chmod("s8", 0755);
	ex(__LINE__, "./s8", args, ev);

	/* execveat */
	int d = open("/bin", O_RDONLY), f = open("/bin/busybox", O_RDONLY | O_CLOEXEC), pa = open(self, O_PATH);
	int s1 = open("s1", O_RDONLY), s1c = open("s1", O_RDONLY | O_CLOEXEC);
	CHILD({ syscall(SYS_execveat, d, "busybox", sh, ev, 0); P("%s", ename(errno)); });
	CHILD({ syscall(SYS_execveat, f, "", sh, ev, AT_EMPTY_PATH); P("%s", ename(errno)); });
	CHILD({ syscall(SYS_execveat, f, "", sh, ev, 0); P("%s", ename(errno)); });
	CHILD({ syscall(SYS_execveat, pa, "", args, ev, AT_EMPTY_PATH); P("%s", ename(errno)); });
	CHILD({ syscall(SYS_execveat, d, "sh", sh, ev, AT_SYMLINK_NOFOLLOW); P("%s", ename(errno)); });
	CHILD({ syscall(SYS_execveat, -1, "sh", sh, ev, 0); P("%s", ename(errno)); });
	CHILD({ syscall(SYS_execveat, d, "busybox", sh, ev, 0x4); P("%s", ename(errno)); });
	CHILD({ syscall(SYS_execveat, s1, "", args, ev, AT_EMPTY_PATH); P("%s", ename(errno)); });
	CHILD({ syscall(SYS_execveat, s1c, "", args, ev, AT_EMPTY_PATH); P("%s", ename(errno)); });

	/* what a new program finds */
	dup2(f, 21);
	fcntl(21, F_SETFD, 0);
	dup3(f, 20, O_CLOEXEC);
	CHILD({
		sigset_t m;
		stack_t ss = { .ss_sp = malloc(65536), .ss_size = 65536 };
		signal(SIGUSR1, on_limit);
		signal(SIGHUP, SIG_IGN);
		sigaltstack(&ss, NULL);
		sigemptyset(&m);
		sigaddset(&m, SIGUSR2);
		sigprocmask(SIG_BLOCK, &m, NULL);
		raise(SIGUSR2);
		prctl(PR_SET_NAME, "renamed");
		umask(031);
		sprintf(pid, "%d", getpid());
		execl(self, "me", "state", pid, NULL);
	});
	/* without read permission, set-id, capabilities of a plain user */
	chmod("copy", 0711);
	CHILD({ setuid(1000); execl("./copy", "sh", "-c", "exit 4", NULL); P("%s", ename(errno)); });
	chmod("copy", 0700);
	CHILD({ setuid(1000); execl("./copy", "sh", "-c", "exit 4", NULL); P("%s", ename(errno)); });
	return 0;
}
