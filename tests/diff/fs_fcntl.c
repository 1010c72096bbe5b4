/* fcntl: flags, owner, signal, pipe size, leases and unknown commands; ioctl on files. */
#include "diff.h"
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

int main(void)
{
	put("f", "0123456789");
	int fd = open("f", O_RDWR), p[2], pa = open("f", O_PATH), sv[2], n;
	pipe(p);
	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);

	R(fcntl(-1, F_GETFD));
	R(fcntl(fd, F_SETFD, 0xff));
	R(fcntl(fd, F_GETFD));
	R(fcntl(fd, F_SETFD, 2));
	R(fcntl(fd, F_GETFD));
	R(fcntl(fd, F_GETFL));
	R(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK | O_WRONLY | O_CREAT));
	R(fcntl(fd, F_GETFL));
	R(fcntl(fd, F_SETFL, 0));
	R(fcntl(fd, F_GETFL));
	R(fcntl(p[0], F_GETFL));
	R(fcntl(p[1], F_GETFL));
	R(fcntl(pa, F_GETFL));
	R(fcntl(pa, F_SETFL, O_APPEND));
	R(fcntl(pa, F_GETFD));
	R(fcntl(pa, F_DUPFD, 20));
	R(close(20));
	R(fcntl(pa, F_GETOWN));
	R(fcntl(sv[0], F_GETFL));
	R(fcntl(fd, 9999));
	R(fcntl(fd, F_SETFL, O_DIRECT));

	R(fcntl(sv[0], F_GETOWN));
	R(fcntl(sv[0], F_SETOWN, getpid()));
	R(fcntl(sv[0], F_GETOWN) == getpid());
	R(fcntl(sv[0], F_SETOWN, 99999));
	R(fcntl(sv[0], F_SETOWN, -getpgrp()));
	struct f_owner_ex ex = { F_OWNER_TID, gettid() };
	R(fcntl(sv[0], F_SETOWN_EX, &ex));
	memset(&ex, 0, sizeof ex);
	R(fcntl(sv[0], F_GETOWN_EX, &ex));
	P("type %d is me %d", ex.type, ex.pid == gettid());
	ex.type = 9;
	R(fcntl(sv[0], F_SETOWN_EX, &ex));
	R(fcntl(sv[0], F_GETSIG));
	R(fcntl(sv[0], F_SETSIG, SIGUSR1));
	R(fcntl(sv[0], F_GETSIG));
	R(fcntl(sv[0], F_SETSIG, 65));

	R(fcntl(p[0], F_GETPIPE_SZ));
	R(fcntl(p[1], F_SETPIPE_SZ, 5000));
	R(fcntl(p[0], F_GETPIPE_SZ));
	R(fcntl(p[1], F_SETPIPE_SZ, 1));
	R(fcntl(p[1], F_SETPIPE_SZ, 0));
	R(fcntl(p[1], F_SETPIPE_SZ, -1));
	R(fcntl(p[1], F_SETPIPE_SZ, 1 << 20));
	R(fcntl(p[1], F_SETPIPE_SZ, 1 << 21));
	R(fcntl(fd, F_GETPIPE_SZ));
	R(fcntl(fd, F_SETPIPE_SZ, 4096));
	char big[16384];
	memset(big, 1, sizeof big);
	R(write(p[1], big, sizeof big));
	R(fcntl(p[1], F_SETPIPE_SZ, 4096));
	R(fcntl(fd, F_GET_SEALS));
	R(fcntl(p[0], F_NOTIFY, 0));
	uint64_t hint = 0;
	R(fcntl(fd, F_GET_RW_HINT, &hint));

	/* ioctl */
	R(ioctl(p[0], FIONREAD, &n));
	P("pipe holds %d", n);
	R(ioctl(p[0], FIONREAD, BAD));
	R(ioctl(fd, FIONREAD, &n));
	P("file has %d", n);
	lseek(fd, 4, SEEK_SET);
	R(ioctl(fd, FIONREAD, &n));
	P("file has %d", n);
	write(sv[1], "abc", 3);
	R(ioctl(sv[0], FIONREAD, &n));
	P("socket has %d", n);
	R(ioctl(sv[0], TIOCOUTQ, &n) == 0);
	n = 1;
	R(ioctl(sv[0], FIONBIO, &n));
	R(fcntl(sv[0], F_GETFL));
	n = 0;
	R(ioctl(sv[0], FIONBIO, &n));
	R(ioctl(sv[0], FIONBIO, BAD));
	R(ioctl(fd, FIOCLEX));
	R(fcntl(fd, F_GETFD));
	R(ioctl(fd, FIONCLEX));
	R(fcntl(fd, F_GETFD));
	R(ioctl(fd, TCGETS, big));
	R(ioctl(p[0], TCGETS, big));
	R(ioctl(0, TCGETS, big));
	R(ioctl(fd, 0x12345678, 0));
	R(ioctl(p[0], 0x12345678, 0));
	R(ioctl(sv[0], 0x12345678, 0));
	R(ioctl(-1, TCGETS, big));
	R(ioctl(pa, FIONREAD, &n));
	R(ioctl(pa, FIOCLEX));
	R(isatty(0));
	R(isatty(fd));
	int dn = open("/dev/null", O_RDWR), dz = open("/dev/zero", O_RDWR);
	R(ioctl(dn, TCGETS, big));
	R(ioctl(dz, FIONREAD, &n));
	R(open("/dev/tty", O_RDWR));
	n = 1;
	R(ioctl(fd, FIOASYNC, &n));
	return 0;
}
