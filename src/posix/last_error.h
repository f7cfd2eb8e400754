/*
 * last_error.h - the thread's last error, and what errno is called in Win32.
 */
#ifndef KMW_LAST_ERROR_H
#define KMW_LAST_ERROR_H

#include <keepmap/win32.h>

/* Sets the last error and returns FALSE: `return kmw_fail(ERROR_ACCESS_DENIED);` */
BOOL kmw_fail(DWORD code);

/* The same with errno's Win32 name. */
BOOL kmw_fail_errno(int error);

/* Never ERROR_SUCCESS; what the table does not know is ERROR_GEN_FAILURE. */
DWORD kmw_error_of_errno(int error);

/* The English text of a code, without a line end; NULL if it has none here. */
const char *kmw_error_text(DWORD code);

#endif /* KMW_LAST_ERROR_H */
