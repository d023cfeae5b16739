/* Opening an image: every section is found, checked and pointed at. The bytes are drawn in README.md. */
#include "sparse/segment_image.h"

#include "base/hash.h"

#include <math.h>
#include <stdlib.h>

#define MOST_POPULAR 1e7 /* plays, sales, clicks: the prior reaches 1 here */

float sparse_prior_value(double popularity) {
    if (!(popularity > 0)) return 0;
    double prior = log1p(popularity) / log1p(MOST_POPULAR);
    return prior < 1 ? (float)prior : 1.0f;
}

/* --- opening ----------------------------------------------------------------------------------------------------- */

typedef struct sections {
    const char *image;
    const segment_section *table;
    uint32_t n;
} sections;

/* The section of that kind and field; a section of 0 bytes still has an address. */
static bool find_section(const sections *t, segment_kind kind, uint32_t field, const void **data, uint64_t *size) {
    for (uint32_t i = 0; i < t->n; i++)
        if (t->table[i].kind == (uint32_t)kind && t->table[i].field == field) {
            *data = t->image + t->table[i].offset;
            *size = t->table[i].size;
            return true;
        }
    return false;
}

/* The same, of exactly `size` bytes. */
static bool fixed_section(const sections *t, segment_kind kind, uint32_t field, uint64_t size, const void **data) {
    uint64_t found;
    return find_section(t, kind, field, data, &found) && found == size;
}

static forage_status read_table(slice image, segment_header *header, sections *t, base_error *error) {
    if ((uintptr_t)image.data % 8 != 0) return error_set(error, FORAGE_E_INVALID, "segment: the image is not aligned");
    if (image.size < sizeof *header) return error_set(error, FORAGE_E_CORRUPT, "segment: only %zu bytes", image.size);
    memcpy(header, image.data, sizeof *header);
    if (memcmp(header->magic, SEGMENT_MAGIC, sizeof header->magic) != 0)
        return error_set(error, FORAGE_E_CORRUPT, "segment: this is no segment");
    if (header->version > SEGMENT_VERSION)
        return error_set(error, FORAGE_E_VERSION, "segment: format %u is newer than %u", header->version,
                         SEGMENT_VERSION);
    if (header->version != SEGMENT_VERSION)
        return error_set(error, FORAGE_E_CORRUPT, "segment: format %u, this program builds and reads %u",
                         header->version, SEGMENT_VERSION);
    uint64_t table_size = (uint64_t)header->n_sections * sizeof(segment_section);
    if (header->size != image.size || header->table % 8 != 0 || header->table < sizeof *header ||
        header->table > image.size || image.size - header->table != table_size)
        return error_set(error, FORAGE_E_CORRUPT, "segment: %zu bytes are not what its header says", image.size);
    segment_header bare = *header;
    bare.checksum = 0;
    const char *table = image.data + header->table;
    if (header->checksum != hash64(table, table_size, hash64(&bare, sizeof bare, 0)))
        return error_set(error, FORAGE_E_CORRUPT, "segment: the header's checksum does not match");
    *t = (sections){image.data, (const segment_section *)(const void *)table, header->n_sections};
    return FORAGE_OK;
}

/* Sections follow each other, each at the next multiple of 8, with zeros between them: no byte is left unchecked. */
static forage_status check_sections(const sections *t, uint64_t end, base_error *error) {
    uint64_t at = sizeof(segment_header);
    for (uint32_t i = 0; i < t->n; i++) {
        const segment_section *s = &t->table[i];
        if (s->offset != at || s->offset > end || s->size > end - s->offset)
            return error_set(error, FORAGE_E_CORRUPT, "segment: section %u is out of bounds", i);
        if (s->checksum != hash64(t->image + s->offset, s->size, 0))
            return error_set(error, FORAGE_E_CORRUPT, "segment: the checksum of section %u does not match", i);
        for (at += s->size; at % 8 != 0 && at < end; at++)
            if (t->image[at] != 0) return error_set(error, FORAGE_E_CORRUPT, "segment: no zero after section %u", i);
    }
    if (at != end) return error_set(error, FORAGE_E_CORRUPT, "segment: sections end before their table");
    return FORAGE_OK;
}

