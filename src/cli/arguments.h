/* The command line after the command's name: options by name, and words. */
#ifndef CLI_ARGUMENTS_H
#define CLI_ARGUMENTS_H

#include "cli/cli.h"

typedef struct given_option {
    const cli_option *option;
    const char *value; /* NULL for a switch */
} given_option;

struct cli_arguments {
    const cli_command *command;
    given_option *given;
    size_t n_given;
    const char **words;
    size_t n_words;
};

extern const cli_option common_options[], place_options[], collection_options[]; /* each ends with a NULL name */

/* Understands --name value, --name=value, -n value and --; options and words may be mixed. CLI_OK, or CLI_USAGE after
 * having said what is wrong. */
int arguments_parse(const cli_command *command, int argc, char **argv, cli_arguments *out);
void arguments_release(cli_arguments *a);

bool arg_flag(const cli_arguments *a, const char *name);
const char *arg_text(const cli_arguments *a, const char *name, const char *otherwise); /* the last one given */
/* The i-th value of an option that may be repeated; NULL after the last. */
const char *arg_nth(const cli_arguments *a, const char *name, size_t i);
/* A whole number; absent leaves *out alone. */
int arg_integer(const cli_arguments *a, const char *name, int64_t low, int64_t high, int64_t *out);

/* The candidate nearest to `word` by edit distance, or NULL when none is near. Candidates end with NULL. */
const char *nearest_word(const char *word, const char *const *candidates);

#endif
