/* Block-max pruning (Mallia, Suel & Tonellotto 2024): which ranges of 64 places can hold one of the k best?
 *
 * The maxima of all terms are added up, range by range; of rare terms, which have no maxima, the postings themselves. The
 * ranges with the greatest sums are scored first, which gives a threshold close to the last one, and then those of the
 * others that still can reach it, in the order of places. Where several frequent terms meet, this reads a tenth of the
 * postings that MaxScore does; where one rare term decides, MaxScore reads its postings alone and is faster.
 *
 * A range is a word of the bitmap of eligible places, so one without any is not looked at. Required terms count how many of
 * them a range has. */
#include "sparse/windows_impl.h"

enum {
    CHUNK = 16384, /* ranges whose bounds are added up at a time: 64 KiB */
    GROUPS = CHUNK / 64,
    BATCH = 64,    /* ranges scored at a time: their sums fit where a dense window's do */
    FIRST_LEAST = 16
};
#define MOST_TERMS 64u
#define MOST_PRIOR_UNITS (1u << 30)

typedef struct sparse_ranges {
    uint32_t bounds[CHUNK + 64];
    uint8_t have[CHUNK + 64];     /* required terms in the range, in the order of the cursors */
    uint32_t alive[CHUNK + 64];   /* ranges of the chunk, ascending */
    uint32_t most[GROUPS];        /* the largest bound of each 64 ranges; not lowered when ranges are done */
    uint32_t groups[GROUPS + 16];
    uint32_t batch[BATCH];
    uint64_t masks[BATCH];
    hit_entry *saved; /* the heap as it was before */
    uint64_t *present; /* per cursor CHUNK bits: which ranges have one of its postings; for those without maxima */
    uint32_t first, n; /* the chunk: ranges first … first + n */
} sparse_ranges;

static double prior_units(const sparse_windows *w) {
    return w->prior ? w->plan->prior_weight / w->plan->unit : 0;
}

/* ---- bounds ---- */

/* Units times each maximum, which speaks of 2^(shift − 6) ranges, for the chunk's ranges. */
static void add_maxima(const sparse_windows *w, sparse_ranges *r, const sparse_cursor *c) {
    unsigned wider = c->term.maxima_shift - 6;
    const uint8_t *maxima = c->term.maxima + (r->first >> wider);
    if (wider == 0) {
        w->kernel->add_bounds(r->bounds, maxima, r->n, c->units);
        return;
    }
    const uint32_t each = 1u << wider, units = c->units;
    for (uint32_t i = 0; i < r->n; i += each, maxima++) {
        uint32_t add = *maxima ? units * *maxima + 1 : 0;
        for (uint32_t j = 0; j < each; j++) r->bounds[i + j] += add; /* the bounds go on behind the last range */
    }
}

static void require_maxima(sparse_ranges *r, const sparse_cursor *c, uint8_t before) {
    unsigned wider = c->term.maxima_shift - 6;
    const uint8_t *maxima = c->term.maxima + (r->first >> wider);
    for (uint32_t i = 0; i < r->n; i++) r->have[i] = (uint8_t)(r->have[i] + ((r->have[i] == before) & (maxima[i >> wider] != 0)));
}

static void add_postings(sparse_ranges *r, sparse_cursor *c, uint8_t before, uint64_t *present) {
    uint32_t base = r->first * 64, end = base + r->n * 64, n_blocks = c->term.n_blocks;
    const uint32_t units = c->units, first = r->first;
    uint32_t last = UINT32_MAX, greatest = 0;
    memset(present, 0, CHUNK / 8);
    for (uint32_t b = cursor_skip(c, c->block, base); b < n_blocks; b++) {
        if (b && c->blocks[b - 1].last + 1 >= end) break;
        cursor_load(c, b);
        uint32_t i = c->places[0] < base ? cursor_from(c, base) : 0;
        uint32_t to = c->places[c->n - 1] >= end ? cursor_from(c, end) : c->n;
        cursor_weigh(c);
        for (uint32_t j = i; j < to; j++) { /* in one range, what exceeds the greatest so far */
            uint32_t range = (c->places[j] / 64 - first) & (CHUNK - 1), impact = c->impacts[j];
            uint32_t under = range == last ? greatest : 0;
            greatest = impact > under ? impact : under;
            r->bounds[range] += units * (greatest - under) + (range != last);
            last = range;
            present[range / 64] |= (uint64_t)1 << range % 64;
        }
        for (uint32_t j = i; j < to && c->required; j++) {
            uint8_t *have = &r->have[(c->places[j] / 64 - first) & (CHUNK - 1)];
            *have = (uint8_t)(*have + (*have == before));
        }
    }
}

static void add_priors(const sparse_windows *w, sparse_ranges *r) {
    const float *maxima = sparse_segment_prior_maxima(w->segment) + r->first;
    const float units = (float)(prior_units(w) * 1.000001);
    for (uint32_t i = 0; i < r->n; i++) r->bounds[i] += r->bounds[i] ? (uint32_t)(units * maxima[i]) + 1 : 0;
}

