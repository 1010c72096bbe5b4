// Keys and keyrings: add_key, request_key, keyctl.
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/keyctl.h>
#include <unistd.h>

static const char *e(long r) { return r < 0 ? strerrorname_np(errno) : "ok"; }
static long add(const char *type, const char *desc, const void *data, size_t len, int ring)
{
    return syscall(SYS_add_key, type, desc, data, len, ring);
}
static long ctl(int op, long a, long b, long c, long d) { return syscall(SYS_keyctl, op, a, b, c, d); }
static long request(const char *type, const char *desc, const char *info, int ring)
{
    return syscall(SYS_request_key, type, desc, info, ring);
}

// The description without what depends on the run.
static void describe(const char *what, long id)
{
    char text[256] = "";
    long n = ctl(KEYCTL_DESCRIBE, id, (long)text, sizeof text, 0);
    printf("%s: %s", what, e(n));
    if (n > 0)
        printf(" %ld %s", n, text);
    puts("");
}

static void show(const char *what, long ring)
{
    int32_t ids[32];
    long n = ctl(KEYCTL_READ, ring, (long)ids, sizeof ids, 0);
    printf("%s: %s %ld links\n", what, e(n), n / 4);
    for (long i = 0; i < n / 4 && i < 32; i++)
        describe("  link", ids[i]);
}

static void bad_arguments(void)
{
    char big[4200];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    int ring = KEY_SPEC_PROCESS_KEYRING;
    printf("no type %s\n", e(add(0, "d", "x", 1, ring)));
    printf("empty type %s\n", e(add("", "d", "x", 1, ring)));
    printf("unknown type %s\n", e(add("no_such_type", "d", "x", 1, ring)));
    printf("own type %s\n", e(add(".user", "d", "x", 1, ring)));
    printf("long type %s\n", e(add(big, "d", "x", 1, ring)));
    printf("long description %s\n", e(add("user", big, "x", 1, ring)));
    printf("no description %s\n", e(add("user", 0, "x", 1, ring)));
    printf("empty description %s\n", e(add("user", "", "x", 1, ring)));
    printf("no payload %s\n", e(add("user", "d", 0, 0, ring)));
    printf("bad payload %s\n", e(add("user", "d", (void *)8, 4, ring)));
    printf("large payload %s\n", e(add("user", "d", big, 1 << 20, ring)));
    printf("payload over the type's %s\n", e(add("user", "d", calloc(1, 40000), 40000, ring)));
    printf("keyring with payload %s\n", e(add("keyring", "d", "x", 1, ring)));
    printf("hidden keyring %s\n", e(add("keyring", ".d", 0, 0, ring)));
    printf("logon without service %s\n", e(add("logon", "d", "x", 1, ring)));
    printf("logon with empty one %s\n", e(add("logon", ":d", "x", 1, ring)));
    printf("ring 0 %s\n", e(add("user", "d", "x", 1, 0)));
    printf("ring -9 %s\n", e(add("user", "d", "x", 1, -9)));
    printf("group ring %s\n", e(add("user", "d", "x", 1, KEY_SPEC_GROUP_KEYRING)));
    printf("authority %s\n", e(add("user", "d", "x", 1, KEY_SPEC_REQKEY_AUTH_KEY)));
    printf("no such ring %s\n", e(add("user", "d", "x", 1, 0x7ffffff0)));
    printf("no thread ring %s\n", e(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 0, 0, 0)));
    printf("unknown op %s\n", e(ctl(999, 0, 0, 0, 0)));
    printf("instantiate %s\n", e(ctl(KEYCTL_INSTANTIATE, 5, 0, 0, 0)));
    printf("assume none %s\n", e(ctl(KEYCTL_ASSUME_AUTHORITY, 0, 0, 0, 0)));
    printf("assume -1 %s\n", e(ctl(KEYCTL_ASSUME_AUTHORITY, -1, 0, 0, 0)));
}

