// Nested pid namespaces: numbers, init, orphans, the end, unshare and setns.
#include "ns_pid_nested.h"
#include <dirent.h>
#include <pthread.h>
#include <sys/ioctl.h>

#define NS_GET_USERNS 0xb701
#define NS_GET_PARENT 0xb702

static void *nothing(void *arg) { return arg; }

static volatile int caught, caught_pid, caught_code;
static void on_signal(int s, siginfo_t *i, void *c)
{
    (void)c;
    caught = s;
    caught_pid = i->si_pid;
    caught_code = i->si_code;
}
static void catch(int s)
{
    struct sigaction a = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(s, &a, NULL);
}

// 1. What one is in a new namespace.
static void basics(void)
{
    struct gate in = gate(), out = gate();
    pid_t k = branch(CLONE_NEWPID);
    if (k == 0) {
        printf("init: pid %d tid %d ppid %d pgrp %d sid %d\n", getpid(), gettid(), getppid(),
               getpgrp(), getsid(0));
        SAY("getpgid 0", getpgid(0));
        SAY("getpgid 1", getpgid(1));
        SAY("getsid 1", getsid(1));
        SAY("getpgid 2", getpgid(2));
        SAY("kill 2", kill(2, 0));
        SAY("kill -1", kill(-1, 0));
        pid_t c = branch(0);
        if (c == 0) {
            printf("child: pid %d ppid %d pgrp %d\n", getpid(), getppid(), getpgrp());
            SAY("kill 1", kill(1, 0));
            SAY("kill -1 of child", kill(-1, 0));
            SAY("setpgid", setpgid(0, 0));
            printf("pgrp %d\n", getpgrp());
            pid_t g = branch(0);
            if (g == 0) {
                printf("grandchild: pid %d ppid %d pgrp %d\n", getpid(), getppid(), getpgrp());
                SAY("setsid", setsid());
                printf("pgrp %d sid %d\n", getpgrp(), getsid(0));
                fflush(stdout);
                _exit(5);
            }
            ended("grandchild", g);
            SAY("wait4 0", waitpid(0, NULL, 0));
            SAY("wait4 -2", waitpid(-2, NULL, 0));
            fflush(stdout);
            _exit(4);
        }
        printf("forked: %d\n", c);
        SAY("wait in own group", waitpid(0, NULL, WNOHANG) < 0);
        ended("child", c);
        SAY("setpgid of init", setpgid(0, 0));
        printf("pgrp %d\n", getpgrp());
        SAY("setsid of init", setsid());
        open_gate(out);
        pass(in);
        SAY("thread", 0 * pthread_create(&(pthread_t){0}, NULL, nothing, NULL));
        fflush(stdout);
        _exit(3);
    }
    pass(out);
    char path[64];
    int nr[40];
    snprintf(path, sizeof path, "/proc/%d/status", k);
    const char *names[] = {"NStgid:", "NSpid:", "NSpgid:", "NSsid:"};
    for (int i = 0; i < 4; i++) {
        int n = numbers(path, names[i], nr);
        printf("%s %d levels, here itself: %d, inside %d\n", names[i], n, nr[n - 2] == k,
               n > 1 ? nr[n - 1] : -1);
    }
    int mine[40];
    int n = numbers("/proc/self/status", "NSpid:", mine);
    printf("own levels: %d\n", n);
    SAY("setpgid of it", setpgid(k, k));
    SAY("getpgid of it", getpgid(k) == k);
    open_gate(in);
    ended("init", k);
}

