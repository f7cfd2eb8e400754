/*
 * test_fault_codec.c - codecs and checksums when there is no memory: a result that says so, and
 * nothing kept.
 *
 * libdeflate allocates for itself, where no fault reaches; the others use the library's own calls.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "checksum.h"
#include "codec.h"
#include "posix/fault/fault.h"

static const char raw[] = "enough to be packed, enough to be packed, enough to be packed";

/* Begins, packs, begins, unpacks, ends; the first result that is not KM_CODEC_OK. */
static km_codec_result go_around(const km_codec *codec) {
    void *packer = NULL;
    void *unpacker = NULL;
    uint8_t packed[256];
    char back[sizeof raw] = {0};
    size_t length = 0;
    km_codec_result result = codec->pack_begin(3, &packer);
    assert_int_equal(result == KM_CODEC_OK, packer != NULL);
    if (result == KM_CODEC_OK) {
        result = codec->pack(packer, raw, sizeof raw, packed, sizeof packed, &length);
    }
    if (result == KM_CODEC_OK) {
        result = codec->unpack_begin(&unpacker);
        assert_int_equal(result == KM_CODEC_OK, unpacker != NULL);
    }
    if (result == KM_CODEC_OK) {
        result = codec->unpack(unpacker, packed, length, back, sizeof back);
    }
    if (result == KM_CODEC_OK) {
        assert_memory_equal(back, raw, sizeof raw);
    }
    codec->pack_end(packer);
    codec->unpack_end(unpacker);
    return result;
}

static void a_codec_without_memory_says_so_and_keeps_nothing(void **state) {
    (void)state;
    for (const km_codec *const *codec = km_codecs(); *codec != NULL; codec++) {
        assert_int_equal(go_around(*codec), KM_CODEC_OK);
        long before = fault_outstanding_allocations();
        bool hit = true;
        for (unsigned k = 1; hit; k++) {
            assert_in_range(k, 1, 100);
            fault_arm(FAULT_ALLOCATIONS, k, ENOMEM, false);
            km_codec_result result = go_around(*codec);
            hit = fault_disarm();
            assert_int_equal(result, hit ? KM_CODEC_NO_MEMORY : KM_CODEC_OK);
            assert_int_equal(fault_outstanding_allocations(), before);
        }
    }
}

static void a_checksum_without_memory_is_null(void **state) {
    (void)state;
    fault_arm(FAULT_ALLOCATIONS, 1, ENOMEM, false);
    km_checksum_state *sum = km_checksum_begin();
    assert_true(fault_disarm());
    assert_null(sum);
    long before = fault_outstanding_allocations();
    sum = km_checksum_begin();
    assert_non_null(sum);
    km_checksum_end(sum);
    assert_int_equal(fault_outstanding_allocations(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_codec_without_memory_says_so_and_keeps_nothing),
        cmocka_unit_test(a_checksum_without_memory_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
