/*
 * segment_open.c - opening a named segment, or making it, while others do the same.
 *
 * A section has its name before it has its record and its data: so what stands under a name may be
 * in the making. Whoever makes a segment owns, meanwhile, a mutex whose name is the segment's and
 * ".keepmap". Three facts carry the rest:
 *
 *   1. The mutex is there before its segment's section is, and until the record says ready.
 *   2. A record that says ready is true for good.
 *   3. A name dies with its last handle, the mutex's as well as the section's.
 *
 * So an opener who finds a ready record needs no mutex at all. One who finds none looks for the
 * mutex: if it is there, somebody may be making this very segment; let go of the section (lest a
 * failed one live on by our handle), wait, and look again from the start while owning the mutex, as
 * a maker would: nobody is making anything then, whoever else has a handle to the mutex. If it is
 * not there, nobody is making it at this moment, by 1; look once more at the same section, for it
 * may have become ready just before. If it still has no record, it is a plain section, or its maker
 * died within the few instructions before the record was begun and others hold the section as we
 * do, for a moment: let go, and believe it only the second time.
 *
 * A maker who dies leaves an abandoned mutex; that says no more than a free one, since the record
 * alone says what is ready. His section dies with him, by 3, unless somebody has a handle to it
 * just then. Openers, and makers who find its name taken, then see a record that is begun and not
 * ready while nobody is making: they let go, pause and look again, until all who did the same are
 * gone. Only a program that opened the section itself, by OpenFileMapping, can hold it longer:
 * KM_E_BUSY.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "segment.h"
#include "status.h"

/* How often, and after what pause in ms, one looks again at what nobody is making. */
#define LOOKS 200
#define PAUSE_MS 1u

/* So often one may find that others have just been faster. */
#define ROUNDS 1000

uint32_t km_segment_patience_ms = 60000;

#define OTHERS_PERMISSIONS 077u

typedef enum outcome {
    OPENED,
    ABSENT,
    AGAIN, /* nothing sure can be said yet */
    FAILED,
} outcome;

/* One call of km_segment_open. */
typedef struct opening {
    km_map *map;
    const km_options *options;
    WCHAR *mutex_name;
    bool alone;  /* we own the mutex: nobody else makes anything */
    int plain;   /* how often there was a section without a record */
    int unready; /* how often one that was begun, and nobody making it */
    km_deadline deadline;
    km_status status;
} opening;

/* `suffix`: of the object that was refused. */
static outcome fail_object(opening *job, DWORD error, const char *suffix) {
    const km_file *file = job->map->file;
    if (error == ERROR_INVALID_HANDLE) {
        job->status = km_fail_system_as(KM_E_INVALID, error,
                                        "cannot open the segment \"%s\": an object of another kind "
                                        "has the name \"%s%s\"",
                                        file->path, file->path, suffix);
    } else {
        job->status = km_fail_system(error, "cannot open the segment \"%s\"", file->path);
    }
    return FAILED;
}

static outcome fail_opening(opening *job, DWORD error) {
    return fail_object(job, error, "");
}

static outcome fail_mutex(opening *job, DWORD error) {
    return fail_object(job, error, KM_SEGMENT_SUFFIX);
}

static outcome fail_patience(opening *job) {
    job->status = km_fail(KM_E_TIMEOUT,
                          "cannot open the segment \"%s\": somebody has been making it for "
                          "%" PRIu32 " ms",
                          job->map->file->path, job->deadline.timeout_ms);
    return FAILED;
}

static outcome fail_existing(opening *job) {
    job->status =
        km_fail(KM_E_EXISTS, "cannot make the segment \"%s\": there is one", job->map->file->path);
    return FAILED;
}

/* SECTION_QUERY: to be told its size. */
static DWORD section_access(km_access access) {
    return SECTION_QUERY | FILE_MAP_READ | (access == KM_WRITE ? FILE_MAP_WRITE : 0);
}

