/*
 * process_facts.h - what this process has of the system's, so that a test sees whether it grows.
 * Linux only.
 */
#ifndef TESTS_PROCESS_FACTS_H
#define TESTS_PROCESS_FACTS_H

/* Open descriptors. */
unsigned process_descriptors(void);

/* Mappings in whose line of /proc/self/maps this text stands. */
unsigned process_mappings(const char *text);

#endif /* TESTS_PROCESS_FACTS_H */
