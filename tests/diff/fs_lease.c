/* Leases: who may have one, and how opens and truncation break it. */
#include "diff.h"

static volatile int hits, last_sig, last_fd, last_code;
static void on_sig(int s, siginfo_t *si, void *u)
{
	(void)u;
	hits++;
	last_sig = s;
	last_fd = si->si_fd;
	last_code = si->si_code;
}

static int fd;
static void *opener(void *how)
{
	int r = open("f", (int)(long)how, 0644);
	if (r >= 0)
		close(r);
	return (void *)(long)(r < 0 ? -errno : 1);
}
static void *cutter(void *u)
{
	(void)u;
	return (void *)(long)(truncate("f", 1) ? -errno : 1);
}

static void breaks(int line, const char *what, int lease, void *(*fn)(void *), long how, int answer)
{
	pthread_t th;
	void *r;
	hits = 0;
	fd = open("f", O_RDONLY);
	int l = fcntl(fd, F_SETLEASE, lease);
	say(line, "%s: lease %d is %s, now %d", what, lease, l ? ename(errno) : "ok", fcntl(fd, F_GETLEASE));
	pthread_create(&th, 0, fn, (void *)how);
	msleep(100);
	say(line, "  hits %d sig %d lease %d", hits, hits ? last_sig : 0, fcntl(fd, F_GETLEASE));
	if (answer >= 0) {
		int a = fcntl(fd, F_SETLEASE, answer);
		say(line, "  answer %d %s lease %d", answer, a ? ename(errno) : "ok", fcntl(fd, F_GETLEASE));
	}
	if (answer != F_UNLCK && answer != F_RDLCK) {
		close(fd);
		fd = -1;
	}
	pthread_join(th, &r);
	say(line, "  opener %s", (long)r < 0 ? ename(-(long)r) : "ok");
	if (fd >= 0) {
		say(line, "  lease then %d", fcntl(fd, F_GETLEASE));
		close(fd);
	}
}
#define BREAKS(...) breaks(__LINE__, __VA_ARGS__)

