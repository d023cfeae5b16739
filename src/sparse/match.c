/* A field's forward tokens fit into 64 bits, one each: every question about order and distance is asked of bit masks that
 * say where in the field each word of the query stands. What takes time is waiting for the tokens, so documents
 * are looked at in batches: all are found, then all tokens are sent for, then they are read. */
#include "sparse/match.h"

#include "sparse/queryplan.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { BATCH = 64 };

_Static_assert(SPARSE_FORWARD < 64, "a token is a bit");

/* The query, made ready. Words are its different terms, the plan's; order is the query as it was asked. */
typedef struct match_query {
    const sparse_snapshot *snapshot;
    sparse_plan plan;
    uint32_t n_columns, fields[SPARSE_MAX_FIELDS];
    float average[SPARSE_MAX_FIELDS]; /* length, by column */
    uint32_t n_order, n_words;
    uint16_t tokens[SPARSE_MATCH_TERMS];    /* by word */
    float weights[SPARSE_MATCH_TERMS];      /* weight · idf, by word */
    float total;                            /* of the weights */
    float log_length[SPARSE_FORWARD + 1];
} match_query;

typedef struct match_row {
    bool found;
    uint32_t part, place;
} match_row;

/* Where each word stands in a field. Bit i: token i. */
typedef struct match_masks {
    uint64_t words[SPARSE_MATCH_TERMS];
    uint64_t any;            /* words that count */
    uint64_t starts, ends;   /* of the field's values, as far as they are seen */
    uint32_t n_tokens, gaps; /* n_tokens: gaps included */
} match_masks;

uint32_t sparse_match_columns(const sparse_config *config, uint32_t fields[SPARSE_MAX_FIELDS]) {
    uint32_t n = 0;
    for (uint32_t f = 0; f < config->n_fields; f++) {
        if (config->fields[f].kind != SPARSE_TEXT) continue;
        if (fields) fields[n] = f;
        n++;
    }
    return n;
}

static void make_query(const sparse_snapshot *s, const sparse_query_term *terms, size_t n_terms, arena *a,
                       match_query *q) {
    sparse_query_term *texts = arena_alloc(a, SPARSE_MATCH_TERMS * sizeof *texts);
    q->snapshot = s;
    q->n_order = 0;
    for (size_t i = 0; i < n_terms && q->n_order < SPARSE_MATCH_TERMS; i++) {
        slice key = terms[i].key;
        if (key.size > 0 && key.data[0] == SPARSE_SPACE_TEXT) texts[q->n_order++] = terms[i];
    }
    const sparse_query query = {.terms = texts, .n_terms = q->n_order, .text_weight = 1};
    sparse_plan_make(s, &query, a, &q->plan);
    q->n_words = q->plan.n_terms;
    q->total = 0;
    for (uint32_t w = 0; w < q->n_words; w++) {
        const sparse_plan_term *t = &q->plan.terms[w];
        q->tokens[w] = sparse_forward_token(t->key);
        q->weights[w] = t->weight * t->idf;
        q->total += q->weights[w];
    }
    for (uint32_t i = 0; i <= SPARSE_FORWARD; i++) q->log_length[i] = log1pf((float)i);
    q->n_columns = sparse_match_columns(s->config, q->fields);
    for (uint32_t c = 0; c < q->n_columns; c++) {
        double length = (double)s->statistics.length[q->fields[c]], having = (double)s->statistics.having[q->fields[c]];
        q->average[c] = length > 0 && having > 0 ? (float)(length / having) : 1.0f;
    }
}

/* --- one field --------------------------------------------------------------------------------------------------- */

static uint64_t positions(const sparse_forward *f, uint16_t token) {
    uint64_t mask = 0;
    for (uint32_t i = 0; i < f->n; i++) mask |= (uint64_t)(f->tokens[i] == token) << i;
    return mask;
}

static void make_masks(const match_query *q, const sparse_forward *f, match_masks *m) {
    uint64_t gaps = positions(f, SPARSE_FORWARD_GAP);
    m->n_tokens = f->n;
    m->gaps = (uint32_t)__builtin_popcountll(gaps);
    m->starts = gaps << 1 | 1;
    m->ends = gaps >> 1;
    if (f->n > 0 && !f->cut) m->ends |= (uint64_t)1 << (f->n - 1);
    m->any = 0;
    for (uint32_t w = 0; w < q->n_words; w++) {
        m->words[w] = positions(f, q->tokens[w]);
        if (q->weights[w] > 0) m->any |= m->words[w];
    }
}

