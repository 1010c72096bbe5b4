/*
 * As park_args, for the rest of the calls that wait: what they were given is overwritten
 * while they are parked, and what they give back is written when they end.
 */
#include "diff.h"
#include <linux/futex.h>
#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/un.h>

static char buf[8192], big[70000];
static struct sockaddr_un un;
static socklen_t len;
static struct iovec iov[2];
static struct msghdr mh;
static struct mmsghdr mm[2];
static struct timespec ts, rem;
static struct timespec *where;
static sigset_t set;
static fd_set rs;
static struct epoll_event ev[2];
static struct flock fl;
static loff_t off[2];
static siginfo_t si;
static struct rusage ru;
static unsigned prio;
static int status, from, to, queue;
static uint64_t val;
static struct { long type; char text[16]; } m;
static uint32_t words[2];
static struct { uint64_t val, uaddr; uint32_t flags, pad; } fw[2];

static void c_accept(struct parked *k) { PARKED_RET(k, accept(k->fd, (void *)&un, &len) >= 0 ? 0 : -1); }
static void c_connect(struct parked *k) { PARKED_RET(k, connect(k->fd, (void *)&un, 7)); }
static void c_recvfrom(struct parked *k) { PARKED_RET(k, recvfrom(k->fd, buf, 100, 0, (void *)&un, &len)); }
static void c_sendmsg(struct parked *k) { PARKED_RET(k, sendmsg(k->fd, &mh, 0)); }
static void c_recvmmsg(struct parked *k) { PARKED_RET(k, recvmmsg(k->fd, mm, 2, 0, NULL)); }
static void c_write8(struct parked *k) { PARKED_RET(k, write(k->fd, &val, 8)); }
static void c_pselect(struct parked *k) { PARKED_RET(k, pselect(k->fd + 1, &rs, NULL, NULL, &ts, &set)); }
static void c_epoll(struct parked *k) { PARKED_RET(k, epoll_pwait(k->fd, ev, 2, 3000, &set)); }
static void c_epoll2(struct parked *k) { PARKED_RET(k, syscall(SYS_epoll_pwait2, k->fd, ev, 2, &ts, &set, 8)); }
static void c_sleep(struct parked *k) { PARKED_RET(k, syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &ts, where)); }
static void c_mqrecv(struct parked *k) { PARKED_RET(k, mq_timedreceive(k->fd, buf, 16, &prio, &ts)); }
static void c_mqsend(struct parked *k) { PARKED_RET(k, mq_timedsend(k->fd, buf, 5, 3, &ts)); }
static void c_msgsnd(struct parked *k) { PARKED_RET(k, msgsnd(queue, &m, 5, 0)); }
static void c_msgrcv(struct parked *k) { PARKED_RET(k, msgrcv(queue, &m, 16, 2, 0)); }
static void c_wait4(struct parked *k) { PARKED_RET(k, wait4(-1, &status, 0, &ru) > 0 ? 0 : -1); }
static void c_waitid(struct parked *k) { PARKED_RET(k, waitid(P_ALL, 0, &si, WEXITED)); }
static void c_waitv(struct parked *k) { PARKED_RET(k, syscall(SYS_futex_waitv, fw, 2, 0, &ts, CLOCK_MONOTONIC)); }
static void c_setlkw(struct parked *k) { PARKED_RET(k, fcntl(k->fd, F_SETLKW, &fl)); }
static void c_splice(struct parked *k) { PARKED_RET(k, splice(from, off, to, NULL, 6, 0)); }
static void c_sendfile(struct parked *k) { PARKED_RET(k, sendfile(to, from, (void *)off, 6)); }

static struct parked k;
#define PARK(f, d) do { k = (struct parked){ .fn = f, .fd = d }; park(&k); } while (0)
#define END(what) parked_end(__LINE__, what, &k)
static void nothing(int s) { (void)s; }

static void fill(int fd)
{
	int fl = fcntl(fd, F_GETFL);
	fcntl(fd, F_SETFL, fl | O_NONBLOCK);
	while (write(fd, big, 4096) > 0)
		;
	fcntl(fd, F_SETFL, fl);
}

