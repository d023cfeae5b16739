/* Replays: a log of what people did elsewhere, run through the funnel; served, or tried with many policies side by side. */
#include "api/call.h"

#include "policy/policy.h"
#include "retrieve/strategy.h"
#include "simulate/contest.h"
#include "simulate/replay.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#define INFLATED_LIMIT ((uint64_t)4 << 30)
#define MOST_SEEDS 100
#define NDCG_CUTOFF 10

_Static_assert(RETRIEVE_STRATEGIES <= POLICY_MAX_STRATEGIES, "strategies fit the bits of a mask");

/* A replay on its way, for those who ask how far it is. */
typedef struct running {
    struct running *next;
    const forage_collection *entry;
    uint64_t done, rows;
} running;

static pthread_mutex_t running_mutex = PTHREAD_MUTEX_INITIALIZER;
static running *all_running; /* under the mutex */

typedef struct replay_call {
    api_call *c;
    replay_options options;
    records_options records;
    slice action;
    contest_policy policies[CONTEST_MOST_POLICIES];
    size_t n_policies;
    rank_trial_options ranking;
    double budget;
    int64_t seeds, block;
    const char *names[RETRIEVE_STRATEGIES];
    replay_log log;
    replay_result result;
} replay_call;

/* ---- Parameters ---- */

static forage_status number_parameter(const api_call *c, const char *name, double low, double high, double *out,
                                      base_error *error) {
    slice text = api_parameter_of(c, name);
    json_value *v = NULL;
    arena a;
    if (!text.size) return FORAGE_OK;
    arena_init(&a, 1024);
    bool good = !json_read(&a, text, &v, NULL) && v->type == JSON_NUMBER && v->number >= low && v->number <= high;
    if (good) *out = v->number;
    arena_release(&a);
    if (good) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "\"%s\": expected a number from %g to %g, got \"%.*s\"", name, low, high,
                     SLICE_ARG(text));
}

static forage_status flag_parameter(const api_call *c, const char *name, bool *out, base_error *error) {
    slice text = api_parameter_of(c, name);
    if (!text.size) return FORAGE_OK;
    *out = slice_is(text, "true");
    if (*out || slice_is(text, "false")) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "\"%s\": expected true or false, got \"%.*s\"", name, SLICE_ARG(text));
}

/* The part of a list before the next comma, which is taken off it. */
static slice next_part(slice *list) {
    const char *comma = list->size ? memchr(list->data, ',', list->size) : NULL;
    slice part = {list->data, comma ? (size_t)(comma - list->data) : list->size};
    *list = comma ? (slice){comma + 1, list->size - part.size - 1} : (slice){list->data + part.size, 0};
    return part;
}

static forage_status read_policies(replay_call *r, base_error *error) {
    slice list = api_parameter_of(r->c, "compare");
    r->options.try = list.size > 0;
    while (list.size) {
        slice part = next_part(&list);
        if (!part.size) continue;
        if (r->n_policies == CONTEST_MOST_POLICIES)
            return error_set(error, FORAGE_E_INVALID, "\"compare\": at most %d policies", CONTEST_MOST_POLICIES);
        forage_status status = contest_policy_read(part, &r->policies[r->n_policies], error);
        if (status) return status;
        if (!policy_rule_known(r->policies[r->n_policies].rule))
            return error_set(error, FORAGE_E_INVALID, "\"compare\": there is no policy \"%s\"", r->policies[r->n_policies].rule);
        r->options.warm |= r->policies[r->n_policies++].warm;
    }
    return FORAGE_OK;
}

