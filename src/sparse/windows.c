/* MaxScore (Turtle & Flood 1995) over windows of places, with the maxima of block-max indexes (Ding & Suel 2011).
 *
 * For each window, every term's bound is the largest impact of its blocks that overlap it. Terms whose bounds together
 * stay below what a document needs to enter the heap are not essential: a document that has only them cannot enter. So
 * candidates come from the essential terms alone, summed into an array with an element per place, and only the few
 * whose sum could still suffice are looked up in the other terms' postings, most telling term first.
 *
 * A decoded place is masked or compared before it is an index. Opening a segment checked them all, but a mapped file can
 * change later, and the mask takes the place of a subtraction. */
#include "sparse/windows.h"

#include "sparse/placeset.h"

#include <math.h>
#include <stdlib.h>

#define WINDOW 4096u /* places; a power of two. Sums, candidates and one block fit into a 32 KiB cache side by side */
#define NO_BLOCK UINT32_MAX

typedef struct cursor {
    sparse_term term;
    const sparse_block *blocks;
    uint32_t units;
    bool required, essential;
    uint32_t block;     /* the first that can overlap the window … */
    uint32_t end_block; /* … and one past the last */
    uint32_t bound;     /* the most that the term adds to a document of this window; 0: it is not there */
    uint32_t decoded;   /* the block that lies in `places` and `impacts` */
    uint32_t n;         /* its postings */
    uint32_t places[SPARSE_BLOCK + 8];
    uint8_t impacts[SPARSE_BLOCK + 8];
} cursor;

struct sparse_windows {
    const sparse_plan *plan;
    const sparse_eligible *eligible;
    const os_clock *clock;
    int64_t deadline;
    hit_heap *heap;
    double floor, threshold; /* a score below the threshold cannot enter the heap */

    /* the part */
    cursor *cursors; /* required ones first, rarest first; then the others, most score per posting first */
    uint32_t n_cursors, n_required;
    const uint32_t *documents;
    const uint64_t *bits;
    bool few;           /* so few places are eligible that counting them window by window pays */
    const float *prior; /* NULL: does not count */
    float prior_max;
    uint32_t count;

    /* the window */
    uint32_t base, size;
    uint32_t need;  /* a smaller sum cannot enter the heap */
    uint32_t total; /* of the cursors' bounds */
    cursor **lookups;
    uint32_t n_lookups, n;
    uint32_t *candidates;     /* offsets in the window, ascending */
    uint32_t *candidate_sums; /* one for each */
    uint32_t sums[WINDOW];    /* per place; all zero between uses */
};

sparse_windows *sparse_windows_create(const sparse_plan *plan, const sparse_eligible *eligible,
                                      const sparse_query *query, float floor, hit_heap *heap, arena *a) {
    sparse_windows *w = arena_zalloc(a, 1, sizeof *w);
    w->plan = plan;
    w->eligible = eligible;
    w->clock = query->clock;
    w->deadline = query->deadline;
    w->heap = heap;
    w->floor = w->threshold = (double)floor;
    w->cursors = arena_alloc(a, plan->n_terms * sizeof *w->cursors);
    w->lookups = arena_alloc(a, plan->n_terms * sizeof *w->lookups);
    w->candidates = arena_alloc(a, (WINDOW + SPARSE_BLOCK + 8) * sizeof *w->candidates);
    w->candidate_sums = arena_alloc(a, (WINDOW + SPARSE_BLOCK + 8) * sizeof *w->candidate_sums);
    return w;
}

static const float *prior_of(const sparse_windows *w, uint32_t part, float *max) {
    *max = 0;
    if (!(w->plan->prior_weight > 0)) return NULL;
    return sparse_segment_prior(w->eligible->snapshot->parts[part].segment, max);
}

float sparse_windows_bound(const sparse_windows *w, uint32_t part) {
    uint32_t sum = 0;
    float prior_max;
    for (uint32_t t = 0; t < w->plan->n_terms; t++) {
        const sparse_term *found = sparse_plan_found(w->plan, part, t);
        if (found->n_blocks) sum += w->plan->terms[t].units * found->max_impact + 1;
        else if (w->plan->terms[t].required) return -INFINITY;
    }
    if (sum == 0 || w->eligible->counts[part] == 0) return -INFINITY;
    prior_of(w, part, &prior_max);
    return sparse_plan_score(w->plan, sum, prior_max);
}

