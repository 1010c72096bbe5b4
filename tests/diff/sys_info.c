/* uname, sysinfo, getrandom, arch_prctl, rseq, membarrier, hostnames, numbers that do not exist. */
#include "diff.h"
#include <asm/prctl.h>
#include <linux/membarrier.h>
#include <sys/random.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

int main(void)
{
	struct utsname u;
	struct sysinfo si;
	unsigned char b[256];
	unsigned long v;

	R(uname(&u));
	P("%s %s %s", u.sysname, u.nodename, u.machine);
	int maj = 0, min = 0;
	T(sscanf(u.release, "%d.%d", &maj, &min) == 2 && maj == 6);
	T(strlen(u.version) > 0 && u.version[0] == '#');
	R(syscall(SYS_uname, BAD));
	R(sethostname("x", 1));
	R(setdomainname("x", 1));

	R(sysinfo(&si));
	T(si.uptime > 0 && si.totalram > 0 && si.freeram <= si.totalram && si.procs > 0 && si.mem_unit >= 1);
	T(get_nprocs() >= 1);
	T(sysconf(_SC_PHYS_PAGES) > 0);

	R(getrandom(b, 256, 0));
	R(getrandom(b, 0, 0));
	R(getrandom(b, 16, GRND_NONBLOCK));
	R(getrandom(b, 16, GRND_RANDOM));
	R(getrandom(b, 16, 0x100));
	R(getrandom(b, 16, GRND_RANDOM | 4));
	R(getrandom(BAD, 16, 0));
	char *e = edge(8);
	R(getrandom(e, 16, 0));
	int zeros = 0;
	memset(b, 0, sizeof b);
	getrandom(b, 256, 0);
	for (int i = 0; i < 256; i++)
		zeros += !b[i];
	T(zeros < 20);

	R(syscall(SYS_arch_prctl, ARCH_GET_FS, &v));
	T(v != 0);
	R(syscall(SYS_arch_prctl, ARCH_GET_FS, BAD));
	R(syscall(SYS_arch_prctl, ARCH_GET_GS, &v));
	P("gs %lx", v);
	R(syscall(SYS_arch_prctl, ARCH_SET_GS, b));
	R(syscall(SYS_arch_prctl, ARCH_GET_GS, &v));
	T(v == (unsigned long)b);
	b[4] = 77;
	unsigned char g;
	asm volatile("movb %%gs:4, %0" : "=r"(g));
	P("through gs %d", g);
	getpid();
	asm volatile("movb %%gs:4, %0" : "=r"(g));
	P("after a call %d", g);
	CHILD({ asm volatile("movb %%gs:4, %0" : "=r"(g)); P("in the child %d", g); });
	R(syscall(SYS_arch_prctl, ARCH_SET_GS, 0x800000000000));
	R(syscall(SYS_arch_prctl, ARCH_SET_FS, 0x800000000000));
	R(syscall(SYS_arch_prctl, 0x9999, 0));
	R(syscall(SYS_arch_prctl, ARCH_SET_GS, 0));

	R(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0) > 0);
	R(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0));
	R(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
	R(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
	R(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
	R(syscall(SYS_membarrier, 1 << 20, 0, 0));
	R(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 77, 0));

	R(syscall(SYS_set_tid_address, &v) == gettid());

	/* numbers that are nothing */
	static const int none[] = { 350, 387, 400, 423, 999, 1000, 5000, 1 << 20, -2, INT_MAX };
	for (unsigned i = 0; i < NELEM(none); i++)
		R(syscall(none[i], 0, 0, 0, 0, 0, 0));
	static const int gone[] = { 134, 156, 174, 177, 178, 180, 181, 182, 183, 184, 185, 205, 211, 214, 215, 236 };
	for (unsigned i = 0; i < NELEM(gone); i++)
		P("%d = %s", gone[i], ename(syscall(gone[i], 0, 0, 0, 0, 0, 0) == -1 ? errno : 0));
	/* the upper half of the number is ignored or not there, alike */
	long r;
	asm volatile("syscall" : "=a"(r) : "0"(0x100000000l + SYS_getpid) : "rcx", "r11", "memory");
	P("number with high bits: %d", r == getpid());
	asm volatile("syscall" : "=a"(r) : "0"(-1l) : "rcx", "r11", "memory");
	P("number -1: %ld", r);
	asm volatile("syscall" : "=a"(r) : "0"(0x40000000l + SYS_getpid) : "rcx", "r11", "memory");
	P("x32 number: %ld", r);
	/* what a call leaves of the registers */
	long rbx = 1, r8 = 2, rcx, r11;
	register long r10 asm("r10") = 3;
	register long r12 asm("r12") = 4;
	asm volatile("1: syscall\n lea (%%rip), %%rdx\n" : "=a"(r), "=c"(rcx), "+b"(rbx), "+r"(r10), "+r"(r12), "+d"(r8)
		     : "0"((long)SYS_getpid) : "r11", "memory");
	asm volatile("mov %%r11, %0" : "=r"(r11));
	P("kept %ld %ld %ld, rcx is the return address %d", rbx, r10, r12, rcx == r8 - 7);

	/* things a container may not do */
	R(syscall(SYS_reboot, 0xfee1dead, 672274793, 0, NULL));
	R(syscall(SYS_swapon, "/x", 0));
	R(syscall(SYS_swapoff, "/x"));
	R(syscall(SYS_acct, "/x"));
	R(syscall(SYS_vhangup));
	R(syscall(SYS_syslog, 3, NULL, 0));
	R(syscall(SYS_mount, "x", "/tmp", "tmpfs", 0, NULL));
	R(syscall(SYS_umount2, "/proc", 0));
	R(syscall(SYS_pivot_root, "/", "/"));
	R(syscall(SYS_setns, 0, 0));
	return 0;
}
