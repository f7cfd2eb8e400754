/*
 * bench_snapshot.c - making and restoring snapshots beside gzip, pigz, zstd, igzip, cp and LMDB's
 * copy, on binaries and texts of this machine.
 *
 * Nobody syncs but where it is said, since the peers do not; all files are in the page cache. The
 * peers run as commands, keepmap in this process: starting one takes about a millisecond of some
 * hundreds. Files are made in the current directory.
 *
 * BENCH_MIB in the environment: how much data (512).
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keepmap.h>
#include <lmdb.h>

#include "codec.h"
#include "measure.h"

#define USUAL_MIB 512
#define BLOCK ((size_t)1 << 20)
#define CHANGED_PART 100 /* one chunk in so many */

extern char **environ;

static uint64_t data_size;

/* ---- Files ----------------------------------------------------------------------------------- */

static bool complain(const char *what) {
    (void)fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return false;
}

static bool library(km_status status) {
    if (status != KM_OK) {
        (void)fprintf(stderr, "%s\n", km_error_message());
    }
    return status == KM_OK;
}

static uint64_t size_of(const char *path) {
    struct stat facts;
    return stat(path, &facts) == 0 ? (uint64_t)facts.st_size : 0;
}

/* What every Debian that builds has: programs, headers, all kinds of texts; programs twice, so that
 * gzip -1 packs it about as well (2.7) as the data that the aims were measured with. */
static const char *const kinds[] = {"usr/bin", "usr/include", "usr/share", "usr/bin"};
enum { KINDS = sizeof kinds / sizeof *kinds };

static FILE *begin_tar(const char *folder) {
    char line[128];
    (void)snprintf(line, sizeof line, "tar -C / -cf - %s 2>/dev/null", folder);
    return popen(line, "r");
}

/* Tars of all kinds, a block of each in turn, each again and again if need be. */
static bool make_data(const char *path) {
    static char block[BLOCK];
    FILE *tars[KINDS] = {NULL};
    FILE *to = fopen(path, "wb");
    bool fine = to != NULL;
    unsigned vain = 0;
    for (uint64_t done = 0; fine && done < data_size && vain < 2 * KINDS;) {
        FILE **tar = &tars[done / sizeof block % KINDS];
        if (*tar == NULL) {
            *tar = begin_tar(kinds[done / sizeof block % KINDS]);
        }
        fine = *tar != NULL;
        const size_t got = fine ? fread(block, 1, sizeof block, *tar) : 0;
        if (got == sizeof block) {
            fine = fwrite(block, 1, got, to) == got;
            done += got;
            vain = 0;
        } else if (fine) {
            (void)pclose(*tar); /* its last part is left out */
            *tar = NULL;
            vain++;
        }
    }
    for (size_t i = 0; i < KINDS; i++) {
        if (tars[i] != NULL) {
            (void)pclose(tars[i]);
        }
    }
    if (to != NULL) {
        fine = fclose(to) == 0 && fine;
    }
    return (fine && size_of(path) == data_size) || complain(path);
}

static bool make_random(const char *path) {
    static char block[BLOCK];
    FILE *from = fopen("/dev/urandom", "rb");
    FILE *to = fopen(path, "wb");
    bool fine = from != NULL && to != NULL;
    for (uint64_t done = 0; fine && done < data_size; done += sizeof block) {
        fine = fread(block, 1, sizeof block, from) == sizeof block &&
               fwrite(block, 1, sizeof block, to) == sizeof block;
    }
    if (from != NULL) {
        (void)fclose(from);
    }
    if (to != NULL) {
        fine = fclose(to) == 0 && fine;
    }
    return fine || complain(path);
}

/* ---- The same beginning for all -------------------------------------------------------------- */

static bool read_all(const char *path) {
    static char block[BLOCK];
    const int from = open(path, O_RDONLY);
    ssize_t got = 1;
    while (from >= 0 && got > 0) {
        got = read(from, block, sizeof block);
    }
    return (from >= 0 && close(from) == 0 && got == 0) || complain(path);
}

static bool write_all(const char *path, uint64_t size) {
    static char block[BLOCK / 4];
    const int to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    bool fine = to >= 0;
    for (uint64_t done = 0; fine && done < size; done += sizeof block) {
        fine = write(to, block, sizeof block) == (ssize_t)sizeof block;
    }
    return (fine && close(to) == 0) || complain(path);
}

