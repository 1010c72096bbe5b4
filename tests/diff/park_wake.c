/* Wake-ups that bring nothing: the call goes on waiting until its own condition holds. */
#include "diff.h"
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/un.h>

static int p[2], e, l, sem, msg, ep;
static volatile int done;
static long results[4];
static pid_t kid;

static void *rd(void *i) { char c; results[(long)i] = read(p[0], &c, 1); __sync_fetch_and_add(&done, 1); return NULL; }
static void *ev(void *i) { uint64_t v; results[(long)i] = read(e, &v, 8); __sync_fetch_and_add(&done, 1); return NULL; }
static void *ac(void *i) { results[(long)i] = accept(l, NULL, NULL) >= 0; __sync_fetch_and_add(&done, 1); return NULL; }
static void *sm(void *i) { struct sembuf b = { 0, -2, 0 }; results[(long)i] = semop(sem, &b, 1); __sync_fetch_and_add(&done, 1); return NULL; }
static void *ms(void *i) { struct { long t; char c[8]; } m; results[(long)i] = msgrcv(msg, &m, 8, 7, 0); __sync_fetch_and_add(&done, 1); return NULL; }
static void *wt(void *i) { int st; results[(long)i] = waitpid(kid, &st, 0) == kid && WIFSIGNALED(st); __sync_fetch_and_add(&done, 1); return NULL; }
static void *pl(void *i) { struct pollfd f = { p[0], POLLIN, 0 }; results[(long)i] = poll(&f, 1, 3000); __sync_fetch_and_add(&done, 1); return NULL; }
static void *epw(void *i) { struct epoll_event v; results[(long)i] = epoll_wait(ep, &v, 1, 3000); __sync_fetch_and_add(&done, 1); return NULL; }

static pthread_t th[4];
static void start(void *(*fn)(void *), int n)
{
	done = 0;
	for (long i = 0; i < n; i++)
		pthread_create(&th[i], NULL, fn, (void *)i);
	msleep(120);
}
static void wait_for(int n)
{
	for (int i = 0; i < 400 && done < n; i++)
		msleep(5);
	msleep(30);
}
static void end(int n)
{
	for (int i = 0; i < n; i++)
		pthread_join(th[i], NULL);
}

int main(void)
{
	uint64_t one = 1;
	char c;
	pipe(p);
	/* one byte, three readers */
	start(rd, 3);
	write(p[1], "x", 1);
	wait_for(1);
	P("readers done %d", done);
	write(p[1], "yz", 2);
	wait_for(3);
	P("readers done %d", done);
	end(3);
	/* one eventfd count, three readers */
	e = eventfd(0, 0);
	start(ev, 3);
	write(e, &one, 8);
	wait_for(1);
	P("eventfd done %d", done);
	write(e, &one, 8);
	wait_for(2);
	write(e, &one, 8);
	wait_for(3);
	P("eventfd done %d", done);
	end(3);
	/* one connection, two acceptors */
	struct sockaddr_un un = { AF_UNIX, "\0wake" };
	l = socket(AF_UNIX, SOCK_STREAM, 0);
	bind(l, (void *)&un, 7);
	listen(l, 4);
	start(ac, 2);
	int c1 = socket(AF_UNIX, SOCK_STREAM, 0), c2 = socket(AF_UNIX, SOCK_STREAM, 0);
	connect(c1, (void *)&un, 7);
	wait_for(1);
	P("accepted %d", done);
	connect(c2, (void *)&un, 7);
	wait_for(2);
	P("accepted %d", done);
	end(2);
	/* too little of a semaphore */
	sem = semget(IPC_PRIVATE, 1, 0600);
	start(sm, 1);
	struct sembuf up = { 0, 1, 0 }, down = { 0, -1, 0 };
	semop(sem, &up, 1);
	msleep(50);
	P("semop done %d", done);
	semop(sem, &down, 1);
	semop(sem, &up, 1);
	msleep(50);
	P("semop done %d", done);
	semop(sem, &up, 1);
	end(1);
	P("semop %ld", results[0]);
	/* a message of another type */
	msg = msgget(IPC_PRIVATE, 0600);
	start(ms, 1);
	struct { long t; char c[8]; } m = { 3, "no" };
	msgsnd(msg, &m, 3, 0);
	msleep(50);
	P("msgrcv done %d", done);
	m.t = 7;
	msgsnd(msg, &m, 4, 0);
	end(1);
	P("msgrcv %ld", results[0]);
	/* a child that stops and continues is not one that ends; nor is another child */
	kid = fork();
	if (!kid)
		for (;;)
			pause();
	start(wt, 1);
	kill(kid, SIGSTOP);
	msleep(40);
	kill(kid, SIGCONT);
	pid_t o = fork();
	if (!o)
		_exit(0);
	waitpid(o, NULL, 0);
	msleep(40);
	P("wait done %d", done);
	kill(kid, SIGKILL);
	end(1);
	P("wait %ld", results[0]);
	/* data that is gone again before the poller runs: told or not, the answer is true */
	start(pl, 1);
	for (int i = 0; i < 50; i++) {
		write(p[1], "q", 1);
		read(p[0], &c, 1);
	}
	write(p[1], "stay", 4);
	end(1);
	P("poll %ld", results[0]);
	read(p[0], &c, 1);
	ep = epoll_create1(0);
	struct epoll_event w = { EPOLLIN, { 0 } };
	read(p[0], &c, 1), read(p[0], &c, 1), read(p[0], &c, 1);
	epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &w);
	start(epw, 1);
	for (int i = 0; i < 50; i++) {
		write(p[1], "q", 1);
		read(p[0], &c, 1);
	}
	write(p[1], "stay", 4);
	end(1);
	P("epoll %ld", results[0]);
	/* readers of nothing: a write of no bytes, a second writer that closes */
	read(p[0], &c, 1), read(p[0], &c, 1), read(p[0], &c, 1), read(p[0], &c, 1);
	start(rd, 1);
	write(p[1], "", 0);
	close(dup(p[1]));
	msleep(50);
	P("read done %d", done);
	write(p[1], "!", 1);
	end(1);
	P("read %ld", results[0]);
	/* everyone is told when the last writer goes */
	start(rd, 4);
	close(p[1]);
	end(4);
	P("ends of file %ld %ld %ld %ld", results[0], results[1], results[2], results[3]);
	/* stop and continue of the whole process while calls are parked */
	CHILD({
		pipe(p);
		pid_t me = getpid();
		if (fork() == 0) {
			msleep(50);
			kill(me, SIGSTOP);
			msleep(50);
			kill(me, SIGCONT);
			msleep(50);
			write(p[1], "s", 1);
			_exit(0);
		}
		R(read(p[0], &c, 1));
		P("%c", c);
		wait(NULL);
	});
	return 0;
}
