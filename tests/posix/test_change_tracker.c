/*
 * test_change_tracker.c - which pages of a view were stored to: on a file of this directory, on a
 * file on a tmpfs, in pagefile-backed memory, and in a copy-on-write view.
 *
 * Where the system has no such tracker, all but the refusals are skipped.
 *
 * Not under valgrind: it does not know userfaultfd.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform.h"
#include "posix/userfault.h"
#include "support/thread.h"

#if !defined(MADV_PAGEOUT)
#define MADV_PAGEOUT 21 /* Linux 5.4 */
#endif

#define PAGE ((size_t)4096)

enum { PAGES = 1100, BITS = (PAGES + 7) / 8 };

#define SIZE (PAGES * PAGE)

typedef enum view_kind { ON_DISK, ON_TMPFS, PAGEFILE, COPY, VIEW_KINDS } view_kind;

typedef struct tracked {
    HANDLE section;
    unsigned char *view;
    const char *path; /* NULL: no file */
    km_tracker *tracker;
    uint8_t changed[BITS];
} tracked;

/* ---- Views ---- */

static HANDLE make_section(const char *path) {
    HANDLE file = INVALID_HANDLE_VALUE;
    if (path != NULL) {
        file = CreateFileA(path, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ, NULL, CREATE_ALWAYS,
                           0, NULL);
        assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    }
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, (DWORD)SIZE, NULL);
    assert_non_null(section);
    if (path != NULL) {
        assert_true(CloseHandle(file));
    }
    return section;
}

/* Fresh, none of its pages is there. */
static tracked open_view(view_kind kind) {
    static char on_tmpfs[64];
    tracked it = {0};
    (void)snprintf(on_tmpfs, sizeof on_tmpfs, "/dev/shm/keepmap-test-tracker-%d", (int)getpid());
    it.path = kind == PAGEFILE ? NULL : kind == ON_TMPFS ? on_tmpfs : "tracked";
    it.section = make_section(it.path);
    it.view = MapViewOfFile(it.section, kind == COPY ? FILE_MAP_COPY : FILE_MAP_WRITE, 0, 0, 0);
    assert_non_null(it.view);
    return it;
}

static void close_view(tracked *it) {
    km_platform_tracker_stop(it->tracker);
    assert_true(UnmapViewOfFile(it->view));
    assert_true(CloseHandle(it->section));
    if (it->path != NULL) {
        assert_int_equal(unlink(it->path), 0);
    }
}

static void start(tracked *it) {
    assert_int_equal(km_platform_tracker_start(it->view, SIZE, &it->tracker), ERROR_SUCCESS);
}

static void collect(tracked *it) {
    memset(it->changed, 0xA5, sizeof it->changed);
    assert_int_equal(km_platform_tracker_collect(it->tracker, PAGE, it->changed), ERROR_SUCCESS);
}

static bool has_changed(const tracked *it, size_t page) {
    return (it->changed[page / 8] >> page % 8 & 1) != 0;
}

static size_t count_changed(const tracked *it) {
    size_t count = 0;
    for (size_t page = 0; page < (size_t)BITS * 8; ++page) {
        count += has_changed(it, page);
    }
    return count;
}

/* Collects; exactly this page was stored to. */
static void expect_only(tracked *it, size_t page) {
    collect(it);
    assert_true(has_changed(it, page));
    assert_int_equal(count_changed(it), 1);
}

static void expect_none(tracked *it) {
    collect(it);
    assert_int_equal(count_changed(it), 0);
}

/* ---- Skipping ---- */

/* Not asked of the tracker itself: one that is broken must not be skipped. */
static bool can_track(void) {
    const int userfault = kmw_userfault_open(KMW_FEATURE_WP_ASYNC);
    if (userfault >= 0) {
        close(userfault);
    }
    return userfault >= 0;
}

static void for_each_kind(void (*look)(tracked *it, view_kind kind)) {
    if (!can_track()) {
        skip(); /* needs Linux 6.7 and userfaultfd */
    }
    for (int kind = 0; kind < VIEW_KINDS; ++kind) {
        tracked it = open_view((view_kind)kind);
        look(&it, (view_kind)kind);
        close_view(&it);
    }
}

/* ---- Stores by the program ---- */

static void look_at_stores(tracked *it, view_kind kind) {
    (void)kind;
    memset(it->view, 1, SIZE / 2);
    start(it);
    expect_none(it);
    it->view[5 * PAGE + 17] = 2;
    expect_only(it, 5);
    expect_none(it);
    it->view[5 * PAGE] = 3; /* the same page again */
    expect_only(it, 5);
    it->view[0] = 1; /* the value that is there */
    expect_only(it, 0);
    it->view[SIZE - 1] = 1; /* a page that was not there */
    expect_only(it, PAGES - 1);
    expect_none(it);
}

static void a_store_shows_once_and_in_its_own_page(void **state) {
    (void)state;
    for_each_kind(look_at_stores);
}

