/*
 * sweep.c - the runs behind sweep.h, and what each may leave.
 */
#include "sweep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "support/process_facts.h"
#include "support/scratch.h"

enum {
    CALLS_MOST = 3000,  /* no run makes so many */
    HANDLES_MANY = 3000 /* more than there are in the blocks that are kept */
};

/* ---- What must not be left behind ---- */

static unsigned count_mappings(const char *const *texts) {
    char here[PATH_MAX];
    assert_non_null(getcwd(here, sizeof here));
    unsigned count = process_mappings(here);
    for (; texts != NULL && *texts != NULL; texts++) {
        count += process_mappings(*texts);
    }
    return count;
}

static bool is_there(const char *name) {
    return name != NULL && scratch_size(name) != -1;
}

static sweep_footprint footprint_now(const sweep_rules *rules) {
    const sweep_footprint found = {
        .allocations = fault_outstanding_allocations(),
        .descriptors = process_descriptors(),
        .mappings = count_mappings(rules->mappings),
        .files = scratch_entries() - is_there(rules->target) - is_there(rules->other),
    };
    assert_true(found.descriptors > 0); /* they can be counted */
    return found;
}

static bool is_same(const sweep_footprint *before, const sweep_footprint *after) {
    return after->allocations == before->allocations && after->descriptors == before->descriptors &&
           after->mappings == before->mappings && after->files == before->files;
}

/* How many there were. */
static size_t remove_drafts(const char *target) {
    static const char mark[] = ".km-";
    const size_t length = strlen(target);
    size_t removed = 0;
    DIR *folder = opendir(".");
    assert_non_null(folder);
    const struct dirent *entry = NULL;
    while ((entry = readdir(folder)) != NULL) {
        if (strncmp(entry->d_name, target, length) == 0 &&
            strncmp(entry->d_name + length, mark, sizeof mark - 1) == 0) {
            assert_int_equal(unlink(entry->d_name), 0);
            removed++;
        }
    }
    closedir(folder);
    return removed;
}

/* ---- The runs ---- */

typedef struct sweep {
    const sweep_rules *rules;
    const char *name;
    const void *scenario;
    const sweep_fault *fault;
} sweep;

static void expect_nothing_left(const sweep *what, unsigned k, const sweep_footprint *before,
                                const sweep_footprint *after) {
    const sweep_rules *rules = what->rules;
    if (is_same(before, after) || (rules->allows != NULL && rules->allows(before, after))) {
        return;
    }
    fail_msg("%s, call %u (%s, error %d%s): allocations %ld to %ld, descriptors %u to %u, "
             "mappings %u to %u, files %zu to %zu",
             what->name, k, fault_victim(), what->fault->error,
             what->fault->from_then_on ? ", and all later" : "", before->allocations,
             after->allocations, before->descriptors, after->descriptors, before->mappings,
             after->mappings, before->files, after->files);
}

static void expect_reason(const sweep *what, unsigned k, km_status status, bool struck) {
    if (!struck && status != KM_OK) {
        fail_msg("%s without a fault: %s", what->name, km_error_message());
    }
    if (status != KM_OK && km_error_message()[0] == '\0') {
        fail_msg("%s, call %u (%s): no sentence", what->name, k, fault_victim());
    }
    print_message("%s, call %u%s (%s): %s\n", what->name, k,
                  what->fault->from_then_on ? " and all later" : "", fault_victim(),
                  status == KM_OK ? "fine" : km_error_message());
}

static km_status run(const sweep *what) {
    return what->rules->run(what->scenario);
}

static void prepare(const sweep *what) {
    if (what->rules->prepare != NULL) {
        what->rules->prepare(what->scenario);
    }
}

/* One run with the k-th call failing. false when no call was left to fail. */
static bool run_with_fault(const sweep *what, unsigned k) {
    const sweep_fault *fault = what->fault;
    prepare(what);
    const sweep_footprint before = footprint_now(what->rules);
    fault_arm(fault->kind, k, fault->error, fault->from_then_on);
    const km_status status = run(what);
    const bool struck = fault_disarm();
    sweep_footprint after = footprint_now(what->rules);
    /* Where every call fails from some point on, so does the removal of a draft. */
    if (fault->from_then_on && status != KM_OK && after.files == before.files + 1) {
        after.files -= remove_drafts(what->rules->target);
    }
    expect_nothing_left(what, k, &before, &after);
    expect_reason(what, k, status, struck);
    what->rules->check(what->scenario, status, fault->from_then_on);
    return struck;
}

/* So that what is made once and kept is there. */
static void run_without_fault(const sweep *what) {
    prepare(what);
    assert_int_equal(run(what), KM_OK);
    assert_false(run_with_fault(what, CALLS_MOST));
}

/* And what a first failure makes: a sanitizer's allocator takes memory when it pleases. */
static void run_with_first_failure(const sweep *what) {
    prepare(what);
    fault_arm(what->fault->kind, 1, what->fault->error, false);
    (void)run(what);
    (void)fault_disarm();
}

unsigned sweep_calls(const sweep_rules *rules, const char *name, const void *scenario,
                     const sweep_fault *fault) {
    const sweep what = {rules, name, scenario, fault};
    unsigned k = 1;
    run_without_fault(&what);
    if (rules->first_failure_keeps) {
        run_with_first_failure(&what);
    }
    while (run_with_fault(&what, k)) {
        k++;
        assert_true(k < CALLS_MOST);
    }
    print_message("%s: %u calls failed in turn\n", name, k - 1);
    return k - 1;
}

int sweep_use_many_handles(const char *path) {
    for (int i = 0; i < HANDLES_MANY; i++) {
        km_map *map = NULL;
        if (km_open(&map, path, NULL) != KM_OK) {
            return -1;
        }
        (void)km_close(map);
    }
    return 0;
}

/* ---- Scenarios that are all functions ---- */

void sweep_prepare(const void *scenario) {
    const sweep_scenario *what = scenario;
    what->prepare();
}

km_status sweep_run(const void *scenario) {
    const sweep_scenario *what = scenario;
    return what->run();
}

void sweep_check(const void *scenario, km_status status, bool from_then_on) {
    const sweep_scenario *what = scenario;
    (void)from_then_on;
    if (status == KM_OK) {
        what->check_done();
    } else {
        what->check_failed();
    }
}
