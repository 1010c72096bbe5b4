/*
 * The numbers the C library goes round: stat is newfstatat there, open is openat.
 * Each is called by its number, once well and once badly.
 */
#include "diff.h"
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <utime.h>

#define C(...) do { errno = 0; long r_ = syscall(__VA_ARGS__); say_result(__LINE__, #__VA_ARGS__, r_, errno, 0); } while (0)

int main(void)
{
	struct stat st;
	struct rlimit rl;
	struct timeval tv = { 0, 1000 };
	char b[300];
	int p[2], sv[2], fd;
	fd_set fs;

	C(SYS_creat, "f", 0644);
	C(SYS_write, 3, "hello", 5);
	C(SYS_close, 3);
	C(SYS_open, "f", O_RDWR, 0);
	C(SYS_read, 3, b, 10);
	C(SYS_pread64, 3, b, 2, 1);
	C(SYS_pwrite64, 3, "H", 1, 0);
	C(SYS_lseek, 3, 0, SEEK_SET);
	C(SYS_stat, "f", &st);
	P("%o %ld", st.st_mode, (long)st.st_size);
	C(SYS_stat, "none", &st);
	C(SYS_lstat, "f", &st);
	C(SYS_lstat, BAD, &st);
	C(SYS_fstat, 3, &st);
	C(SYS_fstat, 99, &st);
	C(SYS_newfstatat, AT_FDCWD, "f", &st, 0);
	C(SYS_access, "f", R_OK);
	C(SYS_access, "none", R_OK);
	C(SYS_faccessat, AT_FDCWD, "f", R_OK);
	C(SYS_mkdir, "d", 0755);
	C(SYS_mkdir, "d", 0755);
	C(SYS_rename, "f", "g");
	C(SYS_renameat, AT_FDCWD, "g", AT_FDCWD, "f");
	C(SYS_link, "f", "l");
	C(SYS_linkat, AT_FDCWD, "f", AT_FDCWD, "l2", 0);
	C(SYS_symlink, "f", "s");
	C(SYS_symlinkat, "f", AT_FDCWD, "s2");
	C(SYS_readlink, "s", b, 10);
	C(SYS_readlinkat, AT_FDCWD, "s", b, 10);
	C(SYS_unlink, "l");
	C(SYS_unlinkat, AT_FDCWD, "l2", 0);
	C(SYS_chmod, "f", 0600);
	C(SYS_fchmod, 3, 0644);
	C(SYS_fchmodat, AT_FDCWD, "f", 0644);
	C(SYS_chown, "f", 1, 2);
	C(SYS_fchown, 3, 3, 4);
	C(SYS_lchown, "s", 5, 6);
	C(SYS_fchownat, AT_FDCWD, "f", 0, 0, 0);
	C(SYS_mknod, "n", S_IFIFO | 0644, 0);
	C(SYS_mknodat, AT_FDCWD, "n2", S_IFIFO | 0644, 0);
	C(SYS_mkdirat, AT_FDCWD, "d2", 0755);
	C(SYS_rmdir, "d2");
	C(SYS_rmdir, "d2");
	C(SYS_utime, "f", NULL);
	C(SYS_utimes, "f", NULL);
	C(SYS_futimesat, AT_FDCWD, "f", NULL);
	C(SYS_utimensat, AT_FDCWD, "f", NULL, 0);
	C(SYS_truncate, "f", 3);
	C(SYS_ftruncate, 3, 2);
	C(SYS_umask, 022);
	C(SYS_chdir, "d");
	C(SYS_chdir, "..");
	fd = open("d", O_RDONLY);
	C(SYS_fchdir, fd);
	C(SYS_chdir, "..");
	close(fd);
	C(SYS_dup, 3);
	C(SYS_dup2, 3, 5);
	C(SYS_dup3, 3, 6, 0);
	C(SYS_close_range, 4, 6, 0);
	C(SYS_pipe, p);
	C(SYS_pipe2, p, O_CLOEXEC);
	C(SYS_fadvise64, 3, 0, 0, 0);
	C(SYS_readahead, 3, 0, 10);
	C(SYS_fallocate, 3, 0, 0, 100);
	C(SYS_sync);
	C(SYS_syncfs, 3);
	C(SYS_fsync, 3);
	C(SYS_fdatasync, 3);
	C(SYS_sync_file_range, 3, 0, 0, 0);
	C(SYS_ioctl, 3, 0x5401, b);
	C(SYS_fcntl, 3, F_GETFL);
	C(SYS_flock, 3, 8);
	C(SYS_getdents, 3, b, 300);

	/* waiting */
	struct pollfd pf = { p[1], POLLOUT, 0 };
	C(SYS_poll, &pf, 1, 0);
	FD_ZERO(&fs);
	FD_SET(p[1], &fs);
	C(SYS_select, p[1] + 1, NULL, &fs, NULL, &tv);
	C(SYS_pselect6, 0, NULL, NULL, NULL, &(struct timespec){ 0, 1000 }, NULL);
	C(SYS_ppoll, &pf, 1, &(struct timespec){ 0, 1000 }, NULL, 8);
	C(SYS_epoll_create, 1);
	C(SYS_epoll_create1, 0);
	struct epoll_event ev = { EPOLLOUT, { 0 } };
	C(SYS_epoll_ctl, 8, EPOLL_CTL_ADD, p[1], &ev);
	C(SYS_epoll_wait, 8, &ev, 1, 0);
	C(SYS_epoll_pwait, 8, &ev, 1, 0, NULL, 8);
	C(SYS_eventfd, 1);
	C(SYS_eventfd2, 1, 0);
	sigset_t m;
	sigemptyset(&m);
	C(SYS_signalfd, -1, &m, 8);
	C(SYS_signalfd4, -1, &m, 8, 0);
	C(SYS_inotify_init);
	C(SYS_inotify_init1, 0);
	C(SYS_inotify_add_watch, 15, "d", IN_CREATE);
	C(SYS_inotify_rm_watch, 15, 1);
	C(SYS_timerfd_create, CLOCK_MONOTONIC, 0);
	struct itimerspec it = { { 0 } };
	C(SYS_timerfd_settime, 16, 0, &it, NULL);
	C(SYS_timerfd_gettime, 16, &it);

	/* sockets */
	C(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
	C(SYS_socketpair, AF_UNIX, SOCK_DGRAM, 0, sv);
	C(SYS_sendto, sv[0], "x", 1, 0, NULL, 0);
	C(SYS_recvfrom, sv[1], b, 10, 0, NULL, NULL);
	C(SYS_accept, sv[0], NULL, NULL);
	C(SYS_accept4, sv[0], NULL, NULL, 0);
	C(SYS_bind, sv[0], b, 0);
	C(SYS_connect, 17, b, 0);
	C(SYS_listen, 17, 1);
	C(SYS_shutdown, sv[0], 2);
	C(SYS_getsockname, sv[0], b, &(int){ 10 });
	C(SYS_getpeername, sv[0], b, &(int){ 10 });
	C(SYS_setsockopt, sv[0], SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, 4);
	C(SYS_getsockopt, sv[0], SOL_SOCKET, SO_PASSCRED, b, &(int){ 4 });

	/* the process */
	C(SYS_getpid);
	C(SYS_gettid);
	C(SYS_getppid);
	C(SYS_getuid);
	C(SYS_geteuid);
	C(SYS_getgid);
	C(SYS_getegid);
	C(SYS_getpgrp);
	C(SYS_getpgid, 0);
	C(SYS_getsid, 0);
	C(SYS_setregid, -1, -1);
	C(SYS_setreuid, -1, -1);
	C(SYS_setresuid, -1, -1, -1);
	C(SYS_setresgid, -1, -1, -1);
	C(SYS_getresuid, b, b, b);
	C(SYS_getresgid, b, b, b);
	C(SYS_setuid, 0);
	C(SYS_setgid, 0);
	C(SYS_setfsuid, 0);
	C(SYS_setfsgid, 0);
	C(SYS_getgroups, 0, NULL);
	C(SYS_setgroups, 0, NULL);
	C(SYS_getrlimit, RLIMIT_NOFILE, &rl);
	C(SYS_setrlimit, RLIMIT_NOFILE, &rl);
	C(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &rl);
	C(SYS_getrusage, 0, b);
	C(SYS_personality, -1);
	C(SYS_sched_yield);
	C(SYS_getpriority, 0, 0);
	C(SYS_setpriority, 0, 0, 0);
	C(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
	long k = syscall(SYS_fork);
	if (!k)
		syscall(SYS_exit_group, 3);
	int stt;
	T(syscall(SYS_wait4, k, &stt, 0, NULL) == k);
	say_status(__LINE__, "fork", stt);
	C(SYS_waitid, P_ALL, 0, NULL, WEXITED, NULL);
	C(SYS_kill, getpid(), 0);
	C(SYS_tkill, gettid(), 0);
	C(SYS_tgkill, getpid(), gettid(), 0);

	/* memory and time */
	long a = syscall(SYS_mmap, NULL, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	T(a > 0);
	C(SYS_mprotect, a, 4096, 1);
	C(SYS_madvise, a, 4096, 4);
	C(SYS_msync, a, 4096, 4);
	C(SYS_mincore, a, 8192, b);
	C(SYS_mlock, a, 4096);
	C(SYS_munlock, a, 4096);
	T(syscall(SYS_mremap, a, 8192, 4096, 0) == a);
	C(SYS_munmap, a, 4096);
	T(syscall(SYS_brk, 0) > 0);
	T(syscall(SYS_alarm, 20) >= 15);
	C(SYS_getitimer, 0, b);
	C(SYS_nanosleep, &(struct timespec){ 0, 1000 }, NULL);
	C(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &(struct timespec){ 0, 1000 }, NULL);
	C(SYS_gettimeofday, b, NULL);
	C(SYS_clock_gettime, 0, b);
	C(SYS_clock_getres, 0, b);
	T(syscall(SYS_time, NULL) > 0);
	T(syscall(SYS_times, b) > 0);
	C(SYS_ustat, 1 << 20, b);
	C(SYS_mq_unlink, "none");
	C(SYS_mq_open, "x", O_RDWR, 0, NULL);
	C(SYS_mq_getsetattr, 3, NULL, b);
	C(SYS_mq_timedsend, 3, b, 1, 0, NULL);
	C(SYS_mq_timedreceive, 3, b, 1, NULL, NULL);
	C(SYS_mq_notify, 3, NULL);
	C(SYS_shmget, 5, 0, 0);
	C(SYS_semget, 5, 0, 0);
	C(SYS_msgget, 5, 0);
	C(SYS_semop, 99, b, 1);
	C(SYS_semtimedop, 99, b, 1, NULL);
	C(SYS_msgsnd, 99, b, 1, 0);
	C(SYS_msgrcv, 99, b, 1, 0, 0);
	C(SYS_getrandom, b, 4, 0);
	C(SYS_memfd_create, "m", 0);
	C(SYS_name_to_handle_at, AT_FDCWD, "f", BAD, b, 0x10000);
	C(SYS_clock_adjtime, 99, b);
	C(SYS_pkey_alloc, 1, 0);
	C(SYS_pkey_free, 77);
	C(SYS_pkey_mprotect, a, 4096, 1, 77);
	C(SYS_sethostname, "x", 1);
	C(SYS_setdomainname, "x", 1);
	C(SYS_statfs, "none", b);
	C(SYS_fstatfs, 99, b);
	C(SYS_getxattr, "none", "user.x", b, 1);
	C(SYS_lgetxattr, "none", "user.x", b, 1);
	C(SYS_fgetxattr, 99, "user.x", b, 1);
	C(SYS_setxattr, "none", "user.x", b, 1, 0);
	C(SYS_lsetxattr, "none", "user.x", b, 1, 0);
	C(SYS_fsetxattr, 99, "user.x", b, 1, 0);
	C(SYS_listxattr, "none", b, 1);
	C(SYS_llistxattr, "none", b, 1);
	C(SYS_flistxattr, 99, b, 1);
	C(SYS_removexattr, "none", "user.x");
	C(SYS_lremovexattr, "none", "user.x");
	C(SYS_fremovexattr, 99, "user.x");
	C(SYS_rt_sigpending, b, 8);
	C(SYS_rt_sigprocmask, 0, NULL, b, 8);
	C(SYS_sigaltstack, NULL, b);
	C(SYS_futex, b, 1, 1, NULL, NULL, 0);
	C(SYS_sched_getaffinity, 99999, 8, b);
	C(SYS_rt_sigtimedwait, &m, NULL, &(struct timespec){ 0, 0 }, 8);
	CHILD(syscall(SYS_exit, 4));
	return 0;
}