/*
 * What a virtual machine does not use its host may take back, in pieces of 2 MiB or more, and
 * giving them again takes ten times as long as writing them: that would fall on whoever comes first
 * to such a piece. So more memory than a run can want is used once, in large pages, and freed;
 * more, because the system hands out what is in the smallest pieces first, whether it is there or
 * not.
 */
static bool have_memory(void) {
    const size_t size = (size_t)(3 * data_size);
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return complain("memory");
    }
    (void)madvise(memory, size, MADV_HUGEPAGE);
    memset(memory, 1, size);
    return munmap(memory, size) == 0;
}

/*
 * Before each run the target is gone, what the one before left dirty is written, the sources are in
 * the cache (a system may drop what was not used for some seconds), and there is memory.
 */
static bool start_afresh(const char *source, const char *target) {
    if (unlink(target) != 0 && errno != ENOENT) {
        return complain(target);
    }
    sync();
    return (source == NULL || read_all(source)) && have_memory();
}

/* ---- Peers: commands, and LMDB --------------------------------------------------------------- */

typedef struct command {
    const char *const *words;
    const char *input;  /* what the words name */
    const char *output; /* standard output, made anew */
} command;

static bool run_command(void *context, uint64_t count) {
    const command *one = context;
    for (; count > 0; count--) {
        posix_spawn_file_actions_t actions;
        pid_t child = 0;
        int result = 0;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, one->output,
                                         O_WRONLY | O_CREAT | O_TRUNC, 0600);
        errno =
            posix_spawnp(&child, one->words[0], &actions, NULL, (char *const *)one->words, environ);
        posix_spawn_file_actions_destroy(&actions);
        if (errno != 0) {
            return complain(one->words[0]);
        }
        if (waitpid(child, &result, 0) != child || result != 0) {
            (void)fprintf(stderr, "%s failed\n", one->words[0]);
            return false;
        }
    }
    return true;
}

static bool prepare_command(void *context) {
    const command *one = context;
    return start_afresh(one->input, one->output);
}

static MDB_env *lmdb;

/* As many bytes as the data has, in values of a block each. */
static bool make_lmdb(const char *path, const char *data) {
    static char block[BLOCK];
    MDB_txn *transaction = NULL;
    MDB_dbi table = 0;
    FILE *from = fopen(data, "rb");
    bool fine = from != NULL && mdb_env_create(&lmdb) == 0 &&
                mdb_env_set_mapsize(lmdb, data_size + data_size / 4 + (64 << 20)) == 0 &&
                mdb_env_open(lmdb, path, MDB_NOSUBDIR | MDB_NOSYNC, 0600) == 0 &&
                mdb_txn_begin(lmdb, NULL, 0, &transaction) == 0 &&
                mdb_dbi_open(transaction, NULL, 0, &table) == 0;
    for (uint64_t i = 0; fine && i < data_size / BLOCK; i++) {
        MDB_val key = {.mv_size = sizeof i, .mv_data = &i};
        MDB_val value = {.mv_size = sizeof block, .mv_data = block};
        fine = fread(block, 1, sizeof block, from) == sizeof block &&
               mdb_put(transaction, table, &key, &value, 0) == 0;
    }
    if (from != NULL) {
        (void)fclose(from);
    }
    fine = fine && mdb_txn_commit(transaction) == 0;
    if (!fine) {
        (void)fprintf(stderr, "LMDB: cannot fill %s\n", path);
    }
    return fine;
}

/* mdb_env_copy opens its target with O_DIRECT where that works, and syncs nothing. */
static bool run_lmdb(void *context, uint64_t count) {
    const char *target = context;
    for (; count > 0; count--) {
        const int result = mdb_env_copy(lmdb, target);
        if (result != 0) {
            (void)fprintf(stderr, "LMDB: %s\n", mdb_strerror(result));
            return false;
        }
    }
    return true;
}

static bool prepare_lmdb(void *context) {
    return start_afresh("lmdb", context);
}

/* ---- keepmap --------------------------------------------------------------------------------- */

typedef struct snapshot_work {
    const char *source;
    const char *target;
    const char *since;
    km_map *map; /* kept open, for tracking; NULL: opened each time */
    int32_t level;
    uint32_t flags;
    unsigned step; /* which chunks change next */
} snapshot_work;

static bool run_snapshot(void *context, uint64_t count) {
    snapshot_work *work = context;
    for (; count > 0; count--) {
        km_map *map = work->map;
        const km_snapshot_options options = {
            .level = work->level, .since = work->since, .flags = work->flags};
        if (map == NULL && !library(km_open(&map, work->source, NULL))) {
            return false;
        }
        const bool made = library(km_snapshot(map, work->target, &options));
        if (work->map == NULL) {
            (void)km_close(map);
        }
        if (!made) {
            return false;
        }
    }
    return true;
}