int main(void)
{
	struct sigaction sa = { .sa_sigaction = on_sig, .sa_flags = SA_SIGINFO | SA_RESTART };
	sigaction(SIGIO, &sa, 0);
	sigaction(SIGUSR1, &sa, 0);
	sigaction(SIGRTMIN, &sa, 0);
	put("f", "text");
	mkdir("d", 0755);
	mkfifo("p", 0644);
	int r = open("f", O_RDONLY), d = open("d", O_RDONLY), pa = open("f", O_PATH), pi[2];
	if (pipe(pi))
		return 1;
	R(fcntl(-1, F_SETLEASE, F_RDLCK));
	R(fcntl(-1, F_GETLEASE));
	R(fcntl(pa, F_SETLEASE, F_RDLCK));
	R(fcntl(pa, F_GETLEASE));
	R(fcntl(d, F_SETLEASE, F_RDLCK));
	R(fcntl(d, F_GETLEASE));
	R(fcntl(pi[0], F_SETLEASE, F_RDLCK));
	R(fcntl(pi[0], F_GETLEASE));
	R(fcntl(r, F_SETLEASE, 3));
	R(fcntl(r, F_SETLEASE, -1));
	R(fcntl(r, F_SETLEASE, F_UNLCK));
	R(fcntl(r, F_GETLEASE));
	R(fcntl(r, F_GETOWN));
	R(fcntl(r, F_SETLEASE, F_RDLCK));
	R(fcntl(r, F_GETLEASE));
	T(fcntl(r, F_GETOWN) == getpid());
	R(fcntl(r, F_SETLEASE, F_RDLCK));
	R(fcntl(r, F_SETLEASE, F_WRLCK));
	R(fcntl(r, F_GETLEASE));
	R(fcntl(r, F_SETLEASE, F_RDLCK));
	int r2 = open("f", O_RDONLY);
	S(r2);
	R(fcntl(r, F_SETLEASE, F_WRLCK));
	R(fcntl(r2, F_SETLEASE, F_RDLCK));
	R(fcntl(r2, F_SETLEASE, F_WRLCK));
	R(fcntl(r2, F_GETLEASE));
	close(r2);
	R(fcntl(r, F_SETLEASE, F_WRLCK));
	int dup_fd = dup(r);
	R(fcntl(dup_fd, F_GETLEASE));
	R(open("f", O_RDONLY | O_NONBLOCK));
	T(hits == 1);
	R(fcntl(r, F_GETLEASE));
	R(open("f", O_RDWR | O_NONBLOCK));
	R(fcntl(r, F_GETLEASE));
	T(hits == 2);
	R(open("f", O_RDWR | O_NONBLOCK));
	T(hits == 2);
	close(r);
	R(fcntl(dup_fd, F_GETLEASE));
	R(fcntl(dup_fd, F_SETLEASE, F_UNLCK));
	R(fcntl(dup_fd, F_GETOWN));
	close(dup_fd);
	int w = open("f", O_RDWR);
	R(fcntl(w, F_SETLEASE, F_RDLCK));
	R(fcntl(w, F_SETLEASE, F_WRLCK));
	R(fcntl(w, F_SETLEASE, F_RDLCK));
	R(fcntl(w, F_GETLEASE));
	close(w);
	w = open("f", O_RDWR);
	r = open("f", O_RDONLY);
	R(fcntl(r, F_SETLEASE, F_RDLCK));
	R(fcntl(w, F_SETLEASE, F_WRLCK));
	close(w);
	/* A chosen signal and owner. */
	R(fcntl(r, F_SETSIG, SIGRTMIN));
	R(fcntl(r, F_SETLEASE, F_RDLCK));
	hits = 0;
	R(open("f", O_WRONLY | O_NONBLOCK));
	T(hits == 1);
	T(last_sig == SIGRTMIN);
	T(last_fd == r);
	P("code %d", last_code);
	R(fcntl(r, F_SETLEASE, F_UNLCK));
	R(fcntl(r, F_GETSIG));
	close(r);

	BREAKS("write lease, read open, unlock", F_WRLCK, opener, O_RDONLY, F_UNLCK);
	BREAKS("write lease, read open, downgrade", F_WRLCK, opener, O_RDONLY, F_RDLCK);
	BREAKS("write lease, read open, close", F_WRLCK, opener, O_RDONLY, -1);
	BREAKS("write lease, write open, unlock", F_WRLCK, opener, O_WRONLY | O_TRUNC, F_UNLCK);
	BREAKS("read lease, read open", F_RDLCK, opener, O_RDONLY, F_UNLCK);
	BREAKS("read lease, write open, unlock", F_RDLCK, opener, O_RDWR, F_UNLCK);
	BREAKS("read lease, write open, close", F_RDLCK, opener, O_RDWR | O_CREAT, -1);
	BREAKS("read lease, nonblock", F_RDLCK, opener, O_RDWR | O_NONBLOCK, F_UNLCK);
	BREAKS("read lease, O_PATH", F_RDLCK, opener, O_PATH, F_UNLCK);
	BREAKS("read lease, truncate", F_RDLCK, cutter, 0, F_UNLCK);
	BREAKS("write lease, truncate", F_WRLCK, cutter, 0, -1);

	/* An interrupted wait. */
	fd = open("f", O_RDONLY);
	fcntl(fd, F_SETLEASE, F_RDLCK);
	CHILD({
		struct sigaction s2 = { .sa_sigaction = on_sig, .sa_flags = SA_SIGINFO };
		sigaction(SIGALRM, &s2, 0);
		sigaction(SIGIO, &sa, 0);
		ualarm(100000, 0);
		R(open("f", O_RDWR));
	});
	R(fcntl(fd, F_GETLEASE));
	close(fd);
	CHILD({
		chown("f", 1000, 1000);
		int o = open("f", O_RDONLY);
		setresuid(1000, 1000, 1000);
		R(fcntl(o, F_SETLEASE, F_RDLCK));
		R(fcntl(o, F_SETLEASE, F_UNLCK));
	});
	CHILD({
		chown("f", 0, 0);
		chmod("f", 0666);
		int o = open("f", O_RDONLY);
		setresuid(1000, 1000, 1000);
		R(fcntl(o, F_SETLEASE, F_RDLCK));
		R(fcntl(o, F_SETLEASE, F_UNLCK));
		R(fcntl(o, F_SETLEASE, 9));
	});
	return 0;
}
