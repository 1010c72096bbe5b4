// Numbers across nested pid namespaces: whoever shows or takes one uses the caller's.
#include "ns_pid_nested.h"
#include <mqueue.h>
#include <pthread.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

#define GET_PID_FROM 0x8004b706
#define GET_TGID_FROM 0x8004b707
#define GET_PID_IN 0x8004b708
#define GET_TGID_IN 0x8004b709

// How a number looks to one who knows K.
static const char *as(long n, long k)
{
    return n == k ? "the child" : n == getpid() ? "myself" : n == 0 ? "nobody" : "another";
}

// 1. What ns files translate.
static void translated(void)
{
    struct gate in = gate(), out = gate();
    int above = open("/proc/self/ns/pid", O_RDONLY);
    pid_t k = branch(CLONE_NEWPID);
    if (k == 0) {
        SAY("above, pid in", ioctl(above, GET_PID_IN, 1) > 1);
        SAY("above, tgid in", ioctl(above, GET_TGID_IN, 1) > 1);
        long here = ioctl(above, GET_PID_IN, 1);
        SAY("above, pid from", ioctl(above, GET_PID_FROM, here));
        SAY("above, its init from", ioctl(above, GET_PID_FROM, 1));
        open_gate(out);
        pass(in);
        fflush(stdout);
        _exit(0);
    }
    pass(out);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/pid", k);
    int below = open(path, O_RDONLY);
    SAY("below, pid from", ioctl(below, GET_PID_FROM, 1) == k);
    SAY("below, tgid from", ioctl(below, GET_TGID_FROM, 1) == k);
    SAY("below, pid in", ioctl(below, GET_PID_IN, k));
    SAY("below, own in", ioctl(below, GET_PID_IN, getpid()));
    open_gate(in);
    ended("child", k);
}

// 2. Credentials of sockets.
static void say_creds(const char *what, int s, long k)
{
    char c, raw[CMSG_SPACE(sizeof(struct ucred))];
    struct iovec v = {&c, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = raw, .msg_controllen = sizeof raw};
    if (recvmsg(s, &m, 0) < 0) {
        printf("%s: %s\n", what, strerrorname_np(errno));
        return;
    }
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    struct ucred u = {-1, -1, -1};
    if (h)
        memcpy(&u, CMSG_DATA(h), sizeof u);
    printf("%s: from %s %d %d\n", what, as(u.pid, k), u.uid, u.gid);
    fflush(stdout);
}

static long claim(int s, pid_t pid)
{
    char raw[CMSG_SPACE(sizeof(struct ucred))] = {0};
    struct iovec v = {"c", 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = raw, .msg_controllen = sizeof raw};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_CREDENTIALS;
    h->cmsg_len = CMSG_LEN(sizeof(struct ucred));
    struct ucred u = {pid, 0, 0};
    memcpy(CMSG_DATA(h), &u, sizeof u);
    return sendmsg(s, &m, 0);
}

