/* Which calls go on after a handler with SA_RESTART and which end with EINTR. */
#include "diff.h"
#include <mqueue.h>
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

static volatile int n;
static void h(int s) { (void)s; n++; }

static int p[2], full[2], sv[2], fullsv[2], ep, ev, tf, in, ls, lockfd, sem, msg;
static uint32_t fut;
static mqd_t mq, fullmq;
static int fullmsg, fullev, sf, poslock;
static pid_t held;
static char b[65536];
static struct pollfd pf;
static sigset_t empty;

static long c_read(void) { return read(p[0], b, 1); }
static long c_readv(void) { struct iovec v = { b, 1 }; return readv(p[0], &v, 1); }
static long c_write(void) { return write(full[1], b, 65536); }
static long c_recv(void) { return recv(sv[0], b, 1, 0); }
static long c_recvmsg(void) { struct iovec v = { b, 1 }; struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 }; return recvmsg(sv[0], &m, 0); }
static long c_recv_tmo(void)
{
	struct timeval tv = { 5, 0 };
	int own[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, own);
	setsockopt(own[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	return recv(own[0], b, 1, 0);
}
static long c_send(void) { return send(fullsv[0], b, 65536, 0); }
static long c_accept(void) { return accept(ls, NULL, NULL); }
static long c_eventfd(void) { uint64_t v; return read(ev, &v, 8); }
static long c_timerfd(void) { uint64_t v; return read(tf, &v, 8); }
static long c_inotify(void) { return read(in, b, 100); }
static long c_poll(void) { return poll(&pf, 1, 400); }
static long c_ppoll(void) { struct timespec t = { 0, 400000000 }; return ppoll(&pf, 1, &t, NULL); }
static long c_select(void) { fd_set f; FD_ZERO(&f); FD_SET(p[0], &f); struct timeval t = { 0, 400000 }; return select(p[0] + 1, &f, NULL, NULL, &t); }
static long c_pselect(void) { struct timespec t = { 0, 400000000 }; return pselect(0, NULL, NULL, NULL, &t, NULL); }
static long c_epoll(void) { struct epoll_event e; return epoll_wait(ep, &e, 1, 400); }
static long c_epoll_pwait(void) { struct epoll_event e; return epoll_pwait(ep, &e, 1, 400, &empty); }
static long c_nanosleep(void) { struct timespec t = { 0, 300000000 }; return nanosleep(&t, NULL); }
static long c_clock_rel(void) { struct timespec t = { 0, 300000000 }; return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, NULL); }
static long c_clock_abs(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec++;
	return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}
static long c_futex(void) { return syscall(SYS_futex, &fut, FUTEX_WAIT, 0, NULL, NULL, 0); }
static long c_futex_tmo(void) { struct timespec t = { 0, 300000000 }; return syscall(SYS_futex, &fut, FUTEX_WAIT, 0, &t, NULL, 0); }
static long c_sem(void) { struct sembuf o = { 0, -1, 0 }; return semop(sem, &o, 1); }
static long c_msgrcv(void) { return msgrcv(msg, b, 100, 0, 0); }
static long c_mq(void) { return mq_receive(mq, b, 8192, NULL); }
static long c_flock(void) { int f = open("lock", O_RDWR); long r = flock(f, LOCK_EX); int e = errno; close(f); errno = e; return r; }
static long c_setlkw(void) { struct flock f = { .l_type = F_WRLCK }; return fcntl(lockfd, F_OFD_SETLKW, &f); }
static long c_open(void) { return open("fifo", O_RDONLY); }
static long c_wait(void) { return waitpid(-1, NULL, __WNOTHREAD | __WALL) > 0 ? 0 : -1; }
static long c_splice(void) { return splice(p[0], NULL, full[1], NULL, 1, 0); }
static long c_pause(void) { return pause(); }
static long c_suspend(void) { return sigsuspend(&empty); }
static long c_mqsend(void) { return mq_send(fullmq, b, 1, 0); }
static long c_mqtimed(void) { struct timespec t = { 1, 0 }; return mq_timedreceive(mq, b, 8192, NULL, &t); }
static long c_msgsnd(void) { struct { long t; char c[16]; } m = { 1, "" }; return msgsnd(fullmsg, &m, 16, 0); }
static long c_connect(void)
{
	struct sockaddr_un un = { AF_UNIX, "\0backlog" };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	long r = connect(s, (void *)&un, 10);
	int e = errno;
	close(s);
	errno = e;
	return r;
}
static long c_signalfd(void) { return read(sf, b, 128); }
static long c_event_write(void) { uint64_t v = 5; return write(fullev, &v, 8); }
static long c_open_write(void) { return open("fifo", O_WRONLY); }
static long c_sigtimed(void) { struct timespec t = { 0, 400000000 }; sigset_t s; sigemptyset(&s); sigaddset(&s, SIGHUP); return sigtimedwait(&s, NULL, &t); }
static long c_semtimed(void) { struct sembuf o = { 0, -1, 0 }; struct timespec t = { 0, 400000000 }; return semtimedop(sem, &o, 1, &t); }
static long c_waitid(void) { siginfo_t i; return waitid(P_PID, held, &i, WEXITED); }
static long c_waitv(void)
{
	struct { uint64_t val, uaddr; uint32_t flags, pad; } w = { 0, (uintptr_t)&fut, 2, 0 };
	return syscall(SYS_futex_waitv, &w, 1, 0, NULL, CLOCK_MONOTONIC);
}
static long c_posix(void) { struct flock f = { .l_type = F_WRLCK, .l_len = 1 }; return fcntl(poslock, F_SETLKW, &f); }
static long c_epoll2(void) { struct epoll_event e; struct timespec t = { 0, 400000000 }; return syscall(SYS_epoll_pwait2, ep, &e, 1, &t, NULL, 0); }
static long c_recvmmsg(void) { struct iovec v = { b, 1 }; struct mmsghdr m = { .msg_hdr = { .msg_iov = &v, .msg_iovlen = 1 } }; return recvmmsg(sv[0], &m, 1, 0, NULL); }
static long c_sendmsg(void) { struct iovec v = { b, 65536 }; struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 }; return sendmsg(fullsv[0], &m, 0); }
static long c_tee(void) { return tee(p[0], full[1], 1, 0); }
static long c_sendfile(void) { return sendfile(full[1], poslock, NULL, 1); }
static long c_waitall(void) { return recv(sv[0], b, 8, MSG_WAITALL); }
static long c_preadv2(void) { struct iovec v = { b, 1 }; return preadv2(p[0], &v, 1, -1, 0); }

