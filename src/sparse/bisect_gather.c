/* Documents from postings, and what an order of them costs. */
#include "sparse/bisect.h"

#include "base/memory.h"
#include "sparse/segment_pack.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- gathering ---------------------------------------------------------------------------------------------------- */

/* Terms are counted by how frequent they are, in eight classes to a doubling, so that those to leave out can be chosen
 * before it is known which they are. */
enum { STEPS = 8, CLASSES = 32 * STEPS };

typedef enum pass { NOT_BEGUN, COUNTING, COUNTING_AGAIN, FILLING, DONE, REFUSED } pass;

struct bisect_gather {
    uint32_t n, min_df, max_df;
    size_t memory_limit;
    pass pass;
    uint32_t cut;     /* classes from here on are left out */
    uint32_t df;      /* of the term that is coming in */
    uint32_t *places; /* its first max_df */
    struct {
        uint64_t postings;
        uint32_t terms;
    } classes[CLASSES];
    uint64_t *starts; /* while counting: [d + 1] is the size of document d; while filling: where its next term goes */
    uint32_t *terms, n_terms;
};

static uint32_t class_of(uint32_t df) {
    unsigned doubling = 31u - (unsigned)__builtin_clz(df);
    return doubling * STEPS + (uint32_t)(((uint64_t)df * STEPS >> doubling) - STEPS);
}

bisect_gather *bisect_gather_create(uint32_t n, const bisect_options *options) {
    bisect_gather *g = mem_zalloc(1, sizeof *g);
    g->n = n;
    g->min_df = options->min_df > 2 ? options->min_df : 2;
    g->max_df = n / 2;
    g->memory_limit = options->memory_limit;
    g->cut = CLASSES;
    if (g->memory_limit && bisect_memory(n, 0, 0) > g->memory_limit) {
        g->pass = REFUSED;
        return g;
    }
    g->places = mem_alloc((size_t)g->max_df * sizeof *g->places);
    g->starts = mem_zalloc((size_t)n + 1, sizeof *g->starts);
    return g;
}

void bisect_gather_destroy(bisect_gather *g) {
    if (!g) return;
    free(g->places);
    free(g->starts);
    free(g->terms);
    free(g);
}

static uint64_t all_below(const bisect_gather *g, uint32_t cut, uint32_t *n_terms) {
    uint64_t postings = 0;
    *n_terms = 0;
    for (uint32_t c = 0; c < cut; c++) {
        postings += g->classes[c].postings;
        *n_terms += g->classes[c].terms;
    }
    return postings;
}

static bool fits(const bisect_gather *g, uint32_t cut) {
    uint32_t n_terms;
    uint64_t postings = all_below(g, cut, &n_terms);
    return !g->memory_limit || bisect_memory(g->n, postings, n_terms) <= g->memory_limit;
}

static void begin_filling(bisect_gather *g) {
    uint64_t sum = 0;
    for (uint32_t d = 1; d <= g->n; d++) {
        uint64_t size = g->starts[d];
        g->starts[d] = sum;
        sum += size;
    }
    g->terms = mem_alloc(sum * sizeof *g->terms);
}

bool bisect_gather_pass(bisect_gather *g) {
    switch (g->pass) {
    case NOT_BEGUN: g->pass = COUNTING; return true;
    case COUNTING:
        if (!fits(g, g->cut)) {
            while (g->cut > 0 && !fits(g, g->cut)) g->cut--;
            uint32_t n_terms;
            bool any = all_below(g, g->cut, &n_terms) > 0;
            g->pass = any ? COUNTING_AGAIN : REFUSED;
            memset(g->starts, 0, ((size_t)g->n + 1) * sizeof *g->starts);
            return any;
        } /* fall through */
    case COUNTING_AGAIN:
        begin_filling(g);
        g->pass = FILLING;
        return true;
    case FILLING:
        free(g->places);
        g->places = NULL;
        g->pass = DONE; /* fall through */
    case DONE:
    case REFUSED: break;
    }
    return false;
}

