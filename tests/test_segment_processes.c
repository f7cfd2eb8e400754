/*
 * test_segment_processes.c - segments among processes: who makes, who waits, what death leaves, and
 * sections that other programs have made.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "record.h"
#include "segment.h"
#include "support/child.h"
#include "support/scratch.h"
#include "support/unique.h"

#define PAGE 4096u
#define SIZE 10000u
#define RACERS 16
#define RACES 4

/* ---- The other processes ---- */

static km_status fill(void *data, uint64_t size, void *arg) {
    (void)arg;
    memset(data, 'f', (size_t)size);
    return KM_OK;
}

/* Says so in the middle of it, and goes on, fails, or is killed there, as it is told. */
static km_status fill_when_told(void *data, uint64_t size, void *arg) {
    char line[64] = "";
    (void)arg;
    memset(data, 'f', (size_t)size / 2);
    child_say("inside");
    child_hear(line, sizeof line);
    memset((char *)data + size / 2, 'f', (size_t)(size - size / 2));
    return strcmp(line, "fail") == 0 ? KM_E_CANCELLED : KM_OK;
}

static bool is_filled(const km_map *map) {
    const char *bytes = km_data(map);
    for (uint64_t i = 0; i < km_size(map); i++) {
        if (bytes[i] != 'f') {
            return false;
        }
    }
    return true;
}

/* use NAME HOW: "open", "create", "slow create", "slow wide create"; says how that went, and holds
 * the segment until told. */
static int use(int argc, char **argv) {
    char line[64];
    km_map *map = NULL;
    km_options options = {.access = KM_WRITE, .init = fill};
    if (argc != 3) {
        return 1;
    }
    if (strcmp(argv[2], "open") != 0) {
        options.flags = KM_OPEN_CREATE;
        options.size = SIZE;
    }
    if (strncmp(argv[2], "slow", 4) == 0) {
        options.init = fill_when_told;
    }
    if (strcmp(argv[2], "slow wide create") == 0) {
        options.flags |= KM_OPEN_MACHINE_WIDE;
        options.permissions = 0666;
    }
    const km_status status = km_segment(&map, argv[1], &options);
    if (status != KM_OK) {
        child_say("%s", km_strerror(status));
    } else if (!is_filled(map)) {
        child_say("half made");
    } else {
        child_say("%s", km_created(map) ? "made" : "opened");
    }
    child_hear(line, sizeof line);
    km_close(map);
    return 0;
}

/* race NAME: when told, creates or opens; says which; holds it until told. */
static int race(int argc, char **argv) {
    char line[64];
    if (argc != 2) {
        return 1;
    }
    child_say("here");
    child_hear(line, sizeof line);
    char *arguments[] = {argv[0], argv[1], (char[]){"create"}};
    return use(3, arguments);
}

/* plain NAME: a section of 5000 bytes made as any Win32 program would; held until told. */
static int plain(int argc, char **argv) {
    char line[64];
    HANDLE section =
        argc == 2 ? CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 5000, argv[1])
                  : NULL;
    char *view = section != NULL ? MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0) : NULL;
    if (view == NULL) {
        child_say("error %lu", (unsigned long)GetLastError());
        return 1;
    }
    memcpy(view, "plain", sizeof "plain");
    child_say("ready");
    child_hear(line, sizeof line);
    child_say("%s", view);
    return 0;
}

static km_status open_now(const char *name, km_map **map) {
    *map = NULL;
    return km_segment(map, name, &(km_options){.access = KM_WRITE});
}

/* ---- Sharing and dying ---- */

static void two_processes_share_a_segment(void **state) {
    (void)state;
    const char *name = unique_name("shared");
    child *maker = child_start("use", name, "create", NULL);
    km_map *map = NULL;
    child_expect(maker, "made");
    assert_int_equal(open_now(name, &map), KM_OK);
    assert_int_equal(km_size(map), SIZE);
    assert_true(is_filled(map));
    assert_int_equal(child_finish(maker), 0);
    assert_true(is_filled(map));
    child *opener = child_start("use", name, "open", NULL);
    child_expect(opener, "opened");
    assert_int_equal(child_finish(opener), 0);
    km_close(map);
    assert_int_equal(open_now(name, &map), KM_E_NOT_FOUND);
}