static bool all_below(const uint32_t *list, uint64_t n, uint32_t limit) {
    uint32_t bad = 0;
    for (uint64_t i = 0; i < n; i++) bad |= list[i] >= limit;
    return !bad;
}

static bool open_documents(sparse_segment *s, const sections *t) {
    const void *fields, *documents, *versions, *order = NULL;
    uint64_t count = s->count, size;
    if (!fixed_section(t, SEGMENT_FIELDS, 0, s->n_fields * sizeof(segment_field), &fields)) return false;
    if (!fixed_section(t, SEGMENT_DOCUMENTS, 0, count * sizeof *s->documents, &documents)) return false;
    if (!fixed_section(t, SEGMENT_VERSIONS, 0, count * sizeof *s->versions, &versions)) return false;
    if (find_section(t, SEGMENT_ORDER, 0, &order, &size) &&
        (size != count * sizeof *s->order || !all_below(order, count, s->count)))
        return false;
    s->fields = fields;
    s->documents = documents;
    s->versions = versions;
    s->order = order;
    for (uint32_t f = 0; f < s->n_fields; f++) {
        if (s->fields[f].kind > SPARSE_NUMBER) return false;
        if (s->fields[f].kind == SPARSE_TEXT) s->text_fields[s->n_text++] = f;
    }
    return true;
}

static bool open_terms(sparse_segment *s, const sections *t) {
    const void *dictionary, *keys, *blocks, *postings, *frequencies;
    uint64_t keys_size, blocks_size, postings_size, frequencies_size;
    uint64_t n_entries = ((uint64_t)s->n_terms + SEGMENT_TERMS - 1) / SEGMENT_TERMS;
    if (!fixed_section(t, SEGMENT_DICTIONARY, 0, n_entries * sizeof *s->dictionary, &dictionary) ||
        !find_section(t, SEGMENT_KEYS, 0, &keys, &keys_size) ||
        !find_section(t, SEGMENT_BLOCKS, 0, &blocks, &blocks_size) ||
        !find_section(t, SEGMENT_POSTINGS, 0, &postings, &postings_size) ||
        !find_section(t, SEGMENT_FREQUENCIES, 0, &frequencies, &frequencies_size))
        return false;
    if (blocks_size % sizeof *s->blocks != 0 || postings_size < SEGMENT_PAD) return false;
    s->dictionary = dictionary;
    s->keys = keys;
    s->keys_end = s->keys + keys_size;
    s->blocks = blocks;
    s->n_blocks = blocks_size / sizeof *s->blocks;
    s->postings = postings;
    s->postings_size = postings_size - SEGMENT_PAD;
    s->frequencies = frequencies;
    s->frequencies_size = frequencies_size;
    s->heads = mem_zalloc(s->n_terms / SEGMENT_TERMS + 1, sizeof *s->heads);
    s->letters = mem_zalloc(s->n_terms / SEGMENT_TERMS + 1, sizeof *s->letters);
    return segment_check_terms(s);
}

