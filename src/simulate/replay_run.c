#include "simulate/replay.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LESSON 256         /* rows taught in one transaction */
#define TIMEOUT_MS 60000   /* a busy machine changes no result */
#define PROGRESS_EVERY 256 /* rows */

const replay_options replay_defaults = {
    .teach = .5, .every = 1, .page = 10, .strategies = UINT32_MAX, .depth = 128, .seed = 1};

typedef struct replaying {
    funnel *f;
    replay_log *log;
    const replay_options *options;
    replay_result *result;
    const replay_row *lesson[LESSON]; /* rows to be taught, in order */
    size_t n_lesson;
    uint64_t *pairs;                  /* hashes of (user, document), open addressing; 0: free */
    size_t pair_mask, n_pairs;
    size_t from;                      /* the first row that is not of the teaching share */
    uint32_t depth;                   /* of the lists of a trial */
    arena memory;                     /* of one row, or of one lesson */
} replaying;

void replay_result_release(replay_result *r) {
    free(r->scores);
    trial_release(&r->trial);
    rank_trial_release(&r->ranks);
    *r = (replay_result){0};
}

/* ---- Pairs ---- */

static void grow_pairs(replaying *r) {
    uint64_t *old = r->pairs;
    size_t slots = old ? r->pair_mask + 1 : 0, wanted = slots ? 2 * slots : 1 << 12;
    r->pairs = mem_zalloc(wanted, sizeof *r->pairs);
    r->pair_mask = wanted - 1;
    for (size_t i = 0; i < slots; i++) {
        if (!old[i]) continue;
        size_t at = (old[i] >> 1) & r->pair_mask; /* as is_new looks for it */
        while (r->pairs[at]) at = (at + 1) & r->pair_mask;
        r->pairs[at] = old[i];
    }
    free(old);
}

/* Whether the row's (user, document) is new; it is not any more. */
static bool is_new(replaying *r, const replay_row *row) {
    uint64_t hash = hash64(row->document.data, row->document.size, hash64(row->user.data, row->user.size, 1)) | 1;
    if (!r->pairs || 2 * r->n_pairs > r->pair_mask) grow_pairs(r);
    size_t at = (hash >> 1) & r->pair_mask;
    while (r->pairs[at] && r->pairs[at] != hash) at = (at + 1) & r->pair_mask;
    if (r->pairs[at]) return false;
    r->pairs[at] = hash;
    r->n_pairs++;
    return true;
}

/* ---- Teaching ---- */

static const json_value *context_of(replaying *r, const replay_row *row) {
    json_value *context = NULL;
    if (row->context.size && json_read(&r->memory, row->context, &context, NULL)) return NULL;
    return context;
}

/* Whether the row can be learned from; tells why not. *document: its number. */
static bool usable(replaying *r, store_txn *t, const replay_row *row, uint32_t *document) {
    char why[256];
    float reward;
    if (!collection_number_of(t, row->document, document)) {
        r->result->unknown_documents++;
        snprintf(why, sizeof why, "there is no document \"%.100s\"", arena_slice(&r->memory, row->document).data);
    } else if (!schema_reward(collection_schema(funnel_collection(r->f)), row->action, &reward)) {
        r->result->unknown_actions++;
        snprintf(why, sizeof why, "the action \"%.100s\" has no reward", arena_slice(&r->memory, row->action).data);
    } else {
        return true;
    }
    replay_log_problem(r->log, row->line, why);
    return false;
}

static funnel_engagement engagement_of(replaying *r, const replay_row *row) {
    return (funnel_engagement){.query = row->query, .user = row->user, .session = row->session, .document = row->document,
                               .context = context_of(r, row), .action = row->action, .time = row->time};
}