static forage_status read_ranking(replay_call *r, base_error *error) {
    int64_t trees = rank_trial_defaults.trees, leaves = rank_trial_defaults.leaves, most = 0, bags = 1;
    r->ranking = rank_trial_defaults;
    forage_status status = flag_parameter(r->c, "rank", &r->options.rank, error);
    if (!status) status = api_parameter_integer(r->c, "trees", 1, 5000, &trees, error);
    if (!status) status = api_parameter_integer(r->c, "leaves", 2, 255, &leaves, error);
    if (!status) status = api_parameter_integer(r->c, "bags", 1, 20, &bags, error);
    if (!status) status = api_parameter_integer(r->c, "most_rows", 0, 10000, &most, error);
    if (!status) status = number_parameter(r->c, "learning_rate", 1e-4, 1, &r->ranking.learning_rate, error);
    if (status) return status;
    if (r->options.rank && r->options.try)
        return error_set(error, FORAGE_E_INVALID, "\"rank\" and \"compare\" exclude each other");
    if (r->options.rank) r->options.try = r->options.warm = true;
    r->ranking.trees = (uint32_t)trees;
    r->ranking.leaves = (uint32_t)leaves;
    r->ranking.bags = (uint32_t)bags;
    r->ranking.most_rows = (uint32_t)most;
    r->ranking.seed = r->options.seed;
    return FORAGE_OK;
}

static forage_status read_strategies(replay_call *r, base_error *error) {
    slice list = api_parameter_of(r->c, "strategies");
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) r->names[s] = retrieve_strategies[s]->name;
    if (list.size) r->options.strategies = 0;
    while (list.size) {
        slice part = next_part(&list);
        uint32_t s = 0;
        while (s < RETRIEVE_STRATEGIES && !slice_is(part, r->names[s])) s++;
        if (s == RETRIEVE_STRATEGIES)
            return error_set(error, FORAGE_E_INVALID, "\"strategies\": there is no \"%.*s\"", SLICE_ARG(part));
        r->options.strategies |= 1u << s;
    }
    return FORAGE_OK;
}

static forage_status read_format(replay_call *r, base_error *error) {
    slice name = api_parameter_of(r->c, "format");
    r->records.inflated_limit = INFLATED_LIMIT;
    if (!name.size && r->c->request->content_type &&
        records_format_from_name(slice_of(r->c->request->content_type), &r->records.format))
        r->records.format = RECORDS_AUTO;
    if (!name.size || !records_format_from_name(name, &r->records.format)) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "\"format\": expected ndjson, json, csv or tsv, got \"%.*s\"", SLICE_ARG(name));
}

static forage_status read_parameters(replay_call *r, base_error *error) {
    api_call *c = r->c;
    replay_options *o = &r->options;
    *o = replay_defaults;
    int64_t every = o->every, page = o->page, depth = o->depth, seed = (int64_t)o->seed;
    forage_status status = number_parameter(c, "teach", 0, 1, &o->teach, error);
    if (!status) status = api_parameter_integer(c, "every", 1, REPLAY_MOST_ROWS, &every, error);
    if (!status) status = flag_parameter(c, "new_only", &o->new_only, error);
    if (!status) status = api_parameter_integer(c, "page", 1, FUNNEL_MAX_LIMIT, &page, error);
    if (!status) status = api_parameter_integer(c, "depth", 1, TRIAL_MOST_DEPTH, &depth, error);
    if (!status) status = api_parameter_integer(c, "seed", 0, INT64_MAX, &seed, error);
    if (!status) status = api_parameter_integer(c, "seeds", 1, MOST_SEEDS, &r->seeds, error);
    if (!status) status = api_parameter_integer(c, "block", 1, REPLAY_MOST_ROWS, &r->block, error);
    if (!status) status = number_parameter(c, "budget", 1, 10000, &r->budget, error);
    if (!status) status = read_policies(r, error);
    if (!status) status = read_ranking(r, error);
    if (!status) status = read_strategies(r, error);
    if (!status) status = read_format(r, error);
    o->every = (uint32_t)every;
    o->page = (uint32_t)page;
    o->depth = (uint32_t)depth;
    o->seed = (uint64_t)seed;
    r->action = api_parameter_of(c, "action");
    if (!r->action.size) r->action = SLICE("click");
    return status;
}

