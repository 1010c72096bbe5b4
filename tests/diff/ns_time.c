// Time namespaces: offsets, who is in which, and all that shows or takes a time.
#include "ns_pid_nested.h"
#include <linux/futex.h>
#include <linux/time_types.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/sysinfo.h>
#include <sys/timerfd.h>
#include <time.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#define NS_GET_USERNS 0xb701
#define NS_GET_PARENT 0xb702
#define NS_GET_NSTYPE 0xb703

#define DAY 86400L

// Clocks without namespaces, for comparison.
static struct timespec base[12];

static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW,
                                   CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME};
static const char *clock_names[] = {"realtime", "monotonic", "raw", "realtime coarse",
                                    "monotonic coarse", "boottime"};

static long days(time_t now, time_t then)
{
    long d = now - then;
    return d >= 0 ? (d + DAY / 2) / DAY : -((-d + DAY / 2) / DAY);
}

static void note(void)
{
    for (int i = 0; i < 6; i++)
        clock_gettime(clocks[i], &base[i]);
}

// How many days each clock is from what was noted: read by the vDSO and by the call.
static void tell(const char *who)
{
    printf("%s:", who);
    for (int i = 0; i < 6; i++) {
        struct timespec a, b;
        clock_gettime(clocks[i], &a);
        syscall(SYS_clock_gettime, clocks[i], &b);
        printf(" %s %ld %ld", clock_names[i], days(a.tv_sec, base[i].tv_sec),
               days(b.tv_sec, base[i].tv_sec));
    }
    printf("\n");
    fflush(stdout);
}

static void offsets(const char *what, const char *text)
{
    int fd = open("/proc/self/timens_offsets", O_WRONLY);
    long r = write(fd, text, strlen(text));
    printf("%s: %s\n", what, r == (long)strlen(text) ? "all" : r < 0 ? strerrorname_np(errno) : "some");
    close(fd);
    fflush(stdout);
}

static void show(const char *what)
{
    char text[200] = "";
    int fd = open("/proc/self/timens_offsets", O_RDONLY);
    (void)!read(fd, text, 199);
    close(fd);
    printf("%s:\n%s", what, text);
    fflush(stdout);
}

// 1. What may be written.
static void written(void)
{
    pid_t k = branch(0);
    if (k) {
        ended("written", k);
        return;
    }
    struct stat st;
    stat("/proc/self/timens_offsets", &st);
    printf("mode %o\n", st.st_mode);
    show("first");
    offsets("in the first", "monotonic 1 0\n");
    SAY("unshare", unshare(CLONE_NEWTIME));
    printf("differ: %d\n", ino_of("/proc/self/ns/time") != ino_of("/proc/self/ns/time_for_children"));
    show("new");
    offsets("nothing", "");
    offsets("empty line", "\n");
    offsets("one word", "monotonic\n");
    offsets("two words", "monotonic 1\n");
    offsets("no number", "monotonic x 0\n");
    offsets("bad clock", "realtime 1 0\n");
    offsets("clock 0", "0 1 0\n");
    offsets("much", "monotonic 1 1000000000\n");
    offsets("negative nsec", "monotonic 1 -1\n");
    offsets("before its beginning", "monotonic -100000000000 0\n");
    offsets("just before", "monotonic -900000000 0\n");
    offsets("too far", "boottime 9223372037 0\n");
    offsets("half too far", "boottime 4611686019 0\n");
    offsets("far", "boottime 4600000000 0\n");
    show("far");
    offsets("no newline", "monotonic 5 6");
    offsets("numbers", "1 7 8\n7 9 10\n");
    show("numbers");
    offsets("twice", "1 7 8\n1 9 10\n");
    show("twice");
    offsets("spaces", "  boottime \t 3   4  \n");
    offsets("more words", "boottime 3 4 5\n");
    offsets("one good, one bad", "monotonic 77 0\nboottime x 0\n");
    show("neither");
    offsets("one good, one out of range", "monotonic 78 0\nboottime -100000000000 0\n");
    show("neither");
    offsets("plus", "monotonic +4 0\n");
    offsets("zero", "monotonic 0 0\nboottime 0 0\n");
    pid_t c = branch(0);
    if (c == 0) {
        printf("same: %d\n", ino_of("/proc/self/ns/time") == ino_of("/proc/self/ns/time_for_children"));
        fflush(stdout);
        _exit(0);
    }
    ended("child", c);
    offsets("once used", "monotonic 1 0\n");
    offsets("bad once used", "monotonic\n");
    SAY("unshare again", unshare(CLONE_NEWTIME));
    offsets("new again", "monotonic 1 0\n");
    fflush(stdout);
    _exit(0);
}

