/* Everything that a segment's writer promises, beyond what opening checks for the sake of memory. */
#include "sparse/segment_image.h"

#include "base/hash.h"

#include <stdlib.h>

static forage_status damaged(base_error *error, const char *what, uint32_t at) {
    return error_set(error, FORAGE_E_CORRUPT, "segment: %s %u is damaged", what, at);
}

/* The bytes may have changed under a mapping since the image was opened. */
static forage_status check_bytes(const sparse_segment *s, base_error *error) {
    segment_header header;
    memcpy(&header, s->image.data, sizeof header);
    const segment_section *t = (const segment_section *)(const void *)(s->image.data + header.table);
    for (uint32_t i = 0; i < header.n_sections; i++)
        if (t[i].checksum != hash64(s->image.data + t[i].offset, t[i].size, 0))
            return error_set(error, FORAGE_E_CORRUPT, "segment: the checksum of section %u does not match", i);
    return FORAGE_OK;
}

static forage_status check_documents(const sparse_segment *s, base_error *error) {
    for (uint32_t i = 1; i < s->count; i++) {
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

/* Gaps stand between tokens only, and a field that is not cut is there with all its tokens. */
static bool sane_forward(const sparse_forward *o, uint32_t length) {
    uint32_t gaps = 0;
    bool after_gap = true;
    for (uint32_t i = 0; i < o->n; i++) {
        bool gap = o->tokens[i] == SPARSE_FORWARD_GAP;
        if (gap && after_gap) return false;
        after_gap = gap;
        gaps += gap;
    }
    if (o->n > 0 && after_gap) return false;
    return o->cut ? o->n > 0 && o->n - gaps < length : o->n - gaps == length;
}

typedef struct check {
    const sparse_segment *segment;
    uint32_t *sums[SPARSE_MAX_FIELDS];  /* by ordinal of a text field, per place: of its forward tokens, less what the
                                         * postings say; nothing is left in the end */
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

static forage_status start_forward(check *c, base_error *error) {
    const sparse_segment *s = c->segment;
    for (uint32_t i = 0; i < s->n_text; i++) {
        uint32_t *sums = c->sums[i] = mem_zalloc(s->count, sizeof *sums);
        for (uint32_t p = 0; p < s->count; p++) {
            sparse_forward o;
            sparse_segment_forward(s, s->text_fields[i], p, &o);
            if (!sane_forward(&o, sparse_segment_length(s, s->text_fields[i], p)))
                return damaged(error, "a field's beginning of place", p);
            for (uint32_t j = 0; j < o.n; j++) sums[p] += o.tokens[j];
        }
    }
    return FORAGE_OK;
}

static forage_status end_forward(check *c, base_error *error) {
    const sparse_segment *s = c->segment;
    for (uint32_t i = 0; i < s->n_text; i++) {
        for (uint32_t p = 0; p < s->count; p++) {
            sparse_forward o;
            sparse_segment_forward(s, s->text_fields[i], p, &o);
            if (!o.cut && c->sums[i][p] != 0) return damaged(error, "a field's beginning of place", p);
        }
    }
    return FORAGE_OK;
}

static bool check_frequencies(check *c, const sparse_term *t, uint16_t token, uint32_t block, const uint32_t *places,
                              uint32_t n) {
    const uint8_t *p, *end, *next = NULL;
    if (!segment_block_codes(t, block, &p, &end)) return false;
    if (block + 1 < t->n_blocks && !segment_block_codes(t, block + 1, &next, &end)) return false;
    for (uint32_t i = 0; p && i < n; i++) {
        segment_frequency f[SPARSE_MAX_FIELDS];
        uint32_t fields = 0;
        p = segment_get_frequencies(p, end, t->segment->n_text, f, &fields);
        for (uint32_t j = 0; p && j < fields; j++) c->sums[f[j].ordinal][places[i]] -= token * f[j].tf;
    }
    return p == (next ? next : end);
}

static bool check_term(check *c, slice key, const sparse_term *t) {
    bool text = key.data[0] == SPARSE_SPACE_TEXT, attribute = key.data[0] == SPARSE_SPACE_ATTRIBUTE;
    uint16_t token = sparse_forward_token(key);
    uint8_t highest = 0;
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
        if (text && !check_frequencies(c, t, token, i, places, n)) return false;
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
    sparse_term_walk_start(&w, s, (slice){0});
    while (sparse_term_walk_next(&w, &key, &t))
        if (!check_term(c, key, &t)) return damaged(error, "term", t.ordinal);
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
    if (!segment_check_terms(s)) return error_set(error, FORAGE_E_CORRUPT, "segment: the inverted index is damaged");
    check c = {.segment = s};
    status = start_forward(&c, error);
    if (status == FORAGE_OK) status = check_postings(&c, error);
    if (status == FORAGE_OK) status = end_forward(&c, error);
    for (uint32_t i = 0; i < s->n_text; i++) free(c.sums[i]);
    return status;
}
