/* What operations on compressed bitmaps cost, beside CRoaring's where it was there to build with:
 *
 *     bitmap_driver PASSES
 *
 * Pairs of sets over 1,113,316 numbers: a thousandth of them at random, a tenth, a half, and runs. Processor time, the least
 * mean of five rounds of PASSES calls, each freeing what it made. CRoaring's sets have had roaring_bitmap_run_optimize.
 * Prints one JSON object; a peer's figure is −1 when there is none. */
#include "base/random.h"
#include "sparse/bitmap.h"

#ifdef HAVE_ROARING
#include <roaring/roaring.h>
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COUNT = 1113316, WORDS = COUNT / 64 + 1, ROUNDS = 5 };

typedef struct set {
    uint64_t words[WORDS];
    uint32_t *values;
    size_t n;
    bitmap *own;
#ifdef HAVE_ROARING
    roaring_bitmap_t *peer;
#endif
} set;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void make_set(set *s, random_source *r, double share, uint32_t run) {
    memset(s, 0, sizeof *s);
    s->values = mem_alloc(COUNT * sizeof *s->values);
    for (uint32_t i = 0; i < COUNT;) {
        bool member = random_double(r) < share;
        uint32_t end = i + 1 + (uint32_t)random_below(r, run);
        for (; i < end && i < COUNT; i++) {
            if (!member) continue;
            s->words[i / 64] |= (uint64_t)1 << i % 64;
            s->values[s->n++] = i;
        }
    }
    s->own = bitmap_of_flat(s->words, COUNT);
#ifdef HAVE_ROARING
    s->peer = roaring_bitmap_of_ptr(s->n, s->values);
    roaring_bitmap_run_optimize(s->peer);
#endif
}

static void free_set(set *s) {
    free(s->values);
    bitmap_destroy(s->own);
#ifdef HAVE_ROARING
    roaring_bitmap_free(s->peer);
#endif
}

/* ---- operations ---- */

typedef uint64_t (*operation)(set *a, set *b);

static uint64_t counted(bitmap *made) {
    uint64_t n = bitmap_cardinality(made);
    bitmap_destroy(made);
    return n;
}
static uint64_t own_and(set *a, set *b) { return counted(bitmap_and(a->own, b->own)); }
static uint64_t own_or(set *a, set *b) { return counted(bitmap_or(a->own, b->own)); }
static uint64_t own_and_not(set *a, set *b) { return counted(bitmap_and_not(a->own, b->own)); }
static uint64_t own_build(set *a, set *b) {
    (void)b;
    return counted(bitmap_of_values(a->values, a->n));
}
static uint64_t own_contains(set *a, set *b) {
    uint64_t n = 0;
    for (size_t i = 0; i < b->n; i += b->n / 1000 + 1) n += bitmap_contains(a->own, b->values[i]);
    return n;
}
static uint64_t own_walk(set *a, set *b) {
    (void)b;
    uint64_t sum = 0;
    uint32_t value;
    bitmap_walk w;
    for (bitmap_walk_start(&w, a->own, 0); bitmap_walk_next(&w, &value);) sum += value;
    return sum;
}
static uint64_t own_fill(set *a, set *b) {
    bitmap_fill_flat(a->own, b->words, WORDS);
    return b->words[0];
}

