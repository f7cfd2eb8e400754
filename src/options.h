/*
 * options.h - reading and filling the structs that callers hand over, whichever version of them
 * they know.
 */
#ifndef KM_OPTIONS_H
#define KM_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include <keepmap.h>

/*
 * Copies the caller's struct `from`, which begins with its uint32_t struct_size, to `to`, which has
 * `known_size` bytes; what the caller's version lacks is zero there. struct_size 0 means the first
 * version's size, `first_size`. NULL is a struct of zeros. KM_E_INVALID, and `to` as it was, if
 * struct_size is smaller than the first version, or if it is larger than ours and what we do not
 * know is not zero. `to`'s own struct_size is how many bytes the caller has.
 *
 * `what` is the struct's name for the sentence, such as "km_options".
 */
km_status km_struct_read(const void *from, size_t first_size, size_t known_size, void *to,
                         const char *what);

/*
 * For a struct of results: how many bytes the caller's `result` has, NULL and struct_size 0 meaning
 * the first version's. KM_E_INVALID as above.
 */
km_status km_result_size(const void *result, size_t first_size, const char *what, uint32_t *size);

/* Fills as much of `result`, of `size` bytes, as both sides know, its struct_size excepted; what
 * only the caller knows becomes zero. NULL is fine. */
void km_result_fill(const void *facts, size_t known_size, uint32_t size, void *result);

/* KM_E_INVALID, naming `what`, if `flags` has a bit that `known` has not. */
km_status km_flags_check(uint32_t flags, uint32_t known, const char *what);

#endif /* KM_OPTIONS_H */