static struct timespec in(clockid_t c, long ms)
{
	struct timespec t;
	clock_gettime(c, &t);
	t.tv_nsec += ms % 1000 * 1000000;
	t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

static void sockets(void)
{
	int sv[2], c = socket(AF_UNIX, SOCK_STREAM, 0), d = socket(AF_UNIX, SOCK_STREAM, 0);
	int l = socket(AF_UNIX, SOCK_STREAM, 0), got;
	struct sockaddr_un name = { AF_UNIX, "\0copy" }, mine = { AF_UNIX, "\0mine" };
	bind(l, (void *)&name, 7);
	listen(l, 0);
	bind(c, (void *)&mine, 7);
	len = sizeof un;
	PARK(c_accept, l);
	/* how much room there is for the name is read when the name is there */
	len = 4;
	R(connect(c, (void *)&name, 7));
	END("accept");
	P("length %d, family %d, name %02x %c %c", len, un.sun_family, un.sun_path[0], un.sun_path[1], un.sun_path[2] ? '?' : '0');
	close(c);
	c = socket(AF_UNIX, SOCK_STREAM, 0);
	R(connect(c, (void *)&name, 7));
	un = name;
	PARK(c_connect, d);
	memset(&un, 'x', sizeof un);
	S(got = accept(l, NULL, NULL));
	END("connect");
	close(got), close(l), close(c), close(d);

	int a = socket(AF_UNIX, SOCK_DGRAM, 0), b = socket(AF_UNIX, SOCK_DGRAM, 0);
	bind(a, (void *)&name, 7);
	bind(b, (void *)&mine, 7);
	len = 0;
	memset(&un, 0, sizeof un);
	PARK(c_recvfrom, a);
	len = sizeof un;
	R(sendto(b, "from", 4, 0, (void *)&name, 7));
	END("recvfrom");
	P("length %d, family %d, name %02x %c", len, un.sun_family, un.sun_path[0], un.sun_path[1]);

	char second[8] = { 0 };
	iov[0] = (struct iovec){ buf, 8 }, iov[1] = (struct iovec){ second, 8 };
	mm[0].msg_hdr = (struct msghdr){ .msg_iov = &iov[0], .msg_iovlen = 1 };
	mm[1].msg_hdr = (struct msghdr){ .msg_iov = &iov[1], .msg_iovlen = 1 };
	memset(buf, 0, sizeof buf);
	PARK(c_recvmmsg, a);
	/* the first is in use; the second is not read yet */
	mm[0].msg_hdr.msg_iovlen = 77;
	iov[0].iov_base = BAD;
	R(sendto(b, "one", 3, 0, (void *)&name, 7));
	msleep(50);
	R(sendto(b, "two", 3, 0, (void *)&name, 7));
	END("recvmmsg");
	P("\"%s\" %u \"%s\" %u", buf, mm[0].msg_len, second, mm[1].msg_len);
	close(a), close(b);

	socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv);
	while (send(sv[0], big, 100, MSG_DONTWAIT) > 0)
		;
	strcpy(buf, "sendmsg");
	iov[0] = (struct iovec){ buf, 7 };
	mh = (struct msghdr){ .msg_iov = iov, .msg_iovlen = 1 };
	PARK(c_sendmsg, sv[0]);
	iov[0] = (struct iovec){ BAD, 1 };
	mh.msg_iovlen = 1000000;
	while ((got = recv(sv[1], big, 100, 0)) == 100)
		;
	P("%d \"%.7s\"", got, big);
	END("sendmsg");
	memset(big, 0, sizeof big);
	close(sv[0]), close(sv[1]);
}

static void polls(void)
{
	int p[2], ep = epoll_create1(0);
	pipe(p);
	epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &(struct epoll_event){ EPOLLIN, { .u64 = 9 } });
	sigfillset(&set);
	sigdelset(&set, SIGALRM);
	ts = (struct timespec){ 3, 0 };
	FD_ZERO(&rs);
	FD_SET(p[0], &rs);
	PARK(c_pselect, p[0]);
	sigemptyset(&set);
	FD_ZERO(&rs);
	ts = (struct timespec){ 0, 0 };
	pthread_kill(k.th, SIGUSR2);
	msleep(40);
	write(p[1], "x", 1);
	END("pselect");
	T(FD_ISSET(p[0], &rs));
	read(p[0], buf, 1);

	sigfillset(&set);
	sigdelset(&set, SIGALRM);
	PARK(c_epoll, ep);
	sigemptyset(&set);
	ev[0].data.u64 = 1;
	pthread_kill(k.th, SIGUSR2);
	msleep(40);
	/* what is told is what the set says now */
	epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &(struct epoll_event){ EPOLLIN, { .u64 = 10 } });
	write(p[1], "x", 1);
	END("epoll_pwait");
	P("%llu", (unsigned long long)ev[0].data.u64);
	read(p[0], buf, 1);
	ts = (struct timespec){ 0, 200000000 };
	PARK(c_epoll2, ep);
	ts = (struct timespec){ 100, 0 };
	END("epoll_pwait2");
	close(ep), close(p[0]), close(p[1]);

	int e = eventfd(0, 0);
	val = 0xfffffffffffffffeull;
	R(write(e, &val, 8));
	val = 3;
	PARK(c_write8, e);
	val = 4;
	R(read(e, buf, 8));
	END("write of an eventfd");
	R(read(e, &val, 8));
	P("%llu", (unsigned long long)val);
	close(e);

	ts = (struct timespec){ 3, 0 };
	where = &rem;
	PARK(c_sleep, 0);
	where = NULL;
	ts = (struct timespec){ 1, 0 };
	pthread_kill(k.th, SIGUSR2);
	END("clock_nanosleep");
	P("%d", rem.tv_sec == 2);
}

