/* Walking the dictionary with an eye on what can still come.
 *
 * A fuzzy walk keeps the automaton's state after each byte of the key at hand. The next key shares its first bytes with it,
 * so only the others are read. A key at whose byte d the automaton dies rules out everything with the same first d + 1
 * bytes: levenshtein_next gives a lower bound of what may match after that, and the dictionary is searched for it,
 * forward from where it is. */
#include "sparse/enumerate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { CLOCK_EVERY = 256 };

/* --- one segment ------------------------------------------------------------------------------------------------- */

static void want(sparse_enumerator *e, slice key) {
    assert(key.size <= sizeof e->to);
    if (key.size) memcpy(e->to, key.data, key.size);
    e->to_size = key.size;
}

static void start(sparse_enumerator *e, const sparse_segment *s, const sparse_effort *effort) {
    memset(&e->walk, 0, offsetof(sparse_term_walk, key));
    e->walk.segment = s;
    e->effort = *effort;
    e->space = e->high = (slice){0};
    e->automaton = NULL;
    e->looked = 0;
    e->cut = e->ended = false;
    e->depth = 0;
}

void sparse_enumerate_range(sparse_enumerator *e, const sparse_segment *s, slice space, slice from, slice high,
                            const sparse_effort *effort) {
    start(e, s, effort);
    e->space = space;
    e->high = high;
    want(e, from);
}

void sparse_enumerate_prefix(sparse_enumerator *e, const sparse_segment *s, slice prefix, const sparse_effort *effort) {
    sparse_enumerate_range(e, s, prefix, prefix, (slice){0}, effort);
}

void sparse_enumerate_fuzzy(sparse_enumerator *e, const sparse_segment *s, slice space, levenshtein *automaton,
                            const sparse_effort *effort) {
    sparse_enumerate_range(e, s, space, space, (slice){0}, effort);
    e->automaton = automaton;
    e->states[0] = levenshtein_start(automaton);
    levenshtein_letters(automaton, &e->walk.wanted, &e->walk.wanted_anywhere);
    e->walk.missing = levenshtein_edits(automaton);
}

static bool exhausted(sparse_enumerator *e) {
    const sparse_effort *f = &e->effort;
    bool late = f->clock && e->looked % CLOCK_EVERY == 0 && clock_monotonic(f->clock) >= f->deadline;
    e->cut = e->cut || late || (f->most && e->looked >= f->most);
    return e->cut;
}

/* Reads what of the key is new. False: it and everything with its first depth + 1 bytes match nothing. */
static bool follow(sparse_enumerator *e, slice key, size_t shared) {
    const uint8_t *text = (const uint8_t *)key.data + e->space.size;
    size_t size = key.size - e->space.size, known = shared > e->space.size ? shared - e->space.size : 0;
    if (known < e->depth) e->depth = known;
    while (e->depth < size) {
        levenshtein_state to = levenshtein_step(e->automaton, e->states[e->depth], text[e->depth]);
        if (to == LEVENSHTEIN_DEAD) return false;
        e->states[++e->depth] = to;
    }
    return true;
}

/* The key died at byte depth: what is wanted next. */
static void jump(sparse_enumerator *e, slice key) {
    const uint8_t *text = (const uint8_t *)key.data + e->space.size;
    size_t n = levenshtein_next(e->automaton, e->states, text, e->depth, e->to + e->space.size);
    e->ended = n == 0;
    e->to_size = n ? e->space.size + n : 0;
}

static bool begins_with(slice key, slice prefix) {
    return key.size >= prefix.size && memcmp(key.data, prefix.data, prefix.size) == 0;
}

bool sparse_enumerate_next(sparse_enumerator *e, sparse_enumerated *out) {
    sparse_term term;
    slice key;
    size_t shared;
    while (!e->ended && !exhausted(e)) {
        if (!sparse_term_walk_skip(&e->walk, (slice){(const char *)e->to, e->to_size}, &key, &shared, &term)) break;
        e->looked++;
        if (e->space.size && !begins_with(key, e->space)) break;
        if (e->high.size && slice_compare(key, e->high) >= 0) break;
        uint8_t distance = 0;
        if (e->automaton && !follow(e, key, shared)) {
            jump(e, key);
            continue;
        }
        e->to_size = 0;
        if (e->automaton) distance = levenshtein_distance(e->automaton, e->states[e->depth]);
        if (distance == LEVENSHTEIN_NONE) continue;
        *out = (sparse_enumerated){key, term.df, distance};
        return true;
    }
    if (e->automaton && levenshtein_full(e->automaton)) e->cut = true;
    e->ended = true;
    return false;
}

/* --- a snapshot -------------------------------------------------------------------------------------------------- */

/* The parts' enumerations as one: a heap with the smallest key on top. */
typedef struct source {
    sparse_enumerator walk;
    sparse_enumerated at;
} source;

typedef struct join {
    source *sources;
    uint32_t n_sources;
    source **heap;
    uint32_t n;
    uint8_t key[SPARSE_MAX_TERM + 16];
} join;

static bool before(const source *x, const source *y) { return slice_compare(x->at.key, y->at.key) < 0; }

static void sift_down(join *j, uint32_t i) {
    source *moved = j->heap[i];
    for (uint32_t child; (child = 2 * i + 1) < j->n; i = child) {
        if (child + 1 < j->n && before(j->heap[child + 1], j->heap[child])) child++;
        if (!before(j->heap[child], moved)) break;
        j->heap[i] = j->heap[child];
    }
    j->heap[i] = moved;
}