/* The smallest sum that can reach the threshold beside a prior of at most `prior_max`; UINT32_MAX: none can. The slack
 * is wider than the rounding of a float, so that ties stay in. */
static uint32_t needed_sum(const sparse_windows *w, float prior_max) {
    double text = w->threshold - fabs(w->threshold) * 1e-6 - w->plan->prior_weight * (double)prior_max;
    if (!(text > 0)) return 1;
    double sum = w->plan->unit > 0 ? text / w->plan->unit : INFINITY;
    if (!(sum <= INT32_MAX)) return UINT32_MAX;
    return sum > 1 ? (uint32_t)sum : 1;
}

/* ---- cursors ---- */

static int by_duty(const void *left, const void *right) {
    const cursor *a = left, *b = right;
    if (a->required != b->required) return a->required ? -1 : 1;
    double x = a->required ? -(double)a->term.df : ((double)a->units * a->term.max_impact + 1) / a->term.df;
    double y = b->required ? -(double)b->term.df : ((double)b->units * b->term.max_impact + 1) / b->term.df;
    if (x != y) return x > y ? -1 : 1;
    return (a->term.ordinal > b->term.ordinal) - (a->term.ordinal < b->term.ordinal);
}

static void open_cursors(sparse_windows *w, uint32_t part) {
    w->n_cursors = w->n_required = 0;
    for (uint32_t t = 0; t < w->plan->n_terms; t++) {
        const sparse_term *found = sparse_plan_found(w->plan, part, t);
        if (!found->n_blocks) continue;
        cursor *c = &w->cursors[w->n_cursors++];
        c->term = *found;
        c->units = w->plan->terms[t].units;
        c->required = w->plan->terms[t].required;
        c->block = c->end_block = 0;
        c->decoded = NO_BLOCK;
        w->n_required += c->required;
    }
    qsort(w->cursors, w->n_cursors, sizeof *w->cursors, by_duty);
    for (uint32_t i = 0; i < w->n_cursors; i++) w->cursors[i].blocks = sparse_term_blocks(&w->cursors[i].term);
}

/* The first of n >= 1 ascending places that is not before `place`; n when all are. Without branches to mispredict. */
static inline uint32_t first_from(const uint32_t *places, uint32_t n, uint32_t place) {
    const uint32_t *at = places;
    while (n > 1) {
        uint32_t half = n / 2;
        at += half & -(uint32_t)(at[half - 1] < place);
        n -= half;
    }
    return (uint32_t)(at - places) + (*at < place);
}

/* The first block from `b` on whose last place is not before `place`: gallops, then halves. */
static uint32_t skip_blocks(const sparse_block *blocks, uint32_t n, uint32_t b, uint32_t place) {
    if (b >= n || blocks[b].last >= place) return b;
    uint32_t step = 1, low = b; /* blocks[low].last < place */
    while (low + step < n && blocks[low + step].last < place) {
        low += step;
        step *= 2;
    }
    uint32_t high = low + step < n ? low + step : n;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (blocks[middle].last < place) low = middle;
        else high = middle;
    }
    return high;
}

static inline void load_block(cursor *c, uint32_t b) {
    if (c->decoded == b) return;
    c->n = sparse_block_decode(&c->term, b, c->places, c->impacts);
    c->decoded = b;
}

/* Moves to the window and finds the term's bound there. */
static void enter_window(cursor *c, uint32_t base, uint32_t end) {
    uint32_t n_blocks = c->term.n_blocks, b = skip_blocks(c->blocks, n_blocks, c->block, base);
    c->block = c->end_block = b;
    c->bound = 0;
    if (b == n_blocks) return;
    uint32_t first = b ? c->blocks[b - 1].last + 1 : 0;
    if (c->decoded == b) {
        uint32_t i = first_from(c->places, c->n, base);
        if (i < c->n) first = c->places[i];
    }
    if (first >= end) return;
    uint32_t max = 0;
    do {
        if (c->blocks[b].max_impact > max) max = c->blocks[b].max_impact;
    } while (c->blocks[b].last < end - 1 && ++b < n_blocks);
    c->end_block = b < n_blocks ? b + 1 : n_blocks;
    c->bound = c->units * max + 1;
}

