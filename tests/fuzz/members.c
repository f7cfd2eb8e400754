/*
 * members.c - the members that bytes of any kind could be meant to have.
 */
#include "members.h"

#include <string.h>

static const uint8_t beginning[4] = {0x1f, 0x8b, 0x08, 0x04};

size_t fuzz_members(const uint8_t *bytes, size_t length, fuzz_member members[FUZZ_MEMBERS_MAX]) {
    size_t count = 0;
    size_t begin = 0;
    for (size_t at = 1; at + sizeof beginning <= length; at++) {
        if (count + 1 < FUZZ_MEMBERS_MAX && memcmp(bytes + at, beginning, sizeof beginning) == 0) {
            members[count++] = (fuzz_member){begin, at - begin};
            begin = at;
        }
    }
    if (length > 0) {
        members[count++] = (fuzz_member){begin, length - begin};
    }
    return count;
}
