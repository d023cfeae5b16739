/* MaxScore (Turtle & Flood 1995) over windows of places, with the maxima of block-max indexes (Ding & Suel 2011).
 *
 * For each window, every term's bound is the largest impact of its blocks that overlap it. Terms whose bounds together
 * stay below what a document needs to enter the heap are not essential: a document that has only them cannot enter. So
 * candidates come from the essential terms alone, and only the few whose sum could still suffice are looked up in the other
 * terms' postings, most telling term first.
 *
 * How large a window is depends on how many postings there are to add up. Of one essential (or the rarest required) term a
 * window is what gives about a cache of candidates. Several dense terms are added into an array that fits the first-level
 * cache and is scanned afterwards; several sparse ones into an array sixteen times as large, with a list of the elements
 * in use, so that neither clearing nor scanning costs more than the postings do.
 *
 * A decoded place is masked or compared before it is an index. Opening a segment checked them all, but a mapped file can
 * change later. */
#include "sparse/windows_impl.h"

sparse_windows *sparse_windows_create(const sparse_plan *plan, const sparse_eligible *eligible,
                                      const sparse_query *query, float floor, hit_heap *heap, arena *a) {
    sparse_windows *w = arena_alloc(a, sizeof *w);
    memset(w, 0, offsetof(sparse_windows, at_candidate));
    w->arena = a;
    w->kernel = kernels();
    sparse_scratch *scratch = sparse_scratch_of_thread();
    w->sums = scratch->dense;
    w->wide = scratch->wide;
    w->marks = scratch->marks;
    w->plan = plan;
    w->eligible = eligible;
    w->clock = query->clock;
    w->deadline = query->deadline;
    w->heap = heap;
    w->floor = w->threshold = (double)floor;
    w->cursors = arena_alloc(a, plan->n_terms * sizeof *w->cursors);
    w->lookups = arena_alloc(a, plan->n_terms * sizeof *w->lookups);
    w->excluded = plan->n_excluded ? arena_alloc(a, plan->n_excluded * sizeof *w->excluded) : NULL;
    w->candidates = arena_alloc(a, (WIDE + SLACK) * sizeof *w->candidates);
    w->candidate_sums = arena_alloc(a, (WIDE + SLACK) * sizeof *w->candidate_sums);
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
        if (w->plan->terms[t].excluded && w->plan->terms[t].required) return -INFINITY;
        if (w->plan->terms[t].excluded) continue;
        if (found->n_blocks) sum += w->plan->terms[t].units * found->max_impact + 1;
        else if (w->plan->terms[t].required) return -INFINITY;
    }
    if (sum == 0 || w->eligible->counts[part] == 0) return -INFINITY;
    prior_of(w, part, &prior_max);
    return sparse_plan_score(w->plan, sum, prior_max);
}

/* ---- cursors ---- */

static int by_duty(const void *left, const void *right) {
    const sparse_cursor *a = left, *b = right;
    if (a->required != b->required) return a->required ? -1 : 1;
    double x = a->required ? -(double)a->term.df : (double)a->top / a->term.df;
    double y = b->required ? -(double)b->term.df : (double)b->top / b->term.df;
    if (x != y) return x > y ? -1 : 1;
    return (a->term.ordinal > b->term.ordinal) - (a->term.ordinal < b->term.ordinal);
}

static void open_cursors(sparse_windows *w, uint32_t part) {
    w->n_cursors = w->n_required = w->n_excluded = 0;
    for (uint32_t t = 0; t < w->plan->n_terms; t++) {
        const sparse_plan_term *term = &w->plan->terms[t];
        const sparse_term *found = sparse_plan_found(w->plan, part, t);
        if (!found->n_blocks) continue;
        sparse_cursor *c = term->excluded ? &w->excluded[w->n_excluded++] : &w->cursors[w->n_cursors++];
        cursor_open(c, found, term->units);
        c->required = term->required;
        c->excluded = term->excluded;
        w->n_required += c->required;
    }
    qsort(w->cursors, w->n_cursors, sizeof *w->cursors, by_duty);
    for (uint32_t i = 0; i < w->n_cursors; i++) w->cursors[i].blocks = sparse_term_blocks(&w->cursors[i].term);
}