static bool open_keywords(const sparse_segment *s, segment_column *c, uint32_t field, const sections *t) {
    const void *starts, *ordinals, *value_starts, *values;
    uint64_t ordinals_size, value_starts_size, values_size;
    if (!fixed_section(t, SEGMENT_STARTS, field, ((uint64_t)s->count + 1) * sizeof(uint32_t), &starts) ||
        !find_section(t, SEGMENT_ORDINALS, field, &ordinals, &ordinals_size) ||
        !find_section(t, SEGMENT_VALUE_STARTS, field, &value_starts, &value_starts_size) ||
        !find_section(t, SEGMENT_VALUES, field, &values, &values_size))
        return false;
    uint64_t n_ordinals = ordinals_size / sizeof(uint32_t), n_values = value_starts_size / sizeof(uint64_t);
    if (n_values == 0 || --n_values > UINT32_MAX) return false;
    c->keywords = (sparse_keywords){starts, ordinals, (uint32_t)n_values};
    c->value_starts = value_starts;
    c->values = values;
    uint32_t bad = c->keywords.starts[0] != 0 || c->keywords.starts[s->count] != n_ordinals;
    for (uint32_t p = 0; p < s->count; p++) bad |= c->keywords.starts[p] > c->keywords.starts[p + 1];
    bad |= c->value_starts[0] != 0 || c->value_starts[n_values] != values_size;
    for (uint64_t v = 0; v < n_values; v++) bad |= c->value_starts[v] > c->value_starts[v + 1];
    return !bad && all_below(c->keywords.ordinals, n_ordinals, c->keywords.n_values);
}

/* Starts are the sums of the counts before them, and the last is the end of the tokens. */
static bool open_forward(const sparse_segment *s, segment_column *c, uint32_t field, const sections *t) {
    const void *data, *tokens;
    uint64_t size, end = 0, n_lines = ((uint64_t)s->count + SEGMENT_FORWARD_PLACES - 1) / SEGMENT_FORWARD_PLACES;
    if (!fixed_section(t, SEGMENT_FORWARD_LINES, field, n_lines * sizeof *c->forward_lines, &data) ||
        !find_section(t, SEGMENT_FORWARD, field, &tokens, &size))
        return false;
    c->forward_lines = data;
    c->forward = tokens;
    for (uint64_t i = 0; i < n_lines; i++) {
        const segment_forward_line *line = &c->forward_lines[i];
        uint64_t first = i * SEGMENT_FORWARD_PLACES;
        if (line->start != end) return false;
        for (uint32_t j = 0; j < SEGMENT_FORWARD_PLACES; j++) {
            uint32_t n = line->counts[j] & ~SEGMENT_FORWARD_CUT;
            if (n > SPARSE_FORWARD || (first + j >= s->count && line->counts[j] != 0)) return false;
            end += n;
        }
    }
    return size == end * sizeof *c->forward;
}

static bool open_lengths(const sparse_segment *s, segment_column *c, uint32_t field, const sections *t) {
    const void *data;
    uint64_t size;
    if (!find_section(t, SEGMENT_LENGTHS, field, &data, &size)) return false;
    if (s->count == 0) return size == 0;
    c->lengths = data;
    c->length_width = size / s->count;
    return size % s->count == 0 && (c->length_width == 1 || c->length_width == 2 || c->length_width == 4);
}

static bool open_column(sparse_segment *s, uint32_t field, const sections *t) {
    segment_column *c = &s->columns[field];
    const void *data;
    switch ((sparse_kind)s->fields[field].kind) {
    case SPARSE_TEXT: return open_lengths(s, c, field, t) && open_forward(s, c, field, t);
    case SPARSE_NUMBER:
        if (!fixed_section(t, SEGMENT_NUMBERS, field, (uint64_t)s->count * sizeof(double), &data)) return false;
        c->numbers = data;
        return true;
    case SPARSE_KEYWORD: return open_keywords(s, c, field, t);
    }
    return false;
}

static bool open_popularity(sparse_segment *s, const sections *t) {
    const void *popularity, *prior;
    uint64_t size;
    if (!find_section(t, SEGMENT_POPULARITY, 0, &popularity, &size)) return true;
    if (size != s->count * sizeof(uint32_t) || !all_below(popularity, s->count, s->count)) return false;
    if (!fixed_section(t, SEGMENT_PRIOR, 0, s->count * sizeof(float), &prior)) return false;
    s->popularity = popularity;
    s->prior = prior;
    bool good = true;
    for (uint32_t p = 0; p < s->count; p++) {
        good = good && s->prior[p] >= 0 && s->prior[p] <= 1;
        if (s->prior[p] > s->max_prior) s->max_prior = s->prior[p];
    }
    return good;
}

