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
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "support/scratch.h"

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
    assert_int_equal(InterlockedOr(&number, 12), 2);
    assert_int_equal(InterlockedAnd(&number, 10), 14);
    assert_int_equal(InterlockedXor(&number, 3), 10);
    assert_int_equal(number, 9);
}

static void interlocked_calls_of_64_bits_and_of_pointers_do_the_same(void **state) {
    (void)state;
    LONG64 large = 0xFFFFFFFF;
    assert_true(InterlockedIncrement64(&large) == 0x100000000);
    assert_true(InterlockedDecrement64(&large) == 0xFFFFFFFF);
    assert_true(InterlockedExchangeAdd64(&large, 1) == 0xFFFFFFFF);
    assert_true(InterlockedOr64(&large, 1) == 0x100000000);
    assert_true(InterlockedAnd64(&large, ~(LONG64)1) == 0x100000001);
    assert_true(InterlockedXor64(&large, 1) == 0x100000000);
    assert_true(InterlockedCompareExchange64(&large, 7, 0x100000001) == 0x100000001);
    assert_true(InterlockedExchange64(&large, 8) == 7);
    assert_true(large == 8);
    PVOID pointer = NULL;
    assert_null(InterlockedExchangePointer(&pointer, &large));
    assert_ptr_equal(InterlockedCompareExchangePointer(&pointer, NULL, &pointer), &large);
    assert_ptr_equal(InterlockedCompareExchangePointer(&pointer, NULL, &large), &large);
    assert_null(pointer);
}

static void codes_become_constant_results(void **state) {
    (void)state;
    volatile DWORD code = ERROR_NOT_FOUND; /* not for the compiler to see */
    switch (HRESULT_FROM_WIN32(code)) {
    case HRESULT_FROM_WIN32(ERROR_NOT_FOUND):
        break;
    default:
        fail_msg("the label is another value");
    }
    assert_int_equal(ERROR_SEM_TIMEOUT, 121);
    assert_int_equal(ERROR_PIPE_BUSY, 231);
    assert_int_equal(ERROR_IO_PENDING, 997);
    assert_int_equal(ERROR_NOT_FOUND, 1168);
    assert_int_equal(ERROR_TIMEOUT, 1460);
    assert_int_equal(LMEM_MOVEABLE, 2);
    assert_int_equal(CREATE_SUSPENDED, 4);
    assert_true(SECURITY_DESCRIPTOR_MIN_LENGTH >= 20);
}

static void text_functions_of_the_c_library_have_their_windows_names(void **state) {
    (void)state;
    char text[8] = "";
    assert_int_equal(_stricmp("ONE", "one"), 0);
    assert_int_equal(_strnicmp("ONEx", "oney", 3), 0);
    char *copy = _strdup("copy");
    assert_non_null(copy);
    assert_string_equal(copy, "copy");
    free(copy);
    volatile int wide = 12345678; /* not for the compiler to see */
    assert_int_equal(_snprintf(text, sizeof text, "%d", 1234567), 7);
    assert_string_equal(text, "1234567");
    assert_int_equal(_snprintf(text, sizeof text, "%d%d", wide, wide), -1);
}

static void a_file_is_moved_only_where_there_is_none(void **state) {
    (void)state;
    scratch_write("from", "moved", 5);
    assert_true(MoveFileA("from", "to"));
    assert_true(scratch_equals("to", "moved", 5));
    scratch_write("from", "again", 5);
    assert_false(MoveFileW(u"from", u"to"));
    assert_int_equal(GetLastError(), ERROR_ALREADY_EXISTS);
    assert_true(scratch_equals("to", "moved", 5));
}

