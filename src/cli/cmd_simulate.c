/* simulate: sends simulated customers and shows what the engine learns from them. */
#include "cli/client.h"
#include "cli/progress.h"
#include "cli/scratch.h"
#include "cli/screen.h"
#include "cli/waiting.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const cli_option options[] = {
    {"customers", 'n', "N", "how many come (default: 5000, at most 100000)"},
    {"seed", 0, "N", "another seed, other customers (default: 1)"},
    {"click-model", 0, "NAME", "how they act on a page: pbm (default), cascade or dbn"},
    {"policy", 'p', "NAME", "who decides (default: the collection's policy)"},
    {"compare", 0, "NAME", "a policy to compare with (may be repeated; default: fixed, all, rrf-equal)"},
    {"compare-every", 0, "N", "at every so many customers (default: 10; 0: never)"},
    {"drift-at", 0, "N", "before customer N tastes and popularity change (may be repeated)"},
    {"drift-share", 0, "X", "of what changes then (default: 0.5)"},
    {"season", 0, "N", "popularity moves to and fro, a turn in N customers (default: it does not)"},
    {"style", 0, "NAME=X",
     "share of a way to ask: title, attribute, ambiguous, typo or broad (may be repeated; others: 0)"},
    {"users", 0, "N", "different people among the customers (default: a tenth of them)"},
    {"days", 0, "X", "that they are spread over, up to now (default: 14)"},
    {"page", 0, "N", "hits on a page (default: 10)"},
    {"scratch", 0, NULL, "on a copy of the collection, which is removed afterwards (the default for a folder)"},
    {"keep", 0, NULL, "on the collection itself, which learns from what nobody did"},
    {0}};

typedef struct simulate_run {
    const cli_arguments *arguments;
    client *client, *watcher; /* two, because one waits for the answer; the same for a folder */
    const char *collection;
    scratch scratch;
    arena memory;
} simulate_run;

static double number(const json_value *object, const char *key) {
    const json_value *v = json_get(object, key);
    return v && v->type == JSON_NUMBER ? v->number : 0;
}

static uint64_t count(const json_value *object, const char *key) { return (uint64_t)(number(object, key) + .5); }

static slice text(const json_value *object, const char *key) {
    slice out = {0};
    json_member_string(object, key, &out, NULL);
    return out;
}

/* ---- The request ----------------------------------------------------------------------------------------------- */

/* A number as it was typed; what is none stays a string, which the API refuses with the member's name. */
static void write_value(simulate_run *r, json_writer *w, const char *typed, bool is_number) {
    json_value *value;
    if (is_number && !json_read(&r->memory, slice_of(typed), &value, NULL) && value->type == JSON_NUMBER)
        json_value_write(w, value);
    else json_text(w, typed);
}

static void write_list(simulate_run *r, json_writer *w, const char *option, const char *member, bool numbers) {
    const char *typed = arg_nth(r->arguments, option, 0);
    if (!typed) return;
    json_key(w, member);
    json_begin_array(w);
    for (size_t i = 0; (typed = arg_nth(r->arguments, option, i)); i++) write_value(r, w, typed, numbers);
    json_end_array(w);
}

/* --style ambiguous=0.5; what is no number stays a string, which the API refuses. */
static void write_styles(simulate_run *r, json_writer *w) {
    const char *typed = arg_nth(r->arguments, "style", 0);
    if (!typed) return;
    json_key(w, "styles");
    json_begin_object(w);
    for (size_t i = 0; (typed = arg_nth(r->arguments, "style", i)); i++) {
        const char *share = strchr(typed, '=');
        json_key_slice(w, (slice){typed, share ? (size_t)(share - typed) : strlen(typed)});
        write_value(r, w, share ? share + 1 : "", true);
    }
    json_end_object(w);
}

static void write_request(simulate_run *r, buffer *out) {
    static const struct {
        const char *option, *member;
        bool number;
    } passed[] = {{"customers", "customers", true},
                  {"seed", "seed", true},
                  {"click-model", "click_model", false},
                  {"policy", "policy", false},
                  {"users", "users", true},
                  {"compare-every", "compare_every", true},
                  {"drift-share", "drift_share", true},
                  {"season", "season", true},
                  {"days", "days", true},
                  {"page", "page", true}};
    json_writer w = json_writer_of(out);
    json_begin_object(&w);
    for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++) {
        const char *typed = arg_text(r->arguments, passed[i].option, NULL);
        if (!typed) continue;
        json_key(&w, passed[i].member);
        write_value(r, &w, typed, passed[i].number);
    }
    write_styles(r, &w);
    write_list(r, &w, "compare", "compare", false);
    write_list(r, &w, "drift-at", "drift_at", true);
    json_end_object(&w);
}

/* ---- Waiting --------------------------------------------------------------------------------------------------- */

