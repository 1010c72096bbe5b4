/* SCM_RIGHTS and SCM_CREDENTIALS over unix sockets. */
#include "diff.h"
#include <sys/socket.h>
#include <sys/un.h>

static long sendfds(int s, int *fds, int n, const char *text, size_t len)
{
	char c[CMSG_SPACE(4 * 300)];
	memset(c, 0, sizeof c);
	struct iovec v = { (void *)text, len };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = CMSG_SPACE(4 * n) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(4 * n);
	memcpy(CMSG_DATA(h), fds, 4 * n);
	return sendmsg(s, &m, 0);
}

static int got[300], ngot;
static void get(int line, int s, size_t ctl, int flags)
{
	char c[2000], b[64] = "";
	struct iovec v = { b, 63 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = ctl };
	ssize_t r = recvmsg(s, &m, flags);
	if (r < 0) {
		say(line, "recvmsg %s", ename(errno));
		return;
	}
	say(line, "recvmsg %zd \"%s\" flags %x control %zu", r, b, m.msg_flags & ~MSG_CMSG_CLOEXEC, (size_t)m.msg_controllen);
	ngot = 0;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		if (h->cmsg_type == SCM_RIGHTS) {
			ngot = (h->cmsg_len - CMSG_LEN(0)) / 4;
			memcpy(got, CMSG_DATA(h), 4 * ngot);
			say(line, "  rights %d cloexec %d", ngot, ngot ? fcntl(got[0], F_GETFD) : -1);
		} else if (h->cmsg_type == SCM_CREDENTIALS) {
			struct ucred u;
			memcpy(&u, CMSG_DATA(h), sizeof u);
			say(line, "  credentials pid %s uid %u gid %u", u.pid == getpid() ? "me" : u.pid ? "other" : "0", u.uid, u.gid);
		} else {
			say(line, "  control %d", h->cmsg_type);
		}
	}
}

static long sendcred(int s, pid_t pid, uid_t uid, gid_t gid)
{
	char c[CMSG_SPACE(sizeof(struct ucred))] = { 0 };
	struct iovec v = { "c", 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = sizeof c };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	struct ucred u = { pid, uid, gid };
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_CREDENTIALS;
	h->cmsg_len = CMSG_LEN(sizeof u);
	memcpy(CMSG_DATA(h), &u, sizeof u);
	return sendmsg(s, &m, 0);
}

int main(void)
{
	int sv[2], dg[2], v = 1, fds[300];
	char b[64];
	put("f", "0123456789");
	int fd = open("f", O_RDWR);
	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	socketpair(AF_UNIX, SOCK_DGRAM, 0, dg);

	fds[0] = fd;
	fds[1] = 99;
	R(sendfds(sv[0], fds, 1, "one", 3));
	get(__LINE__, sv[1], sizeof b * 8, 0);
	R(read(got[0], b, 3));
	R(lseek(fd, 0, SEEK_CUR));
	R(sendfds(sv[0], fds, 2, "bad", 3));
	R(sendfds(sv[0], fds, 1, "", 0));
	fds[1] = 0;
	R(sendfds(sv[0], fds, 2, "two", 3));
	get(__LINE__, sv[1], CMSG_LEN(4), 0);
	R(sendfds(sv[0], fds, 2, "none", 4));
	get(__LINE__, sv[1], 0, 0);
	R(sendfds(sv[0], fds, 1, "ce", 2));
	get(__LINE__, sv[1], 200, MSG_CMSG_CLOEXEC);
	for (int i = 0; i < 300; i++)
		fds[i] = fd;
	R(sendfds(sv[0], fds, 254, "many", 4));
	R(sendfds(sv[0], fds, 253, "many", 4));
	get(__LINE__, sv[1], 2000, 0);
	for (int i = 0; i < ngot; i++)
		close(got[i]);
	/* not merged over a message with rights; plain read drops them */
	write(sv[0], "aa", 2);
	sendfds(sv[0], fds, 1, "bb", 2);
	write(sv[0], "cc", 2);
	get(__LINE__, sv[1], 200, 0);
	get(__LINE__, sv[1], 200, 0);
	get(__LINE__, sv[1], 200, MSG_DONTWAIT);
	sendfds(sv[0], fds, 1, "dropped", 7);
	R(read(sv[1], b, 64));
	sendfds(sv[0], fds, 1, "peek", 4);
	get(__LINE__, sv[1], 200, MSG_PEEK);
	get(__LINE__, sv[1], 200, 0);
	/* sender closes before the receiver looks; pipes, sockets and the socket itself travel */
	int p[2];
	pipe(p);
	sendfds(sv[0], p, 2, "pipe", 4);
	close(p[0]);
	close(p[1]);
	get(__LINE__, sv[1], 200, 0);
	R(write(got[1], "thru", 4));
	R(read(got[0], b, 64));
	R(sendfds(sv[0], &sv[1], 1, "self", 4));
	R(sendfds(dg[0], &sv[0], 1, "sock", 4));
	get(__LINE__, dg[1], 200, 0);
	R(write(got[0], "by copy", 7));
	get(__LINE__, sv[1], 200, 0);
	get(__LINE__, sv[1], 200, MSG_DONTWAIT);
	/* to another process */
	pid_t k = fork();
	if (!k) {
		int own = open("f", O_RDONLY);
		lseek(own, 7, SEEK_SET);
		sendfds(sv[0], &own, 1, "kid", 3);
		_exit(0);
	}
	reap(__LINE__, "child", k);
	get(__LINE__, sv[1], 200, 0);
	R(read(got[0], b, 1));
	P("%c", b[0]);
	/* no room for descriptors */
	struct rlimit rl = { 3, 1024 };
	sendfds(sv[0], fds, 3, "full", 4);
	setrlimit(RLIMIT_NOFILE, &rl);
	get(__LINE__, sv[1], 200, 0);
	rl.rlim_cur = 1024;
	setrlimit(RLIMIT_NOFILE, &rl);

	/* credentials */
	write(dg[0], "plain", 5);
	R(setsockopt(dg[1], SOL_SOCKET, SO_PASSCRED, &v, 4));
	get(__LINE__, dg[1], 200, 0);
	write(dg[0], "cred", 4);
	get(__LINE__, dg[1], 200, 0);
	R(sendcred(dg[0], getpid(), 0, 0));
	get(__LINE__, dg[1], 200, 0);
	R(sendcred(dg[0], getpid(), 5, 6));
	get(__LINE__, dg[1], 200, 0);
	R(sendcred(dg[0], 99999, 0, 0));
	CHILD({
		setgid(1000);
		setuid(1000);
		R(sendcred(dg[0], getpid(), 0, 0));
		R(sendcred(dg[0], getpid(), 1000, 1000));
		R(sendcred(dg[0], 1, 1000, 1000));
	});
	get(__LINE__, dg[1], 200, 0);
	/* malformed control */
	char c[64] = { 0 };
	struct iovec io = { "x", 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = c, .msg_controllen = 16 };
	struct cmsghdr *h = (void *)c;
	h->cmsg_len = 8;
	R(sendmsg(sv[0], &m, 0));
	h->cmsg_len = 1000;
	R(sendmsg(sv[0], &m, 0));
	h->cmsg_len = 16;
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = 77;
	R(sendmsg(sv[0], &m, 0));
	m.msg_control = BAD;
	R(sendmsg(sv[0], &m, 0));
	m.msg_control = c;
	m.msg_controllen = -1;
	R(sendmsg(sv[0], &m, 0));
	return 0;
}
