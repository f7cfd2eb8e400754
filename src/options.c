/*
 * options.c - reading and filling the structs that callers hand over, whichever version of them
 * they know.
 */
#include "options.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "status.h"

/* No version of any struct will ever be longer: whoever says so has not initialised it. */
#define LONGEST_STRUCT 4096u

static bool all_zero(const unsigned char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

static km_status fail_size(uint32_t struct_size, const char *what) {
    return km_fail(KM_E_INVALID, "struct_size %" PRIu32 " is no size of a %s", struct_size, what);
}

km_status km_struct_read(const void *from, size_t first_size, size_t known_size, void *to,
                         const char *what) {
    uint32_t struct_size = 0;
    if (from != NULL) {
        memcpy(&struct_size, from, sizeof struct_size);
    }
    if (struct_size == 0) {
        struct_size = (uint32_t)first_size;
    }
    if (struct_size < first_size || struct_size > LONGEST_STRUCT) {
        return fail_size(struct_size, what);
    }
    size_t shared_size = struct_size < known_size ? struct_size : known_size;
    if (from != NULL &&
        !all_zero((const unsigned char *)from + shared_size, struct_size - shared_size)) {
        return km_fail(KM_E_INVALID, "the %s uses fields that keepmap %s does not know", what,
                       km_version());
    }
    memset(to, 0, known_size);
    if (from != NULL) {
        memcpy(to, from, shared_size);
    }
    memcpy(to, &struct_size, sizeof struct_size);
    return KM_OK;
}

km_status km_result_size(const void *result, size_t first_size, const char *what, uint32_t *size) {
    uint32_t struct_size = 0;
    if (result != NULL) {
        memcpy(&struct_size, result, sizeof struct_size);
    }
    if (struct_size == 0) {
        struct_size = (uint32_t)first_size;
    }
    if (struct_size < first_size || struct_size > LONGEST_STRUCT) {
        return fail_size(struct_size, what);
    }
    *size = struct_size;
    return KM_OK;
}

void km_result_fill(const void *facts, size_t known_size, uint32_t size, void *result) {
    uint32_t said = 0;
    if (result == NULL) {
        return;
    }
    const size_t known = size < known_size ? size : known_size;
    memcpy(&said, result, sizeof said);
    memcpy(result, facts, known);
    memset((char *)result + known, 0, size - known);
    memcpy(result, &said, sizeof said);
}

km_status km_flags_check(uint32_t flags, uint32_t known, const char *what) {
    if ((flags & ~known) != 0) {
        return km_fail(KM_E_INVALID, "%s has unknown flags 0x%" PRIX32, what, flags & ~known);
    }
    return KM_OK;
}