/* The longest run of consecutive query words. runs[i]: where a run of `length` words ends whose last is the query's i-th;
 * a run that is one word longer ends at the next token with the next word. *whole: where all of the query ends. */
static uint32_t longest_run(const match_query *q, const match_masks *m, uint64_t *whole) {
    uint64_t runs[SPARSE_MATCH_TERMS], found = 0;
    uint32_t length = 0;
    for (uint32_t i = 0; i < q->n_order; i++) found |= runs[i] = m->words[q->plan.term_of[i]];
    *whole = 0;
    while (found) {
        length++;
        if (length == q->n_order) *whole = runs[length - 1];
        found = 0;
        for (uint32_t i = q->n_order; i-- > length;)
            found |= runs[i] = runs[i - 1] << 1 & m->words[q->plan.term_of[i]];
    }
    return length;
}

/* The tokens of the smallest stretch that has every word of the beginning: for each end, the latest places before it. */
static uint32_t smallest_stretch(const match_query *q, const match_masks *m) {
    uint32_t smallest = UINT32_MAX;
    for (uint64_t left = m->any; left; left &= left - 1) {
        uint32_t end = (uint32_t)__builtin_ctzll(left), start = end;
        uint64_t before = UINT64_MAX >> (63 - end);
        for (uint32_t w = 0; w < q->n_words; w++) {
            if (!(q->weights[w] > 0) || !m->words[w]) continue;
            uint64_t here = m->words[w] & before;
            uint32_t last = here ? 63 - (uint32_t)__builtin_clzll(here) : UINT32_MAX;
            if (last == UINT32_MAX) start = UINT32_MAX; /* a word that comes only later */
            else if (start != UINT32_MAX && last < start) start = last;
        }
        if (start != UINT32_MAX && end - start + 1 < smallest) smallest = end - start + 1;
    }
    return smallest;
}

static void order_features(const match_query *q, const match_masks *m, sparse_match *out) {
    uint64_t whole;
    uint32_t run = longest_run(q, m, &whole), words = 0;
    whole &= m->starts << (q->n_order - 1); /* from the beginning of a value */
    out->phrase = (float)run / (float)q->n_order;
    out->prefix = whole ? 1 : 0;
    out->exact = whole & m->ends ? 1 : 0;
    for (uint32_t w = 0; w < q->n_words; w++) words += q->weights[w] > 0 && m->words[w];
    if (words >= 2) out->proximity = (float)words / (float)smallest_stretch(q, m);
}

/* frequencies NULL: the forward tokens tell all. `covered` gets a bit for each word in the field. */
static void match_field(const match_query *q, uint32_t column, const match_masks *m, uint32_t length,
                        const uint32_t (*frequencies)[SPARSE_MAX_FIELDS], sparse_match *out, uint64_t *covered) {
    *out = (sparse_match){.length = length <= SPARSE_FORWARD ? q->log_length[length] : log1pf((float)length)};
    const sparse_config *config = q->snapshot->config;
    float norm = config->k1 * (1.0f - config->b + config->b * (float)length / q->average[column]), sum = 0, bm25 = 0;
    for (uint32_t w = 0; w < q->n_words; w++) {
        uint32_t tf = frequencies ? frequencies[w][q->fields[column]] : (uint32_t)__builtin_popcountll(m->words[w]);
        if (tf == 0 || !(q->weights[w] > 0)) continue;
        bm25 += q->weights[w] * (float)tf / ((float)tf + norm);
        sum += q->weights[w];
        out->matched++;
        *covered |= (uint64_t)1 << w;
    }
    if (out->matched == 0) return;
    out->bm25 = bm25 * (config->k1 + 1);
    out->coverage = sum / q->total;
    out->first = 1.0f / (float)(1 + (m->any ? (uint32_t)__builtin_ctzll(m->any) : m->n_tokens));
    if (m->any) order_features(q, m, out);
}

/* --- documents --------------------------------------------------------------------------------------------------- */

