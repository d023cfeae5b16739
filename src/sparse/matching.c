/* Sets of matching documents: unions by bitmaps; intersections from the rarest term's list, whose places are looked up in the
 * others by skipping from block to block, or by bitmaps where even the rarest term is frequent. */
#include "sparse/search.h"

#include "sparse/phrases.h"
#include "sparse/placeset.h"
#include "sparse/queryplan.h"

#include <stdlib.h>
#include <string.h>

enum { LIST_SHARE = 16 }; /* a term in fewer than 1/16 of the places is handled as a list */

/* The terms that decide in one part. */
typedef struct part_terms {
    const sparse_term **terms;
    uint32_t n;
    bool all; /* each of them is required */
} part_terms;

static int by_frequency(const void *left, const void *right) {
    const sparse_term *a = *(const sparse_term *const *)left, *b = *(const sparse_term *const *)right;
    return (a->df > b->df) - (a->df < b->df);
}

/* Required terms alone decide where there are any, the rarest first. n is 0 when nothing can match. */
static void choose_terms(const sparse_plan *plan, uint32_t part, part_terms *out) {
    out->n = 0;
    out->all = plan->n_required > 0;
    for (uint32_t t = 0; t < plan->n_terms; t++) {
        const sparse_term *found = sparse_plan_found(plan, part, t);
        if (out->all ? !plan->terms[t].required : plan->terms[t].excluded) continue;
        if (found->n_blocks) {
            out->terms[out->n++] = found;
        } else if (out->all) {
            out->n = 0;
            return;
        }
    }
    if (out->all) qsort(out->terms, out->n, sizeof *out->terms, by_frequency);
}

/* ---- lists ---- */

/* The term's places that are eligible. */
static uint32_t list_term(const sparse_term *t, const uint64_t *eligible, uint32_t count, uint32_t *list) {
    uint32_t places[SPARSE_BLOCK + 8], n = 0;
    for (uint32_t b = 0; b < t->n_blocks; b++) {
        uint32_t size = sparse_block_places(t, b, places);
        for (uint32_t i = 0; i < size; i++) {
            if (places[i] >= count) continue;
            list[n] = places[i];
            n += !eligible || placeset_has(eligible, places[i]);
        }
    }
    return n;
}

/* The first block from `b` on whose last place is >= `place`, by doubling steps: it is mostly near. */
static uint32_t skip_to(const sparse_block *blocks, uint32_t n_blocks, uint32_t b, uint32_t place) {
    uint32_t step = 1;
    while (b + step < n_blocks && blocks[b + step - 1].last < place) {
        b += step;
        step *= 2;
    }
    uint32_t high = b + step < n_blocks ? b + step : n_blocks;
    while (b < high) {
        uint32_t middle = b + (high - b) / 2;
        if (blocks[middle].last < place) b = middle + 1;
        else high = middle;
    }
    return b;
}

/* The first of ascending places[from … n) that is >= `place`. */
static uint32_t find_place(const uint32_t *places, uint32_t from, uint32_t n, uint32_t place) {
    for (uint32_t i = 0; i < 4 && from < n; i++, from++)
        if (places[from] >= place) return from;
    while (from < n) {
        uint32_t middle = from + (n - from) / 2;
        if (places[middle] < place) from = middle + 1;
        else n = middle;
    }
    return from;
}

/* Those of the list that the term has, too. */
static uint32_t keep_listed(const sparse_term *t, uint32_t *list, uint32_t n) {
    const sparse_block *blocks = sparse_term_blocks(t);
    uint32_t places[SPARSE_BLOCK + 8], kept = 0, b = 0, decoded = UINT32_MAX, size = 0, at = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (blocks[b].last < list[i]) b = skip_to(blocks, t->n_blocks, b, list[i]);
        if (b == t->n_blocks) break;
        if (decoded != b) {
            size = sparse_block_places(t, b, places);
            decoded = b;
            at = 0;
        }
        at = find_place(places, at, size, list[i]);
        if (at < size && places[at] == list[i]) list[kept++] = list[i];
    }
    return kept;
}

