/* A segment image made of any bytes is either refused or safe to read, walk, enumerate, search, validate and merge; what is
 * valid is searched right. Checksums are made to match first, so that what they would hide is reached too; the bytes as they
 * are come second. */
#include "base/hash.h"
#include "sparse/enumerate.h"
#include "sparse/match.h"
#include "sparse/merge.h"
#include "sparse/search.h"
#include "sparse/segment_format.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const sparse_config config = {
    .n_fields = 6,
    .fields = {{"title", SPARSE_TEXT, 2.0f}, {"brand", SPARSE_KEYWORD, 0}, {"plays", SPARSE_NUMBER, 0},
               {"body", SPARSE_TEXT, 1.0f}, {"year", SPARSE_NUMBER, 0}, {"tokens", SPARSE_WEIGHTS, 0}},
    .k1 = 1.2f, .b = 0.75f, .popularity = 2, .type = -1};

/* Sets magic, version, size and every hash, where the bytes have a place for them: the table of sections is where it ends
 * just before the hashes. */
static void seal(uint8_t *image, size_t size) {
    segment_header h;
    if (size < sizeof h) return;
    memcpy(&h, image, sizeof h);
    memcpy(h.magic, SEGMENT_MAGIC, sizeof h.magic);
    h.version = SEGMENT_VERSION;
    h.size = size;
    uint64_t n = segment_hashes(size), end = size - n * sizeof(uint64_t);
    if (size < sizeof h + n * sizeof(uint64_t)) return;
    n = segment_hashes(end);
    end = size - n * sizeof(uint64_t);
    uint64_t table_size = (uint64_t)h.n_sections * sizeof(segment_section);
    if (table_size <= end - sizeof h) h.table = end - table_size;
    memcpy(image, &h, sizeof h);
    uint8_t *hashes = image + end;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t hash = segment_hash((const char *)image, end, i);
        memcpy(hashes + i * sizeof hash, &hash, sizeof hash);
    }
    h.checksum = hash64(hashes, n * sizeof(uint64_t), 0);
    memcpy(image, &h, sizeof h);
}

static volatile uint64_t sink; /* what is read must not be optimised away */

static void read_terms(const sparse_segment *s) {
    sparse_term_walk w;
    slice key;
    sparse_term t, again;
    uint64_t sum = 0;
    arena memory;
    arena_init(&memory, 0);
    sparse_term_walk_start(&w, s, SLICE("a\1b"));
    if (sparse_term_walk_next(&w, &key, &t)) sum += key.size;
    sparse_term_walk_start(&w, s, (slice){0});
    while (sparse_term_walk_next(&w, &key, &t)) {
        sum += sparse_segment_term(s, key, &again);
        sparse_positions r;
        sparse_positions_open(&r, &t, &memory);
        for (uint32_t i = 0; i < t.n_blocks; i++) {
            uint32_t places[SPARSE_BLOCK + 8], frequency[SPARSE_MAX_FIELDS];
            uint8_t impacts[SPARSE_BLOCK + 8];
            uint32_t n = sparse_block_decode(&t, i, places, impacts);
            for (uint32_t j = 0; j < n; j++) {
                if (places[j] >= sparse_segment_count(s)) abort();
                sum += sparse_segment_document(s, places[j]) + impacts[j];
                if (sparse_term_frequencies(&t, places[j], frequency)) sum += frequency[0];
                const uint32_t *positions;
                uint32_t many = sparse_positions_at(&r, i, j, &positions);
                for (uint32_t k = 0; k < many; k++) {
                    if (positions[k] >= SPARSE_MAX_TOKENS || (k > 0 && positions[k] <= positions[k - 1])) abort();
                    sum += positions[k];
                }
            }
        }
        arena_reset(&memory);
    }
    arena_release(&memory);
    sink += sum;
}

static void read_columns(const sparse_segment *s) {
    uint32_t count = sparse_segment_count(s), place;
    uint64_t sum = 0;
    float most;
    const uint32_t *popular = sparse_segment_by_popularity(s);
    const float *prior = sparse_segment_prior(s, &most);
    for (uint32_t p = 0; p < count; p++) {
        sum += sparse_segment_find(s, sparse_segment_document(s, p), &place) + sparse_segment_version(s, p);
        if (popular) sum += popular[p] + (prior[popular[p]] > 0);
    }
    for (uint32_t f = 0; f < sparse_segment_fields(s); f++) {
        const double *numbers = sparse_segment_numbers(s, f);
        sparse_keywords k;
        bool keywords = sparse_segment_keywords(s, f, &k);
        for (uint32_t p = 0; p < count; p++) {
            sum += sparse_segment_field_start(s, f, p) + sparse_segment_length(s, f, p) + (numbers && numbers[p] > 0);
            for (uint32_t i = keywords ? k.starts[p] : 0; keywords && i < k.starts[p + 1]; i++) {
                slice value = sparse_segment_keyword_value(s, f, k.ordinals[i]);
                if (value.size > 0) sum += (uint8_t)value.data[value.size - 1];
            }
        }
    }
    sink += sum;
}