static void queues(void)
{
	struct mq_attr a = { .mq_maxmsg = 1, .mq_msgsize = 16 };
	mq_unlink("/copy");
	int q = mq_open("/copy", O_CREAT | O_RDWR, 0600, &a);
	ts = in(CLOCK_REALTIME, 3000);
	PARK(c_mqrecv, q);
	ts = (struct timespec){ 0, 0 };
	R(mq_send(q, "mess", 4, 6));
	END("mq_timedreceive");
	P("\"%.4s\" %u", buf, prio);
	R(mq_send(q, "mess", 4, 6));
	ts = in(CLOCK_REALTIME, 3000);
	strcpy(buf, "early");
	PARK(c_mqsend, q);
	ts = (struct timespec){ 0, 0 };
	strcpy(buf, "later");
	R(mq_receive(q, big, 16, NULL));
	END("mq_timedsend");
	R(mq_receive(q, big, 16, &prio));
	P("\"%.5s\" %u", big, prio);
	ts = in(CLOCK_REALTIME, 300);
	PARK(c_mqrecv, q);
	ts = in(CLOCK_REALTIME, 100000);
	END("mq_timedreceive in vain");
	close(q);
	mq_unlink("/copy");

	queue = msgget(IPC_PRIVATE, 0600);
	struct msqid_ds ds;
	msgctl(queue, IPC_STAT, &ds);
	ds.msg_qbytes = 16;
	R(msgctl(queue, IPC_SET, &ds));
	m.type = 1;
	memcpy(m.text, "0123456789abcdef", 16);
	R(msgsnd(queue, &m, 16, 0));
	m.type = 4;
	memcpy(m.text, "early", 5);
	PARK(c_msgsnd, 0);
	m.type = 9;
	memcpy(m.text, "later", 5);
	R(msgrcv(queue, &(struct { long t; char c[16]; }){ 0 }, 16, 1, 0));
	END("msgsnd");
	R(msgrcv(queue, &m, 16, 0, IPC_NOWAIT));
	P("%ld %.5s", m.type, m.text);
	memset(&m, 0, sizeof m);
	PARK(c_msgrcv, 0);
	R(msgsnd(queue, &(struct { long t; char c[16]; }){ 2, "text" }, 4, 0));
	END("msgrcv");
	P("%ld %.5s", m.type, m.text);
	PARK(c_msgrcv, 0);
	R(msgctl(queue, IPC_RMID, NULL));
	END("msgrcv, the queue is removed");
}

static void processes(void)
{
	int p[2];
	pipe(p);
	for (int i = 0; i < 2; i++) {
		pid_t kid = fork();
		if (!kid) {
			read(p[0], buf, 1);
			_exit(5);
		}
		status = 0;
		memset(&si, 0, sizeof si);
		PARK(i ? c_waitid : c_wait4, 0);
		status = 77;
		si.si_status = 77;
		write(p[1], "x", 1);
		END(i ? "waitid" : "wait4");
		if (i)
			P("%d %d", si.si_status, si.si_code == CLD_EXITED);
		else
			P("%d", WEXITSTATUS(status));
	}
	fw[0].uaddr = (uintptr_t)&words[0], fw[1].uaddr = (uintptr_t)&words[1];
	fw[0].flags = fw[1].flags = 2 | 128;
	ts = in(CLOCK_MONOTONIC, 3000);
	PARK(c_waitv, 0);
	fw[1].uaddr = 8;
	fw[1].val = 3;
	ts = (struct timespec){ 0, 0 };
	R(syscall(SYS_futex, &words[1], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
	END("futex_waitv");

	put("lock", "0123456789");
	int go[2];
	pipe(go);
	pid_t o = fork();
	if (!o) {
		struct flock f = { .l_type = F_WRLCK };
		int fd = open("lock", O_RDWR);
		fcntl(fd, F_SETLK, &f);
		write(go[1], "x", 1);
		read(p[0], buf, 1);
		_exit(0);
	}
	read(go[0], buf, 1);
	int fd = open("lock", O_RDWR);
	fl = (struct flock){ .l_type = F_WRLCK, .l_start = 3, .l_len = 2 };
	PARK(c_setlkw, fd);
	fl = (struct flock){ .l_type = F_UNLCK, .l_start = 0, .l_len = 100 };
	write(p[1], "x", 1);
	END("F_SETLKW");
	waitpid(o, NULL, 0);
	CHILD({
		struct flock f = { .l_type = F_WRLCK };
		R(fcntl(fd, F_GETLK, &f));
		P("type %d start %ld len %ld", f.l_type, (long)f.l_start, (long)f.l_len);
	});
}

static void moves(void)
{
	int p[2];
	pipe(p);
	put("source", "abcdefghijklmnop");
	from = open("source", O_RDONLY), to = p[1];
	for (int i = 0; i < 2; i++) {
		fill(p[1]);
		off[0] = 2;
		PARK(i ? c_sendfile : c_splice, 0);
		off[0] = 9;
		while (read(p[0], big, 4096) == 4096)
			;
		END(i ? "sendfile" : "splice");
		P("\"%.6s\" offset %ld", big, (long)off[0]);
	}
}

int main(void)
{
	struct sigaction sa = { .sa_handler = nothing };
	sigaction(SIGUSR2, &sa, NULL);
	sockets();
	polls();
	queues();
	processes();
	moves();
	return 0;
}