/* Decodes block b and says which of its postings are in the window. */
static inline void load_range(const sparse_windows *w, cursor *c, uint32_t b, uint32_t *from, uint32_t *to) {
    uint32_t end = w->base + w->size;
    load_block(c, b);
    *from = c->places[0] < w->base ? first_from(c->places, c->n, w->base) : 0;
    *to = c->places[c->n - 1] >= end ? first_from(c->places, c->n, end) : c->n;
}

/* Adds the term's postings to the window's sums. */
static void add_postings(sparse_windows *w, cursor *c) {
    const uint32_t units = c->units;
    uint32_t *sums = w->sums;
    for (uint32_t b = c->block; b < c->end_block; b++) {
        uint32_t i, to;
        load_range(w, c, b, &i, &to);
        for (; i < to; i++) sums[c->places[i] & (WINDOW - 1)] += units * c->impacts[i] + 1;
    }
}

/* ---- candidates ---- */

/* From one term: `rest` is what the other terms can add. Blocks that cannot hold a candidate are not even decoded. */
static void collect_term(sparse_windows *w, cursor *c, uint32_t rest) {
    uint32_t short_of = w->need > rest + 1 ? w->need - rest - 1 : 0; /* what units × impact has to make up */
    uint32_t least = c->units ? short_of / c->units + (short_of % c->units != 0) : 0;
    const uint32_t units = c->units, size = w->size;
    uint32_t *candidates = w->candidates, *sums = w->candidate_sums, n = 0;
    for (uint32_t b = c->block; b < c->end_block && n <= WINDOW; b++) {
        if (c->blocks[b].max_impact < least) continue;
        uint32_t i, to;
        load_range(w, c, b, &i, &to);
        for (; i < to; i++) {
            uint32_t offset = c->places[i] & (WINDOW - 1), impact = c->impacts[i];
            candidates[n] = offset;
            sums[n] = units * impact + 1;
            n += (impact >= least) & (offset < size);
        }
    }
    w->n = n;
}

/* From the window's sums, which are cleared: those eligible ones that `rest` can still lift to what is needed. */
static void collect_sums(sparse_windows *w, uint32_t rest) {
    int32_t least = w->need > rest ? (int32_t)(w->need - rest) : 1;
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->size; i += 64) {
        const uint32_t *sums = w->sums + i;
        uint32_t any = 0;
        for (uint32_t j = 0; j < 64; j++) any |= (uint32_t)-((int32_t)sums[j] >= least);
        if (!any) continue;
        uint8_t truths[64];
        for (uint32_t j = 0; j < 64; j++) truths[j] = (int32_t)sums[j] >= least;
        uint64_t word = placeset_pack(truths) & placeset_word(w->bits, (w->base + i) / 64, w->count);
        while (word) {
            uint32_t j = placeset_take(&word, 0);
            w->candidates[n] = i + j;
            w->candidate_sums[n++] = sums[j];
        }
    }
    w->n = n;
    memset(w->sums, 0, sizeof w->sums);
}

static void collect_eligible(sparse_windows *w) {
    uint32_t n = 0;
    for (size_t i = w->base / 64, end = i + placeset_words(w->size); i < end; i++) {
        for (uint64_t word = placeset_word(w->bits, i, w->count); word;) {
            w->candidates[n] = placeset_take(&word, i) - w->base;
            w->candidate_sums[n++] = 0;
        }
    }
    w->n = n;
}

static uint32_t count_eligible(const sparse_windows *w) {
    uint32_t n = 0;
    for (size_t i = w->base / 64, end = i + placeset_words(w->size); i < end; i++) {
        n += placeset_ones(placeset_word(w->bits, i, w->count));
    }
    return n;
}

