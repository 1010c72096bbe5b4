/*
 * As park_wake, for the rest of the calls that wait: something happens to what they wait
 * on, but not what they wait for. They go on waiting, and end when it comes.
 */
#include "diff.h"
#include <linux/futex.h>
#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

static char buf[8192], big[65536];
static int other, queue, sem;
static uint32_t word;
static sigset_t set;
static struct { long type; char text[16]; } m;
static volatile int over;

#define CALL(name, expr) static void name(struct parked *k) { PARKED_RET(k, expr); over = 1; }
CALL(c_read, read(k->fd, buf, sizeof buf))
CALL(c_write, write(k->fd, big, 4096))
CALL(c_send, send(k->fd, big, 100, 0))
CALL(c_waitall, recv(k->fd, buf, 8, MSG_WAITALL))
CALL(c_poll, poll(&(struct pollfd){ k->fd, POLLPRI, 0 }, 1, 3000))
CALL(c_epoll, epoll_wait(k->fd, &(struct epoll_event){ 0 }, 1, 3000))
CALL(c_flock, flock(k->fd, LOCK_EX))
CALL(c_setlkw, fcntl(k->fd, F_OFD_SETLKW, &(struct flock){ .l_type = F_WRLCK, .l_start = 0, .l_len = 2 }))
CALL(c_mqrecv, mq_receive(k->fd, buf, sizeof buf, NULL))
CALL(c_mqsend, mq_send(k->fd, "x", 1, 0))
CALL(c_msgsnd, msgsnd(queue, &m, 10, 0))
CALL(c_semop, semop(sem, (struct sembuf[]){ { 0, -1, 0 }, { 1, -1, 0 } }, 2))
CALL(c_semzero, semop(sem, &(struct sembuf){ 0, 0, 0 }, 1))
CALL(c_futex, syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, 2))
CALL(c_sigwait, sigtimedwait(&set, NULL, &(struct timespec){ 3, 0 }))
CALL(c_sleep, syscall(SYS_nanosleep, &(struct timespec){ 0, 400000000 }, NULL))
CALL(c_open, open("fifo", O_RDONLY) >= 0 ? 0 : -1)
CALL(c_waitid, waitid(P_PID, k->fd, &(siginfo_t){ 0 }, WSTOPPED))
CALL(c_group, waitpid(-k->fd, NULL, 0) > 0 ? 0 : -1)
CALL(c_pause, pause())

static struct parked k;
#define PARK(f, d) do { over = 0; k = (struct parked){ .fn = f, .fd = d }; park(&k); } while (0)
#define STILL(what) do { msleep(50); P(what ": %s", over ? "ended" : "waits"); } while (0)
#define END(what) parked_end(__LINE__, what, &k)
static void nothing(int s) { (void)s; }

static void fill(int fd)
{
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (write(fd, big, 4096) > 0)
		;
	fcntl(fd, F_SETFL, 0);
}

