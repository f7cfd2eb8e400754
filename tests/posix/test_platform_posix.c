/*
 * test_platform_posix.c - platform.h where POSIX has its own rules: symbolic links, mode bits, and
 * drafts on systems without nameless files.
 */
#include <stdarg.h>
#include <stddef.h>

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include <keepmap.h>
#include <keepmap/win32.h>

#include "platform.h"
#include "support/scratch.h"

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

static bool is_ascii(const WCHAR *text, const char *expected) {
    for (; *expected != '\0' && *text == (unsigned char)*expected; expected++) {
        text++;
    }
    return *text == 0 && *expected == '\0';
}

/* "`current directory`/`name`" is what `path` resolves to. */
static void assert_resolves(const WCHAR *path, const char *name) {
    char expected[4200];
    WCHAR *resolved = NULL;
    char *directory = realpath(".", NULL);
    assert_non_null(directory);
    snprintf(expected, sizeof expected, "%s/%s", directory, name);
    free(directory);
    assert_int_equal(km_platform_resolve(path, &resolved), ERROR_SUCCESS);
    assert_true(is_ascii(resolved, expected));
    free(resolved);
}

static mode_t mode_of(const char *path) {
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 07777;
}

/* ---- Links --------------------------------------------------------------------------------- */

static void a_chain_of_links_is_followed_to_the_file(void **state) {
    (void)state;
    scratch_write("end", "x", 1);
    assert_int_equal(mkdir("links", 0777), 0);
    assert_int_equal(symlink("../end", "links/two"), 0);
    assert_int_equal(symlink("links/two", "one"), 0);
    assert_resolves(u"one", "end");
    assert_resolves(u"./links/two", "end");
}

static void a_link_to_nothing_leads_to_where_the_file_would_be(void **state) {
    (void)state;
    assert_int_equal(mkdir("elsewhere", 0777), 0);
    assert_int_equal(symlink("elsewhere/new", "dangling"), 0);
    assert_resolves(u"dangling", "elsewhere/new");
}

static void a_linked_directory_is_followed_too(void **state) {
    (void)state;
    assert_int_equal(mkdir("real", 0777), 0);
    assert_int_equal(symlink("real", "alias"), 0);
    assert_resolves(u"alias/file", "real/file");
}

static void links_in_a_circle_are_refused(void **state) {
    (void)state;
    WCHAR *resolved = NULL;
    assert_int_equal(symlink("circle", "circle"), 0);
    assert_int_not_equal(km_platform_resolve(u"circle", &resolved), ERROR_SUCCESS);
    assert_null(resolved);
}

static void a_missing_directory_is_told_from_a_missing_file(void **state) {
    (void)state;
    WCHAR *resolved = NULL;
    assert_int_equal(km_platform_resolve(u"no directory/file", &resolved), ERROR_PATH_NOT_FOUND);
    assert_int_equal(km_platform_resolve(u"no directory/", &resolved), ERROR_PATH_NOT_FOUND);
    assert_null(resolved);
}

