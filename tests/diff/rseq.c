// Restartable sequences: registration and its errors, the CPU's number, sections aborted by
// preemption and by signals, what children and new programs have of it, and areas that
// vanish.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/rseq.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define SIG 0x53053053u
#define BIG (sizeof(struct rseq) > 32 ? 32u : (unsigned)sizeof(struct rseq))

static int reg(void *a, unsigned len, int flags, unsigned sig) {
    return syscall(SYS_rseq, a, len, flags, sig) == 0 ? 0 : errno;
}
static struct rseq *mine(void) {
    return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}
#define SHOW(what) printf("%-44s %s\n", #what, strerrorname(what))
static const char *strerrorname(int e) { return e ? strerrorname_np(e) : "0"; }

// One increment of *counter on the CPU given; 0 when done, 1 when aborted.
static int add_on(struct rseq *r, long *counter, unsigned cpu) {
    asm goto(
        ".pushsection __rseq_cs, \"aw\"\n.balign 32\n"
        "3: .long 0, 0\n.quad 1f, 2f - 1f, 4f\n.popsection\n"
        "leaq 3b(%%rip), %%rax\n"
        "movq %%rax, 8(%[r])\n"
        "1: cmpl %[cpu], 4(%[r])\n"
        "jnz %l[out]\n"
        "addq $1, (%[v])\n"
        "2:\n"
        ".pushsection __rseq_failure, \"ax\"\n"
        ".byte 0x0f, 0xb9, 0x3d\n.long 0x53053053\n"
        "4: jmp %l[out]\n.popsection\n"
        : : [r] "r"(r), [v] "r"(counter), [cpu] "r"(cpu) : "memory", "cc", "rax" : out);
    return 0;
out:
    return 1;
}

// Stays in a section until it is aborted.
extern char spin_abort[];
static void spin(struct rseq *r, volatile int *inside) {
    asm goto(
        ".pushsection __rseq_cs, \"aw\"\n.balign 32\n"
        "3: .long 0, 0\n.quad 1f, 2f - 1f, spin_abort\n.popsection\n"
        "leaq 3b(%%rip), %%rax\n"
        "movq %%rax, 8(%[r])\n"
        "1: movl $1, (%[in])\n"
        "5: pause\njmp 5b\n"
        "2:\n"
        ".pushsection __rseq_failure, \"ax\"\n"
        ".byte 0x0f, 0xb9, 0x3d\n.long 0x53053053\n"
        ".globl spin_abort\nspin_abort: jmp %l[out]\n.popsection\n"
        : : [r] "r"(r), [in] "r"(inside) : "memory", "cc", "rax" : out);
out:
    return;
}

#define CPUS 1024
static struct { long n; char pad[56]; } counts[CPUS];
static long locked;

static void *count(void *arg) {
    long n = (long)arg;
    for (long i = 0; i < n; i++) {
        for (;;) {
            unsigned cpu = mine()->cpu_id_start;
            if (add_on(mine(), &counts[cpu % CPUS].n, cpu) == 0) break;
        }
    }
    __atomic_fetch_add(&locked, n, __ATOMIC_RELAXED);
    return NULL;
}
static int sums_agree(void) {
    long sum = 0;
    for (int i = 0; i < CPUS; i++) sum += counts[i].n;
    return sum == locked;
}

static int cpu_is_true(void) {
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    int good = 1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all)) continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
        unsigned told = ~0u;
        syscall(SYS_getcpu, &told, NULL, NULL);
        good &= told == (unsigned)cpu && mine()->cpu_id == (unsigned)cpu &&
                mine()->cpu_id_start == (unsigned)cpu && sched_getcpu() == cpu;
    }
    sched_setaffinity(0, sizeof all, &all);
    return good;
}

static volatile sig_atomic_t caught_at_abort, caught;
static void on_signal(int sig, siginfo_t *si, void *uc) {
    (void)sig, (void)si;
    caught = 1;
    caught_at_abort = ((ucontext_t *)uc)->uc_mcontext.gregs[REG_RIP] == (long)spin_abort;
}

