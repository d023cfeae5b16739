/* Opening an image: every section is found, checked and pointed at. The bytes are drawn in README.md. */
#include "sparse/segment_image.h"

#include "base/hash.h"
#include "sparse/segment_order.h"

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

uint64_t segment_hash(const char *image, uint64_t size, uint64_t i) {
    uint64_t from = i * SEGMENT_HASHED, n = size - from < SEGMENT_HASHED ? size - from : SEGMENT_HASHED;
    if (from > 0) return hash64(image + from, n, 0);
    segment_header header;
    memcpy(&header, image, sizeof header);
    header.checksum = 0;
    return hash64(image + sizeof header, n - sizeof header, hash64(&header, sizeof header, 0));
}

forage_status segment_check_hashes(slice image, uint64_t end, uint64_t checksum, base_error *error) {
    const uint64_t *hashes = (const uint64_t *)(const void *)(image.data + end);
    uint64_t n = segment_hashes(end);
    if (hash64(hashes, n * sizeof *hashes, 0) != checksum)
        return error_set(error, FORAGE_E_CORRUPT, "segment: the header's checksum does not match");
    for (uint64_t i = 0; i < n; i++)
        if (hashes[i] != segment_hash(image.data, end, i))
            return error_set(error, FORAGE_E_CORRUPT, "segment: block %llu of %llu, at byte %llu, is damaged",
                             (unsigned long long)i + 1, (unsigned long long)n,
                             (unsigned long long)i * SEGMENT_HASHED);
    return FORAGE_OK;
}

static forage_status read_table(slice image, segment_header *header, sections *t, base_error *error) {
    if ((uintptr_t)image.data % 8 != 0) return error_set(error, FORAGE_E_INVALID, "segment: the image is not aligned");
    if (image.size < sizeof *header) return error_set(error, FORAGE_E_CORRUPT, "segment: only %zu bytes", image.size);
    memcpy(header, image.data, sizeof *header);
    if (memcmp(header->magic, SEGMENT_MAGIC, sizeof header->magic) != 0)
        return error_set(error, FORAGE_E_CORRUPT, "segment: this is no segment");
    if (header->version < SEGMENT_VERSION)
        return error_set(error, FORAGE_E_CORRUPT, "segment: format %u, this program builds and reads %u",
                         header->version, SEGMENT_VERSION);
    uint64_t table_size = (uint64_t)header->n_sections * sizeof(segment_section), end = header->table + table_size;
    if (header->size != image.size || header->table % 8 != 0 || header->table < sizeof *header ||
        header->table > image.size || table_size > image.size - header->table ||
        image.size - end != segment_hashes(end) * sizeof(uint64_t))
        return error_set(error, FORAGE_E_CORRUPT, "segment: %zu bytes are not what its header says", image.size);
    *t = (sections){image.data, (const segment_section *)(const void *)(image.data + header->table),
                    header->n_sections};
    forage_status status = segment_check_hashes(image, end, header->checksum, error);
    if (status == FORAGE_OK && header->version > SEGMENT_VERSION) /* not a wrong bit in the version */
        status = error_set(error, FORAGE_E_VERSION, "segment: format %u is newer than %u", header->version,
                           SEGMENT_VERSION);
    return status;
}

