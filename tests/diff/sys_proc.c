/* /proc as programs look at it: links, status, stat, cmdline, environ, fdinfo, limits, mounts. */
#include "diff.h"
#include <dirent.h>

static char *slurp(const char *f, size_t *n)
{
	static char b[65536];
	int fd = open(f, O_RDONLY);
	ssize_t k, t = 0;
	while (fd >= 0 && t < 65535 && (k = read(fd, b + t, 65535 - t)) > 0)
		t += k;
	close(fd);
	b[t] = 0;
	if (n)
		*n = t;
	return fd < 0 ? NULL : b;
}

static void field(int line, const char *file, const char *key)
{
	char *b = slurp(file, NULL), *p = b;
	size_t n = strlen(key);
	while (p && *p) {
		if (!strncmp(p, key, n)) {
			say(line, "%.*s", (int)strcspn(p, "\n"), p);
			return;
		}
		p = strchr(p, '\n');
		p = p ? p + 1 : NULL;
	}
	say(line, "%s: not there", key);
}

static void has(int line, const char *file, const char *key)
{
	char *b = slurp(file, NULL);
	say(line, "%s has %s: %d", file, key, b && strstr(b, key));
}

static void link_(int line, const char *f)
{
	char b[200];
	ssize_t n = readlink(f, b, 199);
	b[n > 0 ? n : 0] = 0;
	say(line, "%s -> %s", f, n < 0 ? ename(errno) : b);
}

static void *idle(void *a) { (void)a; for (;;) pause(); return NULL; }

