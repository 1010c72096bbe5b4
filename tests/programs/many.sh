# Many: 200 threads on futexes, 1,000 fork and exec, 300 processes at once, a guarded page.
cd /tmp || exit 1
cat > t.c <<'END'
#include <pthread.h>
#include <stdio.h>
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER; static pthread_cond_t c = PTHREAD_COND_INITIALIZER; static pthread_barrier_t b;
static int turn, sum;
static void *w(void *a) { int id = (int)(long)a; pthread_barrier_wait(&b);
for (int r = 0; r < 10; r++) { pthread_mutex_lock(&m); while (turn % 200 != id) pthread_cond_wait(&c, &m); turn++; sum += id; pthread_cond_broadcast(&c); pthread_mutex_unlock(&m); } return 0; }
int main(void) { pthread_t t[200]; pthread_barrier_init(&b, 0, 200); for (long i = 0; i < 200; i++) pthread_create(&t[i], 0, w, (void *)i);
for (int i = 0; i < 200; i++) pthread_join(t[i], 0); printf("turns %d sum %d\n", turn, sum); return 0; }
END
gcc -O1 -pthread -o t t.c && ./t
cat > f.c <<'END'
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) { int ok = 0, s; for (int i = 0; i < 1000; i++) { if (!fork()) { execl("/bin/true", "true", (char *)0); _exit(9); } wait(&s); ok += s == 0; } printf("ran %d\n", ok);
int p[2]; char x; pipe(p); for (int i = 0; i < 300; i++) if (!fork()) { close(p[1]); read(p[0], &x, 1); _exit(i % 100); } close(p[0]); close(p[1]);
int n = 0, t = 0; while (wait(&s) > 0) { n++; t += WEXITSTATUS(s); } printf("processes %d sum %d\n", n, t); return 0; }
END
gcc -O1 -o f f.c && ./f
cat > g.c <<'END'
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
static char *a; static int n; static sigjmp_buf j;
static void h(int s, siginfo_t *i, void *u) { n++; if ((char *)i->si_addr >= a + 4096 * 64) siglongjmp(j, 1); mprotect((void *)((long)i->si_addr & ~4095l), 4096, PROT_READ | PROT_WRITE); }
int main(void) { struct sigaction sa = { .sa_sigaction = h, .sa_flags = SA_SIGINFO }; sigaction(SIGSEGV, &sa, 0); a = mmap(0, 4096 * 65, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
for (int i = 0; i < 64; i++) a[i * 4096] = i; if (!sigsetjmp(j, 1)) a[4096 * 64] = 1; else puts("guard caught"); printf("faults %d\n", n); return 0; }
END
gcc -O1 -o g g.c && ./g
for i in $(seq 300); do sleep 0.5 & done; wait; echo waited
i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i + 1)); done; echo "$i"
