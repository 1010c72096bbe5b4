/* Pseudo-terminals: line discipline, echo, signals, job control, window size, hang-up. */
#include "diff.h"
#include <sys/ioctl.h>
#include <termios.h>

static int m, s;
static char name[64];

static void out(int line, int fd)
{
	char b[300], o[700] = "";
	struct pollfd p = { fd, POLLIN, 0 };
	if (poll(&p, 1, 200) <= 0) {
		say(line, "nothing");
		return;
	}
	ssize_t n = read(fd, b, sizeof b);
	if (n < 0) {
		say(line, "%s", ename(errno));
		return;
	}
	for (ssize_t i = 0; i < n; i++)
		sprintf(o + strlen(o), (unsigned char)b[i] < 32 || b[i] == 127 ? "<%02x>" : "%c", (unsigned char)b[i]);
	say(line, "%zd \"%s\"", n, o);
}

static void in(const char *t) { write(m, t, strlen(t)); }
static volatile int sigs[65];
static void h(int g) { sigs[g]++; }

int main(void)
{
	struct termios t, u;
	struct winsize ws = { 24, 80, 0, 0 };
	int n;

	m = posix_openpt(O_RDWR | O_NOCTTY);
	R(m);
	R(grantpt(m));
	R(ioctl(m, TIOCGPTN, &n));
	P("number %d", n);
	int lock = 1;
	sprintf(name, "/dev/pts/%d", n);
	R(ioctl(m, TIOCGPTLCK, &lock));
	P("locked %d", lock);
	R(open(name, O_RDWR | O_NOCTTY));
	R(unlockpt(m));
	s = open(name, O_RDWR | O_NOCTTY);
	R(s);
	R(isatty(s));
	R(isatty(m));
	struct stat st;
	fstat(s, &st);
	P("%o", st.st_mode);
	R(tcgetattr(s, &t));
	P("i %x o %x c %x l %x", t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag);
	P("intr %d eof %d erase %d kill %d susp %d min %d time %d", t.c_cc[VINTR], t.c_cc[VEOF], t.c_cc[VERASE], t.c_cc[VKILL],
	  t.c_cc[VSUSP], t.c_cc[VMIN], t.c_cc[VTIME]);
	/* cooked */
	in("hello");
	out(__LINE__, s);
	out(__LINE__, m);
	in(" world\n");
	out(__LINE__, s);
	out(__LINE__, m);
	in("abX\177c\r");
	out(__LINE__, s);
	out(__LINE__, m);
	in("gone\025kept\n");
	out(__LINE__, s);
	out(__LINE__, m);
	in("two words\027x\n");
	out(__LINE__, s);
	out(__LINE__, m);
	in("part\004");
	out(__LINE__, s);
	out(__LINE__, m);
	in("\004");
	out(__LINE__, s);
	in("one\ntwo\n");
	out(__LINE__, s);
	out(__LINE__, s);
	out(__LINE__, m);
	in("\026\003\n");
	out(__LINE__, s);
	out(__LINE__, m);
	R(write(s, "out\n\ttab\n", 9));
	out(__LINE__, m);
	R(ioctl(m, FIONREAD, &n));
	/* raw */
	u = t;
	cfmakeraw(&u);
	R(tcsetattr(s, TCSANOW, &u));
	in("r\003\r\n");
	out(__LINE__, s);
	out(__LINE__, m);
	write(s, "a\nb", 3);
	out(__LINE__, m);
	u.c_cc[VMIN] = 0;
	u.c_cc[VTIME] = 1;
	tcsetattr(s, TCSANOW, &u);
	R(read(s, name, 10));
	u.c_cc[VMIN] = 3;
	u.c_cc[VTIME] = 0;
	tcsetattr(s, TCSANOW, &u);
	in("12345");
	out(__LINE__, s);
	R(tcsetattr(s, TCSAFLUSH, &t));
	in("flushed");
	out(__LINE__, m);
	R(tcflush(s, TCIFLUSH));
	in("\n");
	out(__LINE__, s);
	out(__LINE__, m);
	u = t;
	u.c_lflag &= ~ECHO;
	u.c_iflag |= INLCR;
	tcsetattr(s, TCSADRAIN, &u);
	in("silent\r");
	out(__LINE__, s);
	out(__LINE__, m);
	tcsetattr(s, TCSANOW, &t);
	/* size */
	R(ioctl(s, TIOCGWINSZ, &ws));
	P("%d %d", ws.ws_row, ws.ws_col);
	ws = (struct winsize){ 50, 132, 0, 0 };
	R(ioctl(m, TIOCSWINSZ, &ws));
	R(ioctl(s, TIOCGWINSZ, &ws));
	P("%d %d", ws.ws_row, ws.ws_col);
	R(ioctl(s, TIOCSWINSZ, BAD));
	R(tcgetpgrp(s));
	R(ioctl(s, TIOCSCTTY, 5));
	R(ioctl(s, TIOCNOTTY));
	R(tcdrain(s));
	R(tcflow(s, TCOON));
	R(tcsendbreak(s, 0));
	R(ioctl(s, 0x5499, 0));

	/* a session with its terminal */
	int p[2];
	char c;
	pipe(p);
	pid_t k = fork();
	if (!k) {
		setsid();
		R(ioctl(s, TIOCSCTTY, 0));
		T(tcgetpgrp(s) == getpid());
		R(tcgetsid(s) == getpid());
		R(open("/dev/tty", O_RDWR) >= 0);
		signal(SIGINT, h);
		signal(SIGQUIT, h);
		signal(SIGWINCH, h);
		signal(SIGTTIN, h);
		in("x\003");
		msleep(50);
		out(__LINE__, m);
		P("INT %d", sigs[SIGINT]);
		in("\034");
		msleep(50);
		P("QUIT %d", sigs[SIGQUIT]);
		out(__LINE__, m);
		ws.ws_row = 51;
		ioctl(m, TIOCSWINSZ, &ws);
		msleep(50);
		P("WINCH %d", sigs[SIGWINCH]);
		ioctl(m, TIOCSWINSZ, &ws);
		msleep(50);
		P("WINCH %d", sigs[SIGWINCH]);
		/* a background group reads, writes and is stopped */
		pid_t b = fork();
		if (!b) {
			signal(SIGTTIN, SIG_DFL);
			setpgid(0, 0);
			read(s, &c, 1);
			_exit(1);
		}
		int stt;
		waitpid(b, &stt, WUNTRACED);
		say_status(__LINE__, "background read", stt);
		kill(b, SIGKILL);
		waitpid(b, &stt, 0);
		b = fork();
		if (!b) {
			setpgid(0, 0);
			signal(SIGTTIN, SIG_IGN);
			R(read(s, &c, 1));
			R(write(s, "bg\n", 3));
			signal(SIGTTOU, SIG_IGN);
			R(tcsetpgrp(s, getpgrp()));
			T(tcgetpgrp(s) == getpgrp());
			_exit(0);
		}
		waitpid(b, &stt, 0);
		say_status(__LINE__, "background", stt);
		out(__LINE__, m);
		signal(SIGTTOU, SIG_IGN);
		R(tcsetpgrp(s, getpgrp()));
		R(tcsetpgrp(s, 99999));
		b = fork();
		if (!b) {
			setpgid(0, 0);
			signal(SIGTTOU, SIG_DFL);
			tcsetattr(s, TCSANOW, &t);
			_exit(1);
		}
		waitpid(b, &stt, WUNTRACED);
		say_status(__LINE__, "background tcsetattr", stt);
		kill(b, SIGKILL);
		waitpid(b, &stt, 0);
		signal(SIGHUP, h);
		write(p[1], "r", 1);
		while (!sigs[SIGHUP])
			msleep(5);
		P("HUP %d", sigs[SIGHUP]);
		_exit(0);
	}
	/* the child has the master too: it must be the last here */
	close(p[1]);
	R(read(p[0], &c, 1));
	kill(k, SIGHUP);
	reap(__LINE__, "session", k);
	/* hang-up of the master */
	struct pollfd pf = { s, POLLIN | POLLOUT, 0 };
	R(poll(&pf, 1, 0));
	P("%x", pf.revents);
	close(m);
	R(poll(&pf, 1, 100));
	P("%x", pf.revents);
	R(read(s, &c, 1));
	R(write(s, "x", 1));
	R(ioctl(s, TIOCGWINSZ, &ws));
	close(s);
	/* all slaves closed: the master sees an error */
	m = posix_openpt(O_RDWR | O_NOCTTY);
	unlockpt(m);
	ioctl(m, TIOCGPTN, &n);
	sprintf(name, "/dev/pts/%d", n);
	pf = (struct pollfd){ m, POLLIN | POLLOUT, 0 };
	R(poll(&pf, 1, 0));
	P("%x", pf.revents);
	s = open(name, O_RDWR | O_NOCTTY);
	write(s, "bye", 3);
	close(s);
	out(__LINE__, m);
	R(read(m, &c, 1));
	R(poll(&pf, 1, 0));
	P("%x", pf.revents);
	s = ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY);
	R(s >= 0);
	R(isatty(s));
	close(m);
	R(access(name, F_OK));
	return 0;
}