static void look_at_loads(tracked *it, view_kind kind) {
    (void)kind;
    volatile unsigned char sum = 0;
    start(it);
    for (size_t page = 0; page < PAGES; ++page) {
        sum = (unsigned char)(sum + it->view[page * PAGE]);
    }
    expect_none(it);
    it->view[7 * PAGE] = 1; /* a page that a load has brought in */
    expect_only(it, 7);
}

static void loads_show_nothing_also_of_pages_that_were_not_there(void **state) {
    (void)state;
    for_each_kind(look_at_loads);
}

/* More regions than are fetched at once. */
static void look_at_many(tracked *it, view_kind kind) {
    (void)kind;
    start(it);
    for (size_t page = 0; page < PAGES; page += 2) {
        it->view[page * PAGE] = 1;
    }
    collect(it);
    for (size_t page = 0; page < PAGES; ++page) {
        assert_int_equal(has_changed(it, page), page % 2 == 0);
    }
    expect_none(it);
    memset(it->view, 2, SIZE);
    collect(it);
    assert_int_equal(count_changed(it), PAGES); /* and no bit behind the last */
    expect_none(it);
}

static void any_number_of_pages_show(void **state) {
    (void)state;
    for_each_kind(look_at_many);
}

static void look_in_units(tracked *it, view_kind kind) {
    (void)kind;
    start(it);
    for (size_t unit = PAGE; unit <= ((size_t)64 << 20); unit *= 2) {
        const size_t units = (SIZE - 1) / unit + 1;
        const size_t page = PAGES - 3;
        uint8_t changed[BITS + 1];
        memset(changed, 0xA5, sizeof changed);
        it->view[page * PAGE] = 1;
        it->view[PAGE] = 1;
        assert_int_equal(km_platform_tracker_collect(it->tracker, unit, changed), ERROR_SUCCESS);
        for (size_t i = 0; i < (units + 7) / 8 * 8; ++i) {
            const bool wanted = i == PAGE / unit || i == page * PAGE / unit;
            assert_int_equal(changed[i / 8] >> i % 8 & 1, wanted);
        }
        assert_int_equal(changed[(units + 7) / 8], 0xA5); /* the bytes behind are the caller's */
    }
}

static void pages_are_told_in_units_of_any_size(void **state) {
    (void)state;
    for_each_kind(look_in_units);
}

/* ---- Stores by the kernel ---- */

