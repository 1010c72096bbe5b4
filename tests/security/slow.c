/*
 * slow: one process keeps making calls while others make files, for which
 * the host may be slow. Prints the longest time that a call of the first took, in milliseconds.
 *
 *   slow SECONDS [self]
 *
 * With "self" the first process makes files, too.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

/* New files: the host has to be asked for each. */
static void files(int me)
{
	for (;;) {
		char name[64];
		snprintf(name, sizeof name, "/tmp/new.%d", me);
		close(open(name, O_CREAT | O_RDWR, 0600));
		unlink(name);
		usleep(1000);
	}
}

/* Calls that the kernel answers itself, over a pipe to be woken by another. */
static double calls(double end)
{
	int p[2], q[2];
	pipe(p);
	pipe(q);
	pid_t k = fork();
	if (!k) {
		char c;
		close(p[1]);
		while (read(p[0], &c, 1) == 1)
			write(q[1], &c, 1);
		_exit(0);
	}
	double longest = 0;
	for (double t = now(), u; t < end; t = u) {
		char c = 0;
		write(p[1], &c, 1);
		read(q[0], &c, 1);
		usleep(500);
		u = now();
		if (u - t > longest)
			longest = u - t;
	}
	kill(k, SIGKILL);
	waitpid(k, NULL, 0);
	return longest;
}

int main(int argc, char **argv)
{
	double end = now() + 1e3 * (argc > 1 ? atoi(argv[1]) : 4);
	pid_t k[24];
	for (int i = 0; i < 24; i++)
		if (!(k[i] = fork()))
			files(i);
	if (argc > 2)
		files(24);
	printf("longest %.1f ms\n", calls(end));
	for (int i = 0; i < 24; i++)
		kill(k[i], SIGKILL);
	return 0;
}
