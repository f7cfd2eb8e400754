/*
 * test_handle_table.c - handles among threads: wrong, stale and closing ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap/win32.h>

#include "posix/handle_table.h"

/* An object that counts what happens to it. */
typedef struct probe {
    kmw_object object;
    atomic_int *last_handles;
    atomic_int *destroyed;
    atomic_bool given_up; /* its last handle is gone */
} probe;

static void probe_last_handle(kmw_object *object) {
    probe *self = (probe *)object;
    atomic_store(&self->given_up, true);
    atomic_fetch_add(self->last_handles, 1);
}

static void probe_destroy(kmw_object *object) {
    probe *self = (probe *)object;
    atomic_fetch_add(self->destroyed, 1);
    free(self);
}

static const kmw_class file_like = {KMW_FILE, probe_last_handle, probe_destroy};
static const kmw_class section_like = {KMW_SECTION, probe_last_handle, probe_destroy};

static atomic_int last_handles;
static atomic_int destroyed;

static probe *new_probe(const kmw_class *class) {
    probe *self = calloc(1, sizeof *self);
    assert_non_null(self);
    kmw_object_init(&self->object, class);
    self->last_handles = &last_handles;
    self->destroyed = &destroyed;
    return self;
}

/* A handle that alone keeps a new object. */
static HANDLE open_probe(DWORD access) {
    probe *self = new_probe(&file_like);
    HANDLE handle = kmw_handle_open(&self->object, access, false);
    assert_non_null(handle);
    kmw_object_release(&self->object);
    return handle;
}

static int reset_counts(void **state) {
    (void)state;
    atomic_store(&last_handles, 0);
    atomic_store(&destroyed, 0);
    return 0;
}

static void a_handle_is_a_multiple_of_four_in_31_bits(void **state) {
    (void)state;
    HANDLE handle = open_probe(0);
    assert_int_equal((uintptr_t)handle & 3, 0);
    assert_true((uintptr_t)handle <= 0x7FFFFFFF);
    assert_true(CloseHandle(handle));
}

static void a_use_shows_object_and_access(void **state) {
    (void)state;
    probe *self = new_probe(&file_like);
    HANDLE handle = kmw_handle_open(&self->object, FILE_READ_DATA, false);
    kmw_use use = kmw_use_begin(handle, KMW_FILE);
    assert_ptr_equal(use.object, &self->object);
    assert_int_equal(use.access, FILE_READ_DATA);
    kmw_use_end(use);
    assert_true(CloseHandle(handle));
    assert_int_equal(atomic_load(&last_handles), 1);
    assert_int_equal(atomic_load(&destroyed), 0); /* the maker's reference */
    kmw_object_release(&self->object);
    assert_int_equal(atomic_load(&destroyed), 1);
}

static void a_handle_of_another_kind_is_refused_and_unharmed(void **state) {
    (void)state;
    probe *self = new_probe(&section_like);
    HANDLE handle = kmw_handle_open(&self->object, 0, false);
    kmw_object_release(&self->object);
    SetLastError(0);
    assert_null(kmw_use_begin(handle, KMW_FILE).object);
    assert_int_equal(GetLastError(), ERROR_INVALID_HANDLE);
    assert_true(CloseHandle(handle));
    assert_int_equal(atomic_load(&destroyed), 1);
}

static void closing_during_a_use_waits_for_its_end(void **state) {
    (void)state;
    HANDLE handle = open_probe(0);
    kmw_use use = kmw_use_begin(handle, KMW_ANY);
    assert_true(CloseHandle(handle));
    assert_null(kmw_use_begin(handle, KMW_ANY).object);
    assert_false(CloseHandle(handle));
    assert_int_equal(atomic_load(&last_handles), 0);
    SetLastError(77);
    kmw_use_end(use);
    assert_int_equal(GetLastError(), 77);
    assert_int_equal(atomic_load(&last_handles), 1);
    assert_int_equal(atomic_load(&destroyed), 1);
}

static void the_last_of_two_handles_gives_the_object_up(void **state) {
    (void)state;
    HANDLE one = open_probe(0);
    HANDLE two = NULL;
    assert_true(DuplicateHandle(GetCurrentProcess(), one, GetCurrentProcess(), &two, 0, FALSE,
                                DUPLICATE_SAME_ACCESS));
    assert_true(CloseHandle(one));
    assert_int_equal(atomic_load(&last_handles), 0);
    assert_true(CloseHandle(two));
    assert_int_equal(atomic_load(&last_handles), 1);
    assert_int_equal(atomic_load(&destroyed), 1);
}

