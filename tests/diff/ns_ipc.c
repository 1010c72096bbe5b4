// IPC and control group namespaces: clone, unshare, setns, what they separate, who may.
#include "userns.h"
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NS_GET_USERNS 0xb701
#define NS_GET_PARENT 0xb702
#define NS_GET_NSTYPE 0xb703

static ino_t ns(const char *kind)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
    return stat(path, &st) ? 0 : st.st_ino;
}

static int child(int (*f)(void *), void *arg)
{
    fflush(stdout);
    pid_t k = fork();
    if (k == 0) {
        int r = f(arg);
        fflush(stdout);
        _exit(r);
    }
    int st;
    waitpid(k, &st, 0);
    return WIFEXITED(st) ? WEXITSTATUS(st) : -WTERMSIG(st);
}

static int separate(void *arg)
{
    (void)arg;
    key_t key = 0x5e9a7a7e;
    int shm = shmget(key, 8192, IPC_CREAT | IPC_EXCL | 0600);
    int msg = msgget(key, IPC_CREAT | 0600);
    int sem = semget(key, 2, IPC_CREAT | 0600);
    char *p = shmat(shm, 0, 0);
    strcpy(p, "here");
    struct { long type; char text[8]; } m = {1, "hello"};
    msgsnd(msg, &m, 6, 0);
    ino_t before = ns("ipc");
    printf("unshare %s\n", e(unshare(CLONE_NEWIPC)));
    printf("another %d\n", ns("ipc") != before && ns("ipc"));
    printf("old keys: shm %s", e(shmget(key, 0, 0)));
    printf(" msg %s", e(msgget(key, 0)));
    printf(" sem %s\n", e(semget(key, 0, 0)));
    printf("old ids: shmat %s", e((long)shmat(shm, 0, 0)));
    printf(" msgrcv %s", e(msgrcv(msg, &m, 8, 0, IPC_NOWAIT)));
    struct sembuf op = {0, 1, 0};
    printf(" semop %s\n", e(semop(sem, &op, 1)));
    printf("attached still: %s\n", p);
    int mine = shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0600);
    printf("own segment %s\n", e(mine));
    char *q = shmat(mine, 0, 0);
    printf("empty %d\n", q[0]);
    printf("detach %s\n", e(shmdt(p)));
    printf("remove %s\n", e(shmctl(mine, IPC_RMID, 0)));
    printf("detach own %s\n", e(shmdt(q)));
    return 0;
}

static int queues(void *arg)
{
    (void)arg;
    struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = 16};
    mqd_t q = mq_open("/ns_ipc_q", O_CREAT | O_RDWR, 0600, &attr);
    printf("mq_open %s\n", e(q));
    printf("unshare %s\n", e(unshare(CLONE_NEWIPC)));
    printf("by name %s\n", e(mq_open("/ns_ipc_q", O_RDWR)));
    printf("send to the old one %s\n", e(mq_send(q, "x", 1, 0)));
    printf("unlink %s\n", e(mq_unlink("/ns_ipc_q")));
    return 0;
}

static int joins(void *arg)
{
    (void)arg;
    int old = open("/proc/self/ns/ipc", O_RDONLY);
    ino_t first = ns("ipc");
    int id = shmget(IPC_PRIVATE, 4096, 0600);
    unshare(CLONE_NEWIPC);
    printf("seen %s\n", e(shmctl(id, IPC_STAT, &(struct shmid_ds){})));
    printf("wrong kind %s\n", e(setns(old, CLONE_NEWUTS)));
    printf("setns %s\n", e(setns(old, CLONE_NEWIPC)));
    printf("back %d, seen %s\n", ns("ipc") == first, e(shmctl(id, IPC_STAT, &(struct shmid_ds){})));
    printf("again %s\n", e(setns(old, 0)));
    printf("remove %s\n", e(shmctl(id, IPC_RMID, 0)));
    printf("type %d parent %s\n", ioctl(old, NS_GET_NSTYPE) == CLONE_NEWIPC, e(ioctl(old, NS_GET_PARENT)));
    int user = ioctl(old, NS_GET_USERNS);
    printf("owner %s\n", e(user));
    return 0;
}