forage_status sparse_segment_open(slice image, sparse_segment **out, base_error *error) {
    segment_header header = {0};
    sections t = {0};
    sparse_segment *s = NULL;
    forage_status status = read_table(image, &header, &t, error);
    if (status == FORAGE_OK) status = check_sections(&t, header.table, error);
    if (status != FORAGE_OK) return status;

    s = mem_zalloc(1, sizeof *s);
    *s = (sparse_segment){.image = image,
                          .count = header.count,
                          .n_fields = header.n_fields,
                          .n_terms = header.n_terms,
                          .checksum = header.checksum};
    const char *bad = NULL;
    if (s->count > SEGMENT_MAX_COUNT || s->n_fields > SPARSE_MAX_FIELDS) bad = "header";
    else if (!open_documents(s, &t)) bad = "document table";
    else if (!open_terms(s, &t)) bad = "inverted index";
    else if (!open_popularity(s, &t)) bad = "popularity order";
    for (uint32_t f = 0; !bad && f < s->n_fields; f++)
        if (!open_column(s, f, &t)) bad = "column";
    if (bad) {
        status = error_set(error, FORAGE_E_CORRUPT, "segment: the %s is damaged", bad);
        goto done;
    }
    *out = s;
    s = NULL;
done:
    sparse_segment_close(s);
    return status;
}

void sparse_segment_close(sparse_segment *s) {
    if (!s) return;
    free(s->heads);
    free(s->letters);
    free(s);
}

/* --- places ------------------------------------------------------------------------------------------------------ */

uint32_t sparse_segment_count(const sparse_segment *s) { return s->count; }
uint32_t sparse_segment_document(const sparse_segment *s, uint32_t place) { return s->documents[place]; }
uint64_t sparse_segment_version(const sparse_segment *s, uint32_t place) { return s->versions[place]; }
const uint32_t *sparse_segment_documents(const sparse_segment *s) { return s->documents; }
const uint64_t *sparse_segment_versions(const sparse_segment *s) { return s->versions; }
uint32_t sparse_segment_terms(const sparse_segment *s) { return s->n_terms; }
uint32_t sparse_segment_fields(const sparse_segment *s) { return s->n_fields; }
size_t sparse_segment_bytes(const sparse_segment *s) { return s->image.size; }
uint64_t sparse_segment_checksum(const sparse_segment *s) { return s->checksum; }

/* Interpolation narrows quickly, because document numbers are dense; halving bounds the worst case. */
bool sparse_segment_find(const sparse_segment *s, uint32_t document, uint32_t *place) {
    if (s->count == 0) return false;
    uint32_t low = 0, high = s->count - 1;
    for (unsigned step = 0; low <= high; step++) {
        uint32_t first = s->documents[s->order ? s->order[low] : low];
        uint32_t last = s->documents[s->order ? s->order[high] : high];
        if (document < first || document > last) return false;
        uint32_t guess = low + (high - low) / 2;
        if (step % 2 == 0 && last > first)
            guess = low + (uint32_t)((uint64_t)(high - low) * (document - first) / (last - first));
        uint32_t at = s->order ? s->order[guess] : guess;
        if (s->documents[at] == document) return *place = at, true;
        if (s->documents[at] < document) low = guess + 1;
        else if (guess == 0) return false;
        else high = guess - 1;
    }
    return false;
}

void sparse_segment_find_soon(const sparse_segment *s, uint32_t document) {
    if (s->count == 0) return;
    const uint32_t *sorted = s->order ? s->order : s->documents; /* an order's documents are a second step, left alone */
    uint32_t first = s->documents[s->order ? s->order[0] : 0];
    uint32_t last = s->documents[s->order ? s->order[s->count - 1] : s->count - 1];
    if (document < first || document > last || last == first) return;
    __builtin_prefetch(&sorted[(uint64_t)(s->count - 1) * (document - first) / (last - first)]);
}

