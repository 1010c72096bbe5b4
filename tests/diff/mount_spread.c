/* mount_namespaces(7), shared subtrees: how mounts and unmounts spread. */
#include "mounts.h"

static void dirs(const char *a, ...)
{
	va_list ap;
	va_start(ap, a);
	for (; a; a = va_arg(ap, const char *))
		mkdir(a, 0755);
	va_end(ap);
}
#define DIRS(...) dirs(__VA_ARGS__, NULL)
static int bind(const char *a, const char *b, int more)
{
	return mount(a, b, NULL, MS_BIND | more, NULL);
}
static int tmp(const char *at)
{
	return mount("t", at, "tmpfs", 0, "size=64k,mode=755");
}
static int kind(const char *at, int flags)
{
	return mount(NULL, at, NULL, flags, NULL);
}

static void types(void)
{
	DIRS("a", "b", "c", "d");
	R(kind("a", MS_SHARED));
	R(bind("a", "a", 0));
	R(kind("a", MS_SHARED));
	R(bind("a", "b", 0));
	R(bind("a", "c", 0));
	mounts("three peers");
	R(kind("b", MS_SLAVE));
	R(kind("b", MS_SLAVE));
	mounts("b slave");
	R(bind("b", "d", 0));
	R(kind("d", MS_SHARED));
	mounts("d shared slave");
	R(kind("a", MS_PRIVATE));
	R(kind("c", MS_PRIVATE));
	mounts("masters gone");
	R(kind("c", MS_UNBINDABLE));
	R(bind("c", "a", 0));
	R(kind("c", MS_SLAVE));
	R(kind("c", MS_SHARED));
	mounts("unbindable then shared");
	R(kind("c", MS_SHARED | MS_PRIVATE));
	R(kind("c", MS_SHARED | MS_NOSUID));
	R(kind("c", MS_SHARED | MS_SILENT));
	R(kind("nothing", MS_SHARED));
	DIRS("a/x");
	R(kind("a/x", MS_SHARED));
	R(kind("a/x", MS_SHARED | MS_PRIVATE));
	R(umount("d"));
	R(umount("c"));
	R(umount("b"));
	R(umount("a"));
	mounts("clean");
}

static void spread(void)
{
	DIRS("s", "p", "sl", "ss", "sp");
	R(tmp("s"));
	R(kind("s", MS_SHARED));
	DIRS("s/1", "s/2", "s/1/deep");
	R(bind("s", "p", 0));
	R(bind("s", "sl", 0));
	R(kind("sl", MS_SLAVE));
	R(bind("s", "ss", 0));
	R(kind("ss", MS_SLAVE));
	R(kind("ss", MS_SHARED));
	R(bind("ss", "sp", 0));
	mounts("ready");
	R(tmp("s/1"));
	mounts("mounted in the master");
	R(tmp("sl/2"));
	mounts("mounted in the slave");
	R(tmp("s/2"));
	mounts("again below the slave's");
	R(umount("s/2"));
	mounts("unmounted there");
	R(umount("sl/2"));
	R(tmp("ss/2"));
	mounts("mounted in the shared slave");
	mkdir("s/1/in", 0755);
	R(tmp("p/1/in"));
	mounts("second level");
	R(umount("s/1"));
	R(umount2("p/1", MNT_DETACH));
	mounts("detached");
	int fd = open("sl/2", O_RDONLY);
	R(tmp("s/2"));
	int in = open("sl/2", O_RDONLY | O_DIRECTORY);
	R(umount("s/2"));
	close(in);
	R(umount("s/2"));
	close(fd);
	R(umount2("s", MNT_DETACH));
	mounts("first gone");
	R(umount("p"));
	mounts("p gone");
	R(umount2("ss", MNT_DETACH));
	R(umount2("sl", MNT_DETACH));
	R(umount2("sp", MNT_DETACH));
	mounts("clean");
}