static void match_terms(const sparse_segment *s) {
    enum { DOCUMENTS = 200 };
    uint32_t documents[DOCUMENTS], n = 0;
    const sparse_part part = {.segment = s, .live = NULL, .n_live = sparse_segment_count(s)};
    sparse_snapshot snapshot = {.config = &config, .n_parts = 1, .parts = &part};
    sparse_segment_statistics(s, &snapshot.statistics);
    arena a;
    arena_init(&a, 0);
    sparse_query_term terms[3];
    size_t n_terms = 0;
    sparse_term_walk w;
    slice key;
    sparse_term t;
    sparse_term_walk_start(&w, s, SLICE("t"));
    while (n_terms < 3 && sparse_term_walk_next(&w, &key, &t))
        terms[n_terms++] = (sparse_query_term){.key = arena_slice(&a, key), .weight = 1};
    for (; n < DOCUMENTS && n < sparse_segment_count(s); n++) documents[n] = sparse_segment_document(s, n);
    sparse_match *out = arena_alloc(&a, DOCUMENTS * SPARSE_MAX_FIELDS * sizeof *out);
    sparse_match_fields(&snapshot, terms, n_terms, documents, n, &a, out, NULL);
    for (size_t i = 0; i < n * sparse_match_columns(&config, NULL); i++) sink += out[i].phrase > 0;
    arena_release(&a);
}

/* ---- enumerating ---- */

static void enumerate(sparse_enumerator *e) {
    sparse_enumerated term;
    uint8_t last[SPARSE_MAX_TERM + 16];
    size_t size = 0;
    for (bool first = true; sparse_enumerate_next(e, &term); first = false) {
        if (term.key.size > sizeof last) abort();
        if (!first && slice_compare((slice){(const char *)last, size}, term.key) >= 0) abort();
        size = term.key.size;
        if (size > 0) memcpy(last, term.key.data, size);
        sink += term.df + term.distance;
    }
}

static void enumerate_terms(const sparse_segment *s) {
    static const sparse_effort effort = {.most = 100000};
    static sparse_enumerator e;
    sparse_enumerate_prefix(&e, s, SLICE("tw"), &effort);
    enumerate(&e);
    sparse_enumerate_range(&e, s, SLICE("t"), SLICE("tb"), SLICE("tword3"), &effort);
    enumerate(&e);
    sparse_enumerate_range(&e, s, (slice){0}, (slice){0}, (slice){0}, &effort);
    enumerate(&e);
    const levenshtein_options options = {.edits = 2, .transpositions = true};
    levenshtein *automaton = NULL;
    base_error error;
    if (levenshtein_create(SLICE("word31"), &options, &automaton, &error) != FORAGE_OK) abort();
    sparse_enumerate_fuzzy(&e, s, SLICE("t"), automaton, &effort);
    enumerate(&e);
    levenshtein_destroy(automaton);
}

/* ---- searching ---- */

enum { TERMS = 4, LOOKED_AT = 200 };

/* The most frequent of the space's first terms. */
static size_t choose_terms(const sparse_segment *s, slice space, sparse_query_term *terms, arena *a) {
    uint32_t df[TERMS] = {0};
    size_t n = 0;
    sparse_term_walk w;
    slice key;
    sparse_term t;
    sparse_term_walk_start(&w, s, space);
    for (int i = 0; i < LOOKED_AT && sparse_term_walk_next(&w, &key, &t); i++) {
        size_t at = n < TERMS ? n++ : TERMS - 1;
        if (df[at] >= t.df && df[at] > 0) continue;
        for (; at > 0 && df[at - 1] < t.df; at--) {
            df[at] = df[at - 1];
            terms[at] = terms[at - 1];
        }
        df[at] = t.df;
        terms[at] = (sparse_query_term){.key = arena_slice(a, key), .weight = 1};
    }
    return n;
}

static void search_with(const sparse_eligible *e, const sparse_query *query, size_t k, bool valid, arena *a) {
    size_t room = k < e->count ? k : (size_t)e->count;
    sparse_hit *hits = arena_alloc(a, room * sizeof *hits), *all = arena_alloc(a, room * sizeof *all);
    size_t n = sparse_search(e, query, k, a, hits, NULL), m = sparse_search_exhaustive(e, query, k, a, all);
    for (size_t i = 0; i < n; i++) sink += hits[i].document;
    if (!valid) return;
    if (n != m) abort();
    for (size_t i = 0; i < n; i++)
        if (hits[i].document != all[i].document || hits[i].score != all[i].score) abort();
}

