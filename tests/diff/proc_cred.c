/* User and group ids: set*id, supplementary groups, fsuid, capabilities on change and exec. */
#include "diff.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>

static void ids(int line)
{
	uid_t r, e, s;
	gid_t a, b, c;
	getresuid(&r, &e, &s);
	getresgid(&a, &b, &c);
	say(line, "uid %u %u %u gid %u %u %u", r, e, s, a, b, c);
}

static void caps(int line)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];
	if (syscall(SYS_capget, &h, d))
		say(line, "capget %s", ename(errno));
	else
		say(line, "caps e %x.%x p %x.%x i %x.%x", d[1].effective, d[0].effective, d[1].permitted, d[0].permitted,
		    d[1].inheritable, d[0].inheritable);
}

static long setcaps(unsigned e, unsigned p, unsigned i)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = { { e, p, i }, { 0, 0, 0 } };
	return syscall(SYS_capset, &h, d);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		ids(__LINE__);
		caps(__LINE__);
		P("ambient chown %d no_new_privs %d", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0),
		  prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
		return 0;
	}
	gid_t g[40], in[3] = { 5, 6, 7 };
	int n;

	ids(__LINE__);
	caps(__LINE__);
	n = getgroups(40, g);
	P("groups %d", n);
	R(setgroups(3, in));
	R(getgroups(0, NULL));
	R(getgroups(2, g));
	R(getgroups(3, g));
	P("%u %u %u", g[0], g[1], g[2]);
	R(getgroups(-1, g));
	R(syscall(SYS_setgroups, 65537, g));
	R(syscall(SYS_setgroups, -1, g));
	R(setgroups(2, BAD));
	R(getgroups(40, BAD));
	R(setgroups(0, NULL));
	R(syscall(SYS_setuid, -1));
	R(syscall(SYS_setresuid, -1, -1, -1));
	R(getresuid(BAD, BAD, BAD));
	CHILD({ R(setuid(1000)); ids(__LINE__); caps(__LINE__); R(setuid(0)); R(setgroups(0, NULL)); });
	CHILD({ R(seteuid(1000)); ids(__LINE__); caps(__LINE__); R(seteuid(0)); ids(__LINE__); caps(__LINE__); });
	CHILD({ R(setreuid(1000, 1001)); ids(__LINE__); R(setreuid(1001, -1)); ids(__LINE__); R(setreuid(5, -1)); });
	CHILD({ R(setresuid(1, 2, 3)); ids(__LINE__); R(setresuid(3, 1, 2)); ids(__LINE__); R(setresuid(-1, 4, -1)); R(setuid(3)); ids(__LINE__); });
	CHILD({ R(setreuid(-1, 1000)); ids(__LINE__); R(setreuid(1000, 0)); ids(__LINE__); });
	CHILD({ R(setgid(1000)); ids(__LINE__); R(setgid(0)); R(setregid(5, 6)); ids(__LINE__); R(setresgid(-1, 7, 8)); ids(__LINE__); });
	CHILD({ setuid(1000); R(setgid(5)); R(setregid(0, -1)); R(setresgid(5, -1, -1)); R(setegid(0)); });
	CHILD({ setresuid(0, 1000, 0); caps(__LINE__); R(setresuid(1000, 1000, 1000)); caps(__LINE__); });
	/* keepcaps */
	CHILD({ R(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)); R(setuid(1000)); caps(__LINE__); R(setcaps(1, 1, 0)); caps(__LINE__); R(setcaps(3, 3, 0)); });
	CHILD({ R(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)); });
	/* fsuid */
	R(setfsuid(1000));
	R(setfsuid(-1));
	R(setfsgid(1000));
	R(setfsgid(-1));
	caps(__LINE__);
	put("byfs", "");
	struct stat s;
	stat("byfs", &s);
	P("owner by fsuid %u %u", s.st_uid, s.st_gid);
	R(setfsuid(0));
	R(setfsgid(0));
	caps(__LINE__);

	/* capset */
	struct __user_cap_header_struct h = { 0x1234, 0 };
	struct __user_cap_data_struct d[2];
	R(syscall(SYS_capget, &h, NULL));
	P("version %x", h.version);
	h.version = 0x1234;
	R(syscall(SYS_capget, &h, d));
	h.pid = 99999;
	R(syscall(SYS_capget, &h, d));
	h.pid = -1;
	R(syscall(SYS_capget, &h, d));
	h.pid = 1;
	R(syscall(SYS_capget, &h, BAD));
	R(syscall(SYS_capget, BAD, d));
	h.pid = 99999;
	R(syscall(SYS_capset, &h, d));
	h = (struct __user_cap_header_struct){ _LINUX_CAPABILITY_VERSION_1, 0 };
	R(syscall(SYS_capget, &h, d));
	P("v1 effective %x", d[0].effective);
	CHILD({
		R(setcaps(1 << CAP_CHOWN, 1 << CAP_CHOWN | 1 << CAP_KILL, 0));
		caps(__LINE__);
		R(setcaps(1 << CAP_SETUID, 1 << CAP_CHOWN, 0));
		R(setcaps(1 << CAP_KILL, 1 << CAP_CHOWN | 1 << CAP_KILL, 1 << CAP_KILL));
		caps(__LINE__);
		R(setuid(5));
		R(prctl(PR_CAPBSET_DROP, 1, 0, 0, 0));
		execl("/t/proc_cred", "x", "again", NULL);
	});
	/* ambient */
	CHILD({
		R(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
		R(setcaps(1 << CAP_CHOWN | 1 << CAP_SETUID, 1 << CAP_CHOWN | 1 << CAP_SETUID, 1 << CAP_CHOWN));
		R(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
		R(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SETUID, 0, 0));
		R(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0));
		R(prctl(PR_CAP_AMBIENT, 99, CAP_CHOWN, 0, 0));
		R(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
		R(setuid(1000));
		caps(__LINE__);
		execl("/t/proc_cred", "x", "again", NULL);
	});
	CHILD({ R(prctl(PR_CAPBSET_DROP, CAP_CHOWN, 0, 0, 0)); R(prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0));
		R(prctl(PR_CAPBSET_DROP, 99, 0, 0, 0)); caps(__LINE__); execl("/t/proc_cred", "x", "again", NULL); });
	CHILD({ setgid(7); setuid(1000); execl("/t/proc_cred", "x", "again", NULL); });
	CHILD({ seteuid(1000); execl("/t/proc_cred", "x", "again", NULL); });
	CHILD({ setreuid(1000, 0); execl("/t/proc_cred", "x", "again", NULL); });
	/* set-id programs */
	int in_ = open("/t/proc_cred", O_RDONLY), out = open("/root/setid", O_WRONLY | O_CREAT, 0755);
	char buf[65536];
	ssize_t k;
	chmod("/root", 0755);
	while ((k = read(in_, buf, sizeof buf)) > 0)
		write(out, buf, k);
	close(out);
	chown("/root/setid", 33, 44);
	chmod("/root/setid", 06755);
	CHILD({ execl("/root/setid", "x", "again", NULL); });
	CHILD({ setgid(1000); setuid(1000); execl("/root/setid", "x", "again", NULL); });
	CHILD({ setgid(1000); setuid(1000); prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); execl("/root/setid", "x", "again", NULL); });
	chown("/root/setid", 0, 0);
	chmod("/root/setid", 04755);
	CHILD({ setgid(1000); setuid(1000); execl("/root/setid", "x", "again", NULL); });
	/* kill needs the right user */
	pid_t t = fork();
	if (!t) {
		setuid(1000);
		for (;;)
			pause();
	}
	settle(t, t);
	CHILD({ setuid(1001); R(kill(t, 0)); R(kill(t, SIGTERM)); R(kill(1, 0)); R(kill(-1, SIGTERM)); });
	CHILD({ setuid(1000); R(kill(t, 0)); R(kill(t, SIGTERM)); });
	reap(__LINE__, "target", t);
	return 0;
}