static void a_key(void)
{
    int ring = KEY_SPEC_PROCESS_KEYRING;
    long k = add("user", "one", "data", 4, ring);
    describe("key", k);
    describe("ring", ring);
    char buf[8] = "-------";
    long n = ctl(KEYCTL_READ, k, (long)buf, 2, 0);
    printf("short read %ld %.7s\n", n, buf);
    n = ctl(KEYCTL_READ, k, (long)buf, 8, 0);
    printf("read %ld %.7s\n", n, buf);
    printf("size only %ld\n", ctl(KEYCTL_READ, k, 0, 0, 0));
    printf("bad buffer %s\n", e(ctl(KEYCTL_READ, k, 8, 100, 0)));
    printf("describe short %ld\n", ctl(KEYCTL_DESCRIBE, k, (long)buf, 3, 0));
    printf("same again %d\n", add("user", "one", "other", 5, ring) == k);
    n = ctl(KEYCTL_READ, k, (long)buf, 8, 0);
    printf("read %ld %.5s\n", n, buf);
    printf("update %s\n", e(ctl(KEYCTL_UPDATE, k, (long)"third", 5, 0)));
    printf("update to nothing %s\n", e(ctl(KEYCTL_UPDATE, k, 0, 0, 0)));
    printf("update too large %s\n", e(ctl(KEYCTL_UPDATE, k, (long)buf, 5000, 0)));
    printf("update a ring %s\n", e(ctl(KEYCTL_UPDATE, ring, (long)"x", 1, 0)));
    printf("clear a key %s\n", e(ctl(KEYCTL_CLEAR, k, 0, 0, 0)));
    printf("into a key %s\n", e(add("user", "in", "x", 1, k)));
    printf("request %d\n", request("user", "one", 0, 0) == k);
    printf("request another %s\n", e(request("user", "none", 0, 0)));
    printf("search %d\n", ctl(KEYCTL_SEARCH, ring, (long)"user", (long)"one", 0) == k);
    printf("search a key %s\n", e(ctl(KEYCTL_SEARCH, k, (long)"user", (long)"one", 0)));
    printf("search none %s\n", e(ctl(KEYCTL_SEARCH, ring, (long)"user", (long)"none", 0)));
    printf("security %ld\n", ctl(KEYCTL_GET_SECURITY, k, (long)buf, 8, 0));
    printf("perm %s\n", e(ctl(KEYCTL_SETPERM, k, 0x3f000000, 0, 0)));
    describe("key", k);
    printf("bad perm %s\n", e(ctl(KEYCTL_SETPERM, k, 0xff000000, 0, 0)));
    printf("perm without write %s\n", e(ctl(KEYCTL_SETPERM, k, 0x3b000000, 0, 0)));
    printf("update %s\n", e(ctl(KEYCTL_UPDATE, k, (long)"x", 1, 0)));
    printf("revoke by setattr %s\n", e(ctl(KEYCTL_REVOKE, k, 0, 0, 0)));
    describe("revoked", k);
    printf("read %s\n", e(ctl(KEYCTL_READ, k, 0, 0, 0)));
    printf("request %s\n", e(request("user", "one", 0, 0)));
    printf("unlink %s\n", e(ctl(KEYCTL_UNLINK, k, ring, 0, 0)));
    long logon = add("logon", "svc:x", "secret", 6, ring);
    describe("logon", logon);
    printf("read %s\n", e(ctl(KEYCTL_READ, logon, (long)buf, 8, 0)));
    printf("timeout %s\n", e(ctl(KEYCTL_SET_TIMEOUT, logon, 1000, 0, 0)));
    printf("invalidate %s\n", e(ctl(KEYCTL_INVALIDATE, logon, 0, 0, 0)));
    show("ring", ring);
}