/* ---- parts ---- */

/* bits, all zero, become the intersection. Returns how many. */
static uint32_t intersect_lists(const part_terms *p, const uint64_t *eligible, uint32_t count, uint32_t *list,
                                uint64_t *bits) {
    uint32_t n = list_term(p->terms[0], eligible, count, list);
    for (uint32_t t = 1; t < p->n && n > 0; t++) n = keep_listed(p->terms[t], list, n);
    for (uint32_t i = 0; i < n; i++) placeset_add(bits, list[i]);
    return n;
}

/* bits, all zero, become the union or the intersection. `spare` is as large. */
static void combine_bits(const part_terms *p, uint32_t count, uint64_t *spare, uint64_t *bits) {
    size_t words = placeset_words(count);
    for (uint32_t t = 0; t < p->n; t++) {
        if (!p->all || t == 0) {
            placeset_add_term(bits, count, p->terms[t]);
            continue;
        }
        memset(spare, 0, words * sizeof *spare);
        placeset_add_term(spare, count, p->terms[t]);
        words_and(bits, spare, words);
    }
}

/* Takes out what has an excluded term, and what does not have the phrases. */
static void refine(const sparse_plan *plan, uint32_t part, uint32_t count, arena *a, uint64_t *spare, uint64_t *bits) {
    size_t words = placeset_words(count);
    for (uint32_t t = 0; t < plan->n_terms && plan->n_excluded; t++) {
        if (!plan->terms[t].excluded) continue;
        memset(spare, 0, words * sizeof *spare);
        placeset_add_term(spare, count, sparse_plan_found(plan, part, t));
        words_and_not(bits, spare, words);
    }
    if (!plan->n_phrases) return;
    sparse_phrases *phrases = sparse_phrases_open(plan, part, a);
    for (size_t i = 0; i < words; i++) {
        for (uint64_t word = bits[i]; word;) {
            uint32_t place = placeset_take(&word, i);
            if (!sparse_phrases_match(phrases, place)) bits[i] &= ~((uint64_t)1 << place % 64);
        }
    }
}

void sparse_matching(const sparse_eligible *eligible, const sparse_query *query, arena *a, sparse_eligible *out) {
    const sparse_snapshot *s = eligible->snapshot;
    sparse_plan plan;
    sparse_plan_make(s, query, a, &plan);
    uint64_t *spare = arena_alloc(a, placeset_most_words(s) * sizeof *spare);
    part_terms chosen = {.terms = arena_alloc(a, plan.n_terms * sizeof *chosen.terms)};
    sparse_eligible matching = {
        .snapshot = s,
        .bits = arena_alloc(a, s->n_parts * sizeof *matching.bits),
        .counts = arena_alloc(a, s->n_parts * sizeof *matching.counts),
    };
    for (uint32_t p = 0; p < s->n_parts; p++) {
        uint32_t count = sparse_segment_count(s->parts[p].segment);
        uint64_t *bits = arena_zalloc(a, placeset_words(count), sizeof *bits);
        choose_terms(&plan, p, &chosen);
        matching.counts[p] = 0;
        if (chosen.n > 0 && chosen.all && chosen.terms[0]->df < count / LIST_SHARE) {
            uint32_t *list = arena_alloc(a, (size_t)chosen.terms[0]->n_blocks * SPARSE_BLOCK * sizeof *list);
            matching.counts[p] = intersect_lists(&chosen, eligible->bits[p], count, list, bits);
        } else if (chosen.n > 0 && eligible->counts[p] > 0) {
            combine_bits(&chosen, count, spare, bits);
            placeset_keep(bits, eligible->bits[p], count);
            matching.counts[p] = placeset_count(bits, count);
        }
        if (matching.counts[p] > 0 && plan.n_excluded + plan.n_phrases > 0) {
            refine(&plan, p, count, a, spare, bits);
            matching.counts[p] = placeset_count(bits, count);
        }
        matching.bits[p] = bits;
        matching.count += matching.counts[p];
    }
    *out = matching;
}
