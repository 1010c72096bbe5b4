/* While a call is parked every struct it was given is overwritten: it was copied in once. */
#include "diff.h"
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>

static char buf[64], other[64], full[65536];
static struct iovec iov[2];
static struct msghdr mh;
static struct pollfd pf[2];
static struct timespec ts;
static struct timeval tv;
static fd_set rs;
static sigset_t set;
static struct sembuf sb;
static struct flock fl;
static siginfo_t si;
static uint32_t fut;
static int p[2], sem, lk;

static void c_readv(struct parked *k) { PARKED_RET(k, readv(p[0], iov, 2)); }
static void c_writev(struct parked *k) { PARKED_RET(k, writev(k->fd, iov, 2)); }
static void c_recvmsg(struct parked *k) { PARKED_RET(k, recvmsg(k->fd, &mh, 0)); }
static void c_poll(struct parked *k) { PARKED_RET(k, poll(pf, 2, 3000)); }
static void c_ppoll(struct parked *k) { PARKED_RET(k, ppoll(pf, 1, &ts, &set)); }
static void c_select(struct parked *k) { PARKED_RET(k, select(p[0] + 1, &rs, NULL, NULL, &tv)); }
static void c_sleep(struct parked *k) { PARKED_RET(k, syscall(SYS_nanosleep, &ts, NULL)); }
static void c_sigwait(struct parked *k) { PARKED_RET(k, sigtimedwait(&set, &si, &ts)); }
static void c_suspend(struct parked *k) { PARKED_RET(k, sigsuspend(&set)); }
static void c_semop(struct parked *k) { PARKED_RET(k, semop(sem, &sb, 1)); }
static void c_semtimed(struct parked *k) { PARKED_RET(k, semtimedop(sem, &sb, 1, &ts)); }
static void c_setlkw(struct parked *k) { PARKED_RET(k, fcntl(lk, F_OFD_SETLKW, &fl)); }
static void c_futex(struct parked *k) { PARKED_RET(k, syscall(SYS_futex, &fut, FUTEX_WAIT, 0, &ts, NULL, 0)); }
static void c_open(struct parked *k) { PARKED_RET(k, open(buf, O_RDONLY) >= 0 ? 0 : -1); }
static void nothing(int s) { (void)s; }