static void expiry(void)
{
    int ring = KEY_SPEC_PROCESS_KEYRING;
    long k = add("user", "short", "x", 1, ring);
    printf("timeout %s\n", e(ctl(KEYCTL_SET_TIMEOUT, k, 1, 0, 0)));
    printf("before %s\n", e(ctl(KEYCTL_READ, k, 0, 0, 0)));
    usleep(1200000);
    printf("after %s\n", e(ctl(KEYCTL_READ, k, 0, 0, 0)));
    printf("request %s\n", e(request("user", "short", 0, 0)));
    printf("timeout of an expired one %s\n", e(ctl(KEYCTL_SET_TIMEOUT, k, 5, 0, 0)));
    printf("clear %s\n", e(ctl(KEYCTL_CLEAR, ring, 0, 0, 0)));
}

static void rings(void)
{
    int top = KEY_SPEC_PROCESS_KEYRING;
    long a = add("keyring", "a", 0, 0, top), b = add("keyring", "b", 0, 0, a);
    long k = add("user", "deep", "x", 1, b);
    describe("a", a);
    show("top", top);
    printf("found below %d\n", ctl(KEYCTL_SEARCH, top, (long)"user", (long)"deep", 0) == k);
    printf("cycle %s\n", e(ctl(KEYCTL_LINK, a, b, 0, 0)));
    printf("itself %s\n", e(ctl(KEYCTL_LINK, a, a, 0, 0)));
    printf("link %s\n", e(ctl(KEYCTL_LINK, k, a, 0, 0)));
    printf("twice %s\n", e(ctl(KEYCTL_LINK, k, a, 0, 0)));
    show("a", a);
    printf("to a key %s\n", e(ctl(KEYCTL_LINK, a, k, 0, 0)));
    printf("move %s\n", e(ctl(KEYCTL_MOVE, k, b, top, 0)));
    printf("move what is not there %s\n", e(ctl(KEYCTL_MOVE, k, b, top, 0)));
    add("user", "deep", "y", 1, b);
    printf("move, exclusive %s\n", e(ctl(KEYCTL_MOVE, k, top, b, 1)));
    printf("move, bad flags %s\n", e(ctl(KEYCTL_MOVE, k, top, b, 2)));
    printf("search and link %s\n", e(ctl(KEYCTL_SEARCH, b, (long)"user", (long)"deep", top)));
    show("top", top);
    long two = add("user", "two", "x", 1, top);
    ctl(KEYCTL_LINK, two, a, 0, 0);
    printf("unlink %s\n", e(ctl(KEYCTL_UNLINK, two, a, 0, 0)));
    printf("again %s\n", e(ctl(KEYCTL_UNLINK, two, a, 0, 0)));
    printf("same name anew %d\n", add("keyring", "a", 0, 0, top) != a);
    long at = add("keyring", "n", 0, 0, top), first = at;
    for (int i = 0; i < 5; i++)
        at = add("keyring", "n", 0, 0, at);
    add("user", "bottom", "x", 1, at);
    printf("at the bottom %s\n", e(ctl(KEYCTL_SEARCH, first, (long)"user", (long)"bottom", 0)));
    printf("clear %s\n", e(ctl(KEYCTL_CLEAR, top, 0, 0, 0)));
    show("top", top);
}