/* ---- The mutex ------------------------------------------------------------------------------- */

static outcome own_mutex(opening *job, HANDLE mutex) {
    switch (WaitForSingleObject(mutex, km_deadline_left(&job->deadline))) {
    case WAIT_OBJECT_0:
    case WAIT_ABANDONED:
        job->alone = true;
        return OPENED;
    case WAIT_TIMEOUT:
        return fail_patience(job);
    default:
        return fail_mutex(job, GetLastError());
    }
}

static void disown_mutex(opening *job, HANDLE mutex) {
    job->alone = false;
    ReleaseMutex(mutex);
}

static outcome try_to_open(opening *job);

/* Waits until whoever is making it is done, and looks while nobody else can be making it. */
static outcome open_alone(opening *job, HANDLE mutex) {
    outcome result = own_mutex(job, mutex);
    if (result == FAILED) {
        return FAILED;
    }
    result = try_to_open(job);
    disown_mutex(job, mutex);
    return result == AGAIN && km_deadline_left(&job->deadline) == 0 ? fail_patience(job) : result;
}

/* ---- Opening --------------------------------------------------------------------------------- */

/* It is a segment, or a plain section, for good. */
static outcome use_section(opening *job, km_sight *sight) {
    if ((job->options->flags & KM_OPEN_NEW) != 0) {
        return fail_existing(job);
    }
    job->status = km_segment_adopt(job->map, job->options, sight);
    sight->section = NULL;
    return job->status == KM_OK ? OPENED : FAILED;
}

/* There is something, nobody is making it, and it is not ready. */
static outcome judge_leftover(opening *job, km_sight *sight) {
    if (sight->verdict == KM_RECORD_NONE && job->plain++ > 0) {
        return use_section(job, sight);
    }
    if (sight->verdict == KM_RECORD_UNREADY && job->unready++ == LOOKS) {
        job->status =
            km_fail(KM_E_BUSY,
                    "cannot open the segment \"%s\": it was begun and nobody goes on with "
                    "it: its maker died and somebody holds what is left, or it is this "
                    "thread's own, which its init may not open",
                    job->map->file->path);
        return FAILED;
    }
    CloseHandle(sight->section);
    sight->section = NULL;
    Sleep(PAUSE_MS);
    return AGAIN;
}

/* A section that is not ready: is somebody making it? */
static outcome ask_for_maker(opening *job, km_sight *sight, bool *nobody) {
    *nobody = true;
    if (job->alone) {
        return AGAIN;
    }
    HANDLE mutex = OpenMutexW(SYNCHRONIZE | MUTEX_MODIFY_STATE, FALSE, job->mutex_name);
    if (mutex == NULL) {
        const DWORD error = GetLastError();
        return error == ERROR_FILE_NOT_FOUND ? AGAIN : fail_mutex(job, error);
    }
    *nobody = false;
    CloseHandle(sight->section);
    sight->section = NULL;
    const outcome result = open_alone(job, mutex);
    CloseHandle(mutex);
    return result;
}

/* What is to be done about a section that is open in sight->section; NULL afterwards if it is used,
 * or has been let go of. */
static outcome consider(opening *job, km_sight *sight) {
    DWORD error = km_segment_look(sight);
    if (error == ERROR_SUCCESS && sight->verdict != KM_RECORD_WHOLE) {
        bool nobody = false;
        const outcome result = ask_for_maker(job, sight, &nobody);
        if (!nobody || result == FAILED) {
            return result;
        }
        error = km_segment_look(sight);
    }
    if (error != ERROR_SUCCESS) {
        return fail_opening(job, error);
    }
    return sight->verdict == KM_RECORD_WHOLE ? use_section(job, sight) : judge_leftover(job, sight);
}

