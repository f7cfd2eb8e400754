/*
 * status.h - how the core reports a failure: a status, and one sentence made where the facts are.
 */
#ifndef KM_STATUS_H
#define KM_STATUS_H

#include <keepmap.h>
#include <keepmap/win32.h>

#if defined(__GNUC__)
#if defined(__MINGW32__)
#define KM_PRINTF_LIKE(text, first) __attribute__((format(gnu_printf, text, first)))
#else
#define KM_PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#endif
#else
#define KM_PRINTF_LIKE(text, first)
#endif

/*
 * Sets this thread's sentence and returns `status`: `return km_fail(KM_E_INVALID, "...", ...);`
 * Sizes are printed with PRIu64. No full stop at the end.
 */
km_status km_fail(km_status status, const char *format, ...) KM_PRINTF_LIKE(2, 3);

/*
 * The same for a failed system call: the status follows from the Win32 error code, and the
 * sentence ends with the system's text and number: "...: Access is denied (5)".
 */
km_status km_fail_system(DWORD error, const char *format, ...) KM_PRINTF_LIKE(2, 3);

/* The same with a status that the caller knows better. */
km_status km_fail_system_as(km_status status, DWORD error, const char *format, ...)
    KM_PRINTF_LIKE(3, 4);

km_status km_status_of_error(DWORD error);

/* Room for a sentence. */
#define KM_SENTENCE_SIZE 1024

/*
 * This thread's last failure, for calls that succeed after something inside them has failed: they
 * leave it as it was.
 */
typedef struct km_failure {
    char sentence[KM_SENTENCE_SIZE];
    DWORD error;
} km_failure;

void km_failure_keep(km_failure *kept);
void km_failure_restore(const km_failure *kept);

#endif /* KM_STATUS_H */
