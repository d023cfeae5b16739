/* A k-way merge of dictionaries; the postings of a key are strung together in the order of the inputs, and sorted by their
 * new places when documents change their order. */
#include "sparse/merge_inputs.h"
#include "sparse/segment_image.h"
#include "sparse/segment_write.h"

#include <stdlib.h>

enum { BLOCKS_OF_WORK = 256 };

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
        if (moved[p] == MERGE_NONE) continue;
        columns->documents[moved[p]] = sparse_segment_document(s, p);
        columns->versions[moved[p]] = sparse_segment_version(s, p);
    }
    for (uint32_t f = 0; f < config->n_fields; f++) {
        const double *numbers = sparse_segment_numbers(s, f);
        for (uint32_t p = 0; p < count; p++) {
            if (moved[p] == MERGE_NONE) continue;
            if (columns->lengths[f]) columns->lengths[f][moved[p]] = sparse_segment_length(s, f, p);
            if (columns->spans[f]) columns->spans[f][moved[p]] = sparse_segment_span(s, f, p);
            if (columns->numbers[f] && numbers) columns->numbers[f][moved[p]] = numbers[p];
        }
    }
}

/* --- terms ------------------------------------------------------------------------------------------------------- */

/* Where the postings of one key go: to the writer at once, or, when their order changes, into arrays first. A weight takes the
 * place of positions. */
typedef struct gathering {
    segment_writer *writer;
    slice key;
    const sparse_work *work;
    uint32_t blocks;     /* of postings that passed since others got their turn */
    bool begun, ordered; /* ordered: places of the result ascend as they come */
    bool ended;          /* the work was */
    uint64_t *postings, *spare; /* new place << 32 | which; spare: for sorting */
    uint64_t *starts;           /* of each one's positions, and the end */
    uint32_t *positions;
    size_t n, n_positions, postings_room, spare_room, starts_room, positions_room;
} gathering;

static void pass_block(gathering *g) {
    if (++g->blocks < BLOCKS_OF_WORK) return;
    g->blocks = 0;
    g->ended = g->ended || !sparse_work_proceed(g->work, 0);
}

static void write_posting(gathering *g, uint32_t place, const uint32_t *positions, uint32_t n) {
    if (!g->begun) segment_writer_begin(g->writer, g->key);
    g->begun = true;
    if (g->key.data[0] == SPARSE_SPACE_WEIGHT) segment_writer_weight(g->writer, place, (uint8_t)positions[0]);
    else segment_writer_posting(g->writer, place, positions, n);
}

static void gather_posting(gathering *g, uint32_t place, const uint32_t *positions, uint32_t n) {
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
    g->blocks += (uint32_t)(g->n / SPARSE_BLOCK);
    for (size_t i = 0; i < g->n; i++) {
        uint32_t which = (uint32_t)g->postings[i];
        uint64_t start = g->starts[which], n = g->starts[which + 1] - start;
        write_posting(g, (uint32_t)(g->postings[i] >> 32), g->positions + start, (uint32_t)n);
        if (i % SPARSE_BLOCK == SPARSE_BLOCK - 1) pass_block(g);
    }
    g->n = g->n_positions = 0;
}

/* The live postings of the source's term, one after the other. A word whose positions are damaged, which opening does not
 * find, stands at the document's beginning. */
static void add_term(gathering *g, const merge_source *s, arena *a) {
    static const uint32_t beginning[1] = {0};
    bool weighted = g->key.data[0] == SPARSE_SPACE_WEIGHT;
    sparse_positions r;
    sparse_positions_open(&r, &s->term, a);
    for (uint32_t i = 0; i < s->term.n_blocks; i++) {
        uint32_t places[SPARSE_BLOCK + 8], weight;
        uint8_t impacts[SPARSE_BLOCK + 8];
        uint32_t n = weighted ? sparse_block_decode(&s->term, i, places, impacts) : sparse_block_places(&s->term, i, places);
        for (uint32_t j = 0; j < n; j++) {
            if (s->moved[places[j]] == MERGE_NONE) continue;
            const uint32_t *positions = beginning;
            uint32_t n_positions = 0;
            if (weighted) {
                weight = impacts[j] ? impacts[j] : 1; /* none is 0 unless the image is damaged */
                positions = &weight, n_positions = 1;
            } else if (segment_has_positions(g->key.data[0])) {
                n_positions = sparse_positions_at(&r, i, j, &positions);
                if (n_positions == 0) positions = beginning, n_positions = 1;
            }
            (g->ordered ? write_posting : gather_posting)(g, s->moved[places[j]], positions, n_positions);
        }
        pass_block(g);
    }
    arena_reset(a);
}

