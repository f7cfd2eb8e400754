/*
 * test_view_residence.c - views locked into memory.
 *
 * Not under asan: the sanitizers replace mlock and munlock by calls that do nothing.
 * Not under tsan: likewise.
 * Not under valgrind: it does not know MADV_POPULATE_READ.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <keepmap/win32.h>

#include "posix/page_map.h"
#include "support/scratch.h"

#define PAGE ((SIZE_T)4096)

static HANDLE open_section(const char *name, uint64_t size) {
    scratch_file(name, size, 3);
    HANDLE file = CreateFileA(name, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ, NULL,
                              OPEN_EXISTING, 0, NULL);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
    assert_non_null(section);
    assert_true(CloseHandle(file));
    return section;
}

static unsigned char *map_and_close(HANDLE section, DWORD access) {
    unsigned char *view = MapViewOfFile(section, access, 0, 0, 0);
    assert_non_null(view);
    assert_true(CloseHandle(section));
    return view;
}

static PSAPI_WORKING_SET_EX_BLOCK working_set(const void *address) {
    PSAPI_WORKING_SET_EX_INFORMATION page = {.VirtualAddress = (PVOID)(uintptr_t)address};
    assert_true(QueryWorkingSetEx(GetCurrentProcess(), &page, sizeof page));
    return page.VirtualAttributes;
}

static bool is_copied(const void *address) {
    const int page_map = kmw_page_map_open();
    uint64_t entry = 0;
    assert_true(page_map >= 0);
    assert_true(kmw_page_map_read(page_map, address, 1, &entry));
    close(page_map);
    return kmw_page_is_copied(entry);
}

static void locked_pages_can_be_unlocked(void **state) {
    (void)state;
    unsigned char *view = map_and_close(open_section("lock", 4 * PAGE), FILE_MAP_READ);
    assert_true(VirtualLock(view, 2 * PAGE));
    assert_true(working_set(view).Locked);
    assert_true(VirtualUnlock(view, 2 * PAGE));
    assert_false(working_set(view).Locked);
    assert_true(UnmapViewOfFile(view));
}

static void locking_a_copy_does_not_copy_its_pages(void **state) {
    (void)state;
    unsigned char *view = map_and_close(open_section("lock_copy", 4 * PAGE), FILE_MAP_COPY);
    assert_true(VirtualLock(view + PAGE, PAGE + 1));
    assert_true(working_set(view + 2 * PAGE).Valid);
    assert_true(working_set(view + 2 * PAGE).Locked);
    assert_false(working_set(view).Locked);
    assert_false(is_copied(view + PAGE));
    assert_false(VirtualUnlock(view, 2 * PAGE));
    assert_int_equal(GetLastError(), ERROR_NOT_LOCKED);
    assert_true(VirtualUnlock(view + PAGE, 2 * PAGE));
    assert_false(VirtualUnlock(view + PAGE, PAGE));
    assert_int_equal(GetLastError(), ERROR_NOT_LOCKED);
    assert_true(UnmapViewOfFile(view));
    assert_false(VirtualLock(view, PAGE));
    assert_int_equal(GetLastError(), ERROR_NOACCESS);
    assert_false(VirtualUnlock(view, PAGE));
    assert_int_equal(GetLastError(), ERROR_NOACCESS);
}

/* In a child: limits and privileges are not to be had back. */
static DWORD lock_beyond_the_limit(void) {
    unsigned char *view = map_and_close(open_section("limit", 64 * PAGE), FILE_MAP_READ);
    const struct rlimit limit = {16 * PAGE, 16 * PAGE};
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || (geteuid() == 0 && setuid(65534) != 0)) {
        return 1;
    }
    if (VirtualLock(view, 32 * PAGE) || GetLastError() != ERROR_WORKING_SET_QUOTA) {
        return 2;
    }
    /* What has been locked before does not change that, and stays locked. */
    if (!VirtualLock(view, PAGE) || VirtualLock(view, 32 * PAGE) ||
        GetLastError() != ERROR_WORKING_SET_QUOTA) {
        return 3;
    }
    return VirtualUnlock(view, PAGE) ? 0 : 4;
}

static void more_than_the_limit_cannot_be_locked(void **state) {
    (void)state;
    const pid_t child = fork();
    if (child == 0) {
        _exit((int)lock_beyond_the_limit());
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void what_cannot_be_read_cannot_be_locked(void **state) {
    (void)state;
    DWORD before = 0;
    unsigned char *view = map_and_close(open_section("no_access", 2 * PAGE), FILE_MAP_READ);
    assert_true(VirtualProtect(view + PAGE, PAGE, PAGE_NOACCESS, &before));
    assert_false(VirtualLock(view, 2 * PAGE));
    assert_int_equal(GetLastError(), ERROR_NOACCESS);
    assert_false(working_set(view).Locked);
    assert_false(VirtualLock(view, 0));
    assert_int_equal(GetLastError(), ERROR_INVALID_PARAMETER);
    assert_true(UnmapViewOfFile(view));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(locked_pages_can_be_unlocked),
        cmocka_unit_test(locking_a_copy_does_not_copy_its_pages),
        cmocka_unit_test(more_than_the_limit_cannot_be_locked),
        cmocka_unit_test(what_cannot_be_read_cannot_be_locked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
