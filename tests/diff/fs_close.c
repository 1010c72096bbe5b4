/* close, close_range, dup, dup2, dup3, the descriptor limit. */
#include "diff.h"
#include <linux/close_range.h>

static void fds(int line)
{
	char b[64];
	int n = 0;
	for (int i = 0; i < 20; i++) {
		int f = fcntl(i, F_GETFD);
		b[n++] = f < 0 ? '-' : f & FD_CLOEXEC ? 'c' : 'o';
	}
	b[n] = 0;
	say(line, "fds %s", b);
}

int main(void)
{
	put("f", "0123456789");
	int fd = open("f", O_RDWR);
	char b[8];

	fds(__LINE__);
	R(close(-1));
	R(close(1 << 30));
	R(close(19));
	R(dup(fd));
	R(dup(19));
	R(dup(-1));
	R(dup2(fd, 7));
	R(dup2(fd, fd));
	R(dup2(19, 19));
	R(dup2(19, 5));
	R(dup2(fd, -1));
	R(dup2(fd, 1024));
	R(dup2(fd, 1023));
	R(close(1023));
	R(dup3(fd, fd, 0));
	R(dup3(fd, 8, O_CLOEXEC));
	R(dup3(fd, 9, O_NONBLOCK));
	R(dup3(19, 9, 0));
	R(dup3(fd, 1024, 0));
	fds(__LINE__);

	/* duplicates share the offset and the status flags, not FD_CLOEXEC */
	R(read(fd, b, 3));
	R(lseek(7, 0, SEEK_CUR));
	R(fcntl(7, F_SETFL, O_APPEND));
	R(fcntl(fd, F_GETFL));
	R(fcntl(7, F_SETFD, FD_CLOEXEC));
	R(fcntl(fd, F_GETFD));
	R(dup2(7, 10));
	R(fcntl(10, F_GETFD));
	fds(__LINE__);

	/* dup2 over an open one closes that */
	int p[2];
	R(pipe(p));
	P("pipe %d %d", p[0], p[1]);
	R(dup2(fd, p[1]));
	R(read(p[0], b, 1));
	fds(__LINE__);

	R(close_range(9, 8, 0));
	R(close_range(9, 12, 8));
	R(close_range(12, 18, 0));
	R(close_range(9, 9, CLOSE_RANGE_CLOEXEC));
	R(close_range(7, 8, CLOSE_RANGE_CLOEXEC));
	fds(__LINE__);
	R(close_range(7, 8, 0));
	fds(__LINE__);
	CHILD({
		R(close_range(4, ~0u, CLOSE_RANGE_UNSHARE));
		fds(__LINE__);
	});
	fds(__LINE__);
	R(close_range(3, ~0u, CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC));
	fds(__LINE__);
	R(close_range(3, ~0u, 0));
	fds(__LINE__);

	/* the limit */
	struct rlimit rl = { 6, 1024 };
	R(setrlimit(RLIMIT_NOFILE, &rl));
	R(open("f", O_RDONLY));
	R(dup(3));
	R(dup(3));
	R(dup(3));
	R(open("f", O_RDONLY));
	R(open("none", O_RDONLY));
	R(open("made", O_RDWR | O_CREAT, 0644));
	R(access("made", F_OK));
	R(pipe(p));
	R(dup2(3, 6));
	R(dup2(3, 5));
	R(fcntl(3, F_DUPFD, 6));
	R(fcntl(3, F_DUPFD, 0));
	R(close(4));
	R(fcntl(3, F_DUPFD, 0));
	rl.rlim_cur = 1024;
	R(setrlimit(RLIMIT_NOFILE, &rl));
	R(fcntl(3, F_DUPFD, 100));
	R(fcntl(3, F_DUPFD_CLOEXEC, 100));
	R(fcntl(101, F_GETFD));
	R(fcntl(3, F_DUPFD, 1024));
	R(fcntl(3, F_DUPFD, -1));
	R(fcntl(19, F_DUPFD, 0));
	/* the lowest is taken */
	close(4);
	R(open("f", O_RDONLY));
	/* many */
	int n = 0;
	while (dup(3) >= 0)
		n++;
	P("dup until %s, %d more", ename(errno), n);
	return 0;
}
