/* Recursive graph bisection, made fast as in Mackenzie, Petri & Moffat 2021, "Faster index reordering with bipartite graph
 * partitioning": gains per term are computed once a pass, nothing is sorted, and exchanging tires.
 *
 * A cut sees only what can tell its documents apart. On the way down, terms that one document or all of a half have are
 * dropped and the others numbered anew, so a half's postings shrink with each level and its tables soon fit the cache. Two
 * buffers take turns: a cut reads its postings, always front to back, from one and writes those of its halves into the same
 * range of the other. During a cut documents stay where they are; only `sides` says which half they belong to.
 *
 * The cost of a term with l documents on the left and r on the right is estimated by -F(l) - F(r), F(x) = x log2(x + 1)
 * (Dhulipala et al., less what is constant when the halves are of equal size). Moving a document from left to
 * right then gains h(r + 1) - h(l) with h(x) = F(x) - F(x - 1). Gains are whole numbers, in units of 1/1024 bit, so that
 * the order of a sum does not decide.
 *
 * Leaves of a block's size are enough: a block of bit-packed gaps costs what its largest need, so what lies within it may
 * as well be ordered by popularity. */
#include "sparse/bisect.h"

#include "base/memory.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEFT, RIGHT, ARRIVED }; /* of a document: its side; ARRIVED: on the right since just now */
enum { NONE = INT32_MAX, MOST = INT32_MAX / 2 };
enum { DEFAULT_LEAF = 128, DEFAULT_ITERATIONS = 20 };
enum {
    UNIT = 1024,
    TIRING = UNIT / 20,
    SETTLED = 200,
    BINS = 1024,
    FEW_BINS = 64,
    SLICE_OF_WORK = 1 << 21,
    NO_TERM = -1
};

/* Documents of a cut: `first` and `n` into the arrays per document, `begin` into the postings. */
typedef struct part {
    uint32_t first, n;
    uint64_t begin;
    uint32_t n_terms;
    unsigned buffer; /* which of the two holds it */
} part;

/* Per document and buffer: which it is, how many terms it has. */
typedef struct bisector {
    uint32_t leaf, iterations;
    const float *popularity;
    bool (*proceed)(void *context);
    void *context;
    uint64_t work; /* postings and documents since `proceed` was called */
    bool stopped;
    uint32_t *ids[2], *sizes[2];
    uint32_t *terms[2];   /* per posting and buffer */
    int32_t *values;      /* per document: what the left loses by it, and the right would not */
    uint8_t *sides;       /* per document */
    uint32_t *degrees[2]; /* per term: documents on each side */
    int32_t *gains[2];    /* per term: of a document's leaving that side; afterwards the term's number in that half */
    int32_t *h;           /* per degree */
} bisector;

static bool may_go_on(bisector *b, uint64_t work) {
    b->work += work;
    if (b->stopped || !b->proceed || b->work < SLICE_OF_WORK) return !b->stopped;
    b->work = 0;
    b->stopped = !b->proceed(b->context);
    return !b->stopped;
}

/* --- one cut ----------------------------------------------------------------------------------------------------- */

/* Returns the number of postings. */
static uint64_t count_degrees(bisector *b, const part *x) {
    const uint32_t *t = b->terms[x->buffer] + x->begin, *sizes = b->sizes[x->buffer] + x->first;
    uint64_t total = 0;
    for (unsigned side = 0; side < 2; side++) memset(b->degrees[side], 0, x->n_terms * sizeof *b->degrees[side]);
    for (uint32_t i = 0; i < x->n; i++) {
        uint32_t *degrees = b->degrees[b->sides[x->first + i]];
        for (uint32_t j = 0; j < sizes[i]; j++) degrees[t[j]]++;
        t += sizes[i];
        total += sizes[i];
    }
    return total;
}

static void compute_gains(bisector *b, uint32_t n_terms) {
    const uint32_t *l = b->degrees[LEFT], *r = b->degrees[RIGHT];
    for (uint32_t t = 0; t < n_terms; t++) {
        b->gains[LEFT][t] = b->h[r[t] + 1] - b->h[l[t]];
        b->gains[RIGHT][t] = b->h[l[t] + 1] - b->h[r[t]];
    }
}

