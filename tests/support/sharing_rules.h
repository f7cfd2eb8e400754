/*
 * sharing_rules.h - the rules of Windows' sharing modes, as an oracle for tests.
 *
 * A mode is an access (any of read, write, delete) and a share (any of them): 64 modes.
 */
#ifndef TESTS_SHARING_RULES_H
#define TESTS_SHARING_RULES_H

#include <stdbool.h>

#include <keepmap/win32.h>

enum { SHARING_MODES = 64 };

DWORD sharing_access(unsigned mode); /* GENERIC_READ, GENERIC_WRITE, DELETE */
DWORD sharing_share(unsigned mode);  /* FILE_SHARE_* */

/* May both be open at the same time? */
bool sharing_allows(unsigned one, unsigned other);

/* "R|W sharing READ beside R sharing 0"; valid until the next call. */
const char *sharing_pair_name(unsigned first, unsigned second);

#endif /* TESTS_SHARING_RULES_H */