static volatile int inside;
static pthread_t target;
static void *shoot(void *arg) {
    (void)arg;
    while (!inside) sched_yield();
    pthread_kill(target, SIGUSR1);
    return NULL;
}

static void *registered(void *arg) {
    (void)arg;
    long bad = reg(mine(), 32, 0, SIG) != EBUSY;
    return (void *)(bad | (mine()->cpu_id == (unsigned)RSEQ_CPU_ID_UNINITIALIZED));
}

static int vm_child(void *arg) {
    (void)arg;
    _exit(reg(mine(), 32, RSEQ_FLAG_UNREGISTER, SIG));
}

static int status_of(pid_t pid) {
    int s = -1;
    waitpid(pid, &s, 0);
    return WIFSIGNALED(s) ? -WTERMSIG(s) : WEXITSTATUS(s);
}

// Runs until the host has preempted it for sure, or a fifth of a second.
static void churn(void) {
    struct timespec from, now, nap = {0, 100000};
    clock_gettime(CLOCK_MONOTONIC, &from);
    do {
        for (volatile int i = 0; i < 10000; i++) {}
        nanosleep(&nap, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 < 200);
}

static void errors(void) {
    static struct { struct rseq a, b; } __attribute__((aligned(64))) s;
    struct rseq *r = mine();
    puts("== errors");
    SHOW(reg(r, 32, 0, SIG));
    SHOW(reg(r, 32, 0, SIG + 1));
    SHOW(reg(r, 64, 0, SIG));
    SHOW(reg(&s.a, 32, 0, SIG));
    SHOW(reg(r, 32, 2, SIG));
    SHOW(reg(r, 32, RSEQ_FLAG_UNREGISTER | 2, SIG));
    SHOW(reg(r, 32, RSEQ_FLAG_UNREGISTER, SIG + 1));
    SHOW(reg(r, 31, RSEQ_FLAG_UNREGISTER, SIG));
    SHOW(reg(&s.a, 32, RSEQ_FLAG_UNREGISTER, SIG));
    SHOW(reg(r, 32, RSEQ_FLAG_UNREGISTER, SIG));
    printf("cpu_id after: %d\n", (int)r->cpu_id);
    SHOW(reg(r, 32, RSEQ_FLAG_UNREGISTER, SIG));
    SHOW(reg(NULL, 32, RSEQ_FLAG_UNREGISTER, SIG));
    SHOW(reg((char *)&s.a + 16, 32, 0, SIG));
    SHOW(reg(&s.a, 31, 0, SIG));
    SHOW(reg(&s.a, 0, 0, SIG));
    SHOW(reg((void *)-32L, 32, 0, SIG));
    SHOW(reg((void *)(1UL << 62), 32, 0, SIG));
    memset(&s, 0, sizeof s);
    SHOW(reg(&s.a, 32, 0, 7));
    printf("number is written: %d\n", s.a.cpu_id < CPUS && s.a.cpu_id == s.a.cpu_id_start);
    SHOW(reg(&s.a, 32, RSEQ_FLAG_UNREGISTER, 7));
    printf("reset: %u %d\n", s.a.cpu_id_start, (int)s.a.cpu_id);
    SHOW(reg(r, 32, 0, SIG));
    printf("cpu is true: %d\n", cpu_is_true());
}

static void sections(void) {
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    pthread_t t[4];
    puts("== sections");
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, count, (void *)100000L);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    printf("sums agree: %d\n", sums_agree());
    sigaction(SIGUSR1, &sa, NULL);
    target = pthread_self();
    int at_abort = 1;
    for (int i = 0; i < 20; i++) {
        caught = inside = 0;
        pthread_create(t, NULL, shoot, NULL);
        spin(mine(), &inside);
        pthread_join(t[0], NULL);
        at_abort &= caught;
    }
    printf("spun until aborted, signals came: %d; section left: %d\n", at_abort,
           mine()->rseq_cs == 0);
}

