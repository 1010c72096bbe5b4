/*
 * fault.h: try an access and say what came of it.
 *
 *   FAULT(statement)   prints "statement: ok" or the signal, its si_code and
 *                      whether si_addr is the address given to fault_at
 */
#ifndef FAULT_H
#define FAULT_H

#include "diff.h"
#include <setjmp.h>

static sigjmp_buf fault_env;
static volatile int fault_sig, fault_code;
static void *volatile fault_addr;

static void fault_handler(int sig, siginfo_t *si, void *uc)
{
	(void)uc;
	fault_sig = sig;
	fault_code = si->si_code;
	fault_addr = si->si_addr;
	siglongjmp(fault_env, 1);
}

__attribute__((unused)) static void fault_init(void)
{
	struct sigaction sa = { .sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO };
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGFPE, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
	sigaction(SIGTRAP, &sa, NULL);
}

#define FAULT(st, where) do { \
	if (sigsetjmp(fault_env, 1) == 0) { \
		st; \
		say(__LINE__, "%s: ok", #st); \
	} else { \
		say(__LINE__, "%s: SIG%s code %d at the place %d", #st, sname(fault_sig), fault_code, \
		    fault_addr == (void *)(where)); \
	} \
} while (0)

#endif
