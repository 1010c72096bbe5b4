/* POSIX access control lists: their binary form, chmod and mask, checks, inheritance. */
#include "diff.h"
#include <grp.h>
#include <sys/xattr.h>

#define ACC "system.posix_acl_access"
#define DEF "system.posix_acl_default"
enum { UO = 1, U = 2, GO = 4, G = 8, M = 16, O = 32 };

struct ent { uint16_t tag, perm; uint32_t id; };
struct acl { uint32_t version; struct ent e[16]; };

/* Entries are tag, perm, id; ended by a tag of 0. */
static size_t build(struct acl *a, va_list ap)
{
	int n = 0, tag;
	a->version = 2;
	while ((tag = va_arg(ap, int))) {
		a->e[n].tag = tag;
		a->e[n].perm = va_arg(ap, int);
		a->e[n].id = va_arg(ap, int);
		n++;
	}
	return 4 + n * sizeof(struct ent);
}

static void set(int line, const char *f, const char *name, ...)
{
	struct acl a;
	va_list ap;
	va_start(ap, name);
	size_t n = build(&a, ap);
	va_end(ap);
	int r = setxattr(f, name, &a, n, 0);
	say(line, "set %s %s: %s", f, name + 17, r ? ename(errno) : "ok");
}
#define SET(f, n, ...) set(__LINE__, f, n, __VA_ARGS__, 0)

static void show_acl(int line, const char *f)
{
	struct stat st;
	stat(f, &st);
	say(line, "%s mode %o", f, st.st_mode);
	for (int k = 0; k < 2; k++) {
		struct acl a;
		char o[300] = "";
		ssize_t r = getxattr(f, k ? DEF : ACC, &a, sizeof a);
		for (int i = 0; r > 0 && i < (r - 4) / 8; i++)
			sprintf(o + strlen(o), " %x:%x:%d", a.e[i].tag, a.e[i].perm, (int)a.e[i].id);
		say(line, "  %s: %s%s", k ? "default" : "access", r < 0 ? ename(errno) : "", o);
	}
}
#define SHOW(f) show_acl(__LINE__, f)

static void names(int line, const char *f)
{
	char b[1000];
	ssize_t r = listxattr(f, b, sizeof b);
	int a = 0, d = 0;
	for (ssize_t i = 0; i < r; i += strlen(b + i) + 1) {
		a += !strcmp(b + i, ACC);
		d += !strcmp(b + i, DEF);
	}
	say(line, "%s lists access %d default %d", f, a, d);
}

/* What a user may do with a file. */
static void may(int line, const char *f, int uid, int gid, int extra)
{
	fflush(stdout);
	pid_t p = fork();
	if (!p) {
		gid_t g = extra;
		setgroups(extra ? 1 : 0, &g);
		setresgid(gid, gid, gid);
		setresuid(uid, uid, uid);
		int r = access(f, R_OK), w = access(f, W_OK), x = access(f, X_OK);
		int b = access(f, R_OK | W_OK);
		int fd = open(f, O_RDONLY);
		say(line, "%s uid %d gid %d,%d: %s%s%s%s open %s", f, uid, gid, extra, r ? "-" : "r", w ? "-" : "w",
		    x ? "-" : "x", b ? "" : "+", fd < 0 ? ename(errno) : "ok");
		_exit(0);
	}
	waitpid(p, 0, 0);
}
#define MAY(f, u, g, e) may(__LINE__, f, u, g, e)

