/*
 * input.h - a file that is read as it is, by offsets, whatever it holds.
 */
#ifndef KM_INPUT_H
#define KM_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keepmap.h>
#include <keepmap/win32.h>

typedef struct km_input {
    const char *path; /* as given; for sentences. The caller's. */
    HANDLE file;
    uint64_t size; /* when it was opened: it may have changed since */
} km_input;

/* Opens a file, no directory and no device, with the sharing mode `share`. After a success it is
 * closed with km_input_close. `purpose` is for sentences: "cannot open "x" for comparing". */
km_status km_input_open(km_input *input, const char *path, DWORD share, const char *purpose);
void km_input_close(km_input *input); /* harmless twice */

/* Up to `length` bytes at `offset`, fewer, *done, only where the file ends. */
km_status km_input_read(const km_input *input, uint64_t offset, void *to, size_t length,
                        size_t *done);

/* The same of any handle: a Win32 error code, *done being how many bytes came before it. */
DWORD km_read_at(HANDLE file, uint64_t offset, void *to, size_t length, size_t *done);

/* Is it a device or a pipe, and no file? A whole disk is FILE_TYPE_DISK too, and 0 bytes long to
 * who asks for a file's size. */
bool km_is_device(HANDLE file);

/* Are these bytes, `length` of them, all in a hole? false as well where the system cannot tell. */
bool km_is_hole(HANDLE file, uint64_t from, uint32_t length);

#endif /* KM_INPUT_H */
