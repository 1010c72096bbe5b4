/* copy_file_range, sendfile, splice, tee, vmsplice. */
#include "diff.h"
#include <sys/sendfile.h>
#include <sys/socket.h>

int main(void)
{
	put("src", "0123456789abcdefghij");
	int s = open("src", O_RDONLY), d = open("dst", O_RDWR | O_CREAT, 0644), wo = open("wo", O_WRONLY | O_CREAT, 0644);
	int ap = open("ap", O_WRONLY | O_CREAT | O_APPEND, 0644), dir = open(".", O_RDONLY);
	loff_t a = 5, b = 2;
	off_t o = 3;
	char c[64];
	int p[2], q[2], sv[2];
	pipe(p);
	pipe(q);
	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);

	R(copy_file_range(s, NULL, d, NULL, 4, 0));
	R(lseek(s, 0, SEEK_CUR));
	R(lseek(d, 0, SEEK_CUR));
	R(copy_file_range(s, &a, d, &b, 6, 0));
	P("offsets %ld %ld", (long)a, (long)b);
	show(__LINE__, "dst");
	R(copy_file_range(s, &a, d, NULL, 100, 0));
	R(copy_file_range(s, &a, d, NULL, 100, 0));
	R(copy_file_range(s, NULL, d, NULL, 0, 0));
	R(copy_file_range(s, NULL, d, NULL, 4, 1));
	R(copy_file_range(d, NULL, s, NULL, 4, 0));
	R(copy_file_range(wo, NULL, d, NULL, 4, 0));
	R(copy_file_range(s, NULL, ap, NULL, 4, 0));
	R(copy_file_range(s, NULL, dir, NULL, 4, 0));
	R(copy_file_range(dir, NULL, d, NULL, 4, 0));
	R(copy_file_range(p[0], NULL, d, NULL, 4, 0));
	R(copy_file_range(-1, NULL, d, NULL, 4, 0));
	R(copy_file_range(s, BAD, d, NULL, 4, 0));
	a = 0;
	b = 1;
	R(copy_file_range(d, &a, d, &b, 4, 0));
	b = 10;
	R(copy_file_range(d, &a, d, &b, 4, 0));
	show(__LINE__, "dst");

	R(ftruncate(d, 0));
	R(lseek(d, 0, SEEK_SET));
	R(lseek(s, 0, SEEK_SET));
	R(sendfile(d, s, NULL, 5));
	R(sendfile(d, s, &o, 5));
	P("offset %ld", (long)o);
	R(lseek(s, 0, SEEK_CUR));
	show(__LINE__, "dst");
	R(sendfile(d, s, NULL, 1000));
	R(sendfile(d, s, NULL, 1000));
	R(sendfile(p[1], s, &o, 4));
	R(read(p[0], c, 64));
	R(sendfile(sv[0], s, &o, 4));
	R(read(sv[1], c, 64));
	P("%.4s", c);
	R(sendfile(s, d, NULL, 4));
	R(sendfile(-1, s, NULL, 4));
	R(sendfile(d, -1, NULL, 4));
	R(sendfile(d, wo, NULL, 4));
	R(sendfile(d, p[0], NULL, 0));
	o = -1;
	R(sendfile(d, s, &o, 4));
	R(sendfile(d, s, BAD, 4));
	R(sendfile(ap, s, NULL, 4));
	R(sendfile(d, sv[0], NULL, 4));
	/* a full peer that does not block */
	R(fcntl(sv[0], F_SETFL, O_RDWR | O_NONBLOCK));
	while (write(sv[0], c, sizeof c) > 0)
		;
	while (write(sv[0], c, 1) > 0)
		;
	o = 0;
	R(sendfile(sv[0], s, &o, 4));
	P("offset %ld", (long)o);

	a = 2;
	R(splice(s, &a, p[1], NULL, 6, 0));
	P("offset %ld", (long)a);
	R(splice(p[0], NULL, d, NULL, 3, 0));
	R(tee(p[0], q[1], 10, 0));
	R(read(q[0], c, 64));
	P("%.3s", c);
	R(splice(p[0], NULL, q[1], NULL, 100, SPLICE_F_MOVE));
	R(read(q[0], c, 64));
	R(splice(p[0], NULL, d, NULL, 3, SPLICE_F_NONBLOCK));
	R(tee(p[0], q[1], 3, SPLICE_F_NONBLOCK));
	R(splice(s, NULL, d, NULL, 3, 0));
	R(splice(p[0], &a, d, NULL, 3, 0));
	R(splice(s, NULL, p[0], NULL, 3, 0));
	R(splice(p[1], NULL, d, NULL, 3, 0));
	R(splice(s, NULL, p[1], NULL, 3, 0x100));
	R(splice(s, NULL, p[1], NULL, 0, 0));
	R(splice(-1, NULL, p[1], NULL, 3, 0));
	R(splice(s, BAD, p[1], NULL, 3, 0));
	R(splice(p[0], NULL, p[1], NULL, 3, 0));
	R(tee(p[0], p[1], 3, 0));
	R(tee(s, p[1], 3, 0));
	R(write(p[1], "tosock", 6));
	R(splice(p[0], NULL, sv[0], NULL, 6, 0));
	R(read(sv[1], c, 64));
	R(write(sv[1], "fromsock", 8));
	R(splice(sv[0], NULL, p[1], NULL, 100, 0));
	R(read(p[0], c, 64));
	P("%.8s", c);
	R(splice(p[0], NULL, ap, NULL, 3, SPLICE_F_NONBLOCK));

	struct iovec v[2] = { { "vm", 2 }, { "splice", 6 } };
	R(vmsplice(p[1], v, 2, 0));
	R(read(p[0], c, 64));
	P("%.8s", c);
	R(vmsplice(s, v, 2, 0));
	R(vmsplice(-1, v, 2, 0));
	R(vmsplice(p[1], BAD, 1, 0));
	R(vmsplice(p[1], v, 0, 0));
	v[0] = (struct iovec){ BAD, 4 };
	R(vmsplice(p[1], v, 1, 0));
	v[0] = (struct iovec){ c, 4 };
	R(write(p[1], "into", 4));
	R(vmsplice(p[0], v, 1, 0));
	close(p[0]);
	signal(SIGPIPE, SIG_IGN);
	R(splice(s, &a, p[1], NULL, 3, 0));
	close(q[1]);
	R(splice(q[0], NULL, d, NULL, 3, 0));
	return 0;
}