static int undone(void *arg)
{
    (void)arg;
    int old = open("/proc/self/ns/ipc", O_RDONLY);
    int sem = semget(IPC_PRIVATE, 1, 0600);
    struct sembuf up = {0, 3, SEM_UNDO};
    semop(sem, &up, 1);
    printf("value %d\n", semctl(sem, 0, GETVAL));
    printf("unshare %s\n", e(unshare(CLONE_NEWIPC)));
    printf("seen %s\n", e(semctl(sem, 0, GETVAL)));
    printf("back %s\n", e(setns(old, 0)));
    printf("value %d\n", semctl(sem, 0, GETVAL));
    semctl(sem, 0, IPC_RMID);
    return 0;
}

static int in_child(void *arg)
{
    printf("cloned into another %d, key %s\n", ns("ipc") != *(ino_t *)arg, e(shmget(0x1234, 0, 0)));
    fflush(stdout);
    return 0;
}

static int clones(void *arg)
{
    static char stack[65536];
    (void)arg;
    int id = shmget(0x1234, 4096, IPC_CREAT | 0600);
    ino_t mine = ns("ipc");
    fflush(stdout);
    pid_t k = clone(in_child, stack + sizeof stack, CLONE_NEWIPC | SIGCHLD, &mine);
    printf("clone %s\n", e(k));
    waitpid(k, 0, 0);
    printf("kept %s\n", e(shmctl(id, IPC_RMID, 0)));
    printf("with SYSVSEM %s\n", e(clone(in_child, stack + sizeof stack, CLONE_NEWIPC | CLONE_SYSVSEM | SIGCHLD, &mine)));
    return 0;
}

static int cgroups(void *arg)
{
    (void)arg;
    int old = open("/proc/self/ns/cgroup", O_RDONLY);
    ino_t first = ns("cgroup");
    printf("cgroup unshare %s\n", e(unshare(CLONE_NEWCGROUP)));
    printf("another %d\n", ns("cgroup") != first && ns("cgroup"));
    printf("setns %s\n", e(setns(old, CLONE_NEWCGROUP)));
    printf("back %d\n", ns("cgroup") == first);
    printf("type %d parent %s\n", ioctl(old, NS_GET_NSTYPE) == CLONE_NEWCGROUP, e(ioctl(old, NS_GET_PARENT)));
    return 0;
}

static int unprivileged(void *arg)
{
    (void)arg;
    int old = open("/proc/self/ns/ipc", O_RDONLY);
    struct { unsigned version; int pid; } head = {0x20080522, 0};
    unsigned none[6] = {0};
    if (syscall(SYS_capset, &head, none))
        return 1;
    printf("user: ipc %s", e(unshare(CLONE_NEWIPC)));
    printf(" cgroup %s", e(unshare(CLONE_NEWCGROUP)));
    printf(" setns %s\n", e(setns(old, 0)));
    printf("with a user namespace %s\n", e(unshare(CLONE_NEWUSER | CLONE_NEWIPC)));
    printf("setns to the first %s\n", e(setns(old, 0)));
    printf("again %s\n", e(unshare(CLONE_NEWIPC)));
    int id = shmget(IPC_PRIVATE, 4096, 0600);
    printf("segment %s, remove %s\n", e(id), e(shmctl(id, IPC_RMID, 0)));
    return 0;
}

int main(void)
{
    alarm(30);
    // Nothing of the host's may be seen or left behind; the user namespace gives the rights.
    if (unshare(CLONE_NEWUSER | CLONE_NEWIPC))
        perror("unshare");
    // With O_TRUNC, as a shell opens them.
    write_file("/proc/self/uid_map", "0 0 1");
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/gid_map", "0 0 1");
    int (*const parts[])(void *) = {separate, queues, joins, undone, clones, cgroups, unprivileged};
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++)
        printf("-> %d\n", child(parts[i], 0));
    return 0;
}
