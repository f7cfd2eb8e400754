/*
 * format_examples.h - an entry, facts and a footer to write and to read, all of them possible.
 */
#ifndef TESTS_FORMAT_EXAMPLES_H
#define TESTS_FORMAT_EXAMPLES_H

#include "snapshot_format.h"

extern const km_format_entry some_entry; /* of a whole chunk */
extern const km_format_facts some_facts;
extern const km_format_footer some_footer; /* of a snapshot with these facts */

#endif /* TESTS_FORMAT_EXAMPLES_H */
