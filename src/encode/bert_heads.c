/* What is made of the last layer's states: sentence vectors, sparse weights, scores of pairs. */
#include "encode/bert_batch.h"
#include "encode/vector_cache.h"
#include "os/clock.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static forage_status not_finite(base_error *error) {
    return error_set(error, FORAGE_E_CORRUPT, "the model's answer is no finite number: its weights are damaged");
}

/* ---- Sentence vectors ---- */

/* The mean of the states, at unit length; false when it has none. */
static bool pool(const float *states, size_t rows, size_t d, float *out) {
    double squares = 0;
    memcpy(out, states, d * sizeof *out);
    for (size_t r = 1; r < rows; r++)
        for (size_t i = 0; i < d; i++) out[i] += states[r * d + i];
    for (size_t i = 0; i < d; i++) squares += (double)out[i] * out[i];
    if (!isfinite(squares)) return false;
    const float scale = squares > 0 ? (float)(1 / sqrt(squares)) : 0;
    for (size_t i = 0; i < d; i++) out[i] *= scale;
    return true;
}

typedef struct pooling_job {
    const bert_config *config;
    float *out;
} pooling_job;

static forage_status pool_batch(void *self, bert_scratch *s, const wordpiece_tokens *sequences, const size_t *places, size_t n,
                                base_error *error) {
    const pooling_job *job = self;
    const size_t d = job->config->dimensions;
    const float *states = s->x;
    for (size_t i = 0; i < n; i++) {
        const size_t rows = job->config->pooling == BERT_POOL_MEAN ? sequences[i].n : 1;
        if (!pool(states, rows, d, job->out + places[i] * d)) return not_finite(error);
        states += rows * d;
    }
    return FORAGE_OK;
}

forage_status bert_encode(bert_model *m, encode_side side, const slice *texts, size_t n, int64_t deadline, float *out,
                          base_error *error) {
    assert(m->head == BERT_ENCODER);
    pooling_job job = {&m->config, out};
    if (n) memset(out, 0, n * m->config.dimensions * sizeof *out);
    return bert_batch_run(m, side, texts, n, deadline, pool_batch, &job, error);
}

/* ---- As an encoder ---- */

typedef struct bert_encoder {
    encoder base;
    bert_model *model;
} bert_encoder;

static forage_status encode(encoder *e, encode_side side, const slice *texts, size_t n, int64_t deadline, float *out,
                            base_error *error) {
    return bert_encode(((bert_encoder *)e)->model, side, texts, n, deadline, out, error);
}

static void destroy(encoder *e) {
    bert_model_close(((bert_encoder *)e)->model);
    free(e);
}

static const encoder_class bert_class = {"bert", encode, destroy};

forage_status bert_encoder_open(const char *folder, const bert_options *options, encoder **out, base_error *error) {
    bert_options o = options ? *options : (bert_options){0};
    bert_model *m;
    o.head = BERT_ENCODER;
    forage_status status = bert_model_open(folder, &o, &m, error);
    if (status) return status;
    bert_encoder *e = mem_zalloc(1, sizeof *e);
    e->base = (encoder){&bert_class, m->config.dimensions, m->version};
    e->model = m;
    *out = o.cached_queries ? vector_cached_encoder(&e->base, o.cached_queries) : &e->base;
    return FORAGE_OK;
}

/* ---- Learned sparse weights ---- */

enum { COLUMNS = 1024 }; /* of the vocabulary at once: a batch's logits stay in the cache */

typedef struct sparse_job {
    bert_model *m;
    uint32_t most;
    float least;
    bert_weights *out; /* lists of their own until all are there */
} sparse_job;

/* best: n × vocabulary, the largest logit of each token of the vocabulary over the tokens of the sequence. */
static void decode(const bert_model *m, bert_scratch *s, const wordpiece_tokens *sequences, size_t n, size_t rows) {
    const uint32_t v = m->config.vocabulary;
    s->best = mem_grow(s->best, &s->best_capacity, n * v, sizeof *s->best);
    s->inner = mem_grow(s->inner, &s->inner_capacity, rows * COLUMNS, sizeof *s->inner);
    memset(s->best, 0, n * v * sizeof *s->best); /* relu: never below 0 */
    for (uint32_t from = 0; from < v; from += COLUMNS) {
        const uint32_t count = v - from < COLUMNS ? v - from : COLUMNS;
        const float *logits = s->inner;
        bert_linear_part(&m->decoder, m->ops, &s->room, s->y, rows, from, count, s->inner);
        for (size_t i = 0; i < n; i++) {
            m->ops->max_rows(logits, sequences[i].n, count, s->best + i * v + from);
            logits += (size_t)sequences[i].n * count;
        }
    }
}

static int heaviest_first(const void *x, const void *y) {
    const bert_weight *a = x, *b = y;
    if (a->weight != b->weight) return a->weight < b->weight ? 1 : -1;
    return (a->token > b->token) - (a->token < b->token);
}

