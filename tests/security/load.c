/*
 * load: pipes, futexes, big writes and sockets under way for some seconds, every byte
 * checked. It may run while the host stops, continues and freezes our processes: no
 * byte may be lost or come twice.
 *
 *   load SECONDS
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static time_t end;
static int over(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec >= end;
}

static int get(int fd, void *b, size_t n)
{
	for (size_t t = 0; t < n;) {
		ssize_t r = read(fd, (char *)b + t, n - t);
		if (r <= 0)
			return -1;
		t += r;
	}
	return 0;
}
static int put(int fd, const void *b, size_t n)
{
	for (size_t t = 0; t < n;) {
		ssize_t r = write(fd, (const char *)b + t, n - t);
		if (r <= 0)
			return -1;
		t += r;
	}
	return 0;
}

/* Two processes count each other up over two pipes. */
static int ping(void)
{
	int a[2], b[2];
	uint64_t n = 0, got = 0;
	pipe(a);
	pipe(b);
	pid_t k = fork();
	if (!k) {
		close(a[1]);
		close(b[0]);
		while (get(a[0], &got, 8) == 0 && put(b[1], &(uint64_t){ got + 1 }, 8) == 0)
			;
		_exit(0);
	}
	close(a[0]);
	close(b[1]);
	int bad = 0;
	while (!over() && !bad) {
		bad = put(a[1], &n, 8) || get(b[0], &got, 8) || got != n + 1;
		n += 2;
	}
	close(a[1]);
	waitpid(k, NULL, 0);
	return bad || n == 0;
}

/* A megabyte in one write, numbered words. */
static int bulk(int sock)
{
	size_t words = 1 << 17;
	uint64_t *w = malloc(8 * words);
	int p[2];
	if (sock)
		socketpair(AF_UNIX, SOCK_STREAM, 0, p);
	else
		pipe(p);
	pid_t k = fork();
	if (!k) {
		close(p[0]);
		uint64_t n = 0;
		while (!over()) {
			for (size_t i = 0; i < words; i++)
				w[i] = n++;
			if (put(p[1], w, 8 * words))
				_exit(1);
		}
		_exit(0);
	}
	close(p[1]);
	uint64_t n = 0;
	int bad = 0, st;
	while (get(p[0], w, 8 * words) == 0)
		for (size_t i = 0; i < words; i++)
			bad += w[i] != n++;
	waitpid(k, &st, 0);
	return bad || st || n == 0;
}

static uint32_t *word;
static volatile uint64_t turns;
static void *turn(void *a)
{
	uint32_t me = (uint32_t)(long)a;
	while (!over()) {
		uint32_t v = __atomic_load_n(word, __ATOMIC_SEQ_CST);
		if (v % 2 == me) {
			turns++;
			__atomic_store_n(word, v + 1, __ATOMIC_SEQ_CST);
			syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
		} else {
			struct timespec ts = { 1, 0 };
			syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, v, &ts, NULL, 0);
		}
	}
	return NULL;
}

static int futexes(void)
{
	static uint32_t w;
	pthread_t t[2];
	word = &w;
	for (long i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, turn, (void *)i);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	return turns != w || w == 0;
}

int main(int argc, char **argv)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	end = t.tv_sec + (argc > 1 ? atoi(argv[1]) : 5);
	pid_t k[4];
	for (int i = 0; i < 4; i++) {
		k[i] = fork();
		if (!k[i])
			_exit(i == 0 ? ping() : i == 1 ? bulk(0) : i == 2 ? bulk(1) : futexes());
	}
	static const char *const names[] = { "ping", "bulk pipe", "bulk socket", "futexes" };
	for (int i = 0; i < 4; i++) {
		int st;
		waitpid(k[i], &st, 0);
		printf("%s: %s\n", names[i], st ? "LOST OR DOUBLED" : "whole");
	}
	return 0;
}
