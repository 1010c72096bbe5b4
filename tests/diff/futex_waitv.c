/* futex_waitv: several futexes at once. */
#include "diff.h"

static uint32_t f;

int main(void)
{
	struct timespec abs;
	struct { uint64_t val, addr; uint32_t flags, res; } v[2] = { { 0, (uintptr_t)&f, 2, 0 }, { 0, (uintptr_t)(&f + 0), 2 | 128, 0 } };
	clock_gettime(CLOCK_MONOTONIC, &abs);
	R(syscall(449, v, 2, 0, &abs, CLOCK_MONOTONIC));
	v[1].val = 5;
	R(syscall(449, v, 2, 0, &abs, CLOCK_MONOTONIC));
	R(syscall(449, v, 0, 0, &abs, CLOCK_MONOTONIC));
	R(syscall(449, v, 2, 1, &abs, CLOCK_MONOTONIC));
	R(syscall(449, v, 129, 0, &abs, CLOCK_MONOTONIC));
	R(syscall(449, BAD, 2, 0, &abs, CLOCK_MONOTONIC));
	return 0;
}