/* Searches that the collection has seen; -1 when it cannot be told, which nobody needs to hear of. */
static int64_t searches_so_far(simulate_run *r) {
    arena memory;
    client_reply reply;
    json_value *stats;
    int64_t n = -1;
    arena_init(&memory, 0);
    if (!client_send(r->watcher, "GET", collection_target(&memory, r->collection, "/stats"), NULL, (slice){0},
                     &reply)) {
        if (reply.status == 200 && !json_read(&memory, reply.body, &stats, NULL))
            n = (int64_t)number(stats, "impressions");
        client_reply_release(&reply);
    }
    arena_release(&memory);
    return n;
}

#define LOOK_US 200000

typedef struct watching {
    simulate_run *run;
    progress progress;
    int64_t before; /* searches before the request went out; -1: not known */
} watching;

static bool look(void *self) {
    watching *w = self;
    int64_t now = searches_so_far(w->run);
    if (now > w->before) progress_show(&w->progress, (uint64_t)(now - w->before), (uint64_t)(now - w->before));
    return true;
}

/* The request on its way in a thread, the progress in this one. */
static int send_and_watch(simulate_run *r, slice request, json_value **answer, slice *raw) {
    int64_t customers = 5000;
    bool quiet = arg_flag(r->arguments, "quiet") || arg_flag(r->arguments, "json");
    int status = arg_integer(r->arguments, "customers", 1, 100000, &customers);
    if (status) return status;
    watching w = {r, progress_start("customers", (uint64_t)customers, quiet), quiet ? -1 : searches_so_far(r)};
    const char *target = collection_target(&r->memory, r->collection, "/simulate");
    status = client_json_watched(r->client, &r->memory, target, request, w.before < 0 ? NULL : look, &w, LOOK_US, answer, raw);
    progress_clear(&w.progress);
    return status;
}

/* ---- The answer ------------------------------------------------------------------------------------------------ */

static const char *decimal(arena *memory, double value) { return arena_printf(memory, "%.1f", value); }

static void print_policies(const json_value *answer, arena *memory) {
    static const table_column columns[] = {{"policy", false, false, STYLE_GREEN},
                                           {"reward per 1,000", true, false, STYLE_NONE},
                                           {"candidates", true, false, STYLE_NONE}};
    const json_value *list = json_get(answer, "compared");
    if (!list || !list->first) return;
    table *t = table_create(columns, 3);
    for (const json_value *v = list->first; v; v = v->next) {
        bool served = v == list->first;
        table_cell_text(t, served ? arena_printf(memory, "%.*s, as it served", SLICE_ARG(text(answer, "policy")))
                                  : arena_printf(memory, "%.*s", SLICE_ARG(text(v, "policy"))));
        table_cell_text(t, decimal(memory, number(v, "expected_per_1000")));
        table_cell_text(t, decimal(memory, number(v, "candidates")));
    }
    table_print(t, "  ");
    table_destroy(t);
}

static const json_value *last_of(const json_value *list) {
    const json_value *v = list ? list->first : NULL;
    while (v && v->next) v = v->next;
    return v;
}

static void print_strategies(const json_value *answer, arena *memory) {
    static const table_column columns[] = {{"strategy", false, false, STYLE_GREEN},
                                           {"asked at first", true, false, STYLE_NONE},
                                           {"depth", true, false, STYLE_DIM},
                                           {"at last", true, false, STYLE_NONE},
                                           {"depth", true, false, STYLE_DIM}};
    const json_value *series = json_get(answer, "series"), *last = json_get(last_of(series), "strategies");
    const json_value *first = series ? json_get(series->first, "strategies") : NULL;
    if (!first || !last) return;
    table *t = table_create(columns, 5);
    for (const json_value *a = first->first, *b = last->first; a && b; a = a->next, b = b->next) {
        table_cell(t, text(a, "name"));
        table_cell_text(t, arena_printf(memory, "%.0f %%", 100 * number(a, "share")));
        table_cell_text(t, decimal(memory, number(a, "mean_depth")));
        table_cell_text(t, arena_printf(memory, "%.0f %%", 100 * number(b, "share")));
        table_cell_text(t, decimal(memory, number(b, "mean_depth")));
    }
    printf("\n");
    table_print(t, "  ");
    table_destroy(t);
}

static void print_regret(const json_value *answer, const char *member, const char *among) {
    const json_value *regret = json_get(answer, member), *growth = json_get(regret, "growth");
    const json_value *low = json_get(growth, "low");
    if (!regret) return;
    printf("regret %.1f ± %.1f against %.*s, the best %s in hindsight", number(regret, "total"),
           1.96 * number(regret, "standard_error"), SLICE_ARG(text(regret, "against")), among);
    if (growth && growth->type == JSON_OBJECT) {
        printf("; it grows like n^%.2f (", number(growth, "exponent"));
        if (low && low->type == JSON_NUMBER)
            printf("%.2f to %.2f, ", number(growth, "low"), number(growth, "high"));
        printf("R² %.2f) over the first %.0f", number(growth, "r2"), number(growth, "customers"));
    }
    printf("\n");
}

