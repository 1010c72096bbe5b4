/* Unix stream sockets: pairs, names, listen and accept, shutdown, peek, options, errors. */
#include "diff.h"
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static char big[300000];

static long bindto(int s, const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	strcpy(a.sun_path, name);
	return bind(s, (void *)&a, sizeof a);
}
static long conn(int s, const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	strcpy(a.sun_path, name);
	return connect(s, (void *)&a, sizeof a);
}
static void name(int line, int s, int peer)
{
	struct sockaddr_un a;
	socklen_t n = sizeof a;
	memset(&a, 0, sizeof a);
	int r = peer ? getpeername(s, (void *)&a, &n) : getsockname(s, (void *)&a, &n);
	say(line, "%s: %s family %d len %u \"%s%s\"", peer ? "peer" : "own", r ? ename(errno) : "ok", a.sun_family, n,
	    n > 2 && !a.sun_path[0] ? "@" : "", n > 2 ? a.sun_path + !a.sun_path[0] : "");
}
static void opt(int line, int s, int o)
{
	int v = -1;
	socklen_t n = sizeof v;
	int r = getsockopt(s, SOL_SOCKET, o, &v, &n);
	say(line, "option %d: %s %d len %u", o, r ? ename(errno) : "ok", v, n);
}

int main(void)
{
	int sv[2], l, c, a, v = 1;
	char b[64];
	struct stat st;
	signal(SIGPIPE, SIG_IGN);

	R(socket(AF_UNIX, SOCK_STREAM | 0x100000, 0));
	R(socket(AF_UNIX, 77, 0));
	R(socket(AF_UNIX, SOCK_STREAM, 5));
	R(socket(99, SOCK_STREAM, 0));
	R(socketpair(AF_UNIX, SOCK_STREAM, 0, BAD));
	R(socketpair(AF_INET, SOCK_STREAM, 0, sv));
	R(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv));
	R(fcntl(sv[0], F_GETFL));
	R(fcntl(sv[0], F_GETFD));
	fstat(sv[0], &st);
	P("%o", st.st_mode);
	R(read(sv[0], b, 1));
	R(write(sv[0], "hello", 5));
	R(recv(sv[1], b, 3, MSG_PEEK));
	R(recv(sv[1], b, 64, 0));
	P("%.5s", b);
	R(recv(sv[1], b, 64, MSG_DONTWAIT));
	R(send(sv[0], "x", 1, MSG_OOB));
	write(sv[0], "abcdef", 6);
	R(recv(sv[1], b, 3, MSG_TRUNC));
	R(recv(sv[1], b, 64, MSG_WAITALL));
	R(send(sv[0], BAD, 4, 0));
	R(write(sv[0], "q", 1));
	R(recv(sv[1], BAD, 4, 0));
	R(recv(sv[1], b, 4, 0));
	R(lseek(sv[0], 0, SEEK_SET));
	R(pread(sv[0], b, 1, 0));
	long sum = 0, r;
	while ((r = send(sv[0], big, 1000, 0)) > 0)
		sum += r;
	P("full %s, more than 10000: %d", ename(errno), sum > 10000);
	while ((r = recv(sv[1], big, sizeof big, 0)) > 0)
		sum -= r;
	P("all read %ld", sum);
	/* shutdown */
	R(shutdown(sv[0], 9));
	write(sv[0], "last", 4);
	R(shutdown(sv[0], SHUT_WR));
	R(write(sv[0], "x", 1));
	R(read(sv[1], b, 64));
	R(read(sv[1], b, 64));
	R(write(sv[1], "back", 4));
	R(read(sv[0], b, 64));
	R(shutdown(sv[0], SHUT_RD));
	R(write(sv[1], "x", 1));
	R(send(sv[1], "x", 1, MSG_NOSIGNAL));
	R(read(sv[0], b, 64));
	close(sv[0]);
	R(read(sv[1], b, 1));
	R(write(sv[1], "x", 1));
	close(sv[1]);
	CHILD({ signal(SIGPIPE, SIG_DFL); socketpair(AF_UNIX, SOCK_STREAM, 0, sv); close(sv[0]); write(sv[1], "x", 1); });
	/* reset: unread data when the peer closes */
	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	write(sv[0], "unread", 6);
	write(sv[1], "sent", 4);
	close(sv[1]);
	R(read(sv[0], b, 64));
	R(read(sv[0], b, 64));
	R(read(sv[0], b, 64));
	close(sv[0]);

	/* names */
	l = socket(AF_UNIX, SOCK_STREAM, 0);
	name(__LINE__, l, 0);
	name(__LINE__, l, 1);
	R(listen(l, 1));
	R(accept(l, NULL, NULL));
	R(bindto(l, "sk"));
	R(bindto(l, "sk2"));
	name(__LINE__, l, 0);
	stat("sk", &st);
	P("%o", st.st_mode);
	a = socket(AF_UNIX, SOCK_STREAM, 0);
	R(bindto(a, "sk"));
	R(bindto(a, "none/sk"));
	R(bindto(a, ""));
	name(__LINE__, a, 0);
	close(a);
	R(bind(l, BAD, 10));
	struct sockaddr_un un = { AF_INET, "x" };
	a = socket(AF_UNIX, SOCK_STREAM, 0);
	R(bind(a, (void *)&un, sizeof un));
	un.sun_family = AF_UNIX;
	R(bind(a, (void *)&un, 1));
	R(bind(a, (void *)&un, 500));
	R(bind(a, (void *)&un, -1));
	R(connect(a, (void *)&un, 1));
	c = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	R(conn(c, "sk"));
	R(conn(c, "none"));
	R(write(c, "x", 1));
	R(read(c, b, 1));
	R(listen(l, 1));
	R(listen(c, 1));
	opt(__LINE__, l, SO_ACCEPTCONN);
	put("plain", "");
	R(conn(c, "plain"));
	R(conn(c, "sk"));
	R(conn(c, "sk"));
	name(__LINE__, c, 1);
	name(__LINE__, c, 0);
	R(write(c, "early", 5));
	/* the backlog */
	int more[4];
	for (int i = 0; i < 4; i++) {
		more[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		R(conn(more[i], "sk"));
	}
	struct sockaddr_un pa;
	socklen_t pl = sizeof pa;
	memset(&pa, 0, sizeof pa);
	a = accept4(l, (void *)&pa, &pl, SOCK_CLOEXEC | SOCK_NONBLOCK);
	R(a >= 0);
	P("peer len %u family %d", pl, pa.sun_family);
	R(fcntl(a, F_GETFD));
	R(read(a, b, 64));
	name(__LINE__, a, 0);
	R(accept4(l, NULL, NULL, 0x1000));
	R(accept(l, (void *)&pa, BAD));
	R(accept(c, NULL, NULL));
	R(accept(0, NULL, NULL));
	R(accept(99, NULL, NULL));
	opt(__LINE__, a, SO_TYPE);
	opt(__LINE__, a, SO_DOMAIN);
	opt(__LINE__, a, SO_PROTOCOL);
	opt(__LINE__, a, SO_ERROR);
	opt(__LINE__, a, SO_PASSCRED);
	opt(__LINE__, a, SO_ACCEPTCONN);
	opt(__LINE__, a, 9999);
	R(setsockopt(a, SOL_SOCKET, SO_PASSCRED, &v, 4));
	opt(__LINE__, a, SO_PASSCRED);
	R(setsockopt(a, SOL_SOCKET, SO_PASSCRED, &v, 2));
	R(setsockopt(a, SOL_SOCKET, SO_PASSCRED, BAD, 4));
	R(setsockopt(0, SOL_SOCKET, SO_PASSCRED, &v, 4));
	R(setsockopt(a, 77, SO_PASSCRED, &v, 4));
	struct ucred uc;
	socklen_t ul = sizeof uc;
	R(getsockopt(a, SOL_SOCKET, SO_PEERCRED, &uc, &ul));
	P("peer is me %d uid %u gid %u", uc.pid == getpid(), uc.uid, uc.gid);
	struct timeval tv = { 0, 50000 };
	R(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	fcntl(a, F_SETFL, 0);
	R(read(a, b, 1));
	close(l);
	R(write(more[0], "x", 1));
	R(read(more[0], b, 1));
	l = socket(AF_UNIX, SOCK_STREAM, 0);
	R(conn(l, "sk"));
	unlink("sk");
	R(conn(l, "sk"));
	close(a);
	R(read(c, b, 1));
	/* abstract names */
	l = socket(AF_UNIX, SOCK_STREAM, 0);
	memset(&un, 0, sizeof un);
	un.sun_family = AF_UNIX;
	memcpy(un.sun_path, "\0abs", 4);
	R(bind(l, (void *)&un, 6));
	name(__LINE__, l, 0);
	R(listen(l, 5));
	c = socket(AF_UNIX, SOCK_STREAM, 0);
	R(bind(c, (void *)&un, 6));
	R(connect(c, (void *)&un, 7));
	R(connect(c, (void *)&un, 6));
	pid_t k = fork();
	if (!k) {
		close(l);
		R(write(c, big, sizeof big));
		_exit(0);
	}
	a = accept(l, NULL, NULL);
	close(c);
	sum = 0;
	while ((r = read(a, big, 7777)) > 0)
		sum += r;
	P("sum %ld", sum);
	reap(__LINE__, "writer", k);
	/* autobind */
	c = socket(AF_UNIX, SOCK_STREAM, 0);
	R(bind(c, (void *)&un, 2));
	pl = sizeof pa;
	getsockname(c, (void *)&pa, &pl);
	P("autobound length %u abstract %d", pl, pa.sun_path[0] == 0);
	return 0;
}
