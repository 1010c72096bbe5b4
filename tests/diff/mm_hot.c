// Changes of memory many times in a row, which a sandbox may make in another way than single
// ones: what is taken away is gone at once, what is given is zero, under signals and forks.
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096L

static sigjmp_buf out;
static volatile sig_atomic_t faults, code;
static volatile long ticks;

static void on_fault(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    faults++;
    code = info->si_code;
    siglongjmp(out, 1);
}

static void on_tick(int sig)
{
    (void)sig;
    ticks++;
}

// 0: it can be read (and written), otherwise the si_code of the fault.
static int probe(volatile char *at, int write)
{
    if (sigsetjmp(out, 1))
        return code;
    if (write)
        *at = 7;
    else
        (void)*at;
    return 0;
}

static char *fresh(long len)
{
    char *p = mmap(0, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        puts("mmap failed");
        exit(1);
    }
    return p;
}

static void map_and_unmap(long rounds)
{
    long bad = 0, gone = 0, dirty = 0;
    for (long i = 0; i < rounds; i++) {
        long len = (1 + i % 5) * PAGE;
        char *p = fresh(len);
        for (long at = 0; at < len; at += PAGE)
            dirty += p[at] != 0;
        memset(p, 0xa5, len);
        bad += munmap(p, len) != 0;
        if (i % 64 == 0)
            gone += probe(p + len - PAGE, i % 128 == 0) == SEGV_MAPERR;
    }
    printf("map: bad %ld dirty %ld gone %ld\n", bad, dirty, gone);
}

static void protect(long rounds)
{
    char *p = fresh(4 * PAGE);
    long bad = 0, refused = 0, allowed = 0, lost = 0;
    for (long i = 0; i < rounds; i++) {
        char *q = p + i % 4 * PAGE;
        *(long *)q = i;
        bad += mprotect(q, PAGE, PROT_READ) != 0;
        lost += *(volatile long *)q != i;
        if (i % 64 == 0)
            refused += probe(q, 1) == SEGV_ACCERR;
        if (i % 3 == 0)
            bad += mprotect(q, PAGE, PROT_NONE) != 0;
        if (i % 96 == 0)
            refused += probe(q, 0) == SEGV_ACCERR;
        bad += mprotect(q, PAGE, PROT_READ | PROT_WRITE) != 0;
        lost += *(volatile long *)q != i;
        allowed += probe(q + 100, 1) == 0;
    }
    printf("protect: bad %ld refused %ld allowed %ld lost %ld\n", bad, refused, allowed, lost);
    munmap(p, 4 * PAGE);
}

static void heap(long rounds)
{
    char *start = sbrk(0);
    long bad = 0, dirty = 0, gone = 0;
    char *base = (char *)(((unsigned long)start + PAGE - 1) & -PAGE);
    for (long i = 0; i < rounds; i++) {
        long len = (1 + i % 7) * PAGE;
        bad += brk(base + len) != 0;
        for (long at = 0; at < len; at += PAGE) {
            dirty += base[at] != 0;
            base[at] = 9;
        }
        bad += brk(base) != 0;
        if (i % 64 == 0)
            gone += probe(base + len - PAGE, 1) == SEGV_MAPERR;
    }
    brk(start);
    printf("heap: bad %ld dirty %ld gone %ld\n", bad, dirty, gone);
}

// What a page was not allowed any more must not be possible after a fork either, and what
// parent and child write stays their own.
static void forks(int rounds)
{
    long bad = 0, refused = 0, own = 0;
    for (int i = 0; i < rounds; i++) {
        char *p = fresh(8 * PAGE), *q = 0;
        memset(p, 1, 8 * PAGE);
        for (int n = 0; n < 200; n++) {
            bad += mprotect(p, PAGE, PROT_READ) != 0;
            bad += mprotect(p, PAGE, PROT_READ | PROT_WRITE) != 0;
            q = fresh(PAGE);
            *q = 3;
            bad += munmap(q, PAGE) != 0;
        }
        bad += mprotect(p + PAGE, PAGE, PROT_READ) != 0;
        bad += munmap(p + 2 * PAGE, PAGE) != 0;
        int child = fork();
        if (child == 0) {
            int code = (probe(p + PAGE, 1) == SEGV_ACCERR) | (probe(p + 2 * PAGE, 0) == SEGV_MAPERR) << 1;
            p[0] = 2;
            code |= (p[3 * PAGE] == 1 && p[PAGE] == 1) << 2;
            for (int n = 0; n < 100; n++) {
                char *r = fresh(PAGE);
                code |= (*r != 0) << 3;
                *r = 1;
                munmap(r, PAGE);
            }
            _exit(code);
        }
        p[3 * PAGE] = 5;
        int status = 0;
        waitpid(child, &status, 0);
        refused += WIFEXITED(status) && WEXITSTATUS(status) == 7;
        refused += probe(p + PAGE, 1) == SEGV_ACCERR;
        own += p[0] == 1 && p[3 * PAGE] == 5;
        munmap(p, 8 * PAGE);
    }
    printf("forks: bad %ld refused %ld own %ld\n", bad, refused, own);
}

static void remaps(long rounds)
{
    char *p = fresh(2 * PAGE);
    long bad = 0, lost = 0;
    p[0] = 42;
    for (long i = 0; i < rounds; i++) {
        long from = 2 + i % 3, to = 2 + (i + 1) % 3;
        char *q = mremap(p, from * PAGE, to * PAGE, MREMAP_MAYMOVE);
        bad += q == MAP_FAILED;
        if (q != MAP_FAILED)
            p = q;
        lost += p[0] != 42;
        p[(to - 1) * PAGE] = 1;
        bad += madvise(p + PAGE, PAGE, MADV_DONTNEED) != 0;
        lost += p[PAGE] != 0;
    }
    printf("remaps: bad %ld lost %ld\n", bad, lost);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, 0);
    alarm(60);
    for (int timed = 0; timed < 2; timed++) {
        struct sigaction tick = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
        sigaction(SIGVTALRM, &tick, 0);
        sigaction(SIGPROF, &tick, 0);
        sigaction(SIGALRM, timed ? &tick : &(struct sigaction){.sa_handler = SIG_DFL}, 0);
        struct itimerval every = {{0, 700}, {0, 700}};
        if (timed)
            setitimer(ITIMER_REAL, &every, 0);
        map_and_unmap(6000);
        protect(6000);
        heap(4000);
        remaps(3000);
        forks(20);
        if (timed) {
            setitimer(ITIMER_REAL, &(struct itimerval){0}, 0);
            printf("ticks %s\n", ticks > 20 ? "came" : "did not come");
        }
    }
    printf("faults %d\n", (int)faults);
    return 0;
}