int main(void)
{
	struct parked k;
	struct sigaction sa = { .sa_handler = nothing };
	sigaction(SIGUSR2, &sa, NULL);
	pipe(p);

	iov[0] = (struct iovec){ buf, 2 };
	iov[1] = (struct iovec){ buf + 2, 6 };
	k = (struct parked){ .fn = c_readv };
	park(&k);
	iov[0] = (struct iovec){ other, 1 };
	iov[1] = (struct iovec){ BAD, 1 };
	write(p[1], "readv", 5);
	parked_end(__LINE__, "readv", &k);
	P("\"%.5s\" \"%s\"", buf, other);

	int q[2];
	pipe(q);
	fcntl(q[1], F_SETPIPE_SZ, 4096);
	fcntl(q[1], F_SETFL, O_NONBLOCK);
	while (write(q[1], full, 4096) > 0)
		;
	fcntl(q[1], F_SETFL, 0);
	iov[0] = (struct iovec){ "wri", 3 };
	iov[1] = (struct iovec){ "tev", 3 };
	k = (struct parked){ .fn = c_writev, .fd = q[1] };
	park(&k);
	iov[0] = (struct iovec){ BAD, 100 };
	iov[1] = (struct iovec){ other, 50 };
	read(q[0], full, 4096);
	parked_end(__LINE__, "writev", &k);
	R(read(q[0], full, 4096));
	P("%.6s", full);

	int sv[2];
	socketpair(AF_UNIX, SOCK_DGRAM, 0, sv);
	memset(buf, 0, sizeof buf);
	iov[0] = (struct iovec){ buf, 20 };
	mh = (struct msghdr){ .msg_iov = iov, .msg_iovlen = 1 };
	k = (struct parked){ .fn = c_recvmsg, .fd = sv[0] };
	park(&k);
	iov[0] = (struct iovec){ other, 1 };
	mh.msg_iovlen = 0;
	write(sv[1], "recvmsg", 7);
	parked_end(__LINE__, "recvmsg", &k);
	P("\"%s\" \"%s\"", buf, other);

	pf[0] = (struct pollfd){ p[0], POLLIN, 0 };
	pf[1] = (struct pollfd){ q[0], POLLIN, 0 };
	k = (struct parked){ .fn = c_poll };
	park(&k);
	pf[0] = (struct pollfd){ -1, 0, 77 };
	pf[1] = (struct pollfd){ -1, 0, 77 };
	write(q[1], "x", 1);
	parked_end(__LINE__, "poll", &k);
	P("revents %x %x", pf[0].revents, pf[1].revents);
	read(q[0], buf, 1);

	/* ppoll: time and mask */
	sigfillset(&set);
	sigdelset(&set, SIGALRM);
	ts = (struct timespec){ 3, 0 };
	pf[0] = (struct pollfd){ p[0], POLLIN, 0 };
	k = (struct parked){ .fn = c_ppoll };
	park(&k);
	ts = (struct timespec){ 0, 0 };
	sigemptyset(&set);
	pthread_kill(k.th, SIGUSR2);
	msleep(50);
	write(p[1], "x", 1);
	parked_end(__LINE__, "ppoll", &k);
	read(p[0], buf, 1);

	FD_ZERO(&rs);
	FD_SET(p[0], &rs);
	tv = (struct timeval){ 3, 0 };
	k = (struct parked){ .fn = c_select };
	park(&k);
	FD_ZERO(&rs);
	tv = (struct timeval){ 0, 0 };
	write(p[1], "x", 1);
	parked_end(__LINE__, "select", &k);
	P("bit %d", !!FD_ISSET(p[0], &rs));
	read(p[0], buf, 1);

	long a = now_ms();
	ts = (struct timespec){ 0, 400000000 };
	k = (struct parked){ .fn = c_sleep };
	park(&k);
	ts = (struct timespec){ 100, 0 };
	parked_end(__LINE__, "nanosleep", &k);
	T(now_ms() - a < 5000);

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	ts = (struct timespec){ 3, 0 };
	k = (struct parked){ .fn = c_sigwait };
	park(&k);
	sigemptyset(&set);
	ts = (struct timespec){ 0, 0 };
	kill(getpid(), SIGUSR1);
	parked_end(__LINE__, "sigtimedwait", &k);

	sigfillset(&set);
	sigdelset(&set, SIGUSR2);
	k = (struct parked){ .fn = c_suspend };
	park(&k);
	sigfillset(&set);
	pthread_kill(k.th, SIGUSR2);
	parked_end(__LINE__, "sigsuspend", &k);

	sem = semget(IPC_PRIVATE, 2, 0600);
	sb = (struct sembuf){ 0, -1, 0 };
	k = (struct parked){ .fn = c_semop };
	park(&k);
	sb = (struct sembuf){ 1, -5, 0 };
	struct sembuf up = { 0, 1, 0 };
	semop(sem, &up, 1);
	parked_end(__LINE__, "semop", &k);
	P("%d", semctl(sem, 0, GETVAL));
	sb = (struct sembuf){ 0, -1, 0 };
	ts = (struct timespec){ 0, 300000000 };
	k = (struct parked){ .fn = c_semtimed };
	park(&k);
	sb = (struct sembuf){ 0, 0, 0 };
	ts = (struct timespec){ 100, 0 };
	parked_end(__LINE__, "semtimedop", &k);

	put("lock", "0123456789");
	int l1 = open("lock", O_RDWR);
	lk = open("lock", O_RDWR);
	struct flock mine = { .l_type = F_WRLCK, .l_start = 0, .l_len = 5 };
	fcntl(l1, F_OFD_SETLK, &mine);
	fl = (struct flock){ .l_type = F_WRLCK, .l_start = 2, .l_len = 2 };
	k = (struct parked){ .fn = c_setlkw };
	park(&k);
	fl = (struct flock){ .l_type = F_RDLCK, .l_start = 100, .l_len = 1 };
	mine.l_type = F_UNLCK;
	fcntl(l1, F_OFD_SETLK, &mine);
	parked_end(__LINE__, "F_OFD_SETLKW", &k);
	struct flock probe = { .l_type = F_WRLCK };
	R(fcntl(l1, F_OFD_GETLK, &probe));
	P("type %d start %ld len %ld", probe.l_type, (long)probe.l_start, (long)probe.l_len);

	ts = (struct timespec){ 0, 300000000 };
	k = (struct parked){ .fn = c_futex };
	park(&k);
	ts = (struct timespec){ 100, 0 };
	fut = 1;
	parked_end(__LINE__, "futex", &k);

	mkfifo("fifo", 0644);
	strcpy(buf, "fifo");
	k = (struct parked){ .fn = c_open };
	park(&k);
	strcpy(buf, "nonexistent");
	int w = open("fifo", O_WRONLY);
	R(w >= 0);
	parked_end(__LINE__, "open of a FIFO", &k);
	/* buffers that go away while the call is parked */
	char *page = page_with(PROT_READ | PROT_WRITE);
	iov[0] = (struct iovec){ page, 10 };
	iov[1] = (struct iovec){ buf, 0 };
	k = (struct parked){ .fn = c_readv };
	park(&k);
	munmap(page, PAGE);
	write(p[1], "gone", 4);
	parked_end(__LINE__, "readv into memory that has gone", &k);
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	R(read(p[0], buf, 64));
	/* O_NONBLOCK set while a read is parked changes nothing for it */
	fcntl(p[0], F_SETFL, 0);
	iov[0] = (struct iovec){ buf, 10 };
	k = (struct parked){ .fn = c_readv };
	park(&k);
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	write(p[1], "late", 4);
	parked_end(__LINE__, "readv, then O_NONBLOCK", &k);
	return 0;
}