/*
 * The call runs in a child; a helper sends it SIGUSR1 twice. With a handler that
 * asks for a restart the call goes on; then SIGTERM ends the child: "restarted".
 */
static void try(const char *name, long (*f)(void), int flags)
{
	int st, out[2];
	pipe(out);
	pid_t k = fork();
	if (!k) {
		struct sigaction sa = { .sa_handler = h, .sa_flags = flags };
		sigaction(SIGUSR1, &sa, NULL);
		if ((f == c_wait || f == c_waitid) && (held = fork()) == 0) {
			msleep(1500);
			_exit(0);
		}
		errno = 0;
		write(out[1], "r", 1);
		long r = f();
		int e = errno;
		char l[100];
		int m = sprintf(l, "%s", r == -1 ? ename(e) : "returned");
		write(out[1], l, m);
		_exit(0);
	}
	close(out[1]);
	char l[100] = "";
	read(out[0], l, 1);
	settle(k, k);
	kill(k, SIGUSR1);
	struct pollfd w = { out[0], POLLIN, 0 };
	int r = poll(&w, 1, f == c_clock_abs ? 1500 : 700);
	ssize_t m = 0;
	if (r > 0)
		m = read(out[0], l, sizeof l - 1);
	l[m > 0 ? m : 0] = 0;
	say(0, "%s %s: %s", name, flags & SA_RESTART ? "restart" : "plain", m > 0 ? l : "goes on");
	kill(k, SIGKILL);
	waitpid(k, &st, 0);
	close(out[0]);
}