static void files(void)
{
	int p[2], sv[2];
	pipe(p);
	fill(p[1]);
	PARK(c_write, p[1]);
	read(p[0], buf, 1);
	STILL("a write of a page, room for a byte");
	read(p[0], buf, 4095);
	END("write");
	close(p[0]), close(p[1]);

	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	PARK(c_waitall, sv[0]);
	write(sv[1], "four", 4);
	STILL("all of eight bytes, four are there");
	write(sv[1], "more", 4);
	END("recv");
	PARK(c_read, sv[0]);
	int size = 9999;
	setsockopt(sv[0], SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	shutdown(sv[0], SHUT_WR);
	STILL("the other direction is shut");
	shutdown(sv[1], SHUT_WR);
	END("read");
	close(sv[0]), close(sv[1]);
	socketpair(AF_UNIX, SOCK_DGRAM, 0, sv);
	while (send(sv[0], big, 100, MSG_DONTWAIT) > 0)
		;
	PARK(c_send, sv[0]);
	recv(sv[1], buf, 1, MSG_PEEK);
	STILL("a peek makes no room");
	while (recv(sv[1], buf, 100, MSG_DONTWAIT) > 0)
		;
	END("send");
	close(sv[0]), close(sv[1]);

	int t = timerfd_create(CLOCK_MONOTONIC, 0);
	struct itimerspec it = { { 0, 0 }, { 0, 150000000 } };
	timerfd_settime(t, 0, &it, NULL);
	PARK(c_read, t);
	it.it_value = (struct timespec){ 100, 0 };
	timerfd_settime(t, 0, &it, NULL);
	msleep(150);
	STILL("a timer is set anew");
	it.it_value = (struct timespec){ 0, 1 };
	timerfd_settime(t, 0, &it, NULL);
	END("timerfd");
	close(t);

	mkdir("a", 0755);
	int in = inotify_init();
	inotify_add_watch(in, "a", IN_DELETE);
	PARK(c_read, in);
	put("a/x", "");
	STILL("an event that was not asked for");
	unlink("a/x");
	END("inotify");
	close(in), rmdir("a");

	sigset_t s = set;
	sigaddset(&s, SIGUSR1);
	sigaddset(&s, SIGWINCH);
	sigprocmask(SIG_BLOCK, &s, NULL);
	int f = signalfd(-1, &set, 0);
	PARK(c_read, f);
	kill(getpid(), SIGUSR1);
	STILL("a signal that is not in the set");
	kill(getpid(), SIGHUP);
	END("signalfd");
	close(f);
	PARK(c_sigwait, 0);
	kill(getpid(), SIGWINCH);
	STILL("likewise");
	kill(getpid(), SIGHUP);
	END("sigtimedwait");
	sigtimedwait(&s, NULL, &(struct timespec){ 0, 0 });

	pipe(p);
	PARK(c_poll, p[0]);
	write(p[1], "x", 1);
	STILL("a poll for other events");
	close(p[1]);
	END("poll");
	close(p[0]);
	int ep = epoll_create1(0);
	pipe(p);
	epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &(struct epoll_event){ EPOLLIN | EPOLLET, { 0 } });
	PARK(c_epoll, ep);
	other = eventfd(0, 0);
	epoll_ctl(ep, EPOLL_CTL_ADD, other, &(struct epoll_event){ EPOLLIN, { 0 } });
	epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &(struct epoll_event){ EPOLLPRI, { 0 } });
	write(p[1], "x", 1);
	STILL("an epoll that was told to look for other events");
	/* what is there already counts when the interest is added */
	epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &(struct epoll_event){ EPOLLIN, { 0 } });
	END("epoll_wait");
	close(ep), close(other), close(p[0]), close(p[1]);
}

static void locks(void)
{
	put("lock", "0123456789");
	int l[3];
	for (int i = 0; i < 3; i++)
		l[i] = open("lock", O_RDWR);
	flock(l[0], LOCK_SH), flock(l[1], LOCK_SH);
	PARK(c_flock, l[2]);
	flock(l[0], LOCK_UN);
	STILL("one of two shared locks goes");
	close(l[1]);
	END("flock");
	flock(l[2], LOCK_UN);
	struct flock f = { .l_type = F_RDLCK, .l_start = 0, .l_len = 10 };
	fcntl(l[0], F_OFD_SETLK, &f);
	PARK(c_setlkw, l[2]);
	f = (struct flock){ .l_type = F_UNLCK, .l_start = 1, .l_len = 9 };
	fcntl(l[0], F_OFD_SETLK, &f);
	STILL("a part of the range is free");
	f = (struct flock){ .l_type = F_UNLCK };
	fcntl(l[0], F_OFD_SETLK, &f);
	END("F_OFD_SETLKW");
	close(l[0]), close(l[2]);
}

