/* memfd_create and seals. */
#include "diff.h"

int main(void)
{
	char b[64], path[64];
	struct stat s;
	int m = memfd_create("name", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	R(m);
	R(fcntl(m, F_GETFD));
	R(fcntl(m, F_GETFL));
	R(fstat(m, &s));
	P("mode %o nlink %ld size %ld", s.st_mode, (long)s.st_nlink, (long)s.st_size);
	sprintf(path, "/proc/self/fd/%d", m);
	ssize_t n = readlink(path, b, 63);
	P("%.*s", (int)n, b);
	R(memfd_create(BAD, 0));
	R(memfd_create("x", 0x1000000));
	char *longname = malloc(300);
	memset(longname, 'n', 300);
	longname[249] = 0;
	R(memfd_create(longname, 0) >= 0);
	longname[249] = 'n';
	longname[250] = 0;
	R(memfd_create(longname, 0));
	R(memfd_create("", 0) >= 0);
	R(memfd_create("with/slash", 0) >= 0);

	R(write(m, "content", 7));
	R(fcntl(m, F_GET_SEALS));
	R(fcntl(m, F_ADD_SEALS, F_SEAL_SHRINK));
	R(ftruncate(m, 3));
	R(ftruncate(m, 100));
	R(fcntl(m, F_ADD_SEALS, F_SEAL_GROW));
	R(ftruncate(m, 200));
	R(pwrite(m, "x", 1, 200));
	R(pwrite(m, "xyz", 3, 98));
	R(pwrite(m, "x", 1, 5));
	R(fallocate(m, 0, 0, 300));
	char *w = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, m, 0);
	T(w != MAP_FAILED);
	R(fcntl(m, F_ADD_SEALS, F_SEAL_WRITE));
	munmap(w, 4096);
	char *r = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, m, 0);
	R(fcntl(m, F_ADD_SEALS, F_SEAL_WRITE));
	R(fcntl(m, F_GET_SEALS));
	R(pwrite(m, "x", 1, 5));
	T(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, m, 0) == MAP_FAILED && errno == EPERM);
	w = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, m, 0);
	T(w != MAP_FAILED);
	w[0] = 'W';
	P("private %.3s file %.3s", w, r);
	w = mmap(NULL, 4096, PROT_READ, MAP_SHARED, m, 0);
	T(w != MAP_FAILED);
	R(mprotect(w, 4096, PROT_READ | PROT_WRITE));
	R(fallocate(m, 3, 0, 4096));
	R(fcntl(m, F_ADD_SEALS, 0x1000));
	R(fcntl(m, F_ADD_SEALS, F_SEAL_SEAL));
	R(fcntl(m, F_ADD_SEALS, F_SEAL_SHRINK));
	R(fcntl(m, F_GET_SEALS));
	int m2 = memfd_create("plain", 0);
	R(fcntl(m2, F_GET_SEALS));
	R(fcntl(m2, F_ADD_SEALS, F_SEAL_WRITE));
	int m3 = memfd_create("fw", MFD_ALLOW_SEALING);
	write(m3, "abc", 3);
	w = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, m3, 0);
	R(fcntl(m3, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	w[0] = 'Z';
	R(pwrite(m3, "x", 1, 0));
	T(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, m3, 0) == MAP_FAILED);
	R(pread(m3, b, 3, 0));
	P("%.3s", b);
	R(fcntl(memfd_create("ne", 8), F_GET_SEALS));

	/* shared with a child, reopened, executed */
	CHILD({ ftruncate(m2, 10); pwrite(m2, "kid", 3, 0); });
	R(pread(m2, b, 10, 0));
	P("%.3s", b);
	sprintf(path, "/proc/self/fd/%d", m2);
	int again = open(path, O_RDONLY);
	R(again >= 0);
	R(lseek(again, 0, SEEK_CUR));
	R(write(again, "x", 1));
	int script = memfd_create("sh", 0);
	write(script, "#!/bin/sh\necho ran from memory\n", 31);
	CHILD({
		char *av[] = { "x", NULL };
		execve(({ sprintf(path, "/proc/self/fd/%d", script); path; }), av, environ);
		P("%s", ename(errno));
	});
	return 0;
}