/* Moves to the window and finds the term's bound there. */
static void enter_window(sparse_cursor *c, uint32_t base, uint32_t end) {
    uint32_t n_blocks = c->term.n_blocks, b = cursor_skip(c, c->block, base);
    c->block = c->end_block = b;
    c->bound = 0;
    if (b == n_blocks) return;
    uint32_t first = b ? c->blocks[b - 1].last + 1 : 0;
    if (c->decoded == b) {
        uint32_t i = cursor_from(c, base);
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
static inline void load_range(const sparse_windows *w, sparse_cursor *c, uint32_t b, uint32_t *from, uint32_t *to) {
    uint32_t end = w->base + w->size;
    cursor_load(c, b);
    *from = c->places[0] < w->base ? cursor_from(c, w->base) : 0;
    *to = c->places[c->n - 1] >= end ? cursor_from(c, end) : c->n;
}

/* Adds the term's postings to the sums of a dense window. */
static void add_postings(sparse_windows *w, sparse_cursor *c) {
    for (uint32_t b = c->block; b < c->end_block; b++) {
        uint32_t i, to;
        load_range(w, c, b, &i, &to);
        if (i >= to) continue;
        cursor_weigh(c);
        w->kernel->add_impacts(w->sums, DENSE - 1, c->places + i, c->impacts + i, to - i, c->units);
    }
}

/* The same for a wide window, whose base is not a multiple of its size; and lists the elements that it is the first to use. */
static void add_postings_wide(sparse_windows *w, sparse_cursor *c) {
    const uint32_t units = c->units, base = w->base;
    uint32_t *sums = w->wide, *used = w->used, n = w->n_used;
    for (uint32_t b = c->block; b < c->end_block; b++) {
        uint32_t i, to;
        load_range(w, c, b, &i, &to);
        cursor_weigh(c);
        for (; i < to; i++) {
            uint32_t offset = (c->places[i] - base) & (WIDE - 1), before = sums[offset];
            sums[offset] = before + units * c->impacts[i] + 1;
            used[n] = offset;
            n += before == 0;
        }
    }
    w->n_used = n;
}

/* ---- candidates ---- */

/* From one term: `rest` is what the other terms can add. Blocks that cannot hold a candidate are not even decoded. The
 * window ends earlier when it has more candidates than there is room for. */
static void collect_term(sparse_windows *w, sparse_cursor *c, uint32_t rest) {
    uint32_t short_of = w->need > rest + 1 ? w->need - rest - 1 : 0; /* what units × impact has to make up */
    uint32_t least = c->units ? short_of / c->units + (short_of % c->units != 0) : 0;
    uint32_t *candidates = w->candidates, *sums = w->candidate_sums, n = 0, bad = 0;
    for (uint32_t b = c->block; b < c->end_block; b++) {
        if (c->blocks[b].max_impact < least) continue;
        if (n > WIDE - SPARSE_BLOCK) {
            w->size = (c->blocks[b - 1].last + 1 - w->base) & ~63u;
            break;
        }
        uint32_t i, to;
        load_range(w, c, b, &i, &to);
        if (i >= to) continue;
        cursor_weigh(c);
        n += w->kernel->collect_impacts(c->places + i, c->impacts + i, to - i, least, c->units, 0, candidates + n,
                                        sums + n);
    }
    while (n > 0 && candidates[n - 1] - w->base >= w->size) n--;
    for (uint32_t i = 0; i < n; i++) bad |= candidates[i] - w->base >= w->size;
    w->n = bad ? 0 : n;
}

/* From a dense window's sums, which are cleared: those eligible ones that `rest` can still lift to what is needed. */
static void collect_sums(sparse_windows *w, uint32_t rest) {
    uint32_t least = w->need > rest ? w->need - rest : 1, size = (w->size + 63) & ~63u;
    uint64_t mask[DENSE / 64];
    const uint64_t *bits = NULL;
    if (w->bits) {
        for (size_t i = 0; i < size / 64; i++) mask[i] = placeset_word(w->bits, w->base / 64 + i, w->count);
        bits = mask;
    }
    w->n = w->kernel->collect_sums(w->sums, size, least, bits, w->candidates, w->candidate_sums);
    for (uint32_t i = 0; i < w->n; i++) w->candidates[i] += w->base;
}

static void sort_by_insertion(uint32_t *found, uint32_t n) {
    for (uint32_t i = 1; i < n; i++) {
        uint32_t one = found[i], at = i;
        for (; at > 0 && found[at - 1] > one; at--) found[at] = found[at - 1];
        found[at] = one;
    }
}

/* Each is a bit, and each word with one a bit of a word above. */
static uint32_t sort_by_marks(sparse_windows *w, uint32_t n) {
    uint64_t *marks = w->marks, above[WIDE / 64 / 64] = {0};
    uint32_t *found = w->candidates;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t word = found[i] / 64;
        marks[word] |= (uint64_t)1 << found[i] % 64;
        above[word / 64] |= (uint64_t)1 << word % 64;
    }
    n = 0;
    for (uint32_t i = 0; i < WIDE / 64 / 64; i++) {
        while (above[i]) {
            uint32_t word = placeset_take(&above[i], i);
            for (uint64_t left = marks[word]; left;) found[n++] = placeset_take(&left, word);
            marks[word] = 0;
        }
    }
    return n;
}

/* Few of the elements in use reach what is needed, and these are put into order. */
static void collect_wide(sparse_windows *w, uint32_t rest) {
    uint32_t least = w->need > rest ? w->need - rest : 1, n = 0, n_used = w->n_used;
    uint32_t *sums = w->wide, *found = w->candidates;
    for (uint32_t i = 0; i < n_used; i++) {
        found[n] = w->used[i];
        n += sums[w->used[i]] >= least;
    }
    if (n > FEW_FOUND) n = sort_by_marks(w, n);
    else sort_by_insertion(found, n);
    w->n = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t sum = sums[found[i]], place = w->base + found[i];
        w->candidates[w->n] = place;
        w->candidate_sums[w->n] = sum;
        w->n += !w->bits || placeset_has(w->bits, place);
    }
    for (uint32_t i = 0; i < n_used; i++) sums[w->used[i]] = 0;
    w->n_used = 0;
}

