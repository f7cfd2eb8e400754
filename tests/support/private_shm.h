/*
 * private_shm.h - a /dev/shm of the test's own, so that no other suite sweeps what is planted
 * there, and so that nothing is left in it is a fact that can be seen.
 */
#ifndef TESTS_PRIVATE_SHM_H
#define TESTS_PRIVATE_SHM_H

#include <stdbool.h>
#include <stddef.h>

/* Mounts an empty tmpfs over /dev/shm in a mount namespace of this process and its children.
 * `options` as for mount(8): "size=4m", NULL for none. false: not permitted here. */
bool private_shm_mount(const char *options);

/* Files of keepmap's that lie in /dev/shm, all users' together, directories not counted. */
size_t private_shm_files(void);

#endif /* TESTS_PRIVATE_SHM_H */
