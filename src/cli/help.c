#include "cli/arguments.h"
#include "cli/screen.h"

#include "forage.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void cli_error(const char *format, ...) {
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    buffer line = {0};
    text_clean(&line, slice_of(text));
    /* A progress bar may stand on the line. */
    fprintf(stderr, "%sforage: %s\n", isatty(STDERR_FILENO) ? "\r\033[K" : "", buffer_text(&line));
    buffer_release(&line);
}

void cli_note(const cli_arguments *a, const char *format, ...) {
    if (arg_flag(a, "quiet")) return;
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

int cli_usage_error(const cli_command *command, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    cli_error("%s", text);
    fprintf(stderr, "Try `forage help%s%s`.\n", command ? " " : "", command ? command->name : "");
    return CLI_USAGE;
}

static void print_heading(const char *text) { printf("\n%s%s%s\n", paint(STYLE_BOLD), text, paint(STYLE_NONE)); }

static void print_option(const cli_option *o) {
    char left[64];
    snprintf(left, sizeof left, "%s%c%s--%s%s%s", o->letter ? "-" : "", o->letter ? o->letter : ' ',
             o->letter ? ", " : "   ", o->name, o->value ? " " : "", o->value ? o->value : "");
    printf("  %-28s  %s\n", left, o->help);
}

static void print_options(const char *heading, const cli_option *options) {
    print_heading(heading);
    for (const cli_option *o = options; o->name; o++) print_option(o);
}

static void print_lines(const char *text, const char *prefix) {
    while (*text) {
        size_t n = strcspn(text, "\n");
        bool comment = *text == '#';
        printf("%s%s%.*s%s\n", comment ? "  " : prefix, paint(comment ? STYLE_DIM : STYLE_NONE), (int)n, text,
               paint(STYLE_NONE));
        text += n + (text[n] == '\n');
    }
}

void help_print_command(const cli_command *command) {
    printf("%sforage %s%s: %s\n", paint(STYLE_BOLD), command->name, paint(STYLE_NONE), command->summary);
    print_heading("Usage");
    print_lines(command->usage, "  forage ");
    if (command->about) printf("\n%s\n", command->about);
    if (command->options) print_options("Options", command->options);
    if (command->takes & CLI_TAKES_COLLECTION) print_options("Which collection", collection_options);
    if (command->takes & CLI_TAKES_PLACE) print_options("Where the data is", place_options);
    print_options("Always", common_options);
    if (command->examples) {
        print_heading("Examples");
        print_lines(command->examples, "  ");
    }
}

void help_print(void) {
    printf("%sforage%s %s: search that learns what to retrieve and how to rank it\n", paint(STYLE_BOLD),
           paint(STYLE_NONE), forage_version());
    print_heading("Start here");
    printf("  forage import books.ndjson            %s# documents in; NDJSON, JSON, CSV or TSV%s\n", paint(STYLE_DIM),
           paint(STYLE_NONE));
    printf("  forage search hunger games            %s# documents out%s\n", paint(STYLE_DIM), paint(STYLE_NONE));
    printf("  forage serve                          %s# the same as a web page and an HTTP API%s\n",
           paint(STYLE_DIM), paint(STYLE_NONE));
    print_heading("Commands");
    for (size_t i = 0; cli_commands[i]; i++)
        printf("  %-13s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
    printf("  %-13s %s\n", "help", "shows the help of a command: `forage help import`");
    printf("  %-13s %s\n", "version", "shows the version");
    print_heading("Exit status");
    printf("  0 done · 1 failed · 2 the command line was not understood · 3 done, but some input was refused\n");
}
