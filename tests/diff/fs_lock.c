/* POSIX record locks, open file description locks, flock. */
#include "diff.h"
#include <sys/file.h>

static long lk(int fd, int cmd, int type, long start, long len)
{
	struct flock f = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
	return fcntl(fd, cmd, &f);
}

static void get(int line, int fd, int cmd, int type, long start, long len, pid_t parent)
{
	struct flock f = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
	if (fcntl(fd, cmd, &f) < 0)
		say(line, "getlk %s", ename(errno));
	else if (f.l_type == F_UNLCK)
		say(line, "free");
	else
		say(line, "type %d start %ld len %ld whence %d pid %s", f.l_type, (long)f.l_start, (long)f.l_len,
		    f.l_whence, f.l_pid == parent ? "parent" : f.l_pid == -1 ? "-1" : "other");
}

static void on_alarm(int s) { (void)s; }

int main(void)
{
	put("f", "0123456789");
	int fd = open("f", O_RDWR), ro = open("f", O_RDONLY), wo = open("f", O_WRONLY), fd2 = open("f", O_RDWR);
	pid_t me = getpid();
	int p[2], q[2];
	char c;
	pipe(p);
	pipe(q);

	R(lk(fd, F_SETLK, F_WRLCK, 0, 10));
	get(__LINE__, fd2, F_GETLK, F_WRLCK, 0, 0, me);
	CHILD({
		get(__LINE__, fd, F_GETLK, F_WRLCK, 0, 0, me);
		get(__LINE__, fd, F_GETLK, F_RDLCK, 5, 1, me);
		get(__LINE__, fd, F_GETLK, F_RDLCK, 10, 1, me);
		R(lk(fd, F_SETLK, F_RDLCK, 9, 1));
		R(lk(fd, F_SETLK, F_WRLCK, 10, 0));
	});
	R(lk(fd, F_SETLK, F_UNLCK, 3, 2));
	CHILD({
		get(__LINE__, fd, F_GETLK, F_WRLCK, 0, 0, me);
		get(__LINE__, fd, F_GETLK, F_WRLCK, 3, 2, me);
		get(__LINE__, fd, F_GETLK, F_WRLCK, 3, 3, me);
	});
	R(lk(fd, F_SETLK, F_RDLCK, 0, 0));
	CHILD({
		get(__LINE__, fd, F_GETLK, F_WRLCK, 100, 0, me);
		R(lk(fd, F_SETLK, F_RDLCK, 0, 0));
		R(lk(fd, F_SETLK, F_WRLCK, 0, 1));
	});
	R(lk(ro, F_SETLK, F_WRLCK, 0, 1));
	R(lk(wo, F_SETLK, F_RDLCK, 0, 1));
	R(lk(fd, F_SETLK, 9, 0, 1));
	R(lk(fd, F_SETLK, F_WRLCK, -1, 1));
	R(lk(fd, F_SETLK, F_WRLCK, 5, -3));
	R(lk(fd, F_SETLK, F_WRLCK, 2, -3));
	R(lk(-1, F_SETLK, F_WRLCK, 0, 1));
	R(lk(p[0], F_SETLK, F_RDLCK, 0, 1));
	R(fcntl(fd, F_SETLK, BAD));
	R(fcntl(fd, F_GETLK, BAD));
	/* closing any descriptor of the file drops the process's locks */
	close(fd2);
	CHILD({ R(lk(fd, F_SETLK, F_WRLCK, 0, 0)); });
	/* waiting: parent has it, child waits, parent gives it up */
	R(lk(fd, F_SETLK, F_WRLCK, 0, 0));
	pid_t k = fork();
	if (!k) {
		write(p[1], "r", 1);
		R(lk(fd, F_SETLKW, F_WRLCK, 0, 0));
		_exit(0);
	}
	read(p[0], &c, 1);
	settle(k, k);
	P("parent unlocks");
	R(lk(fd, F_SETLK, F_UNLCK, 0, 0));
	reap(__LINE__, "waiter", k);
	/* EINTR */
	R(lk(fd, F_SETLK, F_WRLCK, 0, 0));
	k = fork();
	if (!k) {
		struct sigaction sa = { .sa_handler = on_alarm };
		sigaction(SIGUSR1, &sa, NULL);
		write(p[1], "r", 1);
		R(lk(fd, F_SETLKW, F_WRLCK, 0, 0));
		_exit(0);
	}
	read(p[0], &c, 1);
	settle(k, k);
	kill(k, SIGUSR1);
	reap(__LINE__, "interrupted", k);
	/* deadlock */
	R(lk(fd, F_SETLK, F_UNLCK, 0, 0));
	R(lk(fd, F_SETLK, F_WRLCK, 0, 1));
	k = fork();
	if (!k) {
		lk(fd, F_SETLK, F_WRLCK, 1, 1);
		write(p[1], "r", 1);
		R(lk(fd, F_SETLKW, F_WRLCK, 0, 1));
		_exit(0);
	}
	read(p[0], &c, 1);
	settle(k, k);
	R(lk(fd, F_SETLKW, F_WRLCK, 1, 1));
	R(lk(fd, F_SETLK, F_UNLCK, 0, 1));
	reap(__LINE__, "other", k);
	/* exit drops them */
	R(lk(fd, F_SETLK, F_WRLCK, 0, 0));

	/* open file description locks */
	fd2 = open("f", O_RDWR);
	lk(fd, F_SETLK, F_UNLCK, 0, 0);
	R(lk(fd, F_OFD_SETLK, F_WRLCK, 0, 5));
	R(lk(fd2, F_OFD_SETLK, F_WRLCK, 0, 5));
	R(lk(fd2, F_OFD_SETLK, F_WRLCK, 5, 5));
	get(__LINE__, fd2, F_OFD_GETLK, F_WRLCK, 0, 0, me);
	get(__LINE__, fd2, F_GETLK, F_WRLCK, 0, 0, me);
	CHILD({ R(lk(fd, F_OFD_SETLK, F_WRLCK, 0, 4)); R(lk(fd, F_SETLK, F_WRLCK, 0, 4)); });
	struct flock f = { .l_type = F_WRLCK, .l_pid = 7 };
	R(fcntl(fd, F_OFD_SETLK, &f));
	int dupd = dup(fd);
	close(fd);
	R(lk(fd2, F_OFD_SETLK, F_WRLCK, 0, 5));
	close(dupd);
	R(lk(fd2, F_OFD_SETLK, F_WRLCK, 0, 5));
	close(fd2);

	/* flock */
	fd = open("f", O_RDWR);
	fd2 = open("f", O_RDONLY);
	R(flock(fd, LOCK_EX));
	R(flock(fd2, LOCK_SH | LOCK_NB));
	R(flock(dup(fd), LOCK_SH));
	R(flock(fd2, LOCK_SH | LOCK_NB));
	R(flock(fd2, LOCK_EX | LOCK_NB));
	R(flock(fd, 9));
	R(flock(-1, LOCK_SH));
	R(flock(p[0], LOCK_EX));
	R(flock(fd2, LOCK_UN));
	R(flock(fd, LOCK_EX));
	CHILD({ R(flock(fd, LOCK_UN)); });
	R(flock(fd2, LOCK_EX | LOCK_NB));
	k = fork();
	if (!k) {
		int o = open("f", O_RDWR);
		write(p[1], "r", 1);
		R(flock(o, LOCK_EX));
		_exit(0);
	}
	read(p[0], &c, 1);
	settle(k, k);
	P("parent unlocks");
	flock(fd2, LOCK_UN);
	reap(__LINE__, "flock waiter", k);
	R(flock(fd, LOCK_EX));
	R(lk(fd, F_SETLK, F_WRLCK, 0, 0));
	return 0;
}