static forage_status teach(replaying *r, base_error *error) {
    funnel_engagement lesson[LESSON];
    size_t n = 0, taught = 0;
    store_txn *t;
    if (!r->n_lesson) return FORAGE_OK;
    forage_status status = store_read_begin(collection_store(funnel_collection(r->f)), &t, error);
    if (status) return status;
    arena_reset(&r->memory);
    for (size_t i = 0; i < r->n_lesson; i++) {
        uint32_t document;
        if (usable(r, t, r->lesson[i], &document)) lesson[n++] = engagement_of(r, r->lesson[i]);
    }
    store_read_end(t);
    r->n_lesson = 0;
    if (n) status = funnel_teach(r->f, lesson, n, &taught, error);
    if (!status) r->result->taught += taught;
    return status;
}

static forage_status learn_later(replaying *r, const replay_row *row, base_error *error) {
    r->lesson[r->n_lesson++] = row;
    return r->n_lesson == LESSON ? teach(r, error) : FORAGE_OK;
}

/* ---- Scoring ---- */

static funnel_request request_of(replaying *r, const replay_row *row, uint64_t event) {
    funnel_request q;
    funnel_request_default(&q);
    q.query = row->query;
    q.user = row->user;
    q.session = row->session;
    funnel_request_set_context(&q, context_of(r, row));
    q.time = row->time;
    q.limit = r->options->page;
    q.log = !r->options->try;
    q.timeout_ms = TIMEOUT_MS;
    q.seed = hash64(&event, sizeof event, r->options->seed) | 1;
    return q;
}

static void refuse(replaying *r, const replay_row *row, const char *why) {
    r->result->refused++;
    replay_log_problem(r->log, row->line, why);
}

/* Lists as deep as was asked for, and at least as deep as a policy can ask. */
static forage_status try_request(replaying *r, const funnel_request *request, funnel_answer **out, funnel_probe *probe,
                                 base_error *error) {
    forage_status status = funnel_request_check(request, error);
    if (!status) status = funnel_try(r->f, request, r->depth, out, probe, error);
    if (status || probe->levels[probe->n_levels - 1] <= r->depth) return status;
    r->depth = probe->levels[probe->n_levels - 1];
    funnel_answer_release(*out);
    return funnel_try(r->f, request, r->depth, out, probe, error);
}

static void try_row(replaying *r, const replay_row *row, uint64_t event, uint32_t wanted) {
    funnel_request request = request_of(r, row, event);
    funnel_answer *a;
    funnel_probe p;
    base_error why = {0};
    if (try_request(r, &request, &a, &p, &why)) {
        refuse(r, row, why.message);
        return;
    }
    trial_probe probe = {p.n_strategies, p.n_levels, p.n_features, p.levels, p.x, p.allowed, p.cost, p.documents,
                         p.n_documents};
    trial_add(&r->result->trial, &probe, r->depth, r->options->strategies, wanted, event);
    if (event < r->from) r->result->trial.n_lessons++;
    else r->result->scored++;
    funnel_answer_release(a);
}

/* Every strategy's candidates, as the ranker sees them. */
static void rank_row(replaying *r, const replay_row *row, uint64_t event, uint32_t wanted) {
    funnel_request request = request_of(r, row, event);
    funnel_answer *a;
    funnel_rows rows;
    base_error why = {0};
    forage_status status = funnel_request_check(&request, &why);
    if (!status) status = funnel_try_rows(r->f, &request, r->options->depth, &a, &rows, &why);
    if (status) {
        refuse(r, row, why.message);
        return;
    }
    rank_trial *t = &r->result->ranks;
    if (!t->first) rank_trial_init(t, rows.names, rows.n_features);
    if (t->n_features == rows.n_features) rank_trial_add(t, rows.x, rows.rrf, rows.documents, rows.n, wanted, row->time);
    if (event < r->from) t->n_lessons++;
    else r->result->scored++;
    funnel_answer_release(a);
}

static replay_score score_of(funnel_answer *a, uint64_t event, uint32_t wanted) {
    const uint32_t *documents;
    const funnel_hit *hits;
    size_t n = funnel_answer_union(a, &documents), n_hits = funnel_answer_hits(a, &hits);
    replay_score score = {.event = event, .candidates = (uint32_t)n};
    for (size_t i = 0; i < n; i++) score.found |= documents[i] == wanted;
    for (size_t i = 0; i < n_hits && !score.rank; i++)
        if (hits[i].document == wanted) score.rank = (uint32_t)i + 1;
    return score;
}

