/*
 * security.h - what SECURITY_ATTRIBUTES say of who may use an object.
 */
#ifndef KMW_SECURITY_H
#define KMW_SECURITY_H

#include <stdbool.h>

#include <keepmap/win32.h>

/*
 * Reads `security`, which may be NULL. *everybody: there is a null DACL. ERROR_UNKNOWN_REVISION if
 * its descriptor was not initialised.
 */
DWORD kmw_security_read(const SECURITY_ATTRIBUTES *security, bool *everybody, bool *inherit);

#endif /* KMW_SECURITY_H */
