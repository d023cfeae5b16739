#include "evaluate/ope_log.h"

#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

/* One read of the log: a first pass counts, so that the second can begin at the limit. */
typedef struct reading {
    const ope_target *target;
    const ope_log_options *options;
    store_txn *txn;
    ope_log *log;
    size_t to_skip; /* impressions that are too old to be judged */
    arena memory;
} reading;

static bool fits(const ope_target *t, const record_impression *r) {
    return r->n_strategies == t->n_strategies && r->n_levels == t->n_levels && r->n_policy_features == t->n_features &&
           memcmp(r->depths, t->depths, t->n_levels * sizeof *t->depths) == 0;
}

/* ---- What the target would do ------------------------------------------------------------------------------------ */

static bool left_to_chance(const record_impression *r) {
    for (uint32_t s = 0; s < r->n_strategies; s++) {
        float drawn = r->strategies[s].probability[r->strategies[s].level];
        if (drawn > 0 && drawn < 1) return true;
    }
    return false;
}

/* The deepest allowed level that is not deeper, else the shallowest. */
static uint32_t nearest_allowed(uint32_t allowed, uint32_t level) {
    uint32_t up_to = allowed & ((2u << level) - 1);
    return up_to ? 31 - (uint32_t)__builtin_clz(up_to) : (uint32_t)__builtin_ctz(allowed);
}

static bool decide(const ope_target *t, const record_impression *r, ope_decision *d) {
    if (t->decide) return t->decide(t->self, r, d->target);
    for (uint32_t s = 0; s < t->n_strategies; s++)
        for (uint32_t l = 0; l < t->n_levels; l++)
            d->target[s][nearest_allowed(r->strategies[s].allowed, l)] += t->plan[s][l];
    return true;
}

/* A page asks its main strategy for at least as many candidates as it shows, whatever was drawn. */
static uint32_t depth_at(const record_impression *r, uint32_t s, uint32_t level) {
    const record_strategy *strategy = &r->strategies[s];
    bool widened = strategy->depth > r->depths[strategy->level];
    return widened && strategy->depth > r->depths[level] ? strategy->depth : r->depths[level];
}

/* The logged half of a decision. False: no sound log has it. */
static bool logged_decision(const record_impression *r, ope_decision *d) {
    *d = (ope_decision){.n_strategies = r->n_strategies, .n_levels = r->n_levels};
    for (uint32_t s = 0; s < r->n_strategies; s++) {
        if (!r->strategies[s].allowed) return false;
        d->level[s] = r->strategies[s].level;
        for (uint32_t l = 0; l < r->n_levels; l++) {
            float p = r->strategies[s].probability[l];
            if (!(p >= 0 && p <= 1)) return false;
            d->logging[s][l] = p;
            d->depth[s][l] = depth_at(r, s, l);
        }
        if (d->logging[s][d->level[s]] <= 0) return false;
    }
    return true;
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static void make_room(ope_log *log, const ope_target *t) {
    size_t S = t->n_strategies, capacity = log->capacity;
    if (log->rows.n < capacity) return;
    capacity = capacity ? 2 * capacity : 1024;
    log->capacity = capacity;
    log->sequence = mem_realloc(log->sequence, capacity * sizeof *log->sequence);
    log->product = mem_realloc(log->product, capacity * sizeof *log->product);
    log->additive = mem_realloc(log->additive, capacity * sizeof *log->additive);
    log->missing = mem_realloc(log->missing, capacity * sizeof *log->missing);
    log->inclusion = mem_realloc(log->inclusion, capacity * sizeof *log->inclusion);
    log->rows.reward = mem_realloc(log->rows.reward, capacity * sizeof *log->rows.reward);
    log->rows.x = mem_realloc(log->rows.x, capacity * S * t->n_features * sizeof *log->rows.x);
    log->rows.level = mem_realloc(log->rows.level, capacity * S);
    log->rows.target = mem_realloc(log->rows.target, capacity * S * t->n_levels * sizeof *log->rows.target);
}

static void add_row(reading *in, uint64_t sequence, const record_impression *r, const ope_decision *d) {
    const ope_target *t = in->target;
    ope_log *log = in->log;
    make_room(log, t);
    size_t row = log->rows.n++, S = t->n_strategies;
    log->sequence[row] = sequence;
    log->product[row] = ope_product_weight(d);
    log->additive[row] = ope_additive_weight(d);
    log->missing[row] = ope_missing_support(d);
    log->inclusion[row] = log->rows.reward[row] = 0;
    log->certain += !left_to_chance(r);
    for (size_t s = 0; s < S; s++) {
        memcpy(log->rows.x + (row * S + s) * t->n_features, r->strategies[s].x, t->n_features * sizeof(float));
        log->rows.level[row * S + s] = (uint8_t)d->level[s];
        memcpy(log->rows.target + (row * S + s) * t->n_levels, d->target[s], t->n_levels * sizeof(float));
    }
}

static void judge(reading *in, uint64_t sequence, const record_impression *r) {
    ope_decision d;
    if (in->to_skip) {
        in->to_skip--;
        return;
    }
    if (r->time < in->options->since || r->time >= in->options->until) return;
    if (logged_decision(r, &d) && decide(in->target, r, &d)) add_row(in, sequence, r, &d);
    else in->log->skipped++;
}

static void teach(reading *in, const record_impression *r, const record_event *e) {
    if (in->target->learn && r->time < in->options->until && (!e || e->time < in->options->until))
        in->target->learn(in->target->self, r, e);
}

static void add_impression(reading *in, uint64_t sequence, slice record) {
    record_impression r;
    if (record_read_impression(record, &in->memory, &r) || !fits(in->target, &r)) {
        if (in->to_skip) in->to_skip--;
        else in->log->skipped++;
        return;
    }
    judge(in, sequence, &r);
    teach(in, &r, NULL);
}

static size_t row_of(const ope_log *log, uint64_t sequence) {
    size_t low = 0, high = log->rows.n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (log->sequence[middle] < sequence) low = middle + 1;
        else high = middle;
    }
    return low < log->rows.n && log->sequence[low] == sequence ? low : SIZE_MAX;
}

