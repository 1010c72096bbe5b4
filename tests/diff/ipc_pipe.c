/* Pipes and FIFOs: counts, ends, atomicity, capacity, flags, blocking opens. */
#include "diff.h"
#include <sys/ioctl.h>

static char big[1 << 20];
static volatile int sigs;
static void h(int s) { (void)s; sigs++; }

int main(void)
{
	int p[2], q[2], n;
	char b[64];
	struct pollfd pf;
	R(pipe(BAD));
	R(pipe2(p, 0x100000));
	R(pipe2(p, O_NONBLOCK | O_CLOEXEC));
	R(fcntl(p[0], F_GETFL));
	R(fcntl(p[1], F_GETFL));
	R(fcntl(p[0], F_GETFD));
	R(read(p[0], b, 1));
	R(read(p[0], b, 0));
	R(write(p[1], "hello", 5));
	R(read(p[0], b, 3));
	R(read(p[0], b, 64));
	R(write(p[0], "x", 1));
	R(read(p[1], b, 1));
	R(write(p[1], "", 0));
	R(read(p[0], b, 1));
	/* capacity */
	R(write(p[1], big, 65536));
	R(write(p[1], big, 1));
	R(ioctl(p[0], FIONREAD, &n));
	P("holds %d", n);
	R(read(p[0], big, 4095));
	R(write(p[1], big, 4096));
	R(read(p[0], big, 1));
	R(write(p[1], big, 4096));
	R(write(p[1], big, 4096));
	R(read(p[0], big, sizeof big));
	R(write(p[1], big, 100000));
	R(read(p[0], big, sizeof big));
	/* small writes share pages */
	int c = 0;
	while (write(p[1], "0123456789", 10) == 10)
		c++;
	P("writes of 10: %d", c);
	R(read(p[0], big, sizeof big));
	c = 0;
	while (write(p[1], big, 4095) == 4095)
		c++;
	P("writes of 4095: %d", c);
	R(read(p[0], big, sizeof big));
	R(fcntl(p[1], F_SETPIPE_SZ, 8192));
	R(write(p[1], big, 10000));
	R(write(p[1], big, 100));
	R(read(p[0], big, sizeof big));
	R(write(p[1], BAD, 5));
	R(read(p[0], b, 1));
	write(p[1], "abc", 3);
	R(read(p[0], BAD, 3));
	R(read(p[0], b, 64));
	/* poll bits */
	pf = (struct pollfd){ p[0], POLLIN | POLLOUT, 0 };
	R(poll(&pf, 1, 0));
	pf.fd = p[1];
	R(poll(&pf, 1, 0));
	P("write end %x", pf.revents);
	write(p[1], "x", 1);
	pf.fd = p[0];
	R(poll(&pf, 1, 0));
	P("read end %x", pf.revents);
	close(p[1]);
	R(poll(&pf, 1, 0));
	P("read end after close %x", pf.revents);
	R(read(p[0], b, 64));
	R(read(p[0], b, 64));
	R(poll(&pf, 1, 0));
	P("read end empty after close %x", pf.revents);
	close(p[0]);
	/* no reader */
	pipe(p);
	close(p[0]);
	signal(SIGPIPE, h);
	R(write(p[1], "x", 1));
	P("SIGPIPE %d", sigs);
	R(write(p[1], "", 0));
	pf.fd = p[1];
	pf.events = POLLOUT;
	R(poll(&pf, 1, 0));
	P("%x", pf.revents);
	CHILD({ signal(SIGPIPE, SIG_DFL); write(p[1], "x", 1); });
	signal(SIGPIPE, SIG_IGN);
	R(write(p[1], "x", 1));
	close(p[1]);

	/* a blocked writer is served piecemeal; the reader dies: EPIPE or what was written */
	pipe(p);
	pid_t k = fork();
	if (!k) {
		close(p[0]);
		R(write(p[1], big, 200000));
		_exit(0);
	}
	close(p[1]);
	long sum = 0, r;
	while ((r = read(p[0], big, 10000)) > 0)
		sum += r;
	P("read %ld", sum);
	reap(__LINE__, "writer", k);
	close(p[0]);
	pipe(p);
	k = fork();
	if (!k) {
		close(p[0]);
		R(write(p[1], big, 200000));
		R(write(p[1], big, 1));
		_exit(0);
	}
	close(p[1]);
	settle(k, k);
	R(read(p[0], big, 1));
	close(p[0]);
	reap(__LINE__, "writer", k);
	/* PIPE_BUF atomicity: four writers, records whole */
	pipe(p);
	for (int i = 0; i < 4; i++)
		if (fork() == 0) {
			char rec[3000];
			memset(rec, 'a' + i, sizeof rec);
			for (int j = 0; j < 50; j++)
				write(p[1], rec, sizeof rec);
			_exit(0);
		}
	close(p[1]);
	char rec[3000];
	int torn = 0, recs = 0;
	for (;;) {
		size_t got = 0;
		while (got < sizeof rec && (r = read(p[0], rec + got, sizeof rec - got)) > 0)
			got += r;
		if (got < sizeof rec)
			break;
		recs++;
		for (size_t i = 1; i < sizeof rec; i++)
			torn += rec[i] != rec[0];
	}
	while (wait(NULL) > 0)
		;
	P("records %d torn %d", recs, torn);
	/* packets */
	pipe2(q, O_DIRECT);
	R(write(q[1], "one", 3));
	R(write(q[1], "twotwo", 6));
	R(read(q[0], b, 2));
	R(read(q[0], b, 64));
	P("%.6s", b);

	/* FIFOs */
	mkfifo("ff", 0644);
	R(open("ff", O_WRONLY | O_NONBLOCK));
	int rd = open("ff", O_RDONLY | O_NONBLOCK);
	R(rd >= 0);
	R(read(rd, b, 1));
	int wr = open("ff", O_WRONLY | O_NONBLOCK);
	R(wr >= 0);
	R(read(rd, b, 1));
	R(write(wr, "fifo", 4));
	R(read(rd, b, 64));
	close(wr);
	R(read(rd, b, 1));
	pf = (struct pollfd){ rd, POLLIN, 0 };
	R(poll(&pf, 1, 0));
	P("%x", pf.revents);
	wr = open("ff", O_WRONLY);
	R(poll(&pf, 1, 0));
	close(rd);
	R(write(wr, "x", 1));
	close(wr);
	int rw = open("ff", O_RDWR);
	R(write(rw, "self", 4));
	R(read(rw, b, 64));
	close(rw);
	/* blocking opens meet */
	k = fork();
	if (!k) {
		int f = open("ff", O_RDONLY);
		R(read(f, b, 64));
		R(read(f, b, 64));
		_exit(0);
	}
	settle(k, k);
	wr = open("ff", O_WRONLY);
	long met = write(wr, "met", 3);
	settle(k, k);
	P("met %ld", met);
	close(wr);
	reap(__LINE__, "reader", k);
	/* a writer that comes and goes while the opener sleeps is enough */
	k = fork();
	if (!k) {
		int f = open("ff", O_RDONLY);
		P("opened %d", f >= 0);
		P("end of file %zd", read(f, b, 1));
		_exit(0);
	}
	settle(k, k);
	close(open("ff", O_WRONLY));
	reap(__LINE__, "reader", k);
	struct stat st;
	stat("ff", &st);
	P("%o size %ld", st.st_mode, (long)st.st_size);
	R(lseek(open("ff", O_RDWR), 0, SEEK_SET));
	R(ftruncate(open("ff", O_RDWR), 0));
	R(truncate("ff", 0));
	/* unlinked while open */
	rw = open("ff", O_RDWR);
	unlink("ff");
	R(write(rw, "gone", 4));
	R(read(rw, b, 64));
	return 0;
}