static void print_drifts(const json_value *answer, arena *memory) {
    const json_value *drifts = json_get(answer, "drifts"), *recovered;
    for (const json_value *v = drifts ? drifts->first : NULL; v; v = v->next) {
        printf("drift before customer %s", text_count(memory, count(v, "customer")));
        if (!(recovered = json_get(v, "recovered"))) {
            printf(": too near the start, the end or another to be measured\n");
            continue;
        }
        printf(": from %.1f down to %.1f", number(v, "before_per_1000"), number(v, "lowest_per_1000"));
        if (recovered->boolean)
            printf(", back at 95 %% after %s customers and %s events\n",
                   text_count(memory, count(v, "recovery_customers")), text_count(memory, count(v, "recovery_events")));
        else printf(", not back at 95 %% until the end\n");
    }
}

static void print_answer(const json_value *answer, const simulate_run *r, arena *memory) {
    const json_value *first = json_get(answer, "first"), *last = json_get(answer, "last");
    slice model = text(json_get(answer, "click_model"), "name");
    printf("%s customers of %s, %.*s, seed %s: %s events; %s\n", text_count(memory, count(answer, "customers")),
           r->collection, SLICE_ARG(model), text_count(memory, count(answer, "seed")),
           text_count(memory, count(answer, "events")), text_seconds(memory, number(answer, "took_ms") / 1000));
    printf("reward per 1,000 customers: %.1f; the first %s %.1f, the last %s %.1f\n\n",
           number(answer, "expected_per_1000"), text_count(memory, count(first, "customers")),
           number(first, "expected_per_1000"), text_count(memory, count(last, "customers")),
           number(last, "expected_per_1000"));
    print_policies(answer, memory);
    print_strategies(answer, memory);
    printf("\n");
    print_regret(answer, "regret", "of no higher cost");
    print_regret(answer, "regret_at_any_cost", "at any cost");
    print_drifts(answer, memory);
    if (count(answer, "refused"))
        printf("%s%s events were refused: %.*s%s\n", paint(STYLE_YELLOW), text_count(memory, count(answer, "refused")),
               SLICE_ARG(text(answer, "refusal")), paint(STYLE_NONE));
    if (r->scratch.folder[0])
        cli_note(r->arguments, "on a copy: %s itself has learned nothing; --keep teaches it", r->collection);
}

/* ---- The command ----------------------------------------------------------------------------------------------- */

static int open_place(simulate_run *r) {
    const cli_arguments *a = r->arguments;
    bool keep = arg_flag(a, "keep"), remote = client_would_be_remote(a);
    if (keep && arg_flag(a, "scratch")) return cli_usage_error(a->command, "--scratch and --keep exclude each other");
    if (remote && !keep)
        return cli_usage_error(a->command,
                               "a server's collection learns from the customers as if they were real: add --keep if "
                               "that is wanted, or name a folder with --data");
    if (!remote && !keep) {
        int status = scratch_open(a, &r->memory, &r->scratch, &r->client, &r->collection);
        r->watcher = r->client;
        return status;
    }
    int status = client_open(a, CLIENT_WRITES, &r->client);
    if (!status) status = client_collection(r->client, a, &r->memory, NULL, &r->collection);
    r->watcher = r->client;
    return status || !remote ? status : client_open(a, CLIENT_LOOKS, &r->watcher);
}

static int run(const cli_arguments *a) {
    if (a->n_words) return cli_usage_error(a->command, "\"%s\": name a collection with -c", a->words[0]);
    simulate_run r = {.arguments = a};
    json_value *answer = NULL;
    slice raw;
    buffer request = {0};
    arena_init(&r.memory, 0);
    int status = open_place(&r);
    if (!status) {
        write_request(&r, &request);
        status = send_and_watch(&r, (slice){request.data, request.size}, &answer, &raw);
    }
    if (!status && arg_flag(a, "json")) printf("%.*s\n", (int)raw.size, raw.data);
    else if (!status) print_answer(answer, &r, &r.memory);
    if (r.watcher != r.client) client_close(r.watcher);
    client_close(r.client);
    scratch_remove(&r.scratch);
    buffer_release(&request);
    arena_release(&r.memory);
    return status;
}

const cli_command command_simulate = {
    "simulate",
    "sends simulated customers, to see what is learned",
    "simulate [options]",
    "Customers with tastes and an intent ask the real engine by title, by attribute, ambiguously, with a typo or\n"
    "broadly, click by a model whose parameters are known, and the engine learns from it. The rewards shown are exact\n"
    "expectations; regret is what the best compared policy of no higher cost would have earned more, from the same\n"
    "memory and by the same ranker. A folder's collection is copied first and stays as it is; with --keep, and on a\n"
    "server, it learns as if all were real.",
    options,
    CLI_TAKES_PLACE | CLI_TAKES_COLLECTION,
    "forage simulate -c media -n 2000\n"
    "forage simulate -c media -n 20000 --drift-at 10000 --click-model dbn\n"
    "forage simulate -c media --policy squarecb --compare regcb --compare rrf-equal --json\n"
    "# Teach the demo's collection while its page is open:\n"
    "forage simulate --url http://127.0.0.1:7700 -c media --keep",
    run};
