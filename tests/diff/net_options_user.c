// The same without any right.
#define AS_USER
#include "net_options.c"
