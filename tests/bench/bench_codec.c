/*
 * bench_codec.c - what each library and level costs and gains, by which codec.c chooses: binaries
 * and texts of this machine, in chunks of 256 KiB, by one thread.
 *
 * BENCH_CODEC_MIB in the environment: how much of them to take (24).
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec.h"
#include "measure.h"
#include "stored.h"

#define CHUNK ((size_t)256 << 10)
#define USUAL_MIB 24
#define PER_MB 1e6

/* Of each, the first so many bytes as tar gives them; a part is spread evenly over that. */
static const char *const folders[] = {"usr/bin", "usr/share", "usr/lib"};
#define FOLDERS (sizeof folders / sizeof *folders)
#define FOLDER_BYTES ((size_t)320 << 20)

typedef struct sample {
    uint8_t *raw; /* `chunks` of them */
    size_t chunks;
    uint8_t *packed; /* each chunk's in a place of its own */
    size_t *lengths;
} sample;

/* Processor time: other work on the machine disturbs it less than the clock on the wall. */
static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Every so many chunks one is kept. The result: how many are. */
static size_t gather_folder(const char *folder, uint8_t *to, size_t room) {
    char command[128];
    snprintf(command, sizeof command, "tar -C / --sort=name -cf - %s 2>/dev/null", folder);
    FILE *tar = popen(command, "r"); // NOLINT(cert-env33-c): the command is fixed
    if (tar == NULL) {
        return 0;
    }
    size_t every = FOLDER_BYTES / CHUNK / room;
    size_t kept = 0;
    for (size_t i = 0; kept < room && fread(to + kept * CHUNK, 1, CHUNK, tar) == CHUNK; i++) {
        kept += every == 0 || i % every == 0;
    }
    pclose(tar);
    return kept;
}

static bool gather(sample *data) {
    const char *mib = getenv("BENCH_CODEC_MIB");
    size_t wanted = (mib != NULL ? strtoul(mib, NULL, 10) : USUAL_MIB) * 4;
    if (wanted < FOLDERS || wanted > (FOLDERS * FOLDER_BYTES) / CHUNK) {
        fprintf(stderr, "bench_codec: BENCH_CODEC_MIB is too small or too large\n");
        return false;
    }
    data->raw = malloc(wanted * CHUNK);
    data->packed = malloc(wanted * CHUNK);
    data->lengths = calloc(wanted, sizeof *data->lengths);
    if (data->raw == NULL || data->packed == NULL || data->lengths == NULL) {
        fprintf(stderr, "bench_codec: no memory for %zu chunks\n", wanted);
        return false;
    }
    for (size_t i = 0; i < FOLDERS; i++) {
        data->chunks +=
            gather_folder(folders[i], data->raw + data->chunks * CHUNK, wanted / FOLDERS);
    }
    if (data->chunks == 0) {
        fprintf(stderr, "bench_codec: found nothing to pack\n");
        return false;
    }
    return true;
}

/* MB/s of raw data, or 0. Chunks that do not get smaller are left out of what is unpacked. */
static double pack_all(const km_codec *codec, int level, sample *data, size_t *packed) {
    void *state = NULL;
    if (codec->pack_begin(level, &state) != KM_CODEC_OK) {
        return 0;
    }
    double began = now();
    *packed = 0;
    for (size_t i = 0; i < data->chunks; i++) {
        size_t length = 0;
        if (codec->pack(state, data->raw + i * CHUNK, CHUNK, data->packed + i * CHUNK, CHUNK,
                        &length) != KM_CODEC_OK) {
            length = 0;
        }
        data->lengths[i] = length;
        *packed += length > 0 ? length : km_stored_length(CHUNK);
    }
    double seconds = now() - began;
    codec->pack_end(state);
    return (double)(data->chunks * CHUNK) / seconds / PER_MB;
}

static double unpack_all(const km_codec *codec, const sample *data) {
    static uint8_t raw[CHUNK];
    void *state = NULL;
    if (codec->unpack_begin(&state) != KM_CODEC_OK) {
        return 0;
    }
    double began = now();
    size_t bytes = 0;
    for (size_t i = 0; i < data->chunks; i++) {
        if (data->lengths[i] == 0) {
            continue;
        }
        if (codec->unpack(state, data->packed + i * CHUNK, data->lengths[i], raw, CHUNK) !=
            KM_CODEC_OK) {
            fprintf(stderr, "bench_codec: %s cannot unpack chunk %zu\n", codec->name, i);
            bytes = 0;
            break;
        }
        bytes += CHUNK;
    }
    double seconds = now() - began;
    codec->unpack_end(state);
    return (double)bytes / seconds / PER_MB;
}

