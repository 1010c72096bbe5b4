// The same with all capabilities.
#include "net_options.c"