static void join_create(join *j, const sparse_snapshot *s, arena *a) {
    j->n_sources = s->n_parts;
    j->n = 0;
    j->sources = arena_alloc(a, s->n_parts * sizeof *j->sources);
    j->heap = arena_alloc(a, s->n_parts * sizeof *j->heap);
}

/* After every source has been started. */
static void join_start(join *j) {
    for (uint32_t i = 0; i < j->n_sources; i++)
        if (sparse_enumerate_next(&j->sources[i].walk, &j->sources[i].at)) j->heap[j->n++] = &j->sources[i];
    for (uint32_t i = j->n / 2; i-- > 0;) sift_down(j, i);
}

static void advance_top(join *j) {
    if (!sparse_enumerate_next(&j->heap[0]->walk, &j->heap[0]->at)) j->heap[0] = j->heap[--j->n];
    if (j->n > 1) sift_down(j, 0);
}

/* The next key, once, with its documents in all parts. The key: until the next call. */
static bool join_next(join *j, sparse_enumerated *out) {
    if (j->n == 0) return false;
    *out = j->heap[0]->at;
    memcpy(j->key, out->key.data, out->key.size);
    out->key.data = (const char *)j->key;
    advance_top(j);
    while (j->n > 0 && slice_equal(j->heap[0]->at.key, out->key)) {
        out->df += j->heap[0]->at.df;
        advance_top(j);
    }
    return true;
}

static void join_end(const join *j, sparse_vocabulary *out) {
    for (uint32_t i = 0; i < j->n_sources; i++) {
        out->looked += j->sources[i].walk.looked;
        out->cut = out->cut || j->sources[i].walk.cut;
    }
}

/* By distance, most frequent first, then by key. */
static int worth(const sparse_enumerated *a, const sparse_enumerated *b) {
    if (a->distance != b->distance) return a->distance < b->distance ? -1 : 1;
    if (a->df != b->df) return a->df > b->df ? -1 : 1;
    return slice_compare(a->key, b->key);
}

static int compare_worth(const void *x, const void *y) { return worth(x, y); }

/* A heap of the best terms, the worst of them on top: only what enters it is copied to the arena. */
typedef struct best {
    sparse_enumerated *terms;
    size_t n, limit;
    bool more;
} best;

static void best_down(best *b, size_t i) {
    sparse_enumerated moved = b->terms[i];
    for (size_t child; (child = 2 * i + 1) < b->n; i = child) {
        if (child + 1 < b->n && worth(&b->terms[child + 1], &b->terms[child]) > 0) child++;
        if (worth(&b->terms[child], &moved) <= 0) break;
        b->terms[i] = b->terms[child];
    }
    b->terms[i] = moved;
}

static void best_up(best *b, size_t i) {
    sparse_enumerated moved = b->terms[i];
    for (; i > 0 && worth(&moved, &b->terms[(i - 1) / 2]) > 0; i = (i - 1) / 2) b->terms[i] = b->terms[(i - 1) / 2];
    b->terms[i] = moved;
}

static void best_offer(best *b, const sparse_enumerated *term, arena *a) {
    if (b->n == b->limit) b->more = true;
    if (b->n == b->limit && (b->limit == 0 || worth(term, &b->terms[0]) >= 0)) return;
    sparse_enumerated kept = *term;
    kept.key = arena_slice(a, term->key);
    if (b->n < b->limit) {
        b->terms[b->n++] = kept;
        best_up(b, b->n - 1);
    } else {
        b->terms[0] = kept;
        best_down(b, 0);
    }
}

static void take_best(join *j, size_t limit, arena *a, sparse_vocabulary *out) {
    best b = {.terms = arena_alloc(a, (limit + 1) * sizeof *b.terms), .limit = limit};
    sparse_enumerated term;
    join_start(j);
    while (join_next(j, &term)) best_offer(&b, &term, a);
    if (b.n) qsort(b.terms, b.n, sizeof *b.terms, compare_worth);
    *out = (sparse_vocabulary){.n = b.n, .terms = b.terms, .more = b.more};
    join_end(j, out);
}

void sparse_vocabulary_prefix(const sparse_snapshot *s, slice prefix, size_t limit, const sparse_effort *effort, arena *a,
                              sparse_vocabulary *out) {
    join j;
    join_create(&j, s, a);
    for (uint32_t i = 0; i < s->n_parts; i++)
        sparse_enumerate_prefix(&j.sources[i].walk, s->parts[i].segment, prefix, effort);
    take_best(&j, limit, a, out);
}

void sparse_vocabulary_fuzzy(const sparse_snapshot *s, slice space, levenshtein *automaton, size_t limit,
                             const sparse_effort *effort, arena *a, sparse_vocabulary *out) {
    join j;
    join_create(&j, s, a);
    for (uint32_t i = 0; i < s->n_parts; i++)
        sparse_enumerate_fuzzy(&j.sources[i].walk, s->parts[i].segment, space, automaton, effort);
    take_best(&j, limit, a, out);
}

void sparse_vocabulary_range(const sparse_snapshot *s, slice space, slice from, slice high, size_t limit,
                             const sparse_effort *effort, arena *a, sparse_vocabulary *out) {
    join j;
    sparse_enumerated term;
    *out = (sparse_vocabulary){.terms = arena_alloc(a, (limit + 1) * sizeof *out->terms)};
    join_create(&j, s, a);
    for (uint32_t i = 0; i < s->n_parts; i++)
        sparse_enumerate_range(&j.sources[i].walk, s->parts[i].segment, space, from, high, effort);
    join_start(&j);
    while (!out->more && join_next(&j, &term)) {
        if (out->n == limit) {
            out->more = true;
            break;
        }
        term.key = arena_slice(a, term.key);
        out->terms[out->n++] = term;
    }
    join_end(&j, out);
}
