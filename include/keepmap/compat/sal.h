/*
 * sal.h - annotations of parameters, which mean nothing here: see windef.h.
 */
#if defined(_WIN32)
#pragma GCC system_header /* #include_next is an extension */
#include_next <sal.h>
#else
#include "windef.h"
#endif