static void keep_eligible(sparse_windows *w) {
    if (!w->bits) return;
    const uint64_t *bits = w->bits + w->base / 64;
    uint32_t *candidates = w->candidates, *sums = w->candidate_sums, n = w->n, kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t offset = candidates[i];
        candidates[kept] = offset;
        sums[kept] = sums[i];
        kept += placeset_has(bits, offset);
    }
    w->n = kept;
}

/* Each candidate's own prior is mostly far below the window's largest. */
static void keep_promising(sparse_windows *w, uint32_t rest) {
    if (!w->prior || !(w->threshold > 0)) return;
    const double least = w->threshold * (1 - 1e-6), unit = w->plan->unit, weight = w->plan->prior_weight;
    const float *prior = w->prior + w->base;
    uint32_t *candidates = w->candidates, *sums = w->candidate_sums, n = w->n, kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t offset = candidates[i], sum = sums[i];
        candidates[kept] = offset;
        sums[kept] = sum;
        kept += unit * (double)(sum + rest) + weight * (double)prior[offset] >= least;
    }
    w->n = kept;
}

/* ---- looking candidates up in a term ---- */

/* Many candidates: all the term's postings are added into the sums, and each candidate fetches its own. */
static void look_up_all(sparse_windows *w, cursor *c, uint32_t rest) {
    uint32_t *candidates = w->candidates, *sums = w->candidate_sums, least_added = c->required;
    const uint32_t need = w->need, n = w->n;
    uint32_t kept = 0;
    add_postings(w, c);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t offset = candidates[i], added = w->sums[offset], sum = sums[i] + added;
        candidates[kept] = offset;
        sums[kept] = sum;
        kept += (sum + rest >= need) & (added >= least_added);
    }
    w->n = kept;
    memset(w->sums, 0, sizeof w->sums);
}

static void look_up_each(sparse_windows *w, cursor *c, uint32_t rest) {
    uint32_t kept = 0, b = c->block;
    for (uint32_t i = 0; i < w->n; i++) {
        uint32_t place = w->base + w->candidates[i], sum = w->candidate_sums[i];
        bool found = false;
        while (b < c->end_block && c->blocks[b].last < place) b++;
        if (b < c->end_block) {
            if (sum + c->units * c->blocks[b].max_impact + 1 + rest < w->need) continue;
            load_block(c, b);
            uint32_t at = first_from(c->places, c->n, place);
            found = at < c->n && c->places[at] == place;
            if (found) sum += c->units * c->impacts[at] + 1;
        }
        if (sum + rest < w->need || (c->required && !found)) continue;
        w->candidates[kept] = w->candidates[i];
        w->candidate_sums[kept++] = sum;
    }
    w->n = kept;
}

/* Looking one candidate up costs about a tenth of decoding and adding one block. */
static void look_up(sparse_windows *w, cursor *c, uint32_t rest) {
    if (w->n > 12 * (c->end_block - c->block) + 16) look_up_all(w, c, rest);
    else if (w->n > 0) look_up_each(w, c, rest);
}

/* ---- windows ---- */

/* Marks the essential terms; returns the sum of the others' bounds, which is below the need. */
static uint32_t split_terms(sparse_windows *w, uint32_t *n_essential) {
    uint32_t rest = 0, n = 0;
    for (uint32_t i = w->n_cursors; i-- > 0;) {
        cursor *c = &w->cursors[i];
        c->essential = c->bound > 0 && rest + c->bound >= w->need;
        if (c->essential) n++;
        else rest += c->bound;
    }
    *n_essential = n;
    return rest;
}

static void collect_essential(sparse_windows *w, uint32_t rest, uint32_t n_essential) {
    for (uint32_t i = 0; i < w->n_cursors; i++) {
        cursor *c = &w->cursors[i];
        if (!c->essential) continue;
        if (n_essential == 1) {
            collect_term(w, c, rest);
            keep_eligible(w);
            return;
        }
        add_postings(w, c);
    }
    collect_sums(w, rest);
}