/* ---- Policies ---- */

/* By hindsight, the collection's own settings. By played-arm credit the same but for the credit, and with the exploration
 * that it needs. */
static forage_status make_policy(void *self, const contest_policy *which, policy **out, base_error *error) {
    const replay_call *r = self;
    const trial *t = &r->result.trial;
    if (!which->played) return funnel_policy(r->c->entry->funnel, which->rule, r->budget, out, error);
    policy_config config;
    policy_config_default(&config, which->rule, t->n_strategies);
    config.n_levels = t->n_levels;
    config.n_features = t->n_features;
    config.budget = r->budget;
    memcpy(config.depths, t->levels, t->n_levels * sizeof *t->levels);
    for (uint32_t s = 0; s < t->n_strategies; s++) config.prior_reward[s] = retrieve_strategies[s]->prior_reward;
    return policy_create(&config, out, error);
}

/* ---- The answer ---- */

static void write_count(json_writer *w, const char *key, uint64_t value) {
    json_key(w, key);
    json_integer(w, (int64_t)value);
}

static void write_share(json_writer *w, const char *key, double sum, uint64_t n) {
    json_key(w, key);
    if (n) json_float(w, sum / (double)n);
    else json_null(w);
}

static void write_log(json_writer *w, const replay_call *r) {
    write_count(w, "rows", r->log.n);
    write_count(w, "taught", r->result.taught);
    write_count(w, "scored", r->result.scored);
    write_count(w, "malformed", r->log.malformed);
    write_count(w, "unknown_documents", r->result.unknown_documents);
    write_count(w, "unknown_actions", r->result.unknown_actions);
    write_count(w, "out_of_order", r->log.out_of_order);
    write_count(w, "refused", r->result.refused);
    json_key(w, "cut");
    json_bool(w, r->log.cut);
    json_key(w, "problems");
    json_begin_array(w);
    for (size_t i = 0; i < r->log.n_problems; i++) json_text(w, r->log.problems[i]);
    json_end_array(w);
}

typedef struct served {
    double found, shown, gain, inverse, candidates;
    uint64_t n;
} served;

static served sum_scores(const replay_score *scores, size_t n) {
    served sum = {.n = n};
    for (size_t i = 0; i < n; i++) {
        uint32_t rank = scores[i].rank;
        sum.found += scores[i].found;
        sum.shown += rank > 0;
        sum.gain += rank && rank <= NDCG_CUTOFF ? 1 / log2(1 + (double)rank) : 0;
        sum.inverse += rank ? 1 / (double)rank : 0;
        sum.candidates += scores[i].candidates;
    }
    return sum;
}

static void write_served_part(json_writer *w, const served *sum) {
    write_share(w, "recall", sum->found, sum->n);
    write_share(w, "shown", sum->shown, sum->n);
    write_share(w, "ndcg", sum->gain, sum->n);
    write_share(w, "mrr", sum->inverse, sum->n);
    write_share(w, "candidates", sum->candidates, sum->n);
}

static void write_served(json_writer *w, const replay_call *r) {
    const replay_score *scores = r->result.scores;
    served all = sum_scores(scores, r->result.scored);
    uint64_t block = (uint64_t)r->block;
    json_key(w, "served");
    json_begin_object(w);
    write_count(w, "page", r->options.page);
    write_count(w, "revealed", r->result.revealed);
    write_served_part(w, &all);
    json_key(w, "curve");
    json_begin_array(w);
    for (size_t i = 0, end; i < r->result.scored; i = end) {
        for (end = i; end < r->result.scored && scores[end].event / block == scores[i].event / block;) end++;
        served part = sum_scores(scores + i, end - i);
        json_begin_object(w);
        write_count(w, "rows", (scores[i].event / block + 1) * block);
        write_count(w, "scored", part.n);
        write_served_part(w, &part);
        json_end_object(w);
    }
    json_end_array(w);
    json_end_object(w);
}

