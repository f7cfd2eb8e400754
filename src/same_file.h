/*
 * same_file.h - are two files one, by whatever names they were reached?
 */
#ifndef KM_SAME_FILE_H
#define KM_SAME_FILE_H

#include <stdbool.h>

#include <keepmap/win32.h>

/* false as well if that cannot be told. */
bool km_same_file(HANDLE one, HANDLE other);

/* Does `native` lead to the very file that is open as `file`? false as well if it leads nowhere. */
bool km_path_leads_to(const WCHAR *native, HANDLE file);

#endif /* KM_SAME_FILE_H */
