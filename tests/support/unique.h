/*
 * unique.h - names of objects that no other test, and no other run of the same one, uses.
 */
#ifndef TESTS_UNIQUE_H
#define TESTS_UNIQUE_H

#define UNIQUE_SIZE 128

/* "km-test-PROCESS-what". Valid until the eighth next call. */
const char *unique_name(const char *what);

/* Any prefix, what unique_name gave, and any suffix, for the Win32 calls. As long valid. */
const char *unique_object(const char *prefix, const char *name, const char *suffix);

#endif /* TESTS_UNIQUE_H */
