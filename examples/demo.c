/*
 * demo.c - keepmap's main job on a real file, step by step; every claim is checked as it is made.
 *
 *     demo DIRECTORY [CANDIDATE...]
 *
 * Works on a copy, in DIRECTORY, of the first candidate (the compiler, say) that has some tens of
 * megabytes; if none has, the copy is the candidates, this program included, one after the other,
 * again and again. The proof is always the file as the C library's own fread sees it. Exit status
 * 1: a claim was untrue.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <keepmap.h>

#if defined(_WIN32)
#include <io.h>
#include <windows.h>
#else
#include <time.h>
#include <unistd.h>
#endif

#define SIZE_WANTED ((uint64_t)16 << 20)
#define SIZE_MADE ((uint64_t)32 << 20)
#define GROWTH ((uint64_t)16 << 20)
#define PATH_BYTES 4096
#define MEBIBYTE (1024.0 * 1024.0)

static char work_path[PATH_BYTES];
static char copy_path[PATH_BYTES];
static char snapshot_path[PATH_BYTES];
static char second_path[PATH_BYTES];
static char restored_path[PATH_BYTES];

/* ---- Saying and proving ---------------------------------------------------------------------- */

static void remove_files(void) {
    (void)remove(work_path);
    (void)remove(copy_path);
    (void)remove(snapshot_path);
    (void)remove(second_path);
    (void)remove(restored_path);
}

static void fail(const char *format, ...) {
    va_list values;
    va_start(values, format);
    (void)fflush(stdout);
    (void)fputs("demo: ", stderr);
    (void)vfprintf(stderr, format, values);
    (void)fputc('\n', stderr);
    va_end(values);
    exit(EXIT_FAILURE);
}

static void must(km_status status, const char *what) {
    if (status != KM_OK) {
        fail("%s: %s: %s", what, km_strerror(status), km_error_message());
    }
}

static void prove(bool claim, const char *what) {
    if (!claim) {
        fail("untrue: %s", what);
    }
}

static double seconds(void) {
#if defined(_WIN32)
    LARGE_INTEGER now;
    LARGE_INTEGER frequency;
    (void)QueryPerformanceCounter(&now);
    (void)QueryPerformanceFrequency(&frequency);
    return (double)now.QuadPart / (double)frequency.QuadPart;
#else
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
#endif
}

static double ms_since(double start) {
    return (seconds() - start) * 1000;
}

static double mib(uint64_t bytes) {
    return (double)bytes / MEBIBYTE;
}

/* ---- Files as the C library sees them -------------------------------------------------------- */

typedef struct tally {
    uint64_t bytes;
    uint64_t zeros;
    uint64_t names; /* times that "GCC" stands there */
    uint64_t sum;   /* FNV-1a */
    unsigned char last[2];
} tally;

static void count(tally *result, const unsigned char *data, uint64_t size) {
    for (uint64_t i = 0; i < size; i++) {
        unsigned char byte = data[i];
        result->zeros += byte == 0;
        result->names += byte == 'C' && result->last[1] == 'C' && result->last[0] == 'G';
        result->sum = (result->sum ^ byte) * UINT64_C(0x100000001B3);
        result->last[0] = result->last[1];
        result->last[1] = byte;
    }
    result->bytes += size;
}

static bool same(const tally *one, const tally *other) {
    return one->bytes == other->bytes && one->zeros == other->zeros && one->names == other->names &&
           one->sum == other->sum;
}

static FILE *open_file(const char *path, const char *mode) {
    FILE *file = fopen(path, mode);
    if (!file) {
        fail("%s: %s", path, strerror(errno));
    }
    return file;
}

static tally count_file(const char *path) {
    static unsigned char buffer[1 << 16];
    tally result = {0};
    FILE *file = open_file(path, "rb");
    for (size_t got = 0; (got = fread(buffer, 1, sizeof buffer, file)) > 0;) {
        count(&result, buffer, got);
    }
    prove(!ferror(file), "the file can be read");
    (void)fclose(file);
    return result;
}