static void bound_chunk(const sparse_windows *w, sparse_ranges *r) {
    memset(r->bounds, 0, sizeof r->bounds);
    if (w->n_required) memset(r->have, 0, r->n);
    for (uint32_t i = 0; i < w->n_cursors; i++) {
        sparse_cursor *c = &w->cursors[i]; /* required ones come first */
        if (!c->term.maxima) {
            add_postings(r, c, (uint8_t)i, r->present + (size_t)i * (CHUNK / 64));
            continue;
        }
        add_maxima(w, r, c);
        if (c->required) require_maxima(r, c, (uint8_t)i);
    }
    memset(r->bounds + r->n, 0, 64 * sizeof *r->bounds); /* what wider maxima say of ranges behind the last */
    if (w->prior) add_priors(w, r);
    for (uint32_t i = 0; w->n_required && i < r->n; i++) r->bounds[i] &= -(uint32_t)(r->have[i] >= w->n_required);
    for (uint32_t i = 0; w->bits && i < r->n; i++) r->bounds[i] &= -(uint32_t)(w->bits[r->first + i] != 0);
    w->kernel->max_groups(r->bounds, CHUNK, r->most);
}

/* ---- choosing ---- */

/* What a range's bound has to reach. */
static uint32_t needed_bound(const sparse_windows *w) {
    double bound = (w->threshold - fabs(w->threshold) * 1e-6) / w->plan->unit;
    if (!(bound > 1)) return 1;
    return bound < 4e9 ? (uint32_t)bound : (uint32_t)4e9;
}

/* Lists the ranges whose bound is at least that; most groups of 64 are passed over at a look. */
static uint32_t list_alive(const sparse_windows *w, sparse_ranges *r, uint32_t least) {
    uint32_t n = 0, n_groups = w->kernel->list_at_least(r->most, GROUPS, least, r->groups);
    for (uint32_t i = 0; i < n_groups; i++) {
        uint32_t start = r->groups[i] * 64, found;
        found = w->kernel->list_at_least(r->bounds + start, 64, least, r->alive + n);
        for (uint32_t j = n; j < n + found; j++) r->alive[j] += start;
        n += found;
    }
    return n;
}

static uint32_t largest_bound(const sparse_ranges *r) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < GROUPS; i++) most = r->most[i] > most ? r->most[i] : most;
    return most;
}

/* ---- scoring ---- */

/* Adds the cursor's postings in the batch's ranges to the sums, if it has units to give, and its places to `seen`. */
static void score_cursor(sparse_windows *w, const sparse_ranges *r, uint32_t n, sparse_cursor *c,
                         const uint64_t *present, uint64_t *seen) {
    const uint32_t units = c->units, n_blocks = c->term.n_blocks;
    const uint8_t *maxima = c->term.maxima;
    unsigned shift = c->term.maxima_shift;
    uint32_t b = c->block;
    for (uint32_t j = 0; j < n; j++) {
        uint32_t base = r->batch[j] * 64, end = base + 64;
        if (maxima ? !maxima[base >> shift] : present && !placeset_has(present, r->batch[j] - r->first)) continue;
        b = cursor_skip(c, b, base);
        uint32_t *sums = w->sums + (size_t)j * 64;
        for (uint32_t at = b; at < n_blocks && (at == 0 || c->blocks[at - 1].last < end - 1); at++) {
            cursor_load(c, at);
            uint32_t from = c->places[0] < base ? cursor_from(c, base) : 0, i = from;
            for (; i < c->n && c->places[i] < end; i++) sums[c->places[i] % 64] += units * cursor_impact(c, i) + 1;
            for (; seen && from < i; from++) seen[j] |= (uint64_t)1 << c->places[from] % 64;
            if (c->blocks[at].last >= end - 1) break;
        }
    }
    c->block = b;
}

static void score_batch(sparse_windows *w, sparse_ranges *r, uint32_t n) {
    uint64_t seen[BATCH];
    for (uint32_t j = 0; j < n; j++) r->masks[j] = placeset_word(w->bits, r->batch[j], w->count);
    for (uint32_t i = 0; i < w->n_cursors; i++) {
        sparse_cursor *c = &w->cursors[i];
        if (c->required) memset(seen, 0, n * sizeof *seen);
        score_cursor(w, r, n, c, r->present + (size_t)i * (CHUNK / 64), c->required ? seen : NULL);
        for (uint32_t j = 0; c->required && j < n; j++) r->masks[j] &= seen[j];
    }
    for (uint32_t i = 0; i < w->n_excluded; i++) {
        memset(seen, 0, n * sizeof *seen);
        score_cursor(w, r, n, &w->excluded[i], NULL, seen);
        for (uint32_t j = 0; j < n; j++) r->masks[j] &= ~seen[j];
    }
    w->need = needed_sum(w, w->prior_max);
    w->n = w->kernel->collect_sums(w->sums, n * 64, w->need, r->masks, w->candidates, w->candidate_sums);
    for (uint32_t i = 0; i < w->n; i++) {
        uint32_t offset = w->candidates[i];
        w->candidates[i] = r->batch[offset / 64] * 64 + offset % 64;
    }
    offer_candidates(w);
}

