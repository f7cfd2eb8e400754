/*
 * test_fault_view.c - views and process memory when the system refuses in the middle.
 *
 * Native only: it stands in for the system calls with the linker's --wrap.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <keepmap/win32.h>

#include "posix/fault/fault.h"
#include "support/scratch.h"

#define PAGE ((SIZE_T)4096)

static unsigned char *map_file(const char *name, uint64_t size, DWORD access) {
    scratch_file(name, size, 3);
    HANDLE file = CreateFileA(name, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ, NULL,
                              OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
    assert_non_null(section);
    unsigned char *view = MapViewOfFile(section, access, 0, 0, 0);
    assert_non_null(view);
    assert_true(CloseHandle(section));
    assert_true(CloseHandle(file));
    return view;
}

/* May the page be stored to? The kernel's answer, not the registry's. */
static bool is_writable(unsigned char *page) {
    const unsigned char byte = *page;
    SIZE_T done = 0;
    return WriteProcessMemory(GetCurrentProcess(), page, &byte, 1, &done) && done == 1;
}

static DWORD protection_at(const void *address) {
    MEMORY_BASIC_INFORMATION found;
    assert_int_equal(VirtualQuery(address, &found, sizeof found), sizeof found);
    return found.Protect;
}

/* The pages in the middle are private, so the change comes in three pieces. */
static void a_protection_that_fails_half_way_is_taken_back(void **state) {
    (void)state;
    static const DWORD protections[] = {PAGE_READONLY, PAGE_NOACCESS};
    unsigned char *view = map_file("half_way", 4 * PAGE, FILE_MAP_WRITE);
    DWORD before = 4711;
    assert_true(VirtualProtect(view + PAGE, PAGE, PAGE_WRITECOPY, &before));
    view[PAGE] = 0x51;
    before = 4711;
    for (unsigned i = 0; i < sizeof protections / sizeof protections[0]; ++i) {
        for (unsigned k = 1; k <= 3; ++k) {
            fault_arm_call("mprotect", k, ENOMEM, false);
            const BOOL changed = VirtualProtect(view, 4 * PAGE, protections[i], &before);
            const DWORD error = GetLastError();
            assert_true(fault_disarm());
            assert_false(changed);
            assert_int_equal(error, ERROR_NOT_ENOUGH_MEMORY);
            assert_int_equal(before, 4711);
            assert_int_equal(protection_at(view), PAGE_READWRITE);
            assert_int_equal(protection_at(view + PAGE), PAGE_READWRITE);
            assert_int_equal(protection_at(view + 2 * PAGE), PAGE_READWRITE);
            for (unsigned page = 0; page < 4; ++page) {
                assert_true(is_writable(view + page * PAGE));
            }
            assert_int_equal(view[PAGE], 0x51);
        }
    }
    assert_true(UnmapViewOfFile(view));
}

static void memory_is_copied_where_the_kernel_must_not_do_it(void **state) {
    (void)state;
    static const int errors[] = {EPERM, ENOSYS};
    static unsigned char bytes[3 * 4096];
    unsigned char *view = map_file("forbidden", 4 * PAGE, FILE_MAP_WRITE);
    DWORD before = 0;
    assert_true(VirtualProtect(view + 3 * PAGE, PAGE, PAGE_NOACCESS, &before));
    for (unsigned i = 0; i < sizeof errors / sizeof errors[0]; ++i) {
        SIZE_T done = 0;
        fault_arm_call("process_vm_readv", 1, errors[i], true);
        const BOOL copied =
            ReadProcessMemory(GetCurrentProcess(), view + 9, bytes, 2 * PAGE, &done);
        const SIZE_T first = done;
        const BOOL beyond =
            ReadProcessMemory(GetCurrentProcess(), view + PAGE, bytes, 3 * PAGE, &done);
        const DWORD error = GetLastError();
        assert_true(fault_disarm());
        assert_true(copied);
        assert_int_equal(first, 2 * PAGE);
        assert_false(beyond);
        assert_int_equal(error, ERROR_PARTIAL_COPY);
        assert_int_equal(done, 2 * PAGE);
        assert_memory_equal(bytes, view + PAGE, 2 * PAGE);
    }
    assert_true(UnmapViewOfFile(view));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_protection_that_fails_half_way_is_taken_back),
        cmocka_unit_test(memory_is_copied_where_the_kernel_must_not_do_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