static void collect_eligible(sparse_windows *w) {
    uint32_t n = 0;
    for (size_t i = w->base / 64, end = i + placeset_words(w->size); i < end; i++) {
        for (uint64_t word = placeset_word(w->bits, i, w->count); word;) {
            w->candidates[n] = placeset_take(&word, i);
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
    uint32_t *candidates = w->candidates, *sums = w->candidate_sums, n = w->n, kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t place = candidates[i];
        candidates[kept] = place;
        sums[kept] = sums[i];
        kept += placeset_has(w->bits, place);
    }
    w->n = kept;
}

/* Each candidate's own prior is mostly far below the window's largest. */
static void keep_promising(sparse_windows *w, uint32_t rest) {
    if (!w->prior || !(w->threshold > 0)) return;
    const double least = w->threshold * (1 - 1e-6), unit = w->plan->unit, weight = w->plan->prior_weight;
    uint32_t *candidates = w->candidates, *sums = w->candidate_sums, n = w->n, kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t place = candidates[i], sum = sums[i];
        candidates[kept] = place;
        sums[kept] = sum;
        kept += unit * (double)(sum + rest) + weight * (double)w->prior[place] >= least;
    }
    w->n = kept;
}

/* What the terms to be looked up can add at a candidate's own place, by their range maxima, is mostly less than what they can
 * add in the window, which is `rest` with that of the other terms. */