static void release_gathering(gathering *g) {
    free(g->postings);
    free(g->spare);
    free(g->starts);
    free(g->positions);
}

/* False when the work was ended. */
static bool merge_terms(merge_inputs *m, bool ordered, const sparse_work *work, segment_writer *w) {
    uint8_t bytes[SEGMENT_MAX_KEY];
    gathering g = {.writer = w, .ordered = ordered, .work = work};
    arena memory;
    arena_init(&memory, 0);
    merge_inputs_start(m, (slice){0});
    for (merge_source *s; !g.ended && !segment_writer_failed(w) && (s = merge_inputs_first(m)) != NULL;) {
        g.key = (slice){(const char *)bytes, s->key.size};
        memcpy(bytes, s->key.data, g.key.size); /* the walk's own bytes change when it moves on */
        g.begun = false;
        for (; s && slice_equal(s->key, g.key); s = merge_inputs_first(m)) {
            add_term(&g, s, &memory);
            merge_inputs_next(m);
        }
        write_gathered(&g, m->count);
        if (g.begun) segment_writer_end(w);
    }
    arena_release(&memory);
    release_gathering(&g);
    return !g.ended;
}

/* To the path, or when it is NULL to `out`. */
static forage_status merge(const sparse_merge_input *inputs, size_t n, const uint32_t *order,
                           const sparse_config *config, const sparse_statistics *statistics, const char *path,
                           const sparse_work *work, buffer *out, base_error *error) {
    merge_inputs m;
    merge_inputs_open(&m, inputs, n, order);
    segment_columns columns;
    segment_columns_init(&columns, config, m.count);
    for (size_t i = 0; i < n; i++) {
        copy_columns(m.sources[i].segment, m.sources[i].moved, config, &columns);
        sparse_work_proceed(work, 0); /* whether it goes on is asked below */
    }
    segment_writer *w = segment_writer_create(config, &columns, statistics);
    if (path) segment_writer_use_file(w, path, work);
    sparse_work_proceed(work, 0);
    forage_status status = FORAGE_OK;
    if (!merge_terms(&m, order == NULL, work, w)) status = error_set(error, FORAGE_E_CLOSED, "merging was ended");
    else if (path) status = segment_writer_finish_file(w, error);
    else segment_writer_finish(w, out);
    segment_writer_destroy(w);
    segment_columns_release(&columns);
    merge_inputs_release(&m);
    return status;
}

void sparse_merge(const sparse_merge_input *inputs, size_t n, const uint32_t *order, const sparse_config *config,
                  const sparse_statistics *statistics, buffer *out) {
    merge(inputs, n, order, config, statistics, NULL, NULL, out, NULL);
}

forage_status sparse_merge_to_memory(const sparse_merge_input *inputs, size_t n, const sparse_config *config,
                                     const sparse_statistics *statistics, const sparse_work *work, buffer *out,
                                     base_error *error) {
    return merge(inputs, n, NULL, config, statistics, NULL, work, out, error);
}

forage_status sparse_merge_to_file(const sparse_merge_input *inputs, size_t n, const uint32_t *order,
                                   const sparse_config *config, const sparse_statistics *statistics, const char *path,
                                   const sparse_work *work, base_error *error) {
    return merge(inputs, n, order, config, statistics, path, work, NULL, error);
}
