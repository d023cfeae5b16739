/* A k-way merge of dictionaries; the postings of a key are strung together in the order of the inputs. */
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
            if (columns->numbers[f] && numbers) columns->numbers[f][moved[p]] = numbers[p];
        }
        for (uint32_t p = 0; columns->kept[f] && f < sparse_segment_fields(s) && p < count; p++) {
            sparse_forward o;
            if (moved[p] == NONE) continue;
            sparse_segment_forward(s, f, p, &o);
            uint8_t kept = (uint8_t)(o.n | (o.cut ? SEGMENT_FORWARD_CUT : 0));
            segment_columns_forward(columns, f, moved[p], kept, o.tokens);
        }
    }
}

static source *open_sources(const sparse_merge_input *inputs, size_t n, uint32_t *count) {
    source *sources = mem_zalloc(n, sizeof *sources);
    uint32_t next = 0;
    for (size_t i = 0; i < n; i++) {
        source *s = &sources[i];
        uint32_t places = sparse_segment_count(inputs[i].segment);
        s->segment = inputs[i].segment;
        s->rank = i;
        s->moved = mem_alloc(places * sizeof *s->moved);
        for (uint32_t p = 0; p < places; p++) s->moved[p] = is_live(inputs[i].live, p) ? next++ : NONE;
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

/* Appends the live postings of the source's term; begins the term at the first. */
static void append_postings(segment_writer *w, slice key, const source *s, bool *begun) {
    const sparse_term *t = &s->term;
    bool text = key.data[0] == SPARSE_SPACE_TEXT;
    for (uint32_t i = 0; i < t->n_blocks; i++) {
        uint32_t places[SPARSE_BLOCK + 8];
        uint8_t impacts[SPARSE_BLOCK + 8];
        uint32_t n = sparse_block_decode(t, i, places, impacts);
        const uint8_t *p = NULL, *end = NULL;
        if (text && !segment_block_codes(t, i, &p, &end)) p = NULL;
        for (uint32_t j = 0; j < n; j++) {
            segment_frequency f[SPARSE_MAX_FIELDS];
            uint32_t n_fields = 0;
            if (p) p = segment_get_frequencies(p, end, s->segment->n_text, f, &n_fields);
            uint32_t place = s->moved[places[j]];
            if (place == NONE) continue;
            if (!*begun) segment_writer_begin(w, key);
            *begun = true;
            segment_writer_posting(w, place, f, p ? n_fields : 0);
        }
    }
}

static void merge_terms(source *sources, size_t n, segment_writer *w) {
    source **heap = mem_alloc(n * sizeof *heap);
    size_t left = 0;
    for (size_t i = 0; i < n; i++)
        if (sparse_term_walk_next(&sources[i].walk, &sources[i].key, &sources[i].term)) heap[left++] = &sources[i];
    for (size_t i = left / 2; i-- > 0;) sift_down(heap, left, i);
    uint8_t bytes[SEGMENT_MAX_KEY];
    while (left > 0) {
        slice key = {(const char *)bytes, heap[0]->key.size};
        memcpy(bytes, heap[0]->key.data, key.size); /* the walk's own bytes change when it moves on */
        bool begun = false;
        while (left > 0 && slice_equal(heap[0]->key, key)) {
            source *s = heap[0];
            append_postings(w, key, s, &begun);
            if (!sparse_term_walk_next(&s->walk, &s->key, &s->term)) heap[0] = heap[--left];
            if (left > 0) sift_down(heap, left, 0);
        }
        if (begun) segment_writer_end(w);
    }
    free(heap);
}

void sparse_merge(const sparse_merge_input *inputs, size_t n, const sparse_config *config,
                  const sparse_statistics *statistics, buffer *out) {
    uint32_t count;
    source *sources = open_sources(inputs, n, &count);
    segment_columns columns;
    segment_columns_init(&columns, config, count);
    for (size_t i = 0; i < n; i++) copy_columns(sources[i].segment, sources[i].moved, config, &columns);
    segment_writer *w = segment_writer_create(config, &columns, statistics);
    merge_terms(sources, n, w);
    segment_writer_finish(w, out);
    segment_writer_destroy(w);
    segment_columns_release(&columns);
    for (size_t i = 0; i < n; i++) free(sources[i].moved);
    free(sources);
}
