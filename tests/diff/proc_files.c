/* /proc/PID/{io,pagemap,smaps,wchan,oom_score,coredump_filter} and /proc/net/unix tell the truth. */
#include "diff.h"
#include <sys/socket.h>
#include <sys/un.h>
#include <stddef.h>

static char *slurp(const char *f)
{
	static char b[1 << 17];
	int fd = open(f, O_RDONLY);
	ssize_t k, t = 0;
	while (fd >= 0 && t < (ssize_t)sizeof b - 1 && (k = read(fd, b + t, sizeof b - 1 - t)) > 0)
		t += k;
	close(fd);
	b[t] = 0;
	return b;
}

static long number(const char *file, const char *key)
{
	char *p = strstr(slurp(file), key);
	return p ? strtol(p + strlen(key), 0, 10) : -1;
}

static void counters(void)
{
	static char b[5000];
	const char *io = "/proc/self/io";
	long w = number(io, "wchar:"), c = number(io, "syscw:");
	int fd = open("/dev/null", O_WRONLY);
	write(fd, b, 5000);
	write(fd, b, 1);
	w = number(io, "wchar:") - w;
	c = number(io, "syscw:") - c;
	T(w == 5001 && c == 2);
	close(fd);
	fd = open("/dev/zero", O_RDONLY);
	long r = number(io, "rchar:");
	read(fd, b, 4000);
	long d = number(io, "rchar:") - r;
	T(d >= 4000 && d < 6000);
	const char *st = "/proc/self/status";
	long v = number(st, "\nvoluntary_ctxt_switches:");
	for (int i = 0; i < 5; i++)
		usleep(1000);
	T(number(st, "\nvoluntary_ctxt_switches:") - v >= 5);
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	T(u.ru_nvcsw >= 5);
}

static void pages(int line, const char *what, void *at, int n)
{
	unsigned long w[8];
	char out[128] = "";
	int fd = open("/proc/self/pagemap", O_RDONLY);
	ssize_t got = pread(fd, w, 8 * n, (unsigned long)at / PAGE * 8);
	for (int i = 0; i < got / 8; i++)
		sprintf(out + strlen(out), " %d%d", (int)(w[i] >> 63), (int)(w[i] >> 61 & 1));
	say(line, "%s:%s", what, out);
	close(fd);
}

static void maps(void)
{
	char *a = mmap(0, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(a + 7 * PAGE, PAGE, PROT_NONE);
	madvise(a, 7 * PAGE, MADV_NOHUGEPAGE);
	a[0] = a[2 * PAGE] = a[6 * PAGE] = 1;
	pages(__LINE__, "private", a, 7);
	char *s = mmap(0, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	s[PAGE] = 1;
	pages(__LINE__, "shared", s, 2);
	int fd = open("/proc/self/pagemap", O_RDONLY);
	long w;
	R(pread(fd, &w, 4, 0));
	R(pread(fd, &w, 8, 4));
	R(pread(fd, &w, 8, 0) == 8 && w == 0);
	close(fd);
	char head[64], *p;
	sprintf(head, "%lx-%lx ", (long)a, (long)a + 7 * PAGE);
	p = strstr(slurp("/proc/self/smaps"), head);
	for (int i = 0; p && i < 30 && (p = strchr(p, '\n')); i++) {
		p++;
		static const char *keys[] = { "Size:", "Rss:", "Pss:", "Shared_Clean:", "Private_Dirty:", "Anonymous:", "Locked:" };
		for (unsigned k = 0; k < NELEM(keys); k++)
			if (!strncmp(p, keys[k], strlen(keys[k])))
				P("%.*s", (int)strcspn(p, "\n"), p);
		if (!strncmp(p, "VmFlags:", 8)) {
			P("%d%d%d%d%d", !!strstr(p, "rd "), !!strstr(p, "wr "), !!strstr(p, "mr "), !!strstr(p, "ac "), strstr(p, "ex ") && strstr(p, "ex ") < strchr(p, '\n'));
			break;
		}
	}
	T(number("/proc/self/smaps_rollup", "Rss:") > 100);
	T(number("/proc/self/smaps_rollup", "Private_Dirty:") >= 12);
}

static void unix_rows(void)
{
	struct sockaddr_un u = { AF_UNIX, "" };
	strcpy(u.sun_path + 1, "diff-test-name");
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	R(bind(s, (void *)&u, offsetof(struct sockaddr_un, sun_path) + 15));
	for (int i = 0; i < 2; i++) {
		char *p = strstr(slurp("/proc/net/unix"), "@diff-test-name");
		T(p);
		struct stat st;
		fstat(s, &st);
		if (p) {
			while (p[-1] != '\n') p--;
			unsigned ref, proto, flags, type, state;
			unsigned long ino;
			sscanf(p, "%*[^:]: %x %x %x %x %x %lu", &ref, &proto, &flags, &type, &state, &ino);
			P("ref %u proto %u flags %x type %u state %u ino %d", ref, proto, flags, type, state, ino == st.st_ino);
		}
		listen(s, 3);
	}
	close(s);
	T(!strstr(slurp("/proc/net/unix"), "@diff-test-name"));
}

int main(void)
{
	counters();
	maps();
	unix_rows();
	int p[2];
	pipe(p);
	pid_t kid = fork();
	if (!kid) {
		char c;
		read(p[0], &c, 1);
		_exit(0);
	}
	usleep(50000);
	char path[64];
	sprintf(path, "/proc/%d/wchan", kid);
	T(strcmp(slurp(path), "0") != 0);
	sprintf(path, "/proc/%d/syscall", kid);
	T(atoi(slurp(path)) == SYS_read);
	write(p[1], "x", 1);
	reap(__LINE__, "kid", kid);
	long score = strtol(slurp("/proc/self/oom_score"), 0, 10);
	T(score > 0 && score < 2000);
	double a, b, c;
	int run, all, last;
	P("%d", sscanf(slurp("/proc/loadavg"), "%lf %lf %lf %d/%d %d", &a, &b, &c, &run, &all, &last));
	CHILD({
		int fd = open("/proc/self/coredump_filter", O_RDWR);
		R(write(fd, "0x7f", 4));
		R(write(fd, "zz", 2));
		CHILD(P("%s", slurp("/proc/self/coredump_filter")));
	});
	return 0;
}