static void sub(void)
{
	DIRS("r", "q", "w");
	R(tmp("r"));
	R(kind("r", MS_SHARED));
	DIRS("r/x", "r/x/y", "r/z");
	R(bind("r/x", "q", 0));
	R(tmp("r/z"));
	R(tmp("q/y"));
	mounts("subdirectory");
	R(bind("r", "w", MS_REC));
	mounts("recursive");
	R(bind("r", "r/x", 0));
	mounts("into itself");
	R(kind("w", MS_REC | MS_SLAVE));
	mounts("slave recursively");
	R(kind("w", MS_REC | MS_UNBINDABLE));
	R(kind("w", MS_PRIVATE));
	DIRS("v");
	R(bind("w", "v", MS_REC));
	mounts("without the unbindable");
	R(umount2("v", MNT_DETACH));
	R(umount2("w", MNT_DETACH));
	R(umount2("q", MNT_DETACH));
	R(umount2("r", MNT_DETACH));
	mounts("clean");
}

static void move(void)
{
	DIRS("s", "s2", "pr", "u");
	R(tmp("s"));
	DIRS("s/1", "s/2");
	R(kind("s", MS_SHARED));
	R(bind("s", "s2", 0));
	R(tmp("pr"));
	DIRS("pr/in");
	R(tmp("pr/in"));
	R(mount("pr", "s/1", NULL, MS_MOVE, NULL));
	mounts("moved into a shared one");
	R(mount("s/1", "pr", NULL, MS_MOVE, NULL));
	R(tmp("u"));
	R(kind("u", MS_UNBINDABLE));
	R(mount("u", "s/2", NULL, MS_MOVE, NULL));
	R(mount("u", "pr", NULL, MS_MOVE, NULL));
	mounts("unbindable moved");
	R(mount("s", "s/2", NULL, MS_MOVE, NULL));
	R(mount("s/2", "pr", NULL, MS_MOVE, NULL));
	R(mount("nope", "pr", NULL, MS_MOVE, NULL));
	R(mount("", "pr", NULL, MS_MOVE, NULL));
	R(mount(NULL, "pr", NULL, MS_MOVE, NULL));
	R(umount("pr"));
	R(umount2("s", MNT_DETACH));
	R(umount2("s2", MNT_DETACH));
	mounts("clean");
}

static void spaces(void)
{
	int a[2], b[2];
	char c;
	DIRS("n", "m");
	R(tmp("n"));
	DIRS("n/1", "n/2", "n/3");
	R(kind("n", MS_SHARED));
	R(bind("n", "m", 0));
	R(kind("m", MS_SLAVE));
	pipe(a);
	pipe(b);
	fflush(stdout);
	pid_t kid = fork();
	if (!kid) {
		alarm(20);
		R(unshare(CLONE_NEWNS));
		mounts("copied");
		R(tmp("n/1"));
		write(a[1], "x", 1);
		read(b[0], &c, 1);
		mounts("child sees");
		R(kind("n", MS_SLAVE));
		R(tmp("n/3"));
		write(a[1], "x", 1);
		read(b[0], &c, 1);
		mounts("child at the end");
		R(umount2("n", MNT_DETACH));
		exit(0);
	}
	read(a[0], &c, 1);
	mounts("parent sees");
	R(tmp("n/2"));
	write(b[1], "x", 1);
	read(a[0], &c, 1);
	R(umount("n/1"));
	mounts("parent later");
	write(b[1], "x", 1);
	int st;
	waitpid(kid, &st, 0);
	R(st);
	mounts("parent after the child");
	R(umount2("m", MNT_DETACH));
	R(umount2("n", MNT_DETACH));
}

static void from(void)
{
	DIRS("f1", "f2", "f3", "jail");
	R(tmp("f1"));
	R(kind("f1", MS_SHARED));
	R(bind("f1", "f2", 0));
	R(kind("f2", MS_SLAVE));
	R(kind("f2", MS_SHARED));
	R(bind("f2", "f3", 0));
	R(kind("f3", MS_SLAVE));
	mounts("chain");
	R(umount("f2"));
	mounts("middle gone");
	R(umount("f1"));
	mounts("top gone");
	R(umount("f3"));
}

int main(void)
{
	world();
	types();
	spread();
	sub();
	move();
	spaces();
	from();
	return 0;
}
