/* Lists without a query: the most popular, the newest, a sample, a keyword's documents; and one document's columns. */
#include "sparse/search.h"

#include "sparse/hitheap.h"
#include "sparse/placeset.h"

#include <math.h>

static bool in_set(const sparse_eligible *set, uint32_t part, uint32_t place) {
    return !set->bits[part] || placeset_has(set->bits[part], place);
}

static uint32_t places_of(const sparse_eligible *set, uint32_t part) {
    return sparse_segment_count(set->snapshot->parts[part].segment);
}

/* The popularity of each place of a part, NULL when nobody has one. */
static const double *popularity_of(const sparse_snapshot *s, uint32_t part) {
    if (s->config->popularity < 0) return NULL;
    return sparse_segment_numbers(s->parts[part].segment, (uint32_t)s->config->popularity);
}

/* The order of sparse_segment_by_popularity: none and negative count as 0. */
static uint64_t popularity_key(double popularity) {
    return hit_key_double(popularity > 0 ? popularity : 0);
}

static size_t take_popular(hit_heap *heap, sparse_hit *hits) {
    hit_heap_sort(heap);
    for (size_t i = 0; i < heap->size; i++) {
        hits[i] = (sparse_hit){heap->entries[i].document, sparse_prior_value(hit_double(heap->entries[i].key))};
    }
    return heap->size;
}

/* The permutation is in the heap's own order, so the first that cannot enter ends the walk. */
static void walk_popular(const sparse_eligible *set, uint32_t part, const uint32_t *order, const double *popularity,
                         hit_heap *heap) {
    const sparse_segment *segment = set->snapshot->parts[part].segment;
    for (uint32_t i = 0, count = places_of(set, part); i < count; i++) {
        uint32_t place = order[i];
        if (!in_set(set, part, place)) continue;
        hit_entry entry = {popularity_key(popularity[place]), sparse_segment_document(segment, place)};
        if (hit_heap_full(heap) && !hit_better(entry, heap->entries[0])) return;
        hit_heap_offer(heap, entry.key, entry.document);
    }
}

/* Every member, in the order of places, with the key that its number has; without numbers all are alike. */
static void offer_members(const sparse_eligible *set, uint32_t part, const double *popularity, hit_heap *heap) {
    const sparse_segment *segment = set->snapshot->parts[part].segment;
    uint32_t count = places_of(set, part);
    for (size_t i = 0, words = placeset_words(count); i < words; i++) {
        for (uint64_t word = placeset_word(set->bits[part], i, count); word;) {
            uint32_t place = placeset_take(&word, i);
            hit_heap_offer(heap, popularity_key(popularity ? popularity[place] : 0), sparse_segment_document(segment, place));
        }
    }
}

/* Walking the permutation meets one member in count / members; below one in 64 the bitmap is the shorter way. */
size_t sparse_top_popular(const sparse_eligible *eligible, size_t k, arena *a, sparse_hit *hits) {
    const sparse_snapshot *s = eligible->snapshot;
    hit_heap heap = hit_heap_of(k, eligible->count, a);
    for (uint32_t p = 0; p < s->n_parts && heap.k > 0; p++) {
        const uint32_t *order = sparse_segment_by_popularity(s->parts[p].segment);
        const double *popularity = popularity_of(s, p);
        bool few = eligible->counts[p] < places_of(eligible, p) / 64;
        if (order && popularity && !few) walk_popular(eligible, p, order, popularity, &heap);
        else offer_members(eligible, p, popularity, &heap);
    }
    return take_popular(&heap, hits);
}

size_t sparse_newest(const sparse_eligible *eligible, size_t k, arena *a, sparse_hit *hits) {
    const sparse_snapshot *s = eligible->snapshot;
    hit_heap heap = hit_heap_of(k, eligible->count, a);
    for (uint32_t p = s->n_parts; p-- > 0 && heap.k > 0;) {
        const sparse_segment *segment = s->parts[p].segment;
        uint32_t count = places_of(eligible, p);
        for (size_t i = placeset_words(count); i-- > 0;) {
            for (uint64_t word = placeset_word(eligible->bits[p], i, count); word;) {
                uint32_t place = placeset_take(&word, i);
                uint64_t version = sparse_segment_version(segment, place);
                if (hit_heap_full(&heap) && version < heap.entries[0].key) continue;
                hit_heap_offer(&heap, version, sparse_segment_document(segment, place));
            }
        }
    }
    hit_heap_sort(&heap);
    for (size_t i = 0; i < heap.size; i++) {
        hits[i] = (sparse_hit){heap.entries[i].document, (float)heap.entries[i].key};
    }
    return heap.size;
}

size_t sparse_with_keyword(const sparse_eligible *eligible, uint32_t field, slice value, size_t k, arena *a,
                           sparse_hit *hits) {
    const sparse_snapshot *s = eligible->snapshot;
    slice key = sparse_attribute_key(a, field, value);
    hit_heap heap = hit_heap_of(k, eligible->count, a);
    uint32_t places[SPARSE_BLOCK + 8];
    for (uint32_t p = 0; p < s->n_parts && heap.k > 0; p++) {
        const double *popularity = popularity_of(s, p);
        sparse_term t;
        if (!sparse_segment_term(s->parts[p].segment, key, &t)) continue;
        for (uint32_t b = 0; b < t.n_blocks; b++) {
            uint32_t n = sparse_block_places(&t, b, places);
            for (uint32_t i = 0; i < n; i++) {
                if (places[i] >= places_of(eligible, p) || !in_set(eligible, p, places[i])) continue;
                hit_heap_offer(&heap, popularity_key(popularity ? popularity[places[i]] : 0),
                               sparse_segment_document(s->parts[p].segment, places[i]));
            }
        }
    }
    return take_popular(&heap, hits);
}

/* ---- one document ---- */

double sparse_number_of(const sparse_snapshot *s, uint32_t document, uint32_t field) {
    uint32_t part, place;
    if (!sparse_snapshot_find(s, document, &part, &place)) return NAN;
    const double *numbers = sparse_segment_numbers(s->parts[part].segment, field);
    return numbers ? numbers[place] : NAN;
}

size_t sparse_keywords_of(const sparse_snapshot *s, uint32_t document, uint32_t field, arena *a, slice **values) {
    uint32_t part, place;
    sparse_keywords column;
    *values = NULL;
    if (!sparse_snapshot_find(s, document, &part, &place)) return 0;
    const sparse_segment *segment = s->parts[part].segment;
    if (!sparse_segment_keywords(segment, field, &column)) return 0;
    size_t n = column.starts[place + 1] - column.starts[place];
    *values = arena_alloc(a, n * sizeof **values);
    for (size_t i = 0; i < n; i++) {
        (*values)[i] = sparse_segment_keyword_value(segment, field, column.ordinals[column.starts[place] + i]);
    }
    return n;
}

float sparse_prior_of(const sparse_snapshot *s, uint32_t document) {
    uint32_t part, place;
    float max;
    if (!sparse_snapshot_find(s, document, &part, &place)) return 0;
    const float *prior = sparse_segment_prior(s->parts[part].segment, &max);
    return prior ? prior[place] : 0;
}

uint64_t sparse_version_of(const sparse_snapshot *s, uint32_t document) {
    uint32_t part, place;
    if (!sparse_snapshot_find(s, document, &part, &place)) return 0;
    return sparse_segment_version(s->parts[part].segment, place);
}