static forage_status write_tried(json_writer *w, replay_call *r, base_error *error) {
    contest_options options = {.strategies = r->names,
                               .taking_part = r->options.strategies & ((1u << RETRIEVE_STRATEGIES) - 1),
                               .policies = r->policies,
                               .n_policies = r->n_policies,
                               .budget = r->budget,
                               .seeds = (uint32_t)r->seeds,
                               .seed = r->options.seed,
                               .block = (uint64_t)r->block,
                               .make = make_policy,
                               .self = r};
    json_key(w, "tried");
    json_begin_object(w);
    json_key(w, "policy"); /* that serves this collection */
    json_text(w, collection_schema(r->c->entry->collection)->policy);
    forage_status status = contest_write(&r->result.trial, &options, w, error);
    json_end_object(w);
    return status;
}

static forage_status write_answer(replay_call *r, int64_t start, base_error *error) {
    json_writer *w = &r->c->json;
    forage_status status = FORAGE_OK;
    json_begin_object(w);
    write_log(w, r);
    if (r->options.rank && r->result.scored) {
        json_key(w, "ranked");
        status = rank_trial_write(&r->result.ranks, &r->ranking, w, error);
    } else if (r->options.try && r->result.scored) status = write_tried(w, r, error);
    else if (!r->options.try) write_served(w, r);
    json_key(w, "took_ms");
    json_float(w, (double)(clock_monotonic(&os_clock_system) - start) / 1000);
    json_end_object(w);
    return status;
}

/* ---- On its way ---- */

static bool note_progress(void *self, uint64_t done) {
    pthread_mutex_lock(&running_mutex);
    ((running *)self)->done = done;
    pthread_mutex_unlock(&running_mutex);
    return true;
}

static forage_status run_noted(replay_call *r, base_error *error) {
    running own = {.entry = r->c->entry, .rows = r->log.n};
    r->options.progress = note_progress;
    r->options.self = &own;
    pthread_mutex_lock(&running_mutex);
    own.next = all_running;
    all_running = &own;
    pthread_mutex_unlock(&running_mutex);
    forage_status status = replay_run(r->c->entry->funnel, &r->log, &r->options, &r->result, error);
    pthread_mutex_lock(&running_mutex);
    running **at = &all_running;
    while (*at != &own) at = &(*at)->next;
    *at = own.next;
    pthread_mutex_unlock(&running_mutex);
    return status;
}

forage_status api_get_replay(api_call *c, base_error *error) {
    uint64_t n = 0, done = 0, rows = 0;
    (void)error;
    pthread_mutex_lock(&running_mutex);
    for (const running *r = all_running; r; r = r->next) {
        if (r->entry != c->entry) continue;
        n++;
        done += r->done;
        rows += r->rows;
    }
    pthread_mutex_unlock(&running_mutex);
    json_begin_object(&c->json);
    write_count(&c->json, "running", n);
    write_count(&c->json, "done", done);
    write_count(&c->json, "rows", rows);
    json_end_object(&c->json);
    return FORAGE_OK;
}

forage_status api_post_replay(api_call *c, base_error *error) {
    int64_t start = clock_monotonic(&os_clock_system), now = clock_wall(&os_clock_system);
    replay_call r = {.c = c, .budget = SCHEMA_DEFAULT_CANDIDATES, .seeds = 1, .block = 10000};
    const schema *s = collection_schema(c->entry->collection);
    if (s->budget_candidates > 0) r.budget = s->budget_candidates;
    forage_status status = read_parameters(&r, error);
    if (status) return status;
    records_reader *records = records_open_memory((slice){c->request->body, c->request->body_size}, &r.records);
    status = replay_log_read(records, r.action, now, &r.log, error);
    records_close(records);
    if (status) return status;
    status = run_noted(&r, error);
    if (!status) status = write_answer(&r, start, error);
    replay_result_release(&r.result);
    replay_log_release(&r.log);
    return status;
}