// 2. Signals to init.
static void signals(void)
{
    struct gate in = gate(), out = gate();
    pid_t k = branch(CLONE_NEWPID);
    if (k == 0) {
        catch(SIGUSR1);
        SAY("kill self TERM", kill(1, SIGTERM));
        SAY("kill self KILL", kill(1, SIGKILL));
        SAY("kill self STOP", kill(1, SIGSTOP));
        SAY("raise ABRT", raise(SIGABRT));
        pid_t c = branch(0);
        if (c == 0) {
            SAY("child TERM", kill(1, SIGTERM));
            SAY("child KILL", kill(1, SIGKILL));
            SAY("child STOP", kill(1, SIGSTOP));
            SAY("child tkill KILL", syscall(SYS_tkill, 1, SIGKILL));
            SAY("child USR1", kill(1, SIGUSR1));
            fflush(stdout);
            _exit(0);
        }
        ended("child", c);
        printf("caught %d from %d code %d\n", caught == SIGUSR1, caught_pid, caught_code);
        fflush(stdout);
        caught = 0;
        open_gate(out);
        pass(in);
        printf("caught %d from %d code %d\n", caught == SIGUSR1, caught_pid, caught_code);
        catch(SIGRTMIN);
        fflush(stdout);
        caught = 0;
        open_gate(out);
        pass(in);
        printf("caught %d from %d code %d\n", caught == SIGRTMIN, caught_pid, caught_code);
        fflush(stdout);
        open_gate(out);
        for (;;)
            pause();
    }
    pass(out);
    SAY("parent TERM", kill(k, SIGTERM));
    SAY("parent INT", kill(k, SIGINT));
    SAY("parent USR1", kill(k, SIGUSR1));
    open_gate(in);
    pass(out);
    SAY("parent queue", sigqueue(k, SIGRTMIN, (union sigval){.sival_int = 7}));
    open_gate(in);
    pass(out);
    SAY("parent HUP", kill(k, SIGHUP));
    SAY("parent STOP", kill(k, SIGSTOP));
    int st = 0;
    waitpid(k, &st, WUNTRACED);
    printf("stopped: %d\n", WIFSTOPPED(st));
    SAY("parent CONT", kill(k, SIGCONT));
    waitpid(k, &st, WCONTINUED);
    printf("continued: %d\n", WIFCONTINUED(st));
    SAY("parent KILL", kill(k, SIGKILL));
    ended("init", k);
}

// 3. Orphans go to init.
static void orphans(void)
{
    pid_t k = branch(CLONE_NEWPID);
    if (k == 0) {
        struct gate g = gate();
        pid_t c = branch(0);
        if (c == 0) {
            pid_t o = branch(0);
            if (o == 0) {
                pass(g);
                printf("orphan: pid %d ppid %d\n", getpid(), getppid());
                fflush(stdout);
                _exit(6);
            }
            _exit(0);
        }
        ended("child", c);
        open_gate(g);
        ended("orphan", 3);
        SAY("no more", waitpid(-1, NULL, 0));
        _exit(0);
    }
    ended("init", k);
}

// 4. The end of init is the end of all.
static void end_of_all(void)
{
    struct gate all = gate();
    pid_t k = branch(CLONE_NEWPID);
    if (k == 0) {
        signal(SIGTERM, SIG_IGN);
        for (int i = 0; i < 5; i++)
            if (branch(0) == 0) {
                if (i % 2)
                    setsid();
                branch(0);
                if (i == 4 && branch(CLONE_NEWPID) == 0)
                    branch(0);
                open_gate(all);
                for (;;)
                    pause();
            }
        for (int i = 0; i < 12; i++)
            pass(all);
        // A zombie that nobody waits for.
        if (branch(0) == 0)
            _exit(9);
        usleep(20000);
        printf("init goes\n");
        fflush(stdout);
        _exit(8);
    }
    close(all.fd[1]);
    ended("init", k);
    char c;
    while (read(all.fd[0], &c, 1) > 0)
        ;
    printf("nobody holds the pipe\n");
    SAY("nobody left", waitpid(-1, NULL, 0));
}

// 5. unshare: for children only.
static void unshared(void)
{
    char text[64];
    pid_t k = branch(0);
    if (k == 0) {
        pid_t before = getpid();
        SAY("unshare", unshare(CLONE_NEWPID));
        printf("same pid: %d\n", getpid() == before);
        SAY("link before", readlink("/proc/self/ns/pid_for_children", text, 60) > 0 ? 1 : -1);
        SAY("open before", open("/proc/self/ns/pid_for_children", O_RDONLY));
        SAY("unshare again", unshare(CLONE_NEWPID));
        SAY("clone NEWPID", branch(CLONE_NEWPID));
        pthread_t th;
        printf("thread: %s\n", strerrorname_np(pthread_create(&th, NULL, nothing, NULL)));
        SAY("clone PARENT", branch(CLONE_PARENT | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM));
        struct gate g = gate(), h = gate();
        pid_t first = branch(0);
        if (first == 0) {
            printf("first: pid %d ppid %d\n", getpid(), getppid());
            fflush(stdout);
            open_gate(h);
            pass(g);
            _exit(1);
        }
        pass(h);
        printf("number here is another: %d\n", first > 1);
        printf("namespaces differ: %d\n",
               ino_of("/proc/self/ns/pid") != ino_of("/proc/self/ns/pid_for_children"));
        pid_t second = branch(0);
        if (second == 0) {
            printf("second: pid %d ppid %d\n", getpid(), getppid());
            pid_t third = branch(0);
            if (third == 0) {
                printf("third: pid %d ppid %d\n", getpid(), getppid());
                fflush(stdout);
                _exit(0);
            }
            ended("third", third);
            fflush(stdout);
            _exit(2);
        }
        ended("second", second);
        pid_t v = vfork();
        if (v == 0)
            _exit(getpid());
        ended("vfork", v);
        int st;
        open_gate(g);
        ended("first", first);
        SAY("fork after the end", branch(0));
        SAY("vfork after the end", branch(CLONE_VFORK | CLONE_VM));
        SAY("wait", waitpid(-1, &st, 0));
        int own = open("/proc/self/ns/pid", O_RDONLY);
        SAY("setns back", setns(own, CLONE_NEWPID));
        pid_t again = branch(0);
        if (again == 0)
            _exit(getppid() == before ? 7 : 8);
        ended("fork after setns", again);
        SAY("unshare once more", unshare(CLONE_NEWPID));
        again = branch(0);
        if (again == 0)
            _exit(getpid());
        ended("fork in it", again);
        fflush(stdout);
        _exit(0);
    }
    ended("unsharer", k);
}

