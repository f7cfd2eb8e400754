/*
 * mutate.c - changes of whole members, beside the fuzzer's own changes of bytes.
 */
#include <string.h>

#include "fuzz.h"
#include "members.h"

/* How many changes of 16 are of which kind; the others are the fuzzer's, anywhere. */
#define OF_OPTIONS 2u
#define OF_MEMBERS 3u
#define OF_HEADS 3u

#define LONGEST_HEAD 164u

static unsigned next_random(unsigned *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

static void swap(uint8_t *snapshot, const fuzz_member *a, const fuzz_member *b) {
    const size_t between = b->at - a->at - a->length;
    const size_t whole = b->at + b->length - a->at;
    uint8_t *changed = fuzz_allocate(whole);
    memcpy(changed, snapshot + b->at, b->length);
    memcpy(changed + b->length, snapshot + a->at + a->length, between);
    memcpy(changed + b->length + between, snapshot + a->at, a->length);
    memcpy(snapshot + a->at, changed, whole);
    free(changed);
}

/* Removes, doubles or exchanges members; the new length. */
static size_t change_members(uint8_t *snapshot, size_t length, size_t most, unsigned *random) {
    fuzz_member members[FUZZ_MEMBERS_MAX];
    const size_t count = fuzz_members(snapshot, length, members);
    const fuzz_member *one = &members[next_random(random) % count];
    const fuzz_member *other = &members[next_random(random) % count];
    switch (next_random(random) % 3) {
    case 0:
        memmove(snapshot + one->at, snapshot + one->at + one->length,
                length - one->at - one->length);
        return length - one->length;
    case 1:
        if (length + one->length <= most) {
            uint8_t *copy = fuzz_allocate(one->length);
            memcpy(copy, snapshot + one->at, one->length);
            memmove(snapshot + other->at + one->length, snapshot + other->at, length - other->at);
            memcpy(snapshot + other->at, copy, one->length);
            free(copy);
            return length + one->length;
        }
        return length;
    default:
        if (one < other) {
            swap(snapshot, one, other);
        } else if (other < one) {
            swap(snapshot, other, one);
        }
        return length;
    }
}

/* One member's head, its length kept. */
static void change_head(uint8_t *snapshot, size_t length, unsigned *random) {
    fuzz_member members[FUZZ_MEMBERS_MAX];
    const size_t count = fuzz_members(snapshot, length, members);
    const fuzz_member *one = &members[next_random(random) % count];
    const size_t head = one->length < LONGEST_HEAD ? one->length : LONGEST_HEAD;
    const size_t begin = next_random(random) % head;
    const size_t end = head - begin < 8 ? head : begin + 1 + next_random(random) % 8;
    (void)LLVMFuzzerMutate(snapshot + one->at + begin, end - begin, end - begin);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
    unsigned random = seed;
    const unsigned kind = next_random(&random) % 16;
    if (size <= FUZZ_OPTIONS) {
        return LLVMFuzzerMutate(data, size, most);
    }
    uint8_t *snapshot = data + FUZZ_OPTIONS;
    const size_t length = size - FUZZ_OPTIONS;
    if (kind < OF_OPTIONS) {
        (void)LLVMFuzzerMutate(data, FUZZ_OPTIONS, FUZZ_OPTIONS);
        return size;
    }
    if (kind < OF_OPTIONS + OF_MEMBERS) {
        return FUZZ_OPTIONS + change_members(snapshot, length, most - FUZZ_OPTIONS, &random);
    }
    if (kind < OF_OPTIONS + OF_MEMBERS + OF_HEADS) {
        change_head(snapshot, length, &random);
        return size;
    }
    return LLVMFuzzerMutate(data, size, most);
}
