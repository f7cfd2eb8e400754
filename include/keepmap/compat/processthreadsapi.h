/*
 * processthreadsapi.h - a part of windows.h that newer programs include by itself: here the whole.
 */
#if defined(_WIN32)
#pragma GCC system_header /* #include_next is an extension */
#include_next <processthreadsapi.h>
#else
#include "windows.h"
#endif
