/*
 * basetsd.h - types and macros: all of them are in windef.h here.
 */
#if defined(_WIN32)
#pragma GCC system_header /* #include_next is an extension */
#include_next <basetsd.h>
#else
#include "windef.h"
#endif