static void forms(void)
{
	struct acl a = { .version = 2, .e = { { UO, 6, -1 }, { U, 6, 1000 }, { GO, 4, -1 }, { M, 6, -1 }, { O, 4, -1 } } };
	size_t full = 4 + 5 * 8;
	char b[100];
	R(getxattr("f", ACC, b, 100));
	R(getxattr("f", DEF, b, 100));
	R(getxattr("d", DEF, b, 100));
	R(removexattr("f", ACC));
	R(removexattr("f", DEF));
	R(removexattr("d", DEF));
	R(setxattr("f", ACC, &a, full, 0));
	R(setxattr("f", ACC, &a, full, XATTR_CREATE));
	R(setxattr("f", ACC, &a, full - 1, 0));
	R(setxattr("f", ACC, &a, 3, 0));
	R(setxattr("f", ACC, &a, 0, 0));
	SHOW("f");
	R(setxattr("f", ACC, &a, full, XATTR_REPLACE));
	R(setxattr("f", ACC, &a, 4, 0));
	SHOW("f");
	R(setxattr("f", DEF, &a, full, 0));
	R(setxattr("f", ACC, BAD, full, 0));
	R(setxattr("p", ACC, &a, 3, 0));
	R(lsetxattr("ln", ACC, &a, full, 0));
	R(lgetxattr("ln", ACC, b, 100));
	R(getxattr("f", ACC, b, 0));
	R(setxattr("f", ACC, &a, full, 0));
	R(getxattr("f", ACC, b, 0));
	R(getxattr("f", ACC, b, 10));
	R(getxattr("f", ACC, BAD, 100));
	names(__LINE__, "f");
	a.version = 1;
	R(setxattr("f", ACC, &a, full, 0));
	R(setxattr("/proc/self/status", ACC, &a, full, 0));
	R(getxattr("/proc/self/status", ACC, b, 100));
	R(removexattr("f", ACC));
	names(__LINE__, "f");
	SHOW("f");
	/* Order and completeness. */
	SET("f", ACC, UO, 6, -1, GO, 4, -1);
	SET("f", ACC, UO, 6, -1, GO, 4, -1, O, 4, -1);
	SHOW("f");
	SET("f", ACC, UO, 7, -1, GO, 5, -1, M, 1, -1, O, 4, -1);
	SHOW("f");
	SET("f", ACC, UO, 7, -1, GO, 5, -1, O, 1, -1);
	SHOW("f");
	SET("f", ACC, UO, 6, -1, U, 6, 1000, GO, 4, -1, O, 4, -1);
	SET("f", ACC, U, 6, 1000, UO, 6, -1, GO, 4, -1, M, 7, -1, O, 4, -1);
	SET("f", ACC, UO, 6, -1, U, 6, -1, GO, 4, -1, M, 7, -1, O, 4, -1);
	SET("f", ACC, UO, 6, -1, G, 6, 5, GO, 4, -1, M, 7, -1, O, 4, -1);
	SET("f", ACC, UO, 6, -1, GO, 4, -1, G, 6, 5, G, 6, 5, M, 7, -1, O, 4, -1);
	SHOW("f");
	SET("f", ACC, UO, 8, -1, GO, 4, -1, O, 4, -1);
	SET("f", ACC, UO, 6, -1, GO, 4, -1, O, 4, -1, O, 4, -1);
	SET("f", ACC, UO, 6, -1, UO, 6, -1, GO, 4, -1, O, 4, -1);
	SET("f", ACC, 64, 6, -1, GO, 4, -1, O, 4, -1);
	SET("f", ACC, O, 4, -1);
	R(removexattr("f", ACC));
	R(removexattr("f", ACC));
	SHOW("f");
}

