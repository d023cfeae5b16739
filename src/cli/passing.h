/* Options that go to the API as they were typed. */
#ifndef CLI_PASSING_H
#define CLI_PASSING_H

#include "cli/arguments.h"
#include "format/json.h"

typedef struct passed_option {
    const char *option;
    const char *member; /* NULL: named as the option is, with _ for - */
    bool number;
} passed_option;

/* Writes those that were given (the list ends with a NULL option). A number that is none stays a string, which the API refuses with
 * the member's name. */
void pass_options(const cli_arguments *a, const passed_option *options, json_writer *w);
bool pass_number(const char *typed, json_writer *w); /* false: it is none, and nothing was written */
/* "NAME=X": the member NAME with a number; false: there is no "=" or no number. */
bool pass_named_number(const char *typed, json_writer *w);
/* The words of the command line from the i-th on, with spaces between. */
const char *joined_words(const cli_arguments *a, size_t i, arena *memory);

#endif
