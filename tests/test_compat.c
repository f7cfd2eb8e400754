/*
 * test_compat.c - the macros, types and small functions around the Win32 calls (keepmap/compat) are
 * what they are on Windows, where this suite asks the system's own.
 */
#include <windows.h>

#include <process.h>
#include <tchar.h>

#define STRSAFE_NO_DEPRECATE /* of Windows' own: the other functions stay usable */
#include <strsafe.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void types_have_windows_sizes(void **state) {
    (void)state;
    assert_int_equal(sizeof(TCHAR), 1);
    assert_int_equal(sizeof(WCHAR), 2);
    assert_int_equal(sizeof(SHORT) + sizeof(USHORT) + sizeof(ATOM), 6);
    assert_int_equal(sizeof(INT) + sizeof(UINT) + sizeof(LONG) + sizeof(DWORD32), 16);
    assert_int_equal(sizeof(LONGLONG), 8);
    assert_int_equal(sizeof(DWORDLONG), 8);
    assert_int_equal(sizeof(unsigned __int64), 8);
    assert_int_equal(sizeof(BOOLEAN) + sizeof(UCHAR), 2);
    assert_int_equal(sizeof(UINT_PTR), sizeof(void *));
    assert_int_equal(sizeof(HRESULT), 4);
}

static void words_and_bytes_are_taken_apart_and_put_together(void **state) {
    (void)state;
    const DWORD value = 0x89ABCDEFu;
    assert_int_equal(LOWORD(value), 0xCDEF);
    assert_int_equal(HIWORD(value), 0x89AB);
    assert_int_equal(LOBYTE(0xCDEF), 0xEF);
    assert_int_equal(HIBYTE(0xCDEF), 0xCD);
    assert_int_equal(MAKEWORD(0xEF, 0xCD), 0xCDEF);
    assert_int_equal((DWORD)MAKELONG(0xCDEF, 0x89AB), value);
    assert_int_equal(min(3, 4), 3);
    assert_int_equal(max(3, 4), 4);
}

static void memory_macros_copy_move_fill_and_clear(void **state) {
    (void)state;
    char text[16] = "0123456789";
    CopyMemory(text, "abc", 3);
    assert_string_equal(text, "abc3456789");
    MoveMemory(text + 1, text, 4);
    assert_string_equal(text, "aabc356789");
    FillMemory(text, 2, 'z');
    assert_memory_equal(text, "zzbc", 4);
    SecureZeroMemory(text, 4);
    assert_memory_equal(text, "\0\0\0\0003", 5);
    ZeroMemory(text, sizeof text);
    assert_int_equal(text[9], 0);
}

static void tchar_names_are_the_functions_of_char(void **state) {
    (void)state;
    TCHAR text[32] = _T("One, ");
    _tcscat(text, TEXT("two")); /* NOLINT(clang-analyzer-security.insecureAPI.strcpy) */
    assert_int_equal(_tcslen(text), 8);
    assert_string_equal(_tcschr(text, _T('t')), "two");
    assert_int_equal(_tcsicmp(text, _T("ONE, TWO")), 0);
    assert_int_equal(_tcsncmp(text, _T("One!"), 3), 0);
    assert_int_equal(_stprintf(text, _T("%d-%s"), 7, _T("x")), 3);
    assert_string_equal(text, "7-x");
    assert_int_equal(_ttoi(_T("42")), 42); /* NOLINT(cert-err34-c) */
    assert_int_equal(_tcstol(_T("0x10"), NULL, 0), 16);
    assert_int_equal(_tcsnlen(_T("abc"), 2), 2);
    TCHAR *copy = _tcsdup(text);
    assert_non_null(copy);
    assert_string_equal(copy, "7-x");
    free(copy);
}

static void lstr_functions_stand_for_those_of_the_c_library(void **state) {
    (void)state;
    char text[16];
    assert_int_equal(lstrlenA(NULL), 0);
    assert_int_equal(lstrlenW(u"four"), 4);
    lstrcpyA(text, "ab");
    lstrcatA(text, "cd");
    assert_string_equal(text, "abcd");
    lstrcpynA(text, "0123456789", 4);
    assert_string_equal(text, "012");
    assert_int_equal(lstrcmpiA("aBc", "AbC"), 0);
    assert_int_equal(wsprintfA(text, "%s=%u", "x", 5u), 3);
    assert_string_equal(text, "x=5");
}

static void strsafe_cuts_what_does_not_fit(void **state) {
    (void)state;
    char text[8];
    size_t length = 0;
    assert_int_equal(StringCchPrintfA(text, sizeof text, "%d", 1234567), S_OK);
    assert_int_equal(StringCchPrintfA(text, sizeof text, "%d", 12345678),
                     STRSAFE_E_INSUFFICIENT_BUFFER);
    assert_string_equal(text, "1234567");
    assert_int_equal(StringCchCopyA(text, sizeof text, "four"), S_OK);
    assert_int_equal(StringCchCatA(text, sizeof text, "and more"), STRSAFE_E_INSUFFICIENT_BUFFER);
    assert_string_equal(text, "fourand");
    assert_int_equal(StringCchLengthA(text, sizeof text, &length), S_OK);
    assert_int_equal(length, 7);
    assert_true(FAILED(StringCchLengthA(text, 7, &length)));
    assert_true(FAILED(StringCchCopyA(text, 0, "x")));
}

