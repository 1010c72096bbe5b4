/* /sys/class/net: links as symbolic links to their devices, and what a device tells. */
#include "../lib/diff.h"
#include <dirent.h>

static void text(const char *name)
{
    char path[128], buf[128] = "";
    snprintf(path, sizeof path, "/sys/class/net/%s", name);
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        printf("%s: %s\n", name, strerror(errno));
        return;
    }
    ssize_t n = read(fd, buf, sizeof buf - 1);
    printf("%s: %zd %s", name, n, n > 0 ? buf : "\n");
    close(fd);
}

static int listed(const char *dir, const char *name)
{
    DIR *d = opendir(dir);
    int found = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        found |= !strcmp(e->d_name, name);
    if (d)
        closedir(d);
    return found;
}

int main(void)
{
    char to[128] = "";
    struct stat st;

    printf("lo listed %d %d\n", listed("/sys/class/net", "lo"), listed("/sys/devices/virtual/net", "lo"));
    printf("nosuch listed %d\n", listed("/sys/class/net", "nosuch"));
    printf("readlink %zd %s\n", readlink("/sys/class/net/lo", to, sizeof to - 1), to);
    printf("lstat %d link %d\n", lstat("/sys/class/net/lo", &st), S_ISLNK(st.st_mode));
    printf("stat %d dir %d\n", stat("/sys/class/net/lo", &st), S_ISDIR(st.st_mode));
    printf("file %d %o\n", stat("/sys/class/net/lo/mtu", &st), S_ISREG(st.st_mode));
    const char *files[] = {"lo/addr_assign_type", "lo/addr_len", "lo/address", "lo/broadcast", "lo/dev_id",
                           "lo/ifindex", "lo/iflink", "lo/link_mode", "lo/mtu", "lo/operstate",
                           "lo/tx_queue_len", "lo/type", "lo/nosuch", "nosuch/mtu", "nosuch"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        text(files[i]);
    const char *counters[] = {"multicast", "rx_bytes", "rx_dropped", "rx_errors", "rx_packets",
                              "tx_bytes", "tx_dropped", "tx_packets"};
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        char path[128];
        long n = -1;
        snprintf(path, sizeof path, "/sys/class/net/lo/statistics/%s", counters[i]);
        FILE *f = fopen(path, "r");
        if (f && fscanf(f, "%ld", &n) != 1)
            n = -2;
        printf("%s %d %d\n", counters[i], listed("/sys/class/net/lo/statistics", counters[i]), n >= 0);
        if (f)
            fclose(f);
    }
    return 0;
}