/* valid: bounds are what they say, so pruning is exact. */
static void search(const sparse_segment *s, bool valid) {
    const sparse_part part = {.segment = s, .n_live = sparse_segment_count(s)};
    sparse_snapshot snapshot = {.config = &config, .n_parts = 1, .parts = &part, .live_documents = part.n_live};
    sparse_segment_statistics(s, &snapshot.statistics);
    arena a;
    arena_init(&a, 0);
    sparse_query_term terms[TERMS];
    sparse_eligible e;
    sparse_eligible_compute(&snapshot, NULL, &a, &e);
    size_t n = choose_terms(s, SLICE("w"), terms, &a);
    sparse_query weights = {.terms = terms, .n_terms = n, .text_weight = 1};
    for (size_t i = 0; i < n; i++) terms[i].weight = 0.25f * (float)(i + 1);
    search_with(&e, &weights, 3, valid, &a);
    n = choose_terms(s, SLICE("t"), terms, &a);
    sparse_query query = {.terms = terms, .n_terms = n, .text_weight = 1};
    search_with(&e, &query, 3, valid, &a);
    query.prior_weight = 2;
    search_with(&e, &query, 100, valid, &a);
    static const sparse_phrase phrases[] = {{.n = 2}, {.n = 2, .slop = 3}, {.n = 2, .slop = 2, .any_order = true}};
    for (size_t i = 0; i < 3 && n >= 2; i++) {
        query.phrases = &phrases[i];
        query.n_phrases = 1;
        search_with(&e, &query, 10, valid, &a);
    }
    query.n_phrases = 0;
    for (size_t i = 1; i < n; i++) {
        terms[i].excluded = i == n - 1;
        terms[i].required = i == 1;
        search_with(&e, &query, 10, valid, &a);
    }
    arena_release(&a);
}

/* So many copies that ranges of places are tried: slow, so that a quarter of the inputs is spared nothing. */
static void search_copies(const sparse_segment *s, const sparse_statistics *st) {
    enum { COPIES = 150 };
    sparse_merge_input inputs[COPIES];
    buffer merged = {0};
    sparse_segment *m = NULL;
    for (int i = 0; i < COPIES; i++) inputs[i] = (sparse_merge_input){s, NULL};
    sparse_merge(inputs, COPIES, NULL, &config, st, &merged);
    if (sparse_segment_open((slice){merged.data, merged.size}, &m, NULL) != FORAGE_OK) abort();
    search(m, true);
    sparse_segment_close(m);
    buffer_release(&merged);
}

static void try_image(const uint8_t *image, size_t size) {
    sparse_segment *s = NULL;
    base_error error;
    if (sparse_segment_open((slice){(const char *)image, size}, &s, &error) != FORAGE_OK) return;
    read_terms(s);
    read_columns(s);
    enumerate_terms(s);
    if (sparse_segment_matches(s, &config)) match_terms(s);
    bool valid = sparse_segment_validate(s, &error) == FORAGE_OK;
    if (sparse_segment_matches(s, &config)) search(s, valid);
    if (sparse_segment_matches(s, &config) && sparse_segment_fields(s) <= config.n_fields) {
        const sparse_merge_input inputs[2] = {{s, NULL}, {s, NULL}};
        uint32_t count = 2 * sparse_segment_count(s), *order = malloc(count * sizeof *order + 1);
        for (uint32_t i = 0; order && i < count; i++) order[i] = count - 1 - i;
        sparse_statistics st;
        buffer merged = {0};
        sparse_segment *m = NULL;
        sparse_segment_statistics(s, &st);
        for (int reversed = 0; reversed < 2; reversed++) {
            sparse_merge(inputs, 2, reversed ? order : NULL, &config, &st, &merged);
            if (sparse_segment_open((slice){merged.data, merged.size}, &m, &error) != FORAGE_OK) abort();
            sparse_segment_close(m);
        }
        buffer_release(&merged);
        free(order);
        if (valid && sparse_segment_count(s) > 128 && size % 32 == 0) search_copies(s, &st);
    }
    sparse_segment_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *image = calloc(size ? size : 1, 1); /* aligned, and of this very size */
    if (!image) return 0;
    if (size > 0) memcpy(image, data, size);
    try_image(image, size);
    seal(image, size);
    try_image(image, size);
    free(image);
    return 0;
}
