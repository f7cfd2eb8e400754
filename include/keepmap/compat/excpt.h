/*
 * excpt.h - __try and __finally, as far as they go without exceptions.
 *
 * There are none in C here, so __finally's block is what runs after __try's. A __try block must be
 * left by its end: return, goto, break or continue out of it pass __finally by. __except and
 * __leave do not compile. In C++ neither does __finally.
 */
#if defined(_WIN32)
#pragma GCC system_header /* #include_next is an extension */
#include_next <excpt.h>
#else
#ifndef KEEPMAP_COMPAT_EXCPT_H
#define KEEPMAP_COMPAT_EXCPT_H

#include "windef.h"

#if !defined(__cplusplus) && !defined(__try)
#define __try
#define __finally
#endif

#endif /* KEEPMAP_COMPAT_EXCPT_H */
#endif
