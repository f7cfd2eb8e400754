/*
 * psapi.h - QueryWorkingSetEx and its types, which windows.h has here already.
 */
#if defined(_WIN32)
#pragma GCC system_header /* #include_next is an extension */
#include_next <psapi.h>
#else
#include "windows.h"
#endif
