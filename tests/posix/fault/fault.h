/*
 * fault.h - makes the k-th allocation or the k-th system call of the library fail.
 *
 * A suite named test_fault_* is linked so that the calls of wrapped_calls.txt, in the library and
 * in the suite itself, go through fault.c (the linker's --wrap). Only the thread that armed the
 * fault is counted and hit.
 */
#ifndef TESTS_FAULT_H
#define TESTS_FAULT_H

#include <stdbool.h>

typedef enum fault_kind {
    FAULT_ALLOCATIONS = 1, /* malloc, calloc, realloc, strdup, posix_memalign */
    FAULT_SYSTEM = 2,      /* system calls: -1 (or MAP_FAILED) and errno */
} fault_kind;

/*
 * From now on the k-th call (counted from 1) of this kind fails with `error`: that one alone, or,
 * if `from_then_on`, every one after it as well.
 */
void fault_arm(fault_kind kind, unsigned k, int error, bool from_then_on);

/* The same, counting only the calls of one function, such as "fsync". */
void fault_arm_call(const char *name, unsigned k, int error, bool from_then_on);

/* Back to normal. Was anything made to fail since the fault was armed? */
bool fault_disarm(void);

/* The name of the call that failed first; "none" if none did. */
const char *fault_victim(void);

/* Allocations made and not yet freed, by everybody in the process, in the wrapped code. */
long fault_outstanding_allocations(void);

#endif /* TESTS_FAULT_H */
