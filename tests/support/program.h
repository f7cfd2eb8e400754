/*
 * program.h - the example programs.
 */
#ifndef TESTS_PROGRAM_H
#define TESTS_PROGRAM_H

/* The program NAME in DIRECTORY beside the keepmap command, for child_start_program. Valid until
 * the fourth next call. */
const char *program_path(const char *directory, const char *name);

#endif /* TESTS_PROGRAM_H */