// 2. Who is in it.
static void *thread(void *arg)
{
    tell(arg);
    return NULL;
}

static pid_t clone3_with(unsigned long flags)
{
    unsigned long a[11] = {flags, 0, 0, 0, SIGCHLD};
    fflush(stdout);
    return syscall(SYS_clone3, a, 88);
}

static void members(char *self)
{
    pid_t k = branch(0);
    if (k) {
        ended("members", k);
        return;
    }
    note();
    SAY("unshare", unshare(CLONE_NEWTIME));
    char text[100];
    snprintf(text, sizeof text, "monotonic %ld 0\nboottime %ld 0\n", 10 * DAY, 20 * DAY);
    offsets("offsets", text);
    tell("before");
    pthread_t th;
    int r = pthread_create(&th, NULL, thread, "thread");
    printf("thread: %s\n", r ? strerrorname_np(r) : "ok");
    if (!r)
        pthread_join(th, NULL);
    pid_t v = vfork();
    if (v == 0) {
        tell("vforked");
        _exit(0);
    }
    ended("vforked", v);
    v = vfork();
    if (v == 0) {
        execl(self, self, "vforked and executed", NULL);
        _exit(1);
    }
    ended("vforked and executed", v);
    pid_t c = branch(0);
    if (c == 0) {
        tell("child");
        show("child's");
        r = pthread_create(&th, NULL, thread, "its thread");
        if (!r)
            pthread_join(th, NULL);
        pid_t g = branch(0);
        if (g == 0) {
            tell("grandchild");
            SAY("unshare", unshare(CLONE_NEWTIME));
            show("inherited");
            offsets("back", "monotonic 0 0\nboottime 0 0\n");
            pid_t gg = branch(0);
            if (gg == 0) {
                tell("back");
                fflush(stdout);
                _exit(0);
            }
            ended("back", gg);
            fflush(stdout);
            _exit(0);
        }
        ended("grandchild", g);
        v = vfork();
        if (v == 0) {
            execl(self, self, "executed", NULL);
            _exit(1);
        }
        ended("executed", v);
        fflush(stdout);
        _exit(0);
    }
    ended("child", c);
    c = clone3_with(CLONE_NEWTIME);
    if (c == 0) {
        tell("clone3");
        show("clone3's");
        offsets("of clone3", "monotonic 0 0\n");
        _exit(0);
    }
    ended("clone3", c);
    SAY("clone3 thread", clone3_with(CLONE_NEWTIME | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM));
    tell("still before");
    fflush(stdout);
    execl(self, self, "by itself", NULL);
    _exit(1);
}

// 3. setns.
static struct gate wait_gate;
static void *waiter(void *arg)
{
    pass(wait_gate);
    return arg;
}

static void joined(void)
{
    pid_t k = branch(0);
    if (k) {
        ended("joined", k);
        return;
    }
    note();
    int first = open("/proc/self/ns/time", O_RDONLY);
    SAY("type", ioctl(first, NS_GET_NSTYPE));
    SAY("parent", ioctl(first, NS_GET_PARENT));
    SAY("unshare", unshare(CLONE_NEWTIME));
    char text[100];
    snprintf(text, sizeof text, "monotonic %ld 0\nboottime %ld 0\n", 10 * DAY, 20 * DAY);
    offsets("offsets", text);
    int fd = open("/proc/self/ns/time_for_children", O_RDONLY);
    int user = ioctl(fd, NS_GET_USERNS);
    struct stat st;
    printf("owner: %s, ours %d\n", e(user), !fstat(user, &st) && st.st_ino == ino_of("/proc/self/ns/user"));
    tell("before");
    wait_gate = gate();
    pthread_t th;
    printf("thread: %d\n", pthread_create(&th, NULL, waiter, NULL));
    SAY("setns with a thread", setns(fd, CLONE_NEWTIME));
    open_gate(wait_gate);
    pthread_join(th, NULL);
    SAY("setns other kind", setns(fd, CLONE_NEWUTS));
    SAY("setns", setns(fd, CLONE_NEWTIME));
    tell("after");
    printf("same: %d\n", ino_of("/proc/self/ns/time") == ino_of("/proc/self/ns/time_for_children"));
    offsets("used", "monotonic 0 0\n");
    SAY("setns to the first", setns(first, 0));
    pid_t c = branch(0);
    if (c == 0) {
        tell("child");
        fflush(stdout);
        _exit(0);
    }
    ended("child", c);
    int me = syscall(SYS_pidfd_open, getpid(), 0);
    SAY("setns by pidfd", setns(me, CLONE_NEWTIME));
    fflush(stdout);
    _exit(0);
}

