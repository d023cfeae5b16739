#include "sparse/queryplan.h"

#include "base/hash.h"

#include <math.h>

#define NO_TERM UINT32_MAX
#define LARGEST_WEIGHT 1e6f /* keeps every score finite */

static float sane_weight(float weight) {
    return weight > 0 ? fminf(weight, LARGEST_WEIGHT) : 0;
}

/* Counts N as at least df, whatever the statistics say: idf stays positive. */
static float idf_of(const sparse_snapshot *s, uint64_t df) {
    double n = (double)s->statistics.documents, f = (double)df;
    return (float)log1p((fmax(n - f, 0) + 0.5) / (f + 0.5));
}

/* Equal keys become one term, in the order of their first occurrence. */
static void merge_terms(const sparse_query *query, uint32_t n, arena *a, sparse_plan *plan) {
    size_t slots = 4;
    while (slots < (size_t)n * 2) slots *= 2;
    uint32_t *table = arena_alloc(a, slots * sizeof *table);
    uint32_t *term_of = arena_alloc(a, n * sizeof *term_of);
    for (size_t i = 0; i < slots; i++) table[i] = NO_TERM;
    plan->terms = arena_alloc(a, n * sizeof *plan->terms);
    plan->term_of = term_of;
    for (uint32_t i = 0; i < n; i++) {
        const sparse_query_term *q = &query->terms[i];
        size_t at = hash64(q->key.data, q->key.size, 0) & (slots - 1);
        while (table[at] != NO_TERM && !slice_equal(plan->terms[table[at]].key, q->key)) at = (at + 1) & (slots - 1);
        if (table[at] == NO_TERM) {
            table[at] = plan->n_terms;
            plan->terms[plan->n_terms++] = (sparse_plan_term){.key = q->key};
        }
        sparse_plan_term *t = &plan->terms[term_of[i] = table[at]];
        t->weight = fminf(t->weight + sane_weight(q->weight), LARGEST_WEIGHT);
        t->required |= q->required;
        t->excluded |= q->excluded;
    }
}

static void take_phrases(const sparse_query *query, uint32_t n, sparse_plan *plan) {
    plan->phrases = query->phrases;
    for (size_t i = 0; i < query->n_phrases; i++) {
        const sparse_phrase *p = &query->phrases[i];
        if (p->n == 0 || p->first >= n || p->n > n - p->first) break; /* of terms that are ignored */
        for (uint32_t j = 0; j < p->n; j++) plan->terms[plan->term_of[p->first + j]].required = true;
        plan->n_phrases++;
    }
}

static bool is_weight(const sparse_plan_term *t) { return t->key.size > 0 && t->key.data[0] == SPARSE_SPACE_WEIGHT; }

static void look_up(sparse_plan *plan, arena *a) {
    const sparse_snapshot *s = plan->snapshot;
    sparse_term *found = arena_zalloc(a, (size_t)s->n_parts * plan->n_terms, sizeof *found);
    plan->found = found;
    for (uint32_t p = 0; p < s->n_parts; p++) {
        for (uint32_t t = 0; t < plan->n_terms; t++, found++) {
            if (sparse_segment_term(s->parts[p].segment, plan->terms[t].key, found)) plan->terms[t].df += found->df;
            else found->n_blocks = 0;
        }
    }
    for (uint32_t t = 0; t < plan->n_terms; t++) {
        if (plan->terms[t].excluded) plan->terms[t].weight = 0;
        plan->terms[t].idf = is_weight(&plan->terms[t]) ? 1 : idf_of(s, plan->terms[t].df);
        plan->n_required += plan->terms[t].required;
        plan->n_excluded += plan->terms[t].excluded;
    }
}

static double full_weight(const sparse_plan *plan, const sparse_plan_term *t) {
    double weight = (double)t->weight * (double)t->idf;
    return is_weight(t) ? weight : weight * ((double)plan->snapshot->config->k1 + 1);
}

/* Scales so that Σ (255 · units + 1) <= INT32_MAX even when every rounding goes up; words that no document has take no
 * part of the range. */
static void make_units(sparse_plan *plan, float text_weight) {
    double sum = 0;
    for (uint32_t t = 0; t < plan->n_terms; t++) {
        if (plan->terms[t].df) sum += full_weight(plan, &plan->terms[t]);
    }
    if (!(sum > 0)) return;
    double scale = ((double)INT32_MAX - 256.0 * plan->n_terms) / (255.0 * sum);
    for (uint32_t t = 0; t < plan->n_terms; t++) {
        if (plan->terms[t].df) plan->terms[t].units = (uint32_t)lround(full_weight(plan, &plan->terms[t]) * scale);
    }
    plan->unit = (double)sane_weight(text_weight) / (255.0 * scale);
}

void sparse_plan_make(const sparse_snapshot *s, const sparse_query *query, arena *a, sparse_plan *out) {
    size_t n = query->n_terms < SPARSE_MAX_QUERY_TERMS ? query->n_terms : SPARSE_MAX_QUERY_TERMS;
    *out = (sparse_plan){.snapshot = s, .prior_weight = (double)sane_weight(query->prior_weight)};
    merge_terms(query, (uint32_t)n, a, out);
    take_phrases(query, (uint32_t)n, out);
    look_up(out, a);
    make_units(out, query->text_weight);
}

float sparse_plan_score(const sparse_plan *plan, uint32_t sum, float prior) {
    return (float)(plan->unit * (double)sum + plan->prior_weight * (double)prior);
}

uint64_t sparse_document_frequency(const sparse_snapshot *s, slice key) {
    uint64_t df = 0;
    for (uint32_t p = 0; p < s->n_parts; p++) {
        sparse_term t;
        if (sparse_segment_term(s->parts[p].segment, key, &t)) df += t.df;
    }
    return df;
}

float sparse_idf_of(const sparse_snapshot *s, uint64_t df) { return idf_of(s, df); }

float sparse_idf(const sparse_snapshot *s, slice key) {
    return idf_of(s, sparse_document_frequency(s, key));
}