static void keep_by_maxima(sparse_windows *w, uint32_t rest) {
    uint32_t *candidates = w->candidates, *sums = w->candidate_sums, n = w->n, kept = 0, n_with = 0;
    const sparse_cursor *with[MOST_MAXIMA];
    for (uint32_t i = 0; i < w->n_lookups && n_with < MOST_MAXIMA; i++) {
        if (!w->lookups[i]->term.maxima) continue;
        with[n_with++] = w->lookups[i];
        rest -= w->lookups[i]->bound;
    }
    if (n_with == 0 || n < MAXIMA_PAY) return;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t place = candidates[i], sum = sums[i], most = sum + rest;
        for (uint32_t j = 0; j < n_with; j++) {
            const sparse_cursor *c = with[j];
            uint32_t impact = c->term.maxima[place >> c->term.maxima_shift];
            most += c->units * impact + (impact > 0);
        }
        candidates[kept] = place;
        sums[kept] = sum;
        kept += most >= w->need;
    }
    w->n = kept;
}

/* ---- looking candidates up in a term ---- */

/* Many candidates of a dense window: all the term's postings are added into the sums, and each candidate fetches its own. */
static void look_up_all(sparse_windows *w, sparse_cursor *c, uint32_t rest) {
    uint32_t *candidates = w->candidates, *sums = w->candidate_sums, least_added = c->required;
    const uint32_t need = w->need, n = w->n;
    uint32_t kept = 0;
    add_postings(w, c);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t place = candidates[i], added = w->sums[place & (DENSE - 1)], sum = sums[i] + added;
        candidates[kept] = place;
        sums[kept] = sum;
        kept += (sum + rest >= need) & (added >= least_added);
    }
    w->n = kept;
    memset(w->sums, 0, DENSE * sizeof *w->sums);
}

/* The candidates from i to before `end` lie in block b. Keeps, from `kept` on, those that can still enter; returns how
 * many there are then. */
static uint32_t look_up_block(sparse_windows *w, sparse_cursor *c, uint32_t b, uint32_t i, uint32_t end, uint32_t rest,
                              uint32_t kept) {
    uint32_t *candidates = w->candidates, *sums = w->candidate_sums, first = kept;
    const uint32_t units = c->units, best = units * c->blocks[b].max_impact + 1 + rest, need = w->need;
    for (; i < end; i++) { /* the block's best posting is not enough for most */
        uint32_t sum = sums[i];
        candidates[kept] = candidates[i];
        sums[kept] = sum;
        kept += sum + best >= need;
    }
    end = kept;
    if (end == first) return first;
    cursor_load(c, b);
    if (end - first >= GROUP && end - first <= SPARSE_BLOCK) {
        uint32_t *mine = w->at_candidate, *theirs = w->at_posting;
        uint32_t n = w->kernel->intersect(candidates + first, end - first, c->places, c->n, mine, theirs);
        for (uint32_t j = 0; j < n; j++) sums[first + mine[j]] += units * cursor_impact(c, theirs[j]) + 1;
        if (c->required) {
            for (uint32_t j = kept = 0; j < n; j++) {
                uint32_t place = candidates[first + mine[j]], sum = sums[first + mine[j]];
                candidates[first + kept] = place;
                sums[first + kept] = sum;
                kept += sum + rest >= need;
            }
            return first + kept;
        }
        for (i = kept = first; i < end; i++) {
            uint32_t sum = sums[i];
            candidates[kept] = candidates[i];
            sums[kept] = sum;
            kept += sum + rest >= need;
        }
        return kept;
    }
    for (i = kept = first; i < end; i++) {
        uint32_t place = candidates[i], sum = sums[i], at = cursor_from(c, place);
        bool found = at < c->n && c->places[at] == place;
        if (found) sum += units * cursor_impact(c, at) + 1;
        candidates[kept] = place;
        sums[kept] = sum;
        kept += (sum + rest >= need) & (found | !c->required);
    }
    return kept;
}

