#include "cli/arguments.h"

#include "forage.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const cli_command *const cli_commands[] = {
    &command_import, &command_search, &command_event,  &command_eval,     &command_ope,         &command_serve,
    &command_stats,  &command_check,  &command_export, &command_optimize, &command_collections,
    &command_predict, &command_replay, &command_simulate, &command_users,
    &command_policy, &command_train, &command_models, &command_explain, &command_experiment, &command_rank,
    &command_terms, &command_vectors, NULL};

const cli_command *cli_command_find(const char *name) {
    for (size_t i = 0; cli_commands[i]; i++)
        if (strcmp(cli_commands[i]->name, name) == 0) return cli_commands[i];
    return NULL;
}

static int unknown_command(const char *name) {
    const char *names[32];
    size_t n = 0;
    for (size_t i = 0; cli_commands[i]; i++) names[n++] = cli_commands[i]->name;
    names[n++] = "help";
    names[n++] = "version";
    names[n] = NULL;
    const char *near = nearest_word(name, names);
    if (near) return cli_usage_error(NULL, "there is no command \"%s\"; did you mean `forage %s`?", name, near);
    return cli_usage_error(NULL, "there is no command \"%s\"", name);
}

static int print_version(bool json) {
    printf(json ? "{\"version\":\"%s\"}\n" : "forage %s\n", forage_version());
    return CLI_OK;
}

static int help(int argc, char **argv) {
    if (argc == 0) {
        help_print();
        return CLI_OK;
    }
    const cli_command *command = cli_command_find(argv[0]);
    if (!command) return unknown_command(argv[0]);
    help_print_command(command);
    return CLI_OK;
}

static int run(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "help";
    bool asks_help = strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
    if (asks_help) return help(argc > 2 ? argc - 2 : 0, argv + 2);
    if (strcmp(name, "version") == 0 || strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        return print_version(argc > 2 && strcmp(argv[2], "--json") == 0);
    const cli_command *command = cli_command_find(name);
    if (!command) return unknown_command(name);
    cli_arguments a;
    int status = arguments_parse(command, argc - 2, argv + 2, &a);
    if (status) return status;
    if (arg_flag(&a, "help")) help_print_command(command);
    else status = command->run(&a);
    arguments_release(&a);
    return status;
}

/* Store and index are mapped files. One that was cut off, or whose pages point outside of it, is noticed by reading where
 * there is nothing: too late to go on, but not to say why. */
static void on_missing_page(int number) {
    static const char text[] = "forage: store.mdb or a segment file of the data folder is damaged or was cut off while in use; "
                               "run `forage check`, restore the folder from a backup, or remove it and import again\n";
    (void)number;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) {
        /* There is nobody left to tell. */
    }
    _exit(CLI_FAILED);
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN); /* a reader that has seen enough, such as `head`, is noticed when writing */
    signal(SIGBUS, on_missing_page);
    int status = run(argc, argv);
    if (fflush(stdout) != 0 && status == CLI_OK) {
        cli_error("the output could not be written");
        status = CLI_FAILED;
    }
    return status;
}
