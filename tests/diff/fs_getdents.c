/* getdents64 and getdents: entries, buffer sizes, offsets, changes meanwhile. */
#include "diff.h"
#include <dirent.h>

struct d64 { uint64_t ino; int64_t off; uint16_t len; uint8_t type; char name[]; };

static int cmp(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }

static void list(int line, const char *dir)
{
	char *names[300];
	int n = 0;
	DIR *d = opendir(dir);
	struct dirent *e;
	while (d && (e = readdir(d)) && n < 300)
		if (asprintf(&names[n], "%s:%d", e->d_name, e->d_type) > 0)
			n++;
	qsort(names, n, sizeof *names, cmp);
	say(line, "%s has %d", dir, n);
	for (int i = 0; i < n && n < 20; i++)
		say(line, "  %s", names[i]);
	closedir(d);
}

int main(void)
{
	char b[32768], *e = edge(200);
	mkdir("d", 0755);
	mkdir("d/sub", 0755);
	put("d/file", "");
	symlink("x", "d/link");
	mkfifo("d/fifo", 0644);
	put("d/.hidden", "");
	put("d/a-name-that-is-longer-than-the-others-are-to-see-the-record-length", "");

	int fd = open("d", O_RDONLY | O_DIRECTORY);
	list(__LINE__, "d");
	list(__LINE__, "d/sub");
	R(syscall(SYS_getdents64, fd, b, 0));
	R(syscall(SYS_getdents64, fd, b, 23));
	R(syscall(SYS_getdents64, fd, BAD, 4096));
	R(syscall(SYS_getdents64, -1, b, 4096));
	int f = open("d/file", O_RDONLY);
	R(syscall(SYS_getdents64, f, b, 4096));
	int pa = open("d", O_PATH);
	R(syscall(SYS_getdents64, pa, b, 4096));

	/* by small steps every entry comes once */
	int total = 0, steps = 0, dots = 0, bad = 0;
	long n;
	lseek(fd, 0, SEEK_SET);
	while ((n = syscall(SYS_getdents64, fd, b, 96)) > 0) {
		steps++;
		for (long i = 0; i < n;) {
			struct d64 *x = (void *)(b + i);
			total++;
			dots += x->name[0] == '.';
			bad += x->len % 8 != 0 || x->ino == 0;
			i += x->len;
		}
	}
	P("end %ld total %d dots %d bad %d several steps %d", n, total, dots, bad, steps > 1);
	R(syscall(SYS_getdents64, fd, b, 4096));
	R(lseek(fd, 0, SEEK_SET));
	n = syscall(SYS_getdents64, fd, b, sizeof b);
	P("whole at once %ld", n);
	struct d64 *x = (void *)b;
	T(x->len == (19 + strlen(x->name) + 1 + 7) / 8 * 8);

	/* going back to an offset that was given */
	lseek(fd, 0, SEEK_SET);
	n = syscall(SYS_getdents64, fd, b, 100);
	x = (void *)b;
	char first[256];
	strcpy(first, x->name);
	long off = x->off;
	n = syscall(SYS_getdents64, fd, b, sizeof b);
	lseek(fd, off, SEEK_SET);
	n = syscall(SYS_getdents64, fd, b, sizeof b);
	int seen = 0;
	total = 0;
	for (long i = 0; i < n;) {
		x = (void *)(b + i);
		total++;
		seen += strcmp(x->name, first) == 0;
		i += x->len;
	}
	P("after seek to the first's offset: %d entries, first again %d", total, seen);

	/* a buffer whose end is not there */
	lseek(fd, 0, SEEK_SET);
	n = syscall(SYS_getdents64, fd, e, 4096);
	P("edge: some came %d %s", n > 0, n < 0 ? ename(errno) : "");

	/* what is made and removed shows after a rewind */
	put("d/later", "");
	unlink("d/file");
	list(__LINE__, "d");
	for (int i = 0; i < 200; i++) {
		sprintf(b, "d/n%03d", i);
		put(b, "");
	}
	list(__LINE__, "d");
	/* removing while reading loses none of the others */
	DIR *dir = opendir("d");
	struct dirent *de;
	int removed = 0;
	while ((de = readdir(dir)))
		if (de->d_name[0] == 'n' && unlinkat(dirfd(dir), de->d_name, 0) == 0)
			removed++;
	closedir(dir);
	P("removed %d", removed);
	list(__LINE__, "d");
	/* a removed directory */
	int g = open("d/sub", O_RDONLY);
	R(rmdir("d/sub"));
	R(syscall(SYS_getdents64, g, b, 4096));
	/* the old form */
	mkdir("o", 0755);
	put("o/x", "");
	int o = open("o", O_RDONLY);
	n = syscall(SYS_getdents, o, b, sizeof b);
	P("old getdents %ld", n);
	return 0;
}
