/* Calls on the machine, which a container may not make. */
#include "diff.h"

#define C(...) do { errno = 0; long r_ = syscall(__VA_ARGS__); say_result(__LINE__, #__VA_ARGS__, r_, errno, 0); } while (0)

int main(void)
{
	put("f", "x");
	C(SYS_acct, "f");
	C(SYS_acct, NULL);
	C(SYS_vhangup);
	C(SYS_swapon, "f", 0);
	C(SYS_swapoff, "f");
	C(SYS_reboot, 0, 0, 0, 0);
	C(SYS_reboot, 0xfee1dead, 672274793, 0x89abcdef, 0);
	C(SYS_restart_syscall);
	C(SYS_settimeofday, &(struct timeval){ 1, 0 }, NULL);
	C(SYS_clock_settime, CLOCK_REALTIME, &(struct timespec){ 1, 0 });
	C(SYS_sethostname, "x", 1);
	C(SYS_setdomainname, "x", 1);
	C(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL);
	C(SYS_umount2, "/tmp", 0);
	C(SYS_pivot_root, "/tmp", "/tmp");
	C(SYS_syslog, 2, NULL, 0);
	C(SYS_syslog, 4, NULL, 0);
	C(SYS_syslog, 5, NULL, 0);
	C(SYS_syslog, 8, NULL, 3);
	C(SYS_syslog, 99, NULL, 0);
	/* Refused by every kernel, which says EPERM or was built without them. */
#define REFUSED(...) do { \
		long r_ = syscall(__VA_ARGS__); \
		P("%s: %s", #__VA_ARGS__, r_ < 0 && (errno == EPERM || errno == ENOSYS) ? "refused" : "not refused"); \
	} while (0)
	REFUSED(SYS_iopl, 3);
	REFUSED(SYS_ioperm, 0, 8, 1);
	REFUSED(SYS_init_module, "", 0, "");
	REFUSED(SYS_finit_module, 0, "", 0);
	REFUSED(SYS_delete_module, "x", 0);
	REFUSED(SYS_kexec_load, 0, 0, NULL, 0);
	REFUSED(SYS_kexec_file_load, 0, 0, 0, "", 0);
	return 0;
}
