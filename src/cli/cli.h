/* What every command shares: its description, its exit statuses, and how it tells a person what went wrong. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/memory.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,  /* the command line was not understood */
    CLI_PARTLY = 3, /* done, but some documents or events were refused */
};

typedef struct cli_arguments cli_arguments;

typedef struct cli_option {
    const char *name;  /* without dashes */
    char letter;       /* 'c' for -c, 0: none */
    const char *value; /* what it takes, "NAME"; NULL: it is a switch */
    const char *help;
} cli_option;

/* Options that several commands take. All take --json, --quiet and --help. */
enum { CLI_TAKES_PLACE = 1, CLI_TAKES_COLLECTION = 2 };

typedef struct cli_command {
    const char *name, *summary;
    const char *usage;         /* lines after "forage ", separated by newlines */
    const char *about;         /* a paragraph or two, NULL: none */
    const cli_option *options; /* ends with a NULL name; NULL: none */
    unsigned takes;
    const char *examples;      /* command lines and "# comments", separated by newlines */
    int (*run)(const cli_arguments *a);
} cli_command;

extern const cli_command command_import, command_search, command_event, command_eval, command_ope, command_stats,
    command_check, command_optimize, command_serve, command_export, command_collections, command_predict, command_replay,
    command_simulate, command_users, command_policy, command_train, command_models, command_explain, command_experiment, command_rank,
    command_terms, command_vectors;
extern const cli_command *const cli_commands[]; /* ends with NULL */

const cli_command *cli_command_find(const char *name); /* NULL when absent */
void help_print(void);                                 /* all commands */
void help_print_command(const cli_command *command);

/* "forage: …" on standard error. A message says what is wrong and what to do about it. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same without the prefix, for notes; silent with --quiet. */
void cli_note(const cli_arguments *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* An error about the command line: adds where help is. Returns CLI_USAGE. */
int cli_usage_error(const cli_command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