/* Sections follow each other, each at the next multiple of 8, with zeros between them: no byte is left unchecked. */
static forage_status check_sections(const sections *t, uint64_t end, base_error *error) {
    uint64_t at = sizeof(segment_header);
    for (uint32_t i = 0; i < t->n; i++) {
        const segment_section *s = &t->table[i];
        if (s->offset != at || s->offset > end || s->size > end - s->offset)
            return error_set(error, FORAGE_E_CORRUPT, "segment: section %u is out of bounds", i);
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

static bool open_versions(sparse_segment *s, const sections *t) {
    const void *data;
    uint64_t size;
    if (!find_section(t, SEGMENT_VERSIONS, 0, &data, &size) || size < sizeof s->least_version) return false;
    memcpy(&s->least_version, data, sizeof s->least_version);
    size -= sizeof s->least_version;
    s->versions = (const uint8_t *)data + sizeof s->least_version;
    s->version_width = s->count ? size / s->count : 0;
    return size == s->version_width * s->count && s->version_width <= 8;
}

static bool open_documents(sparse_segment *s, const sections *t) {
    const void *fields, *documents;
    uint64_t count = s->count, size;
    if (!fixed_section(t, SEGMENT_FIELDS, 0, s->n_fields * sizeof(segment_field), &fields)) return false;
    if (!find_section(t, SEGMENT_DOCUMENTS, 0, &documents, &size) || !open_versions(s, t)) return false;
    s->documents = documents;
    if (count != 1 && size == sizeof *s->documents) {
        s->first_document = s->documents[0];
        s->documents = NULL;
        if (count == 0 || UINT32_MAX - s->first_document < count - 1) return false;
    } else if (size != count * sizeof *s->documents) {
        return false;
    }
    s->fields = fields;
    if (s->documents) s->order = segment_order_by_document(s->documents, s->count);
    for (uint32_t f = 0; f < s->n_fields; f++) {
        if (s->fields[f].kind > SPARSE_WEIGHTS) return false;
        if (s->fields[f].kind == SPARSE_TEXT) s->text_fields[s->n_text++] = f;
    }
    return true;
}

/* The rows are as many as the least power of two that the codes fit in, each as long as the least that the classes do. */
static bool open_impacts(sparse_segment *s, const sections *t) {
    const void *classes, *totals, *rows;
    uint64_t totals_size, rows_size, row = 1, n_rows = 1;
    if (!find_section(t, SEGMENT_TOTALS, 0, &totals, &totals_size) ||
        !find_section(t, SEGMENT_IMPACTS, 0, &rows, &rows_size) || totals_size > 256 * sizeof *s->totals)
        return false;
    s->totals = totals;
    s->n_codes = (uint32_t)(totals_size / sizeof *s->totals);
    if (!fixed_section(t, SEGMENT_CLASSES, 0, s->count, &classes)) {
        const segment_column *c = s->n_text == 1 ? &s->columns[s->text_fields[0]] : NULL;
        if (s->count > 0 && s->n_text > 0 && (!c || c->length_width != 1)) return false;
        classes = c ? c->lengths : NULL;
    }
    while (n_rows < s->n_codes) n_rows *= 2;
    sparse_impacts *i = &s->impacts;
    while (row * n_rows < rows_size && row < 256) {
        row *= 2;
        i->shift++;
    }
    i->classes = classes;
    i->rows = rows;
    i->mask = (uint32_t)n_rows - 1;
    i->last = s->count ? s->count - 1 : 0;
    for (uint32_t c = 0; c < s->n_codes; c++)
        if (s->totals[c] == 0 || s->totals[c] > SPARSE_MAX_TOKENS) return false;
    return row * n_rows == rows_size;
}

static bool open_terms(sparse_segment *s, const sections *t) {
    const void *dictionary, *keys, *blocks, *postings, *positions;
    uint64_t keys_size, blocks_size, postings_size, positions_size;
    uint64_t n_entries = ((uint64_t)s->n_terms + SEGMENT_TERMS - 1) / SEGMENT_TERMS;
    if (!fixed_section(t, SEGMENT_DICTIONARY, 0, n_entries * sizeof *s->dictionary, &dictionary) ||
        !find_section(t, SEGMENT_KEYS, 0, &keys, &keys_size) ||
        !find_section(t, SEGMENT_BLOCKS, 0, &blocks, &blocks_size) ||
        !find_section(t, SEGMENT_POSTINGS, 0, &postings, &postings_size) ||
        !find_section(t, SEGMENT_POSITIONS, 0, &positions, &positions_size))
        return false;
    if (blocks_size % sizeof *s->blocks != 0) return false;
    s->dictionary = dictionary;
    s->keys = keys;
    s->keys_end = s->keys + keys_size;
    s->blocks = blocks;
    s->n_blocks = blocks_size / sizeof *s->blocks;
    s->postings = postings;
    s->postings_size = postings_size;
    s->positions = positions;
    s->positions_size = positions_size;
    s->heads = mem_zalloc(s->n_terms / SEGMENT_TERMS + 1, sizeof *s->heads);
    s->letters = mem_zalloc(s->n_terms / SEGMENT_TERMS + 1, sizeof *s->letters);
    return segment_check_terms(s, &s->maxima);
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

/* One number per place; *width: their bytes. */
static bool open_widths(const sparse_segment *s, const void *data, uint64_t size, const uint8_t **out, size_t *width) {
    if (s->count == 0) return size == 0;
    *out = data;
    *width = size / s->count;
    return size % s->count == 0 && (*width == 1 || *width == 2 || *width == 4);
}

static bool open_lengths(const sparse_segment *s, segment_column *c, uint32_t field, const sections *t) {
    const void *data;
    uint64_t size;
    if (!find_section(t, SEGMENT_LENGTHS, field, &data, &size) ||
        !open_widths(s, data, size, &c->lengths, &c->length_width))
        return false;
    c->spans = c->lengths;
    c->span_width = c->length_width;
    return !find_section(t, SEGMENT_SPANS, field, &data, &size) ||
           open_widths(s, data, size, &c->spans, &c->span_width);
}

static bool open_column(sparse_segment *s, uint32_t field, const sections *t) {
    segment_column *c = &s->columns[field];
    const void *data;
    switch ((sparse_kind)s->fields[field].kind) {
    case SPARSE_TEXT: return open_lengths(s, c, field, t);
    case SPARSE_NUMBER:
        if (!fixed_section(t, SEGMENT_NUMBERS, field, (uint64_t)s->count * sizeof(double), &data)) return false;
        c->numbers = data;
        return true;
    case SPARSE_KEYWORD: return open_keywords(s, c, field, t);
    case SPARSE_WEIGHTS: return true;
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
    s->prior_maxima = mem_zalloc(s->count / 64 + 1, sizeof *s->prior_maxima);
    for (uint32_t p = 0; p < s->count; p++) {
        good = good && s->prior[p] >= 0 && s->prior[p] <= 1;
        if (s->prior[p] > s->prior_maxima[p / 64]) s->prior_maxima[p / 64] = s->prior[p];
    }
    for (uint32_t i = 0; i <= s->count / 64; i++)
        if (s->prior_maxima[i] > s->max_prior) s->max_prior = s->prior_maxima[i];
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
                          .checksum = header.checksum,
                          .hashed = header.table + header.n_sections * sizeof(segment_section)};
    const char *bad = NULL;
    if (s->count > SEGMENT_MAX_COUNT || s->n_fields > SPARSE_MAX_FIELDS) bad = "header";
    else if (!open_documents(s, &t)) bad = "document table";
    else if (!open_popularity(s, &t)) bad = "popularity order";
    for (uint32_t f = 0; !bad && f < s->n_fields; f++)
        if (!open_column(s, f, &t)) bad = "column";
    if (!bad && (!open_impacts(s, &t) || !open_terms(s, &t))) bad = "inverted index";
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
    segment_maxima_release(&s->maxima);
    free(s->order);
    free(s->prior_maxima);
    free(s->heads);
    free(s->letters);
    free(s);
}

/* --- places ------------------------------------------------------------------------------------------------------ */

uint32_t sparse_segment_count(const sparse_segment *s) { return s->count; }
static inline uint32_t document_at(const sparse_segment *s, uint32_t place) {
    return s->documents ? s->documents[place] : s->first_document + place;
}

uint32_t sparse_segment_document(const sparse_segment *s, uint32_t place) { return document_at(s, place); }
uint64_t sparse_segment_version(const sparse_segment *s, uint32_t place) {
    uint64_t more = 0;
    memcpy(&more, s->versions + place * s->version_width, s->version_width); /* little-endian */
    return s->least_version + more;
}
const uint32_t *sparse_segment_documents(const sparse_segment *s, uint32_t *first) {
    *first = s->first_document;
    return s->documents;
}
bool sparse_segment_ascends(const sparse_segment *s) { return s->order == NULL; }
uint32_t sparse_segment_terms(const sparse_segment *s) { return s->n_terms; }
uint32_t sparse_segment_fields(const sparse_segment *s) { return s->n_fields; }
size_t sparse_segment_bytes(const sparse_segment *s) { return s->image.size; }
uint64_t sparse_segment_checksum(const sparse_segment *s) { return s->checksum; }

/* Interpolation narrows quickly, because document numbers are dense; halving bounds the worst case. */
bool sparse_segment_find(const sparse_segment *s, uint32_t document, uint32_t *place) {
    if (s->count == 0) return false;
    if (!s->documents) return *place = document - s->first_document, *place < s->count;
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
    if (s->count == 0 || !s->documents) return;
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

/* Little-endian; widths are told apart because a memcpy of a size not known would be a call. */
static inline uint32_t number_at(const uint8_t *numbers, size_t width, uint32_t place) {
    uint16_t two;
    uint32_t four;
    switch (width) {
    case 1: return numbers[place];
    case 2: return memcpy(&two, numbers + (size_t)place * 2, sizeof two), two;
    case 4: return memcpy(&four, numbers + (size_t)place * 4, sizeof four), four;
    default: return 0;
    }
}

uint32_t sparse_segment_length(const sparse_segment *s, uint32_t field, uint32_t place) {
    return field < s->n_fields ? number_at(s->columns[field].lengths, s->columns[field].length_width, place) : 0;
}

uint32_t sparse_segment_span(const sparse_segment *s, uint32_t field, uint32_t place) {
    return field < s->n_fields ? number_at(s->columns[field].spans, s->columns[field].span_width, place) : 0;
}

void sparse_segment_length_soon(const sparse_segment *s, uint32_t field, uint32_t place) {
    if (field >= s->n_fields || s->columns[field].length_width == 0) return;
    const segment_column *c = &s->columns[field];
    __builtin_prefetch(c->lengths + place * c->length_width);
    if (c->spans != c->lengths) __builtin_prefetch(c->spans + place * c->span_width);
}

uint32_t sparse_segment_field_start(const sparse_segment *s, uint32_t field, uint32_t place) {
    uint32_t start = 0;
    for (uint32_t i = 0; i < s->n_text && s->text_fields[i] < field; i++)
        start += sparse_segment_span(s, s->text_fields[i], place);
    return start;
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

const float *sparse_segment_prior_maxima(const sparse_segment *s) { return s->prior_maxima; }

const float *sparse_segment_prior(const sparse_segment *s, float *max) {
    *max = s->max_prior;
    return s->prior;
}