static void look_at_the_kernels(tracked *it, view_kind kind) {
    (void)kind;
    char bytes[PAGE] = "kernel";
    const int file = open("source", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(pwrite(file, bytes, PAGE, 0), PAGE);
    it->view[3 * PAGE] = 1;
    start(it);
    assert_int_equal(pread(file, it->view + 3 * PAGE, 10, 0), 10); /* a page that is there */
    expect_only(it, 3);
    assert_int_equal(pread(file, it->view + 9 * PAGE, 10, 0), 10); /* one that is not */
    expect_only(it, 9);
    const struct iovec from = {bytes, 10};
    const struct iovec to = {it->view + 3 * PAGE, 10};
    assert_int_equal(process_vm_writev(getpid(), &from, 1, &to, 1, 0), 10);
    expect_only(it, 3);
    const int memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    assert_true(memory >= 0);
    assert_int_equal(pwrite(memory, bytes, 10, (off_t)(uintptr_t)(it->view + 9 * PAGE)), 10);
    expect_only(it, 9);
    close(memory);
    assert_int_equal(write(file, it->view, PAGE), PAGE); /* a load */
    expect_none(it);
    close(file);
}

static void what_system_calls_store_into_the_view_shows(void **state) {
    (void)state;
    for_each_kind(look_at_the_kernels);
}

/* Past the page cache: the disk itself stores. */
static void look_at_direct_reads(tracked *it, view_kind kind) {
    (void)kind;
    const int writer = open("direct", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char bytes[PAGE] = "direct";
    assert_true(writer >= 0);
    assert_int_equal(pwrite(writer, bytes, PAGE, 0), PAGE);
    close(writer);
    const int file = open("direct", O_RDONLY | O_DIRECT | O_CLOEXEC);
    start(it);
    if (file < 0) {
        return; /* a file system without */
    }
    it->view[2 * PAGE] = 1;
    expect_only(it, 2);
    assert_int_equal(pread(file, it->view + 2 * PAGE, PAGE, 0), PAGE);
    expect_only(it, 2);
    assert_string_equal((char *)it->view + 2 * PAGE, "direct");
    close(file);
}

static void a_direct_read_into_the_view_shows(void **state) {
    (void)state;
    for_each_kind(look_at_direct_reads);
}

/* ---- What the kernel does with pages meanwhile ---- */

static void send_away(const tracked *it, view_kind kind, int advice) {
    if (kind != COPY || advice != MADV_DONTNEED) { /* that would undo the stores of a copy */
        (void)madvise(it->view, SIZE, advice);
    }
    if (it->path != NULL) {
        const int file = open(it->path, O_RDONLY | O_CLOEXEC);
        assert_true(file >= 0);
        assert_int_equal(fdatasync(file), 0);
        (void)posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
        close(file);
    }
}

static void look_after_eviction(tracked *it, view_kind kind) {
    const int advices[] = {MADV_PAGEOUT, MADV_DONTNEED};
    memset(it->view, 1, SIZE);
    start(it);
    for (size_t i = 0; i < 2; ++i) {
        /* Stored to, then gone: all of a page table's pages, and one among others. */
        memset(it->view, 2, 600 * PAGE);
        it->view[700 * PAGE] = 2;
        send_away(it, kind, advices[i]);
        collect(it);
        for (size_t page = 0; page < 600; ++page) {
            assert_true(has_changed(it, page));
        }
        assert_true(has_changed(it, 700));
        /* Gone, then stored to. */
        send_away(it, kind, advices[i]);
        collect(it);
        it->view[10 * PAGE] = 3;
        it->view[800 * PAGE] = 3;
        collect(it);
        assert_true(has_changed(it, 10));
        assert_true(has_changed(it, 800));
    }
}

static void stores_to_pages_that_leave_memory_show(void **state) {
    (void)state;
    for_each_kind(look_after_eviction);
}

static void look_after_flushes(tracked *it, view_kind kind) {
    (void)kind;
    start(it);
    it->view[4 * PAGE] = 1;
    assert_true(FlushViewOfFile(it->view, 0));
    expect_only(it, 4);
    assert_true(FlushViewOfFile(it->view, 0));
    it->view[4 * PAGE] = 2;
    expect_only(it, 4);
    assert_true(FlushViewOfFile(it->view, 0));
    expect_none(it);
}

static void flushing_hides_no_store_and_is_none(void **state) {
    (void)state;
    for_each_kind(look_after_flushes);
}

static void look_at_protections(tracked *it, view_kind kind) {
    DWORD before = 0;
    const DWORD writable = kind == COPY ? PAGE_WRITECOPY : PAGE_READWRITE;
    start(it);
    it->view[20 * PAGE] = 1;
    assert_true(VirtualProtect(it->view + 20 * PAGE, 2 * PAGE, PAGE_READONLY, &before));
    expect_only(it, 20);
    assert_true(VirtualProtect(it->view + 20 * PAGE, 2 * PAGE, writable, &before));
    expect_none(it);
    it->view[21 * PAGE] = 1;
    expect_only(it, 21);
}

static void changed_protections_hide_no_store(void **state) {
    (void)state;
    for_each_kind(look_at_protections);
}

/* ---- Stores while it is asked ---- */

enum { ROUNDS = 300, BUSY_PAGES = 64 };

typedef struct storer {
    unsigned char *view;
    atomic_bool stop;
} storer;

/* Counts in each page, in a word of its own, atomically as sharing with the other thread wants. */
static void store_on(void *arg) {
    storer *one = arg;
    for (unsigned n = 1; !atomic_load(&one->stop); ++n) {
        for (size_t page = 0; page < BUSY_PAGES; page += 1 + n % 3) {
            __atomic_store_n((unsigned *)(void *)(one->view + page * PAGE), n, __ATOMIC_RELAXED);
        }
    }
}

static void copy_changed(const tracked *it, unsigned copy[BUSY_PAGES]) {
    for (size_t page = 0; page < BUSY_PAGES; ++page) {
        if (has_changed(it, page)) {
            copy[page] =
                __atomic_load_n((unsigned *)(void *)(it->view + page * PAGE), __ATOMIC_RELAXED);
        }
    }
}

/* Who copies each time what has changed has in the end what is there. */
static void look_while_storing(tracked *it, view_kind kind) {
    (void)kind;
    unsigned copy[BUSY_PAGES] = {0};
    start(it);
    storer busy[2] = {{.view = it->view}, {.view = it->view}};
    thread *threads[2];
    for (size_t i = 0; i < 2; ++i) {
        threads[i] = thread_start(store_on, &busy[i]);
    }
    for (int round = 0; round < ROUNDS; ++round) {
        collect(it);
        copy_changed(it, copy);
    }
    for (size_t i = 0; i < 2; ++i) {
        atomic_store(&busy[i].stop, true);
        thread_join(threads[i]);
    }
    collect(it);
    copy_changed(it, copy);
    for (size_t page = 0; page < BUSY_PAGES; ++page) {
        assert_int_equal(copy[page], *(unsigned *)(void *)(it->view + page * PAGE));
    }
    expect_none(it);
}

static void no_store_is_lost_between_two_questions(void **state) {
    (void)state;
    for_each_kind(look_while_storing);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_shows_once_and_in_its_own_page),
        cmocka_unit_test(loads_show_nothing_also_of_pages_that_were_not_there),
        cmocka_unit_test(any_number_of_pages_show),
        cmocka_unit_test(pages_are_told_in_units_of_any_size),
        cmocka_unit_test(what_system_calls_store_into_the_view_shows),
        cmocka_unit_test(a_direct_read_into_the_view_shows),
        cmocka_unit_test(stores_to_pages_that_leave_memory_show),
        cmocka_unit_test(flushing_hides_no_store_and_is_none),
        cmocka_unit_test(changed_protections_hide_no_store),
        cmocka_unit_test(no_store_is_lost_between_two_questions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