static void a_stale_handle_stays_invalid_for_half_a_million_closes(void **state) {
    (void)state;
    HANDLE stale = open_probe(0);
    assert_true(CloseHandle(stale));
    probe *self = new_probe(&file_like);
    for (int i = 0; i < 500000; i++) {
        HANDLE handle = kmw_handle_open(&self->object, 0, false);
        if (handle == stale) {
            fail_msg("the same handle again after %d closes", i);
        }
        assert_true(CloseHandle(handle));
    }
    assert_null(kmw_use_begin(stale, KMW_ANY).object);
    kmw_object_release(&self->object);
}

static void many_handles_are_open_at_once(void **state) {
    (void)state;
    enum { COUNT = 20000 };
    static HANDLE handles[COUNT];
    probe *self = new_probe(&file_like);
    for (unsigned i = 0; i < COUNT; i++) {
        handles[i] = kmw_handle_open(&self->object, i, false);
        assert_non_null(handles[i]);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        kmw_use use = kmw_use_begin(handles[i], KMW_FILE);
        assert_int_equal(use.access, i);
        kmw_use_end(use);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        assert_true(CloseHandle(handles[i]));
    }
    assert_int_equal(atomic_load(&last_handles), 1);
    kmw_object_release(&self->object);
}

static void the_table_says_when_it_is_full(void **state) {
    (void)state;
    enum { MOST = 1 << 20 };
    HANDLE *handles = malloc(MOST * sizeof *handles);
    assert_non_null(handles);
    probe *self = new_probe(&file_like);
    unsigned count = 0;
    SetLastError(0);
    while (count < MOST && (handles[count] = kmw_handle_open(&self->object, 0, false)) != NULL) {
        count++;
    }
    assert_int_equal(count, MOST - 1); /* no handle is NULL */
    assert_int_equal(GetLastError(), ERROR_TOO_MANY_OPEN_FILES);
    assert_true(CloseHandle(handles[12345]));
    handles[12345] = kmw_handle_open(&self->object, 0, false);
    assert_non_null(handles[12345]);
    while (count > 0) {
        assert_true(CloseHandle(handles[--count]));
    }
    free(handles);
    kmw_object_release(&self->object);
    assert_int_equal(atomic_load(&destroyed), 1);
}

/* ---- Threads ---- */

enum { THREADS = 4, SHARED = 8, ROUNDS = 20000 };

static _Atomic(HANDLE) shared[SHARED];
static atomic_int opened;
static atomic_int closed;
static atomic_int found;
static atomic_int broken;

static void open_one(_Atomic(HANDLE) *place) {
    probe *self = calloc(1, sizeof *self);
    if (self == NULL) {
        atomic_fetch_add(&broken, 1);
        return;
    }
    kmw_object_init(&self->object, &file_like);
    self->last_handles = &last_handles;
    self->destroyed = &destroyed;
    HANDLE handle = kmw_handle_open(&self->object, 0, false);
    kmw_object_release(&self->object);
    atomic_fetch_add(&opened, 1);
    HANDLE before = atomic_exchange(place, handle);
    if (before != NULL && CloseHandle(before)) {
        atomic_fetch_add(&closed, 1);
    }
}

/* Uses, closes and replaces handles that the others are using, closing and replacing. */
static void *hammer(void *argument) {
    unsigned random = (unsigned)(uintptr_t)argument;
    HANDLE stale = NULL;
    for (int i = 0; i < ROUNDS; i++) {
        random = random * 1103515245 + 12345;
        _Atomic(HANDLE) *place = &shared[random >> 16 & (SHARED - 1)];
        HANDLE handle = random >> 24 & 1 ? stale : atomic_load(place);
        kmw_use use = kmw_use_begin(handle, KMW_FILE);
        if (use.object != NULL) {
            atomic_fetch_add(&found, 1);
            if (atomic_load(&((probe *)use.object)->given_up)) {
                atomic_fetch_add(&broken, 1);
            }
            kmw_use_end(use);
        }
        stale = handle;
        if (random >> 25 & 1) {
            open_one(place);
        } else if ((random >> 26 & 3) == 0 && CloseHandle(handle)) {
            atomic_fetch_add(&closed, 1);
        }
    }
    return NULL;
}

static void threads_never_reach_an_object_that_was_given_up(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, (void *)(i * 7919 + 1)), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (int i = 0; i < SHARED; i++) {
        if (CloseHandle(atomic_load(&shared[i]))) {
            atomic_fetch_add(&closed, 1);
        }
    }
    assert_int_equal(atomic_load(&broken), 0);
    assert_true(atomic_load(&found) > 0);
    assert_int_equal(atomic_load(&opened), atomic_load(&closed));
    assert_int_equal(atomic_load(&opened), atomic_load(&last_handles));
    assert_int_equal(atomic_load(&opened), atomic_load(&destroyed));
}

