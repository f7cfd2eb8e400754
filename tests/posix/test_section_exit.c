/*
 * test_section_exit.c - a file is marked as mapped to the very end of a process: at exit views stay
 * in memory, where another thread may still be using them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <keepmap/win32.h>

#include "support/child.h"
#include "support/scratch.h"

#define MARK ((off_t)1 << 62) /* the byte that is locked while a file is mapped */

static bool tells_at_exit;

static bool is_marked(const char *name) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = MARK, .l_len = 1};
    const int descriptor = open(name, O_RDWR | O_CLOEXEC);
    const bool marked =
        descriptor >= 0 && fcntl(descriptor, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_RDLCK;
    close(descriptor);
    return marked;
}

/* After the library's own destructors. */
__attribute__((destructor(101))) static void tell_at_exit(void) {
    if (tells_at_exit) {
        const char *line = is_marked("exiting") ? "marked\n" : "not marked\n";
        (void)!write(STDOUT_FILENO, line, strlen(line));
    }
}

/* Returns from main with the file mapped, and its handles open or closed. */
static int exit_mapped(int argc, char **argv) {
    HANDLE file = CreateFileA("exiting", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                              OPEN_EXISTING, 0, NULL);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READONLY, 0, 0, NULL);
    if (argc != 2 || MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0) == NULL) {
        return 1;
    }
    if ((strcmp(argv[1], "both open") != 0 && !CloseHandle(section)) ||
        (strcmp(argv[1], "both closed") == 0 && !CloseHandle(file))) {
        return 1;
    }
    tells_at_exit = true;
    return 0;
}

static void what_is_mapped_stays_marked_to_the_very_end(void **state) {
    (void)state;
    static const char *const handles[] = {"both open", "section closed", "both closed"};
    scratch_file("exiting", 65536, 1);
    for (size_t i = 0; i < sizeof handles / sizeof handles[0]; ++i) {
        child *process = child_start("exit_mapped", handles[i], NULL);
        child_expect(process, "marked");
        assert_int_equal(child_finish(process), 0);
        assert_false(is_marked("exiting"));
    }
}

int main(int argc, char **argv) {
    static const child_role roles[] = {{"exit_mapped", exit_mapped}, {NULL, NULL}};
    child_main(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_mapped_stays_marked_to_the_very_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