static void checks(void)
{
	put("c", "x");
	chmod("c", 0640);
	chown("c", 500, 600);
	SET("c", ACC, UO, 4, -1, U, 7, 1000, U, 2, 1001, GO, 2, -1, G, 4, 700, G, 6, 701, M, 6, -1, O, 1, -1);
	SHOW("c");
	MAY("c", 500, 600, 0);
	MAY("c", 1000, 600, 0);
	MAY("c", 1001, 701, 0);
	MAY("c", 1002, 600, 0);
	MAY("c", 1002, 700, 0);
	MAY("c", 1002, 701, 0);
	MAY("c", 1002, 600, 700);
	MAY("c", 1002, 9, 0);
	MAY("c", 1002, 9, 701);
	chmod("c", 0607);
	SHOW("c");
	MAY("c", 1000, 9, 0);
	MAY("c", 1002, 701, 0);
	MAY("c", 1002, 600, 0);
	MAY("c", 1002, 9, 0);
	chmod("c", 04451);
	SHOW("c");
	MAY("c", 1000, 9, 0);
	MAY("c", 1002, 701, 0);
	CHILD({
		setresuid(1000, 1000, 1000);
		SET("c", ACC, UO, 7, -1, GO, 7, -1, O, 7, -1);
		R(removexattr("c", ACC));
		char b[100];
		R(getxattr("c", ACC, b, 100));
	});
	R(chown("c", 501, 600));
	SHOW("c");
	/* A search right that only a list gives. */
	mkdir("s", 0700);
	put("s/f", "1");
	MAY("s/f", 1000, 9, 0);
	SET("s", ACC, UO, 7, -1, U, 1, 1000, GO, 0, -1, M, 1, -1, O, 0, -1);
	SHOW("s");
	MAY("s/f", 1000, 9, 0);
	MAY("s/f", 1001, 9, 0);
	MAY("s", 1000, 9, 0);
	put("g", "");
	chown("g", 500, 600);
	chmod("g", 02755);
	CHILD({
		setresgid(9, 9, 9);
		setresuid(500, 500, 500);
		SET("g", ACC, UO, 7, -1, GO, 5, -1, O, 5, -1);
		SHOW("g");
	});
}

static void inherit(void)
{
	umask(077);
	mkdir("h", 0755);
	SHOW("h");
	SET("h", DEF, UO, 7, -1, U, 6, 1000, GO, 5, -1, M, 7, -1, O, 4, -1);
	SHOW("h");
	names(__LINE__, "h");
	close(open("h/a", O_CREAT | O_RDWR, 0666));
	SHOW("h/a");
	close(open("h/b", O_CREAT | O_RDWR, 0600));
	SHOW("h/b");
	close(open("h/x", O_CREAT | O_RDWR, 0777));
	SHOW("h/x");
	mkdir("h/d", 0777);
	SHOW("h/d");
	mkdir("h/d/e", 0700);
	SHOW("h/d/e");
	mkfifo("h/p", 0666);
	struct stat st;
	stat("h/p", &st);
	P("fifo mode %o", st.st_mode);
	symlink("a", "h/l");
	SHOW("h/l");
	int t = open("h", O_TMPFILE | O_RDWR, 0666);
	if (t >= 0) {
		fstat(t, &st);
		P("tmpfile mode %o", st.st_mode);
		char b[100];
		R(fgetxattr(t, ACC, b, 100));
	}
	R(rename("h/a", "a"));
	SHOW("a");
	R(link("a", "h/a2"));
	SHOW("h/a2");
	MAY("a", 1000, 9, 0);
	SET("h", DEF, UO, 7, -1, GO, 5, -1, O, 4, -1);
	close(open("h/m", O_CREAT | O_RDWR, 0666));
	SHOW("h/m");
	mkdir("h/n", 0777);
	SHOW("h/n");
	R(removexattr("h", DEF));
	close(open("h/o", O_CREAT | O_RDWR, 0666));
	SHOW("h/o");
	SHOW("h/d");
	chmod("h", 02775);
	SET("h", DEF, UO, 7, -1, G, 6, 1000, GO, 5, -1, M, 7, -1, O, 4, -1);
	mkdir("h/q", 0755);
	SHOW("h/q");
}

int main(void)
{
	put("f", "text");
	mkdir("d", 0755);
	symlink("f", "ln");
	mkfifo("p", 0644);
	if (getxattr("f", ACC, 0, 0) < 0 && errno == EOPNOTSUPP)
		return 77;
	chmod(".", 0755);
	forms();
	checks();
	inherit();
	return 0;
}
