/* brk: the break's movement, limits, content; stack growth and its limit. */
#include "fault.h"

static char *sbreak(void *to) { return (char *)syscall(SYS_brk, to); }

static int deep(int n)
{
	volatile char a[4096];
	a[0] = n;
	return n ? deep(n - 1) + a[0] : 0;
}

int main(void)
{
	fault_init();
	char *b = sbreak(0);
	volatile char *v;

	T(b != NULL);
	T(sbreak(b) == b);
	T(sbreak(b + 100000) == b + 100000);
	memset(b, 'x', 100000);
	T(sbreak(0) == b + 100000);
	T(sbreak(b + 10) == b + 10);
	T(sbreak(b + 100000) == b + 100000);
	P("shrunk and grown again: %d", b[50000]);
	T(sbreak((char *)8) == b + 100000);
	T(sbreak(b - (1 << 30)) == b + 100000);
	T(sbreak((char *)(1ul << 47)) == b + 100000);
	T(sbreak((char *)-1) == b + 100000);
	T(sbreak(b) == b);
	char *end = (char *)(((uintptr_t)b + 4095) & ~4095ul);
	v = end;
	FAULT(v[0] = 1, v);
	T(sbreak(end + 1) == end + 1);
	FAULT(v[4095] = 1, v);
	FAULT(v[4096] = 1, v + 4096);
	/* a mapping in the way */
	T(mmap(end + 0x100000, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == end + 0x100000);
	T(sbreak(end + 0x200000) == end + 1);
	T(sbreak(end + 0x80000) == end + 0x80000);
	/* the child has its own */
	CHILD({
		T(sbreak(0) == end + 0x80000);
		T(sbreak(end + 0x90000) == end + 0x90000);
		end[0x85000] = 3;
	});
	T(sbreak(0) == end + 0x80000);
	/* limits */
	struct rlimit rl = { 0x10000, 0x10000 };
	CHILD({
		R(setrlimit(RLIMIT_DATA, &rl));
		T(sbreak(end + 0xa0000) == end + 0x80000);
		T(mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
		T(mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	});
	CHILD({
		struct rlimit as = { 1 << 20, 1 << 20 };
		R(setrlimit(RLIMIT_AS, &as));
		T(mmap(NULL, 8 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM);
		T(sbreak(end + 0xffffff) == end + 0x80000);
	});

	/* the stack grows by itself, as far as its limit goes */
	T(deep(1000) >= -1000000);
	CHILD({
		signal(SIGSEGV, SIG_DFL);
		struct rlimit st = { 1 << 20, RLIM_INFINITY };
		R(setrlimit(RLIMIT_STACK, &st));
		T(deep(150) >= -1000000);
		deep(100000);
	});
	CHILD({
		signal(SIGSEGV, SIG_DFL);
		volatile char *sp = __builtin_frame_address(0);
		sp[-1 << 20] = 1;
		P("a touch far below the stack pointer is fine");
		sp[-64 << 20] = 1;
		P("not reached");
	});
	/* a growing mapping of one's own */
	char *g = mmap((void *)0x340000100000, PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
	v = g;
	FAULT(v[0] = 1, v);
	FAULT(v[-1] = 1, 0);
	FAULT(v[-5000] = 1, 0);
	/* main's stack in maps, pages of a fresh thread's stack */
	return 0;
}
