/* fsync, fdatasync, sync, syncfs, sync_file_range, statfs, fstatfs. */
#include "diff.h"
#include <sys/statfs.h>
#include <sys/statvfs.h>

int main(void)
{
	struct statfs s;
	int p[2];
	put("f", "x");
	int fd = open("f", O_RDWR), ro = open("f", O_RDONLY), d = open(".", O_RDONLY), pa = open("f", O_PATH);
	pipe(p);

	R(fsync(fd));
	R(fsync(ro));
	R(fsync(d));
	R(fsync(pa));
	R(fsync(-1));
	R(fsync(p[0]));
	R(fdatasync(fd));
	R(fdatasync(p[0]));
	R(fdatasync(-1));
	R(syncfs(fd));
	R(syncfs(-1));
	R(syncfs(p[0]));
	R(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	R(sync_file_range(fd, -1, 0, SYNC_FILE_RANGE_WRITE));
	R(sync_file_range(fd, 0, 0, 0x100));
	R(sync_file_range(p[0], 0, 0, 0));
	R(sync_file_range(-1, 0, 0, 0));

	R(statfs("f", &s));
	T(s.f_bsize > 0 && s.f_blocks > 0 && s.f_bfree <= s.f_blocks && s.f_bavail <= s.f_bfree);
	T(s.f_namelen == 255);
	T(s.f_frsize > 0);
	R(statfs("none", &s));
	R(statfs("", &s));
	R(statfs(BAD, &s));
	R(statfs("f", BAD));
	R(statfs("f/", &s));
	R(fstatfs(fd, &s));
	R(fstatfs(pa, &s));
	R(fstatfs(-1, &s));
	R(fstatfs(fd, BAD));
	R(fstatfs(p[0], &s));
	P("pipe type %lx", (long)s.f_type);
	R(statfs("/proc", &s));
	P("proc type %lx blocks %ld bsize %ld", (long)s.f_type, (long)s.f_blocks, (long)s.f_bsize);
	R(statfs("/sys", &s));
	P("sys type %lx flags ro %d", (long)s.f_type, !!(s.f_flags & ST_RDONLY));
	R(statfs("/dev", &s));
	P("dev type %lx blocks %ld nosuid %d", (long)s.f_type, (long)s.f_blocks, !!(s.f_flags & ST_NOSUID));
	R(statfs("/dev/shm", &s));
	P("shm type %lx blocks %ld noexec %d", (long)s.f_type, (long)s.f_blocks, !!(s.f_flags & ST_NOEXEC));
	R(statfs("/dev/pts", &s));
	P("pts type %lx", (long)s.f_type);
	R(statfs("/dev/mqueue", &s));
	P("mqueue type %lx", (long)s.f_type);
	sync();
	P("synced");
	return 0;
}
