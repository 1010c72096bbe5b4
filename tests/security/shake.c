/*
 * shake: stop, continue, freeze and thaw the guests' host processes at random, from the
 * host, while they work. What is done follows from the seed; when it hits does not.
 *
 *   shake STATE_FOLDER SECONDS SEED
 *
 * Runs as a real-time process where it may, so that the load cannot keep it from thawing
 * what it froze. Freezing needs a freezer hierarchy of cgroup v1; without one it only stops.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FREEZER "/sys/fs/cgroup/freezer"
#define MAX 256

static unsigned long long state;
static unsigned pick(unsigned n)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(state >> 33) % n;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -1 : 0;
}

/* The children of the sandbox that run guests: all but the gofer. */
static int guests(int parent, int *pids)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	int n = 0;
	while ((e = readdir(d)) && n < MAX) {
		char path[300], text[512], *p;
		if (e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		ssize_t r = read(fd, text, sizeof text - 1);
		close(fd);
		if (r <= 0)
			continue;
		text[r] = 0;
		p = strrchr(text, ')');
		int from;
		if (!p || sscanf(p + 2, "%*c %d", &from) != 1 || from != parent || strstr(text, "gofer"))
			continue;
		pids[n++] = atoi(e->d_name);
	}
	closedir(d);
	return n;
}

static char group[64], home[512];

/* The freezer group that a process is in. */
static int group_of(int pid, char *to, size_t size)
{
	char path[64], line[512], *p;
	snprintf(path, sizeof path, "/proc/%d/cgroup", pid);
	FILE *f = fopen(path, "re");
	int found = -1;
	while (f && fgets(line, sizeof line, f))
		if ((p = strstr(line, ":freezer:"))) {
			p[strcspn(p, "\n")] = 0;
			found = snprintf(to, size, FREEZER "%s/cgroup.procs", p + 9) < (int)size ? 0 : -1;
		}
	if (f)
		fclose(f);
	return found;
}

static void freeze(int pid, unsigned us)
{
	char procs[128], freezer[128], id[16];
	snprintf(procs, sizeof procs, "%s/cgroup.procs", group);
	snprintf(freezer, sizeof freezer, "%s/freezer.state", group);
	snprintf(id, sizeof id, "%d", pid);
	if (group_of(pid, home, sizeof home) || put(procs, id))
		return;
	put(freezer, "FROZEN");
	usleep(us);
	put(freezer, "THAWED");
	put(home, id);
}

/* The process of the one sandbox whose state is kept there, once there is one. */
static int sandbox(const char *folder)
{
	char pattern[512], text[512];
	snprintf(pattern, sizeof pattern, "%s/*/state.json", folder);
	for (int i = 0; i < 2000; i++) {
		glob_t found;
		if (glob(pattern, 0, NULL, &found) == 0) {
			int fd = open(found.gl_pathv[0], O_RDONLY | O_CLOEXEC);
			ssize_t n = read(fd, text, sizeof text - 1);
			close(fd);
			globfree(&found);
			text[n > 0 ? n : 0] = 0;
			char *p = strstr(text, "\"process\":{\"pid\":");
			if (p)
				return atoi(strrchr(strtok(p, ","), ':') + 1);
		}
		usleep(10000);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	struct sched_param rt = { .sched_priority = 5 };
	sched_setscheduler(0, SCHED_FIFO, &rt);
	int parent = sandbox(argv[1]);
	double end = now() + atof(argv[2]);
	state = strtoull(argv[3], NULL, 0);
	snprintf(group, sizeof group, FREEZER "/runsc-shake-%d", (int)getpid());
	int freezer = mkdir(group, 0755) == 0;
	int stops = 0, freezes = 0;
	while (parent && now() < end) {
		int pids[MAX], n = guests(parent, pids);
		if (n == 0) {
			usleep(1000);
			continue;
		}
		int a = pids[pick(n)], b = pids[pick(n)];
		unsigned us = pick(20) ? pick(3000) : pick(200000);
		switch (pick(freezer ? 4 : 2)) {
		case 0: /* one stops */
			kill(a, SIGSTOP);
			usleep(us);
			kill(a, SIGCONT);
			stops++;
			break;
		case 1: /* two stop and go on in the other order */
			kill(a, SIGSTOP);
			usleep(us / 2);
			kill(b, SIGSTOP);
			usleep(us / 2);
			kill(b, SIGCONT);
			kill(a, SIGCONT);
			stops += 2;
			break;
		case 2: /* frozen */
			freeze(a, us);
			freezes++;
			break;
		default: /* frozen while stopped */
			kill(a, SIGSTOP);
			freeze(a, us);
			kill(a, SIGCONT);
			stops++, freezes++;
			break;
		}
		usleep(pick(5000));
	}
	if (freezer)
		rmdir(group);
	printf("%d stops, %d freezes\n", stops, freezes);
	return stops == 0;
}
