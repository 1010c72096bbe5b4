/* The least that can be seen: a line, an exit status. */
#include "diff.h"

int main(int argc, char **argv)
{
	P("hello, argc %d, argv[0] %s", argc, argv[0]);
	T(getpid() == 1);
	R(getppid());
	R(write(1, "raw\n", 4));
	R(close(77));
	return 0;
}
