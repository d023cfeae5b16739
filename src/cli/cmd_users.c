/* users: what is known of one person, and forgetting it. */
#include "cli/client.h"
#include "cli/screen.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const cli_option options[] = {{"yes", 'y', NULL, "erase without asking"}, {0}};

typedef struct whom {
    const char *collection, *user;
} whom;

static const char *user_target(void *self, arena *memory, const char *after) {
    const whom *who = self;
    buffer rest = {0};
    buffer_puts(&rest, "/users/");
    percent_encode(&rest, slice_of(who->user));
    if (after[0]) {
        buffer_puts(&rest, "?after=");
        percent_encode(&rest, slice_of(after));
    }
    const char *target = collection_target(memory, who->collection, buffer_text(&rest));
    buffer_release(&rest);
    return target;
}

static int erase(const cli_arguments *a, client *c, whom *who, arena *memory) {
    json_value *answer;
    slice text;
    int status = client_json(c, memory, "DELETE", user_target(who, memory, ""), (slice){0}, &answer, &text);
    if (status) return status;
    int64_t profiles = 0, impressions = 0, events = 0;
    json_member_integer(answer, "profiles", 0, INT64_MAX, &profiles, NULL);
    json_member_integer(answer, "impressions", 0, INT64_MAX, &impressions, NULL);
    json_member_integer(answer, "events", 0, INT64_MAX, &events, NULL);
    if (arg_flag(a, "json")) printf("%.*s\n", (int)text.size, text.data);
    else if (!arg_flag(a, "quiet"))
        printf("%s %s erased, %s %s and %s %s made anonymous\n", text_count(memory, (uint64_t)profiles),
               plural((uint64_t)profiles, "profile", "profiles"), text_count(memory, (uint64_t)impressions),
               plural((uint64_t)impressions, "search", "searches"), text_count(memory, (uint64_t)events),
               plural((uint64_t)events, "event", "events"));
    return CLI_OK;
}

static int confirm(const cli_arguments *a, const char *user) {
    if (arg_flag(a, "yes")) return CLI_OK;
    if (!isatty(STDIN_FILENO)) return cli_usage_error(a->command, "add --yes to erase \"%s\" without being asked", user);
    char answer[16] = "";
    fprintf(stderr, "Erase everything that is known of \"%s\"? [y/N] ", user);
    if (fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y')) return CLI_OK;
    cli_error("nothing was erased");
    return CLI_FAILED;
}

static int run(const cli_arguments *a) {
    const char *verb = a->n_words ? a->words[0] : "";
    bool erasing = strcmp(verb, "erase") == 0;
    if (!erasing && strcmp(verb, "export") != 0)
        return cli_usage_error(a->command, a->n_words ? "\"%s\": expected export or erase" : "expected export or erase%s", verb);
    if (a->n_words != 2 || !a->words[1][0]) return cli_usage_error(a->command, "which user? forage users %s ID", verb);
    whom who = {.user = a->words[1]};
    int status = erasing ? confirm(a, who.user) : CLI_OK;
    if (status) return status;
    client *c = NULL;
    arena memory;
    arena_init(&memory, 0);
    status = client_open(a, erasing ? CLIENT_WRITES : CLIENT_READS, &c);
    if (!status) status = client_collection(c, a, &memory, NULL, &who.collection);
    if (!status) status = erasing ? erase(a, c, &who, &memory) : client_write_pages(c, user_target, NULL, &who, stdout);
    client_close(c);
    arena_release(&memory);
    return status;
}

const cli_command command_users = {
    "users", "exports or erases what is known of a user", "users [options] export ID\nusers [options] erase ID [--yes]",
    "export writes NDJSON: the profile, then the searches and events of that user. erase removes the profile and makes\n"
    "those searches and events anonymous; what was counted over all people stays.", options,
    CLI_TAKES_PLACE | CLI_TAKES_COLLECTION, "forage users export u17 > u17.ndjson\nforage users erase u17 -c books --yes",
    run};
