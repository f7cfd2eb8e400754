/*
 * same_file.c - are two files one, by whatever names they were reached?
 */
#include "same_file.h"

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

bool km_same_file(HANDLE one, HANDLE other) {
    BY_HANDLE_FILE_INFORMATION a;
    BY_HANDLE_FILE_INFORMATION b;
    if (!GetFileInformationByHandle(one, &a) || !GetFileInformationByHandle(other, &b)) {
        return false;
    }
    /* 0: unknown, as Wine has it of a file that was renamed while open. */
    const bool volume_known = a.dwVolumeSerialNumber != 0 && b.dwVolumeSerialNumber != 0;
    return a.nFileIndexHigh == b.nFileIndexHigh && a.nFileIndexLow == b.nFileIndexLow &&
           (!volume_known || a.dwVolumeSerialNumber == b.dwVolumeSerialNumber);
}

bool km_path_leads_to(const WCHAR *native, HANDLE file) {
    HANDLE found = CreateFileW(native, FILE_READ_ATTRIBUTES, SHARE_ALL, NULL, OPEN_EXISTING,
                               FILE_FLAG_BACKUP_SEMANTICS, NULL);
    if (found == INVALID_HANDLE_VALUE) {
        return false;
    }
    const bool leads = km_same_file(file, found);
    CloseHandle(found);
    return leads;
}
