/*
 * test_compat_headers.c - the headers for Windows programs stand alone, one include directory being
 * enough, and a program that counts on wide characters is told why it does not build. Runs the
 * compilers.
 *
 * Not under asan: the compilers do not change with how this library was compiled.
 * Not under tsan: likewise.
 * Not under valgrind: likewise.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/scratch.h"

#define WARNINGS "-Wall -Wextra -Wpedantic -Wshadow -Werror -fsyntax-only"

/* The oldest and the newest first: enough where each compiler run is one of very many. */
static const char *const standards[] = {
    "-x c -std=c11",   "-x c++ -std=c++20", "-x c++ -std=c++11", "-x c -std=c17",
    "-x c -std=gnu11", "-x c++ -std=c++14", "-x c++ -std=c++17"};
enum { EXTREMES = 2, STANDARDS = sizeof standards / sizeof standards[0] };

static const char *of_environment(const char *name) {
    const char *value = getenv(name);
    if (value == NULL) {
        fail_msg("the environment has no %s; make sets it", name);
    }
    return value;
}

static const char *compiler_for(const char *standard) {
    return of_environment(strstr(standard, "c++") != NULL ? "KM_TEST_CXX" : "KM_TEST_CC");
}

/* Compiles this text with nothing but the one directory. Its messages are in the file "said". */
static int compile(const char *standard, const char *flags, const char *text) {
    char command[1024];
    scratch_write("source", text, strlen(text));
    int length = snprintf(
        command, sizeof command, "%s %s %s %s -I'%s/include/keepmap/compat' source >said 2>&1",
        compiler_for(standard), standard, WARNINGS, flags, of_environment("KM_TEST_SOURCE"));
    assert_true(length > 0 && (size_t)length < sizeof command);
    return system(command); /* NOLINT(cert-env33-c): running a compiler is what it is for */
}

static bool compiler_said(const char *words) {
    char text[65536];
    FILE *file = fopen("said", "r");
    assert_non_null(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    text[length] = '\0';
    (void)fclose(file);
    return strstr(text, words) != NULL;
}

static void assert_compiles(const char *what, size_t count, const char *flags, const char *text) {
    for (size_t i = 0; i < count; i++) {
        if (compile(standards[i], flags, text) != 0) {
            (void)system("cat said >&2"); /* NOLINT(cert-env33-c) */
            fail_msg("%s does not compile with %s", what, standards[i]);
        }
    }
}

/* The names of all headers, each "name.h". */
static size_t list_headers(char names[][64], size_t room) {
    char path[1024];
    snprintf(path, sizeof path, "%s/include/keepmap/compat", of_environment("KM_TEST_SOURCE"));
    DIR *directory = opendir(path);
    assert_non_null(directory);
    size_t count = 0;
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        size_t length = strlen(entry->d_name);
        if (length > 2 && strcmp(entry->d_name + length - 2, ".h") == 0) {
            assert_true(count < room && length < 64);
            memcpy(names[count++], entry->d_name, length + 1);
        }
    }
    (void)closedir(directory);
    return count;
}

static void each_header_stands_alone(void **state) {
    (void)state;
    char names[64][64];
    size_t count = list_headers(names, 64);
    assert_true(count > 20);
    for (size_t i = 0; i < count; i++) {
        char text[128];
        snprintf(text, sizeof text, "#include <%s>\nint nothing;\n", names[i]);
        assert_compiles(names[i], EXTREMES, "", text);
    }
}