static inline int64_t sum_of(const int32_t *gains, const uint32_t *terms, uint32_t n) {
    int64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += gains[terms[i]];
    return sum;
}

static inline void cross(bisector *b, const uint32_t *terms, uint32_t n, unsigned from) {
    for (uint32_t i = 0; i < n; i++) {
        b->degrees[from][terms[i]]--;
        b->degrees[1 - from][terms[i]]++;
    }
}

typedef struct range {
    int32_t low, high;
} range;

static inline int32_t note_value(int64_t value, range *seen) {
    if (value > MOST) value = MOST;
    if (value < -MOST) value = -MOST;
    if (value < seen->low) seen->low = (int32_t)value;
    if (value > seen->high) seen->high = (int32_t)value;
    return (int32_t)value;
}

/* What every document adds to the gaps' cost on the left, less what on the right; `reluctance` more when it is on the right. */
static range compute_values(bisector *b, const part *x, int32_t reluctance) {
    const uint32_t *t = b->terms[x->buffer] + x->begin, *sizes = b->sizes[x->buffer] + x->first;
    const uint8_t *sides = b->sides + x->first;
    range seen = {INT32_MAX, INT32_MIN};
    for (uint32_t i = 0; i < x->n; t += sizes[i++]) {
        int64_t gain = sum_of(b->gains[sides[i]], t, sizes[i]);
        b->values[x->first + i] = note_value(sides[i] == LEFT ? gain : reluctance - gain, &seen);
    }
    return seen;
}

/* The same of the documents on the right, as if those who have just arrived were on the left; NONE of the others. */
static range compute_values_right(bisector *b, const part *x, int32_t reluctance) {
    const uint32_t *t = b->terms[x->buffer] + x->begin, *sizes = b->sizes[x->buffer] + x->first;
    const uint8_t *sides = b->sides + x->first;
    range seen = {INT32_MAX, INT32_MIN};
    for (uint32_t i = 0; i < x->n; t += sizes[i++]) {
        int32_t *value = b->values + x->first + i;
        if (sides[i] == LEFT) *value = NONE;
        else *value = note_value((sides[i] == RIGHT ? reluctance : 0) - sum_of(b->gains[RIGHT], t, sizes[i]), &seen);
    }
    return seen;
}

typedef struct boundary {
    int32_t value;  /* below it: left */
    uint32_t equal; /* of those that have it, so many: left */
} boundary;

/* The k-th smallest value, by histograms of ever narrower ranges: two or three passes over the values and no sorting. */
static boundary select_boundary(const int32_t *values, uint32_t n, uint32_t k, range r) {
    uint32_t bins[BINS];
    const uint32_t most = n < BINS ? FEW_BINS : BINS;
    for (;;) {
        uint32_t width = (uint32_t)r.high - (uint32_t)r.low, shift = 0;
        while (width >> shift >= most) shift++;
        memset(bins, 0, ((width >> shift) + 1) * sizeof *bins);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t above = (uint32_t)values[i] - (uint32_t)r.low;
            if (above <= width) bins[above >> shift]++;
        }
        uint32_t bin = 0;
        while (bins[bin] < k) k -= bins[bin++];
        int32_t low = (int32_t)((uint32_t)r.low + (bin << shift));
        if (shift == 0) return (boundary){low, k};
        if (bin < width >> shift) r.high = (int32_t)((uint32_t)low + ((1u << shift) - 1));
        if (k == bins[bin]) return (boundary){r.high, k}; /* the whole bin */
        r.low = low;
    }
}

/* Documents on the left that belong on the right go there; of equal values, those on the left stay. Returns how many. */
static uint32_t go_right(bisector *b, const part *x, boundary at) {
    const uint32_t *t = b->terms[x->buffer] + x->begin, *sizes = b->sizes[x->buffer] + x->first;
    const int32_t *values = b->values + x->first;
    uint8_t *sides = b->sides + x->first;
    uint32_t gone = 0;
    for (uint32_t i = 0; i < x->n; t += sizes[i++]) {
        if (sides[i] != LEFT || values[i] < at.value) continue;
        if (values[i] == at.value && at.equal > 0) {
            at.equal--;
            continue;
        }
        sides[i] = ARRIVED;
        cross(b, t, sizes[i], LEFT);
        gone++;
    }
    return gone;
}