int main(void)
{
	pipe(p);
	pipe(full);
	fcntl(full[1], F_SETPIPE_SZ, 4096);
	fcntl(full[1], F_SETFL, O_NONBLOCK);
	while (write(full[1], b, 4096) > 0)
		;
	fcntl(full[1], F_SETFL, 0);
	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	socketpair(AF_UNIX, SOCK_STREAM, 0, fullsv);
	while (send(fullsv[0], b, 65536, MSG_DONTWAIT) > 0)
		;
	struct sockaddr_un un = { AF_UNIX, "\0restart" };
	ls = socket(AF_UNIX, SOCK_STREAM, 0);
	bind(ls, (void *)&un, 10);
	listen(ls, 1);
	ep = epoll_create1(0);
	ev = eventfd(0, 0);
	tf = timerfd_create(CLOCK_MONOTONIC, 0);
	in = inotify_init();
	pf = (struct pollfd){ p[0], POLLIN, 0 };
	put("lock", "");
	lockfd = open("lock", O_RDWR);
	int l2 = open("lock", O_RDWR);
	flock(l2, LOCK_EX);
	struct flock fl = { .l_type = F_WRLCK };
	fcntl(l2, F_OFD_SETLK, &fl);
	sem = semget(IPC_PRIVATE, 1, 0600);
	msg = msgget(IPC_PRIVATE, 0600);
	mq = mq_open("/restart", O_CREAT | O_RDWR, 0600, NULL);
	mkfifo("fifo", 0600);
	struct mq_attr one = { .mq_maxmsg = 1, .mq_msgsize = 8 };
	mq_unlink("/restart2");
	fullmq = mq_open("/restart2", O_CREAT | O_RDWR, 0600, &one);
	mq_send(fullmq, b, 1, 0);
	fullmsg = msgget(IPC_PRIVATE, 0600);
	struct msqid_ds ds;
	msgctl(fullmsg, IPC_STAT, &ds);
	ds.msg_qbytes = 16;
	msgctl(fullmsg, IPC_SET, &ds);
	msgsnd(fullmsg, &(struct { long t; char c[16]; }){ 1, "" }, 16, 0);
	fullev = eventfd(0, 0);
	write(fullev, &(uint64_t){ 0xfffffffffffffffeull }, 8);
	sigset_t hup;
	sigemptyset(&hup);
	sigaddset(&hup, SIGHUP);
	sf = signalfd(-1, &hup, 0);
	struct sockaddr_un backlog = { AF_UNIX, "\0backlog" };
	int bl = socket(AF_UNIX, SOCK_STREAM, 0);
	bind(bl, (void *)&backlog, 10);
	listen(bl, 0);
	connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&backlog, 10);
	put("poslock", "x");
	poslock = open("poslock", O_RDWR);
	fcntl(poslock, F_SETLK, &(struct flock){ .l_type = F_WRLCK });
	alarm(60);

	static const struct { const char *name; long (*f)(void); } calls[] = {
		{ "read", c_read }, { "readv", c_readv }, { "write", c_write }, { "recv", c_recv }, { "recvmsg", c_recvmsg },
		{ "recv with timeout", c_recv_tmo }, { "send", c_send }, { "accept", c_accept }, { "eventfd", c_eventfd },
		{ "timerfd", c_timerfd }, { "inotify", c_inotify }, { "poll", c_poll }, { "ppoll", c_ppoll },
		{ "select", c_select }, { "pselect", c_pselect }, { "epoll_wait", c_epoll }, { "epoll_pwait", c_epoll_pwait },
		{ "nanosleep", c_nanosleep }, { "clock_nanosleep rel", c_clock_rel }, { "clock_nanosleep abs", c_clock_abs },
		{ "futex", c_futex }, { "futex with timeout", c_futex_tmo }, { "semop", c_sem }, { "msgrcv", c_msgrcv },
		{ "mq_receive", c_mq }, { "flock", c_flock }, { "setlkw", c_setlkw }, { "open fifo", c_open },
		{ "wait", c_wait }, { "splice", c_splice }, { "pause", c_pause },
		{ "sigsuspend", c_suspend }, { "mq_send", c_mqsend }, { "mq_timedreceive", c_mqtimed }, { "msgsnd", c_msgsnd },
		{ "connect", c_connect }, { "signalfd", c_signalfd }, { "write of an eventfd", c_event_write },
		{ "open fifo to write", c_open_write }, { "sigtimedwait", c_sigtimed }, { "semtimedop", c_semtimed },
		{ "waitid", c_waitid }, { "futex_waitv", c_waitv }, { "F_SETLKW", c_posix }, { "epoll_pwait2", c_epoll2 },
		{ "recvmmsg", c_recvmmsg }, { "sendmsg", c_sendmsg }, { "tee", c_tee }, { "sendfile", c_sendfile },
		{ "recv of all", c_waitall }, { "preadv2", c_preadv2 },
	};
	/* a child for each call and kind, eight calls at once: it is mostly waiting */
	for (unsigned from = 0; from < NELEM(calls); from += 8) {
		int o[16][2];
		pid_t k[16];
		unsigned end = from + 8 < NELEM(calls) ? from + 8 : NELEM(calls), many = 2 * (end - from);
		for (unsigned j = 0; j < many; j++) {
			pipe(o[j]);
			k[j] = fork();
			if (!k[j]) {
				dup2(o[j][1], 1);
				alarm(15);
				try(calls[from + j / 2].name, calls[from + j / 2].f, j % 2 ? SA_RESTART : 0);
				_exit(0);
			}
			close(o[j][1]);
		}
		for (unsigned j = 0; j < many; j++) {
			ssize_t m;
			while ((m = read(o[j][0], b, sizeof b)) > 0)
				write(1, b, m);
			close(o[j][0]);
			waitpid(k[j], NULL, 0);
		}
	}
	mq_unlink("/restart"), mq_unlink("/restart2");
	return 0;
}