static void the_date_is_that_of_the_c_library(void **state) {
    (void)state;
    SYSTEMTIME utc;
    SYSTEMTIME local;
    struct tm between;
    time_t before = time(NULL);
    GetSystemTime(&utc);
    GetLocalTime(&local);
    time_t after = time(NULL);
    bool found = false; /* a second that was now, between the two */
    for (time_t second = before; second <= after; second++) {
        between = *gmtime(&second);
        found = found || (utc.wYear == between.tm_year + 1900 && utc.wMonth == between.tm_mon + 1 &&
                          utc.wDay == between.tm_mday && utc.wDayOfWeek == between.tm_wday &&
                          utc.wHour == between.tm_hour && utc.wMinute == between.tm_min &&
                          utc.wSecond == between.tm_sec);
    }
    assert_true(found);
    assert_true(utc.wMilliseconds < 1000);
    found = false;
    for (time_t second = before; second <= after; second++) {
        between = *localtime(&second);
        found = found || (local.wDay == between.tm_mday && local.wHour == between.tm_hour &&
                          local.wMinute == between.tm_min && local.wSecond == between.tm_sec);
    }
    assert_true(found);
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

/* ---- Critical sections ---- */

typedef struct guarded {
    CRITICAL_SECTION section;
    BOOL let_in;
    int count;
} guarded;

static DWORD WINAPI try_once(LPVOID parameter) {
    guarded *g = parameter;
    g->let_in = TryEnterCriticalSection(&g->section);
    if (g->let_in) {
        LeaveCriticalSection(&g->section);
    }
    return 0;
}

static DWORD WINAPI count_up(LPVOID parameter) {
    guarded *g = parameter;
    for (int i = 0; i < 10000; i++) {
        EnterCriticalSection(&g->section);
        g->count++;
        LeaveCriticalSection(&g->section);
    }
    return 0;
}

static void run_thread(LPTHREAD_START_ROUTINE run, guarded *g) {
    HANDLE thread = CreateThread(NULL, 0, run, g, 0, NULL);
    assert_non_null(thread);
    assert_int_equal(WaitForSingleObject(thread, 60000), WAIT_OBJECT_0);
    assert_true(CloseHandle(thread));
}

static void the_owner_enters_a_critical_section_again_and_nobody_else(void **state) {
    (void)state;
    guarded g = {.let_in = TRUE};
    InitializeCriticalSection(&g.section);
    EnterCriticalSection(&g.section);
    assert_true(TryEnterCriticalSection(&g.section));
    LeaveCriticalSection(&g.section);
    run_thread(try_once, &g); /* left once, entered twice */
    assert_false(g.let_in);
    LeaveCriticalSection(&g.section);
    run_thread(try_once, &g);
    assert_true(g.let_in);
    DeleteCriticalSection(&g.section);
}

static void a_critical_section_keeps_threads_apart(void **state) {
    (void)state;
    guarded g = {.count = 0};
    assert_true(InitializeCriticalSectionAndSpinCount(&g.section, 400));
    HANDLE threads[4];
    for (int i = 0; i < 4; i++) {
        threads[i] = CreateThread(NULL, 0, count_up, &g, 0, NULL);
        assert_non_null(threads[i]);
    }
    assert_int_equal(WaitForMultipleObjects(4, threads, TRUE, 60000), WAIT_OBJECT_0);
    for (int i = 0; i < 4; i++) {
        assert_true(CloseHandle(threads[i]));
    }
    assert_int_equal(g.count, 40000);
    DeleteCriticalSection(&g.section);
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
        cmocka_unit_test(interlocked_calls_of_64_bits_and_of_pointers_do_the_same),
        cmocka_unit_test(codes_become_constant_results),
        cmocka_unit_test(text_functions_of_the_c_library_have_their_windows_names),
        cmocka_unit_test(a_file_is_moved_only_where_there_is_none),
        cmocka_unit_test(the_date_is_that_of_the_c_library),
        cmocka_unit_test(heaps_give_memory_and_take_it_back),
        cmocka_unit_test(a_thread_can_be_waited_for_and_knows_its_number),
        cmocka_unit_test(exit_thread_ends_the_thread_at_once),
        cmocka_unit_test(a_running_thread_is_not_signaled_and_its_handle_may_be_closed),
        cmocka_unit_test(beginthreadex_starts_a_thread),
        cmocka_unit_test(the_owner_enters_a_critical_section_again_and_nobody_else),
        cmocka_unit_test(a_critical_section_keeps_threads_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
