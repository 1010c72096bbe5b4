// Helpers of the programs about nested pid namespaces.
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static inline const char *e(long r) { return r < 0 ? strerrorname_np(errno) : "ok"; }

// What a call gave: a small number, or its error.
#define SAY(what, call)                                       \
    do {                                                      \
        errno = 0;                                            \
        long r_ = (call);                                     \
        if (r_ < 0)                                           \
            printf("%s: %s\n", what, strerrorname_np(errno)); \
        else                                                  \
            printf("%s: %ld\n", what, r_);                    \
        fflush(stdout);                                       \
    } while (0)

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        printf("%s: %s\n", path, strerrorname_np(errno));
    close(fd);
}

// Into a user namespace of our own, as its root.
static void be_root(void)
{
    if (unshare(CLONE_NEWUSER)) {
        printf("no user namespaces\n");
        exit(77);
    }
    put("/proc/self/setgroups", "deny");
    put("/proc/self/uid_map", "0 0 1\n");
    put("/proc/self/gid_map", "0 0 1\n");
}

// fork() with flags.
static pid_t branch(unsigned long flags)
{
    fflush(stdout);
    return syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
}

static void ended(const char *who, pid_t pid)
{
    int st = 0;
    pid_t got = waitpid(pid, &st, __WALL);
    if (got != pid)
        printf("%s: wait %s\n", who, got < 0 ? strerrorname_np(errno) : "another");
    else if (WIFSIGNALED(st))
        printf("%s: killed by %d\n", who, WTERMSIG(st));
    else
        printf("%s: exit %d\n", who, WEXITSTATUS(st));
    fflush(stdout);
}

// The numbers after NAME in a status file; how many.
static inline int numbers(const char *path, const char *name, int *out)
{
    FILE *f = fopen(path, "r");
    char line[512];
    int n = 0;
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, name, strlen(name)))
            continue;
        char *save = NULL;
        strtok_r(line, "\t\n ", &save);
        for (char *w; (w = strtok_r(NULL, "\t\n ", &save));)
            out[n++] = atoi(w);
        break;
    }
    if (f)
        fclose(f);
    return n;
}

// A pipe as a one-way gate.
struct gate {
    int fd[2];
};
static struct gate gate(void)
{
    struct gate g;
    if (pipe(g.fd))
        exit(1);
    return g;
}
static void open_gate(struct gate g) { (void)!write(g.fd[1], "x", 1); }
static void pass(struct gate g)
{
    char c;
    (void)!read(g.fd[0], &c, 1);
}

static inline ino_t ino_of(const char *path)
{
    struct stat st;
    return stat(path, &st) ? 0 : st.st_ino;
}

// Runs F as number 2 of a namespace of our own with a proc of its own.
static inline void in_namespace(void (*f)(void))
{
    pid_t k = branch(CLONE_NEWPID | CLONE_NEWNS);
    if (k == 0) {
        if (mount("proc", "/proc", "proc", 0, NULL))
            printf("mount: %s\n", strerrorname_np(errno));
        pid_t c = branch(0);
        if (c == 0) {
            f();
            fflush(stdout);
            _exit(0);
        }
        ended("all", c);
        _exit(0);
    }
    if (k < 0)
        printf("no pid namespace: %s\n", strerrorname_np(errno));
    ended("namespace", k);
}