static void sessions(void)
{
    long s = ctl(KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0);
    printf("join %s\n", e(s));
    describe("session", KEY_SPEC_SESSION_KEYRING);
    printf("it is %d\n", ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0, 0, 0) == s);
    long k = add("user", "kept", "x", 1, KEY_SPEC_SESSION_KEYRING);
    long p = add("user", "process", "x", 1, KEY_SPEC_PROCESS_KEYRING);
    long t = add("user", "thread", "x", 1, KEY_SPEC_THREAD_KEYRING);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        printf("child: session's %d", request("user", "kept", 0, 0) == k);
        printf(" process's %s", e(request("user", "process", 0, 0)));
        printf(" thread's %s", e(request("user", "thread", 0, 0)));
        printf(" its number %s\n", e(ctl(KEYCTL_READ, p, 0, 0, 0)));
        long n = ctl(KEYCTL_JOIN_SESSION_KEYRING, (long)"diff_named", 0, 0, 0);
        printf("named %s\n", e(n));
        describe("named", n);
        printf("out of sight %s\n", e(request("user", "kept", 0, 0)));
        printf("hidden name %s\n", e(ctl(KEYCTL_JOIN_SESSION_KEYRING, (long)".x", 0, 0, 0)));
        printf("bad name %s\n", e(ctl(KEYCTL_JOIN_SESSION_KEYRING, 8, 0, 0, 0)));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, 0, 0);
    printf("parent: %d %d %d\n", request("user", "kept", 0, 0) == k, request("user", "process", 0, 0) == p,
           request("user", "thread", 0, 0) == t);
    describe("user", KEY_SPEC_USER_KEYRING);
    describe("user session", KEY_SPEC_USER_SESSION_KEYRING);
    describe("thread", KEY_SPEC_THREAD_KEYRING);
    printf("default %ld", ctl(KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_NO_CHANGE, 0, 0, 0));
    printf(" %ld", ctl(KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_SESSION_KEYRING, 0, 0, 0));
    printf(" %ld", ctl(KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_DEFAULT, 0, 0, 0));
    printf(" %s", e(ctl(KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_GROUP_KEYRING, 0, 0, 0)));
    printf(" %s\n", e(ctl(KEYCTL_SET_REQKEY_KEYRING, 99, 0, 0, 0)));
}

static void others(void)
{
    long k = add("user", "roots", "x", 1, KEY_SPEC_PROCESS_KEYRING);
    long open = add("user", "all", "y", 1, KEY_SPEC_PROCESS_KEYRING);
    ctl(KEYCTL_SETPERM, open, 0x3f010003, 0, 0);
    printf("chown %s\n", e(ctl(KEYCTL_CHOWN, k, -1, 7, 0)));
    describe("given", k);
    printf("chown nothing %s\n", e(ctl(KEYCTL_CHOWN, k, -1, -1, 0)));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (setresgid(4321, 4321, 4321) || setresuid(4321, 4321, 4321))
            _exit(1);
        ctl(KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0);
        printf("view %s", e(ctl(KEYCTL_DESCRIBE, k, 0, 0, 0)));
        printf(" read %s", e(ctl(KEYCTL_READ, k, 0, 0, 0)));
        printf(" write %s", e(ctl(KEYCTL_UPDATE, k, (long)"z", 1, 0)));
        printf(" link %s", e(ctl(KEYCTL_LINK, k, KEY_SPEC_PROCESS_KEYRING, 0, 0)));
        printf(" perm %s", e(ctl(KEYCTL_SETPERM, k, 0, 0, 0)));
        printf(" revoke %s\n", e(ctl(KEYCTL_REVOKE, k, 0, 0, 0)));
        printf("open: view %s", e(ctl(KEYCTL_DESCRIBE, open, 0, 0, 0)));
        printf(" read %s", e(ctl(KEYCTL_READ, open, 0, 0, 0)));
        printf(" write %s\n", e(ctl(KEYCTL_UPDATE, open, (long)"z", 1, 0)));
        long mine = add("user", "mine", "m", 1, KEY_SPEC_PROCESS_KEYRING);
        describe("mine", mine);
        printf("chown away %s", e(ctl(KEYCTL_CHOWN, mine, 0, -1, 0)));
        printf(" to a group %s\n", e(ctl(KEYCTL_CHOWN, mine, -1, 0, 0)));
        int many = 0;
        char name[16];
        for (; many < 1000; many++) {
            snprintf(name, sizeof name, "k%d", many);
            if (add("user", name, "m", 1, KEY_SPEC_PROCESS_KEYRING) < 0)
                break;
        }
        printf("quota %s %d\n", e(-1), many > 150 && many < 200);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, 0, 0);
}

int main(void)
{
    void (*const parts[])(void) = {bad_arguments, a_key, expiry, rings, sessions, others};
    alarm(30);
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            ctl(KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0);
            parts[i]();
            fflush(stdout);
            _exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        printf("-> %d\n", status);
    }
    return 0;
}
