/* sched_* calls and cpu sets. */
#include "diff.h"

struct attr { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t prio; uint64_t rt, dl, per; };

int main(void)
{
	struct sched_param sp = { 0 };
	struct timespec ts;
	cpu_set_t set, got;
	struct attr a;

	R(sched_yield());
	R(sched_getscheduler(0));
	R(sched_getscheduler(-1));
	R(sched_getscheduler(99999));
	R(sched_getparam(0, &sp));
	P("prio %d", sp.sched_priority);
	R(sched_getparam(0, BAD));
	R(sched_getparam(-1, &sp));
	R(sched_setscheduler(0, SCHED_OTHER, &sp));
	R(sched_setscheduler(0, SCHED_BATCH, &sp));
	R(sched_getscheduler(0));
	R(sched_setscheduler(0, SCHED_IDLE, &sp));
	R(sched_getscheduler(0));
	R(sched_setscheduler(0, SCHED_OTHER, &sp));
	R(sched_setscheduler(0, 99, &sp));
	R(sched_setscheduler(0, SCHED_OTHER, BAD));
	R(sched_setscheduler(99999, SCHED_OTHER, &sp));
	sp.sched_priority = 1;
	R(sched_setscheduler(0, SCHED_OTHER, &sp));
	R(sched_setscheduler(0, SCHED_FIFO, &sp));
	R(sched_setscheduler(0, SCHED_RR, &sp));
	R(sched_setparam(0, &sp));
	sp.sched_priority = 100;
	R(sched_setscheduler(0, SCHED_FIFO, &sp));
	R(sched_get_priority_max(SCHED_FIFO));
	R(sched_get_priority_min(SCHED_FIFO));
	R(sched_get_priority_max(SCHED_OTHER));
	R(sched_get_priority_min(SCHED_RR));
	R(sched_get_priority_max(99));
	R(sched_get_priority_min(-1));
	R(sched_rr_get_interval(0, &ts));
	R(sched_rr_get_interval(-1, &ts));
	R(sched_rr_get_interval(0, BAD));

	R(sched_getaffinity(0, sizeof set, &set));
	T(CPU_COUNT(&set) >= 1);
	S(syscall(SYS_sched_getaffinity, 0, sizeof set, &set));
	R(syscall(SYS_sched_getaffinity, 0, 1, &set));
	R(syscall(SYS_sched_getaffinity, 0, 0, &set));
	R(syscall(SYS_sched_getaffinity, 0, 9, &set));
	R(syscall(SYS_sched_getaffinity, 0, sizeof set, BAD));
	R(syscall(SYS_sched_getaffinity, 99999, sizeof set, &set));
	T(CPU_ISSET(sched_getcpu(), &set));
	int first = 0;
	while (!CPU_ISSET(first, &set))
		first++;
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	R(sched_setaffinity(0, sizeof one, &one));
	R(sched_getaffinity(0, sizeof got, &got));
	T(CPU_EQUAL(&one, &got));
	T(sched_getcpu() == first);
	CHILD({ sched_getaffinity(0, sizeof got, &got); T(CPU_EQUAL(&one, &got)); });
	R(sched_setaffinity(0, sizeof set, &set));
	CPU_ZERO(&one);
	R(sched_setaffinity(0, sizeof one, &one));
	CPU_SET(1000, &one);
	R(sched_setaffinity(0, sizeof one, &one));
	R(sched_setaffinity(0, sizeof one, BAD));
	R(sched_setaffinity(99999, sizeof set, &set));
	R(syscall(SYS_sched_setaffinity, 0, 0, &set));
	unsigned cpu = 99999, node = 99999;
	R(syscall(SYS_getcpu, &cpu, &node, NULL));
	T(cpu < 4096 && node < 64);
	R(syscall(SYS_getcpu, NULL, NULL, NULL));
	R(syscall(SYS_getcpu, BAD, NULL, NULL));

	memset(&a, 0, sizeof a);
	R(syscall(SYS_sched_getattr, 0, &a, sizeof a, 0));
	P("size %u policy %u nice %d prio %u", a.size, a.policy, a.nice, a.prio);
	R(syscall(SYS_sched_getattr, 0, &a, 10, 0));
	R(syscall(SYS_sched_getattr, 0, &a, sizeof a, 1));
	R(syscall(SYS_sched_getattr, 0, BAD, sizeof a, 0));
	R(syscall(SYS_sched_getattr, 99999, &a, sizeof a, 0));
	a = (struct attr){ .size = sizeof a, .policy = SCHED_BATCH, .nice = 3 };
	R(syscall(SYS_sched_setattr, 0, &a, 0));
	R(sched_getscheduler(0));
	R(getpriority(PRIO_PROCESS, 0));
	a.policy = 99;
	R(syscall(SYS_sched_setattr, 0, &a, 0));
	R(syscall(SYS_sched_setattr, 0, &a, 1));
	R(syscall(SYS_sched_setattr, 0, BAD, 0));
	a = (struct attr){ .size = sizeof a, .policy = SCHED_FIFO, .prio = 5 };
	R(syscall(SYS_sched_setattr, 0, &a, 0));
	R(nice(2));
	R(getpriority(PRIO_PROCESS, 0));
	R(setpriority(PRIO_PROCESS, 0, 100));
	R(getpriority(PRIO_PROCESS, 0));
	R(setpriority(PRIO_PROCESS, 0, 0));
	R(syscall(SYS_ioprio_get, 1, 0));
	R(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 5));
	R(syscall(SYS_ioprio_get, 1, 0));
	R(syscall(SYS_ioprio_get, 7, 0));
	return 0;
}
