/* policy: what a collection's policy has learned, its versions, and learning again. */
#include "cli/client.h"
#include "cli/progress.h"
#include "cli/screen.h"
#include "cli/waiting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const cli_option options[] = {
    {"since", 0, "DATE", "relearn: only from the searches since then, 2026 or 2026-01-31"}, {0}};

typedef struct policy_command {
    const cli_arguments *arguments;
    client *client;
    const char *target;
    arena memory;
} policy_command;

static double number(const json_value *object, const char *key) {
    const json_value *v = json_get(object, key);
    return v && v->type == JSON_NUMBER ? v->number : 0;
}

static slice text_of(const json_value *object, const char *key) {
    const json_value *v = json_get(object, key);
    return v && v->type == JSON_STRING ? v->text : (slice){0};
}

static bool for_machines(const policy_command *p, slice answer) {
    if (arg_flag(p->arguments, "json")) printf("%.*s\n", (int)answer.size, answer.data);
    return arg_flag(p->arguments, "json");
}

static const char *count(policy_command *p, const json_value *object, const char *key) {
    return text_count(&p->memory, (uint64_t)number(object, key));
}

/* "version 1,024 (good)" */
static const char *version_text(policy_command *p, const json_value *v) {
    slice name = text_of(v, "name");
    return arena_printf(&p->memory, name.size ? "version %s (%.*s)" : "version %s", count(p, v, "version"), SLICE_ARG(name));
}

/* ---- show ------------------------------------------------------------------------------------------------------ */

static void print_policy(policy_command *p, const json_value *answer) {
    const json_value *budget = json_get(answer, "budget"), *learns = json_get(answer, "learns");
    slice name = text_of(answer, "name");
    printf("%.*s serves%s\n", SLICE_ARG(name), learns && learns->boolean ? "" : "; what learns is its apprentice");
    printf("learned from %s %s, the ranker from %s %s\n", count(p, answer, "version"),
           plural((uint64_t)number(answer, "version"), "search", "searches"), count(p, answer, "ranker_version"),
           plural((uint64_t)number(answer, "ranker_version"), "event", "events"));
    if (!budget || budget->type != JSON_OBJECT) printf("no budget");
    else if (json_get(budget, "p95_ms")) printf("budget %g ms for 95 %% of the searches", number(budget, "p95_ms"));
    else printf("budget %g candidates a search", number(budget, "candidates"));
    printf(", price %.3g\n", number(answer, "price"));
}

static void print_versions(const json_value *versions, arena *memory) {
    static const table_column columns[] = {{"version", true, false, STYLE_BOLD}, {"kept", false, false, STYLE_DIM},
                                           {"name", false, true, STYLE_NONE}};
    if (!versions || !versions->first) return;
    table *t = table_create(columns, 3);
    for (const json_value *v = versions->first; v; v = v->next) {
        slice time = text_of(v, "time"), name = text_of(v, "name");
        table_cell_text(t, text_count(memory, (uint64_t)number(v, "version")));
        table_cell_text(t, arena_printf(memory, "%.19s", arena_strndup(memory, time.data ? time.data : "", time.size)));
        table_cell_text(t, arena_printf(memory, "%.*s", SLICE_ARG(name)));
    }
    printf("\n");
    table_print(t, "");
    table_destroy(t);
}

static int show(policy_command *p) {
    json_value *answer;
    slice raw;
    int status = client_json(p->client, &p->memory, "GET", p->target, (slice){0}, &answer, &raw);
    if (status || for_machines(p, raw)) return status;
    print_policy(p, answer);
    print_versions(json_get(answer, "versions"), &p->memory);
    return CLI_OK;
}

/* ---- keep, rollback -------------------------------------------------------------------------------------------- */

static slice request_of(policy_command *p, const char *member, const char *value) {
    buffer body = {0};
    json_writer w = json_writer_of(&body);
    json_begin_object(&w);
    json_key(&w, member);
    json_text(&w, value);
    json_end_object(&w);
    slice request = arena_slice(&p->memory, (slice){body.data, body.size});
    buffer_release(&body);
    return request;
}

static int keep(policy_command *p, const char *name) {
    json_value *answer;
    slice raw;
    int status = client_json(p->client, &p->memory, "POST", p->target, request_of(p, "keep", name), &answer, &raw);
    if (status || for_machines(p, raw) || arg_flag(p->arguments, "quiet")) return status;
    printf("%s is kept\n", version_text(p, json_get(answer, "kept")));
    return CLI_OK;
}

static int roll_back(policy_command *p, const char *version) {
    json_value *answer;
    slice raw;
    int status = client_json(p->client, &p->memory, "POST", p->target, request_of(p, "rollback", version), &answer, &raw);
    if (status || for_machines(p, raw) || arg_flag(p->arguments, "quiet")) return status;
    printf("back at %s; what was there is kept as %s\n", version_text(p, json_get(answer, "rolled_back_to")),
           version_text(p, json_get(answer, "before")));
    return CLI_OK;
}