static bool prepare_snapshot(void *context) {
    const snapshot_work *work = context;
    return (work->since == NULL || read_all(work->since)) &&
           start_afresh(work->source, work->target);
}

/* Stores to one chunk in a hundred. */
static bool change_some(snapshot_work *work) {
    km_map *map = work->map;
    const km_options writing = {.access = KM_WRITE};
    if (map == NULL && !library(km_open(&map, work->source, &writing))) {
        return false;
    }
    unsigned char *data = km_data(map);
    const uint64_t chunks = data_size / KM_CHUNK_SIZE_DEFAULT;
    for (uint64_t chunk = work->step % CHANGED_PART; chunk < chunks; chunk += CHANGED_PART) {
        data[chunk * KM_CHUNK_SIZE_DEFAULT + 4096]++;
    }
    work->step++;
    if (work->map == NULL) {
        (void)km_close(map);
    }
    return true;
}

/* Each since the one before; there are two names for them. */
static bool prepare_tracked(void *context) {
    snapshot_work *work = context;
    const char *last = work->target;
    work->target = work->since;
    work->since = last;
    return change_some(work) && read_all(work->since) && start_afresh(work->source, work->target);
}

/* What no whole snapshot can be faster than: as many bytes, written from memory. */
static bool run_writing(void *context, uint64_t count) {
    const snapshot_work *work = context;
    for (; count > 0; count--) {
        if (!write_all("written", size_of(work->since))) {
            return false;
        }
    }
    return true;
}

/* What no copy that goes past the cache can be faster than, but by writing all of it at once. */
static bool run_writing_past_cache(void *context, uint64_t count) {
    const size_t piece = 4 * BLOCK;
    char *memory = context;
    bool fine = true;
    for (; fine && count > 0; count--) {
        const int to = open("written", O_WRONLY | O_CREAT | O_TRUNC | O_DIRECT, 0600);
        fine = to >= 0;
        for (uint64_t done = 0; fine && done < data_size; done += piece) {
            fine = write(to, memory, piece) == (ssize_t)piece;
        }
        fine = fine && fdatasync(to) == 0 && close(to) == 0;
    }
    return fine || complain("written");
}

static bool prepare_writing(void *context) {
    (void)context;
    return start_afresh(NULL, "written");
}

typedef struct restore_work {
    const char *snapshot;
    const char *target;
} restore_work;

static bool run_restore(void *context, uint64_t count) {
    const restore_work *work = context;
    const km_restore_options options = {.flags = KM_RESTORE_NO_SYNC};
    for (; count > 0; count--) {
        if (!library(km_restore(work->snapshot, work->target, &options))) {
            return false;
        }
    }
    return true;
}

static bool prepare_restore(void *context) {
    const restore_work *work = context;
    return start_afresh(work->snapshot, work->target);
}

/* ---- The tables ------------------------------------------------------------------------------ */

#define COUNT(subjects) (sizeof(subjects) / sizeof(subjects)[0])

static const char *const gzip_1[] = {"gzip", "-1", "-c", "data", NULL};
static const char *const pigz_1[] = {"pigz", "-p2", "-1", "-c", "data", NULL};
static const char *const zstd_1[] = {"zstd", "-q", "-1", "-T2", "-c", "data", NULL};
static const char *const gunzip_1[] = {"gzip", "-d", "-c", "data.gzip", NULL};
static const char *const unpigz_1[] = {"pigz", "-p2", "-d", "-c", "data.pigz", NULL};
static const char *const unzstd_1[] = {"zstd", "-q", "-d", "-c", "data.zstd", NULL};
static const char *const cp[] = {"cp", "--reflink=never", "data", "data.cp", NULL};
static const char *const igzip_random[] = {"igzip", "-1", "-T", "2", "-c", "random", NULL};

static command gzip_make = {gzip_1, "data", "data.gzip"};
static command pigz_make = {pigz_1, "data", "data.pigz"};
static command zstd_make = {zstd_1, "data", "data.zstd"};
static command gzip_back = {gunzip_1, "data.gzip", "back.gzip"};
static command pigz_back = {unpigz_1, "data.pigz", "back.pigz"};
static command zstd_back = {unzstd_1, "data.zstd", "back.zstd"};
static command cp_make = {cp, "data", "cp.output"};
static command igzip_make = {igzip_random, "random", "random.igzip"};