/* The page showed what was wanted: people choose it there. */
static forage_status reveal(replaying *r, const replay_row *row, slice query_id, base_error *error) {
    feedback_event event = {.query_id = query_id, .action = row->action, .document = row->document, .user = row->user,
                            .session = row->session, .time = row->time};
    funnel_event_result result = {0};
    forage_status status = funnel_record(r->f, &event, 1, &result, error);
    if (status) return status;
    if (result.status) {
        refuse(r, row, result.message);
        return FORAGE_OK;
    }
    r->result->revealed++;
    r->result->taught++;
    return FORAGE_OK;
}

/* *revealed: the row has been learned from. */
static forage_status serve_row(replaying *r, const replay_row *row, uint64_t event, uint32_t wanted, bool *revealed,
                               base_error *error) {
    replay_result *result = r->result;
    funnel_request request = request_of(r, row, event);
    funnel_answer *a;
    base_error why = {0};
    forage_status status = funnel_request_check(&request, &why);
    if (!status) status = funnel_search(r->f, &request, &a, &why);
    if (status) {
        refuse(r, row, why.message);
        return FORAGE_OK;
    }
    replay_score score = score_of(a, event, wanted);
    slice query_id = arena_slice(&r->memory, funnel_answer_query_id(a));
    funnel_answer_release(a);
    result->scores = mem_grow(result->scores, &result->scores_capacity, result->scored + 1, sizeof *result->scores);
    result->scores[result->scored++] = score;
    uint64_t before = result->revealed;
    if (score.rank && query_id.size) status = reveal(r, row, query_id, error);
    *revealed = result->revealed > before;
    return status;
}

static forage_status score(replaying *r, const replay_row *row, uint64_t event, base_error *error) {
    uint32_t wanted;
    bool revealed = false;
    store_txn *t;
    forage_status status = teach(r, error);
    if (!status) status = store_read_begin(collection_store(funnel_collection(r->f)), &t, error);
    if (status) return status;
    arena_reset(&r->memory);
    bool good = usable(r, t, row, &wanted);
    store_read_end(t);
    if (!good) return FORAGE_OK;
    if (r->options->rank) rank_row(r, row, event, wanted);
    else if (r->options->try) try_row(r, row, event, wanted);
    else status = serve_row(r, row, event, wanted, &revealed, error);
    return status || revealed ? status : learn_later(r, row, error);
}

/* ---- The replay ---- */

static forage_status replay_row_at(replaying *r, size_t i, base_error *error) {
    const replay_row *row = &r->log->rows[i];
    bool fresh = row->query.size ? is_new(r, row) : false, lesson = r->options->try && r->options->warm;
    size_t away = i < r->from ? r->from - i : i - r->from;
    bool scores = (i >= r->from || lesson) && away % r->options->every == 0 && (fresh || !r->options->new_only);
    return scores ? score(r, row, i, error) : learn_later(r, row, error);
}

forage_status replay_run(funnel *f, replay_log *log, const replay_options *options, replay_result *out,
                         base_error *error) {
    replay_result result = {0};
    replaying r = {.f = f, .log = log, .options = options, .result = &result, .depth = options->depth};
    r.from = (size_t)((double)log->n * options->teach);
    forage_status status = FORAGE_OK;
    arena_init(&r.memory, 0);
    trial_init(&result.trial);
    for (size_t i = 0; !status && i < log->n; i++) {
        status = replay_row_at(&r, i, error);
        if (!status && options->progress && i % PROGRESS_EVERY == 0 && !options->progress(options->self, i))
            status = error_set(error, FORAGE_E_CLOSED, "the replay was ended at row %zu", i + 1);
    }
    if (!status) status = teach(&r, error);
    arena_release(&r.memory);
    free(r.pairs);
    if (status) replay_result_release(&result);
    else *out = result;
    return status;
}
