/* Memory policies on a machine with one node. */
#include "diff.h"
#include <linux/mempolicy.h>

static unsigned long m[16];
static int mode;
#define GET(mo, ma, mx, ad, fl) (mode = -1, m[0] = ~0ul, syscall(SYS_get_mempolicy, mo, ma, mx, ad, fl))
#define SET(mo, ma, mx) syscall(SYS_set_mempolicy, mo, ma, mx)
#define BIND(...) syscall(SYS_mbind, __VA_ARGS__)
#define SHOW() P("mode %x nodes %lx", mode, m[0])

int main(void)
{
	unsigned long one = 1, two = 2, none = 0, far[16] = { 0 };
	char *a = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	R(GET(&mode, m, 1024, 0, 0));
	SHOW();
	R(GET(NULL, NULL, 0, 0, 0));
	R(GET(&mode, m, 0, 0, 0));
	R(GET(&mode, m, 1024, a, 0));
	R(GET(&mode, m, 1024, a, 8));
	R(GET(&mode, m, 1024, 0, MPOL_F_MEMS_ALLOWED));
	SHOW();
	R(GET(&mode, m, 1024, 0, MPOL_F_MEMS_ALLOWED | MPOL_F_ADDR));
	R(GET(&mode, NULL, 0, 0, MPOL_F_NODE));
	a[0] = 1;
	R(GET(&mode, NULL, 0, a, MPOL_F_NODE | MPOL_F_ADDR));
	SHOW();
	R(GET(&mode, NULL, 0, BAD, MPOL_F_ADDR));
	R(GET(BAD, NULL, 0, 0, 0));
	R(GET(&mode, BAD, 1024, 0, 0));
	for (int i = 0; i <= 8; i++) {
		R(SET(i, &one, 64));
		R(GET(&mode, m, 1024, 0, 0));
		SHOW();
		R(SET(i, NULL, 0));
		R(GET(&mode, m, 1024, 0, 0));
		SHOW();
		R(SET(i, &none, 64));
		R(SET(i, &two, 64));
		R(SET(i, ((unsigned long[]){ 3 }), 64));
		GET(&mode, m, 1024, 0, 0);
		SHOW();
	}
	for (int i = 0; i < 7; i++)
		for (int f = 13; f < 16; f++)
			P("mode %d flag %d: %ld %s", i, f, SET(i | 1 << f, i == 0 || i == 4 ? NULL : &one, i == 0 || i == 4 ? 0 : 64), ename(errno));
	R(SET(MPOL_BIND | MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES, &one, 64));
	R(SET(MPOL_BIND, &one, 1));
	R(SET(MPOL_BIND, &one, 2));
	R(SET(MPOL_BIND, BAD, 64));
	R(SET(MPOL_BIND, &one, 1 << 20));
	far[0] = 1;
	far[15] = 1;
	R(SET(MPOL_BIND, far, 1025));
	R(SET(-1, &one, 64));
	R(SET(MPOL_INTERLEAVE, &one, 64));
	R(GET(&mode, NULL, 0, 0, MPOL_F_NODE));
	SHOW();
	CHILD({ R(GET(&mode, m, 1024, 0, 0)); SHOW(); });
	R(SET(MPOL_DEFAULT, NULL, 0));
	/* mbind */
	R(BIND(a, 2 * PAGE, MPOL_BIND, &one, 64, 0));
	R(GET(&mode, m, 1024, a, MPOL_F_ADDR));
	SHOW();
	R(GET(&mode, m, 1024, a + 2 * PAGE, MPOL_F_ADDR));
	SHOW();
	R(BIND(a + PAGE, PAGE, MPOL_PREFERRED, &one, 64, MPOL_MF_STRICT | MPOL_MF_MOVE));
	R(GET(&mode, m, 1024, a + PAGE, MPOL_F_ADDR));
	SHOW();
	R(BIND(a, PAGE, MPOL_BIND, &one, 64, MPOL_MF_MOVE_ALL));
	R(BIND(a, PAGE, MPOL_BIND, &one, 64, 64));
	R(BIND(a + 1, PAGE, MPOL_BIND, &one, 64, 0));
	R(BIND(a, 0, MPOL_BIND, &one, 64, 0));
	R(BIND(a, -1, MPOL_BIND, &one, 64, 0));
	R(BIND(a, PAGE, MPOL_BIND, &none, 64, 0));
	R(BIND(a, PAGE, MPOL_BIND, &two, 64, 0));
	R(BIND(a, PAGE, 9, &one, 64, 0));
	R(BIND(a, PAGE, MPOL_BIND, BAD, 64, 0));
	munmap(a + 4 * PAGE, PAGE);
	R(BIND(a, 8 * PAGE, MPOL_BIND, &one, 64, 0));
	R(BIND(a, 8 * PAGE, MPOL_DEFAULT, NULL, 0, 0));
	R(BIND(a + 4 * PAGE, PAGE, MPOL_DEFAULT, NULL, 0, 0));
	R(GET(&mode, m, 1024, a, MPOL_F_ADDR));
	SHOW();
	R(syscall(SYS_set_mempolicy_home_node, a, PAGE, 0, 0));
	R(BIND(a, PAGE, MPOL_BIND, &one, 64, 0));
	R(syscall(SYS_set_mempolicy_home_node, a, PAGE, 0, 0));
	R(syscall(SYS_set_mempolicy_home_node, a, PAGE, 1, 0));
	R(syscall(SYS_set_mempolicy_home_node, a, PAGE, 0, 1));
	R(syscall(SYS_set_mempolicy_home_node, a + 1, PAGE, 0, 0));
	R(syscall(SYS_set_mempolicy_home_node, a, 0, 0, 0));
	R(BIND(a, PAGE, MPOL_INTERLEAVE, &one, 64, 0));
	R(syscall(SYS_set_mempolicy_home_node, a, PAGE, 0, 0));
	/* pages */
	void *pg[4] = { a, a + 2 * PAGE, a + 4 * PAGE, BAD };
	int node[4] = { 0 }, st[4];
	R(syscall(SYS_move_pages, 0, 3, pg, NULL, st, 0));
	P("%d %d %d", st[0], st[1], st[2]);
	R(syscall(SYS_move_pages, 0, 1, pg, node, st, MPOL_MF_MOVE));
	P("%d", st[0]);
	node[0] = 5000;
	R(syscall(SYS_move_pages, 0, 1, pg, node, st, MPOL_MF_MOVE));
	R(syscall(SYS_move_pages, 0, 1, pg, NULL, st, MPOL_MF_MOVE_ALL));
	R(syscall(SYS_move_pages, 0, 1, pg, NULL, st, 1));
	R(syscall(SYS_move_pages, 0, 1, BAD, NULL, st, 0));
	R(syscall(SYS_move_pages, 0, 1, pg, NULL, BAD, 0));
	R(syscall(SYS_move_pages, 99999, 1, pg, NULL, st, 0));
	R(syscall(SYS_move_pages, 0, 0, pg, NULL, st, 0));
	R(syscall(SYS_migrate_pages, 0, 64, &one, &one));
	R(syscall(SYS_migrate_pages, 0, 64, &one, &two));
	R(syscall(SYS_migrate_pages, 99999, 64, &one, &one));
	R(syscall(SYS_migrate_pages, 0, 64, BAD, &one));
	R(syscall(SYS_migrate_pages, 0, 64, &one, &none));
	return 0;
}
