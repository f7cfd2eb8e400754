/*
 * test_compat_refusals.c - what the functions around the Win32 calls say to what they do not do,
 * and to what does not fit.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <keepmap/compat/strsafe.h>
#include <keepmap/compat/tchar.h>
#include <keepmap/compat/windows.h>

static DWORD WINAPI never_run(LPVOID parameter) {
    (void)parameter;
    fail_msg("a thread that could not be made runs");
    return 0;
}

static void assert_no_thread(SIZE_T stack, LPTHREAD_START_ROUTINE run, DWORD flags, DWORD error) {
    DWORD id = 77;
    SetLastError(ERROR_SUCCESS);
    assert_null(CreateThread(NULL, stack, run, NULL, flags, &id));
    assert_int_equal(GetLastError(), error);
    assert_int_equal(id, 77);
}

static void a_thread_that_cannot_be_made_is_an_error(void **state) {
    (void)state;
    assert_no_thread(0, never_run, CREATE_SUSPENDED, ERROR_NOT_SUPPORTED);
    assert_no_thread(0, NULL, 0, ERROR_INVALID_PARAMETER);
}

/* How many of the values that handles can have at first are handles. */
static int count_handles(void) {
    int count = 0;
    for (uintptr_t value = 4; value < 16384; value += 4) {
        DWORD flags = 0;
        count += GetHandleInformation((HANDLE)value, &flags) ? 1 : 0;
    }
    return count;
}

static void a_stack_that_does_not_fit_leaves_no_handle_behind(void **state) {
    (void)state;
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
    assert_non_null(event);
    int before = count_handles();
    assert_true(before > 0);
    SetLastError(ERROR_SUCCESS);
    assert_null(CreateThread(NULL, (SIZE_T)1 << 50, never_run, NULL, 0, NULL));
    assert_int_not_equal(GetLastError(), ERROR_SUCCESS);
    assert_int_equal(count_handles(), before);
    assert_true(CloseHandle(event));
}

static void other_heaps_and_movable_memory_are_refused(void **state) {
    (void)state;
    int other = 0;
    assert_null(LocalAlloc(LMEM_MOVEABLE, 10));
    assert_int_equal(GetLastError(), ERROR_NOT_SUPPORTED);
    assert_int_equal(LocalSize(NULL), 0);
    assert_int_equal(GetLastError(), ERROR_INVALID_HANDLE);
    assert_null(HeapAlloc(&other, 0, 10));
    assert_int_equal(GetLastError(), ERROR_INVALID_HANDLE);
    SetLastError(ERROR_SUCCESS);
    assert_false(HeapFree(&other, 0, NULL));
    assert_int_equal(GetLastError(), ERROR_INVALID_HANDLE);
}

static void nothing_is_memory_too(void **state) {
    (void)state;
    LPVOID memory = HeapAlloc(GetProcessHeap(), 0, 0);
    HLOCAL local = LocalAlloc(LMEM_FIXED, 0);
    assert_non_null(memory);
    assert_non_null(local);
    assert_ptr_not_equal(memory, local);
    assert_true(HeapFree(GetProcessHeap(), 0, memory));
    assert_null(LocalFree(local));
}

static void checked_text_that_does_not_fit_is_empty(void **state) {
    (void)state;
    TCHAR text[5] = _T("old");
    assert_int_equal(_tcscpy_s(text, 5, _T("four")), 0);
    assert_string_equal(text, "four");
    assert_int_equal(_tcscat_s(text, 5, _T("!")), ERANGE);
    assert_string_equal(text, "");
    assert_int_equal(_tcscat_s(text, 5, _T("!")), 0);
    assert_string_equal(text, "!");
    assert_int_equal(_tcscpy_s(text, 5, _T("five!")), ERANGE);
    assert_string_equal(text, "");
    assert_int_equal(_tcscpy_s(text, 0, _T("")), ERANGE);
    assert_int_equal(_stprintf_s(text, 5, _T("%d"), 1234), 4);
    assert_string_equal(text, "1234");
    assert_int_equal(_stprintf_s(text, 5, _T("%d"), 12345), -1);
    assert_string_equal(text, "");
}

static void wsprintf_stops_at_1024(void **state) {
    (void)state;
    static char text[2048];
    memset(text, '#', sizeof text);
    volatile int width = 1500; /* not for the compiler to see */
    assert_int_equal(wsprintfA(text, "%*d", width, 1), 1023);
    assert_int_equal(text[1022], ' ');
    assert_int_equal(text[1023], 0);
    assert_int_equal(text[1024], '#');
}

static void codes_become_results(void **state) {
    (void)state;
    assert_int_equal(HRESULT_FROM_WIN32(ERROR_SUCCESS), S_OK);
    assert_int_equal(HRESULT_FROM_WIN32(ERROR_INSUFFICIENT_BUFFER), STRSAFE_E_INSUFFICIENT_BUFFER);
    assert_int_equal(HRESULT_FROM_WIN32(ERROR_ACCESS_DENIED), E_ACCESSDENIED);
    assert_int_equal(HRESULT_FROM_WIN32((DWORD)E_FAIL), E_FAIL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_that_cannot_be_made_is_an_error),
        cmocka_unit_test(a_stack_that_does_not_fit_leaves_no_handle_behind),
        cmocka_unit_test(other_heaps_and_movable_memory_are_refused),
        cmocka_unit_test(nothing_is_memory_too),
        cmocka_unit_test(checked_text_that_does_not_fit_is_empty),
        cmocka_unit_test(wsprintf_stops_at_1024),
        cmocka_unit_test(codes_become_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