/* The exact frequencies of every word that counts in all of the document's fields. */
static void look_up(const match_query *q, const match_row *row, uint32_t (*frequencies)[SPARSE_MAX_FIELDS]) {
    for (uint32_t w = 0; w < q->n_words; w++) {
        const sparse_term *t = sparse_plan_found(&q->plan, row->part, w);
        bool found = q->weights[w] > 0 && t->n_blocks && sparse_term_frequencies(t, row->place, frequencies[w]);
        if (!found) memset(frequencies[w], 0, sizeof frequencies[w]);
    }
}

static float match_document(const match_query *q, const match_row *row, const sparse_forward *forward,
                            uint32_t (*frequencies)[SPARSE_MAX_FIELDS], sparse_match *out) {
    const sparse_segment *segment = q->snapshot->parts[row->part].segment;
    uint64_t covered = 0;
    bool known = false;
    for (uint32_t c = 0; c < q->n_columns; c++) {
        match_masks m;
        make_masks(q, &forward[c], &m);
        if (forward[c].cut && !known) look_up(q, row, frequencies);
        known = known || forward[c].cut;
        uint32_t length = m.n_tokens - m.gaps;
        if (forward[c].cut) length = sparse_segment_length(segment, q->fields[c], row->place);
        match_field(q, c, &m, length, forward[c].cut ? (const void *)frequencies : NULL, &out[c], &covered);
    }
    float sum = 0;
    for (uint32_t w = 0; w < q->n_words; w++) sum += covered >> w & 1 ? q->weights[w] : 0;
    return sum > 0 ? sum / q->total : 0;
}

static void find_rows(const match_query *q, const uint32_t *documents, size_t n, match_row *rows) {
    for (uint32_t p = 0; p < q->snapshot->n_parts; p++)
        for (size_t i = 0; i < n; i++) sparse_segment_find_soon(q->snapshot->parts[p].segment, documents[i]);
    for (size_t i = 0; i < n; i++) {
        rows[i].found = sparse_snapshot_find(q->snapshot, documents[i], &rows[i].part, &rows[i].place);
        const sparse_segment *s = rows[i].found ? q->snapshot->parts[rows[i].part].segment : NULL;
        for (uint32_t c = 0; s && c < q->n_columns; c++) sparse_segment_forward_soon(s, q->fields[c], rows[i].place);
    }
}

static void fetch_tokens(const match_query *q, const match_row *rows, size_t n, sparse_forward *forward) {
    for (size_t i = 0; i < n; i++) {
        const sparse_segment *s = rows[i].found ? q->snapshot->parts[rows[i].part].segment : NULL;
        for (uint32_t c = 0; s && c < q->n_columns; c++) {
            sparse_forward *f = &forward[i * q->n_columns + c];
            sparse_segment_forward(s, q->fields[c], rows[i].place, f);
            if (f->n > 0) __builtin_prefetch(f->tokens);
            if (f->n > 0) __builtin_prefetch(f->tokens + f->n - 1);
        }
    }
}

void sparse_match_fields(const sparse_snapshot *s, const sparse_query_term *terms, size_t n_terms,
                         const uint32_t *documents, size_t n, arena *a, sparse_match *out, float *coverage) {
    match_query *q = arena_alloc(a, sizeof *q);
    make_query(s, terms, n_terms, a, q);
    match_row *rows = arena_alloc(a, BATCH * sizeof *rows);
    sparse_forward *forward = arena_alloc(a, BATCH * (size_t)q->n_columns * sizeof *forward);
    uint32_t(*frequencies)[SPARSE_MAX_FIELDS] = arena_alloc(a, q->n_words * sizeof *frequencies);
    for (size_t from = 0; from < n; from += BATCH) {
        size_t batch = n - from < BATCH ? n - from : BATCH;
        find_rows(q, documents + from, batch, rows);
        fetch_tokens(q, rows, batch, forward);
        for (size_t i = 0; i < batch; i++) {
            sparse_match *row = out + (from + i) * q->n_columns;
            float covered = 0;
            if (rows[i].found) covered = match_document(q, &rows[i], forward + i * q->n_columns, frequencies, row);
            else memset(row, 0, q->n_columns * sizeof *row);
            if (coverage) coverage[from + i] = covered;
        }
    }
}
