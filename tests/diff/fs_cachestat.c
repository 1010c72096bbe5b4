/* cachestat(2): pages of a file in memory. */
#include "diff.h"

struct range { uint64_t off, len; };
struct stat5 { uint64_t cache, dirty, writeback, evicted, recently; };
#define cachestat(fd, r, s, f) syscall(451, (long)(fd), (r), (s), (long)(f))

static void show_range(int line, int fd, uint64_t off, uint64_t len)
{
	struct range r = { off, len };
	struct stat5 s = { 9, 9, 9, 9, 9 };
	long v = cachestat(fd, &r, &s, 0);
	say(line, "%lu+%lu: %s cached %lu evicted %lu", off, len, v ? ename(errno) : "ok", s.cache, s.evicted);
}
#define RANGE(o, l) show_range(__LINE__, fd, o, l)

int main(void)
{
	struct range r = { 0, 0 };
	struct stat5 s;
	int fd = open("f", O_CREAT | O_RDWR, 0644), pa = open("f", O_PATH), pi[2], d = open(".", O_RDONLY);
	if (pipe(pi))
		return 1;
	if (cachestat(fd, &r, &s, 0) < 0 && errno == ENOSYS)
		return 77;
	RANGE(0, 0);
	char page[4096] = "x";
	for (int i = 0; i < 10; i++)
		if (write(fd, page, 4096) != 4096)
			return 1;
	RANGE(0, 0);
	RANGE(0, 4096);
	RANGE(1, 4096);
	RANGE(4095, 1);
	RANGE(4095, 2);
	RANGE(36864, 1 << 20);
	RANGE(40960, 4096);
	RANGE(100000, 0);
	RANGE(5000, -1);
	R(ftruncate(fd, 10000));
	RANGE(0, 0);
	R(cachestat(-1, &r, &s, 0));
	R(cachestat(pa, &r, &s, 0));
	R(cachestat(fd, BAD, &s, 0));
	R(cachestat(fd, &r, BAD, 0));
	R(cachestat(fd, &r, &s, 1));
	R(cachestat(pi[0], &r, &s, 0));
	P("pipe %lu", s.cache);
	R(cachestat(d, &r, &s, 0));
	R(cachestat(-1, BAD, &s, 1));
	R(cachestat(fd, BAD, &s, 1));
	CHILD({
		setresuid(1000, 1000, 1000);
		int o = open("f", O_RDONLY);
		R(cachestat(o, &r, &s, 0));
		R(cachestat(o, &r, &s, 1));
		R(cachestat(fd, &r, &s, 0));
	});
	return 0;
}