bool sparse_segment_matches(const sparse_segment *s, const sparse_config *config) {
    for (uint32_t f = 0; f < s->n_fields && f < config->n_fields; f++)
        if (s->fields[f].kind != (uint32_t)config->fields[f].kind) return false;
    return true;
}

void sparse_segment_statistics(const sparse_segment *s, sparse_statistics *out) {
    *out = (sparse_statistics){.documents = s->count};
    for (uint32_t f = 0; f < s->n_fields; f++) {
        out->length[f] = s->fields[f].length;
        out->having[f] = s->fields[f].having;
    }
}

/* --- columns ----------------------------------------------------------------------------------------------------- */

uint32_t sparse_segment_length(const sparse_segment *s, uint32_t field, uint32_t place) {
    if (field >= s->n_fields) return 0;
    const segment_column *c = &s->columns[field];
    uint32_t length = 0;
    if (c->length_width > 0) memcpy(&length, c->lengths + place * c->length_width, c->length_width);
    return length;
}

void sparse_segment_forward_soon(const sparse_segment *s, uint32_t field, uint32_t place) {
    if (field >= s->n_fields || !s->columns[field].forward_lines) return;
    __builtin_prefetch(&s->columns[field].forward_lines[place / SEGMENT_FORWARD_PLACES]);
}

/* The sum of the counts before the n-th, eight at a time: 56 counts of 127 stay far below the 16 bits that each of the
 * four lanes has. */
static uint32_t sum_counts(const segment_forward_line *line, uint32_t n) {
    const uint64_t low_bytes = 0x00ff00ff00ff00ffu, uncut = 0x7f7f7f7f7f7f7f7fu;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i += 8) {
        uint64_t word;
        memcpy(&word, line->counts + i, sizeof word);
        word &= n - i >= 8 ? uncut : uncut & ~(UINT64_MAX << 8 * (n - i));
        sum += (word & low_bytes) + (word >> 8 & low_bytes);
    }
    return (uint32_t)(sum * 0x0001000100010001u >> 48);
}

void sparse_segment_forward(const sparse_segment *s, uint32_t field, uint32_t place, sparse_forward *out) {
    *out = (sparse_forward){0};
    if (field >= s->n_fields || !s->columns[field].forward_lines) return;
    const segment_forward_line *line = &s->columns[field].forward_lines[place / SEGMENT_FORWARD_PLACES];
    uint32_t at = place % SEGMENT_FORWARD_PLACES;
    out->tokens = s->columns[field].forward + line->start + sum_counts(line, at);
    out->n = line->counts[at] & ~SEGMENT_FORWARD_CUT;
    out->cut = line->counts[at] & SEGMENT_FORWARD_CUT;
}

const double *sparse_segment_numbers(const sparse_segment *s, uint32_t field) {
    return field < s->n_fields ? s->columns[field].numbers : NULL;
}

bool sparse_segment_keywords(const sparse_segment *s, uint32_t field, sparse_keywords *out) {
    if (field >= s->n_fields || !s->columns[field].keywords.starts) return false;
    *out = s->columns[field].keywords;
    return true;
}

slice sparse_segment_keyword_value(const sparse_segment *s, uint32_t field, uint32_t ordinal) {
    const segment_column *c = &s->columns[field];
    uint64_t start = c->value_starts[ordinal];
    return (slice){c->values + start, c->value_starts[ordinal + 1] - start};
}

const uint32_t *sparse_segment_by_popularity(const sparse_segment *s) { return s->popularity; }

const float *sparse_segment_prior(const sparse_segment *s, float *max) {
    *max = s->max_prior;
    return s->prior;
}