static uint64_t size_of_candidate(const char *path) {
    km_size_report report = {.actual = KM_SIZE_UNKNOWN};
    km_status status = km_check_file(path, KM_SIZE_UNKNOWN, &report);
    return status == KM_OK ? report.actual : 0;
}

/* Cuts the file to `size` bytes with no word to keepmap. false: the system refuses. */
static bool cut_behind_the_back(const char *path, uint64_t size) {
    FILE *file = open_file(path, "r+b");
#if defined(_WIN32)
    bool cut = _chsize_s(_fileno(file), (long long)size) == 0;
#else
    bool cut = ftruncate(fileno(file), (off_t)size) == 0;
#endif
    (void)fclose(file);
    return cut;
}

/* Turns over one bit of the file, and back if called again. */
static void flip_a_bit(const char *path, uint64_t offset) {
    FILE *file = open_file(path, "r+b");
    int byte = EOF;
    if (fseek(file, (long)offset, SEEK_SET) == 0) {
        byte = fgetc(file);
    }
    prove(byte != EOF && fseek(file, (long)offset, SEEK_SET) == 0 &&
              fputc(byte ^ 0x10, file) != EOF && fclose(file) == 0,
          "the file can be damaged");
}

static bool exists(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file) {
        (void)fclose(file);
    }
    return file != NULL;
}

/* ---- The steps ------------------------------------------------------------------------------- */

static void copy_candidate(const char *path) {
    km_map *map = NULL;
    double start = seconds();
    must(km_open(&map, path, NULL), "map the candidate");
    must(km_copy(map, work_path, NULL), "copy it");
    printf("source     %s\n", path);
    printf("copy       %.1f MiB to %s, durable, in %.1f ms\n", mib(km_size(map)), work_path,
           ms_since(start));
    must(km_close(map), "close");
    tally from = count_file(path);
    tally to = count_file(work_path);
    prove(same(&from, &to), "the copy is byte for byte its source");
}

/* Lays the candidates one after the other until there is enough. */
static void make_from(char *const *candidates, int candidate_count) {
    static unsigned char buffer[1 << 16];
    FILE *target = open_file(work_path, "wb");
    uint64_t made = 0;
    while (made < SIZE_MADE) {
        uint64_t before = made;
        for (int i = 0; i < candidate_count && made < SIZE_MADE; i++) {
            FILE *source = fopen(candidates[i], "rb");
            if (!source) {
                continue;
            }
            for (size_t got = 0; (got = fread(buffer, 1, sizeof buffer, source)) > 0;) {
                prove(fwrite(buffer, 1, got, target) == got, "there is room for the file");
                made += got;
            }
            (void)fclose(source);
        }
        prove(made > before, "one of the candidates can be read");
    }
    prove(fclose(target) == 0, "the file is written");
    printf("source     made of this program, again and again: %.1f MiB in %s\n", mib(made),
           work_path);
}

static tally read_only(void) {
    km_map *map = NULL;
    tally mapped = {0};
    double start = seconds();
    must(km_open(&map, work_path, NULL), "map read-only");
    double opened = ms_since(start);
    start = seconds();
    count(&mapped, km_data(map), km_size(map));
    printf("read-only  %.1f MiB mapped in %.3f ms; %" PRIu64 " zero bytes and %" PRIu64
           " times \"GCC\" counted in %.1f ms\n",
           mib(km_size(map)), opened, mapped.zeros, mapped.names, ms_since(start));
    must(km_close(map), "close");

    tally read = count_file(work_path);
    prove(same(&mapped, &read), "fread counts the same");
    printf("           fread counts the same\n");
    return mapped;
}

static void copy_on_write(const tally *original) {
    km_options options = {.access = KM_PRIVATE};
    km_map *map = NULL;
    tally changed = {0};
    double start = seconds();
    must(km_open(&map, work_path, &options), "map copy-on-write");
    memset(km_data(map), 'K', (size_t)SIZE_WANTED);
    double took = ms_since(start);
    count(&changed, km_data(map), km_size(map));
    tally file = count_file(work_path);
    must(km_close(map), "close");

    prove(changed.sum != original->sum, "the map shows the private stores");
    prove(same(&file, original), "the file is untouched");
    printf("private    %.1f MiB overwritten in the map in %.1f ms; "
           "the file is untouched, by checksum\n",
           mib(SIZE_WANTED), took);
}

