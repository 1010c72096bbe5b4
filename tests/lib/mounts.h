/*
 * mounts.h: what the programs about mounts share. A program works in a mount namespace of
 * its own, all private, in a tmpfs at /tmp/m.
 */
#ifndef MOUNTS_H
#define MOUNTS_H

#include "diff.h"
#include <sys/mount.h>

#define BASE "/tmp/m"

__attribute__((unused)) static void world(void)
{
	alarm(20);
	if (unshare(CLONE_NEWNS) || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
		perror("own mount namespace");
		exit(1);
	}
	mkdir(BASE, 0755);
	if (mount("base", BASE, "tmpfs", 0, "size=1m") || chdir(BASE)) {
		perror("base");
		exit(1);
	}
}

static int group_of(long id)
{
	static long seen[256];
	static int n;
	for (int i = 0; i < n; i++)
		if (seen[i] == id)
			return i + 1;
	if (n < 256)
		seen[n++] = id;
	return n;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char **)a, *(char **)b);
}

/* The mounts below BASE, sorted, with groups numbered as they are first seen. */
__attribute__((unused)) static void mounts(const char *title)
{
	static char buf[1 << 18];
	char *lines[512];
	int n = 0, fd = open("/proc/thread-self/mountinfo", O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t r;
	while ((r = read(fd, buf + len, sizeof buf - 1 - len)) > 0)
		len += r;
	close(fd);
	buf[len] = 0;
	printf("-- %s\n", title);
	for (char *l = strtok(buf, "\n"); l && n < 512; l = strtok(NULL, "\n")) {
		char root[256], at[256], opts[256], tail[600] = "", line[2000];
		int off = 0;
		sscanf(l, "%*d %*d %*s %255s %255s %255s %n", root, at, opts, &off);
		if (strncmp(at, BASE, strlen(BASE)))
			continue;
		snprintf(tail, sizeof tail, "%s", l + off);
		char *inode64 = strstr(tail, ",inode64");
		if (inode64)
			memmove(inode64, inode64 + 8, strlen(inode64 + 8) + 1);
		snprintf(line, sizeof line, "%s %s %s | %s", at + strlen(BASE), root, opts, tail);
		lines[n++] = strdup(line);
	}
	qsort(lines, n, sizeof *lines, by_text);
	for (int i = 0; i < n; i++) {
		char *s = lines[i];
		for (char *p; (p = strpbrk(s, ":")); s = p + 1) {
			char *w = p;
			while (w > s && w[-1] != ' ')
				w--;
			int ours = !strncmp(w, "shared:", 7) || !strncmp(w, "master:", 7) || !strncmp(w, "propagate_from:", 15);
			printf("%.*s", (int)(p + 1 - s), s);
			if (ours) {
				char *end;
				printf("%d", group_of(strtol(p + 1, &end, 10)));
				p = end - 1;
			}
		}
		puts(s);
		free(lines[i]);
	}
	fflush(stdout);
}
#endif