static double sum_all(uint32_t (*crc32)(uint32_t, const void *, size_t), const sample *data) {
    static volatile uint32_t sink;
    double began = now();
    for (size_t i = 0; i < data->chunks; i++) {
        sink = crc32(0, data->raw + i * CHUNK, CHUNK);
    }
    (void)sink;
    return (double)(data->chunks * CHUNK) / (now() - began) / PER_MB;
}

static const char *serves(const km_codec *codec, int level) {
    return codec == km_codec_for_level(level) ? "chosen" : "";
}

/* false: something did not work. */
static bool measure_packing(sample *data, unsigned rounds) {
    size_t raw = data->chunks * CHUNK;
    printf("%-12s %5s %10s %8s\n", "pack", "level", "MB/s", "ratio");
    for (const km_codec *const *codec = km_codecs(); *codec != NULL; codec++) {
        for (int level = 1; level <= KM_CODEC_LEVEL_MAX; level++) {
            double best = 0;
            size_t packed = 0;
            for (unsigned round = 0; round < rounds; round++) {
                double speed = pack_all(*codec, level, data, &packed);
                best = speed > best ? speed : best;
            }
            if (best <= 0) {
                return false;
            }
            printf("%-12s %5d %10.0f %8.3f %s\n", (*codec)->name, level, best,
                   (double)raw / (double)packed, serves(*codec, level));
            printf("bench codec pack %s level=%d MB_per_second=%.1f ratio=%.4f %s\n",
                   (*codec)->name, level, best, (double)raw / (double)packed,
                   serves(*codec, level));
            fflush(stdout);
        }
    }
    return true;
}

/* What the default level packed is what is unpacked. */
static bool measure_unpacking(sample *data, unsigned rounds) {
    int level = km_codec_default_level();
    const km_codec *packer = km_codec_for_level(level);
    size_t packed = 0;
    if (packer == NULL || pack_all(packer, level, data, &packed) <= 0) {
        return packer == NULL;
    }
    printf("\n%-12s %16s\n", "unpack", "MB/s");
    for (const km_codec *const *codec = km_codecs(); *codec != NULL; codec++) {
        double best = 0;
        for (unsigned round = 0; round < rounds; round++) {
            double speed = unpack_all(*codec, data);
            best = speed > best ? speed : best;
        }
        if (best <= 0) {
            return false;
        }
        const char *chosen = *codec == km_codec_for_unpacking() ? "chosen" : "";
        printf("%-12s %16.0f %s\n", (*codec)->name, best, chosen);
        printf("bench codec unpack %s MB_per_second=%.1f %s\n", (*codec)->name, best, chosen);
    }
    return true;
}

static void measure_sum(const char *name, uint32_t (*crc32)(uint32_t, const void *, size_t),
                        const sample *data, unsigned rounds) {
    double best = 0;
    for (unsigned round = 0; round < rounds; round++) {
        double speed = sum_all(crc32, data);
        best = speed > best ? speed : best;
    }
    printf("%-12s %16.0f\n", name, best);
    printf("bench codec crc32 %s MB_per_second=%.1f\n", name, best);
}

int main(void) {
    sample data = {0};
    bool done = gather(&data);
    if (done) {
        printf("%zu chunks of 256 KiB, one thread\n", data.chunks);
        done = measure_packing(&data, bench_rounds(2)) && measure_unpacking(&data, bench_rounds(5));
    }
    if (done) {
        printf("\n%-12s %16s\n", "crc32", "MB/s");
        for (const km_codec *const *codec = km_codecs(); *codec != NULL; codec++) {
            measure_sum((*codec)->name, (*codec)->crc32, &data, bench_rounds(5));
        }
        measure_sum("keepmap's", km_crc32_plain, &data, bench_rounds(5));
        measure_sum("chosen", km_crc32, &data, bench_rounds(5));
    }
    free(data.raw);
    free(data.packed);
    free(data.lengths);
    return done ? 0 : 1;
}