/* The chunk's ranges in r->alive, batch by batch; those that have fallen behind meanwhile are left out. */
static bool score_alive(sparse_windows *w, sparse_ranges *r, uint32_t n) {
    for (uint32_t i = 0; i < w->n_cursors; i++) w->cursors[i].block = 0;
    for (uint32_t i = 0; i < w->n_excluded; i++) w->excluded[i].block = 0;
    for (uint32_t at = 0; at < n;) {
        uint32_t least = needed_bound(w), in_batch = 0;
        for (; at < n && in_batch < BATCH; at++) {
            uint32_t range = r->alive[at];
            r->batch[in_batch] = r->first + range;
            in_batch += r->bounds[range] >= least;
            r->bounds[range] = 0;
        }
        if (w->clock && clock_monotonic(w->clock) >= w->deadline) return false;
        score_batch(w, r, in_batch);
    }
    return true;
}

/* Enough of the best ranges to set a threshold: those within a share of the best bound. */
static uint32_t list_first(const sparse_windows *w, sparse_ranges *r) {
    uint32_t most = largest_bound(r), need = needed_bound(w), n = 0;
    uint32_t wanted = FIRST_LEAST + (uint32_t)(w->heap->k < 512 ? w->heap->k / 4 : 128);
    static const float shares[] = {.95f, .85f, .7f, .5f, .3f};
    for (unsigned i = 0; i < sizeof shares / sizeof *shares && n < wanted; i++) {
        uint32_t least = (uint32_t)((float)most * shares[i]);
        if (least < need) least = need;
        n = list_alive(w, r, least ? least : 1);
        if (least == need) break;
    }
    return n < 4 * wanted ? n : 4 * wanted;
}

/* ---- when ---- */

/* Nanoseconds, measured on one machine; only their ratios matter. */
static double bounding_cost(const sparse_windows *w, uint32_t n_ranges) {
    double cost = 1500 + .3 * n_ranges, share = (double)n_ranges * 64 / w->count;
    for (uint32_t i = 0; i < w->n_cursors; i++) {
        const sparse_term *t = &w->cursors[i].term;
        cost += t->maxima ? .2 * n_ranges : 1.5 * t->df * (share < 1 ? share : 1);
    }
    return cost;
}

static double scoring_cost(const sparse_windows *w, uint32_t n_alive) { return n_alive * (20 + 16.0 * w->n_cursors); }

bool ranges_suit(const sparse_windows *w) {
    if (w->few || w->n_cursors < 2 || w->n_cursors > MOST_TERMS || !(w->plan->unit > 0) || w->base % 256) return false;
    uint32_t n_ranges = (uint32_t)placeset_words(w->count - w->base);
    if (n_ranges > CHUNK) n_ranges = CHUNK;
    if (windows_cost(w, n_ranges * 64) < 4 * bounding_cost(w, n_ranges)) return false;
    return prior_units(w) * (double)w->prior_max < MOST_PRIOR_UNITS;
}

bool ranges_search(sparse_windows *w, bool *in_time) {
    if (!w->ranges) {
        w->ranges = arena_alloc(w->arena, sizeof *w->ranges);
        w->ranges->present = arena_alloc(w->arena, w->plan->n_terms * (CHUNK / 8));
        w->ranges->saved = arena_alloc(w->arena, w->heap->k * sizeof *w->ranges->saved);
    }
    sparse_ranges *r = w->ranges;
    uint32_t n_ranges = (uint32_t)placeset_words(w->count - w->base);
    size_t n_saved = w->heap->size;
    memcpy(r->saved, w->heap->entries, n_saved * sizeof *r->saved);
    r->first = w->base / 64;
    r->n = n_ranges < CHUNK ? n_ranges : CHUNK;
    bound_chunk(w, r);
    *in_time = score_alive(w, r, list_first(w, r));
    if (!*in_time) return true;
    uint32_t n = list_alive(w, r, needed_bound(w));
    if (scoring_cost(w, n) > windows_cost(w, r->n * 64)) { /* from the start again, with the threshold that was found */
        if (hit_heap_full(w->heap)) w->floor = fmax(w->floor, hit_double(w->heap->entries[0].key));
        w->heap->size = n_saved;
        memcpy(w->heap->entries, r->saved, n_saved * sizeof *r->saved);
        w->threshold = w->floor;
        if (hit_heap_full(w->heap)) w->threshold = fmax(w->floor, hit_double(w->heap->entries[0].key));
        for (uint32_t i = 0; i < w->n_cursors; i++) w->cursors[i].block = 0;
        for (uint32_t i = 0; i < w->n_excluded; i++) w->excluded[i].block = 0;
        return false;
    }
    *in_time = score_alive(w, r, n);
    uint32_t left = w->count - w->base;
    w->size = r->n * 64 < left ? r->n * 64 : left;
    return true;
}
