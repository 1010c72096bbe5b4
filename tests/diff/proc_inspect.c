/* process_vm_readv, process_vm_writev, kcmp, pidfd_getfd, process_madvise, process_mrelease, setns. */
#include "diff.h"
#include <linux/kcmp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#define KCMP(...) ((void)0, kcmp_(__VA_ARGS__))
static long kcmp_(pid_t a, pid_t b, int type, unsigned long x, unsigned long y)
{
	long r = syscall(SYS_kcmp, a, b, type, x, y);
	return r > 0 ? 1 : r; /* which of the two is less means nothing */
}
static void *sleeper(void *p) { *(volatile pid_t *)p = syscall(SYS_gettid); pause(); return NULL; }

int main(void)
{
	int p[2], up[2];
	pipe(p);
	pipe(up);
	char *a = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	strcpy(a, "parent");
	mprotect(a + 2 * PAGE, PAGE, PROT_READ);
	munmap(a + 3 * PAGE, PAGE);
	pid_t me = getpid(), kid = fork();
	if (!kid) {
		strcpy(a, "child!");
		strcpy(a + PAGE - 3, "cross");
		write(up[1], "", 1);
		read(p[0], a + 100, 1);
		write(1, a, 7);
		write(1, "\n", 1);
		pause();
	}
	char c[2 * PAGE], b[16] = "";
	read(up[0], c, 1);

	/* memory of another */
	struct iovec lo[3] = { { c, 4 }, { c + 10, 4 }, { c + 20, 100 } }, re[3] = { { a, 7 }, { a + PAGE - 3, 6 }, { a, 0 } };
	memset(c, '.', sizeof c);
	R(process_vm_readv(kid, lo, 2, re, 2, 0));
	P("%.4s %.4s", c, c + 10);
	R(process_vm_readv(kid, lo, 3, re, 3, 0));
	P("%.5s", c + 20);
	lo[0] = (struct iovec){ b, 16 };
	strcpy(b, "written");
	re[0] = (struct iovec){ a, 8 };
	R(process_vm_writev(kid, lo, 1, re, 1, 0));
	write(p[1], "", 1);
	msleep(50);
	re[0].iov_base = a + 2 * PAGE;
	R(process_vm_writev(kid, lo, 1, re, 1, 0));
	R(process_vm_readv(kid, lo, 1, re, 1, 0));
	re[0] = (struct iovec){ a + 3 * PAGE - 8, 100 };
	lo[0] = (struct iovec){ c, 100 };
	R(process_vm_readv(kid, lo, 1, re, 1, 0));
	re[0] = (struct iovec){ a + 3 * PAGE, 100 };
	R(process_vm_readv(kid, lo, 1, re, 1, 0));
	re[0] = (struct iovec){ KBAD, 100 };
	R(process_vm_readv(kid, lo, 1, re, 1, 0));
	re[0] = (struct iovec){ a, 100 };
	lo[0] = (struct iovec){ BAD, 100 };
	R(process_vm_readv(kid, lo, 1, re, 1, 0));
	lo[0] = (struct iovec){ KBAD, 100 };
	R(process_vm_readv(kid, lo, 1, re, 1, 0));
	lo[0] = (struct iovec){ c, 100 };
	R(process_vm_readv(kid, BAD, 1, re, 1, 0));
	R(process_vm_readv(kid, lo, 1, BAD, 1, 0));
	R(process_vm_readv(kid, lo, 1025, re, 1, 0));
	R(process_vm_readv(kid, lo, 1, re, 1025, 0));
	R(process_vm_readv(kid, lo, 1, re, 1, 1));
	R(process_vm_readv(kid, lo, 0, re, 1, 0));
	R(process_vm_readv(kid, lo, 1, re, 0, 0));
	R(process_vm_readv(99999, lo, 0, re, 1, 0));
	R(process_vm_readv(99999, lo, 1, re, 1, 0));
	R(process_vm_readv(-1, lo, 1, re, 1, 0));
	re[0].iov_len = -1;
	R(process_vm_readv(kid, lo, 1, re, 1, 0));
	re[0].iov_len = 8;
	lo[0].iov_len = -1;
	R(process_vm_readv(kid, lo, 1, re, 1, 0));
	lo[0].iov_len = 8;
	CHILD({
		setresgid(5, 5, 5);
		setresuid(5, 5, 5);
		R(process_vm_readv(kid, lo, 1, re, 1, 0));
		R(process_vm_readv(getpid(), lo, 1, re, 1, 0));
		R(KCMP(kid, getpid(), KCMP_VM, 0, 0));
		R(KCMP(getpid(), getpid(), KCMP_VM, 0, 0));
	});

	/* who shares what */
	int d = dup(1), o = open("/dev/null", O_RDONLY);
	R(KCMP(me, me, KCMP_FILE, 1, d));
	R(KCMP(me, me, KCMP_FILE, 1, o));
	R(KCMP(me, kid, KCMP_FILE, 1, 1));
	R(KCMP(me, kid, KCMP_FILE, 1, 99));
	R(KCMP(me, kid, KCMP_FILE, -1, 1));
	for (int i = KCMP_VM; i <= KCMP_SIGHAND; i++) {
		R(KCMP(me, me, i, 0, 0));
		R(KCMP(me, kid, i, 0, 0));
	}
	R(KCMP(me, me, KCMP_SYSVSEM, 0, 0));
	R(KCMP(me, me, KCMP_IO, 0, 0));
	R(KCMP(me, me, 99, 0, 0));
	R(KCMP(me, me, -1, 0, 0));
	R(KCMP(99999, me, KCMP_VM, 0, 0));
	R(KCMP(me, 99999, KCMP_VM, 0, 0));
	volatile pid_t tid = 0;
	pthread_t th;
	pthread_create(&th, NULL, sleeper, (void *)&tid);
	while (!tid)
		msleep(1);
	for (int i = KCMP_VM; i <= KCMP_SIGHAND; i++)
		R(KCMP(me, tid, i, 0, 0));
	int ep = epoll_create1(0);
	epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &(struct epoll_event){ EPOLLIN });
	struct kcmp_epoll_slot slot = { ep, p[0], 0 };
	R(KCMP(me, me, KCMP_EPOLL_TFD, p[0], (long)&slot));
	R(KCMP(me, me, KCMP_EPOLL_TFD, p[1], (long)&slot));
	R(KCMP(me, me, KCMP_EPOLL_TFD, p[0], (long)BAD));
	slot.toff = 1;
	R(KCMP(me, me, KCMP_EPOLL_TFD, p[0], (long)&slot));
	slot = (struct kcmp_epoll_slot){ p[0], p[0], 0 };
	R(KCMP(me, me, KCMP_EPOLL_TFD, p[0], (long)&slot));
	slot = (struct kcmp_epoll_slot){ ep, 99, 0 };
	R(KCMP(me, me, KCMP_EPOLL_TFD, p[0], (long)&slot));

	/* through a pidfd */
	int pf = syscall(SYS_pidfd_open, kid, 0), got;
	S(got = syscall(SYS_pidfd_getfd, pf, p[0], 0));
	R(KCMP(me, kid, KCMP_FILE, got, p[0]));
	R(fcntl(got, F_GETFD));
	R(syscall(SYS_pidfd_getfd, pf, 99, 0));
	R(syscall(SYS_pidfd_getfd, pf, p[0], 1));
	R(syscall(SYS_pidfd_getfd, 1, p[0], 0));
	R(syscall(SYS_pidfd_getfd, 99, p[0], 0));
	int mf = syscall(SYS_pidfd_open, me, 0);
	struct iovec ad = { a, PAGE };
	R(syscall(SYS_process_madvise, mf, &ad, 1, MADV_COLD, 0));
	R(syscall(SYS_process_madvise, mf, &ad, 1, MADV_WILLNEED, 0));
	R(syscall(SYS_process_madvise, mf, &ad, 1, MADV_COLD, 1));
	R(syscall(SYS_process_madvise, mf, &ad, 1, 9999, 0));
	R(syscall(SYS_process_madvise, 99, &ad, 1, MADV_COLD, 0));
	R(syscall(SYS_process_madvise, 1, &ad, 1, MADV_COLD, 0));
	R(syscall(SYS_process_madvise, mf, BAD, 1, MADV_COLD, 0));
	R(syscall(SYS_process_madvise, pf, &ad, 1, MADV_COLD, 0));
	R(syscall(SYS_process_mrelease, pf, 1));
	R(syscall(SYS_process_mrelease, pf, 0));
	R(syscall(SYS_process_mrelease, 1, 0));
	R(syscall(SYS_process_mrelease, 99, 0));

	/* namespaces */
	int ns = open("/proc/self/ns/uts", O_RDONLY), ns2 = open("/proc/self/ns/uts", O_RDONLY), nn = open("/proc/self/ns/net", O_RDONLY);
	T(ns >= 0 && nn >= 0);
	struct stat s1, s2;
	fstat(ns, &s1);
	fstat(ns2, &s2);
	P("%o nlink %d size %d same %d", s1.st_mode, (int)s1.st_nlink, (int)s1.st_size, s1.st_ino == s2.st_ino && s1.st_dev == s2.st_dev);
	R(read(ns, c, 1));
	R(ioctl(ns, 0xb703));
	R(ioctl(nn, 0xb703));
	R(ioctl(ns, 0xb702));
	R(ioctl(ns, 0xb704, c));
	R(setns(ns, 0));
	R(setns(ns, CLONE_NEWUTS));
	R(setns(ns, CLONE_NEWNET));
	R(setns(1, 0));
	R(setns(99, 0));
	R(setns(pf, 0));
	R(setns(pf, 1));
	R(setns(open("/proc/self/ns/user", O_RDONLY), 0));
	R(open("/proc/self/ns/uts", O_RDWR));
	R(open("/proc/self/ns/none", O_RDONLY));
	kill(kid, SIGKILL);
	msleep(50);
	R(process_vm_readv(kid, lo, 1, re, 1, 0));
	R(syscall(SYS_process_mrelease, pf, 0));
	waitpid(kid, NULL, 0);
	R(process_vm_readv(kid, lo, 1, re, 1, 0));
	R(syscall(SYS_pidfd_getfd, pf, p[0], 0));
	R(setns(pf, CLONE_NEWUTS));
	return 0;
}
