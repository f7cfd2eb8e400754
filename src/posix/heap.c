/*
 * heap.c - the Windows names of malloc (keepmap/compat/winbase.h). LocalFree is FormatMessage's.
 */
#include <stdlib.h>

#if defined(__APPLE__)
#include <malloc/malloc.h>
#define malloc_usable_size malloc_size
#else
#include <malloc.h>
#endif

#include <keepmap/compat/winbase.h>

static char the_heap;

static void *allocate(SIZE_T size, BOOL zeroed) {
    size_t at_least =
        size > 0 ? size : 1; /* nothing is something too, with an address of its own */
    void *memory = zeroed ? calloc(1, at_least) : malloc(at_least);
    if (memory == NULL) {
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
    }
    return memory;
}

HLOCAL LocalAlloc(UINT flags, SIZE_T size) {
    if ((flags & LMEM_MOVEABLE) != 0) {
        SetLastError(ERROR_NOT_SUPPORTED);
        return NULL;
    }
    return allocate(size, (flags & LMEM_ZEROINIT) != 0);
}

SIZE_T LocalSize(HLOCAL memory) {
    if (memory == NULL) {
        SetLastError(ERROR_INVALID_HANDLE);
        return 0;
    }
    return malloc_usable_size(memory);
}

HANDLE GetProcessHeap(void) {
    return &the_heap;
}

LPVOID HeapAlloc(HANDLE heap, DWORD flags, SIZE_T size) {
    if (heap != &the_heap) {
        SetLastError(ERROR_INVALID_HANDLE);
        return NULL;
    }
    return allocate(size, (flags & HEAP_ZERO_MEMORY) != 0);
}

BOOL HeapFree(HANDLE heap, DWORD flags, LPVOID memory) {
    (void)flags;
    if (heap != &the_heap) {
        SetLastError(ERROR_INVALID_HANDLE);
        return FALSE;
    }
    free(memory);
    return TRUE;
}
