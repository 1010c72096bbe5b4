/* inotify: events, their order, masks, one-shot, overflow of the buffer, removal. */
#include "diff.h"
#include <sys/inotify.h>
#include <sys/ioctl.h>

static int in;

static void events(int line)
{
	char b[8192] __attribute__((aligned(8)));
	ssize_t n = read(in, b, sizeof b);
	if (n < 0)
		say(line, "no event: %s", ename(errno));
	for (ssize_t i = 0; i < n;) {
		struct inotify_event *e = (void *)(b + i);
		say(line, "wd %d mask %x cookie %s len%%16 %u name %s", e->wd, e->mask, e->cookie ? "set" : "0", e->len % 16,
		    e->len ? e->name : "-");
		i += sizeof *e + e->len;
	}
}

int main(void)
{
	char c;
	int n;
	in = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	R(in);
	R(fcntl(in, F_GETFL));
	R(inotify_init1(0xff00));
	mkdir("d", 0755);
	put("d/f", "x");
	symlink("d", "ln");
	R(inotify_add_watch(in, "d", IN_ALL_EVENTS));
	R(inotify_add_watch(in, "none", IN_ALL_EVENTS));
	R(inotify_add_watch(in, "d", 0));
	R(inotify_add_watch(-1, "d", IN_ALL_EVENTS));
	R(inotify_add_watch(0, "d", IN_ALL_EVENTS));
	R(inotify_add_watch(in, BAD, IN_ALL_EVENTS));
	R(inotify_add_watch(in, "d/f", IN_ALL_EVENTS | IN_ONLYDIR));
	R(inotify_add_watch(in, "d", IN_ALL_EVENTS | IN_MASK_CREATE));
	events(__LINE__);

	put("d/new", "");
	events(__LINE__);
	int fd = open("d/f", O_RDWR);
	events(__LINE__);
	read(fd, &c, 1);
	events(__LINE__);
	write(fd, "y", 1);
	events(__LINE__);
	ftruncate(fd, 0);
	events(__LINE__);
	close(fd);
	events(__LINE__);
	close(open("d/f", O_RDONLY));
	events(__LINE__);
	chmod("d/f", 0600);
	events(__LINE__);
	rename("d/f", "d/g");
	events(__LINE__);
	rename("d/g", "out");
	events(__LINE__);
	rename("out", "d/in");
	events(__LINE__);
	link("d/in", "d/hard");
	events(__LINE__);
	unlink("d/hard");
	events(__LINE__);
	mkdir("d/sub", 0755);
	rmdir("d/sub");
	events(__LINE__);
	symlink("x", "d/sl");
	events(__LINE__);
	unlink("d/in");
	unlink("d/new");
	unlink("d/sl");
	events(__LINE__);
	chmod("d", 0700);
	events(__LINE__);
	/* equal events in a row are one */
	put("d/s", "");
	events(__LINE__);
	fd = open("d/s", O_WRONLY);
	write(fd, "1", 1);
	write(fd, "2", 1);
	write(fd, "3", 1);
	events(__LINE__);
	close(fd);
	events(__LINE__);
	/* a watch on the file itself, unlinked while open */
	int w = inotify_add_watch(in, "d/s", IN_ALL_EVENTS);
	P("second watch %d", w);
	fd = open("d/s", O_RDONLY);
	events(__LINE__);
	unlink("d/s");
	events(__LINE__);
	close(fd);
	events(__LINE__);
	R(inotify_rm_watch(in, w));
	R(inotify_rm_watch(in, 99));
	R(inotify_rm_watch(-1, 1));
	/* masks */
	R(inotify_add_watch(in, "d", IN_CREATE | IN_MASK_ADD));
	R(inotify_add_watch(in, "d", IN_CREATE));
	put("d/m", "z");
	unlink("d/m");
	events(__LINE__);
	R(inotify_add_watch(in, "d", IN_DELETE | IN_ONESHOT));
	put("d/m", "z");
	unlink("d/m");
	put("d/m", "z");
	unlink("d/m");
	events(__LINE__);
	R(inotify_add_watch(in, "ln", IN_CREATE | IN_DONT_FOLLOW) > 0);
	w = inotify_add_watch(in, "d", IN_ALL_EVENTS);
	put("d/q", "");
	R(ioctl(in, FIONREAD, &n));
	P("queued more than 0: %d", n > 0);
	char small[8];
	R(read(in, small, 8));
	struct pollfd p = { in, POLLIN, 0 };
	R(poll(&p, 1, 0));
	events(__LINE__);
	R(poll(&p, 1, 0));
	R(inotify_rm_watch(in, w));
	events(__LINE__);
	w = inotify_add_watch(in, "d", IN_ALL_EVENTS);
	unlink("d/q");
	rmdir("d");
	events(__LINE__);
	R(write(in, "x", 1));
	return 0;
}