static void read_write(void) {
    static const char words[] = "kept by keepmap";
    char found[sizeof words] = "";
    km_options options = {.access = KM_WRITE, .reserve = 0};
    options.reserve = size_of_candidate(work_path) + GROWTH;
    km_map *map = NULL;
    must(km_open(&map, work_path, &options), "map read-write");
    char *data = km_data(map);
    uint64_t before = km_size(map);
    uint64_t middle = before / 2;

    memcpy(data + middle, words, sizeof words);
    double start = seconds();
    must(km_flush(map, middle, sizeof words, KM_FLUSH_DURABLE), "flush");
    double took = ms_since(start);
    FILE *file = open_file(work_path, "rb");
    prove(fseek(file, (long)middle, SEEK_SET) == 0 && fread(found, sizeof found, 1, file) == 1 &&
              memcmp(found, words, sizeof words) == 0,
          "the file holds what was stored");
    (void)fclose(file);
    printf("flush      %zu bytes stored through the map at %" PRIu64
           ", durable in %.2f ms; fread sees them\n",
           sizeof words, middle, took);

    start = seconds();
    must(km_resize(map, before + GROWTH), "grow");
    took = ms_since(start);
    prove(km_data(map) == data, "the map has not moved");
    prove(km_size(map) == before + GROWTH, "the map has grown");
    for (uint64_t i = before; i < before + GROWTH; i++) {
        prove(data[i] == 0, "new bytes are zero");
    }
    must(km_check_file(work_path, before + GROWTH, NULL), "check the new size");
    printf("grow       %.1f to %.1f MiB in %.2f ms, at the same address, new bytes zero\n",
           mib(before), mib(before + GROWTH), took);
    must(km_close(map), "close");
}

static void copy(void) {
    km_map *map = NULL;
    must(km_open(&map, work_path, NULL), "map read-only");
    double start = seconds();
    must(km_copy(map, copy_path, NULL), "copy");
    double took = ms_since(start);
    printf("copy       %.1f MiB, durable, in %.1f ms (%.0f MiB/s)\n", mib(km_size(map)), took,
           mib(km_size(map)) / took * 1000);
    prove(km_copy(map, copy_path, NULL) == KM_E_EXISTS, "a second copy replaces nothing unasked");
    must(km_close(map), "close");
    tally from = count_file(work_path);
    tally to = count_file(copy_path);
    prove(same(&from, &to), "the copy is byte for byte its source");
    printf("           byte for byte the same; once more: %s, as it was not told to replace\n",
           km_strerror(KM_E_EXISTS));
}

static uint64_t snapshot_of(const char *path, const char *since, km_snapshot_report *report) {
    km_map *map = NULL;
    const km_snapshot_options options = {.since = since, .report = report};
    must(km_open(&map, work_path, NULL), "map read-only");
    double start = seconds();
    must(km_snapshot(map, path, &options), "snapshot");
    double took = ms_since(start);
    printf("snapshot   %.1f MiB in %.1f MiB, durable, in %.1f ms (%.0f MiB/s)", mib(report->size),
           mib(report->packed_size), took, mib(report->size) / took * 1000);
    must(km_close(map), "close");
    return report->packed_size;
}