void bisect_gather_places(bisect_gather *g, const uint32_t *places, size_t count) {
    assert(g->pass == COUNTING || g->pass == COUNTING_AGAIN || g->pass == FILLING);
    if (g->df < g->max_df) {
        size_t room = g->max_df - g->df;
        memcpy(g->places + g->df, places, (count < room ? count : room) * sizeof *places);
    }
    g->df += (uint32_t)count;
    assert(g->df <= g->n);
}

void bisect_gather_end(bisect_gather *g) {
    const uint32_t df = g->df;
    g->df = 0;
    if (df < g->min_df || df > g->max_df) return;
    uint32_t class = class_of(df);
    if (g->pass == COUNTING) {
        g->classes[class].postings += df;
        g->classes[class].terms++;
    }
    if (class >= g->cut) return;
    if (g->pass == FILLING) {
        for (uint32_t i = 0; i < df; i++) g->terms[g->starts[g->places[i] + 1]++] = g->n_terms;
        g->n_terms++;
    } else {
        for (uint32_t i = 0; i < df; i++) g->starts[g->places[i] + 1]++;
    }
}

bool bisect_gather_documents(const bisect_gather *g, bisect_documents *out) {
    assert(g->pass == DONE || g->pass == REFUSED);
    if (g->pass == REFUSED) return false;
    *out = (bisect_documents){.n = g->n, .n_terms = g->n_terms, .starts = g->starts, .terms = g->terms};
    return true;
}

/* --- cost --------------------------------------------------------------------------------------------------------- */

/* Places by term, ascending; starts[t] … starts[t + 1]. */
static uint32_t *invert(const bisect_documents *d, const uint32_t *order, uint64_t *starts) {
    uint32_t *places = mem_alloc(d->starts[d->n] * sizeof *places);
    for (uint64_t i = 0; i < d->starts[d->n]; i++) starts[d->terms[i] + 1]++;
    uint64_t sum = 0;
    for (uint32_t t = 1; t <= d->n_terms; t++) {
        uint64_t df = starts[t];
        starts[t] = sum;
        sum += df;
    }
    for (uint32_t place = 0; place < d->n; place++) {
        uint32_t document = order ? order[place] : place;
        for (uint64_t j = d->starts[document]; j < d->starts[document + 1]; j++)
            places[starts[d->terms[j] + 1]++] = place;
    }
    return places;
}

static void add_block(bisect_cost *cost, const uint32_t *places, uint32_t n, uint32_t base) {
    enum { EXCEPTION = 8 };
    unsigned most = segment_pack_bits(places, n, base);
    uint32_t need[33] = {0}, exceptions = 0; /* need[b]: gaps of b bits */
    for (uint32_t i = 0; i < n; i++) {
        uint32_t gap = places[i] - base;
        need[gap ? 32 - __builtin_clz(gap) : 0]++;
        cost->log_gap += log2(gap + 1.0);
        base = places[i] + 1;
    }
    uint32_t best = n * most;
    for (unsigned bits = most; bits-- > 0;) {
        exceptions += need[bits + 1];
        uint32_t all = n * bits + exceptions * (EXCEPTION + most - bits);
        if (all < best) best = all;
    }
    cost->packed += n * most;
    cost->patched += best;
}

bisect_cost bisect_cost_of(const bisect_documents *d, const uint32_t *order) {
    uint64_t *starts = mem_zalloc((size_t)d->n_terms + 1, sizeof *starts), postings = d->starts[d->n];
    uint32_t *places = invert(d, order, starts);
    bisect_cost cost = {0};
    for (uint32_t t = 0; t < d->n_terms; t++) {
        uint32_t base = 0;
        for (uint64_t i = starts[t]; i < starts[t + 1]; i += SPARSE_BLOCK) {
            uint64_t left = starts[t + 1] - i;
            uint32_t n = left < SPARSE_BLOCK ? (uint32_t)left : SPARSE_BLOCK;
            add_block(&cost, places + i, n, base);
            base = places[i + n - 1] + 1;
        }
    }
    if (postings > 0) {
        cost.log_gap /= (double)postings;
        cost.packed /= (double)postings;
        cost.patched /= (double)postings;
    }
    free(places);
    free(starts);
    return cost;
}