static void the_systems_own_headers_go_with_them_in_either_order(void **state) {
    (void)state;
    static const char windows[] = "#include <windows.h>\n#include <tchar.h>\n#include <conio.h>\n"
                                  "#include <process.h>\n#include <strsafe.h>\n";
    static const char posix[] = "#include <arpa/inet.h>\n#include <fcntl.h>\n#include <netdb.h>\n"
                                "#include <netinet/tcp.h>\n#include <pthread.h>\n"
                                "#include <signal.h>\n#include <sys/mman.h>\n"
                                "#include <sys/socket.h>\n#include <sys/stat.h>\n"
                                "#include <sys/wait.h>\n#include <termios.h>\n#include <time.h>\n"
                                "#include <unistd.h>\n#include <wchar.h>\n";
    static const char cpp[] = "#ifdef __cplusplus\n#include <algorithm>\n#include <iostream>\n"
                              "#include <limits>\n#include <map>\n#include <memory>\n"
                              "#include <regex>\n#include <thread>\n#include <vector>\n#endif\n";
    char text[4096];
    snprintf(text, sizeof text, "%s%s%sint nothing;\n", windows, posix, cpp);
    assert_compiles("Windows' before the system's", STANDARDS, "-D_GNU_SOURCE", text);
    snprintf(text, sizeof text, "%s%s%sint nothing;\n", cpp, posix, windows);
    assert_compiles("the system's before Windows'", STANDARDS, "-D_GNU_SOURCE", text);
}

static void a_unicode_build_is_told_that_tchar_is_char(void **state) {
    (void)state;
    static const char *const headers[] = {"windows.h", "tchar.h", "winbase.h"};
    static const char *const flags[] = {"-DUNICODE", "-D_UNICODE", "-DUNICODE -D_UNICODE"};
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 3; j++) {
            for (size_t k = 0; k < EXTREMES; k++) {
                char text[64];
                snprintf(text, sizeof text, "#include <%s>\nint nothing;\n", headers[i]);
                assert_int_not_equal(compile(standards[k], flags[j], text), 0);
                assert_true(compiler_said("TCHAR is char on POSIX"));
            }
        }
    }
}

static void the_w_calls_compile_in_either(void **state) {
    (void)state;
    assert_compiles("the W calls", STANDARDS, "",
                    "#include <windows.h>\nHANDLE open_it(void);\nHANDLE open_it(void) {\n"
                    "return OpenFileMappingW(FILE_MAP_READ, FALSE, u\"Local\\\\name\");\n}\n");
}

static void words_of_visual_c_compile(void **state) {
    (void)state;
    assert_compiles(
        "Visual C++'s words", STANDARDS, "",
        "#include <windows.h>\n"
        "__declspec(dllexport) int WINAPI shown(_In_ LPVOID at, CONST unsigned __int64 *);\n"
        "__declspec(noreturn) void __cdecl never(void);\n"
        "static __declspec(thread) LONG own;\n"
        "static __declspec(align(64)) BYTE line[64];\n"
        "static __forceinline BYTE FAR *first(void) { ++own; return line; }\n"
        "int WINAPI shown(_In_ LPVOID at, CONST unsigned __int64 *count) {\n"
        "UNREFERENCED_PARAMETER(at);\n"
        "return first() == line && HIDWORD(*count) == 0 ? (int)LODWORD(*count) : -1;\n}\n");
}

static void words_that_are_not_known_stand_for_nothing(void **state) {
    (void)state;
    assert_compiles("other words of __declspec", STANDARDS, "",
                    "#include <windows.h>\n"
                    "struct __declspec(novtable) one { LONG number; };\n"
                    "struct __declspec(uuid(\"0-0\")) two { LONG number; };\n"
                    "struct __declspec(align(32)) wide { LONG number; };\n"
                    "__declspec(thread) static struct wide own;\n"
                    "__declspec(dllimport) int _cdecl f(IN struct one *, OUT struct two *);\n"
                    "int _stdcall g(IN int at OPTIONAL);\n"
                    "int _stdcall g(IN int at OPTIONAL) {\n"
                    "typedef char is_aligned[sizeof own == 32 ? 1 : -1];\n"
                    "return at + own.number + (int)sizeof(is_aligned);\n}\n");
}