// 6. setns into one below.
static void entered(void)
{
    struct gate in = gate(), out = gate();
    int above = open("/proc/self/ns/pid", O_RDONLY);
    pid_t k = branch(CLONE_NEWPID);
    if (k == 0) {
        SAY("setns to one above", setns(above, CLONE_NEWPID));
        SAY("parent of one above", ioctl(above, NS_GET_PARENT) < 0);
        int own = open("/proc/self/ns/pid", O_RDONLY);
        (void)own;
        open_gate(out);
        pass(in);
        // Children that came from outside are not ours.
        SAY("wait", waitpid(-1, NULL, WNOHANG));
        SAY("kill the stranger", kill(2, 0));
        open_gate(out);
        pass(in);
        fflush(stdout);
        _exit(0);
    }
    pass(out);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/pid", k);
    int below = open(path, O_RDONLY);
    printf("open: %s\n", e(below));
    int parent = ioctl(below, NS_GET_PARENT);
    struct stat a, b;
    printf("parent: %s, ours: %d\n", e(parent),
           !fstat(parent, &a) && !fstat(above, &b) && a.st_ino == b.st_ino);
    int user = ioctl(below, NS_GET_USERNS);
    printf("owner: %s, ours: %d\n", e(user),
           !fstat(user, &a) && a.st_ino == ino_of("/proc/self/ns/user"));
    SAY("setns", setns(below, CLONE_NEWPID));
    printf("children's: %d\n", ino_of("/proc/self/ns/pid_for_children") == ino_of(path));
    struct gate g = gate(), h = gate();
    pid_t s = branch(0);
    if (s == 0) {
        printf("stranger: pid %d ppid %d\n", getpid(), getppid());
        fflush(stdout);
        open_gate(h);
        pass(g);
        _exit(11);
    }
    pass(h);
    open_gate(in);
    pass(out);
    int pfd = syscall(SYS_pidfd_open, getpid(), 0);
    SAY("setns by pidfd", setns(pfd, CLONE_NEWPID));
    int kfd = syscall(SYS_pidfd_open, k, 0);
    SAY("setns by its pidfd", setns(kfd, CLONE_NEWPID));
    open_gate(in);
    usleep(20000);
    int st;
    // Init waits for the stranger, whom we have to wait for.
    printf("init gone: %d\n", waitpid(k, &st, WNOHANG) != 0);
    ended("stranger", s);
    ended("init", k);
    SAY("fork there", branch(0));
    SAY("setns back", setns(above, 0));
    pid_t f = branch(0);
    if (f == 0)
        _exit(0);
    ended("fork here", f);
}

// 7. proc shows the namespace of the mounter.
static void list(const char *what)
{
    DIR *d = opendir("/proc");
    int n[64], c = 0;
    for (struct dirent *x; d && (x = readdir(d));)
        if (x->d_name[0] >= '0' && x->d_name[0] <= '9' && c < 64)
            n[c++] = atoi(x->d_name);
    if (d)
        closedir(d);
    printf("%s:", what);
    for (int i = 0; i < c; i++)
        printf(" %d", n[i]);
    printf("\n");
}

