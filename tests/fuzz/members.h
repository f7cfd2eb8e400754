/*
 * members.h - the members that bytes of any kind could be meant to have, for what mutates and
 * repairs them.
 *
 * A member begins where its first four bytes stand, the first one in any case; it ends where the
 * next one begins. Nothing else is looked at.
 */
#ifndef TESTS_FUZZ_MEMBERS_H
#define TESTS_FUZZ_MEMBERS_H

#include <stddef.h>
#include <stdint.h>

#define FUZZ_MEMBERS_MAX 256u

typedef struct fuzz_member {
    size_t at, length;
} fuzz_member;

/* How many there are; the last one takes what is left. */
size_t fuzz_members(const uint8_t *bytes, size_t length, fuzz_member members[FUZZ_MEMBERS_MAX]);

#endif /* TESTS_FUZZ_MEMBERS_H */