static outcome try_to_open(opening *job) {
    const km_file *file = job->map->file;
    km_sight sight = {.section =
                          OpenFileMappingW(section_access(file->access), FALSE, file->native_path)};
    if (sight.section == NULL) {
        const DWORD error = GetLastError();
        return error == ERROR_FILE_NOT_FOUND ? ABSENT : fail_opening(job, error);
    }
    const outcome result = consider(job, &sight);
    if (sight.section != NULL) {
        CloseHandle(sight.section);
    }
    return result;
}

static outcome open_existing(opening *job) {
    for (int round = 0; round < ROUNDS; round++) {
        const outcome result = try_to_open(job);
        if (result != AGAIN) {
            return result;
        }
    }
    job->status = km_fail(KM_E_BUSY, "cannot open the segment \"%s\": others are always faster",
                          job->map->file->path);
    return FAILED;
}

/* ---- Making ---------------------------------------------------------------------------------- */

/* While we own the mutex. */
static outcome make_or_open(opening *job) {
    outcome result = AGAIN;
    for (int round = 0; round < ROUNDS && (result == AGAIN || result == ABSENT); round++) {
        bool taken = false;
        job->status = km_segment_make(job->map, job->options, &taken);
        if (job->status != KM_OK) {
            return FAILED;
        }
        if (!taken) {
            return OPENED;
        }
        result = try_to_open(job);
    }
    if (result == AGAIN || result == ABSENT) {
        job->status = km_fail(KM_E_BUSY, "cannot make the segment \"%s\": its name is not free",
                              job->map->file->path);
        return FAILED;
    }
    return result;
}

static outcome make(opening *job) {
    km_everybody storage;
    const bool everybody = (job->options->permissions & OTHERS_PERMISSIONS) != 0;
    HANDLE mutex = CreateMutexW(km_segment_security(everybody, &storage), FALSE, job->mutex_name);
    if (mutex == NULL) {
        return fail_mutex(job, GetLastError());
    }
    outcome result = own_mutex(job, mutex);
    if (result != FAILED) {
        result = make_or_open(job);
        disown_mutex(job, mutex);
    }
    CloseHandle(mutex);
    return result;
}

/* Is there one already, ready for all to use? Then nobody needs to be waited for. */
static bool is_ready(const opening *job) {
    km_sight sight = {
        .section = OpenFileMappingW(section_access(KM_READ), FALSE, job->map->file->native_path)};
    if (sight.section == NULL) {
        return false;
    }
    const bool ready = km_segment_look(&sight) == ERROR_SUCCESS && sight.verdict == KM_RECORD_WHOLE;
    CloseHandle(sight.section);
    return ready;
}

static outcome make_new(opening *job) {
    return is_ready(job) ? fail_existing(job) : make(job);
}

km_status km_segment_open(km_map *map, const km_options *options) {
    const bool machine_wide = (options->flags & KM_OPEN_MACHINE_WIDE) != 0;
    opening job = {
        .map = map,
        .options = options,
        .deadline = km_deadline_in(machine_wide ? km_segment_patience_ms : KM_WAIT_FOREVER),
        .status = KM_OK,
    };
    km_failure before; /* losing a race is nothing to tell, if the winner's segment opens */
    km_failure_keep(&before);
    const char *prefix = machine_wide ? "Global\\" : "Local\\";
    const DWORD error =
        km_segment_text(prefix, map->file->path, KM_SEGMENT_SUFFIX, &job.mutex_name);
    if (error != ERROR_SUCCESS) {
        return km_fail_system(error, "no memory to open the segment \"%s\"", map->file->path);
    }
    outcome result = (options->flags & KM_OPEN_NEW) != 0 ? make_new(&job) : open_existing(&job);
    if (result == ABSENT && (options->flags & KM_OPEN_CREATE) != 0) {
        result = make(&job);
    } else if (result == ABSENT) {
        job.status =
            km_fail_system(ERROR_FILE_NOT_FOUND, "cannot open the segment \"%s\"", map->file->path);
    }
    free(job.mutex_name);
    if (result == OPENED) {
        km_failure_restore(&before);
    }
    return job.status;
}