/* Documents on the right that belong on the left go there; of equal values, first those that had just arrived. Returns how
 * many of the others did: so many pairs were exchanged. */
static uint32_t go_left(bisector *b, const part *x, boundary at) {
    const uint32_t *t = b->terms[x->buffer] + x->begin, *sizes = b->sizes[x->buffer] + x->first;
    const int32_t *values = b->values + x->first;
    uint8_t *sides = b->sides + x->first;
    uint32_t exchanged = 0, back = 0;
    for (uint32_t i = 0; i < x->n; i++) back += values[i] == at.value && sides[i] == ARRIVED;
    if (back > at.equal) back = at.equal;
    uint32_t others = at.equal - back;
    for (uint32_t i = 0; i < x->n; t += sizes[i++]) {
        if (sides[i] == LEFT) continue;
        const bool arrived = sides[i] == ARRIVED;
        bool goes = values[i] < at.value;
        if (values[i] == at.value) {
            uint32_t *may = arrived ? &back : &others;
            goes = *may > 0;
            *may -= goes;
        }
        sides[i] = goes ? LEFT : RIGHT;
        if (!goes) continue;
        cross(b, t, sizes[i], RIGHT);
        exchanged += !arrived;
    }
    return exchanged;
}

/* All pairs whose exchange gains more than `reluctance`, as in the paper, but one after the other: those on the left go, the
 * gains are computed anew, and only then as many are chosen on the right. When both went at once, documents with the same
 * words would leave both halves together, and come back in the next iteration. Returns how many pairs. */
static uint32_t exchange(bisector *b, const part *x, uint32_t n_left, int32_t reluctance) {
    int32_t *values = b->values + x->first;
    compute_gains(b, x->n_terms);
    range seen = compute_values(b, x, reluctance);
    uint32_t gone = go_right(b, x, select_boundary(values, x->n, n_left, seen));
    if (gone == 0) return 0;
    compute_gains(b, x->n_terms);
    seen = compute_values_right(b, x, reluctance);
    return go_left(b, x, select_boundary(values, x->n, gone, seen));
}

/* The first half begins on the left. Exchanges have to gain more from one iteration to the next; and when hardly any are
 * left, the rest is left to the cuts below. */
static void refine(bisector *b, const part *x, uint32_t n_left) {
    memset(b->sides + x->first, LEFT, n_left);
    memset(b->sides + x->first + n_left, RIGHT, x->n - n_left);
    uint64_t postings = count_degrees(b, x);
    for (uint32_t i = 0; i < b->iterations && may_go_on(b, postings + x->n); i++) {
        uint32_t exchanged = exchange(b, x, n_left, 1 + (int32_t)i * TIRING);
        if (exchanged <= x->n / SETTLED) break;
    }
}

/* --- down the tree ------------------------------------------------------------------------------------------------ */

/* A half's terms are those that some of its documents have and others have not; numbered in the order they had. */
static uint32_t number_terms(const uint32_t *degrees, uint32_t n_terms, uint32_t n, int32_t *number) {
    uint32_t next = 0;
    for (uint32_t t = 0; t < n_terms; t++) number[t] = degrees[t] >= 2 && degrees[t] < n ? (int32_t)next++ : NO_TERM;
    return next;
}

