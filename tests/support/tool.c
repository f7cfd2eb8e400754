/*
 * tool.c - runs the keepmap command and keeps what it says.
 */
#include "tool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json.h"

#define WORDS_AT_MOST 16

const char *tool_path(void) {
    const char *path = getenv("KM_TEST_TOOL");
    if (!path) {
        fail_msg("KM_TEST_TOOL does not name the command");
    }
    return path;
}

char *tool_load(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        fail_msg("%s cannot be opened", path);
        return NULL;
    }
    long length = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    char *text = length >= 0 ? malloc((size_t)length + 1) : NULL;
    rewind(file);
    bool read = text && fread(text, 1, (size_t)length, file) == (size_t)length;
    (void)fclose(file);
    if (!read) {
        free(text);
        fail_msg("%s cannot be read", path);
        return NULL;
    }
    text[length] = '\0';
    *size = (size_t)length;
    return text;
}

const tool_result *tool_run_to(const char *out_path, const char *const *words) {
    return tool_run_through(NULL, out_path, words);
}

const tool_result *tool_run_through(const char *in_path, const char *out_path,
                                    const char *const *words) {
    static tool_result result;
    const char *all[WORDS_AT_MOST + 2] = {tool_path()};
    size_t count = 1;
    for (; words[count - 1]; count++) {
        assert_true(count <= WORDS_AT_MOST);
        all[count] = words[count - 1];
    }
    free(result.out);
    free(result.err);
    result = (tool_result){0};

    result.exit_status = tool_spawn(all, in_path, out_path ? out_path : "tool.out", "tool.err");
    if (result.exit_status < 0) {
        fail_msg("%s cannot be run", all[0]);
    }
    if (!out_path) {
        result.out = tool_load("tool.out", &result.out_size);
        (void)remove("tool.out");
    }
    result.err = tool_load("tool.err", &result.err_size);
    (void)remove("tool.err");
    return &result;
}

const tool_result *tool_fine(const tool_result *result) {
    if (result->exit_status != TOOL_FINE || result->err_size != 0) {
        fail_msg("exit status %d: %s", result->exit_status, result->err);
    }
    return result;
}

void tool_failed(const tool_result *result, int exit_status, const char *words) {
    assert_int_equal(result->exit_status, exit_status);
    assert_string_equal(result->out, "");
    if (!strstr(result->err, words)) {
        fail_msg("not said: \"%s\" in: %s", words, result->err);
    }
    assert_true(result->err[result->err_size - 1] == '\n');
}

void tool_failed_json(const tool_result *result, int exit_status, const char *status) {
    assert_int_equal(result->exit_status, exit_status);
    assert_string_equal(result->out, "");
    assert_true(json_is_object(result->err));
    assert_string_equal(json_string(result->err, "status"), status);
    assert_true(strlen(json_string(result->err, "error")) > 0);
    assert_true(strlen(json_string(result->err, "message")) > 0);
    (void)json_integer(result->err, "system_error");
}

void tool_says(const tool_result *result, const char *words) {
    if (!strstr(result->out, words)) {
        fail_msg("not said: \"%s\" in: %s", words, result->out);
    }
}
