#include "cli/arguments.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const cli_option common_options[] = {
    {"json", 0, NULL, "print the result as JSON"},
    {"quiet", 'q', NULL, "print no progress and no notes"},
    {"help", 'h', NULL, "show this help"},
    {0}};

const cli_option place_options[] = {
    {"data", 0, "FOLDER", "the data folder (default: $FORAGE_DATA_FOLDER, or ./forage-data)"},
    {"url", 0, "URL", "a running server instead of a folder (default: $FORAGE_URL)"},
    {"api-key-file", 0, "FILE", "file with the server's API key (default: $FORAGE_API_KEY)"},
    {"timeout", 0, "SECONDS", "wait that long for an answer of the server (default: 600)"},
    {0}};

const cli_option collection_options[] = {
    {"collection", 'c', "NAME", "the collection (default: the only one there is; the first import makes \"default\")"},
    {0}};

#define MAX_LISTS 4

static size_t option_lists(const cli_command *command, const cli_option *lists[MAX_LISTS]) {
    size_t n = 0;
    if (command->options) lists[n++] = command->options;
    if (command->takes & CLI_TAKES_COLLECTION) lists[n++] = collection_options;
    if (command->takes & CLI_TAKES_PLACE) lists[n++] = place_options;
    lists[n++] = common_options;
    return n;
}

static const cli_option *find_option(const cli_command *command, const char *name, size_t size, char letter) {
    const cli_option *lists[MAX_LISTS];
    size_t n = option_lists(command, lists);
    for (size_t i = 0; i < n; i++)
        for (const cli_option *o = lists[i]; o->name; o++)
            if (letter ? o->letter == letter : slice_is((slice){name, size}, o->name)) return o;
    return NULL;
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). Words beyond 63 bytes are
 * cut: they are no near misses. */
static size_t edit_distance(const char *a, const char *b) {
    size_t n = strnlen(a, 63), m = strnlen(b, 63);
    size_t d[64][64];
    for (size_t i = 0; i <= n; i++) d[i][0] = i;
    for (size_t j = 0; j <= m; j++) d[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        for (size_t j = 1; j <= m; j++) {
            size_t substitute = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            d[i][j] = least(substitute, least(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[n][m];
}

const char *nearest_word(const char *word, const char *const *candidates) {
    const char *best = NULL;
    size_t best_distance = strlen(word) / 3 + 2; /* farther than this is another word, not a slip */
    for (size_t i = 0; candidates[i]; i++) {
        size_t distance = edit_distance(word, candidates[i]);
        bool starts = strlen(word) >= 3 && strncmp(word, candidates[i], strlen(word)) == 0;
        if (starts) distance = 1;
        if (distance < best_distance) best = candidates[i], best_distance = distance;
    }
    return best;
}

static int unknown_option(const cli_command *command, const char *name, size_t size) {
    const cli_option *lists[MAX_LISTS];
    const char *names[64];
    size_t n_lists = option_lists(command, lists), n = 0;
    for (size_t i = 0; i < n_lists; i++)
        for (const cli_option *o = lists[i]; o->name && n < 63; o++) names[n++] = o->name;
    names[n] = NULL;
    char *word = mem_strndup(name, size);
    const char *near = nearest_word(word, names);
    int status = near ? cli_usage_error(command, "there is no option --%s; did you mean --%s?", word, near)
                      : cli_usage_error(command, "there is no option --%s", word);
    free(word);
    return status;
}

static void keep(cli_arguments *a, const cli_option *option, const char *value) {
    a->given[a->n_given++] = (given_option){option, value};
}

/* One "--name", "--name=value" or "-n". *at moves to the last argument used. */
static int parse_option(cli_arguments *a, int argc, char **argv, int *at) {
    const char *text = argv[*at];
    bool is_long = text[1] == '-';
    const char *name = text + (is_long ? 2 : 1);
    size_t size = is_long ? strcspn(name, "=") : 1;
    const cli_option *option = find_option(a->command, name, size, is_long ? 0 : name[0]);
    if (!option && is_long) return unknown_option(a->command, name, size);
    if (!option) return cli_usage_error(a->command, "there is no option -%c", name[0]);
    const char *attached = is_long ? (name[size] == '=' ? name + size + 1 : NULL) : (name[1] ? name + 1 : NULL);
    if (!option->value) {
        if (attached) return cli_usage_error(a->command, "--%s takes no value", option->name);
        keep(a, option, NULL);
        return CLI_OK;
    }
    if (!attached && *at + 1 >= argc)
        return cli_usage_error(a->command, "--%s needs a value: --%s %s", option->name, option->name, option->value);
    keep(a, option, attached ? attached : argv[++*at]);
    return CLI_OK;
}

int arguments_parse(const cli_command *command, int argc, char **argv, cli_arguments *out) {
    cli_arguments a = {.command = command};
    a.given = mem_zalloc((size_t)argc + 1, sizeof *a.given);
    a.words = mem_zalloc((size_t)argc + 1, sizeof *a.words);
    int status = CLI_OK;
    bool only_words = false;
    for (int i = 0; i < argc && !status; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) only_words = true;
        else if (only_words || argv[i][0] != '-' || argv[i][1] == '\0') a.words[a.n_words++] = argv[i];
        else status = parse_option(&a, argc, argv, &i);
    }
    if (status) arguments_release(&a);
    else *out = a;
    return status;
}

void arguments_release(cli_arguments *a) {
    free(a->given);
    free(a->words);
}

bool arg_flag(const cli_arguments *a, const char *name) {
    for (size_t i = 0; i < a->n_given; i++)
        if (strcmp(a->given[i].option->name, name) == 0) return true;
    return false;
}

const char *arg_text(const cli_arguments *a, const char *name, const char *otherwise) {
    const char *value = otherwise;
    for (size_t i = 0; i < a->n_given; i++)
        if (strcmp(a->given[i].option->name, name) == 0) value = a->given[i].value;
    return value;
}

const char *arg_nth(const cli_arguments *a, const char *name, size_t nth) {
    for (size_t i = 0; i < a->n_given; i++)
        if (strcmp(a->given[i].option->name, name) == 0 && nth-- == 0) return a->given[i].value;
    return NULL;
}

int arg_integer(const cli_arguments *a, const char *name, int64_t low, int64_t high, int64_t *out) {
    const char *text = arg_text(a, name, NULL);
    if (!text) return CLI_OK;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < low || value > high)
        return cli_usage_error(a->command, "--%s: expected a whole number from %lld to %lld, got \"%s\"", name,
                               (long long)low, (long long)high, text);
    *out = value;
    return CLI_OK;
}