/* Writes the `n` documents of one side into the other buffer, from document `first` and posting `*at`, which is moved on. */
static part copy_half(bisector *b, const part *x, unsigned side, uint32_t first, uint32_t n, uint64_t *at) {
    const unsigned from = x->buffer, to = 1 - from;
    const uint32_t *t = b->terms[from] + x->begin;
    const int32_t *number = b->gains[side];
    part half = {first, n, *at, number_terms(b->degrees[side], x->n_terms, n, b->gains[side]), to};
    uint32_t *out = b->terms[to] + *at;
    for (uint32_t i = x->first; i < x->first + x->n; t += b->sizes[from][i++]) {
        if (b->sides[i] != side) continue;
        uint32_t *begin = out;
        for (uint32_t j = 0; j < b->sizes[from][i]; j++) {
            *out = (uint32_t)number[t[j]];
            out += number[t[j]] != NO_TERM;
        }
        b->ids[to][first] = b->ids[from][i];
        b->sizes[to][first++] = (uint32_t)(out - begin);
    }
    *at = (uint64_t)(out - b->terms[to]);
    return half;
}

static double mean_popularity(const bisector *b, const part *x, unsigned side) {
    double sum = 0;
    uint32_t n = 0;
    for (uint32_t i = x->first; i < x->first + x->n; i++) {
        if (b->sides[i] != side) continue;
        sum += (double)b->popularity[b->ids[x->buffer][i]];
        n++;
    }
    return sum / n;
}

/* More popular, or as popular and earlier in the given order. */
static bool comes_before(const float *popularity, uint32_t a, uint32_t b) {
    return popularity[a] != popularity[b] ? popularity[a] > popularity[b] : a < b;
}

static void sift_down(const float *popularity, uint32_t *heap, size_t n, size_t at) {
    uint32_t id = heap[at];
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && comes_before(popularity, heap[child], heap[child + 1])) child++;
        if (!comes_before(popularity, id, heap[child])) break;
        heap[at] = heap[child];
    }
    heap[at] = id;
}

/* A heap sort: leaves are short, except where there are no terms to cut by, and it needs no memory. */
static void sort_by_popularity(const float *popularity, uint32_t *ids, size_t n) {
    for (size_t i = n / 2; i-- > 0;) sift_down(popularity, ids, n, i);
    for (size_t left = n; left > 1;) {
        uint32_t last = ids[0];
        ids[0] = ids[--left];
        ids[left] = last;
        sift_down(popularity, ids, left, 0);
    }
}

static void finish_leaf(bisector *b, const part *x) {
    uint32_t *ids = b->ids[x->buffer] + x->first;
    if (b->popularity) sort_by_popularity(b->popularity, ids, x->n);
    if (x->buffer != 0) memcpy(b->ids[0] + x->first, ids, x->n * sizeof *ids);
}

static void order_part(bisector *b, part x);

static void order_sides(bisector *b, const part *x, uint32_t n_left, unsigned front) {
    uint32_t n_front = front == LEFT ? n_left : x->n - n_left;
    uint64_t at = x->begin;
    part a = copy_half(b, x, front, x->first, n_front, &at);
    part c = copy_half(b, x, 1 - front, x->first + n_front, x->n - n_front, &at);
    order_part(b, a);
    order_part(b, c);
}

static void order_part(bisector *b, part x) {
    if (x.n <= b->leaf || x.n_terms == 0) {
        finish_leaf(b, &x);
        return;
    }
    const uint32_t n_left = x.n - x.n / 2;
    refine(b, &x, n_left);
    if (b->stopped) return;
    /* Which side comes first matters to the gaps only where the two meet. */
    bool swap = b->popularity && mean_popularity(b, &x, RIGHT) > mean_popularity(b, &x, LEFT);
    order_sides(b, &x, n_left, swap ? RIGHT : LEFT);
}