static void a_segment_goes_with_its_killed_holder(void **state) {
    (void)state;
    const char *name = unique_name("killed");
    km_map *map = NULL;
    child *holder = child_start("use", name, "create", NULL);
    child_expect(holder, "made");
    child_kill(holder);
    assert_int_equal(open_now(name, &map), KM_E_NOT_FOUND);
    assert_int_equal(
        km_segment(&map, name, &(km_options){.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 10}),
        KM_OK);
    km_close(map);
}

/* ---- Who opens while another makes ---- */

static void an_opener_waits_for_the_init_of_another_process(void **state) {
    (void)state;
    const char *name = unique_name("waits");
    child *maker = child_start("use", name, "slow create", NULL);
    child_expect(maker, "inside");
    child *opener = child_start("use", name, "open", NULL);
    child *creator = child_start("use", name, "create", NULL);
    Sleep(50); /* likely waiting by now; not needed for the result */
    child_tell(maker, "go on");
    child_expect(maker, "made");
    child_expect(opener, "opened");
    child_expect(creator, "opened");
    assert_int_equal(child_finish(maker), 0);
    assert_int_equal(child_finish(opener), 0);
    assert_int_equal(child_finish(creator), 0);
}

static void an_opener_finds_nothing_if_the_init_fails(void **state) {
    (void)state;
    const char *name = unique_name("fails");
    child *maker = child_start("use", name, "slow create", NULL);
    child_expect(maker, "inside");
    child *opener = child_start("use", name, "open", NULL);
    Sleep(50);
    child_tell(maker, "fail");
    child_expect(maker, "KM_E_CANCELLED");
    child_expect(opener, "KM_E_NOT_FOUND");
    assert_int_equal(child_finish(maker), 0);
    assert_int_equal(child_finish(opener), 0);
}

static void a_maker_killed_in_its_init_leaves_nothing(void **state) {
    (void)state;
    const char *name = unique_name("dies");
    km_map *map = NULL;
    for (int round = 0; round < 3; round++) {
        child *maker = child_start("use", name, "slow create", NULL);
        child_expect(maker, "inside");
        child_kill(maker);
        assert_int_equal(open_now(name, &map), KM_E_NOT_FOUND);
        child *next = child_start("use", name, "create", NULL);
        child_expect(next, "made");
        assert_int_equal(child_finish(next), 0);
    }
}

static void who_waits_for_a_maker_that_is_killed_takes_his_place(void **state) {
    (void)state;
    const char *name = unique_name("heir");
    child *maker = child_start("use", name, "slow create", NULL);
    child_expect(maker, "inside");
    child *heirs[3];
    for (int i = 0; i < 3; i++) {
        heirs[i] = child_start("use", name, "create", NULL);
    }
    Sleep(100);
    child_kill(maker);
    int made = 0;
    for (int i = 0; i < 3; i++) {
        char line[64];
        child_read(heirs[i], line, sizeof line);
        made += strcmp(line, "made") == 0;
        if (strcmp(line, "made") != 0) {
            assert_string_equal(line, "opened");
        }
    }
    assert_int_equal(made, 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(child_finish(heirs[i]), 0);
    }
}

static void of_many_who_create_at_once_one_makes_and_the_rest_open(void **state) {
    (void)state;
    for (int round = 0; round < RACES; round++) {
        const char *name = unique_name("race");
        child *racers[RACERS];
        int made = 0;
        for (int i = 0; i < RACERS; i++) {
            racers[i] = child_start("race", name, NULL);
        }
        for (int i = 0; i < RACERS; i++) {
            child_expect(racers[i], "here");
        }
        for (int i = 0; i < RACERS; i++) {
            child_tell(racers[i], "go");
        }
        for (int i = 0; i < RACERS; i++) {
            char line[64];
            child_read(racers[i], line, sizeof line);
            made += strcmp(line, "made") == 0;
            if (strcmp(line, "made") != 0) {
                assert_string_equal(line, "opened");
            }
        }
        assert_int_equal(made, 1);
        for (int i = 0; i < RACERS; i++) {
            assert_int_equal(child_finish(racers[i]), 0);
        }
        km_map *map = NULL;
        assert_int_equal(open_now(name, &map), KM_E_NOT_FOUND);
    }
}

