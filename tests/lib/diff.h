/*
 * diff.h: what every differential program shares.
 *
 * A program prints one line for each thing it looks at; the same program is run
 * natively and in the sandbox and the lines must be equal. So nothing that may
 * differ between two correct kernels is printed: no addresses, pids or times.
 *
 *   R(expr)   the expression's text and its value, or the name of its errno
 *   S(expr)   the same with "ok" for the value: pids, addresses, fds by chance
 *   T(cond)   the condition's text and 1 or 0
 *   P(...)    a printf of one line
 *   CHILD(..) run the statements in a forked child, print how it ended
 */
#ifndef DIFF_H
#define DIFF_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BAD ((void *)8)                      /* never mapped */
#define KBAD ((void *)0xffff800000001000ul)  /* not a user address */
#define NELEM(a) (sizeof(a) / sizeof((a)[0]))
#define PAGE 4096ul

__attribute__((format(printf, 2, 3), unused)) static void say(int line, const char *fmt, ...)
{
	char buf[2048];
	int saved = errno;
	int n = snprintf(buf, sizeof buf, "%d: ", line);
	va_list ap;
	va_start(ap, fmt);
	n += vsnprintf(buf + n, sizeof buf - n - 2, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof buf - 2)
		n = sizeof buf - 2;
	buf[n++] = '\n';
	for (int off = 0; off < n;) {
		ssize_t w = write(1, buf + off, n - off);
		if (w < 0 && errno != EINTR)
			break;
		off += w > 0 ? w : 0;
	}
	errno = saved;
}

__attribute__((unused)) static const char *ename(int e)
{
	static __thread char num[16];
	const char *s = e ? strerrorname_np(e) : "OK";
	if (s)
		return s;
	snprintf(num, sizeof num, "errno%d", e);
	return num;
}

__attribute__((unused)) static const char *sname(int s)
{
	static __thread char num[16];
	const char *n = s > 0 && s < 32 ? sigabbrev_np(s) : NULL;
	if (n)
		return n;
	snprintf(num, sizeof num, "%d", s);
	return num;
}

__attribute__((unused)) static void say_result(int line, const char *what, long v, int err, int plain)
{
	if (v == -1)
		say(line, "%s = %s", what, ename(err));
	else if (plain)
		say(line, "%s = ok", what);
	else
		say(line, "%s = %ld", what, v);
}

/* Without end: PID 1 is not killed by a default action, so the limit exits. */
__attribute__((unused)) static void on_limit(int sig)
{
	(void)sig;
	static const char msg[] = "TIME LIMIT\n";
	if (write(1, msg, sizeof msg - 1) < 0)
		_exit(125);
	_exit(124);
}

/* A program that uses SIGALRM itself calls limit_by_timer instead of nothing. */
__attribute__((constructor, unused)) static void limit_start(void)
{
	struct sigaction sa = { .sa_handler = on_limit };
	sigaction(SIGALRM, &sa, NULL);
	alarm(20);
	umask(022);
}

__attribute__((unused)) static void say_status(int line, const char *what, int st)
{
	if (WIFEXITED(st))
		say(line, "%s: exited %d", what, WEXITSTATUS(st));
	else if (WIFSIGNALED(st))
		say(line, "%s: killed by %s%s", what, sname(WTERMSIG(st)), WCOREDUMP(st) ? " (core)" : "");
	else if (WIFSTOPPED(st))
		say(line, "%s: stopped by %s", what, sname(WSTOPSIG(st)));
	else if (WIFCONTINUED(st))
		say(line, "%s: continued", what);
	else
		say(line, "%s: status %x", what, st);
}

__attribute__((unused)) static void reap(int line, const char *what, pid_t p)
{
	int st = 0;
	pid_t r;
	do
		r = waitpid(p, &st, 0);
	while (r < 0 && errno == EINTR);
	if (r != p)
		say(line, "%s: wait failed %s", what, ename(errno));
	else
		say_status(line, what, st);
}

#define R(e) do { errno = 0; long r_ = (long)(e); say_result(__LINE__, #e, r_, errno, 0); } while (0)
#define S(e) do { errno = 0; long r_ = (long)(e); say_result(__LINE__, #e, r_, errno, 1); } while (0)
#define T(c) say(__LINE__, "%s: %d", #c, !!(c))
#define P(...) say(__LINE__, __VA_ARGS__)
#define CHILD(...) do { \
	pid_t p_ = fork(); \
	if (p_ == 0) { alarm(20); __VA_ARGS__; _exit(0); } \
	if (p_ < 0) say(__LINE__, "fork = %s", ename(errno)); \
	else reap(__LINE__, "child", p_); \
} while (0)

__attribute__((unused)) static void msleep(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == EINTR)
		;
}

__attribute__((unused)) static long now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* n usable bytes that end where an inaccessible page begins. */
__attribute__((unused)) static void *edge(size_t n)
{
	size_t len = (n + PAGE - 1) / PAGE * PAGE;
	char *m = mmap(NULL, len + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED)
		return NULL;
	mprotect(m + len, PAGE, PROT_NONE);
	return m + len - n;
}

__attribute__((unused)) static void *page_with(int prot)
{
	void *m = mmap(NULL, PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return m == MAP_FAILED ? NULL : m;
}

/* A file with the given content. */
__attribute__((unused)) static void put(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		say(0, "put %s = %s", name, ename(errno));
	close(fd);
}

/* The first 200 bytes of a file, on one line. */
__attribute__((unused)) static void show(int line, const char *name)
{
	char b[201];
	int fd = open(name, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, b, sizeof b - 1);
	if (n < 0) {
		say(line, "%s: %s", name, ename(errno));
	} else {
		b[n] = 0;
		for (ssize_t i = 0; i < n; i++)
			if ((unsigned char)b[i] < 32)
				b[i] = '.';
		say(line, "%s: %zd \"%s\"", name, n, b);
	}
	if (fd >= 0)
		close(fd);
}

/* Wait until a thread of this process sleeps in the kernel (or 2 s are over). */
__attribute__((unused)) static void settle(pid_t pid, pid_t tid)
{
	char name[64], b[256];
	snprintf(name, sizeof name, "/proc/%d/task/%d/stat", pid, tid);
	msleep(40);
	for (int i = 0; i < 200; i++) {
		int fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			break;
		ssize_t n = read(fd, b, sizeof b - 1);
		close(fd);
		b[n > 0 ? n : 0] = 0;
		char *c = strrchr(b, ')');
		if (c && (c[2] == 'S' || c[2] == 'T'))
			break;
		msleep(10);
	}
	msleep(40);
}

/* A thread that is parked in a call: start it, wait until it sleeps, join it. */
struct parked {
	pthread_t th;
	volatile pid_t tid;
	void (*fn)(struct parked *);
	long ret;
	int err;
	int fd;
	void *arg;
};

__attribute__((unused)) static void *parked_main(void *v)
{
	struct parked *p = v;
	p->tid = gettid();
	errno = 0;
	p->fn(p);
	return NULL;
}

__attribute__((unused)) static void park(struct parked *p)
{
	p->tid = 0;
	if (pthread_create(&p->th, NULL, parked_main, p)) {
		say(0, "pthread_create failed");
		_exit(3);
	}
	while (!p->tid)
		msleep(1);
	settle(getpid(), p->tid);
}

__attribute__((unused)) static void parked_end(int line, const char *what, struct parked *p)
{
	pthread_join(p->th, NULL);
	say_result(line, what, p->ret, p->err, 0);
}

#define PARKED_RET(p, e) do { errno = 0; (p)->ret = (e); (p)->err = errno; } while (0)

#endif
