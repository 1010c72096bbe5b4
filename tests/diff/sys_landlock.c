/* Landlock: rulesets, rules for files and ports, layers, renames, scopes. */
#include "diff.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>

struct attr { uint64_t fs, net, scoped, more; };
struct beneath { uint64_t allowed; int fd; } __attribute__((packed));
struct port { uint64_t allowed, port; };

enum {
	EXEC = 1, WR = 2, RD = 4, RDIR = 8, RMDIR = 16, RMFILE = 32, CHR = 64, MKDIR = 128, REG = 256, SOCK = 512,
	FIFO = 1024, BLK = 2048, SYM = 4096, REFER = 8192, TRUNC = 16384, IOCTL = 32768
};

#define landlock_create_ruleset(a, n, f) syscall(444, (a), (long)(n), (long)(f))
#define landlock_add_rule(fd, t, a, f) syscall(445, (long)(fd), (long)(t), (a), (long)(f))
#define landlock_restrict_self(fd, f) syscall(446, (long)(fd), (long)(f))

static int ruleset(uint64_t fs, uint64_t net, uint64_t scoped)
{
	struct attr a = { fs, net, scoped, 0 };
	return landlock_create_ruleset(&a, 24, 0);
}

static void allow(int rs, const char *path, uint64_t rights)
{
	struct beneath b = { rights, open(path, O_PATH | O_CLOEXEC) };
	if (landlock_add_rule(rs, 1, &b, 0))
		say(__LINE__, "allow %s: %s", path, ename(errno));
	close(b.fd);
}

static void enter(int rs)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (landlock_restrict_self(rs, 0))
		say(__LINE__, "restrict: %s", ename(errno));
	close(rs);
}

static void calls(void)
{
	struct attr a = { EXEC, 0, 0, 0 };
	T(landlock_create_ruleset(0, 0, 1) >= 7);
	R(landlock_create_ruleset(&a, 0, 1));
	R(landlock_create_ruleset(0, 8, 1));
	R(landlock_create_ruleset(0, 0, 1 << 20));
	R(landlock_create_ruleset(0, 0, 0));
	R(landlock_create_ruleset(0, 8, 0));
	R(landlock_create_ruleset(BAD, 8, 0));
	R(landlock_create_ruleset(&a, 7, 0));
	R(landlock_create_ruleset(&a, 0, 0));
	R(landlock_create_ruleset(&a, 5000, 0));
	S(landlock_create_ruleset(&a, 8, 0));
	S(landlock_create_ruleset(&a, 32, 0));
	a.more = 1;
	R(landlock_create_ruleset(&a, 32, 0));
	a = (struct attr){ 0, 0, 0, 0 };
	R(landlock_create_ruleset(&a, 24, 0));
	a.fs = 1ull << 40;
	R(landlock_create_ruleset(&a, 24, 0));
	a = (struct attr){ 0, 4, 0, 0 };
	R(landlock_create_ruleset(&a, 24, 0));
	a = (struct attr){ 0, 0, 64, 0 };
	R(landlock_create_ruleset(&a, 24, 0));
	int rs = ruleset(RD | RDIR | WR, 1, 0), f = open("f", O_RDONLY), d = open(".", O_PATH), pi[2];
	if (pipe(pi))
		return;
	R(fcntl(rs, F_GETFD));
	char c;
	R(read(rs, &c, 1));
	R(write(rs, &c, 1));
	struct beneath b = { RD, d };
	R(landlock_add_rule(-1, 1, &b, 0));
	R(landlock_add_rule(f, 1, &b, 0));
	R(landlock_add_rule(d, 1, &b, 0));
	R(landlock_add_rule(rs, 1, &b, 1));
	R(landlock_add_rule(rs, 0, &b, 0));
	R(landlock_add_rule(rs, 3, &b, 0));
	R(landlock_add_rule(rs, 1, BAD, 0));
	R(landlock_add_rule(rs, 1, &b, 0));
	R(landlock_add_rule(rs, 1, &b, 0));
	b.allowed = 0;
	R(landlock_add_rule(rs, 1, &b, 0));
	b.allowed = MKDIR;
	R(landlock_add_rule(rs, 1, &b, 0));
	b = (struct beneath){ RD, 999 };
	R(landlock_add_rule(rs, 1, &b, 0));
	b.fd = rs;
	R(landlock_add_rule(rs, 1, &b, 0));
	b.fd = pi[0];
	R(landlock_add_rule(rs, 1, &b, 0));
	b = (struct beneath){ RD, f };
	R(landlock_add_rule(rs, 1, &b, 0));
	b.allowed = RD | RDIR;
	R(landlock_add_rule(rs, 1, &b, 0));
	struct port p = { 1, 80 };
	R(landlock_add_rule(rs, 2, &p, 0));
	p.allowed = 2;
	R(landlock_add_rule(rs, 2, &p, 0));
	p.allowed = 0;
	R(landlock_add_rule(rs, 2, &p, 0));
	p = (struct port){ 1, 65536 };
	R(landlock_add_rule(rs, 2, &p, 0));
	R(landlock_add_rule(rs, 2, BAD, 0));
	CHILD({
		setresuid(1000, 1000, 1000);
		R(landlock_restrict_self(rs, 0));
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		R(landlock_restrict_self(-1, 0));
		R(landlock_restrict_self(f, 0));
		R(landlock_restrict_self(d, 0));
		R(landlock_restrict_self(rs, 64));
		R(landlock_restrict_self(rs, 0));
		int n = 1;
		while (!landlock_restrict_self(rs, 0))
			n++;
		P("layers %d %s", n, ename(errno));
	});
	CHILD({
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		R(landlock_restrict_self(rs, 7));
		R(landlock_restrict_self(-1, 4));
		R(landlock_restrict_self(-1, 1));
	});
}

