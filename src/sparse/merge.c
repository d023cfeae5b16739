/* A k-way merge of dictionaries; the postings of a key are strung together in the order of the inputs, and sorted by their
 * new places when documents change their order. */
#include "sparse/merge.h"

#include "sparse/segment_image.h"
#include "sparse/segment_write.h"

#include <stdlib.h>

#define NONE UINT32_MAX

typedef struct source {
    const sparse_segment *segment;
    uint32_t *moved; /* place → place in the result, or NONE */
    sparse_term_walk walk;
    slice key;
    sparse_term term;
    size_t rank; /* among the inputs */
} source;

static bool is_live(const uint64_t *live, uint32_t place) { return !live || live[place / 64] >> place % 64 & 1; }

bool sparse_merge_fits(const sparse_merge_input *inputs, size_t n) {
    uint64_t places = 0, ordinals[SPARSE_MAX_FIELDS] = {0};
    for (size_t i = 0; i < n; i++) {
        const sparse_segment *s = inputs[i].segment;
        places += sparse_segment_count(s);
        for (uint32_t f = 0; f < sparse_segment_fields(s); f++) {
            sparse_keywords k;
            if (sparse_segment_keywords(s, f, &k)) ordinals[f] += k.starts[sparse_segment_count(s)];
            if (ordinals[f] > UINT32_MAX) return false;
        }
    }
    return places <= SEGMENT_MAX_COUNT;
}

/* --- columns ----------------------------------------------------------------------------------------------------- */

static void copy_columns(const sparse_segment *s, const uint32_t *moved, const sparse_config *config,
                         segment_columns *columns) {
    uint32_t count = sparse_segment_count(s);
    for (uint32_t p = 0; p < count; p++) {
        if (moved[p] == NONE) continue;
        columns->documents[moved[p]] = sparse_segment_document(s, p);
        columns->versions[moved[p]] = sparse_segment_version(s, p);
    }
    for (uint32_t f = 0; f < config->n_fields; f++) {
        const double *numbers = sparse_segment_numbers(s, f);
        for (uint32_t p = 0; p < count; p++) {
            if (moved[p] == NONE) continue;
            if (columns->lengths[f]) columns->lengths[f][moved[p]] = sparse_segment_length(s, f, p);
            if (columns->spans[f]) columns->spans[f][moved[p]] = sparse_segment_span(s, f, p);
            if (columns->numbers[f] && numbers) columns->numbers[f][moved[p]] = numbers[p];
        }
    }
}

static source *open_sources(const sparse_merge_input *inputs, size_t n, const uint32_t *order, uint32_t *count) {
    source *sources = mem_zalloc(n, sizeof *sources);
    uint32_t next = 0;
    for (size_t i = 0; i < n; i++) {
        source *s = &sources[i];
        uint32_t places = sparse_segment_count(inputs[i].segment);
        s->segment = inputs[i].segment;
        s->rank = i;
        s->moved = mem_alloc(places * sizeof *s->moved);
        for (uint32_t p = 0; p < places; p++) {
            bool live = is_live(inputs[i].live, p);
            s->moved[p] = !live ? NONE : order ? order[next] : next;
            next += live;
        }
        sparse_term_walk_start(&s->walk, s->segment, (slice){0});
    }
    *count = next;
    return sources;
}

/* --- terms: a heap of sources by (key, rank) ---------------------------------------------------------------------- */

static bool before(const source *a, const source *b) {
    int order = slice_compare(a->key, b->key);
    return order != 0 ? order < 0 : a->rank < b->rank;
}

static void sift_down(source **heap, size_t n, size_t at) {
    source *s = heap[at];
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(heap[child + 1], heap[child])) child++;
        if (!before(heap[child], s)) break;
        heap[at] = heap[child];
    }
    heap[at] = s;
}

/* The live postings of the source's term, one after the other. A word whose positions are damaged, which opening does not
 * find, stands at the document's beginning. */
static void each_posting(const source *s, slice key, arena *a, void (*add)(void *, uint32_t, const uint32_t *, uint32_t),
                         void *to) {
    static const uint32_t beginning[1] = {0};
    sparse_positions r;
    sparse_positions_open(&r, &s->term, a);
    for (uint32_t i = 0; i < s->term.n_blocks; i++) {
        uint32_t places[SPARSE_BLOCK + 8];
        uint8_t impacts[SPARSE_BLOCK + 8];
        uint32_t n = sparse_block_decode(&s->term, i, places, impacts);
        for (uint32_t j = 0; j < n; j++) {
            if (s->moved[places[j]] == NONE) continue;
            const uint32_t *positions = beginning;
            uint32_t n_positions = 0;
            if (segment_has_positions(key.data[0])) {
                n_positions = sparse_positions_at(&r, i, j, &positions);
                if (n_positions == 0) positions = beginning, n_positions = 1;
            }
            add(to, s->moved[places[j]], positions, n_positions);
        }
    }
}

/* Where the postings of one key go: to the writer at once, or, when their order changes, into arrays first. */
typedef struct gathering {
    segment_writer *writer;
    slice key;
    bool begun, ordered; /* ordered: places of the result ascend as they come */
    uint64_t *postings, *spare; /* new place << 32 | which; spare: for sorting */
    uint64_t *starts;           /* of each one's positions, and the end */
    uint32_t *positions;
    size_t n, n_positions, postings_room, spare_room, starts_room, positions_room;
} gathering;

