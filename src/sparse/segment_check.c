/* Everything that a segment's writer promises, beyond what opening checks for the sake of memory. */
#include "sparse/segment_image.h"

#include <stdlib.h>

static forage_status damaged(base_error *error, const char *what, uint32_t at) {
    return error_set(error, FORAGE_E_CORRUPT, "segment: %s %u is damaged", what, at);
}

/* The bytes may have changed under a mapping since the image was opened. */
static forage_status check_bytes(const sparse_segment *s, base_error *error) {
    return segment_check_hashes(s->image, s->hashed, s->checksum, error);
}

static forage_status check_documents(const sparse_segment *s, base_error *error) {
    for (uint32_t i = 1; s->documents && i < s->count; i++) {
        uint32_t before = s->order ? s->order[i - 1] : i - 1, at = s->order ? s->order[i] : i;
        if (s->documents[before] >= s->documents[at]) return damaged(error, "the document of place", at);
    }
    for (uint32_t f = 0; f < s->n_fields; f++) {
        uint64_t length = 0;
        uint32_t having = 0;
        for (uint32_t p = 0; s->fields[f].kind == SPARSE_TEXT && p < s->count; p++) {
            uint32_t n = sparse_segment_length(s, f, p);
            length += n;
            having += n > 0;
        }
        if (length != s->fields[f].length || having != s->fields[f].having) return damaged(error, "field", f);
    }
    return FORAGE_OK;
}

static forage_status check_popularity(const sparse_segment *s, base_error *error) {
    if (!s->popularity) return FORAGE_OK;
    forage_status status = FORAGE_OK;
    uint8_t *seen = mem_zalloc(s->count, 1);
    for (uint32_t i = 0; i < s->count && status == FORAGE_OK; i++) {
        uint32_t place = s->popularity[i];
        if (seen[place]++) status = damaged(error, "popularity rank", i);
        else if (i > 0 && s->prior[s->popularity[i - 1]] < s->prior[place])
            status = damaged(error, "the prior of place", place);
    }
    free(seen);
    return status;
}

typedef struct check {
    const sparse_segment *segment;
    uint32_t *left[SPARSE_MAX_FIELDS];  /* by ordinal of a text field, per place: its tokens, less those that were seen */
    uint64_t *sums;                     /* per place: of `mix` of its positions, less those that were seen */
    uint32_t values[SPARSE_MAX_FIELDS]; /* attribute terms seen per field */
    uint64_t pairs[SPARSE_MAX_FIELDS];  /* and their postings */
} check;

/* The column of a keyword field says the same as the postings of its values. */
static bool check_keyword(const check *c, slice key, const uint32_t *places, uint32_t n) {
    sparse_keywords k;
    if (key.size < 2) return false;
    uint32_t field = (uint8_t)key.data[1], value = field < SPARSE_MAX_FIELDS ? c->values[field] : 0;
    if (!sparse_segment_keywords(c->segment, field, &k) || value >= k.n_values) return false;
    if (!slice_equal((slice){key.data + 2, key.size - 2}, sparse_segment_keyword_value(c->segment, field, value)))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = k.starts[places[i]], end = k.starts[places[i] + 1];
        while (at < end && k.ordinals[at] != value) at++;
        if (at == end) return false;
    }
    return true;
}

/* Spreads positions (Steele et al. 2014), so that sets of them with equal sums are equal. */
static uint64_t mix(uint64_t position) {
    uint64_t z = (position + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    return z ^ z >> 31;
}

static uint64_t total_span(const sparse_segment *s, uint32_t place) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < s->n_text; i++) total += sparse_segment_span(s, s->text_fields[i], place);
    return total;
}

static forage_status start_positions(check *c, base_error *error) {
    const sparse_segment *s = c->segment;
    uint64_t most = 0;
    for (uint32_t p = 0; p < s->count; p++) {
        uint64_t total = total_span(s, p);
        if (total > SPARSE_MAX_TOKENS) return damaged(error, "the length of place", p);
        if (total > most) most = total;
    }
    for (uint32_t i = 0; i < s->n_text; i++) {
        uint32_t *left = c->left[i] = mem_alloc(s->count * sizeof *left);
        for (uint32_t p = 0; p < s->count; p++) left[p] = sparse_segment_length(s, s->text_fields[i], p);
    }
    uint64_t *sums = mem_alloc((most + 1) * sizeof *sums);
    sums[0] = 0;
    for (uint64_t i = 0; i < most; i++) sums[i + 1] = sums[i] + mix(i);
    c->sums = mem_alloc(s->count * sizeof *c->sums);
    for (uint32_t p = 0; p < s->count; p++) c->sums[p] = sums[total_span(s, p)];
    free(sums);
    return FORAGE_OK;
}