static void files(void)
{
	int before = open("a/f", O_RDWR), nul = open("/dev/null", O_RDWR);
	int rs = ruleset(EXEC | WR | RD | RDIR | RMDIR | RMFILE | MKDIR | REG | FIFO | SYM | SOCK | TRUNC | IOCTL, 0, 0);
	allow(rs, "a", RD | RDIR);
	allow(rs, "b", WR | RD | REG | RMFILE | MKDIR | RMDIR | FIFO);
	allow(rs, "c/f", RD | WR);
	allow(rs, "/dev/null", WR);
	enter(rs);
	R(close(open("a/f", O_RDONLY)));
	R(open("a/f", O_WRONLY));
	R(open("a/f", O_RDWR));
	R(open("a/f", O_RDONLY | O_TRUNC));
	S(open("a", O_RDONLY));
	R(open("b", O_RDONLY));
	S(open("b", O_PATH));
	S(open("f", O_PATH));
	R(open("f", O_RDONLY));
	R(open(".", O_RDONLY));
	R(open("c/f", O_RDONLY) < 0);
	R(open("c/f", O_RDWR) < 0);
	R(open("c/g", O_RDONLY));
	int w = open("b/new", O_CREAT | O_RDWR, 0644);
	R(w < 0);
	R(ftruncate(w, 1));
	R(ftruncate(before, 1));
	R(truncate("b/new", 1));
	R(open("b/new", O_RDWR | O_TRUNC));
	R(open("a/new", O_CREAT | O_RDWR, 0644));
	R(open("c/new", O_CREAT | O_RDWR, 0644));
	R(access("c/new", F_OK));
	R(mkdir("a/m", 0755));
	R(mkdir("b/m", 0755));
	R(rmdir("b/m"));
	R(mkdir("b/f", 0755));
	R(mkfifo("b/p", 0644));
	R(mkfifo("a/p", 0644));
	R(symlink("x", "b/s"));
	R(unlink("b/p"));
	R(unlink("a/f"));
	R(unlink("a/none"));
	R(rename("b/new", "b/newer"));
	R(rename("b/newer", "a/newer"));
	R(rename("b/newer", "newer"));
	R(link("b/newer", "b/again"));
	R(link("b/newer", "a/again"));
	R(link("a/f", "b/again2"));
	struct stat st;
	R(stat("c/g", &st));
	R(chmod("f", 0600));
	R(chdir("c"));
	R(chdir(".."));
	int n2 = open("/dev/null", O_WRONLY), x;
	R(n2 < 0);
	R(ioctl(n2, FIONREAD, &x));
	R(ioctl(n2, TCGETS, &x));
	R(ioctl(n2, FIOCLEX));
	R(ioctl(nul, TCGETS, &x));
	R(open("/dev/zero", O_RDONLY));
	R(execl("/bin/true", "true", NULL));
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "b/sock" };
	R(bind(s, (void *)&un, sizeof un));
	R(mount("none", "b", "tmpfs", 0, 0));
	R(umount("b"));
	int ps[2];
	R(pipe(ps));
	char path[40];
	sprintf(path, "/proc/self/fd/%d", ps[0]);
	R(open(path, O_RDONLY) < 0);
	/* One layer more takes more away. */
	rs = ruleset(RD | WR, 0, 0);
	allow(rs, "b", RD);
	enter(rs);
	R(open("a/f", O_RDONLY));
	R(open("b/newer", O_RDWR));
	R(open("b/newer", O_RDONLY) < 0);
	R(open("b/newer2", O_CREAT | O_RDONLY, 0600) < 0);
	CHILD({
		R(open("a/f", O_RDONLY));
		R(open("b/newer", O_RDONLY) < 0);
	});
}

