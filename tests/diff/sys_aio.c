/* Asynchronous I/O: io_setup, io_submit, io_getevents, io_pgetevents, io_cancel, io_destroy. */
#include "diff.h"
#include <linux/aio_abi.h>
#include <sys/eventfd.h>

static long setup(unsigned n, aio_context_t *c) { return syscall(SYS_io_setup, n, c); }
static long submit(aio_context_t c, long n, struct iocb **l) { return syscall(SYS_io_submit, c, n, l); }
static long events(aio_context_t c, long min, long n, struct io_event *e, struct timespec *t)
{
	return syscall(SYS_io_getevents, c, min, n, e, t);
}
static struct io_event ev[8];
static struct timespec zero, soon = { 0, 30000000 };

static void report(int line, long n)
{
	say(line, "events %ld", n < 0 ? -errno : n);
	for (long i = 0; i < n; i++)
		say(line, " data %llu res %lld res2 %lld", ev[i].data, ev[i].res, ev[i].res2);
}

static void on_alarm(int s) { (void)s; }

int main(void)
{
	aio_context_t c = 0, c2 = 1;
	R(setup(0, &c));
	R(setup(8, &c2));
	R(setup(8, BAD));
	R(setup(0x20000000, &c));
	R(setup(8, &c));
	T(c != 0);
	char buf[64] = "hello world", in[64] = "";
	int fd = open("f", O_RDWR | O_CREAT | O_TRUNC, 0644), ro = open("f", O_RDONLY), wo = open("f", O_WRONLY);
	struct iocb w = { .aio_data = 1, .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = fd, .aio_buf = (long)buf, .aio_nbytes = 11 };
	struct iocb r = { .aio_data = 2, .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = fd, .aio_buf = (long)in, .aio_nbytes = 64, .aio_offset = 6 };
	struct iocb *l[4] = { &w, &r };
	R(submit(c, 1, l));
	report(__LINE__, events(c, 1, 8, ev, NULL));
	R(submit(c, 1, l + 1));
	report(__LINE__, events(c, 1, 8, ev, NULL));
	P("%s", in);
	R(submit(c, 0, l));
	R(submit(c, -1, l));
	R(submit(c, 1, BAD));
	R(submit(99, 1, l));
	l[2] = BAD;
	R(submit(c, 1, l + 2));
	R(submit(c, 3, l));
	report(__LINE__, events(c, 2, 8, ev, NULL));
	/* vectors, sync, unknown */
	struct iovec v[2] = { { buf, 5 }, { buf + 6, 5 } };
	struct iocb wv = { .aio_data = 3, .aio_lio_opcode = IOCB_CMD_PWRITEV, .aio_fildes = fd, .aio_buf = (long)v, .aio_nbytes = 2 };
	l[0] = &wv;
	R(submit(c, 1, l));
	report(__LINE__, events(c, 1, 1, ev, NULL));
	struct iocb fs = { .aio_data = 4, .aio_lio_opcode = IOCB_CMD_FSYNC, .aio_fildes = fd };
	l[0] = &fs;
	R(submit(c, 1, l));
	report(__LINE__, events(c, 1, 1, ev, NULL));
	fs.aio_nbytes = 1;
	R(submit(c, 1, l));
	fs.aio_nbytes = 0;
	fs.aio_lio_opcode = IOCB_CMD_FDSYNC;
	R(submit(c, 1, l));
	report(__LINE__, events(c, 1, 1, ev, NULL));
	fs.aio_lio_opcode = IOCB_CMD_NOOP;
	R(submit(c, 1, l));
	fs.aio_lio_opcode = 77;
	R(submit(c, 1, l));
	/* errors of single requests */
	l[0] = &w;
	w.aio_fildes = -1;
	R(submit(c, 1, l));
	w.aio_fildes = ro;
	R(submit(c, 1, l));
	r.aio_fildes = wo;
	R(submit(c, 1, l + 1));
	w.aio_fildes = fd;
	w.aio_offset = -1;
	R(submit(c, 1, l));
	w.aio_offset = 0;
	w.aio_nbytes = -1;
	R(submit(c, 1, l));
	w.aio_nbytes = 4;
	w.aio_reserved2 = 1;
	R(submit(c, 1, l));
	w.aio_reserved2 = 0;
	w.aio_rw_flags = 0x8000;
	R(submit(c, 1, l));
	w.aio_rw_flags = 0;
	w.aio_buf = (long)KBAD;
	R(submit(c, 1, l));
	w.aio_buf = (long)BAD;
	R(submit(c, 1, l));
	report(__LINE__, events(c, 0, 8, ev, &zero));
	r.aio_fildes = fd;
	r.aio_buf = (long)BAD;
	R(submit(c, 1, l + 1));
	report(__LINE__, events(c, 0, 8, ev, &zero));
	w.aio_buf = (long)buf;
	/* event counter */
	int efd = eventfd(0, EFD_NONBLOCK);
	uint64_t n = 0;
	w.aio_flags = IOCB_FLAG_RESFD;
	w.aio_resfd = efd;
	R(submit(c, 1, l));
	R(read(efd, &n, 8));
	P("count %lu", n);
	report(__LINE__, events(c, 0, 8, ev, &zero));
	w.aio_resfd = fd;
	R(submit(c, 1, l));
	w.aio_resfd = -1;
	R(submit(c, 1, l));
	w.aio_flags = 0;
	/* polls stay in flight */
	int p[2];
	pipe(p);
	struct iocb po = { .aio_data = 5, .aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = p[0], .aio_buf = POLLIN };
	l[0] = &po;
	R(submit(c, 1, l));
	report(__LINE__, events(c, 1, 1, ev, &soon));
	write(p[1], "x", 1);
	report(__LINE__, events(c, 1, 1, ev, NULL));
	R(submit(c, 1, l));
	report(__LINE__, events(c, 1, 1, ev, NULL));
	read(p[0], in, 1);
	R(submit(c, 1, l));
	R(syscall(SYS_io_cancel, c, &po, ev));
	R(syscall(SYS_io_cancel, c, &w, ev));
	R(syscall(SYS_io_cancel, c, BAD, ev));
	R(syscall(SYS_io_cancel, 9, &po, ev));
	po.aio_nbytes = 1;
	R(submit(c, 1, l));
	po.aio_nbytes = 0;
	report(__LINE__, events(c, 1, 8, ev, &soon));
	/* the wait */
	R(events(c, 2, 1, ev, &zero));
	R(events(c, -1, 1, ev, &zero));
	R(events(c, 0, -1, ev, &zero));
	R(events(99, 0, 1, ev, &zero));
	R(events(c, 0, 1, ev, BAD));
	R(events(c, 0, 1, ev, (&(struct timespec){ -1, 0 })));
	R(events(c, 1, 1, ev, &soon));
	l[0] = &w;
	w.aio_nbytes = 4;
	submit(c, 1, l);
	R(events(c, 1, 1, BAD, NULL));
	report(__LINE__, events(c, 1, 1, ev, NULL));
	struct sigaction sa = { .sa_handler = on_alarm };
	sigaction(SIGUSR1, &sa, NULL);
	pid_t kid = fork();
	if (!kid) {
		msleep(60);
		kill(getppid(), SIGUSR1);
		_exit(0);
	}
	R(events(c, 1, 1, ev, NULL));
	waitpid(kid, NULL, 0);
	CHILD(R(events(c, 0, 1, ev, &zero)));
	struct { sigset_t *s; size_t n; } ss = { (sigset_t[1]){ { { 0 } } }, 8 };
	R(syscall(SYS_io_pgetevents, c, 0, 1, ev, &zero, &ss));
	ss.n = 4;
	R(syscall(SYS_io_pgetevents, c, 0, 1, ev, &zero, &ss));
	R(syscall(SYS_io_pgetevents, c, 0, 1, ev, &zero, BAD));
	R(syscall(SYS_io_pgetevents, c, 0, 1, ev, &zero, NULL));
	R(syscall(SYS_io_destroy, c));
	R(syscall(SYS_io_destroy, c));
	R(submit(c, 1, l));
	return 0;
}