static forage_status pick(const sparse_job *job, const float *best, bert_weights *out, base_error *error) {
    const bert_model *m = job->m;
    const uint32_t words = wordpiece_size(m->words);
    const float least = expm1f(job->least > 0 ? job->least : 0);
    bert_weight *list = NULL;
    size_t n = 0, capacity = 0;
    for (uint32_t token = 0; token < words; token++) {
        if (!(best[token] > least) || wordpiece_is_special(m->words, token)) continue;
        if (!isfinite(best[token])) {
            free(list);
            return not_finite(error);
        }
        list = mem_grow(list, &capacity, n + 1, sizeof *list);
        list[n++] = (bert_weight){token, log1pf(best[token])};
    }
    if (n) qsort(list, n, sizeof *list, heaviest_first);
    *out = (bert_weights){list, n > job->most ? job->most : (uint32_t)n};
    return FORAGE_OK;
}

static forage_status sparse_batch(void *self, bert_scratch *s, const wordpiece_tokens *sequences, const size_t *places, size_t n,
                                  base_error *error) {
    const sparse_job *job = self;
    size_t rows = 0;
    forage_status status = FORAGE_OK;
    for (size_t i = 0; i < n; i++) rows += sequences[i].n;
    bert_transform(job->m, s, s->x, rows);
    /* A maximum passes over what is no number, so it is looked for before. */
    for (size_t i = 0; i < rows * job->m->config.dimensions; i++)
        if (!isfinite(s->y[i])) return not_finite(error);
    decode(job->m, s, sequences, n, rows);
    for (size_t i = 0; i < n && !status; i++)
        status = pick(job, s->best + i * job->m->config.vocabulary, &job->out[places[i]], error);
    return status;
}

forage_status bert_sparse_encode(bert_model *m, encode_side side, const slice *texts, size_t n, uint32_t most, float least,
                                 int64_t deadline, arena *a, bert_weights *out, base_error *error) {
    assert(m->head == BERT_SPARSE);
    sparse_job job = {m, most, least, mem_zalloc(n + 1, sizeof *job.out)};
    forage_status status = bert_batch_run(m, side, texts, n, deadline, sparse_batch, &job, error);
    for (size_t i = 0; i < n; i++) {
        const bert_weights *found = &job.out[i];
        if (!status) {
            bert_weight *list = arena_alloc(a, found->n * sizeof *list);
            if (found->n) memcpy(list, found->list, found->n * sizeof *list);
            out[i] = (bert_weights){list, found->n};
        }
        free((void *)(uintptr_t)found->list);
    }
    free(job.out);
    return status;
}

static int by_token(const void *x, const void *y) {
    const bert_weight *a = x, *b = y;
    return (a->token > b->token) - (a->token < b->token);
}

bert_weights bert_sparse_tokens(bert_model *m, slice text, uint32_t most, arena *a) {
    wordpiece_tokens own = wordpiece_encode(m->words, text, NULL, m->config.most_tokens, a);
    bert_weight *list = arena_alloc(a, own.n * sizeof *list);
    uint32_t n = 0, kept = 0;
    for (uint32_t i = 0; i < own.n; i++)
        if (!wordpiece_is_special(m->words, own.ids[i])) list[n++] = (bert_weight){own.ids[i], 1};
    if (n) qsort(list, n, sizeof *list, by_token);
    for (uint32_t i = 0; i < n; i++) {
        if (kept && list[kept - 1].token == list[i].token) list[kept - 1].weight += 1;
        else list[kept++] = list[i];
    }
    if (kept) qsort(list, kept, sizeof *list, heaviest_first);
    return (bert_weights){list, kept < most ? kept : most};
}

/* ---- Scores of pairs ---- */

enum { FIRST_TOKENS = 64, MOST_PAIRS = 64 }; /* the first batch is small, so that a short time still scores something */

static forage_status score_batch(bert_model *m, bert_scratch *s, const wordpiece_tokens *sequences, size_t n, float *scores,
                                 base_error *error) {
    float labels[2 * MOST_PAIRS];
    bert_forward(m, s, sequences, n, true);
    bert_transform(m, s, s->x, n);
    bert_linear_run(&m->decoder, m->ops, &s->room, s->y, n, labels);
    for (size_t i = 0; i < n; i++) {
        scores[i] = m->labels == 2 ? labels[2 * i + 1] - labels[2 * i] : labels[i];
        if (!isfinite(scores[i])) return not_finite(error);
    }
    return FORAGE_OK;
}

forage_status bert_score_pairs(bert_model *m, slice query, const slice *texts, size_t n, int64_t deadline, float *scores,
                               size_t *scored, base_error *error) {
    assert(m->head == BERT_PAIRS);
    bert_scratch *s = bert_scratch_take(m);
    wordpiece_tokens sequences[MOST_PAIRS];
    forage_status status = FORAGE_OK;
    size_t done = 0, limit = FIRST_TOKENS;
    while (done < n && !status) {
        if (deadline != INT64_MAX && clock_monotonic(&os_clock_system) >= deadline) {
            status = error_set(error, FORAGE_E_TIMEOUT, "scoring pairs: the deadline passed after %zu of %zu", done, n);
            break;
        }
        size_t held = 0, tokens = 0;
        arena_reset(&s->tokens);
        while (done + held < n && held < MOST_PAIRS && tokens < limit) {
            sequences[held] = wordpiece_encode(m->words, query, &texts[done + held], m->config.most_tokens, &s->tokens);
            tokens += sequences[held++].n;
        }
        status = score_batch(m, s, sequences, held, scores + done, error);
        if (!status) done += held;
        limit = limit * 2 < BERT_BATCH_TOKENS ? limit * 2 : BERT_BATCH_TOKENS;
    }
    bert_scratch_give(m, s);
    if (scored) *scored = done;
    return status;
}
