/*
 * sharing_rules.c - which modes of opening a file go together, in the documentation's words.
 */
#include "sharing_rules.h"

#include <stdio.h>

static unsigned access_bits(unsigned mode) {
    return mode / 8;
}

static unsigned share_bits(unsigned mode) {
    return mode % 8;
}

DWORD sharing_access(unsigned mode) {
    unsigned bits = access_bits(mode);
    return ((bits & 1) ? GENERIC_READ : 0) | ((bits & 2) ? GENERIC_WRITE : 0) |
           ((bits & 4) ? DELETE : 0);
}

DWORD sharing_share(unsigned mode) {
    unsigned bits = share_bits(mode);
    return ((bits & 1) ? FILE_SHARE_READ : 0) | ((bits & 2) ? FILE_SHARE_WRITE : 0) |
           ((bits & 4) ? FILE_SHARE_DELETE : 0);
}

bool sharing_allows(unsigned one, unsigned other) {
    if (access_bits(one) == 0 || access_bits(other) == 0) {
        return true; /* without a right to the data there is nothing to share */
    }
    return (access_bits(one) & ~share_bits(other)) == 0 &&
           (access_bits(other) & ~share_bits(one)) == 0;
}

const char *sharing_pair_name(unsigned first, unsigned second) {
    static const char *const accesses[] = {"0", "R", "W", "R|W", "D", "R|D", "W|D", "R|W|D"};
    static const char *const shares[] = {"nothing", "R", "W", "R|W", "D", "R|D", "W|D", "R|W|D"};
    static char text[96];
    snprintf(text, sizeof text, "opened %s sharing %s beside %s sharing %s",
             accesses[access_bits(second)], shares[share_bits(second)],
             accesses[access_bits(first)], shares[share_bits(first)]);
    return text;
}
