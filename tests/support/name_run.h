/*
 * name_run.h - a whole run of many processes that use the same names (name_user.h), and what is
 * left when they have gone. POSIX only.
 */
#ifndef TESTS_NAME_RUN_H
#define TESTS_NAME_RUN_H

#include <stdbool.h>

/*
 * `size` processes until stress_goes_on() is false, of which a random one is killed and replaced
 * every `kill_every_ms`; then one last object is made. false, with a message on standard error, if
 * anything was wrong, or anything is left of them. `alone`: /dev/shm is nobody else's.
 */
bool name_run_with_kills(unsigned size, unsigned kill_every_ms, bool alone);

/* `rounds` of `size` processes that close all they opened, and leave nothing, though nobody sweeps
 * after them. */
bool name_run_in_peace(unsigned size, unsigned rounds);

/* Prints what has been done in the run. false if there is something that nobody has done. */
bool name_run_tell(void);

#endif /* TESTS_NAME_RUN_H */
