/*
 * named_worker.c - named_work.h on Windows, or on Wine: does on its standard input's word what
 * beside_wine.c measures. "c COUNT" creates, "a COUNT" attaches; "done" is the answer.
 */
#include <inttypes.h>

#include "bench/named_work.h"

static char name[] = "keepmap bench";
static char existing[] = "keepmap bench, existing";

int main(void) {
    char line[64];
    HANDLE held = make_section(existing);
    while (held != NULL && fgets(line, sizeof line, stdin) != NULL) {
        char what = 0;
        uint64_t count = 0;
        if (sscanf(line, "%c %" SCNu64, &what, &count) != 2 ||
            !(what == 'c' ? create_win32(name, count) : attach_win32(existing, count))) {
            return 1;
        }
        puts("done");
        fflush(stdout);
    }
    return held != NULL ? 0 : 1;
}
