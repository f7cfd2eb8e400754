/*
 * advise.c - km_advise: how a part of the map will be used.
 */
#include <inttypes.h>

#include "map.h"
#include "size.h"
#include "status.h"

static uint64_t page_size(void) {
    SYSTEM_INFO system;
    GetSystemInfo(&system);
    return system.dwPageSize;
}

/* Memory that holds what is nowhere else, or would have to be unpacked again. */
static bool is_private(const km_map *map) {
    return map->file->access == KM_PRIVATE || map->file->contents != NULL;
}

km_status km_advise(km_map *map, uint64_t offset, uint64_t length, km_advice advice) {
    km_status status = km_map_range(map, offset, &length, "advise on");
    if (status != KM_OK) {
        return status;
    }
    if ((int)advice < KM_ADVICE_NORMAL || advice > KM_ADVICE_COLD) {
        return km_fail(KM_E_INVALID, "cannot advise: %d is no km_advice", (int)advice);
    }
    if (length == 0) {
        return KM_OK;
    }
    /* Whole pages of the view. The first and the last may be shared with the neighbours: advice
     * loses nothing. */
    uint64_t lead = (uint64_t)((char *)map->data - (char *)map->view);
    uint64_t start = km_size_align_down(lead + offset, page_size());
    DWORD error = km_platform_advise((char *)map->view + start, lead + offset + length - start,
                                     advice, is_private(map));
    if (error != ERROR_SUCCESS) {
        return km_fail_system(error,
                              "cannot advise on %" PRIu64 " bytes from %" PRIu64 " of \"%s\"",
                              length, offset, map->file->path);
    }
    return KM_OK;
}