static pthread_barrier_t start_line;
static atomic_int successes;

static void *close_at_once(void *argument) {
    pthread_barrier_wait(&start_line);
    if (CloseHandle(argument)) {
        atomic_fetch_add(&successes, 1);
    }
    return NULL;
}

static void of_several_who_close_one_handle_one_succeeds(void **state) {
    (void)state;
    for (int round = 0; round < 200; round++) {
        pthread_t threads[THREADS];
        HANDLE handle = open_probe(0);
        atomic_store(&successes, 0);
        pthread_barrier_init(&start_line, NULL, THREADS);
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, close_at_once, handle), 0);
        }
        for (int i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
        }
        pthread_barrier_destroy(&start_line);
        assert_int_equal(atomic_load(&successes), 1);
    }
    assert_int_equal(atomic_load(&destroyed), 200);
}

/* ---- fork and exit ---- */

static pthread_barrier_t in_use;
static pthread_barrier_t forked;

static void *use_across_the_fork(void *argument) {
    kmw_use use = kmw_use_begin(argument, KMW_ANY);
    pthread_barrier_wait(&in_use);
    pthread_barrier_wait(&forked);
    kmw_use_end(use);
    return NULL;
}

static int exit_code_of(pid_t child) {
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The parent's other threads are not there in the child, so their uses must not count. */
static void a_child_can_close_what_another_thread_was_using(void **state) {
    (void)state;
    HANDLE handle = open_probe(0);
    HANDLE closing = open_probe(0);
    kmw_use until_fork = kmw_use_begin(closing, KMW_ANY);
    assert_true(CloseHandle(closing));
    pthread_t thread;
    pthread_barrier_init(&in_use, NULL, 2);
    pthread_barrier_init(&forked, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, use_across_the_fork, handle), 0);
    pthread_barrier_wait(&in_use);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool let_go = atomic_load(&destroyed) == 1 && CloseHandle(handle) && !CloseHandle(handle) &&
                      atomic_load(&destroyed) == 2;
        _exit(let_go ? 0 : 1);
    }
    pthread_barrier_wait(&forked);
    pthread_join(thread, NULL);
    assert_int_equal(exit_code_of(child), 0);
    kmw_use_end(until_fork);
    assert_true(CloseHandle(handle));
    assert_int_equal(atomic_load(&destroyed), 2);
    pthread_barrier_destroy(&in_use);
    pthread_barrier_destroy(&forked);
}

static int report;

static void report_and_free(kmw_object *object) {
    (void)write(report, "gone", 4);
    free(object);
}

static void exit_closes_every_handle_the_protected_ones_too(void **state) {
    (void)state;
    static const kmw_class reporting = {KMW_FILE, NULL, report_and_free};
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        report = ends[1];
        for (int i = 0; i < 2; i++) {
            probe *self = calloc(1, sizeof *self);
            kmw_object_init(&self->object, &reporting);
            HANDLE handle = kmw_handle_open(&self->object, 0, false);
            kmw_object_release(&self->object);
            SetHandleInformation(handle, HANDLE_FLAG_PROTECT_FROM_CLOSE,
                                 i == 0 ? HANDLE_FLAG_PROTECT_FROM_CLOSE : 0);
        }
        exit(0); // NOLINT(concurrency-mt-unsafe)
    }
    close(ends[1]);
    assert_int_equal(exit_code_of(child), 0);
    char said[16] = "";
    assert_int_equal(read(ends[0], said, sizeof said), 8);
    assert_memory_equal(said, "gonegone", 8);
    close(ends[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_handle_is_a_multiple_of_four_in_31_bits, reset_counts),
        cmocka_unit_test_setup(a_use_shows_object_and_access, reset_counts),
        cmocka_unit_test_setup(a_handle_of_another_kind_is_refused_and_unharmed, reset_counts),
        cmocka_unit_test_setup(closing_during_a_use_waits_for_its_end, reset_counts),
        cmocka_unit_test_setup(the_last_of_two_handles_gives_the_object_up, reset_counts),
        cmocka_unit_test_setup(a_stale_handle_stays_invalid_for_half_a_million_closes,
                               reset_counts),
        cmocka_unit_test_setup(many_handles_are_open_at_once, reset_counts),
        cmocka_unit_test_setup(threads_never_reach_an_object_that_was_given_up, reset_counts),
        cmocka_unit_test_setup(of_several_who_close_one_handle_one_succeeds, reset_counts),
        cmocka_unit_test_setup(a_child_can_close_what_another_thread_was_using, reset_counts),
        cmocka_unit_test_setup(exit_closes_every_handle_the_protected_ones_too, reset_counts),
        cmocka_unit_test_setup(the_table_says_when_it_is_full, reset_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