/* Since anybody could keep all others waiting. */
static void patience_with_the_maker_of_a_machine_wide_segment_ends(void **state) {
    (void)state;
    const char *name = unique_name("patience");
    km_map *map = NULL;
    km_options options = {.access = KM_WRITE, .flags = KM_OPEN_MACHINE_WIDE};
    child *maker = child_start("use", name, "slow wide create", NULL);
    child_expect(maker, "inside");
    const uint32_t patience = km_segment_patience_ms;
    km_segment_patience_ms = 100;
    assert_int_equal(km_segment(&map, name, &options), KM_E_TIMEOUT);
    assert_non_null(strstr(km_error_message(), "100 ms"));
    options.flags |= KM_OPEN_CREATE;
    options.size = SIZE;
    assert_int_equal(km_segment(&map, name, &options), KM_E_TIMEOUT);
    options.flags |= KM_OPEN_NEW;
    assert_int_equal(km_segment(&map, name, &options), KM_E_TIMEOUT);
    km_segment_patience_ms = patience;
    child_tell(maker, "go on");
    child_expect(maker, "made");
    options.flags = KM_OPEN_MACHINE_WIDE;
    assert_int_equal(km_segment(&map, name, &options), KM_OK);
    assert_true(is_filled(map));
    km_close(map);
    assert_int_equal(child_finish(maker), 0);
}

/* ---- Sections that others have made ---- */

static void a_plain_section_of_another_program_opens(void **state) {
    (void)state;
    const char *name = unique_name("plain");
    child *program = child_start("plain", name, NULL);
    child_expect(program, "ready");
    km_map *map = NULL;
    assert_int_equal(open_now(name, &map), KM_OK);
    assert_int_equal(km_size(map), 2 * PAGE);
    assert_false(km_created(map));
    assert_string_equal(km_data(map), "plain");
    memcpy(km_data(map), "from keepmap", sizeof "from keepmap");

    km_map *other = NULL;
    assert_int_equal(km_segment(&other, name, &(km_options){.type = "x"}), KM_E_MISMATCH);
    assert_non_null(strstr(km_error_message(), "plain section"));
    assert_int_equal(km_segment(&other, name, &(km_options){.size = 2 * PAGE + 1}), KM_E_TRUNCATED);
    assert_int_equal(
        km_segment(&other, name,
                   &(km_options){.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 10}),
        KM_E_EXISTS);
    assert_int_equal(
        km_segment(&other, name,
                   &(km_options){.access = KM_WRITE, .flags = KM_OPEN_CREATE, .size = 10}),
        KM_OK);
    assert_false(km_created(other));
    km_close(other);

    km_segment_facts facts = {0};
    km_size_report report = {0};
    assert_int_equal(km_segment_describe(map, &facts), KM_OK);
    assert_int_equal(facts.described, 0);
    assert_int_equal(facts.size, 2 * PAGE);
    assert_true(facts.created_ns == KM_TIME_UNKNOWN);
    assert_int_equal(km_check(map, &report), KM_OK);
    assert_int_equal(report.declared, 2 * PAGE);
    child_tell(program, "go on");
    child_expect(program, "from keepmap");
    assert_int_equal(child_finish(program), 0);
    km_close(map);
}

static void a_plain_program_reads_a_segment_from_its_first_byte(void **state) {
    (void)state;
    const char *name = unique_name("readable");
    child *maker = child_start("use", name, "create", NULL);
    child_expect(maker, "made");
    HANDLE section = OpenFileMappingA(FILE_MAP_ALL_ACCESS, FALSE, name);
    assert_non_null(section);
    const char *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
    assert_non_null(view);
    assert_int_equal(view[0], 'f');
    assert_int_equal(view[SIZE - 1], 'f');
    assert_int_equal(view[SIZE], 0);
    assert_true(UnmapViewOfFile(view));
    assert_true(CloseHandle(section));
    assert_int_equal(child_finish(maker), 0);
}

