#include "cli/train_log.h"

#include "cli/client.h"
#include "cli/eval_input.h"
#include "cli/passing.h"
#include "cli/progress.h"
#include "cli/screen.h"
#include "cli/train_view.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOOK_US 100000

const char *const train_log_options[] = {"kind",      "debias",   "trees", "leaves",      "patience",  "bags",      "truncation", "threads",
                                         "seed",      "learning-rate", "seconds", "validation-share", "held-out", "weight-clip", "user-cap",
                                         "memory-mb", "since",    "name",  "no-activate", "judgments", "queries",   "subsample",
                                         "group-share", "colsample", "colsample-node",
                                         NULL};

static const passed_option passed[] = {
    {"kind", NULL, false},         {"debias", NULL, false},     {"trees", NULL, true},      {"leaves", NULL, true},
    {"patience", NULL, true},      {"bags", NULL, true},        {"truncation", NULL, true}, {"threads", NULL, true},
    {"seed", NULL, true},          {"learning-rate", NULL, true}, {"seconds", "max_seconds", true},
    {"validation-share", "validation", true},
    {"held-out", NULL, true},      {"weight-clip", NULL, true}, {"user-cap", NULL, true},   {"memory-mb", NULL, true},
    {"since", NULL, false},        {"name", NULL, false},       {"subsample", NULL, true}, {"group-share", NULL, true},
    {"colsample", NULL, true},     {"colsample-node", NULL, true}, {0}};

typedef struct log_training {
    const cli_arguments *arguments;
    client *client;
    const char *target;
    progress bar;
} log_training;

/* ---- The request ----------------------------------------------------------------------------------------------- */

static int write_people(const cli_arguments *a, json_writer *w) {
    const char *judgments = arg_text(a, "judgments", NULL), *queries = arg_text(a, "queries", NULL);
    eval_input in;
    if (!judgments && !queries) return CLI_OK;
    if (!judgments || !queries) return cli_usage_error(a->command, "--judgments and --queries belong together");
    eval_input_init(&in);
    int status = eval_read_judgments(&in, judgments);
    if (!status) status = eval_read_queries(&in, queries);
    if (!status && eval_mark_judged(&in) == 0) {
        cli_error("no query of %s is judged in %s: their ids differ", queries, judgments);
        status = CLI_FAILED;
    }
    if (!status) {
        eval_write_queries(w, &in);
        eval_write_pairs(w, "judgments", &in.judgments, "grade");
    }
    eval_input_release(&in);
    return status;
}

static int write_request(const cli_arguments *a, buffer *out) {
    json_writer w = json_writer_of(out);
    json_begin_object(&w);
    pass_options(a, passed, &w);
    if (arg_flag(a, "no-activate")) {
        json_key(&w, "activate");
        json_bool(&w, false);
    }
    int status = write_people(a, &w);
    if (!status) json_end_object(&w);
    return status;
}

/* ---- Watching -------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;
static void on_interrupt(int number) {
    (void)number;
    interrupted = 1;
}

static double number(const json_value *object, const char *key, double otherwise) {
    const json_value *v = json_get(object, key);
    return v && v->type == JSON_NUMBER ? v->number : otherwise;
}

static slice text(const json_value *object, const char *key) {
    slice out = {0};
    json_member_string(object, key, &out, NULL);
    return out;
}

static void tell(log_training *t, const json_value *state) {
    char line[160];
    slice phase = text(state, "phase");
    int n = snprintf(line, sizeof line, "%.*s", SLICE_ARG(phase));
    if (slice_is(phase, "fitting"))
        n += snprintf(line + n, sizeof line - (size_t)n, "  %.0f trees", number(state, "trees", 0));
    double ndcg = number(state, "validation_ndcg", -1);
    if (ndcg >= 0) snprintf(line + n, sizeof line - (size_t)n, "  validation NDCG %.4f", ndcg);
    progress_tell(&t->bar, number(state, "share", 0), line);
}

/* It waits for the training to stop. One that has ended meanwhile is not there to be stopped. */
static int cancel(log_training *t) {
    client_reply reply = {0};
    int status = client_send(t->client, "DELETE", t->target, NULL, (slice){0}, &reply);
    if (!status && reply.status != 404) status = client_check(t->client, &reply);
    client_reply_release(&reply);
    return status;
}

/* Asks until it does not run any more; *state and *raw are then in `memory`. */
static int watch(log_training *t, arena *memory, json_value **state, slice *raw) {
    bool cancelled = false;
    for (;;) {
        arena_reset(memory);
        int status = client_json(t->client, memory, "GET", t->target, (slice){0}, state, raw);
        if (status || !slice_is(text(*state, "state"), "running")) return status;
        tell(t, *state);
        if (interrupted && !cancelled) {
            status = cancel(t);
            cancelled = true;
            if (status) return status;
            continue;
        }
        usleep(LOOK_US);
    }
}

static int tell_end(const log_training *t, const json_value *state, slice raw, arena *memory) {
    slice how = text(state, "state");
    if (slice_is(how, "failed")) {
        slice why = text(state, "error");
        cli_error("%.*s", (int)why.size, why.data);
        return CLI_FAILED;
    }
    if (!slice_is(how, "done")) {
        cli_error("the training was cancelled; nothing was kept");
        return CLI_FAILED;
    }
    if (arg_flag(t->arguments, "json")) printf("%.*s\n", (int)raw.size, raw.data);
    else train_view_print(state, memory);
    return CLI_OK;
}

static int train(log_training *t, slice request) {
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND}, before;
    arena memory;
    json_value *state;
    slice raw;
    arena_init(&memory, 0);
    sigaction(SIGINT, &action, &before);
    int status = client_json(t->client, &memory, "POST", t->target, request, &state, NULL);
    t->bar = progress_start("", 0, arg_flag(t->arguments, "quiet"));
    if (!status) status = watch(t, &memory, &state, &raw);
    progress_clear(&t->bar);
    sigaction(SIGINT, &before, NULL);
    if (!status) status = tell_end(t, state, raw, &memory);
    arena_release(&memory);
    return status;
}

int train_from_log(const cli_arguments *a) {
    log_training t = {.arguments = a};
    const char *collection;
    arena memory;
    buffer request = {0};
    arena_init(&memory, 0);
    int status = write_request(a, &request);
    if (!status) status = client_open(a, CLIENT_WRITES, &t.client);
    if (!status) status = client_collection(t.client, a, &memory, NULL, &collection);
    if (!status) {
        t.target = collection_target(&memory, collection, "/train");
        status = train(&t, (slice){request.data, request.size});
    }
    client_close(t.client);
    buffer_release(&request);
    arena_release(&memory);
    return status;
}