static void look_up_each(sparse_windows *w, sparse_cursor *c, uint32_t rest) {
    uint32_t *candidates = w->candidates, *sums = w->candidate_sums, n = w->n, kept = 0, b = c->block, i = 0;
    while (i < n) {
        b = cursor_skip(c, b, candidates[i]);
        if (b >= c->end_block) break;
        uint32_t last = c->blocks[b].last, end = i + 1;
        while (end < n && candidates[end] <= last) end++;
        kept = look_up_block(w, c, b, i, end, rest, kept);
        i = end;
    }
    for (; i < n && !c->required; i++) { /* behind the last block */
        candidates[kept] = candidates[i];
        sums[kept] = sums[i];
        kept += sums[i] + rest >= w->need;
    }
    w->n = kept;
}

/* Looking one candidate up costs about a tenth of decoding and adding one block. */
static void look_up(sparse_windows *w, sparse_cursor *c, uint32_t rest) {
    if (w->size <= DENSE && w->n > 12 * (c->end_block - c->block) + 16) look_up_all(w, c, rest);
    else if (w->n > 0) look_up_each(w, c, rest);
}

/* Drops what an excluded term has. */
static void exclude(sparse_windows *w, sparse_cursor *c) {
    uint32_t *candidates = w->candidates, *sums = w->candidate_sums, kept = 0, b = c->block;
    for (uint32_t i = 0; i < w->n; i++) {
        uint32_t place = candidates[i];
        bool found = false;
        b = cursor_skip(c, b, place);
        if (b < c->term.n_blocks) {
            cursor_load(c, b);
            uint32_t at = cursor_from(c, place);
            found = at < c->n && c->places[at] == place;
        }
        candidates[kept] = place;
        sums[kept] = sums[i];
        kept += !found;
    }
    c->block = b;
    w->n = kept;
}

/* ---- windows ---- */

/* Marks the essential terms; returns the sum of the others' bounds, which is below the need. */
static uint32_t split_terms(sparse_windows *w, uint32_t *n_essential) {
    uint32_t rest = 0, n = 0;
    for (uint32_t i = w->n_cursors; i-- > 0;) {
        sparse_cursor *c = &w->cursors[i];
        c->essential = c->bound > 0 && rest + c->bound >= w->need;
        if (c->essential) n++;
        else rest += c->bound;
    }
    *n_essential = n;
    return rest;
}

static void prepare_wide(sparse_windows *w) {
    if (w->used) return;
    w->used = arena_alloc(w->arena, (WIDE + SLACK) * sizeof *w->used);
}

/* A window larger than WIDE is meant for one essential term; where its bounds are low others can be, too, and it ends
 * earlier. */
static void collect_essential(sparse_windows *w, uint32_t rest, uint32_t n_essential) {
    if (n_essential > 1 && w->size > WIDE) w->size = WIDE;
    bool wide = w->size > DENSE;
    if (wide && n_essential > 1) prepare_wide(w);
    for (uint32_t i = 0; i < w->n_cursors; i++) {
        sparse_cursor *c = &w->cursors[i];
        if (!c->essential) continue;
        if (n_essential == 1) {
            collect_term(w, c, rest);
            keep_eligible(w);
            return;
        }
        if (wide) add_postings_wide(w, c);
        else add_postings(w, c);
    }
    if (wide) collect_wide(w, rest);
    else collect_sums(w, rest);
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
    for (uint32_t i = 0; w->documents && i < w->n; i++) __builtin_prefetch(&w->documents[w->candidates[i]]);
}