static void write_posting(void *to, uint32_t place, const uint32_t *positions, uint32_t n) {
    gathering *g = to;
    if (!g->begun) segment_writer_begin(g->writer, g->key);
    g->begun = true;
    segment_writer_posting(g->writer, place, positions, n);
}

static void gather_posting(void *to, uint32_t place, const uint32_t *positions, uint32_t n) {
    gathering *g = to;
    if (g->n >= g->postings_room)
        g->postings = mem_grow(g->postings, &g->postings_room, g->n + 1, sizeof *g->postings);
    if (g->n + 2 > g->starts_room) g->starts = mem_grow(g->starts, &g->starts_room, g->n + 2, sizeof *g->starts);
    if (g->n_positions + n > g->positions_room)
        g->positions = mem_grow(g->positions, &g->positions_room, g->n_positions + n, sizeof *g->positions);
    if (n > 0) memcpy(g->positions + g->n_positions, positions, n * sizeof *positions);
    g->postings[g->n] = (uint64_t)place << 32 | g->n;
    g->starts[g->n++] = g->n_positions;
    g->starts[g->n] = g->n_positions += n;
}

/* By place. A few are inserted one by one; many go by 11 bits of the place at a time, the lowest first. */
static void sort_postings(gathering *g, uint32_t count) {
    enum { FEW = 64, DIGIT = 11, VALUES = 1 << DIGIT };
    uint64_t *p = g->postings;
    for (size_t i = 1; i < g->n && g->n <= FEW; i++) {
        uint64_t posting = p[i];
        size_t at = i;
        for (; at > 0 && p[at - 1] > posting; at--) p[at] = p[at - 1];
        p[at] = posting;
    }
    if (g->n <= FEW) return;
    g->spare = mem_grow(g->spare, &g->spare_room, g->n, sizeof *g->spare);
    for (unsigned shift = 0; shift < 32 && count >> shift > 0; shift += DIGIT) {
        size_t next[VALUES + 1] = {0};
        for (size_t i = 0; i < g->n; i++) next[(g->postings[i] >> (32 + shift)) % VALUES + 1]++;
        for (size_t v = 0; v < VALUES; v++) next[v + 1] += next[v];
        for (size_t i = 0; i < g->n; i++) g->spare[next[(g->postings[i] >> (32 + shift)) % VALUES]++] = g->postings[i];
        uint64_t *sorted = g->spare;
        size_t room = g->spare_room;
        g->spare = g->postings;
        g->spare_room = g->postings_room;
        g->postings = sorted;
        g->postings_room = room;
    }
}

static void write_gathered(gathering *g, uint32_t count) {
    sort_postings(g, count);
    for (size_t i = 0; i < g->n; i++) {
        uint32_t which = (uint32_t)g->postings[i];
        uint64_t start = g->starts[which], n = g->starts[which + 1] - start;
        write_posting(g, (uint32_t)(g->postings[i] >> 32), g->positions + start, (uint32_t)n);
    }
    g->n = g->n_positions = 0;
}

static void add_term(gathering *g, const source *s, arena *a) {
    each_posting(s, g->key, a, g->ordered ? write_posting : gather_posting, g);
    arena_reset(a);
}

static void release_gathering(gathering *g) {
    free(g->postings);
    free(g->spare);
    free(g->starts);
    free(g->positions);
}

static void merge_terms(source *sources, size_t n, uint32_t count, bool ordered, segment_writer *w) {
    source **heap = mem_alloc(n * sizeof *heap);
    size_t left = 0;
    for (size_t i = 0; i < n; i++)
        if (sparse_term_walk_next(&sources[i].walk, &sources[i].key, &sources[i].term)) heap[left++] = &sources[i];
    for (size_t i = left / 2; i-- > 0;) sift_down(heap, left, i);
    uint8_t bytes[SEGMENT_MAX_KEY];
    gathering g = {.writer = w, .ordered = ordered};
    arena memory;
    arena_init(&memory, 0);
    while (left > 0) {
        g.key = (slice){(const char *)bytes, heap[0]->key.size};
        memcpy(bytes, heap[0]->key.data, g.key.size); /* the walk's own bytes change when it moves on */
        g.begun = false;
        while (left > 0 && slice_equal(heap[0]->key, g.key)) {
            source *s = heap[0];
            add_term(&g, s, &memory);
            if (!sparse_term_walk_next(&s->walk, &s->key, &s->term)) heap[0] = heap[--left];
            if (left > 0) sift_down(heap, left, 0);
        }
        write_gathered(&g, count);
        if (g.begun) segment_writer_end(w);
    }
    arena_release(&memory);
    release_gathering(&g);
    free(heap);
}

void sparse_merge(const sparse_merge_input *inputs, size_t n, const uint32_t *order, const sparse_config *config,
                  const sparse_statistics *statistics, buffer *out) {
    uint32_t count;
    source *sources = open_sources(inputs, n, order, &count);
    segment_columns columns;
    segment_columns_init(&columns, config, count);
    for (size_t i = 0; i < n; i++) copy_columns(sources[i].segment, sources[i].moved, config, &columns);
    segment_writer *w = segment_writer_create(config, &columns, statistics);
    merge_terms(sources, n, count, order == NULL, w);
    segment_writer_finish(w, out);
    segment_writer_destroy(w);
    segment_columns_release(&columns);
    for (size_t i = 0; i < n; i++) free(sources[i].moved);
    free(sources);
}