static void sockets(void)
{
    int s[2], one = 1;
    socketpair(AF_UNIX, SOCK_DGRAM, 0, s);
    setsockopt(s[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
    setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
    struct sockaddr_un a = {AF_UNIX, "\0ns_pid_numbers"};
    int l = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(l, (void *)&a, 20);
    listen(l, 5);
    struct gate g = gate(), out = gate();
    pid_t k = branch(CLONE_NEWPID);
    if (k == 0) {
        say_creds("inside", s[1], 0);
        say_creds("inside, claimed", s[1], 0);
        write(s[1], "x", 1);
        SAY("claim 1", claim(s[1], 1));
        SAY("claim 0", claim(s[1], 0));
        SAY("claim 2", claim(s[1], 2));
        pid_t c = branch(0);
        if (c == 0) {
            SAY("claim of child 2", claim(s[1], 2));
            SAY("claim of child 1", claim(s[1], 1));
            fflush(stdout);
            _exit(0);
        }
        ended("inner", c);
        struct ucred u;
        socklen_t n = sizeof u;
        int t = socket(AF_UNIX, SOCK_STREAM, 0);
        SAY("connect", connect(t, (void *)&a, 20));
        getsockopt(t, SOL_SOCKET, SO_PEERCRED, &u, &n);
        printf("peer of inside: %d %d %d\n", u.pid, u.uid, u.gid);
        getsockopt(s[1], SOL_SOCKET, SO_PEERCRED, &u, &n);
        printf("pair inside: %d %d %d\n", u.pid, u.uid, u.gid);
        fflush(stdout);
        open_gate(out);
        pass(g);
        _exit(0);
    }
    write(s[0], "x", 1);
    claim(s[0], getpid());
    pass(out);
    say_creds("outside", s[0], k);
    say_creds("outside, claimed", s[0], k);
    say_creds("outside, of inner", s[0], k);
    say_creds("outside, of inner as init", s[0], k);
    int t = accept(l, NULL, NULL);
    struct ucred u;
    socklen_t n = sizeof u;
    getsockopt(t, SOL_SOCKET, SO_PEERCRED, &u, &n);
    printf("peer of outside: %s\n", as(u.pid, k));
    open_gate(g);
    ended("child", k);
    n = sizeof u;
    getsockopt(t, SOL_SOCKET, SO_PEERCRED, &u, &n);
    printf("peer that is gone: %s\n", as(u.pid, k));
}

// 3. Owners of descriptors, holders of locks.
static void files(void)
{
    int p[2];
    pipe(p);
    struct gate in = gate(), out = gate();
    char name[] = "/tmp/ns_pid_numbers.XXXXXX";
    int fd = mkstemp(name);
    unlink(name);
    fcntl(p[0], F_SETOWN, getpid());
    struct flock whole = {.l_type = F_WRLCK}, first = {.l_type = F_WRLCK, .l_len = 1};
    pid_t k = branch(CLONE_NEWPID);
    if (k == 0) {
        SAY("owner inside", fcntl(p[0], F_GETOWN));
        SAY("set 1", fcntl(p[0], F_SETOWN, 1));
        SAY("owner", fcntl(p[0], F_GETOWN));
        SAY("set 9", fcntl(p[0], F_SETOWN, 9));
        SAY("set group 9", fcntl(p[0], F_SETOWN, -9));
        SAY("set no group", fcntl(p[0], F_SETOWN, -1));
        SAY("owner", fcntl(p[0], F_GETOWN));
        SAY("set 1", fcntl(p[0], F_SETOWN, 1));
        SAY("lock", fcntl(fd, F_SETLK, &first));
        open_gate(out);
        pass(in);
        first.l_type = F_UNLCK;
        fcntl(fd, F_SETLK, &first);
        open_gate(out);
        pass(in);
        struct flock f = whole;
        SAY("getlk", fcntl(fd, F_GETLK, &f));
        printf("held inside by %d type %d\n", f.l_pid, f.l_type);
        fcntl(p[0], F_GETOWN_EX, &(struct f_owner_ex){0});
        struct f_owner_ex x = {F_OWNER_TID, gettid()};
        SAY("set thread", fcntl(p[0], F_SETOWN_EX, &x));
        fflush(stdout);
        open_gate(out);
        pass(in);
        _exit(0);
    }
    pass(out);
    printf("owner outside: %s\n", as(fcntl(p[0], F_GETOWN), k));
    struct flock f = whole;
    fcntl(fd, F_GETLK, &f);
    printf("held by %s\n", as(f.l_pid, k));
    open_gate(in);
    pass(out);
    fcntl(fd, F_SETLK, &whole);
    open_gate(in);
    pass(out);
    struct f_owner_ex x;
    fcntl(p[0], F_GETOWN_EX, &x);
    printf("owner thread: %d %s\n", x.type, as(x.pid, k));
    fflush(stdout);
    open_gate(in);
    ended("child", k);
    fcntl(p[0], F_GETOWN_EX, &x);
    printf("owner that is gone: %d %s\n", x.type, as(x.pid, k));
}

// 4. System V IPC and message queues.
static volatile int told_by = -1;
static void on_told(int s, siginfo_t *i, void *c)
{
    (void)s;
    (void)c;
    told_by = i->si_pid;
}

static void ipc(void)
{
    if (unshare(CLONE_NEWIPC))
        printf("no ipc namespace\n");
    struct gate in = gate(), out = gate();
    int shm = shmget(IPC_PRIVATE, 4096, 0600 | IPC_CREAT);
    int sem = semget(IPC_PRIVATE, 2, 0600 | IPC_CREAT);
    int msg = msgget(IPC_PRIVATE, 0600 | IPC_CREAT);
    shmat(shm, NULL, 0);
    semctl(sem, 0, SETVAL, 5);
    struct {
        long t;
        char c;
    } m = {1, 'x'};
    msgsnd(msg, &m, 1, 0);
    mqd_t q = mq_open("/ns_pid_numbers", O_RDWR | O_CREAT, 0600, NULL);
    struct sigaction a = {.sa_sigaction = on_told, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGUSR1, &a, NULL);
    struct shmid_ds sd;
    struct msqid_ds md;
    pid_t k = branch(CLONE_NEWPID);
    if (k == 0) {
        shmctl(shm, IPC_STAT, &sd);
        printf("shm: %d %d\n", sd.shm_cpid, sd.shm_lpid);
        printf("sem: %d %d\n", semctl(sem, 0, GETPID), semctl(sem, 1, GETPID));
        msgctl(msg, IPC_STAT, &md);
        printf("msg: %d %d\n", md.msg_lspid, md.msg_lrpid);
        shmdt(shmat(shm, NULL, 0));
        struct sembuf up = {1, 1, SEM_UNDO};
        semop(sem, &up, 1);
        msgrcv(msg, &m, 1, 0, 0);
        shmctl(shm, IPC_STAT, &sd);
        printf("shm: %d %d\n", sd.shm_cpid, sd.shm_lpid);
        printf("sem: %d %d\n", semctl(sem, 0, GETPID), semctl(sem, 1, GETPID));
        msgctl(msg, IPC_STAT, &md);
        printf("msg: %d %d\n", md.msg_lspid, md.msg_lrpid);
        struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
        printf("notify: %s\n", e(mq_notify(q, &ev)));
        fflush(stdout);
        open_gate(out);
        pass(in);
        while (told_by == -1)
            usleep(1000);
        printf("told inside by %d\n", told_by);
        fflush(stdout);
        char buf[8192];
        mq_receive(q, buf, sizeof buf, NULL);
        open_gate(out);
        pass(in);
        mq_send(q, "x", 1, 0);
        open_gate(out);
        pass(in);
        _exit(0);
    }
    pass(out);
    shmctl(shm, IPC_STAT, &sd);
    printf("shm: %s, %s\n", as(sd.shm_cpid, k), as(sd.shm_lpid, k));
    printf("sem: %s, %s\n", as(semctl(sem, 0, GETPID), k), as(semctl(sem, 1, GETPID), k));
    msgctl(msg, IPC_STAT, &md);
    printf("msg: %s, %s\n", as(md.msg_lspid, k), as(md.msg_lrpid, k));
    fflush(stdout);
    mq_send(q, "x", 1, 0);
    open_gate(in);
    pass(out);
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    printf("notify: %s\n", e(mq_notify(q, &ev)));
    open_gate(in);
    pass(out);
    while (told_by == -1)
        usleep(1000);
    printf("told outside by %s\n", as(told_by, k));
    fflush(stdout);
    open_gate(in);
    ended("child", k);
    printf("undone: %d\n", semctl(sem, 1, GETVAL));
    shmctl(shm, IPC_STAT, &sd);
    printf("of one gone: %s\n", as(sd.shm_lpid, k));
    mq_unlink("/ns_pid_numbers");
}

// 5. pidfds.
static void info(const char *what, int fd, long k)
{
    char path[64];
    int n[40];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    int c = numbers(path, "Pid:", n);
    printf("%s: Pid %s;", what, c ? as(n[0], k) : "none");
    c = numbers(path, "NSpid:", n);
    printf(" NSpid %d:", c);
    for (int i = 0; i < c; i++)
        printf(" %s", as(n[i], k));
    printf("\n");
    fflush(stdout);
}

static void pidfds(void)
{
    struct gate in = gate(), out = gate();
    int mine = syscall(SYS_pidfd_open, getpid(), 0);
    signal(SIGUSR2, SIG_IGN);
    pid_t k = branch(CLONE_NEWPID);
    if (k == 0) {
        int own = syscall(SYS_pidfd_open, 1, 0);
        SAY("open 2", syscall(SYS_pidfd_open, 2, 0));
        SAY("to the parent", syscall(SYS_pidfd_send_signal, mine, 0, NULL, 0));
        SAY("USR2 to the parent", syscall(SYS_pidfd_send_signal, mine, SIGUSR2, NULL, 0));
        SAY("to itself", syscall(SYS_pidfd_send_signal, own, SIGUSR2, NULL, 0));
        siginfo_t i;
        SAY("waitid", waitid(P_PIDFD, own, &i, WEXITED));
        open_gate(out);
        pass(in);
        _exit(3);
    }
    pass(out);
    int kfd = syscall(SYS_pidfd_open, k, 0);
    info("child", kfd, k);
    info("self", mine, k);
    pid_t other = branch(CLONE_NEWPID | CLONE_NEWNS);
    if (other == 0) {
        mount("proc", "/proc", "proc", 0, NULL);
        info("parent from a namespace below", mine, 0);
        info("brother", kfd, 0);
        SAY("to the brother", syscall(SYS_pidfd_send_signal, kfd, 0, NULL, 0));
        SAY("setns of the brother", setns(kfd, CLONE_NEWPID));
        SAY("setns of the parent", setns(mine, CLONE_NEWPID));
        fflush(stdout);
        _exit(0);
    }
    ended("other", other);
    siginfo_t i = {0};
    open_gate(in);
    SAY("waitid", waitid(P_PIDFD, kfd, &i, WEXITED));
    printf("%s code %d status %d\n", as(i.si_pid, k), i.si_code, i.si_status);
    info("gone", kfd, k);
}

// 6. Calls that take a number.
static void taken(void)
{
    int outside = getpid();
    struct gate in = gate(), out = gate();
    pid_t k = branch(CLONE_NEWPID);
    if (k == 0) {
        struct rlimit r;
        SAY("prlimit 1", prlimit(1, RLIMIT_NOFILE, NULL, &r));
        SAY("prlimit outside", prlimit(outside, RLIMIT_NOFILE, NULL, &r));
        SAY("sched 1", sched_getscheduler(1));
        SAY("sched outside", sched_getscheduler(outside));
        cpu_set_t set;
        SAY("affinity outside", sched_getaffinity(outside, sizeof set, &set));
        errno = 0;
        SAY("priority 1", getpriority(PRIO_PROCESS, 1));
        SAY("priority outside", getpriority(PRIO_PROCESS, outside));
        SAY("priority group outside", getpriority(PRIO_PGRP, outside));
        SAY("priority own group", getpriority(PRIO_PGRP, 0));
        SAY("ioprio outside", syscall(SYS_ioprio_get, 1, outside));
        SAY("kcmp", syscall(SYS_kcmp, 1, 1, 2, 0, 0));
        SAY("kcmp outside", syscall(SYS_kcmp, 1, outside, 2, 0, 0));
        SAY("vm", syscall(SYS_process_vm_readv, outside, NULL, 0, NULL, 0, 0));
        SAY("attach outside", ptrace(PTRACE_ATTACH, outside, 0, 0));
        SAY("robust list outside", syscall(SYS_get_robust_list, outside, &(long){0}, &(long){0}));
        SAY("tgkill", syscall(SYS_tgkill, 1, 1, 0));
        SAY("tgkill outside", syscall(SYS_tgkill, outside, outside, 0));
        SAY("setpgid outside", setpgid(outside, 0));
        struct timespec ts;
        SAY("clock of 1", clock_gettime((~(clockid_t)1) << 3 | 2, &ts));
        SAY("clock of outside", clock_gettime((~(clockid_t)outside) << 3 | 2, &ts));
        open_gate(out);
        pass(in);
        fflush(stdout);
        _exit(0);
    }
    pass(out);
    struct rlimit r;
    SAY("prlimit child", prlimit(k, RLIMIT_NOFILE, NULL, &r));
    SAY("sched child", sched_getscheduler(k));
    SAY("tgkill child", syscall(SYS_tgkill, k, k, 0));
    open_gate(in);
    ended("child", k);
}

// 7. Signals of children.
static volatile int chld_pid, chld_status;
static void on_child(int s, siginfo_t *i, void *c)
{
    (void)s;
    (void)c;
    chld_pid = i->si_pid;
    chld_status = i->si_status;
}

static void children(void)
{
    struct sigaction a = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGCHLD, &a, NULL);
    pid_t k = branch(CLONE_NEWPID);
    if (k == 0) {
        pid_t c = branch(0);
        if (c == 0)
            _exit(4);
        ended("inner", c);
        printf("SIGCHLD of %d status %d\n", chld_pid, chld_status);
        fflush(stdout);
        _exit(5);
    }
    ended("child", k);
    printf("SIGCHLD of %s status %d\n", as(chld_pid, k), chld_status);
    signal(SIGCHLD, SIG_DFL);

    // A parent's death, told to an init.
    struct gate g = gate(), h = gate();
    pid_t p = branch(0);
    if (p == 0) {
        k = branch(CLONE_NEWPID);
        if (k == 0) {
            sigaction(SIGUSR1, &a, NULL);
            prctl(PR_SET_PDEATHSIG, SIGUSR1);
            chld_pid = -1;
            close(g.fd[0]);
            open_gate(g);
            while (chld_pid == -1)
                usleep(1000);
            pass(h);
            printf("death told by %d, ppid %d\n", chld_pid, getppid());
            fflush(stdout);
            _exit(0);
        }
        close(g.fd[1]);
        pass(g);
        usleep(10000);
        _exit(0);
    }
    close(g.fd[1]);
    ended("parent", p);
    open_gate(h);
    char c;
    while (read(g.fd[0], &c, 1) > 0)
        ;

    // A process group across namespaces.
    p = branch(0);
    if (p == 0) {
        setpgid(0, 0);
        sigaction(SIGUSR1, &a, NULL);
        chld_pid = -1;
        k = branch(CLONE_NEWPID);
        if (k == 0) {
            chld_pid = -1;
            SAY("kill 0", kill(0, SIGUSR1));
            printf("inside told by %d\n", chld_pid);
            fflush(stdout);
            _exit(0);
        }
        ended("child", k);
        printf("outside told by %d\n", chld_pid);
        fflush(stdout);
        _exit(0);
    }
    ended("leader", p);
}

// 8. Tracing.
static void traced(void)
{
    struct gate g = gate();
    pid_t k = branch(CLONE_NEWPID);
    if (k == 0) {
        SAY("traceme", ptrace(PTRACE_TRACEME, 0, 0, 0));
        raise(SIGSTOP);
        pid_t c = branch(0);
        if (c == 0)
            _exit(9);
        printf("forked %d\n", c);
        ended("inner", c);
        fflush(stdout);
        _exit(6);
    }
    int st;
    // A stop it sends itself is for nobody: init is protected, but its tracer sees it.
    pid_t got = waitpid(k, &st, 0);
    printf("stopped: %s %x\n", as(got, k), st);
    if (WIFEXITED(st))
        return;
    siginfo_t si;
    ptrace(PTRACE_GETSIGINFO, k, 0, &si);
    printf("by %d code %d\n", si.si_pid, si.si_code);
    SAY("options", ptrace(PTRACE_SETOPTIONS, k, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACEEXIT));
    ptrace(PTRACE_CONT, k, 0, 0);
    pid_t inner = 0;
    for (;;) {
        got = waitpid(-1, &st, __WALL);
        if (got < 0)
            break;
        if (WIFSTOPPED(st) && st >> 16 == PTRACE_EVENT_FORK) {
            unsigned long m;
            ptrace(PTRACE_GETEVENTMSG, got, 0, &m);
            inner = m;
            printf("fork of one that is %s inside\n", inner > 2 ? "another number" : "the same");
        } else if (WIFSTOPPED(st) && got != k && got != inner && !inner) {
            inner = got;
        }
        if (WIFEXITED(st) && got == k) {
            printf("child exit %d\n", WEXITSTATUS(st));
            break;
        }
        if (WIFEXITED(st))
            printf("inner: %d exit %d\n", got == inner, WEXITSTATUS(st));
        else
            ptrace(PTRACE_CONT, got, 0, WSTOPSIG(st) == SIGCHLD ? SIGCHLD : 0);
        fflush(stdout);
    }
    (void)g;
}

// 9. Terminals.
static void terminals(void)
{
    pid_t p = branch(0);
    if (p) {
        ended("session", p);
        return;
    }
    setsid();
    int m = posix_openpt(O_RDWR | O_NOCTTY);
    unlockpt(m);
    int s = open(ptsname(m), O_RDWR);
    if (s < 0) {
        printf("no terminal: %s\n", strerrorname_np(errno));
        fflush(stdout);
        _exit(0);
    }
    SAY("ctty", ioctl(s, TIOCSCTTY, 0));
    SAY("pgrp", tcgetpgrp(s) == getpid());
    signal(SIGTTOU, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    struct gate in = gate(), out = gate();
    pid_t k = branch(CLONE_NEWPID);
    if (k == 0) {
        SAY("pgrp inside", tcgetpgrp(s));
        SAY("sid inside", tcgetsid(s));
        SAY("set 9", tcsetpgrp(s, 9));
        SAY("setpgid", setpgid(0, 0));
        SAY("set 1", tcsetpgrp(s, 1));
        SAY("pgrp inside", tcgetpgrp(s));
        open_gate(out);
        pass(in);
        fflush(stdout);
        _exit(0);
    }
    pass(out);
    printf("pgrp: %s\n", as(tcgetpgrp(s), k));
    printf("sid: %s\n", as(tcgetsid(s), k));
    fflush(stdout);
    open_gate(in);
    ended("child", k);
    fflush(stdout);
    _exit(0);
}

// 10. Certain numbers.
struct args {
    unsigned long flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        set_tid_size, cgroup;
};
static void chosen(const char *what, unsigned long flags, int *tids, unsigned long n)
{
    int there = -1, here = -1;
    fflush(stdout);
    struct args a = {.flags = flags | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID,
                     .exit_signal = SIGCHLD,
                     .parent_tid = (long)&here,
                     .child_tid = (long)&there,
                     .set_tid = (long)tids,
                     .set_tid_size = n};
    pid_t k = syscall(SYS_clone3, &a, sizeof a);
    if (k < 0) {
        printf("%s: %s\n", what, strerrorname_np(errno));
        fflush(stdout);
        return;
    }
    if (k == 0) {
        printf("%s: pid %d tid word %d\n", what, getpid(), there);
        fflush(stdout);
        _exit(0);
    }
    waitpid(k, NULL, 0);
    printf("%s: here %d word %d\n", what, k, here);
    fflush(stdout);
}

static void set_tids(void)
{
    chosen("100", 0, (int[]){100}, 1);
    chosen("0", 0, (int[]){0}, 1);
    chosen("-5", 0, (int[]){-5}, 1);
    chosen("too high", 0, (int[]){1 << 30}, 1);
    chosen("1", 0, (int[]){1}, 1);
    chosen("2 levels", 0, (int[]){101, 102}, 2);
    chosen("new, 1", CLONE_NEWPID, (int[]){1}, 1);
    chosen("new, 2", CLONE_NEWPID, (int[]){2}, 1);
    chosen("new, 1 and 200", CLONE_NEWPID, (int[]){1, 200}, 2);
    chosen("new, 1 and 1", CLONE_NEWPID, (int[]){1, 1}, 2);
    chosen("none", 0, (int[]){1}, 0);
    chosen("33", 0, (int[]){1}, 33);
    chosen("nowhere", 0, (int *)8, 1);
    pid_t k = branch(0);
    if (k == 0)
        _exit(0);
    printf("after: %d\n", k);
    ended("after", k);
    char text[32] = "";
    int fd = open("/proc/sys/kernel/ns_last_pid", O_RDWR);
    printf("ns_last_pid: %s\n", e(fd));
    SAY("read", read(fd, text, 30));
    printf("%s", text);
    SAY("write", pwrite(fd, "299", 3, 0));
    SAY("write bad", pwrite(fd, "x", 1, 0));
    SAY("write negative", pwrite(fd, "-1", 2, 0));
    SAY("write too high", pwrite(fd, "99999999", 8, 0));
    k = branch(0);
    if (k == 0)
        _exit(0);
    printf("after: %d\n", k);
    ended("after", k);
    k = branch(CLONE_NEWPID);
    if (k == 0) {
        memset(text, 0, sizeof text);
        lseek(fd, 0, SEEK_SET);
        SAY("read in another", read(fd, text, 30));
        printf("%s", text);
        fflush(stdout);
        _exit(0);
    }
    ended("another", k);
}

static void all(void)
{
    printf("-- translated\n");
    translated();
    printf("-- sockets\n");
    sockets();
    printf("-- files\n");
    files();
    printf("-- ipc\n");
    ipc();
    printf("-- pidfds\n");
    pidfds();
    printf("-- taken\n");
    taken();
    printf("-- children\n");
    children();
    printf("-- traced\n");
    traced();
    printf("-- terminals\n");
    terminals();
    printf("-- set_tid\n");
    set_tids();
}

int main(void)
{
    alarm(60);
    be_root();
    in_namespace(all);
    return 0;
}
