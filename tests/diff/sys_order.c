/* Which of several errors a call names: the order in which Linux looks at its arguments. */
#include "diff.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/xattr.h>

#define C(...) do { errno = 0; long r_ = syscall(__VA_ARGS__); say_result(__LINE__, #__VA_ARGS__, r_, errno, 0); } while (0)
#define TOP 0x7ffffffff000ul

int main(void)
{
	static char b[4096];
	struct stat st;
	int p[2], sv[2];
	put("f", "hello");
	mkdir("d", 0755);
	int fd = open("f", O_RDWR), pa = open("f", O_PATH), ev = eventfd(0, 0), ep = epoll_create1(0), nul = open("/dev/null", O_RDWR);
	pipe(p);
	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);

	/* signals: somebody must be there before the number matters */
	C(SYS_kill, -99999, 100);
	C(SYS_kill, 99999, -1);
	C(SYS_kill, getpid(), 100);
	C(SYS_tkill, 99999, 100);
	C(SYS_tkill, -1, 100);
	C(SYS_tgkill, 99999, getpid(), 100);
	C(SYS_rt_tgsigqueueinfo, 0, 1, 100, b);
	C(SYS_rt_tgsigqueueinfo, 1, 1, 100, BAD);
	C(SYS_sigaltstack, b, b + 100);
	/* memory */
	C(SYS_mprotect, TOP, 0ul, 0x10);
	C(SYS_mprotect, -4096ul, 4096ul, 0x10);
	C(SYS_mprotect, 4096ul, 4096ul, 0x10);
	C(SYS_mprotect, 4096ul, 4096ul, 0x02000000);
	C(SYS_pkey_mprotect, TOP, 0ul, 1, 8);
	C(SYS_mincore, TOP, 0ul, b);
	C(SYS_mincore, TOP, 0ul, KBAD);
	C(SYS_mincore, 1ul, 0ul, b);
	C(SYS_mlock, -4096ul, 1ul << 47);
	/* descriptors */
	C(SYS_flock, fd, 32);
	C(SYS_flock, fd, 33);
	C(SYS_flock, -1, 16);
	C(SYS_accept4, 99, NULL, NULL, 2);
	C(SYS_accept4, fd, NULL, NULL, 2);
	C(SYS_recvfrom, fd, b, -4096l, 0, 0, 0);
	C(SYS_sendto, fd, b, -4096l, 0, 0, 0);
	C(SYS_epoll_wait, -1, b, 0, 0);
	C(SYS_epoll_wait, pa, b, 1, 0);
	C(SYS_epoll_wait, fd, b, 0, 0);
	C(SYS_epoll_wait, ep, b, 0, 0);
	C(SYS_epoll_ctl, pa, EPOLL_CTL_ADD, p[0], b);
	C(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, pa, b);
	C(SYS_vmsplice, fd, b, 0, 0);
	C(SYS_sendfile, p[1], nul, NULL, 10);
	C(SYS_preadv2, fd, &(struct iovec){ b, 0 }, 1, 0, 0, 0x8000);
	C(SYS_readv, fd, &(struct iovec){ b, LONG_MAX }, 1);
	C(SYS_open, "..", O_CREAT | O_EXCL | O_RDWR, 0644);
	C(SYS_open, ".", O_CREAT | O_RDWR, 0644);
	C(SYS_newfstatat, AT_FDCWD, "f", &st, 0x2000);
	C(SYS_newfstatat, AT_FDCWD, "f", &st, 0x4000);
	C(SYS_newfstatat, AT_FDCWD, "f", &st, 0x8000);
	C(SYS_execveat, AT_FDCWD, "", NULL, NULL, 0x2000);
	C(SYS_execveat, AT_FDCWD, BAD, NULL, NULL, 0x2000);
	C(SYS_prlimit64, -1, 99, NULL, b);
	C(SYS_prlimit64, 0, 99, NULL, b);
	C(SYS_getgroups, 4, KBAD);
	C(SYS_semop, -1, b, 501);
	C(SYS_clock_nanosleep, -5, 0, &(struct timespec){ 0, 1 }, NULL);
	C(SYS_clock_nanosleep, -3, 0, &(struct timespec){ 0, 1 }, NULL);
	C(SYS_waitid, 99, 0, KBAD, 0, NULL);
	C(SYS_mq_open, "..", O_RDWR, 0, NULL);
	C(SYS_mq_open, "/", O_RDWR, 0, NULL);
	C(SYS_mq_open, "", O_RDWR, 0, NULL);
	C(SYS_mq_notify, fd, &(struct sigevent){ .sigev_notify = SIGEV_SIGNAL });
	C(SYS_mq_timedsend, fd, b, 1, 1 << 30, BAD);
	C(SYS_mount, "none", "d", "tmpfs", 1ul << 31, NULL);
	C(SYS_open_by_handle_at, fd, b, 0);
	memset(b, 0, 8);
	b[0] = 8;
	C(SYS_open_by_handle_at, fd, b, 0);
	C(SYS_open_by_handle_at, fd, BAD, 0);
	C(SYS_ioctl, fd, 1, b);
	/* names of attributes come before files */
	C(SYS_getxattr, "none", BAD, b, 10);
	C(SYS_getxattr, "none", "", b, 10);
	C(SYS_fgetxattr, -1, BAD, b, 10);
	C(SYS_fsetxattr, -1, BAD, b, 10, 0);
	C(SYS_fsetxattr, -1, "user.a", b, 10, 4);
	C(SYS_fremovexattr, -1, BAD);
	C(SYS_listxattr, "f", KBAD, 128);

	/* where the numbers go comes before what is made */
	C(SYS_socketpair, 99, SOCK_STREAM, 0, 8);
	C(SYS_socketpair, AF_UNIX, SOCK_STREAM, 77, 8);
	C(SYS_socketpair, AF_UNIX, 77, 0, 8);
	C(SYS_socketpair, AF_INET, SOCK_STREAM, 0, b);
	C(SYS_mremap, 0xffff800000000000, 4096, 4096, 1, 0);
	C(SYS_mremap, TOP, 4096, 2048, 0, 0);
	C(SYS_mremap, TOP, 4096, 8192, 0, 0);
	C(SYS_sched_get_priority_max, 7);
	C(SYS_sched_get_priority_max, 8);
	/* directories of proc */
	int proc = open("/proc", O_RDONLY);
	C(SYS_lseek, proc, 0, SEEK_END);
	C(SYS_lseek, proc, 5, SEEK_END);
	C(SYS_lseek, proc, -1l, SEEK_SET);
	C(SYS_lseek, proc, 0, SEEK_DATA);
	C(SYS_lseek, proc, 0, SEEK_HOLE);
	R(chown("/proc/uptime", 0, 0));
	R(chmod("/proc/uptime", 0444));
	R(chmod("/proc/self/stat", 0444));
	stat("/proc/sys", &st);
	P("%d", st.st_mtime > 1000000000);

	/* attributes of what has no name */
	R(fchmod(p[0], 0640));
	fstat(p[1], &st);
	P("%o", st.st_mode);
	R(fchown(p[0], 3, 4));
	fstat(p[1], &st);
	P("%u %u", st.st_uid, st.st_gid);
	R(fchmod(sv[0], 0600));
	fstat(sv[0], &st);
	P("%o", st.st_mode);
	R(fchmod(ev, 0600));
	R(fchown(ep, 1, 1));
	return 0;
}
