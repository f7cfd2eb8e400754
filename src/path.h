/*
 * path.h - from the path a user gives to the one CreateFileW takes.
 */
#ifndef KM_PATH_H
#define KM_PATH_H

#include <keepmap.h>
#include <keepmap/win32.h>

/*
 * The UTF-8 `path` as CreateFileW takes it, whatever its length; malloc'ed. KM_E_INVALID, with the
 * sentence, if it is NULL, empty, too long or no UTF-8.
 */
km_status km_path_to_native(const char *path, WCHAR **native);

#endif /* KM_PATH_H */