/* A section with `record` at its end. */
static HANDLE section_with(const char *name, km_record record, uint32_t ready) {
    HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, PAGE, name);
    assert_non_null(section);
    char *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    assert_non_null(view);
    km_record_seal(&record);
    record.ready = ready;
    memcpy(view + PAGE - KM_RECORD_SIZE, &record, sizeof record);
    assert_true(UnmapViewOfFile(view));
    return section;
}

static void a_record_with_wild_sizes_is_not_believed(void **state) {
    (void)state;
    const char *name = unique_name("wild");
    const km_record records[] = {
        {.size = UINT64_MAX, .section_size = PAGE},
        {.size = (uint64_t)1 << 40, .section_size = (uint64_t)1 << 41},
        {.size = PAGE, .section_size = PAGE},
        {.size = 10, .section_size = 20},
    };
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
        HANDLE section = section_with(name, records[i], KM_RECORD_READY);
        km_map *map = NULL;
        assert_int_equal(open_now(name, &map), KM_OK);
        assert_int_equal(km_size(map), PAGE);
        km_close(map);
        assert_true(CloseHandle(section));
    }
}

/* As when its maker has died, and somebody holds what he has begun. */
static void what_is_left_of_a_half_made_segment_is_never_opened(void **state) {
    (void)state;
    const char *name = unique_name("left");
    HANDLE section = section_with(name, (km_record){.size = 100, .section_size = PAGE}, 0);
    km_map *map = NULL;
    km_options options = {.access = KM_WRITE, .flags = KM_OPEN_NEW, .size = 100};
    assert_int_equal(open_now(name, &map), KM_E_BUSY);
    assert_non_null(strstr(km_error_message(), "died"));
    assert_int_equal(km_segment(&map, name, &options), KM_E_BUSY);
    options.flags = KM_OPEN_CREATE;
    assert_int_equal(km_segment(&map, name, &options), KM_E_BUSY);
    assert_null(map);
    assert_true(CloseHandle(section));
    assert_int_equal(km_segment(&map, name, &options), KM_OK);
    assert_true(km_created(map));
    km_close(map);
}

static void reserved_pages_of_a_plain_section_are_holes_in_its_copy(void **state) {
    (void)state;
    const char *name = unique_name("reserve");
    const DWORD size = 16 * 65536;
    HANDLE section =
        CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE | SEC_RESERVE, 0, size, name);
    assert_non_null(section);
    char *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    assert_non_null(view);
    assert_non_null(VirtualAlloc(view + 65536, 100, MEM_COMMIT, PAGE_READWRITE));
    memcpy(view + 65536, "committed", sizeof "committed");
    km_map *map = NULL;
    assert_int_equal(open_now(name, &map), KM_OK);
    assert_int_equal(km_size(map), size);
    assert_int_equal(km_copy(map, "reserved", NULL), KM_OK);
    char *expected = calloc(1, size);
    assert_non_null(expected);
    memcpy(expected + 65536, "committed", sizeof "committed");
    assert_true(scratch_equals("reserved", expected, size));
    free(expected);
    km_close(map);
    assert_true(UnmapViewOfFile(view));
    assert_true(CloseHandle(section));
}

int main(int argc, char **argv) {
    static const child_role roles[] = {
        {"use", use}, {"race", race}, {"plain", plain}, {NULL, NULL}};
    child_main(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_processes_share_a_segment),
        cmocka_unit_test(a_segment_goes_with_its_killed_holder),
        cmocka_unit_test(an_opener_waits_for_the_init_of_another_process),
        cmocka_unit_test(an_opener_finds_nothing_if_the_init_fails),
        cmocka_unit_test(a_maker_killed_in_its_init_leaves_nothing),
        cmocka_unit_test(who_waits_for_a_maker_that_is_killed_takes_his_place),
        cmocka_unit_test(of_many_who_create_at_once_one_makes_and_the_rest_open),
        cmocka_unit_test(patience_with_the_maker_of_a_machine_wide_segment_ends),
        cmocka_unit_test(a_plain_section_of_another_program_opens),
        cmocka_unit_test(a_plain_program_reads_a_segment_from_its_first_byte),
        cmocka_unit_test(a_record_with_wild_sizes_is_not_believed),
        cmocka_unit_test(what_is_left_of_a_half_made_segment_is_never_opened),
        cmocka_unit_test(reserved_pages_of_a_plain_section_are_holes_in_its_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