/* Is it a build with a fast library? The aims differ. */
static bool is_fast(void) {
    const km_codec *codec = km_codec_for_level(1);
    return codec != NULL && strcmp(codec->name, "zlib") != 0;
}

static int measure_making(unsigned rounds) {
    snapshot_work level_1 = {
        .source = "data", .target = "data.keepmap", .level = 1, .flags = KM_SNAPSHOT_NO_SYNC};
    snapshot_work level_6 = {
        .source = "data", .target = "data.keepmap6", .level = 6, .flags = KM_SNAPSHOT_NO_SYNC};
    const bool fast = is_fast();
    const bench_subject beside_pigz[] = {
        {"pigz -p2 -1", run_command, &pigz_make, 0, prepare_command},
        {"gzip -1", run_command, &gzip_make, 0, prepare_command},
        {"keepmap, level 1", run_snapshot, &level_1, fast ? 5.0 : 0.95, prepare_snapshot},
        {"keepmap, level 6", run_snapshot, &level_6, 0, prepare_snapshot},
    };
    const bench_subject beside_zstd[] = {
        {"zstd -1 -T2", run_command, &zstd_make, 0, prepare_command},
        {"keepmap, level 1", run_snapshot, &level_1, fast ? 1.5 : 0, prepare_snapshot},
    };
    int missed =
        bench_measure("make a snapshot, beside pigz", beside_pigz, COUNT(beside_pigz), rounds, 0);
    if (missed < 0) {
        return missed;
    }
    const int more =
        bench_measure("make a snapshot, beside zstd", beside_zstd, COUNT(beside_zstd), rounds, 0);
    return more < 0 ? more : missed + more;
}

static int measure_restoring(unsigned rounds) {
    restore_work restore = {"data.keepmap", "back.keepmap"};
    const bool fast = is_fast();
    const bench_subject beside_pigz[] = {
        {"pigz -d", run_command, &pigz_back, 0, prepare_command},
        {"gzip -d", run_command, &gzip_back, 0, prepare_command},
        {"keepmap", run_restore, &restore, fast ? 5.0 : 2.5, prepare_restore},
    };
    const bench_subject beside_zstd[] = {
        {"zstd -d", run_command, &zstd_back, 0, prepare_command},
        {"keepmap", run_restore, &restore, fast ? 2.0 : 0, prepare_restore},
    };
    int missed =
        bench_measure("restore it, beside pigz", beside_pigz, COUNT(beside_pigz), rounds, 0);
    if (missed < 0) {
        return missed;
    }
    const int more =
        bench_measure("restore it, beside zstd", beside_zstd, COUNT(beside_zstd), rounds, 0);
    return more < 0 ? more : missed + more;
}

static int measure_raw(unsigned rounds) {
    snapshot_work stored = {.source = "data",
                            .target = "data.stored",
                            .level = KM_LEVEL_STORED,
                            .flags = KM_SNAPSHOT_NO_SYNC};
    snapshot_work durable = {.source = "data", .target = "data.durable", .level = KM_LEVEL_STORED};
    const bench_subject beside_cp[] = {
        {"cp", run_command, &cp_make, 0, prepare_command},
        {"keepmap, stored", run_snapshot, &stored, 1.0, prepare_snapshot},
    };
    char *memory = aligned_alloc(2 * BLOCK, 4 * BLOCK);
    if (memory != NULL) {
        (void)madvise(memory, 4 * BLOCK, MADV_HUGEPAGE);
        memset(memory, 1, 4 * BLOCK);
    }
    /* LMDB writes past the cache, as keepmap does what it syncs; through it, beside. */
    const bench_subject beside_lmdb[] = {
        {"LMDB's copy", run_lmdb, (void *)"lmdb.copy", 0, prepare_lmdb},
        {"keepmap, stored, synced", run_snapshot, &durable, 0.9, prepare_snapshot},
        {"keepmap, stored", run_snapshot, &stored, 0, prepare_snapshot},
        {"its bytes, only written", run_writing_past_cache, memory, 0, prepare_writing},
    };
    int missed = bench_measure("make one without packing, beside cp", beside_cp, COUNT(beside_cp),
                               rounds, 0);
    if (missed < 0 || memory == NULL || !make_lmdb("lmdb", "data")) {
        free(memory);
        return -1;
    }
    const int more = bench_measure("make one without packing, beside LMDB", beside_lmdb,
                                   COUNT(beside_lmdb), rounds, 0);
    mdb_env_close(lmdb);
    free(memory);
    return more < 0 ? more : missed + more;
}