static void children(void) {
    static char stack[65536] __attribute__((aligned(16)));
    pthread_t t[3];
    void *bad;
    puts("== children");
    pthread_create(t, NULL, registered, NULL);
    pthread_join(t[0], &bad);
    printf("thread of its own: %d\n", !bad);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int good = reg(mine(), 32, 0, SIG) == EBUSY && cpu_is_true();
        pid = fork();
        if (pid == 0) _exit(cpu_is_true() && !reg(mine(), 32, RSEQ_FLAG_UNREGISTER, SIG));
        _exit(good & status_of(pid));
    }
    printf("fork has it: %d\n", status_of(pid));
    pid = vfork();
    if (pid == 0) _exit(reg(mine(), 32, RSEQ_FLAG_UNREGISTER, SIG));
    printf("vfork: %s\n", strerrorname(status_of(pid)));
    pid = clone(vm_child, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
    printf("shared memory: %s\n", strerrorname(status_of(pid)));
    // Forks while other threads are in their sections.
    for (int i = 0; i < 3; i++) pthread_create(&t[i], NULL, count, (void *)300000L);
    int good = 0;
    for (int i = 0; i < 20; i++) {
        pid = fork();
        if (pid == 0) {
            memset(counts, 0, sizeof counts);
            locked = 0;
            count((void *)1000L);
            _exit(sums_agree());
        }
        good += status_of(pid);
    }
    for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
    printf("forked amid sections: %d, sums agree: %d\n", good, sums_agree());
    // Threads whose memory goes as soon as they have ended.
    for (int i = 0; i < 100; i++) {
        pthread_attr_t attr;
        size_t len = 1 << 16;
        void *own = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pthread_attr_init(&attr);
        pthread_attr_setstack(&attr, own, len);
        pthread_create(t, &attr, registered, NULL);
        pthread_join(t[0], NULL);
        munmap(own, len);
    }
    puts("ended threads: gone");
}

static void areas(void) {
    static struct rseq fixed __attribute__((aligned(64)));
    puts("== areas");
    for (int how = 0; how < 6; how++) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            int kind = how == 4 ? MAP_SHARED : MAP_PRIVATE;
            char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);
            struct rseq *r = how == 5 ? &fixed : (void *)(p + 8192 + 64);
            reg(mine(), 32, RSEQ_FLAG_UNREGISTER, SIG);
            r->cpu_id = 0;
            if (reg(r, 32, 0, SIG)) _exit(9);
            if (how == 0) munmap(p, 65536);
            if (how == 1) mprotect(p, 65536, PROT_READ);
            if (how == 2) madvise(p, 65536, MADV_DONTNEED);
            if (how == 3) mprotect(p, 8192, PROT_NONE), mprotect(p, 8192, PROT_READ);
            churn();
            if (how == 4 && fork() == 0) churn(), _exit(0);
            _exit(how < 2 ? 8 : r->cpu_id < CPUS);
        }
        printf("%s: %d\n", (const char *[]){"unmapped", "read only", "forgotten", "beside",
               "shared", "data"}[how], status_of(pid));
    }
}

int main(int argc, char **argv) {
    if (argc > 1) {
        printf("new program: %s, %d\n", strerrorname(reg(mine(), 32, 0, SIG)), cpu_is_true());
        // Calls that pass a filter go another way.
        struct sock_filter code[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 999, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog prog = {4, code};
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        printf("filter: %d\n", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog));
        errors();
        children();
        return 0;
    }
    if (syscall(SYS_rseq, NULL, 0, 0, 0) == -1 && errno == ENOSYS) {
        puts("the kernel has no rseq");
        return 77;
    }
    printf("size %u\n", BIG);
    errors();
    sections();
    children();
    areas();
    fflush(stdout);
    execl("/proc/self/exe", argv[0], "again", NULL);
    return 1;
}
