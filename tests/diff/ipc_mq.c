/* POSIX message queues. */
#include "diff.h"
#include <mqueue.h>

static volatile int n, val;
static void h(int s, siginfo_t *si, void *u) { (void)s, (void)u; n++; val = si->si_value.sival_int; }

int main(void)
{
	struct mq_attr a = { .mq_maxmsg = 3, .mq_msgsize = 16 }, o;
	char b[64];
	unsigned prio;
	struct timespec past = { 1, 0 }, bad = { 1, -1 };
	R(mq_open("/none", O_RDWR));
	mqd_t q = mq_open("/q", O_CREAT | O_RDWR | O_NONBLOCK, 0600, &a);
	R(q >= 0);
	R(mq_open("/q", O_CREAT | O_EXCL | O_RDWR, 0600, &a));
	R(mq_open("/a/b", O_CREAT | O_RDWR, 0600, &a));
	R(mq_open("noslash", O_CREAT | O_RDWR, 0600, &a));
	R(mq_getattr(q, &o));
	P("flags %lx max %ld size %ld cur %ld", o.mq_flags, o.mq_maxmsg, o.mq_msgsize, o.mq_curmsgs);
	R(mq_receive(q, b, 64, &prio));
	R(mq_send(q, "low", 3, 1));
	R(mq_send(q, "high", 4, 9));
	R(mq_send(q, "low2", 4, 1));
	R(mq_send(q, "x", 1, 1));
	R(mq_send(q, b, 17, 1));
	R(mq_send(q, "x", 1, 40000));
	R(mq_getattr(q, &o));
	P("cur %ld", o.mq_curmsgs);
	R(mq_receive(q, b, 15, &prio));
	for (int i = 0; i < 3; i++) {
		ssize_t r = mq_receive(q, b, 64, &prio);
		P("%zd %.*s prio %u", r, (int)r, b, prio);
	}
	R(mq_timedreceive(q, b, 64, &prio, &past));
	o.mq_flags = 0;
	R(mq_setattr(q, &o, NULL));
	R(mq_timedreceive(q, b, 64, &prio, &past));
	R(mq_timedreceive(q, b, 64, &prio, &bad));
	struct pollfd pf = { q, POLLIN | POLLOUT, 0 };
	R(poll(&pf, 1, 0));
	P("%x", pf.revents);
	/* blocked receiver and sender */
	pid_t k = fork();
	if (!k)
		_exit(mq_receive(q, b, 64, NULL) == 4 ? 0 : 1);
	settle(k, k);
	R(mq_send(q, "wake", 4, 0));
	reap(__LINE__, "receiver", k);
	for (int i = 0; i < 3; i++)
		mq_send(q, "fill", 4, 0);
	R(mq_timedsend(q, "no", 2, 0, &past));
	k = fork();
	if (!k)
		_exit(mq_send(q, "more", 4, 0) == 0 ? 0 : 1);
	settle(k, k);
	R(mq_receive(q, b, 64, NULL));
	reap(__LINE__, "sender", k);
	for (int i = 0; i < 3; i++)
		mq_receive(q, b, 64, NULL);
	/* notification */
	struct sigaction sa = { .sa_sigaction = h, .sa_flags = SA_SIGINFO };
	sigaction(SIGUSR1, &sa, NULL);
	struct sigevent se = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 12 };
	R(mq_notify(q, &se));
	R(mq_notify(q, &se));
	R(mq_send(q, "n", 1, 0));
	P("notified %d value %d", n, val);
	R(mq_send(q, "n", 1, 0));
	P("notified %d", n);
	R(mq_notify(q, NULL));
	int ro = mq_open("/q", O_RDONLY);
	R(mq_send(ro, "x", 1, 0));
	R(mq_close(ro));
	R(access("/dev/mqueue/q", F_OK));
	R(mq_unlink("/q"));
	R(mq_unlink("/q"));
	R(mq_receive(q, b, 64, NULL));
	R(mq_open("/q", O_RDWR));
	R(mq_close(q));
	R(mq_getattr(q, &o));
	a.mq_maxmsg = 0;
	R(mq_open("/r", O_CREAT | O_RDWR, 0600, &a));
	return 0;
}
