/* Modes of terminals in their three forms, locked bits, speeds, carrier, packet mode's news. */
#include "diff.h"
#include <asm/termbits.h>
#include <sys/ioctl.h>

#define TCGETA_ 0x5405
#define TCSETA_ 0x5406
#define TCSETAF_ 0x5408
#define LCK_GET 0x5456
#define LCK_SET 0x5457

struct termio_ {
	unsigned short i, o, c, l;
	unsigned char line, cc[8];
};

static int m, s;

static void modes(int line)
{
	struct termios2 t;
	char b[200] = "";
	memset(&t, 0xee, sizeof t);
	int r = ioctl(s, TCGETS2, &t);
	for (int i = 0; i < 19; i++)
		sprintf(b + strlen(b), "%d ", t.c_cc[i]);
	say(line, "%d i %x o %x c %x l %x line %d cc %s speeds %d %d", r, t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag, t.c_line, b,
	    t.c_ispeed, t.c_ospeed);
}

static void status(int line)
{
	struct pollfd p = { m, POLLIN | POLLPRI, 0 };
	unsigned char c = 0;
	if (poll(&p, 1, 0) <= 0)
		say(line, "no news");
	else {
		ssize_t n = read(m, &c, 1);
		say(line, "events %x, %zd byte, %x", p.revents, n, c);
	}
}

int main(void)
{
	struct termio_ a;
	struct termios t, lock;
	struct termios2 t2;
	int n = 0, zero = 0, one = 1;

	m = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	ioctl(m, TIOCSPTLCK, &zero);
	ioctl(m, TIOCGPTN, &n);
	char name[64];
	sprintf(name, "/dev/pts/%d", n);
	s = open(name, O_RDWR | O_NOCTTY);
	modes(__LINE__);

	/* struct termio */
	memset(&a, 0xee, sizeof a);
	R(ioctl(s, TCGETA_, &a));
	P("i %x o %x c %x l %x line %d cc %d %d %d %d %d %d %d %d", a.i, a.o, a.c, a.l, a.line, a.cc[0], a.cc[1], a.cc[2], a.cc[3],
	  a.cc[4], a.cc[5], a.cc[6], a.cc[7]);
	R(ioctl(m, TCGETA_, &a));
	R(ioctl(s, TCGETA_, BAD));
	R(ioctl(s, TCSETA_, BAD));
	a.i = 0xffff, a.l = 0xffff, a.c = 0, a.o = 5, a.cc[7] = 9;
	R(ioctl(s, TCSETA_, &a));
	modes(__LINE__);
	memset(&a, 0, sizeof a);
	R(ioctl(m, TCSETAF_, &a));
	modes(__LINE__);

	/* speeds */
	R(ioctl(s, TCGETS, &t));
	unsigned speeds[] = { B0, B50, B300, B9600, B38400, B57600, B115200, B4000000, BOTHER, CBAUDEX | 15 };
	for (unsigned i = 0; i < sizeof speeds / sizeof *speeds; i++) {
		t.c_cflag = (t.c_cflag & ~(CBAUD | CIBAUD)) | speeds[i];
		R(ioctl(s, TCSETS, &t));
		modes(__LINE__);
		t.c_cflag |= B1200 << IBSHIFT;
		R(ioctl(s, TCSETSW, &t));
		modes(__LINE__);
	}
	R(ioctl(s, TCGETS2, &t2));
	t2.c_cflag = (t2.c_cflag & ~(CBAUD | CIBAUD)) | BOTHER | BOTHER << IBSHIFT;
	t2.c_ispeed = 12345, t2.c_ospeed = 54321, t2.c_line = 7;
	R(ioctl(s, TCSETS2, &t2));
	modes(__LINE__);
	R(ioctl(s, TCSETS2, BAD));

	/* a receiver of eight bits, whatever is asked */
	R(ioctl(s, TCGETS, &t));
	t.c_cflag = CS5 | PARENB | CSTOPB | HUPCL | CLOCAL;
	R(ioctl(s, TCSETS, &t));
	modes(__LINE__);

	/* carrier */
	R(ioctl(s, TIOCGSOFTCAR, &n));
	P("%d", n);
	R(ioctl(s, TIOCSSOFTCAR, &zero));
	R(ioctl(m, TIOCGSOFTCAR, &n));
	P("%d", n);
	R(ioctl(s, TIOCSSOFTCAR, &one));
	modes(__LINE__);
	R(ioctl(s, TIOCSSOFTCAR, BAD));

	/* locked bits: reading is free, setting is not */
	memset(&lock, 0xee, sizeof lock);
	R(ioctl(s, LCK_GET, &lock));
	P("%x %x %x %x %d %d", lock.c_iflag, lock.c_oflag, lock.c_cflag, lock.c_lflag, lock.c_line, lock.c_cc[0]);
	R(ioctl(s, LCK_GET, BAD));
	R(setuid(65534));
	R(ioctl(s, LCK_SET, &lock));
	R(ioctl(s, LCK_SET, BAD));
	R(ioctl(s, TIOCVHANGUP));

	/* no effect, but no error */
	R(ioctl(s, TIOCSBRK));
	R(ioctl(s, TIOCCBRK));
	R(ioctl(s, TCSBRK, 0));
	R(ioctl(s, TIOCGPTPEER, O_RDWR));

	/* signals a master may send */
	for (int g = -1; g < 66; g++)
		if (ioctl(m, TIOCSIG, g) == 0 || errno != EINVAL)
			P("signal %d: %s", g, ename(errno));

	/* packet mode */
	R(ioctl(s, TCGETS, &t));
	t.c_iflag |= IXON, t.c_cc[VSTOP] = 19, t.c_cc[VSTART] = 17, t.c_lflag = ICANON;
	R(ioctl(s, TCSETS, &t));
	R(ioctl(m, TIOCPKT, &one));
	status(__LINE__);
	t.c_iflag &= ~IXON;
	R(ioctl(s, TCSETS, &t));
	status(__LINE__);
	status(__LINE__);
	t.c_iflag |= IXON;
	R(ioctl(s, TCSETS, &t));
	status(__LINE__);
	t.c_cc[VSTOP] = 20;
	R(ioctl(s, TCSETS, &t));
	status(__LINE__);
	t.c_lflag |= EXTPROC;
	R(ioctl(s, TCSETS, &t));
	status(__LINE__);
	t.c_oflag ^= OPOST;
	R(ioctl(s, TCSETS, &t));
	status(__LINE__);
	return 0;
}