/* With all ranks known, by hindsight, the weight is exact; else it goes by those of the strategies that found it. */
static double weight_of(const ope_decision *d, const record_impression *r, const record_event *e) {
    double target, logging;
    if (e->n_ranks == r->n_strategies) {
        ope_inclusion(d, e->ranks, &target, &logging);
        if (logging > 0) return target / logging;
    }
    return ope_inclusion_weight(d, r->hits[e->hit].ranks);
}

/* By what the target would have done when the search was served, whatever it has learned since. */
static void credit_row(reading *in, size_t row, const record_impression *r, const record_event *e) {
    ope_log *log = in->log;
    ope_decision d;
    logged_decision(r, &d);
    for (size_t s = 0; s < d.n_strategies; s++)
        memcpy(d.target[s], log->rows.target + (row * d.n_strategies + s) * d.n_levels, d.n_levels * sizeof(float));
    double weight = weight_of(&d, r, e);
    log->rows.reward[row] += (double)e->credit;
    log->inclusion[row] += (double)e->credit * weight;
    log->inclusion_sum += weight;
    log->inclusion_squares += weight * weight;
    log->inclusion_max = fmax(log->inclusion_max, weight);
    log->n_events++;
}

static void add_event(reading *in, slice record) {
    record_event e;
    record_impression r;
    uint8_t key[8];
    slice joined;
    if (record_read_event(record, &e) || !(e.credit > 0) || !isfinite(e.credit)) return;
    store_be64(key, e.impression);
    if (store_get(in->txn, STORE_LOG, (slice){(const char *)key, 8}, &joined)) return;
    if (record_read_impression(joined, &in->memory, &r) || e.hit >= r.n_hits || !fits(in->target, &r)) return;
    size_t row = row_of(in->log, e.impression);
    if (row != SIZE_MAX) credit_row(in, row, &r, &e);
    teach(in, &r, &e);
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

static forage_status count_impressions(store_txn *t, size_t *out, base_error *error) {
    store_cursor *cursor;
    slice key, value;
    record_kind kind;
    forage_status status = store_cursor_open(t, STORE_LOG, (slice){0}, &cursor, error);
    if (status) return status;
    for (*out = 0; store_cursor_next(cursor, &key, &value);)
        *out += !record_kind_of(value, &kind) && kind == RECORD_IMPRESSION;
    store_cursor_close(cursor);
    return FORAGE_OK;
}

/* `to_pass` impressions are not even taught. */
static forage_status read_records(reading *in, size_t to_pass, base_error *error) {
    store_cursor *cursor;
    slice key, value;
    forage_status status = store_cursor_open(in->txn, STORE_LOG, (slice){0}, &cursor, error);
    if (status) return status;
    while (store_cursor_next(cursor, &key, &value)) {
        record_kind kind;
        if (key.size != 8 || record_kind_of(value, &kind)) continue;
        if (kind == RECORD_IMPRESSION && to_pass) {
            to_pass--;
            continue;
        }
        arena_reset(&in->memory);
        if (kind == RECORD_IMPRESSION) add_impression(in, load_be64(key.data), value);
        else add_event(in, value);
    }
    store_cursor_close(cursor);
    return FORAGE_OK;
}

forage_status ope_log_read(store_txn *t, const ope_target *target, const ope_log_options *options, ope_log *out,
                           base_error *error) {
    ope_log log = {
        .rows = {.n_strategies = target->n_strategies, .n_levels = target->n_levels, .n_features = target->n_features}};
    reading *in = mem_zalloc(1, sizeof *in);
    size_t count = 0, limit = options->limit < OPE_LOG_MOST ? options->limit : OPE_LOG_MOST;
    size_t taught = target->learn ? OPE_LOG_MOST : limit;
    *in = (reading){.target = target, .options = options, .txn = t, .log = &log};
    arena_init(&in->memory, 0);
    forage_status status = count_impressions(t, &count, error);
    if (!status) {
        size_t to_pass = count > taught ? count - taught : 0;
        in->to_skip = count - to_pass > limit ? count - to_pass - limit : 0;
        status = read_records(in, to_pass, error);
    }
    if (!status && !log.rows.n)
        status = error_set(error, FORAGE_E_INVALID, "the log has no impressions to go by%s",
                           log.skipped ? " that this engine made"
                           : count     ? " of that time"
                                       : "");
    arena_release(&in->memory);
    free(in);
    if (status) ope_log_release(&log);
    else *out = log;
    return status;
}

void ope_log_release(ope_log *log) {
    free(log->sequence);
    free(log->product);
    free(log->additive);
    free(log->missing);
    free(log->inclusion);
    free(log->rows.reward);
    free(log->rows.x);
    free(log->rows.level);
    free(log->rows.target);
    *log = (ope_log){0};
}

/* ---- Estimates --------------------------------------------------------------------------------------------------- */

ope_estimate ope_log_logged(const ope_log *log, const ope_options *options) {
    return ope_summarize("logged", log->rows.reward, NULL, NULL, log->rows.n, options);
}

/* Additive weights know three of the kinds; shrinking is for weights that cannot be negative. */
static forage_status estimate_additive(const ope_data *product, const ope_log *log, const ope_options *options,
                                       ope_estimate *out, base_error *error) {
    static const struct {
        ope_kind kind;
        const char *name;
    } kinds[] = {{OPE_IPS, "additive"}, {OPE_SNIPS, "additive-sn"}, {OPE_DR, "additive-dr"}};
    ope_data d = *product;
    d.weight = log->additive;
    for (size_t i = 0; i < 3; i++) {
        forage_status status = ope_estimate_one(&d, kinds[i].kind, options, &out[i], error);
        if (status) return status;
        out[i].name = kinds[i].name;
    }
    return FORAGE_OK;
}

/* Its weights belong to documents engaged with, and so does its effective sample size. */
static ope_estimate estimate_inclusion(const ope_log *log, const ope_options *options) {
    ope_estimate e = ope_summarize("inclusion", log->inclusion, NULL, NULL, log->rows.n, options);
    double events = (double)log->n_events;
    e.effective = log->inclusion_squares > 0 ? log->inclusion_sum * log->inclusion_sum / log->inclusion_squares : 0;
    e.worth = e.effective;
    e.max_weight = log->inclusion_max;
    e.mean_weight = events > 0 ? log->inclusion_sum / events : 0;
    e.n = log->n_events;
    e.missing = 0;
    for (size_t i = 0; i < log->rows.n; i++) e.missing += log->missing[i] / (double)log->rows.n;
    if (e.missing > OPE_MOST_MISSING) e.warnings |= OPE_NO_SUPPORT;
    if (e.effective < OPE_FEWEST_EFFECTIVE) e.warnings |= OPE_FEW_EFFECTIVE;
    return e;
}

forage_status ope_log_estimate(const ope_log *log, const ope_options *options, ope_estimate out[OPE_LOG_ESTIMATES],
                               base_error *error) {
    size_t n;
    ope_model *model = ope_model_fit(&log->rows);
    ope_data d = {log->rows.n,
                  log->rows.reward,
                  log->product,
                  ope_model_predicted(model),
                  ope_model_expected(model),
                  log->missing,
                  model};
    ope_estimate all[OPE_LOG_ESTIMATES];
    forage_status status = ope_estimate_all(&d, options, all, &n, error);
    if (!status) status = estimate_additive(&d, log, options, all + n, error);
    if (!status) {
        all[n + 3] = estimate_inclusion(log, options);
        memcpy(out, all, sizeof all);
    }
    ope_model_destroy(model);
    return status;
}