/* ---- relearn --------------------------------------------------------------------------------------------------- */

#define LOOK_US 200000

typedef struct watching {
    policy_command *command;
    progress bar;
} watching;

static bool look(void *self) {
    watching *w = self;
    policy_command *p = w->command;
    arena memory;
    client_reply reply = {0};
    json_value *told;
    arena_init(&memory, 0);
    bool answered = client_send(p->client, "GET", p->target, NULL, (slice){0}, &reply) == CLI_OK;
    if (answered && reply.status == 200 && !json_read(&memory, reply.body, &told, NULL)) {
        const json_value *far = json_get(told, "relearning");
        w->bar.total = far ? (uint64_t)number(far, "records") : 0;
        if (w->bar.total) progress_show(&w->bar, (uint64_t)number(far, "done"), (uint64_t)number(far, "done"));
    }
    client_reply_release(&reply);
    arena_release(&memory);
    return answered;
}

static int relearn(policy_command *p, const char *since) {
    bool quiet = arg_flag(p->arguments, "quiet"), watched = !quiet && !client_is_remote(p->client);
    watching w = {p, progress_start("records", 0, quiet)};
    slice request = SLICE("{\"relearn\":true}"), raw;
    json_value *answer;
    if (since) request = slice_of(arena_printf(&p->memory, "{\"relearn\":%s}", request_of(p, "since", since).data));
    int status = client_json_watched(p->client, &p->memory, p->target, request, watched ? look : NULL, &w, LOOK_US, &answer, &raw);
    if (watched) progress_clear(&w.bar);
    if (status || for_machines(p, raw) || quiet) return status;
    printf("learned from %s %s and %s %s; what was there is kept as %s\n", count(p, answer, "searches"),
           plural((uint64_t)number(answer, "searches"), "search", "searches"), count(p, answer, "events"),
           plural((uint64_t)number(answer, "events"), "event", "events"), version_text(p, json_get(answer, "before")));
    return CLI_OK;
}

/* ---- The command ----------------------------------------------------------------------------------------------- */

static int check(const cli_arguments *a, const char *verb) {
    bool takes_word = strcmp(verb, "keep") == 0 || strcmp(verb, "rollback") == 0, relearns = strcmp(verb, "relearn") == 0;
    if (!takes_word && !relearns && strcmp(verb, "show") != 0)
        return cli_usage_error(a->command, "\"%s\": expected show, keep, rollback or relearn", verb);
    if (takes_word && (a->n_words != 2 || !a->words[1][0]))
        return cli_usage_error(a->command, "which %s? forage policy %s", strcmp(verb, "keep") == 0 ? "name" : "version",
                               strcmp(verb, "keep") == 0 ? "keep NAME" : "rollback VERSION");
    if (!takes_word && a->n_words > 1) return cli_usage_error(a->command, "\"%s\": %s takes no more words", a->words[1], verb);
    if (!relearns && arg_text(a, "since", NULL)) return cli_usage_error(a->command, "--since is for relearn");
    return CLI_OK;
}

static int run(const cli_arguments *a) {
    policy_command p = {.arguments = a};
    const char *verb = a->n_words ? a->words[0] : "show", *collection;
    int status = check(a, verb);
    if (status) return status;
    arena_init(&p.memory, 0);
    status = client_open(a, strcmp(verb, "show") == 0 ? CLIENT_LOOKS : CLIENT_WRITES, &p.client);
    if (!status) status = client_collection(p.client, a, &p.memory, NULL, &collection);
    if (!status) {
        p.target = collection_target(&p.memory, collection, "/policy");
        if (strcmp(verb, "keep") == 0) status = keep(&p, a->words[1]);
        else if (strcmp(verb, "rollback") == 0) status = roll_back(&p, a->words[1]);
        else if (strcmp(verb, "relearn") == 0) status = relearn(&p, arg_text(a, "since", NULL));
        else status = show(&p);
    }
    client_close(p.client);
    arena_release(&p.memory);
    return status;
}

const cli_command command_policy = {
    "policy", "shows what the policy has learned, goes back to a version, learns again",
    "policy [options] [show]\npolicy [options] keep NAME\npolicy [options] rollback VERSION\npolicy [options] relearn [--since DATE]",
    "A version is what policy and ranker had learned after so many searches. A few are kept by themselves (at powers of\n"
    "two from 64 on and every 20,000 searches; the last 8), and those with a name. rollback goes back to one, by number or\n"
    "name, and what people do from then on is learned on top. relearn learns again from the collection's own log, beside\n"
    "what serves, and then takes its place: after events that were garbage, or after another budget. Both keep what was\n"
    "there as a version, so that they can be undone. What documents and users are remembered for does not change.", options,
    CLI_TAKES_PLACE | CLI_TAKES_COLLECTION,
    "forage policy -c books\nforage policy keep before-the-sale\nforage policy rollback before-the-sale\n"
    "forage policy relearn --since 2026-01-01",
    run};