static void interlocked_calls_return_what_windows_returns(void **state) {
    (void)state;
    LONG number = 5;
    assert_int_equal(InterlockedIncrement(&number), 6);
    assert_int_equal(InterlockedDecrement(&number), 5);
    assert_int_equal(InterlockedExchangeAdd(&number, 10), 5);
    assert_int_equal(InterlockedExchange(&number, 1), 15);
    assert_int_equal(InterlockedCompareExchange(&number, 2, 9), 1);
    assert_int_equal(number, 1);
    assert_int_equal(InterlockedCompareExchange(&number, 2, 1), 1);
    assert_int_equal(number, 2);
    LONG64 large = 0xFFFFFFFF;
    assert_true(InterlockedIncrement64(&large) == 0x100000000);
}

static void heaps_give_memory_and_take_it_back(void **state) {
    (void)state;
    unsigned char *memory = HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, 100);
    assert_non_null(memory);
    assert_int_equal(memory[99], 0);
    assert_true(HeapFree(GetProcessHeap(), 0, memory));
    HLOCAL local = LocalAlloc(LPTR, 100);
    assert_non_null(local);
    assert_true(LocalSize(local) >= 100);
    assert_int_equal(((unsigned char *)local)[99], 0);
    assert_null(LocalFree(local));
}

/* ---- Threads ---- */

typedef struct visit {
    DWORD id;
    int done;
} visit;

static DWORD WINAPI visit_once(LPVOID parameter) {
    visit *given = parameter;
    given->id = GetCurrentThreadId();
    given->done = 1;
    return 7;
}

static DWORD WINAPI leave_early(LPVOID parameter) {
    *(int *)parameter = 1;
    ExitThread(3);
    *(int *)parameter = 2;
    return 0;
}

static unsigned __stdcall visit_the_c_way(void *parameter) {
    return visit_once(parameter);
}

static DWORD WINAPI wait_for(LPVOID event) {
    return WaitForSingleObject(event, INFINITE);
}

static void a_thread_can_be_waited_for_and_knows_its_number(void **state) {
    (void)state;
    visit seen = {0, 0};
    DWORD id = 0;
    HANDLE thread = CreateThread(NULL, 0, visit_once, &seen, 0, &id);
    assert_non_null(thread);
    assert_int_equal(WaitForSingleObject(thread, 60000), WAIT_OBJECT_0);
    assert_int_equal(WaitForSingleObject(thread, 0), WAIT_OBJECT_0); /* it stays ended */
    assert_int_equal(seen.done, 1);
    assert_int_equal(seen.id, id);
    assert_int_not_equal(id, GetCurrentThreadId());
    assert_true(CloseHandle(thread));
}

static void exit_thread_ends_the_thread_at_once(void **state) {
    (void)state;
    int reached = 0;
    HANDLE thread = CreateThread(NULL, 0, leave_early, &reached, 0, NULL);
    assert_non_null(thread);
    assert_int_equal(WaitForSingleObject(thread, 60000), WAIT_OBJECT_0);
    assert_int_equal(reached, 1);
    assert_true(CloseHandle(thread));
}

static void a_running_thread_is_not_signaled_and_its_handle_may_be_closed(void **state) {
    (void)state;
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
    assert_non_null(event);
    HANDLE thread = CreateThread(NULL, 0, wait_for, event, 0, NULL);
    assert_non_null(thread);
    assert_int_equal(WaitForSingleObject(thread, 0), WAIT_TIMEOUT);
    HANDLE kept = NULL;
    assert_true(DuplicateHandle(GetCurrentProcess(), thread, GetCurrentProcess(), &kept, 0, FALSE,
                                DUPLICATE_SAME_ACCESS));
    assert_true(CloseHandle(thread));
    assert_true(SetEvent(event));
    assert_int_equal(WaitForSingleObject(kept, 60000), WAIT_OBJECT_0);
    assert_true(CloseHandle(kept));
    assert_true(CloseHandle(event));
}

static void beginthreadex_starts_a_thread(void **state) {
    (void)state;
    visit seen = {0, 0};
    unsigned id = 0;
    HANDLE thread = (HANDLE)_beginthreadex(NULL, 0, visit_the_c_way, &seen, 0, &id);
    assert_non_null(thread);
    assert_int_equal(WaitForSingleObject(thread, 60000), WAIT_OBJECT_0);
    assert_int_equal(seen.id, id);
    assert_true(CloseHandle(thread));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_have_windows_sizes),
        cmocka_unit_test(words_and_bytes_are_taken_apart_and_put_together),
        cmocka_unit_test(memory_macros_copy_move_fill_and_clear),
        cmocka_unit_test(tchar_names_are_the_functions_of_char),
        cmocka_unit_test(lstr_functions_stand_for_those_of_the_c_library),
        cmocka_unit_test(strsafe_cuts_what_does_not_fit),
        cmocka_unit_test(interlocked_calls_return_what_windows_returns),
        cmocka_unit_test(heaps_give_memory_and_take_it_back),
        cmocka_unit_test(a_thread_can_be_waited_for_and_knows_its_number),
        cmocka_unit_test(exit_thread_ends_the_thread_at_once),
        cmocka_unit_test(a_running_thread_is_not_signaled_and_its_handle_may_be_closed),
        cmocka_unit_test(beginthreadex_starts_a_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