static void mounted(void)
{
    pid_t k = branch(CLONE_NEWPID | CLONE_NEWNS);
    if (k == 0) {
        char text[64] = "";
        int nr[40];
        printf("outer self is not 1: %d\n",
               readlink("/proc/self", text, 60) > 0 && strcmp(text, "1"));
        int n = numbers("/proc/self/status", "NSpid:", nr);
        printf("outer levels %d, last %d, first is self: %d\n", n, nr[n - 1], nr[0] == atoi(text));
        SAY("mount", mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
        memset(text, 0, sizeof text);
        readlink("/proc/self", text, 60);
        printf("self: %s\n", text);
        memset(text, 0, sizeof text);
        readlink("/proc/thread-self", text, 60);
        printf("thread-self: %s\n", text);
        struct gate g = gate(), h = gate();
        pid_t c = branch(CLONE_NEWPID);
        if (c == 0) {
            memset(text, 0, sizeof text);
            readlink("/proc/self", text, 60);
            printf("self of one below: %s\n", text);
            n = numbers("/proc/self/status", "NSpid:", nr);
            printf("levels %d: %d %d\n", n, nr[0], nr[1]);
            n = numbers("/proc/self/status", "PPid:", nr);
            printf("ppid %d\n", nr[0]);
            fflush(stdout);
            open_gate(h);
            pass(g);
            _exit(0);
        }
        pass(h);
        list("all");
        n = numbers("/proc/1/status", "NSpid:", nr);
        printf("levels of 1: %d\n", n);
        n = numbers("/proc/1/status", "PPid:", nr);
        printf("ppid of 1: %d\n", nr[0]);
        n = numbers("/proc/2/status", "NStgid:", nr);
        printf("levels of 2: %d: %d %d\n", n, nr[0], nr[1]);
        int fd = open("/proc/2/stat", O_RDONLY);
        char line[256] = "";
        (void)!read(fd, line, 255);
        int a, ppid, pgrp, sid;
        char name[64], state;
        sscanf(line, "%d %s %c %d %d %d", &a, name, &state, &ppid, &pgrp, &sid);
        printf("stat: %d %s %d %d %d\n", a, name, ppid, pgrp, sid);
        open_gate(g);
        ended("below", c);
        list("after");
        fflush(stdout);
        _exit(0);
    }
    ended("mounter", k);

    // From outside, a proc of a namespace one is not in.
    struct gate g = gate(), h = gate();
    k = branch(0);
    if (k == 0) {
        SAY("unshare", unshare(CLONE_NEWPID | CLONE_NEWNS));
        pid_t c = branch(0);
        if (c == 0) {
            open_gate(h);
            pass(g);
            _exit(0);
        }
        pass(h);
        SAY("mount", mount("proc", "/proc", "proc", 0, NULL));
        char text[64] = "";
        SAY("self", readlink("/proc/self", text, 60));
        SAY("thread-self", readlink("/proc/thread-self", text, 60));
        SAY("stat self", open("/proc/self/stat", O_RDONLY));
        list("theirs");
        int nr[8];
        numbers("/proc/1/status", "PPid:", nr);
        printf("ppid of 1: %d\n", nr[0]);
        open_gate(g);
        ended("child", c);
        list("empty");
        SAY("opened after", open("/proc/1/status", O_RDONLY));
        fflush(stdout);
        _exit(0);
    }
    ended("outside", k);
}

// 8. How deep.
static void deep(int level)
{
    pid_t k = branch(CLONE_NEWPID);
    if (k < 0) {
        printf("too deep: %s, enough: %d\n", strerrorname_np(errno), level > 28);
        SAY("unshare too", unshare(CLONE_NEWPID));
        fflush(stdout);
        return;
    }
    if (k == 0) {
        if (getpid() != 1 || getppid() != 0)
            printf("level %d: %d %d\n", level, getpid(), getppid());
        deep(level + 1);
        _exit(0);
    }
    waitpid(k, NULL, 0);
}

static void all(void)
{
    printf("-- basics\n");
    basics();
    printf("-- signals\n");
    signals();
    printf("-- orphans\n");
    orphans();
    printf("-- end\n");
    end_of_all();
    printf("-- unshare\n");
    unshared();
    printf("-- setns\n");
    entered();
    printf("-- proc\n");
    mounted();
    printf("-- depth\n");
    deep(1);
}

int main(void)
{
    alarm(60);
    SAY("without rights", branch(CLONE_NEWPID) < 0 ? -1 : 0);
    SAY("unshare without rights", unshare(CLONE_NEWPID));
    be_root();
    SAY("with THREAD", syscall(SYS_clone, CLONE_NEWPID | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, 0));
    in_namespace(all);
    return 0;
}