static void refer(void)
{
	int rs = ruleset(REFER | REG | RMFILE | RMDIR | MKDIR | RD | WR | EXEC, 0, 0);
	allow(rs, "a", REFER | REG | RMFILE | RD);
	allow(rs, "b", REFER | REG | RMFILE | RD | MKDIR | RMDIR);
	allow(rs, "c", REFER | REG | RMFILE | RD | WR);
	allow(rs, "d", REG | RMFILE | RD);
	allow(rs, "e", REFER | RD);
	enter(rs);
	R(rename("a/1", "b/1"));
	R(rename("b/1", "a/1"));
	R(rename("a/1", "c/1"));
	R(rename("c/2", "a/2"));
	R(rename("a/1", "d/1"));
	R(rename("a/1", "e/1"));
	R(rename("a/1", "1"));
	R(rename("d/3", "d/4"));
	R(rename("b/m", "a/m"));
	R(rename("b/m", "b/m2"));
	R(link("a/1", "b/l"));
	R(link("a/1", "c/l"));
	R(link("a/1", "e/l"));
	R(link("a/1", "d/l"));
	R(link("a/1", "a/l"));
	R(syscall(SYS_renameat2, AT_FDCWD, "a/1", AT_FDCWD, "b/x", 2L));
	R(syscall(SYS_renameat2, AT_FDCWD, "a/1", AT_FDCWD, "c/x", 2L));
	R(syscall(SYS_renameat2, AT_FDCWD, "a/1", AT_FDCWD, "b/m2", 2L));
	R(syscall(SYS_renameat2, AT_FDCWD, "a/1", AT_FDCWD, "b/none", 2L));
}

static void no_refer(void)
{
	int rs = ruleset(RD, 0, 0);
	allow(rs, "/", RD);
	enter(rs);
	R(rename("a/1", "b/1"));
	R(rename("a/1", "a/5"));
	R(rename("a/5", "a/1"));
	R(link("a/1", "b/l"));
	R(mkdir("a/z", 0755));
	R(rmdir("a/z"));
}

static int tcp(int port, int connects)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int r = connects ? connect(s, (void *)&in, sizeof in) : bind(s, (void *)&in, sizeof in);
	int e = errno;
	close(s);
	errno = e;
	return r;
}

static void net(void)
{
	int rs = ruleset(0, 3, 0);
	struct port p = { 1, 33001 };
	landlock_add_rule(rs, 2, &p, 0);
	p = (struct port){ 2, 33002 };
	landlock_add_rule(rs, 2, &p, 0);
	enter(rs);
	R(tcp(33001, 0));
	R(tcp(33002, 0));
	R(tcp(33001, 1));
	R(tcp(33002, 1));
	R(tcp(0, 0));
	int u = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(33003), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	R(bind(u, (void *)&in, sizeof in));
	R(open("f", O_RDONLY) < 0);
	R(rename("a/1", "b/1"));
	R(rename("b/1", "a/1"));
}

static void scopes(void)
{
	int s = socket(AF_UNIX, SOCK_STREAM, 0), s2 = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "\0landlock-test" };
	socklen_t n = offsetof(struct sockaddr_un, sun_path) + 14;
	R(bind(s, (void *)&un, n));
	R(listen(s, 5));
	pid_t up = getpid();
	CHILD({
		enter(ruleset(0, 0, 3));
		R(connect(s2, (void *)&un, n));
		R(kill(up, 0));
		R(kill(getpid(), 0));
		pid_t c = fork();
		if (!c) {
			R(kill(getppid(), 0));
			R(ptrace(PTRACE_ATTACH, up, 0, 0));
			enter(ruleset(0, 0, 2));
			R(kill(getppid(), 0));
			_exit(0);
		}
		waitpid(c, 0, 0);
	});
	CHILD({
		enter(ruleset(RD, 0, 0));
		R(connect(s2, (void *)&un, n));
		R(kill(up, 0));
	});
}

int main(void)
{
	if (landlock_create_ruleset(0, 0, 1) < 7)
		return 77;
	for (const char *d = "abcde"; *d; d++) {
		char n[10];
		sprintf(n, "%c", *d);
		mkdir(n, 0755);
		sprintf(n, "%c/f", *d);
		put(n, "text");
	}
	put("f", "text");
	put("c/g", "text");
	calls();
	CHILD({ files(); });
	put("a/1", "1");
	put("c/2", "2");
	put("d/3", "3");
	put("b/x", "x");
	put("c/x", "x");
	mkdir("b/m", 0755);
	CHILD({ refer(); });
	put("a/1", "1");
	CHILD({ no_refer(); });
	CHILD({ net(); });
	scopes();
	return 0;
}