static void snapshots(void) {
    km_snapshot_report report = {0};
    uint64_t size = snapshot_of(snapshot_path, NULL, &report);
    printf("\n");
    double start = seconds();
    must(km_verify(snapshot_path, NULL), "verify");
    printf("verify     every bit is as it was written: %.1f ms\n", ms_since(start));

    flip_a_bit(snapshot_path, size / 2);
    km_status status = km_verify(snapshot_path, NULL);
    prove(status == KM_E_CORRUPT, "one wrong bit is found");
    printf("damage     one bit turned over: %s:\n           \"%s\"\n", km_strerror(status),
           km_error_message());
    prove(km_restore(snapshot_path, restored_path, NULL) == KM_E_CORRUPT && !exists(restored_path),
          "nothing is restored from a damaged snapshot");
    flip_a_bit(snapshot_path, size / 2);

    start = seconds();
    must(km_restore(snapshot_path, restored_path, NULL), "restore");
    double took = ms_since(start);
    tally from = count_file(work_path);
    tally to = count_file(restored_path);
    prove(same(&from, &to), "the restored file is byte for byte the original");
    printf("restore    the bit put right: restored, durable, in %.1f ms; byte for byte the same\n",
           took);

    flip_a_bit(work_path, from.bytes / 3);
    (void)snapshot_of(second_path, snapshot_path, &report);
    prove(report.reused_chunks > 0, "what has not changed is taken over");
    printf("\n           one byte had changed: %" PRIu64 " of %" PRIu64
           " chunks taken over as they were packed\n",
           report.reused_chunks, report.chunks);

    km_diff_report difference = {0};
    const km_diff_options asking = {.report = &difference};
    start = seconds();
    must(km_diff(snapshot_path, second_path, &asking), "compare the snapshots");
    printf("diff       the two snapshots: %" PRIu64 " range of %" PRIu64
           " bytes differs, found in %.1f ms\n",
           difference.ranges, difference.changed, ms_since(start));
    prove(difference.ranges == 1 && difference.changed == difference.unit,
          "they differ in the one page with that byte");
    flip_a_bit(work_path, from.bytes / 3);
}

static void truncation(void) {
    char byte = 0;
    km_map *map = NULL;
    must(km_open(&map, copy_path, NULL), "map read-only");
    uint64_t last = km_size(map) - 1;
    must(km_read(map, last, &byte, 1), "read the last byte");

    if (!cut_behind_the_back(copy_path, last / 2)) {
        must(km_read(map, last, &byte, 1), "read the last byte");
        printf("truncate   this system refuses to cut a mapped file\n");
        must(km_close(map), "close");
        return;
    }
    km_size_report report = {0};
    km_status status = km_read(map, last, &byte, 1);
    prove(status == KM_E_TRUNCATED, "km_read finds the file cut short");
    printf("truncate   another hand cut the file: km_read says %s and no signal came:\n"
           "           \"%s\"\n",
           km_strerror(status), km_error_message());
    prove(km_check(map, &report) == KM_E_TRUNCATED, "km_check finds the file cut short");
    prove(report.actual == last / 2 && report.mapped == last + 1, "km_check has the sizes");
    printf("check      %.1f MiB mapped, %.1f MiB in the file: %s\n", mib(report.mapped),
           mib(report.actual), km_strerror(KM_E_TRUNCATED));
    must(km_close(map), "close");
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fail("usage: demo DIRECTORY [CANDIDATE...]");
    }
    int work = snprintf(work_path, sizeof work_path, "%s/real.bin", argv[1]);
    int longest = snprintf(restored_path, sizeof restored_path, "%s/restored.bin", argv[1]);
    if (work < 0 || longest < 0 || (size_t)longest >= sizeof restored_path) {
        fail("%s: too long", argv[1]);
    }
    (void)snprintf(copy_path, sizeof copy_path, "%s/copy.bin", argv[1]);
    (void)snprintf(snapshot_path, sizeof snapshot_path, "%s/first.gz", argv[1]);
    (void)snprintf(second_path, sizeof second_path, "%s/second.gz", argv[1]);
    remove_files();
    if (atexit(remove_files) != 0) {
        fail("no memory");
    }

    printf("keepmap %s\n", km_version());
    int chosen = 2;
    while (chosen < argc && size_of_candidate(argv[chosen]) < SIZE_WANTED) {
        chosen++;
    }
    if (chosen < argc) {
        copy_candidate(argv[chosen]);
    } else {
        argv[1] = argv[0]; /* the directory's place: this program is a candidate too */
        make_from(argv + 1, argc - 1);
    }

    tally original = read_only();
    copy_on_write(&original);
    read_write();
    copy();
    snapshots();
    truncation();
    printf("all of it true\n");
    return EXIT_SUCCESS;
}