static int measure_since(unsigned rounds) {
    snapshot_work full = {
        .source = "data", .target = "full.keepmap", .level = 1, .flags = KM_SNAPSHOT_NO_SYNC};
    snapshot_work since = {.source = "data",
                           .target = "since.keepmap",
                           .since = "data.keepmap",
                           .level = 1,
                           .flags = KM_SNAPSHOT_NO_SYNC};
    snapshot_work tracked = {.source = "data",
                             .target = "tracked.keepmap",
                             .level = 1,
                             .flags = KM_SNAPSHOT_NO_SYNC | KM_SNAPSHOT_TRACK};
    const km_options sole = {.access = KM_WRITE, .flags = KM_OPEN_SOLE};
    const bench_subject subjects[] = {
        {"all of it", run_snapshot, &full, 0, prepare_snapshot},
        {"since, 1 % changed", run_snapshot, &since, 5.0, prepare_snapshot},
    };
    const bench_subject tracking[] = {
        {"all of it", run_snapshot, &full, 0, prepare_snapshot},
        {"since, 1 % changed, tracked", run_snapshot, &tracked, 20.0, prepare_tracked},
        {"its bytes, only written", run_writing, &tracked, 0, prepare_writing},
    };
    if (!change_some(&full)) {
        return -1;
    }
    const int missed =
        bench_measure("make one since another", subjects, COUNT(subjects), rounds, 0);
    if (missed < 0 || !library(km_open(&tracked.map, "data", &sole))) {
        return -1;
    }
    full.map = tracked.map;
    int more = -1;
    if (run_snapshot(&tracked, 1)) {
        tracked.since = "tracked.other";
        more =
            bench_measure("make one since another, tracked", tracking, COUNT(tracking), rounds, 0);
    }
    (void)km_close(tracked.map);
    return more < 0 ? more : missed + more;
}

static int measure_random(unsigned rounds) {
    snapshot_work random = {
        .source = "random", .target = "random.keepmap", .level = 1, .flags = KM_SNAPSHOT_NO_SYNC};
    const bench_subject subjects[] = {
        {"igzip -1 -T 2", run_command, &igzip_make, 0, prepare_command},
        {"keepmap, level 1", run_snapshot, &random, is_fast() ? 0.8 : 0, prepare_snapshot},
    };
    return bench_measure("make one of random bytes", subjects, COUNT(subjects), rounds, 0);
}

static void print_size(const char *name, const char *path, double target) {
    const double ratio = (double)data_size / (double)size_of(path);
    printf("bench \"size\" \"%s\" bytes=%llu ratio=%.3f", name, (unsigned long long)size_of(path),
           ratio);
    if (target > 0) {
        printf(" target=%.2f reached=%s", target, ratio >= target ? "yes" : "no");
    }
    printf("\n");
}

static void print_sizes(void) {
    printf("\nsizes, of %llu MiB\n", (unsigned long long)(data_size >> 20));
    print_size("gzip -1", "data.gzip", 0);
    print_size("pigz -1", "data.pigz", 0);
    print_size("zstd -1", "data.zstd", 0);
    print_size("keepmap, level 1", "data.keepmap", is_fast() ? 2.6 : 0);
    print_size("keepmap, level 6", "data.keepmap6", 0);
    print_size("keepmap, stored", "data.stored", 0);
}

int main(void) {
    const unsigned rounds = bench_rounds(3);
    const char *mib = getenv("BENCH_MIB");
    int (*const tables[])(unsigned) = {measure_making, measure_restoring, measure_raw,
                                       measure_since, measure_random};
    int missed = 0;
    data_size = (uint64_t)(mib != NULL ? strtoul(mib, NULL, 10) : USUAL_MIB) << 20;
    if (data_size == 0 || !make_data("data") || !make_random("random")) {
        return 1;
    }
    printf("snapshots: %llu MiB of binaries and texts, level 1 by %s, unpacked by %s\n",
           (unsigned long long)(data_size >> 20),
           km_codec_for_level(1) != NULL ? km_codec_for_level(1)->name : "nobody",
           km_codec_for_unpacking() != NULL ? km_codec_for_unpacking()->name : "nobody");
    for (size_t i = 0; i < COUNT(tables); i++) {
        const int more = tables[i](rounds);
        if (more < 0) {
            return 1;
        }
        missed += more;
        (void)fflush(stdout);
    }
    print_sizes();
    printf("\n%d of the aims missed\n", missed);
    return 0;
}