// 4. What shows and takes times.
static long ahead(struct timespec a, clockid_t c)
{
    struct timespec now;
    clock_gettime(c, &now);
    return (a.tv_sec - now.tv_sec) * 1000 + (a.tv_nsec - now.tv_nsec) / 1000000;
}

static struct timespec in_ms(clockid_t c, long ms)
{
    struct timespec t;
    clock_gettime(c, &t);
    t.tv_nsec += ms % 1000 * 1000000;
    t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

// Whether a wait took about as long as it should.
static const char *took(struct timespec since, long ms)
{
    long d = -ahead(since, CLOCK_MONOTONIC);
    return d >= ms && d < ms + 2000 ? "as long as it should" : d < ms ? "too short" : "too long";
}

static void uses(const char *who)
{
    const clockid_t two[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME};
    printf("-- %s\n", who);
    for (int i = 0; i < 2; i++) {
        struct timespec start, at, r;
        clock_gettime(CLOCK_MONOTONIC, &start);
        at = in_ms(two[i], 60);
        long n = clock_nanosleep(two[i], TIMER_ABSTIME, &at, NULL);
        printf("sleep: %ld %s\n", n, took(start, 60));
        clock_gettime(CLOCK_MONOTONIC, &start);
        at = in_ms(two[i], -1000);
        n = clock_nanosleep(two[i], TIMER_ABSTIME, &at, NULL);
        printf("sleep to the past: %ld %s\n", n, took(start, 0));
        r = (struct timespec){0, 30000000};
        clock_gettime(CLOCK_MONOTONIC, &start);
        n = clock_nanosleep(two[i], 0, &r, NULL);
        printf("relative: %ld %s\n", n, took(start, 30));

        int fd = timerfd_create(two[i], 0);
        struct itimerspec s = {.it_value = in_ms(two[i], 60)};
        clock_gettime(CLOCK_MONOTONIC, &start);
        timerfd_settime(fd, TFD_TIMER_ABSTIME, &s, NULL);
        struct itimerspec left;
        timerfd_gettime(fd, &left);
        printf("left: %d\n", left.it_value.tv_sec == 0 && left.it_value.tv_nsec > 0);
        unsigned long ticks = 0;
        read(fd, &ticks, 8);
        printf("timerfd: %lu %s\n", ticks, took(start, 60));
        s.it_value = (struct timespec){1, 0};
        clock_gettime(CLOCK_MONOTONIC, &start);
        timerfd_settime(fd, TFD_TIMER_ABSTIME, &s, NULL);
        read(fd, &ticks, 8);
        printf("timerfd of the past: %lu %s\n", ticks, took(start, 0));
        close(fd);

        timer_t id;
        struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        sigprocmask(SIG_BLOCK, &set, NULL);
        printf("create: %d\n", timer_create(two[i], &ev, &id));
        s.it_value = in_ms(two[i], 60);
        clock_gettime(CLOCK_MONOTONIC, &start);
        timer_settime(id, TIMER_ABSTIME, &s, NULL);
        timer_gettime(id, &left);
        printf("left: %d\n", left.it_value.tv_sec == 0 && left.it_value.tv_nsec > 0);
        int got = sigwaitinfo(&set, NULL);
        printf("timer: %d %s\n", got == SIGUSR1, took(start, 60));
        s.it_value = (struct timespec){1, 0};
        clock_gettime(CLOCK_MONOTONIC, &start);
        timer_settime(id, TIMER_ABSTIME, &s, NULL);
        got = sigwaitinfo(&set, NULL);
        printf("timer of the past: %d %s\n", got == SIGUSR1, took(start, 0));
        timer_delete(id);
    }
    struct timespec start, at = in_ms(CLOCK_MONOTONIC, 60);
    int word = 0;
    clock_gettime(CLOCK_MONOTONIC, &start);
    long n = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 0, &at, NULL, -1);
    printf("futex: %s %s\n", e(n), took(start, 60));
    at = in_ms(CLOCK_MONOTONIC, 60);
    clock_gettime(CLOCK_MONOTONIC, &start);
    struct futex_waitv v = {.uaddr = (long)&word, .flags = FUTEX_32};
    n = syscall(449, &v, 1, 0, &at, CLOCK_MONOTONIC);
    printf("futex_waitv: %s %s\n", e(n), took(start, 60));
    at = in_ms(CLOCK_REALTIME, 60);
    clock_gettime(CLOCK_MONOTONIC, &start);
    n = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &at, NULL, -1);
    printf("futex of the wall clock: %s %s\n", e(n), took(start, 60));

    struct sysinfo si;
    sysinfo(&si);
    struct timespec boot;
    clock_gettime(CLOCK_BOOTTIME, &boot);
    printf("sysinfo: %d\n", labs(si.uptime - boot.tv_sec) < 3);
    double up = 0;
    FILE *f = fopen("/proc/uptime", "r");
    if (f && fscanf(f, "%lf", &up) != 1)
        up = -1;
    if (f)
        fclose(f);
    printf("uptime: %d\n", up > boot.tv_sec - 3 && up < boot.tv_sec + 3);
    long btime = 0;
    char line[4096];
    f = fopen("/proc/stat", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "btime %ld", &btime) == 1)
            break;
    if (f)
        fclose(f);
    printf("btime: %d\n", labs(btime - (time(NULL) - boot.tv_sec)) < 3);
    f = fopen("/proc/self/stat", "r");
    unsigned long long began = 0;
    if (f && fgets(line, sizeof line, f)) {
        char *p = strrchr(line, ')');
        for (int i = 0; i < 20 && p; i++)
            p = strchr(p + 1, ' ');
        if (p)
            began = strtoull(p + 1, NULL, 10);
    }
    if (f)
        fclose(f);
    long age = boot.tv_sec - (long)(began / 100);
    printf("starttime: %d\n", age >= -2 && age < 60);
    fflush(stdout);
}