int main(void)
{
	size_t n;
	char *b;
	const char *st = "/proc/self/status";
	pthread_t t;

	for (int i = 0; i < 13; i++)
		field(__LINE__, st, ((const char *[]){ "Name:", "Umask:", "State:", "Tgid:", "Pid:", "PPid:", "TracerPid:", "Uid:", "Gid:",
			"Threads:", "SigBlk:", "CapEff:", "NoNewPrivs:" })[i]);
	field(__LINE__, st, "CapBnd:");
	field(__LINE__, st, "Seccomp:");
	signal(SIGUSR1, SIG_IGN);
	field(__LINE__, st, "SigIgn:");
	has(__LINE__, st, "VmRSS:");
	has(__LINE__, st, "VmSize:");
	has(__LINE__, st, "Cpus_allowed_list:");
	has(__LINE__, st, "voluntary_ctxt_switches:");
	pthread_create(&t, NULL, idle, NULL);
	field(__LINE__, st, "Threads:");
	DIR *d = opendir("/proc/self/task");
	int c = 0;
	while (d && readdir(d))
		c++;
	P("task entries %d", c);
	b = slurp("/proc/self/stat", NULL);
	int pid, ppid, pgrp, sid;
	char comm[32], state;
	T(sscanf(b, "%d (%31[^)]) %c %d %d %d", &pid, comm, &state, &ppid, &pgrp, &sid) == 6);
	P("%d %s %c %d %d %d", pid, comm, state, ppid, pgrp, sid);
	int fields = 0;
	for (char *p = b; *p; p++)
		fields += *p == ' ';
	P("fields %d", fields + 1);
	b = slurp("/proc/self/cmdline", &n);
	P("cmdline %zu %s", n, b);
	b = slurp("/proc/self/environ", &n);
	P("environ starts %.5s", b);
	link_(__LINE__, "/proc/self/exe");
	link_(__LINE__, "/proc/self/cwd");
	link_(__LINE__, "/proc/self/root");
	link_(__LINE__, "/proc/self/fd/0");
	link_(__LINE__, "/proc/self");
	link_(__LINE__, "/proc/thread-self");
	link_(__LINE__, "/proc/mounts");
	link_(__LINE__, "/proc/self/fd/77");
	link_(__LINE__, "/proc/self/status");
	int p[2];
	pipe(p);
	char nm[64], l[64];
	sprintf(nm, "/proc/self/fd/%d", p[0]);
	ssize_t k = readlink(nm, l, 63);
	l[k > 0 ? k : 0] = 0;
	P("pipe link %.6s", l);
	for (int i = 0; i < 4; i++)
		link_(__LINE__, ((const char *[]){ "/proc/self/ns/x", "/proc/1/exe", "/proc/99999/exe", "/proc/99999" })[i]);
	k = readlink("/proc/self/ns/pid", l, 63);
	l[k > 0 ? k : 0] = 0;
	P("ns link %.5s", l);
	put("f", "12345");
	int fd = open("f", O_RDWR | O_APPEND | O_CLOEXEC);
	lseek(fd, 3, SEEK_SET);
	sprintf(nm, "/proc/self/fdinfo/%d", fd);
	field(__LINE__, nm, "pos:");
	field(__LINE__, nm, "flags:");
	sprintf(nm, "/proc/self/fd/%d", fd);
	struct stat s;
	lstat(nm, &s);
	P("fd link mode %o", s.st_mode);
	stat(nm, &s);
	P("fd target size %ld", (long)s.st_size);
	field(__LINE__, "/proc/self/limits", "Max open files");
	field(__LINE__, "/proc/self/limits", "Max core file size");
	field(__LINE__, "/proc/self/limits", "Max locked memory");
	/* system-wide */
	for (int i = 0; i < 14; i++) {
		const char *f = ((const char *[]){ "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/uptime", "/proc/loadavg",
			"/proc/version", "/proc/filesystems", "/proc/mounts", "/proc/self/mountinfo", "/proc/self/cgroup",
			"/proc/sys/kernel/hostname", "/proc/sys/kernel/osrelease", "/proc/sys/kernel/pid_max", "/proc/self/oom_score_adj" })[i];
		b = slurp(f, &n);
		P("%s %s", f, b && n > 0 ? "has content" : "is empty or missing");
	}
	for (int i = 0; i < 5; i++)
		has(__LINE__, "/proc/meminfo", ((const char *[]){ "MemTotal:", "MemFree:", "MemAvailable:", "SwapTotal:", "Cached:" })[i]);
	for (int i = 0; i < 5; i++)
		has(__LINE__, "/proc/cpuinfo", ((const char *[]){ "processor", "model name", "flags", "cpu MHz", "vendor_id" })[i]);
	for (int i = 0; i < 5; i++)
		has(__LINE__, "/proc/stat", ((const char *[]){ "cpu ", "cpu0 ", "btime ", "processes ", "ctxt " })[i]);
	has(__LINE__, "/proc/mounts", " /proc proc ");
	has(__LINE__, "/proc/mounts", " /dev tmpfs ");
	has(__LINE__, "/proc/mounts", " /dev/pts devpts ");
	has(__LINE__, "/proc/mounts", " / ");
	b = slurp("/proc/sys/kernel/hostname", NULL);
	P("%s", b ? strtok(b, "\n") : "-");
	R(open("/proc/self/none", O_RDONLY));
	R(open("/proc/99999", O_RDONLY));
	R(open("/proc/self/status", O_RDWR));
	R(open("/proc/none", O_RDWR | O_CREAT, 0644));
	fd = open("/proc/self/comm", O_RDWR);
	R(write(fd, "renamed\n", 8));
	show(__LINE__, "/proc/self/comm");
	R(open("/proc/sysrq-trigger", O_WRONLY));
	R(open("/proc/kcore", O_RDONLY) < 0);
	/* another process */
	pid_t kid = fork();
	if (!kid) {
		close(p[0]);
		setuid(1000);
		for (;;)
			pause();
	}
	settle(kid, kid);
	sprintf(nm, "/proc/%d/status", kid);
	field(__LINE__, nm, "Uid:");
	field(__LINE__, nm, "State:");
	field(__LINE__, nm, "PPid:");
	sprintf(nm, "/proc/%d", kid);
	stat(nm, &s);
	P("owner %u mode %o", s.st_uid, s.st_mode);
	int pd = open(nm, O_RDONLY);
	kill(kid, SIGSTOP);
	msleep(50);
	sprintf(nm, "/proc/%d/status", kid);
	field(__LINE__, nm, "State:");
	kill(kid, SIGKILL);
	msleep(50);
	field(__LINE__, nm, "State:");
	waitpid(kid, NULL, 0);
	R(open(nm, O_RDONLY));
	R(openat(pd, "status", O_RDONLY));
	return 0;
}