static void queues(void)
{
	struct mq_attr a = { .mq_maxmsg = 1, .mq_msgsize = 16 };
	mq_unlink("/vain");
	int q = mq_open("/vain", O_CREAT | O_RDWR, 0600, &a);
	PARK(c_mqrecv, q);
	mq_unlink("/vain");
	fcntl(q, F_SETFL, O_NONBLOCK);
	STILL("the name of a queue goes");
	mq_send(q, "text", 4, 0);
	END("mq_receive");
	fcntl(q, F_SETFL, 0);
	mq_send(q, "text", 4, 0);
	PARK(c_mqsend, q);
	struct mq_attr now;
	mq_getattr(q, &now);
	STILL("a queue is looked at");
	mq_receive(q, buf, 16, NULL);
	END("mq_send");
	close(q);

	queue = msgget(IPC_PRIVATE, 0600);
	struct msqid_ds ds;
	msgctl(queue, IPC_STAT, &ds);
	ds.msg_qbytes = 16;
	msgctl(queue, IPC_SET, &ds);
	m.type = 1;
	msgsnd(queue, &m, 8, 0);
	msgsnd(queue, &m, 8, 0);
	PARK(c_msgsnd, 0);
	msgrcv(queue, &(struct { long t; char c[16]; }){ 0 }, 16, 1, 0);
	STILL("too little room in a queue");
	msgrcv(queue, &(struct { long t; char c[16]; }){ 0 }, 16, 1, 0);
	END("msgsnd");
	msgctl(queue, IPC_RMID, NULL);
	sem = semget(IPC_PRIVATE, 2, 0600);
	PARK(c_semop, 0);
	semop(sem, &(struct sembuf){ 0, 1, 0 }, 1);
	STILL("one of two semaphores");
	semop(sem, &(struct sembuf){ 1, 1, 0 }, 1);
	END("semop");
	semctl(sem, 0, SETVAL, 2);
	PARK(c_semzero, 0);
	semop(sem, &(struct sembuf){ 0, -1, 0 }, 1);
	STILL("a semaphore nears zero");
	semctl(sem, 0, SETVAL, 0);
	END("semop for zero");
	PARK(c_semop, 0);
	semctl(sem, 0, IPC_RMID);
	END("semop, the set is removed");

	PARK(c_futex, 0);
	R(syscall(SYS_futex, &word, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, 1));
	word = 1;
	STILL("a wake of other bits");
	R(syscall(SYS_futex, &word, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, 3));
	END("futex");
}

static void processes(void)
{
	long from = now_ms();
	PARK(c_sleep, 0);
	/* an ignored signal, and a stop and a continuation, end no sleep */
	signal(SIGUSR2, SIG_IGN);
	pthread_kill(k.th, SIGUSR2);
	STILL("an ignored signal");
	END("nanosleep");
	T(now_ms() - from >= 400);

	mkfifo("fifo", 0600);
	PARK(c_open, 0);
	R(open("fifo", O_WRONLY | O_NONBLOCK) >= 0 ? 0 : -1);
	END("open of a FIFO, the writer comes");
	unlink("fifo");
	mkfifo("fifo", 0600);
	PARK(c_open, 0);
	unlink("fifo");
	mkfifo("fifo", 0600);
	int w = open("fifo", O_RDWR);
	STILL("a FIFO of the same name");
	close(w);
	/* the old one is reached through the parked open only: it is let go by a signal */
	struct sigaction sa = { .sa_handler = nothing };
	sigaction(SIGUSR2, &sa, NULL);
	pthread_kill(k.th, SIGUSR2);
	END("open of a FIFO");

	pid_t kid = fork(), second;
	if (!kid)
		for (;;)
			pause();
	second = fork();
	if (!second) {
		setpgid(0, 0);
		for (;;)
			pause();
	}
	setpgid(second, second);
	PARK(c_waitid, kid);
	kill(second, SIGSTOP);
	STILL("another child stops");
	kill(kid, SIGSTOP);
	END("waitid");
	PARK(c_group, second);
	kill(kid, SIGKILL);
	STILL("a child of another group ends");
	kill(second, SIGKILL);
	END("waitpid of a group");
	R(waitpid(kid, NULL, 0) == kid);
	PARK(c_pause, 0);
	signal(SIGUSR2, SIG_IGN);
	pthread_kill(k.th, SIGUSR2);
	STILL("pause and an ignored signal");
	sigaction(SIGUSR2, &sa, NULL);
	pthread_kill(k.th, SIGUSR2);
	END("pause");
}

int main(void)
{
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	files();
	locks();
	queues();
	processes();
	return 0;
}