static void used(void)
{
    for (int way = 0; way < 3; way++) {
        pid_t k = branch(0);
        if (k) {
            ended("used", k);
            continue;
        }
        SAY("unshare", unshare(CLONE_NEWTIME));
        struct timespec m;
        clock_gettime(CLOCK_MONOTONIC, &m);
        char text[100];
        // Ahead, and as far back as there is room for.
        if (way == 1)
            snprintf(text, sizeof text, "monotonic %ld 500\nboottime %ld 999999999\n", 10 * DAY, 20 * DAY);
        if (way == 2)
            snprintf(text, sizeof text, "monotonic -%ld 0\nboottime -%ld 0\n", m.tv_sec - 20, m.tv_sec - 20);
        if (way)
            offsets("offsets", text);
        pid_t c = branch(0);
        if (c == 0) {
            uses(way == 0 ? "as ever" : way == 1 ? "ahead" : "behind");
            _exit(0);
        }
        ended("child", c);
        fflush(stdout);
        _exit(0);
    }
}

// A handler that reads clocks while the program does.
static void limits(void)
{
    pid_t k = branch(0);
    if (k) {
        ended("owner", k);
        return;
    }
    SAY("unshare", unshare(CLONE_NEWTIME));
    int mine = open("/proc/self/timens_offsets", O_WRONLY);
    SAY("unshare user", unshare(CLONE_NEWUSER));
    SAY("write as opened", write(mine, "monotonic 1 0\n", 14));
    offsets("write from below", "monotonic 2 0\n");
    SAY("unshare below", unshare(CLONE_NEWTIME));
    offsets("own below", "monotonic 3 0\n");
    fflush(stdout);
    _exit(0);
}

int main(int argc, char **argv)
{
    alarm(60);
    if (argc > 1) {
        // Executed: the clocks beside what the one who noted them passed on.
        char *noted = getenv("NOTED");
        for (int i = 0; noted && i < 6; i++)
            base[i].tv_sec = strtol(noted, &noted, 10);
        printf("has vDSO: %d\n", getauxval(AT_SYSINFO_EHDR) != 0);
        tell(argv[1]);
        return 0;
    }
    SAY("without rights", unshare(CLONE_NEWTIME));
    be_root();
    note();
    char text[200];
    snprintf(text, sizeof text, "%ld %ld %ld %ld %ld %ld", base[0].tv_sec, base[1].tv_sec,
             base[2].tv_sec, base[3].tv_sec, base[4].tv_sec, base[5].tv_sec);
    setenv("NOTED", text, 1);
    written();
    members("/proc/self/exe");
    joined();
    limits();
    used();
    return 0;
}
