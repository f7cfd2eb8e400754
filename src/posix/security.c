/*
 * security.c - security descriptors, as far as they can say "everybody" or "the owner alone".
 */
#include "security.h"

#include <stddef.h>

#include "last_error.h"

BOOL InitializeSecurityDescriptor(PSECURITY_DESCRIPTOR descriptor, DWORD revision) {
    if (descriptor == NULL) {
        return kmw_fail(ERROR_INVALID_PARAMETER);
    }
    if (revision != SECURITY_DESCRIPTOR_REVISION) {
        return kmw_fail(ERROR_UNKNOWN_REVISION);
    }
    *(SECURITY_DESCRIPTOR *)descriptor =
        (SECURITY_DESCRIPTOR){.Revision = SECURITY_DESCRIPTOR_REVISION};
    return TRUE;
}

BOOL SetSecurityDescriptorDacl(PSECURITY_DESCRIPTOR descriptor, BOOL present, PACL dacl,
                               BOOL defaulted) {
    SECURITY_DESCRIPTOR *set = descriptor;
    if (set == NULL) {
        return kmw_fail(ERROR_INVALID_PARAMETER);
    }
    if (set->Revision != SECURITY_DESCRIPTOR_REVISION) {
        return kmw_fail(ERROR_UNKNOWN_REVISION);
    }
    set->Control = 0;
    set->Dacl = NULL;
    if (present) {
        set->Control =
            (SECURITY_DESCRIPTOR_CONTROL)(SE_DACL_PRESENT | (defaulted ? SE_DACL_DEFAULTED : 0));
        set->Dacl = dacl;
    }
    return TRUE;
}

DWORD kmw_security_read(const SECURITY_ATTRIBUTES *security, bool *everybody, bool *inherit) {
    *everybody = false;
    *inherit = security != NULL && security->bInheritHandle != FALSE;
    if (security == NULL || security->lpSecurityDescriptor == NULL) {
        return ERROR_SUCCESS;
    }
    const SECURITY_DESCRIPTOR *descriptor = security->lpSecurityDescriptor;
    if (descriptor->Revision != SECURITY_DESCRIPTOR_REVISION) {
        return ERROR_UNKNOWN_REVISION;
    }
    *everybody = (descriptor->Control & SE_DACL_PRESENT) != 0 && descriptor->Dacl == NULL;
    return ERROR_SUCCESS;
}