/* The most popular `head` documents on the left. */
static void order_head(bisector *b, const part *root, uint32_t head) {
    uint32_t *ranked = b->ids[1];
    memcpy(ranked, b->ids[0], root->n * sizeof *ranked);
    sort_by_popularity(b->popularity, ranked, root->n);
    memset(b->sides, RIGHT, root->n);
    for (uint32_t i = 0; i < head; i++) b->sides[ranked[i]] = LEFT;
    count_degrees(b, root);
    order_sides(b, root, head, LEFT);
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

size_t bisect_memory(uint32_t n, uint64_t postings, uint32_t n_terms) {
    return (size_t)n * 33 + (size_t)postings * 8 + (size_t)n_terms * 16 + 4096;
}

/* Counts and numbers the terms that can tell documents apart. Returns their number; in `*postings` those they have. */
static uint32_t choose_terms(bisector *b, const bisect_documents *d, uint32_t min_df, uint64_t *postings) {
    uint32_t *df = b->degrees[0], next = 0;
    memset(df, 0, d->n_terms * sizeof *df);
    for (uint64_t i = 0; i < d->starts[d->n]; i++) {
        assert(d->terms[i] < d->n_terms);
        df[d->terms[i]]++;
    }
    *postings = 0;
    for (uint32_t t = 0; t < d->n_terms; t++) {
        bool used = df[t] >= min_df && df[t] <= d->n / 2;
        b->gains[0][t] = used ? (int32_t)next++ : NO_TERM;
        *postings += used ? df[t] : 0;
    }
    return next;
}

/* Writes the documents with their chosen terms into buffer 0. */
static part fill_root(bisector *b, const bisect_documents *d, uint32_t n_terms) {
    uint32_t *out = b->terms[0];
    for (uint32_t i = 0; i < d->n; i++) {
        const uint32_t *begin = out;
        for (uint64_t j = d->starts[i]; j < d->starts[i + 1]; j++) {
            int32_t number = b->gains[0][d->terms[j]];
            if (number != NO_TERM) *out++ = (uint32_t)number;
        }
        b->ids[0][i] = i;
        b->sizes[0][i] = (uint32_t)(out - begin);
    }
    return (part){0, d->n, 0, n_terms, 0};
}

static void fill_h(int32_t *h, uint32_t most) {
    h[0] = 0; /* nobody leaves a side where nobody is */
    for (uint32_t x = 1; x <= most; x++)
        h[x] = (int32_t)lrint(UNIT * (x * log2(x + 1.0) - (x - 1.0) * log2((double)x)));
}

forage_status bisect_order(bisect_documents *documents, const bisect_options *o, uint32_t *order) {
    const uint32_t n = documents->n, n_terms = documents->n_terms, min_df = o->min_df > 2 ? o->min_df : 2;
    uint64_t postings = documents->starts[n];
    if (o->memory_limit && bisect_memory(n, postings, n_terms) > o->memory_limit) return FORAGE_E_TOO_LARGE;
    bisector b = {.leaf = o->leaf ? o->leaf : DEFAULT_LEAF,
                  .iterations = o->iterations ? o->iterations : DEFAULT_ITERATIONS,
                  .popularity = o->popularity,
                  .proceed = o->proceed,
                  .context = o->context};
    for (unsigned i = 0; i < 2; i++) {
        b.ids[i] = mem_alloc(n * sizeof *b.ids[i]);
        b.sizes[i] = mem_alloc(n * sizeof *b.sizes[i]);
        b.degrees[i] = mem_alloc(n_terms * sizeof *b.degrees[i]);
        b.gains[i] = mem_alloc(n_terms * sizeof *b.gains[i]);
    }
    b.values = mem_alloc(n * sizeof *b.values);
    b.sides = mem_alloc(n);
    b.h = mem_alloc((n / 2 + 2) * sizeof *b.h);
    fill_h(b.h, n / 2 + 1);
    uint32_t kept = choose_terms(&b, documents, min_df, &postings);
    b.terms[0] = mem_alloc(postings * sizeof *b.terms[0]);
    b.terms[1] = documents->terms;
    part root = fill_root(&b, documents, kept);
    if (b.popularity && o->head > 0 && o->head < n) order_head(&b, &root, o->head);
    else order_part(&b, root);
    if (!b.stopped) memcpy(order, b.ids[0], n * sizeof *order);
    for (unsigned i = 0; i < 2; i++) {
        free(b.ids[i]);
        free(b.sizes[i]);
        free(b.degrees[i]);
        free(b.gains[i]);
    }
    free(b.values);
    free(b.sides);
    free(b.h);
    free(b.terms[0]);
    return b.stopped ? FORAGE_E_CLOSED : FORAGE_OK;
}