static void a_wide_literal_for_a_w_call_does_not_compile(void **state) {
    (void)state;
    static const char text[] = "#include <windows.h>\nHANDLE open_it(void);\n"
                               "HANDLE open_it(void) {\n"
                               "return OpenFileMappingW(FILE_MAP_READ, FALSE, L\"name\");\n}\n";
    for (size_t i = 0; i < STANDARDS; i++) {
        assert_int_not_equal(compile(standards[i], "-w", text), 0); /* not a warning */
        if (strstr(standards[i], "c++") == NULL) {
            assert_true(compiler_said("write_u_before_this_text_and_not_L"));
            assert_int_equal(compile(standards[i], "-fshort-wchar", text), 0);
        }
    }
}

static void other_texts_for_w_calls_compile(void **state) {
    (void)state;
    assert_compiles(
        "variables, NULL and the function itself", STANDARDS, "",
        "#include <windows.h>\nHANDLE open_it(LPCWSTR name, LPWSTR own);\n"
        "HANDLE open_it(LPCWSTR name, LPWSTR own) {\nWCHAR text[8] = {0};\n"
        "HANDLE (*make)(LPSECURITY_ATTRIBUTES, BOOL, LPCWSTR) = CreateMutexW;\n"
        "CloseHandle(CreateEventW(NULL, TRUE, FALSE, NULL));\n"
        "MessageBoxW(NULL, text, own, MB_OK);\n"
        "return make != NULL ? make(NULL, FALSE, name) : (OpenMutexW)(SYNCHRONIZE, FALSE, own);\n"
        "}\n");
}

static void conio_and_curses_go_together_in_either_order(void **state) {
    (void)state;
    assert_compiles("conio.h before curses.h", STANDARDS, "",
                    "#if __has_include(<curses.h>)\n#include <conio.h>\n#include <curses.h>\n"
                    "int key(void);\nint key(void) { return kbhit() ? getch() : 0; }\n#endif\n"
                    "int nothing;\n");
    assert_compiles("curses.h before conio.h", STANDARDS, "",
                    "#if __has_include(<curses.h>)\n#include <curses.h>\n#include <conio.h>\n"
                    "int key(void);\nint key(void) { return kbhit() ? getch() : 0; }\n#endif\n"
                    "int nothing;\n");
}

static void the_old_names_of_conio_are_functions(void **state) {
    (void)state;
    assert_compiles("conio.h's old names", STANDARDS, "",
                    "#include <conio.h>\nint keys(void);\nint keys(void) {\n"
                    "int (*get)(void) = getch;\n"
                    "return get() + getche() + kbhit() + ungetch(1) + putch(2) + cputs(\"\");\n"
                    "}\n");
}

static void cpp_before_2011_is_told_so(void **state) {
    (void)state;
    assert_int_not_equal(compile("-x c++ -std=c++98", "", "#include <windows.h>\nint nothing;\n"),
                         0);
    assert_true(compiler_said("need C++11"));
}

static void try_and_finally_compile_in_c(void **state) {
    (void)state;
    static const char text[] = "#include <windows.h>\nint turns(HANDLE mutex);\n"
                               "int turns(HANDLE mutex) {\nint done = 0;\n"
                               "__try { done = 1; } __finally { ReleaseMutex(mutex); }\n"
                               "return done;\n}\n";
    for (size_t i = 0; i < STANDARDS; i++) {
        if (strstr(standards[i], "c++") == NULL) {
            assert_int_equal(compile(standards[i], "", text), 0);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_header_stands_alone),
        cmocka_unit_test(the_systems_own_headers_go_with_them_in_either_order),
        cmocka_unit_test(a_unicode_build_is_told_that_tchar_is_char),
        cmocka_unit_test(the_w_calls_compile_in_either),
        cmocka_unit_test(words_of_visual_c_compile),
        cmocka_unit_test(words_that_are_not_known_stand_for_nothing),
        cmocka_unit_test(a_wide_literal_for_a_w_call_does_not_compile),
        cmocka_unit_test(other_texts_for_w_calls_compile),
        cmocka_unit_test(conio_and_curses_go_together_in_either_order),
        cmocka_unit_test(the_old_names_of_conio_are_functions),
        cmocka_unit_test(cpp_before_2011_is_told_so),
        cmocka_unit_test(try_and_finally_compile_in_c),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