/* True when looking every eligible place up is cheaper than reading the postings. */
static bool eligible_are_fewer(const sparse_windows *w, uint32_t n_eligible) {
    uint64_t blocks = 0, terms = 0;
    for (uint32_t i = 0; i < w->n_cursors; i++) {
        blocks += w->cursors[i].end_block - w->cursors[i].block;
        terms += w->cursors[i].bound > 0;
    }
    return n_eligible * terms < 8 * blocks;
}

/* Candidates from the cheapest source. Terms that are to be looked up are left in w->lookups; returns the sum of their
 * bounds. */
static uint32_t collect(sparse_windows *w, uint32_t n_eligible) {
    uint32_t rest = w->total, n_essential;
    for (uint32_t i = 0; i < w->n_cursors; i++) w->cursors[i].essential = false;
    if (w->few && eligible_are_fewer(w, n_eligible)) {
        collect_eligible(w);
    } else if (w->n_required) {
        w->cursors[0].essential = true;
        rest -= w->cursors[0].bound;
        collect_term(w, &w->cursors[0], rest);
        keep_eligible(w);
    } else {
        rest = split_terms(w, &n_essential);
        collect_essential(w, rest, n_essential);
    }
    w->n_lookups = 0;
    for (uint32_t i = 0; i < w->n_cursors; i++) {
        if (w->cursors[i].bound && !w->cursors[i].essential) w->lookups[w->n_lookups++] = &w->cursors[i];
    }
    return rest;
}

static void offer_candidates(sparse_windows *w) {
    for (uint32_t i = 0; i < w->n; i++) {
        uint32_t place = w->base + w->candidates[i];
        float score = sparse_plan_score(w->plan, w->candidate_sums[i], w->prior ? w->prior[place] : 0);
        if ((double)score < w->threshold) continue;
        hit_heap_offer(w->heap, hit_key_double((double)score), w->documents[place]);
        if (hit_heap_full(w->heap)) w->threshold = fmax(w->floor, hit_double(w->heap->entries[0].key));
    }
}

/* Every cursor to the window. False when a required term has nothing there. */
static bool enter(sparse_windows *w) {
    uint32_t end = w->base + w->size;
    w->total = 0;
    for (uint32_t i = 0; i < w->n_cursors; i++) {
        enter_window(&w->cursors[i], w->base, end);
        w->total += w->cursors[i].bound;
        if (w->cursors[i].required && !w->cursors[i].bound) return false;
    }
    return true;
}

/* The candidates left lie far apart in the documents' numbers, which nobody has touched yet. */
static void prefetch_documents(const sparse_windows *w) {
    for (uint32_t i = 0; i < w->n; i++) __builtin_prefetch(&w->documents[w->base + w->candidates[i]]);
}

static void search_window(sparse_windows *w) {
    uint32_t n_eligible = 0;
    if (w->few && (n_eligible = count_eligible(w)) == 0) return;
    if (!enter(w)) return;
    w->need = needed_sum(w, w->prior_max);
    if (w->total < w->need) return;
    uint32_t rest = collect(w, n_eligible);
    keep_promising(w, rest);
    for (uint32_t i = 0; i < w->n_lookups && w->n > 0; i++) {
        rest -= w->lookups[i]->bound;
        if (i + 1 == w->n_lookups) prefetch_documents(w);
        look_up(w, w->lookups[i], rest);
    }
    offer_candidates(w);
}

bool sparse_windows_search(sparse_windows *w, uint32_t part) {
    const sparse_segment *segment = w->eligible->snapshot->parts[part].segment;
    w->count = sparse_segment_count(segment);
    w->documents = sparse_segment_documents(segment);
    w->bits = w->eligible->bits[part];
    w->few = w->bits && w->eligible->counts[part] < w->count / 4;
    w->prior = prior_of(w, part, &w->prior_max);
    open_cursors(w, part);
    for (uint32_t base = 0; base < w->count; base += w->size) {
        if (w->clock && clock_monotonic(w->clock) >= w->deadline) return false;
        w->base = base;
        w->size = w->count - base < WINDOW ? w->count - base : WINDOW;
        search_window(w);
    }
    return true;
}
