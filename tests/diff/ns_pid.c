// A pid namespace as a file: its links, setns, what its ioctls say of numbers.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NS_GET_PARENT 0xb702
#define NS_GET_NSTYPE 0xb703
#define NS_GET_OWNER_UID 0xb704
#define GET_PID_FROM 0x8004b706
#define GET_TGID_FROM 0x8004b707
#define GET_PID_IN 0x8004b708
#define GET_TGID_IN 0x8004b709

static const unsigned long asked[] = {GET_PID_FROM, GET_TGID_FROM, GET_PID_IN, GET_TGID_IN};
static const char *names[] = {"pid from", "tgid from", "pid in", "tgid in"};

static const char *e(long r) { return r < 0 ? strerrorname_np(errno) : "ok"; }

static int ns_fd;

// What each says of NR, which belongs to the process TGID.
static void numbers(const char *whom, long nr, long tgid)
{
    for (int i = 0; i < 4; i++) {
        long r = ioctl(ns_fd, asked[i], nr);
        const char *what = r < 0        ? e(r)
                           : r == (int)nr && r == tgid ? "both"
                           : r == (int)nr ? "itself"
                           : r == tgid  ? "its process"
                                        : "another";
        printf("%s, %s: %s\n", whom, names[i], what);
    }
}

static void *thread(void *arg)
{
    (void)arg;
    numbers("thread", gettid(), getpid());
    return NULL;
}

static ino_t number(const char *path)
{
    struct stat st;
    return stat(path, &st) ? 0 : st.st_ino;
}

static void links(void)
{
    char path[64], self[64] = "", children[64] = "";
    ino_t own = number("/proc/self/ns/pid");
    printf("number: %d\n", own != 0);
    printf("for children: %d\n", own == number("/proc/self/ns/pid_for_children"));
    const char *others[] = {"cgroup", "ipc", "mnt", "net", "time", "user", "uts"};
    for (int i = 0; i < 7; i++) {
        snprintf(path, sizeof path, "/proc/self/ns/%s", others[i]);
        printf("not that of %s: %d\n", others[i], own != number(path));
    }
    printf("read: %d\n", readlink("/proc/self/ns/pid", self, sizeof self - 1) > 0);
    readlink("/proc/self/ns/pid_for_children", children, sizeof children - 1);
    printf("same: %d\n", !strcmp(self, children));
    snprintf(path, sizeof path, "pid:[%lu]", (unsigned long)own);
    printf("shown: %d\n", !strcmp(path, self));
}

static void enter(void)
{
    printf("setns 0: %s\n", e(setns(ns_fd, 0)));
    printf("setns pid: %s\n", e(setns(ns_fd, CLONE_NEWPID)));
    printf("setns uts: %s\n", e(setns(ns_fd, CLONE_NEWUTS)));
    int me = syscall(SYS_pidfd_open, getpid(), 0);
    printf("setns pidfd: %s\n", e(setns(me, CLONE_NEWPID)));
    close(me);
    fflush(stdout);
    pid_t k = fork();
    if (k == 0) {
        if (setresuid(1000, 1000, 1000))
            _exit(1);
        printf("setns as a user: %s\n", e(setns(ns_fd, CLONE_NEWPID)));
        numbers("user", getpid(), getpid());
        fflush(stdout);
        _exit(0);
    }
    waitpid(k, NULL, 0);
}

int main(void)
{
    alarm(20);
    links();
    ns_fd = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    printf("open: %s\n", e(ns_fd));
    printf("type: %d\n", ioctl(ns_fd, NS_GET_NSTYPE) == CLONE_NEWPID);
    printf("parent: %s\n", e(ioctl(ns_fd, NS_GET_PARENT)));
    uid_t uid;
    printf("owner's uid: %s\n", e(ioctl(ns_fd, NS_GET_OWNER_UID, &uid)));
    enter();

    numbers("self", getpid(), getpid());
    numbers("upper half", getpid() | 5L << 32, getpid());
    numbers("none", 0, 0);
    numbers("negative", -1, -1);
    numbers("above all", 0x7fffffff, 0);
    pthread_t th;
    pthread_create(&th, NULL, thread, NULL);
    pthread_join(th, NULL);

    fflush(stdout);
    pid_t k = fork();
    if (k == 0)
        _exit(0);
    siginfo_t si;
    waitid(P_PID, k, &si, WEXITED | WNOWAIT);
    numbers("zombie", k, k);
    waitpid(k, NULL, 0);
    numbers("reaped", k, k);

    int uts = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < 4; i++)
        printf("uts, %s: %s\n", names[i], e(ioctl(uts, asked[i], getpid())));
    return 0;
}