static void search_window(sparse_windows *w) {
    uint32_t n_eligible = 0;
    if (w->few && (n_eligible = count_eligible(w)) == 0) return;
    if (!enter(w)) return;
    w->need = needed_sum(w, w->prior_max);
    if (w->total < w->need) return;
    uint32_t rest = collect(w, n_eligible);
    keep_promising(w, rest);
    if (!w->n_required) keep_by_maxima(w, rest); /* these leave few to look up as it is */
    for (uint32_t i = 0; i < w->n_lookups && w->n > 0; i++) {
        rest -= w->lookups[i]->bound;
        if (i + 1 == w->n_lookups) prefetch_documents(w);
        look_up(w, w->lookups[i], rest);
    }
    for (uint32_t i = 0; i < w->n_excluded && w->n > 0; i++) exclude(w, &w->excluded[i]);
    offer_candidates(w);
}

/* Which terms are essential everywhere in the part, by the threshold of now: how many, and their postings. */
static uint64_t essential_postings(const sparse_windows *w, uint32_t *n) {
    uint32_t need = needed_sum(w, w->prior_max), rest = 0;
    uint64_t postings = 0;
    *n = 1;
    if (w->n_required) return w->cursors[0].term.df;
    *n = 0;
    for (uint32_t i = w->n_cursors; i-- > 0;) {
        const sparse_cursor *c = &w->cursors[i];
        if (rest + c->top < need) {
            rest += c->top;
            continue;
        }
        postings += c->term.df;
        ++*n;
    }
    return postings;
}

double windows_cost(const sparse_windows *w, uint32_t places) {
    uint32_t n;
    double postings = (double)essential_postings(w, &n) * places / w->count;
    return w->n_required ? 3.0 * postings : n == 1 ? 1.2 * postings : 2.5 * postings;
}

/* How many places the next window has, a multiple of 64 that ends at most at the last place. */
static uint32_t window_size(sparse_windows *w) {
    uint32_t n, left = w->count - w->base;
    uint64_t postings = essential_postings(w, &n), size;
    if (n == 0) return left;
    if (w->few) size = DENSE;
    else if (n == 1) size = (uint64_t)CANDIDATES * w->count / postings;
    else size = postings * WIDE / w->count < WIDE_POSTINGS ? WIDE : DENSE;
    if (size > WIDE && n > 1) size = WIDE;
    if (size < DENSE) size = DENSE;
    if (size > w->step) size = w->step;
    w->step = w->step < (1u << 30) ? 2 * w->step : w->step;
    size &= ~(uint64_t)63;
    return size < left ? (uint32_t)size : left;
}

/* False when windows go on. */
static bool search_ranges(sparse_windows *w, bool *in_time) {
    if (w->base < w->try_ranges || !ranges_suit(w)) return false;
    if (ranges_search(w, in_time)) return true;
    w->try_ranges = w->base < UINT32_MAX / 2 ? w->base + RETRY : UINT32_MAX;
    return false;
}

bool sparse_windows_search(sparse_windows *w, uint32_t part) {
    const sparse_segment *segment = w->eligible->snapshot->parts[part].segment;
    bool in_time = true;
    w->segment = segment;
    w->count = sparse_segment_count(segment);
    w->documents = sparse_segment_documents(segment, &w->first_document);
    w->bits = w->eligible->bits[part];
    w->few = w->bits && w->eligible->counts[part] < w->count / 4;
    w->prior = prior_of(w, part, &w->prior_max);
    w->step = DENSE;
    w->try_ranges = TRIAL;
    open_cursors(w, part);
    w->phrases = sparse_phrases_open(w->plan, part, w->arena);
    for (uint32_t base = 0; base < w->count && in_time; base += w->size) {
        if (w->clock && clock_monotonic(w->clock) >= w->deadline) return false;
        w->base = base;
        if (search_ranges(w, &in_time)) continue;
        w->size = window_size(w);
        search_window(w);
    }
    return in_time;
}