static void a_copy_through_a_link_replaces_its_target_and_not_the_link(void **state) {
    (void)state;
    km_map *map = NULL;
    struct stat status;
    km_copy_options replace = {.flags = KM_COPY_REPLACE};
    scratch_write("linked source", "new", 3);
    scratch_write("linked target", "old", 3);
    assert_int_equal(symlink("linked target", "the link"), 0);
    assert_int_equal(km_open(&map, "linked source", NULL), KM_OK);
    assert_int_equal(km_copy(map, "the link", &replace), KM_OK);
    assert_int_equal(lstat("the link", &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    assert_true(scratch_equals("linked target", "new", 3));
    km_close(map);
}

/* ---- Permissions --------------------------------------------------------------------------- */

static mode_t draft_mode(uint32_t permissions) {
    HANDLE file = INVALID_HANDLE_VALUE;
    WCHAR *name = NULL;
    assert_int_equal(km_platform_draft(u"moded", permissions, SHARE_ALL, &file, &name),
                     ERROR_SUCCESS);
    if (name == NULL) {
        assert_int_equal(km_platform_name_draft(file, u"moded"), ERROR_SUCCESS);
    } else {
        assert_true(MoveFileExW(name, u"moded", 0));
        free(name);
    }
    CloseHandle(file);
    mode_t mode = mode_of("moded");
    scratch_remove("moded");
    return mode;
}

static void permissions_are_exact_and_the_default_minds_the_umask(void **state) {
    (void)state;
    mode_t before = umask(027);
    assert_int_equal(draft_mode(0), 0640);
    assert_int_equal(draft_mode(0777), 0777);
    assert_int_equal(draft_mode(0600), 0600);
    assert_int_equal(draft_mode(0444), 0444);
    umask(before);
}

static void a_replaced_file_keeps_its_mode_and_owner(void **state) {
    (void)state;
    km_map *map = NULL;
    struct stat before;
    struct stat after;
    km_copy_options replace = {.flags = KM_COPY_REPLACE, .permissions = 0777};
    scratch_write("mode source", "new", 3);
    scratch_write("mode target", "old", 3);
    if (geteuid() == 0) {
        assert_int_equal(chown("mode target", 1234, 4321), 0);
    }
    assert_int_equal(chmod("mode target", 04751), 0);
    assert_int_equal(stat("mode target", &before), 0);
    assert_int_equal(km_open(&map, "mode source", NULL), KM_OK);
    assert_int_equal(km_copy(map, "mode target", &replace), KM_OK);
    km_close(map);
    assert_int_equal(stat("mode target", &after), 0);
    assert_int_equal(after.st_mode, before.st_mode);
    assert_int_equal(after.st_uid, before.st_uid);
    assert_int_equal(after.st_gid, before.st_gid);
    assert_int_not_equal(after.st_ino, before.st_ino);
}

/* What a child that gave up its rights sees; 0 if all is as it should be. */
static int replace_as_somebody_else(void) {
    km_map *map = NULL;
    struct stat status;
    km_copy_options replace = {.flags = KM_COPY_REPLACE};
    if (setgid(5678) != 0 || setuid(5678) != 0) {
        return 1;
    }
    if (km_open(&map, "their source", NULL) != KM_OK ||
        km_copy(map, "shared/theirs", &replace) != KM_OK) {
        return 2;
    }
    km_close(map);
    if (stat("shared/theirs", &status) != 0 || status.st_uid != 5678) {
        return 3;
    }
    /* No set-user-ID bit, and our group gets what others had. */
    return (status.st_mode & 07777) == 0755 ? 0 : 4;
}

static void whoever_cannot_keep_the_owner_gives_nobody_more_rights(void **state) {
    (void)state;
    int status = 0;
    if (geteuid() != 0) {
        skip();
    }
    scratch_write("their source", "new", 3);
    assert_int_equal(chmod("their source", 0644), 0);
    assert_int_equal(mkdir("shared", 0777), 0);
    assert_int_equal(chmod("shared", 0777), 0);
    assert_int_equal(chmod(".", 0755), 0);
    scratch_write("shared/theirs", "old", 3);
    assert_int_equal(chown("shared/theirs", 1234, 4321), 0);
    assert_int_equal(chmod("shared/theirs", 06775), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(replace_as_somebody_else());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 2) {
        skip(); /* a directory above lets nobody else in */
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void an_access_control_list_is_kept(void **state) {
    (void)state;
    /* Version 2; user::rw-, user 1234:rw-, group::---, mask::rw-, other::--- */
    static const unsigned char list[] = {
        2, 0,    0,    0,    1,    0,    6,    0, 0xFF, 0xFF, 0xFF, 0xFF, 2,    0,    6,
        0, 0xD2, 4,    0,    0,    4,    0,    0, 0,    0xFF, 0xFF, 0xFF, 0xFF, 0x10, 0,
        6, 0,    0xFF, 0xFF, 0xFF, 0xFF, 0x20, 0, 0,    0,    0xFF, 0xFF, 0xFF, 0xFF};
    unsigned char found[sizeof list] = {0};
    km_map *map = NULL;
    km_copy_options replace = {.flags = KM_COPY_REPLACE};
    scratch_write("list source", "new", 3);
    scratch_write("list target", "old", 3);
    if (setxattr("list target", "system.posix_acl_access", list, sizeof list, 0) != 0) {
        skip(); /* a file system without access control lists */
    }
    assert_int_equal(km_open(&map, "list source", NULL), KM_OK);
    assert_int_equal(km_copy(map, "list target", &replace), KM_OK);
    km_close(map);
    assert_int_equal(getxattr("list target", "system.posix_acl_access", found, sizeof found),
                     sizeof list);
    assert_memory_equal(found, list, sizeof list);
    assert_int_equal(mode_of("list target"), 0660);
}

/* ---- Without nameless files ---------------------------------------------------------------- */

/* Without /proc there is no way to name a nameless file; 0 if the named way works. */
static int copy_without_proc(void) {
    km_map *map = NULL;
    HANDLE file = INVALID_HANDLE_VALUE;
    WCHAR *name = NULL;
    if (chroot(".") != 0 || chdir("/") != 0) {
        return 1;
    }
    if (km_platform_draft(u"/named", 0600, SHARE_ALL, &file, &name) != ERROR_SUCCESS ||
        name == NULL) {
        return 2;
    }
    CloseHandle(file);
    if (!DeleteFileW(name)) {
        return 3;
    }
    free(name);
    if (km_open(&map, "/rooted", NULL) != KM_OK || km_copy(map, "/rooted copy", NULL) != KM_OK) {
        return 4;
    }
    km_close(map);
    return scratch_equals("/rooted copy", "rooted", 6) && mode_of("/rooted copy") != 0 ? 0 : 5;
}

static void a_draft_has_a_name_where_it_could_not_get_one_later(void **state) {
    (void)state;
    int status = 0;
    if (geteuid() != 0) {
        skip();
    }
    scratch_write("rooted", "rooted", 6);
    size_t before = scratch_entries();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(copy_without_proc());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 1) {
        skip(); /* not allowed to change the root directory */
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(scratch_entries(), before + 1);
}

/* ---- Killed in the middle ------------------------------------------------------------------ */

static bool die_in_the_middle(uint64_t done, uint64_t total, void *arg) {
    (void)arg;
    if (done > 0 && done < total) {
        raise(SIGKILL);
    }
    return true;
}

static void a_copy_whose_process_is_killed_leaves_nothing(void **state) {
    (void)state;
    int status = 0;
    HANDLE file = INVALID_HANDLE_VALUE;
    WCHAR *name = NULL;
    assert_int_equal(km_platform_draft(u"probe", 0, SHARE_ALL, &file, &name), ERROR_SUCCESS);
    CloseHandle(file);
    if (name != NULL) {
        DeleteFileW(name);
        free(name);
        skip(); /* a file system without nameless files */
    }
    scratch_file("killed", (uint64_t)40 << 20, 0);
    size_t before = scratch_entries();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        km_map *map = NULL;
        km_copy_options options = {.progress = die_in_the_middle};
        _exit(km_open(&map, "killed", NULL) == KM_OK &&
                      km_copy(map, "killed copy", &options) == KM_OK
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        skip(); /* blocks are shared in one step here: there is no middle */
    }
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(scratch_entries(), before);
}

/* ---- What is no regular file --------------------------------------------------------------- */

static void a_pipe_or_a_device_is_not_replaced_and_has_no_size(void **state) {
    (void)state;
    km_map *map = NULL;
    km_copy_options replace = {.flags = KM_COPY_REPLACE};
    scratch_write("regular", "x", 1);
    assert_int_equal(mkfifo("pipe", 0666), 0);
    assert_int_equal(km_open(&map, "regular", NULL), KM_OK);
    assert_int_equal(km_copy(map, "pipe", &replace), KM_E_INVALID);
    assert_int_equal(km_copy(map, "/dev/null", &replace), KM_E_INVALID);
    assert_int_equal(km_check_file("pipe", KM_SIZE_UNKNOWN, NULL), KM_E_INVALID);
    assert_int_equal(km_check_file("/dev/null", KM_SIZE_UNKNOWN, NULL), KM_E_INVALID);
    assert_int_equal(km_fits("pipe", 1, NULL), KM_E_INVALID);
    km_close(map);
}

/* A node of a loop device, whose driver tells who asks for a file's size 0, as all disks do. */
static bool make_disk(const char *path) {
    if (mknod(path, S_IFBLK | 0600, makedev(7, 0)) != 0) {
        return false;
    }
    const int descriptor = open(path, O_RDWR | O_CLOEXEC);
    if (descriptor >= 0) {
        close(descriptor);
    }
    return descriptor >= 0;
}

static void a_whole_disk_is_refused_and_not_taken_for_an_empty_file(void **state) {
    (void)state;
    scratch_write("ordinary", "x", 1);
    if (!make_disk("disk")) {
        skip(); /* that takes the superuser, and a system with such a driver */
    }
    const km_restore_options in_place = {.flags = KM_RESTORE_IN_PLACE};
    km_map *map = NULL;
    assert_int_equal(km_open(&map, "ordinary", NULL), KM_OK);
    assert_int_equal(km_snapshot(map, "ordinary.gz", NULL), KM_OK);
    km_close(map);
    assert_int_equal(km_check_file("disk", KM_SIZE_UNKNOWN, NULL), KM_E_INVALID);
    assert_int_equal(km_diff("disk", "disk", NULL), KM_E_INVALID);
    assert_int_equal(km_verify("disk", NULL), KM_E_INVALID);
    assert_int_equal(km_salvage("disk", "salvaged", NULL), KM_E_INVALID);
    assert_int_equal(km_restore("ordinary.gz", "disk", &in_place), KM_E_INVALID);
    assert_non_null(strstr(km_error_message(), "it is no regular file"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_of_links_is_followed_to_the_file),
        cmocka_unit_test(a_link_to_nothing_leads_to_where_the_file_would_be),
        cmocka_unit_test(a_linked_directory_is_followed_too),
        cmocka_unit_test(links_in_a_circle_are_refused),
        cmocka_unit_test(a_missing_directory_is_told_from_a_missing_file),
        cmocka_unit_test(a_copy_through_a_link_replaces_its_target_and_not_the_link),
        cmocka_unit_test(permissions_are_exact_and_the_default_minds_the_umask),
        cmocka_unit_test(a_replaced_file_keeps_its_mode_and_owner),
        cmocka_unit_test(whoever_cannot_keep_the_owner_gives_nobody_more_rights),
        cmocka_unit_test(an_access_control_list_is_kept),
        cmocka_unit_test(a_draft_has_a_name_where_it_could_not_get_one_later),
        cmocka_unit_test(a_copy_whose_process_is_killed_leaves_nothing),
        cmocka_unit_test(a_pipe_or_a_device_is_not_replaced_and_has_no_size),
        cmocka_unit_test(a_whole_disk_is_refused_and_not_taken_for_an_empty_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