#ifdef HAVE_ROARING
static uint64_t peer_counted(roaring_bitmap_t *made) {
    uint64_t n = roaring_bitmap_get_cardinality(made);
    roaring_bitmap_free(made);
    return n;
}
static uint64_t peer_and(set *a, set *b) { return peer_counted(roaring_bitmap_and(a->peer, b->peer)); }
static uint64_t peer_or(set *a, set *b) { return peer_counted(roaring_bitmap_or(a->peer, b->peer)); }
static uint64_t peer_and_not(set *a, set *b) { return peer_counted(roaring_bitmap_andnot(a->peer, b->peer)); }
static uint64_t peer_build(set *a, set *b) {
    (void)b;
    return peer_counted(roaring_bitmap_of_ptr(a->n, a->values));
}
static uint64_t peer_contains(set *a, set *b) {
    uint64_t n = 0;
    for (size_t i = 0; i < b->n; i += b->n / 1000 + 1) n += roaring_bitmap_contains(a->peer, b->values[i]);
    return n;
}
static bool add_value(uint32_t value, void *sum) {
    *(uint64_t *)sum += value;
    return true;
}
static uint64_t peer_walk(set *a, set *b) {
    (void)b;
    uint64_t sum = 0;
    roaring_iterate(a->peer, add_value, &sum);
    return sum;
}
#define PEER(name) peer_##name
#else
#define PEER(name) NULL
#endif

static const struct {
    const char *name;
    operation own, peer;
} operations[] = {
    {"and", own_and, PEER(and)}, {"or", own_or, PEER(or)}, {"and not", own_and_not, PEER(and_not)},
    {"from values", own_build, PEER(build)}, {"1,000 look-ups", own_contains, PEER(contains)},
    {"walk", own_walk, PEER(walk)}, {"fill flat", own_fill, NULL},
};

static double measure(operation op, set *a, set *b, size_t passes, uint64_t *result) {
    double best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        for (size_t i = 0; i < passes; i++) *result = op(a, b);
        double took = (now() - start) / (double)passes;
        if (took < best) best = took;
    }
    return best;
}

int main(int argc, char **argv) {
    size_t passes = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    if (passes < 1) return fprintf(stderr, "usage: bitmap_driver PASSES\n"), 1;
    static const struct {
        const char *name;
        double share;
        uint32_t run;
    } kinds[] = {{"1/1000", 0.001, 1}, {"1/10", 0.1, 1}, {"1/2", 0.5, 1}, {"runs of 500", 0.3, 1000}};
    enum { KINDS = sizeof kinds / sizeof *kinds, OPERATIONS = sizeof operations / sizeof *operations };
    static set sets[KINDS], others[KINDS];
    random_source r;
    random_seed(&r, 20260131);
    for (size_t k = 0; k < KINDS; k++) {
        make_set(&sets[k], &r, kinds[k].share, kinds[k].run);
        make_set(&others[k], &r, kinds[k].share, kinds[k].run);
    }
    printf("{\"rows\": [");
    for (size_t x = 0; x < KINDS; x++) {
        for (size_t y = x; y < KINDS; y++) {
            for (size_t o = 0; o < OPERATIONS; o++) {
                uint64_t own = 0, peer = 0;
                if (o >= 3 && y != x) continue; /* of one set */
                double theirs = operations[o].peer ? measure(operations[o].peer, &sets[x], &others[y], passes, &peer) : -1;
                double ours = measure(operations[o].own, &sets[x], &others[y], passes, &own);
                if (operations[o].peer && own != peer) return fprintf(stderr, "%s: results differ\n", operations[o].name), 1;
                printf("%s\n  {\"what\": \"%s, %s%s%s\", \"us\": %.2f, \"peer_us\": %.2f}", x + y + o ? "," : "",
                       operations[o].name, kinds[x].name, o < 3 ? " and " : "", o < 3 ? kinds[y].name : "", ours, theirs);
            }
        }
    }
    printf("],\n \"sizes\": [");
    for (size_t k = 0; k < KINDS; k++) {
        size_t peer = 0;
#ifdef HAVE_ROARING
        peer = roaring_bitmap_portable_size_in_bytes(sets[k].peer);
#endif
        printf("%s\n  {\"what\": \"%s\", \"bytes\": %zu, \"peer_bytes\": %zu}", k ? "," : "", kinds[k].name,
               bitmap_bytes(sets[k].own).size, peer);
    }
    printf("]}\n");
    for (size_t k = 0; k < KINDS; k++) {
        free_set(&sets[k]);
        free_set(&others[k]);
    }
    return 0;
}
