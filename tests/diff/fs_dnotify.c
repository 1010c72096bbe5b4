/* F_NOTIFY: signals about changes in a directory. */
#include "diff.h"

static volatile int hits, last_fd, last_code, last_band;
static void on_sig(int s, siginfo_t *si, void *u)
{
	(void)s;
	(void)u;
	hits++;
	last_fd = si->si_fd;
	last_code = si->si_code;
	last_band = si->si_band;
}

static int fd;
#define TRY(e) do { hits = 0; (void)!(e); say(__LINE__, "%s: %d", #e, hits); } while (0)

int main(void)
{
	struct sigaction sa = { .sa_sigaction = on_sig, .sa_flags = SA_SIGINFO | SA_RESTART };
	sigaction(SIGIO, &sa, 0);
	sigaction(SIGRTMIN, &sa, 0);
	mkdir("d", 0755);
	mkdir("e", 0755);
	put("d/f", "text");
	put("x", "1");
	int f = open("x", O_RDONLY), pa = open("d", O_PATH), pi[2];
	fd = open("d", O_RDONLY);
	if (pipe(pi) || fd < 0)
		return 1;
	R(fcntl(f, F_NOTIFY, DN_CREATE));
	R(fcntl(f, F_NOTIFY, 0));
	R(fcntl(pa, F_NOTIFY, DN_CREATE));
	R(fcntl(pi[0], F_NOTIFY, DN_CREATE));
	R(fcntl(-1, F_NOTIFY, DN_CREATE));
	R(fcntl(fd, F_NOTIFY, 0));
	R(fcntl(fd, F_NOTIFY, DN_CREATE));
	T(fcntl(fd, F_GETOWN) == getpid());
	TRY(close(open("d/a", O_CREAT | O_RDWR, 0644)));
	TRY(close(open("d/b", O_CREAT | O_RDWR, 0644)));
	R(fcntl(fd, F_SETSIG, SIGRTMIN));
	R(fcntl(fd, F_NOTIFY, DN_CREATE | DN_MULTISHOT));
	TRY(close(open("d/c", O_CREAT | O_RDWR, 0644)));
	T(last_fd == fd);
	P("code %d band %x", last_code, last_band);
	TRY(mkdir("d/m", 0755));
	TRY(unlink("d/a"));
	TRY(symlink("q", "d/s"));
	TRY(link("d/b", "d/l"));
	TRY(rename("x", "d/x"));
	TRY(rename("d/x", "x"));
	R(fcntl(fd, F_NOTIFY, DN_DELETE | DN_MULTISHOT));
	TRY(unlink("d/b"));
	TRY(rmdir("d/m"));
	TRY(mknod("d/k", S_IFIFO | 0600, 0));
	R(fcntl(fd, F_NOTIFY, 0));
	TRY(unlink("d/k"));
	R(fcntl(fd, F_NOTIFY, DN_RENAME | DN_MULTISHOT));
	TRY(rename("d/c", "d/c2"));
	TRY(rename("d/c2", "e/c2"));
	TRY(rename("e/c2", "d/c2"));
	R(fcntl(fd, F_NOTIFY, 0));
	R(fcntl(fd, F_NOTIFY, DN_ATTRIB | DN_MULTISHOT));
	TRY(chmod("d/f", 0600));
	TRY(utimes("d/f", NULL));
	TRY(chmod("d", 0750));
	R(fcntl(fd, F_NOTIFY, 0));
	R(fcntl(fd, F_NOTIFY, DN_MODIFY | DN_MULTISHOT));
	int w = open("d/f", O_RDWR);
	TRY(write(w, "abc", 3));
	TRY(truncate("d/f", 1));
	TRY(ftruncate(w, 2));
	R(fcntl(fd, F_NOTIFY, 0));
	R(fcntl(fd, F_NOTIFY, DN_ACCESS | DN_MULTISHOT));
	char b[10];
	TRY(pread(w, b, 1, 0));
	int f2 = dup(fd);
	close(fd);
	TRY(pread(w, b, 1, 0));
	fd = f2;
	R(fcntl(fd, F_NOTIFY, DN_ACCESS | DN_MULTISHOT));
	CHILD({ TRY(pread(w, b, 1, 0)); });
	P("parent %d", hits);
	close(fd);
	TRY(pread(w, b, 1, 0));
	return 0;
}
