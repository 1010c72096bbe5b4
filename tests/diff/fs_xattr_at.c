// setxattrat, getxattrat, listxattrat, removexattrat (Linux 6.13).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYS_setxattrat 463
#define SYS_getxattrat 464
#define SYS_listxattrat 465
#define SYS_removexattrat 466

struct args {
    uint64_t value;
    uint32_t size, flags;
    uint64_t more;
};

static const char *e(long r) { return r < 0 ? strerrorname_np(errno) : "ok"; }

static long set(int dir, const char *path, unsigned at, const char *name, const char *value, unsigned size, unsigned flags)
{
    struct args a = {(uint64_t)value, size, flags, 0};
    return syscall(SYS_setxattrat, dir, path, at, name, &a, 16L);
}

static long get(int dir, const char *path, unsigned at, const char *name, char *value, unsigned size, unsigned flags)
{
    struct args a = {(uint64_t)value, size, flags, 0};
    return syscall(SYS_getxattrat, dir, path, at, name, &a, 16L);
}

int main(void)
{
    char buf[64] = "";
    if (syscall(SYS_listxattrat, AT_FDCWD, ".", 0, buf, 0L) < 0 && errno == ENOSYS)
        return 77;
    int dir = open(".", O_RDONLY | O_DIRECTORY), f = open("f", O_CREAT | O_RDWR, 0600);
    symlink("f", "l");
    printf("set %s\n", e(set(dir, "f", 0, "user.a", "one", 3, 0)));
    printf("create again %s\n", e(set(dir, "f", 0, "user.a", "two", 3, 1)));
    printf("replace none %s\n", e(set(dir, "f", 0, "user.b", "two", 3, 2)));
    printf("bad flags %s\n", e(set(dir, "f", 0, "user.b", "two", 3, 8)));
    printf("by descriptor %s\n", e(set(f, "", AT_EMPTY_PATH, "user.b", "two", 3, 0)));
    printf("no path %s\n", e(set(f, 0, AT_EMPTY_PATH, "user.b", "tw0", 3, 0)));
    printf("empty path %s\n", e(set(f, "", 0, "user.b", "two", 3, 0)));
    printf("link itself %s\n", e(set(dir, "l", AT_SYMLINK_NOFOLLOW, "user.a", "x", 1, 0)));
    printf("bad at %s\n", e(set(dir, "f", AT_REMOVEDIR, "user.a", "x", 1, 0)));
    printf("get %ld %.3s\n", get(dir, "l", 0, "user.a", buf, 64, 0), buf);
    printf("size %ld\n", get(dir, "f", 0, "user.a", 0, 0, 0));
    printf("short %s\n", e(get(dir, "f", 0, "user.a", buf, 2, 0)));
    printf("flags %s\n", e(get(dir, "f", 0, "user.a", buf, 64, 1)));
    printf("none %s\n", e(get(dir, "f", 0, "user.none", buf, 64, 0)));
    printf("link itself %s\n", e(get(dir, "l", AT_SYMLINK_NOFOLLOW, "user.a", buf, 64, 0)));
    printf("bad directory %s\n", e(get(999, "f", 0, "user.a", buf, 64, 0)));
    struct args a = {(uint64_t)buf, 64, 0, 0};
    printf("struct too small %s\n", e(syscall(SYS_getxattrat, dir, "f", 0, "user.a", &a, 15L)));
    printf("longer, zero %ld\n", syscall(SYS_getxattrat, dir, "f", 0, "user.a", &a, 24L));
    a.more = 1;
    printf("longer, set %s\n", e(syscall(SYS_getxattrat, dir, "f", 0, "user.a", &a, 24L)));
    printf("too long %s\n", e(syscall(SYS_getxattrat, dir, "f", 0, "user.a", &a, 5000L)));
    printf("bad struct %s\n", e(syscall(SYS_getxattrat, dir, "f", 0, "user.a", 8L, 16L)));
    printf("list %ld\n", syscall(SYS_listxattrat, dir, "f", 0, buf, 64L));
    printf("list short %s\n", e(syscall(SYS_listxattrat, dir, "f", 0, buf, 3L)));
    printf("list bad at %s\n", e(syscall(SYS_listxattrat, dir, "f", 1, buf, 64L)));
    printf("remove %s\n", e(syscall(SYS_removexattrat, f, "", AT_EMPTY_PATH, "user.b")));
    printf("again %s\n", e(syscall(SYS_removexattrat, f, "", AT_EMPTY_PATH, "user.b")));
    printf("remove bad at %s\n", e(syscall(SYS_removexattrat, dir, "f", 1, "user.a")));
    printf("list %ld\n", syscall(SYS_listxattrat, dir, "f", 0, buf, 64L));
    unlink("f"), unlink("l");
    return 0;
}