/* Every position had one term, and every token was one. */
static forage_status end_positions(const check *c, base_error *error) {
    for (uint32_t p = 0; p < c->segment->count; p++) {
        bool good = c->sums[p] == 0;
        for (uint32_t i = 0; i < c->segment->n_text; i++) good = good && c->left[i][p] == 0;
        if (!good) return damaged(error, "a position of place", p);
    }
    return FORAGE_OK;
}

/* Gaps stand between tokens only. */
static bool check_posting(check *c, bool gap, uint32_t place, const uint32_t *positions, uint32_t n) {
    const sparse_segment *s = c->segment;
    uint32_t start = 0, end = 0, ordinal = 0;
    for (uint32_t i = 0; i < n; i++) {
        for (; positions[i] >= end; ordinal++) {
            if (ordinal == s->n_text) return false;
            start = end;
            end += sparse_segment_span(s, s->text_fields[ordinal], place);
        }
        c->sums[place] -= mix(positions[i]);
        bool edge = positions[i] == start || positions[i] + 1 == end;
        if (gap && (edge || (i > 0 && positions[i] == positions[i - 1] + 1))) return false;
        if (!gap && c->left[ordinal - 1][place]-- == 0) return false;
    }
    return true;
}

static bool check_positions(check *c, sparse_positions *r, bool gap, uint32_t block, const uint32_t *places, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t *positions;
        uint32_t many = sparse_positions_at(r, block, i, &positions);
        if (many == 0 || !check_posting(c, gap, places[i], positions, many)) return false;
    }
    return r->term->df == 1 || r->next == r->end; /* and there are no more bytes */
}

/* A field of the segment has weights under this key. */
static bool check_weight_key(const sparse_segment *s, slice key) {
    uint32_t field = key.size > 1 ? (uint8_t)key.data[1] : SPARSE_MAX_FIELDS;
    return field < s->n_fields && s->fields[field].kind == SPARSE_WEIGHTS;
}

static bool check_term(check *c, slice key, const sparse_term *t, arena *a) {
    bool gap = key.data[0] == SPARSE_SPACE_GAP, attribute = key.data[0] == SPARSE_SPACE_ATTRIBUTE;
    uint8_t highest = 0;
    sparse_positions r;
    sparse_positions_open(&r, t, a);
    if (gap && key.size != 1) return false;
    if (key.data[0] == SPARSE_SPACE_WEIGHT && !check_weight_key(c->segment, key)) return false;
    for (uint32_t i = 0; i < t->n_blocks; i++) {
        uint32_t places[SPARSE_BLOCK + 8];
        uint8_t impacts[SPARSE_BLOCK + 8], most = 0;
        uint32_t n = sparse_block_decode(t, i, places, impacts);
        for (uint32_t j = 0; j < n; j++) {
            if (impacts[j] == 0) return false;
            if (impacts[j] > most) most = impacts[j];
        }
        if (most != sparse_term_blocks(t)[i].max_impact) return false;
        if (most > highest) highest = most;
        if (segment_has_positions(key.data[0]) && !check_positions(c, &r, gap, i, places, n)) return false;
        if (attribute && !check_keyword(c, key, places, n)) return false;
    }
    if (attribute) c->values[(uint8_t)key.data[1]]++;
    if (attribute) c->pairs[(uint8_t)key.data[1]] += t->df;
    return highest == t->max_impact;
}

static forage_status check_postings(check *c, base_error *error) {
    const sparse_segment *s = c->segment;
    sparse_term_walk w;
    slice key;
    sparse_term t;
    arena memory;
    arena_init(&memory, 0);
    bool good = true;
    sparse_term_walk_start(&w, s, (slice){0});
    for (; good && sparse_term_walk_next(&w, &key, &t); arena_reset(&memory)) good = check_term(c, key, &t, &memory);
    arena_release(&memory);
    if (!good) return damaged(error, "term", t.ordinal);
    for (uint32_t f = 0; f < s->n_fields; f++) {
        sparse_keywords k;
        if (!sparse_segment_keywords(s, f, &k)) continue;
        if (c->values[f] != k.n_values || c->pairs[f] != k.starts[s->count])
            return damaged(error, "the column of field", f);
    }
    return FORAGE_OK;
}

forage_status sparse_segment_validate(const sparse_segment *s, base_error *error) {
    forage_status status = check_bytes(s, error);
    if (status == FORAGE_OK) status = check_documents(s, error);
    if (status == FORAGE_OK) status = check_popularity(s, error);
    if (status != FORAGE_OK) return status;
    if (!segment_check_terms(s, NULL)) return error_set(error, FORAGE_E_CORRUPT, "segment: the inverted index is damaged");
    check c = {.segment = s};
    status = start_positions(&c, error);
    if (status == FORAGE_OK) status = check_postings(&c, error);
    if (status == FORAGE_OK) status = end_positions(&c, error);
    for (uint32_t i = 0; i < s->n_text; i++) free(c.left[i]);
    free(c.sums);
    return status;
}
