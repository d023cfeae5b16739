#include "memory/translate.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC 0x41525446u /* "FTRA" */
#define FORMAT 1
#define NULL_WORD 0
#define LAMBDA 0.1f

/* Terms by number. */
typedef struct terms {
    slice *items;
    size_t n, capacity;
    uint32_t *slots; /* number + 1 */
    size_t n_slots;
} terms;

typedef struct target {
    uint32_t term; /* of queries */
    float t;       /* t(term | document term) */
} target;

typedef struct targets {
    target *items; /* by falling t */
    uint32_t n;
} targets;

typedef struct pair {
    size_t first; /* in `words`: the query's terms, then the document's, the null word among them */
    uint8_t n_query, n_document;
    float weight;
} pair;

/* t(q | d) and the expected count that makes the next one. */
typedef struct cell {
    uint64_t key; /* document term << 32 | query term, + 1; 0: empty */
    float t, count;
} cell;

struct translation {
    arena memory;
    terms queries, documents;
    float *frequency; /* P(q), by query term */
    size_t frequency_capacity;
    targets *rows;    /* by document term */
    size_t n_pairs;

    pair *pairs; /* until it is trained */
    size_t pairs_capacity;
    uint32_t *words;
    size_t n_words, words_capacity;
    cell *cells;
    size_t n_cells, n_slots;
};

/* ---- Terms ---- */

static size_t slot_of(const terms *t, slice term) {
    size_t i = hash64(term.data, term.size, 0) & (t->n_slots - 1);
    while (t->slots[i] && !slice_equal(t->items[t->slots[i] - 1], term)) i = (i + 1) & (t->n_slots - 1);
    return i;
}

static void rehash(terms *t, size_t n_slots) {
    free(t->slots);
    t->n_slots = n_slots;
    t->slots = mem_zalloc(n_slots, sizeof *t->slots);
    for (size_t i = 0; i < t->n; i++) t->slots[slot_of(t, t->items[i])] = (uint32_t)i + 1;
}

static uint32_t term_number(terms *t, slice term, arena *a) {
    if (2 * t->n >= t->n_slots) rehash(t, t->n_slots ? 2 * t->n_slots : 256);
    size_t at = slot_of(t, term);
    if (t->slots[at]) return t->slots[at] - 1;
    t->items = mem_grow(t->items, &t->capacity, t->n + 1, sizeof *t->items);
    t->items[t->n++] = arena_slice(a, term);
    t->slots[at] = (uint32_t)t->n;
    return (uint32_t)t->n - 1;
}

static bool term_find(const terms *t, slice term, uint32_t *out) {
    if (!t->n_slots) return false;
    uint32_t found = t->slots[slot_of(t, term)];
    if (found) *out = found - 1;
    return found;
}

translation *translation_create(void) {
    translation *m = mem_zalloc(1, sizeof *m);
    arena_init(&m->memory, 0);
    term_number(&m->documents, SLICE(""), &m->memory);
    return m;
}

static void release_pairs(translation *m) {
    free(m->pairs);
    free(m->words);
    free(m->cells);
    m->pairs = NULL;
    m->words = NULL;
    m->cells = NULL;
}

void translation_destroy(translation *m) {
    if (!m) return;
    release_pairs(m);
    free(m->queries.items);
    free(m->queries.slots);
    free(m->documents.items);
    free(m->documents.slots);
    free(m->frequency);
    free(m->rows);
    arena_release(&m->memory);
    free(m);
}

/* ---- Learning ---- */

static size_t cell_slot(const translation *m, uint64_t key) {
    size_t i = hash64(&key, sizeof key, 0) & (m->n_slots - 1);
    while (m->cells[i].key && m->cells[i].key != key) i = (i + 1) & (m->n_slots - 1);
    return i;
}

static uint64_t cell_key(uint32_t document, uint32_t query) { return ((uint64_t)document << 32 | query) + 1; }

static void make_cell(translation *m, uint32_t document, uint32_t query) {
    if (2 * m->n_cells >= m->n_slots) {
        cell *old = m->cells;
        size_t n_old = m->n_slots;
        m->n_slots = n_old ? 2 * n_old : 1024;
        m->cells = mem_zalloc(m->n_slots, sizeof *m->cells);
        for (size_t i = 0; i < n_old; i++)
            if (old[i].key) m->cells[cell_slot(m, old[i].key)] = old[i];
        free(old);
    }
    uint64_t key = cell_key(document, query);
    cell *at = &m->cells[cell_slot(m, key)];
    if (at->key || m->n_cells >= TRANSLATE_MAX_CELLS) return;
    *at = (cell){.key = key};
    m->n_cells++;
}

static cell *find_cell(const translation *m, uint32_t document, uint32_t query) {
    cell *at = &m->cells[cell_slot(m, cell_key(document, query))];
    return at->key ? at : NULL;
}

/* A term that stands twice is one term: it does not ask, or answer, twice as much. */
static uint8_t add_terms(translation *m, terms *t, const slice *list, size_t n) {
    uint8_t added = 0;
    size_t first = m->n_words;
    for (size_t i = 0; i < n && added < TRANSLATE_MAX_WORDS; i++) {
        if (!list[i].size) continue;
        uint32_t number = term_number(t, list[i], &m->memory);
        size_t at = first;
        while (at < m->n_words && m->words[at] != number) at++;
        if (at < m->n_words) continue;
        m->words = mem_grow(m->words, &m->words_capacity, m->n_words + 1, sizeof *m->words);
        m->words[m->n_words++] = number;
        added++;
    }
    return added;
}

void translation_add(translation *m, const slice *query, size_t n_query, const slice *document, size_t n_document,
                     float weight) {
    if (!(weight > 0) || !isfinite(weight)) return;
    pair p = {.first = m->n_words, .weight = weight};
    p.n_query = add_terms(m, &m->queries, query, n_query);
    if (!p.n_query) return;
    m->words = mem_grow(m->words, &m->words_capacity, m->n_words + 1, sizeof *m->words);
    size_t null_word = m->n_words++;
    m->words[null_word] = NULL_WORD;
    p.n_document = (uint8_t)(add_terms(m, &m->documents, document, n_document) + 1);
    m->frequency = mem_grow(m->frequency, &m->frequency_capacity, m->queries.n, sizeof *m->frequency);
    for (uint32_t q = 0; q < p.n_query; q++) {
        uint32_t term = m->words[p.first + q];
        for (uint32_t d = 0; d < p.n_document; d++) make_cell(m, m->words[null_word + d], term);
    }
    m->pairs = mem_grow(m->pairs, &m->pairs_capacity, m->n_pairs + 1, sizeof *m->pairs);
    m->pairs[m->n_pairs++] = p;
}

static void count_frequencies(translation *m) {
    double all = 0;
    for (size_t q = 0; q < m->queries.n; q++) m->frequency[q] = 0;
    for (size_t i = 0; i < m->n_pairs; i++)
        for (uint32_t q = 0; q < m->pairs[i].n_query; q++) {
            m->frequency[m->words[m->pairs[i].first + q]] += m->pairs[i].weight;
            all += m->pairs[i].weight;
        }
    for (size_t q = 0; q < m->queries.n; q++) m->frequency[q] = (float)(m->frequency[q] / all);
}

/* E: each query term's count is shared by the document's terms, as t says. */
static void expect(translation *m) {
    for (size_t i = 0; i < m->n_pairs; i++) {
        const pair *p = &m->pairs[i];
        const uint32_t *query = m->words + p->first, *document = query + p->n_query;
        for (uint32_t q = 0; q < p->n_query; q++) {
            cell *shares[TRANSLATE_MAX_WORDS + 1];
            float all = 0;
            for (uint32_t d = 0; d < p->n_document; d++) {
                shares[d] = find_cell(m, document[d], query[q]);
                all += shares[d] ? shares[d]->t : 0;
            }
            for (uint32_t d = 0; d < p->n_document && all > 0; d++)
                if (shares[d]) shares[d]->count += p->weight * shares[d]->t / all;
        }
    }
}

/* M: t is each document term's share of the counts. */
static void maximise(translation *m, double *sums) {
    memset(sums, 0, m->documents.n * sizeof *sums);
    for (size_t i = 0; i < m->n_slots; i++)
        if (m->cells[i].key) sums[(m->cells[i].key - 1) >> 32] += m->cells[i].count;
    for (size_t i = 0; i < m->n_slots; i++) {
        cell *c = &m->cells[i];
        if (!c->key) continue;
        double sum = sums[(c->key - 1) >> 32];
        c->t = sum > 0 ? (float)(c->count / sum) : 0;
        c->count = 0;
    }
}

static bool is_likelier(const target *a, const target *b) { return a->t != b->t ? a->t > b->t : a->term < b->term; }

static void keep_target(targets *row, target t, arena *a) {
    if (!row->items) row->items = arena_alloc(a, TRANSLATE_MAX_ROW * sizeof *row->items);
    uint32_t at = row->n;
    if (at == TRANSLATE_MAX_ROW && !is_likelier(&t, &row->items[at - 1])) return;
    if (at < TRANSLATE_MAX_ROW) row->n++;
    else at--;
    for (; at > 0 && is_likelier(&t, &row->items[at - 1]); at--) row->items[at] = row->items[at - 1];
    row->items[at] = t;
}

#define LEAST_LIKELY 1e-3f

static void keep_rows(translation *m) {
    m->rows = mem_zalloc(m->documents.n, sizeof *m->rows);
    for (size_t i = 0; i < m->n_slots; i++) {
        const cell *c = &m->cells[i];
        if (!c->key || c->t < LEAST_LIKELY) continue;
        uint64_t key = c->key - 1;
        keep_target(&m->rows[key >> 32], (target){(uint32_t)key, c->t}, &m->memory);
    }
}

void translation_train(translation *m, unsigned iterations) {
    if (m->n_pairs) {
        count_frequencies(m);
        /* The null word starts from how often a term is asked at all, so that it takes the common ones. */
        for (size_t i = 0; i < m->n_slots; i++)
            if (m->cells[i].key)
                m->cells[i].t = (m->cells[i].key - 1) >> 32 == NULL_WORD ? m->frequency[(uint32_t)(m->cells[i].key - 1)]
                                                                         : 1.0f / (float)m->queries.n;
        double *sums = mem_alloc(m->documents.n * sizeof *sums);
        for (unsigned i = 0; i < iterations; i++) {
            expect(m);
            maximise(m, sums);
        }
        free(sums);
    }
    keep_rows(m);
    release_pairs(m);
}

/* ---- Using ---- */

static float target_of(const targets *row, uint32_t term) {
    for (uint32_t i = 0; i < row->n; i++)
        if (row->items[i].term == term) return row->items[i].t;
    return 0;
}

float translation_probability(const translation *m, slice query_term, slice document_term) {
    uint32_t q, d;
    return term_find(&m->queries, query_term, &q) && term_find(&m->documents, document_term, &d)
               ? target_of(&m->rows[d], q)
               : 0;
}

static float likelihood(const translation *m, uint32_t q, const slice *document, size_t n_document) {
    uint32_t d;
    if (n_document > TRANSLATE_MAX_WORDS) n_document = TRANSLATE_MAX_WORDS;
    float sum = target_of(&m->rows[NULL_WORD], q);
    for (size_t i = 0; i < n_document; i++)
        if (document[i].size && term_find(&m->documents, document[i], &d)) sum += target_of(&m->rows[d], q);
    return (1 - LAMBDA) * sum / (float)(n_document + 1) + LAMBDA * m->frequency[q];
}

float translation_likelihood(const translation *m, slice query_term, const slice *document, size_t n_document) {
    uint32_t q;
    return term_find(&m->queries, query_term, &q) ? likelihood(m, q, document, n_document) : 0;
}

float translation_lift(const translation *m, const slice *query, size_t n_query, const slice *document,
                       size_t n_document) {
    double lift = 1;
    uint32_t q;
    for (size_t i = 0; i < n_query; i++) {
        if (!term_find(&m->queries, query[i], &q) || !(m->frequency[q] > 0)) return 0;
        lift *= (double)likelihood(m, q, document, n_document) / m->frequency[q];
    }
    return n_query == 0 ? 0 : lift < TRANSLATE_MAX_LIFT ? (float)lift : TRANSLATE_MAX_LIFT;
}

static int by_likelihood(const void *x, const void *y) {
    const translated *a = x, *b = y;
    if (a->likelihood != b->likelihood) return a->likelihood > b->likelihood ? -1 : 1;
    return slice_compare(a->term, b->term);
}

static int by_term(const void *x, const void *y) {
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

size_t translation_expand(const translation *m, const slice *document, size_t n_document, size_t most, arena *a,
                          translated **out) {
    uint32_t *found = arena_alloc(a, (TRANSLATE_MAX_WORDS * TRANSLATE_MAX_ROW + 1) * sizeof *found), d;
    size_t n_found = 0, n = 0;
    if (n_document > TRANSLATE_MAX_WORDS) n_document = TRANSLATE_MAX_WORDS;
    for (size_t i = 0; i < n_document; i++) {
        if (!document[i].size || !term_find(&m->documents, document[i], &d)) continue;
        for (uint32_t t = 0; t < m->rows[d].n; t++) found[n_found++] = m->rows[d].items[t].term;
    }
    if (n_found) qsort(found, n_found, sizeof *found, by_term);
    translated *list = arena_alloc(a, (n_found + 1) * sizeof *list);
    for (size_t i = 0; i < n_found; i++) {
        if (i && found[i] == found[i - 1]) continue;
        list[n++] = (translated){m->queries.items[found[i]], likelihood(m, found[i], document, n_document)};
    }
    if (n) qsort(list, n, sizeof *list, by_likelihood);
    *out = list;
    return n < most ? n : most;
}

size_t translation_pairs(const translation *m) { return m->n_pairs; }
size_t translation_terms(const translation *m) { return m->documents.n - 1; }

/* ---- Bytes ---- */

void translation_save(const translation *m, buffer *out) {
    size_t first = out->size;
    put_u32(out, MAGIC);
    put_u8(out, FORMAT);
    put_u64(out, m->n_pairs);
    put_u32(out, (uint32_t)m->queries.n);
    for (size_t q = 0; q < m->queries.n; q++) {
        put_string(out, m->queries.items[q]);
        put_f32(out, m->frequency[q]);
    }
    put_u32(out, (uint32_t)m->documents.n);
    for (size_t d = 0; d < m->documents.n; d++) {
        put_string(out, m->documents.items[d]);
        put_u8(out, (uint8_t)m->rows[d].n);
        for (uint32_t i = 0; i < m->rows[d].n; i++) {
            put_u32(out, m->rows[d].items[i].term);
            put_f32(out, m->rows[d].items[i].t);
        }
    }
    put_u64(out, hash64(out->data + first, out->size - first, 0));
}

static float chance(float p) { return p >= 0 && p <= 1 ? p : 0; }

static void load_terms(translation *m, byte_reader *in) {
    uint32_t n = read_u32(in);
    for (uint32_t q = 0; q < n && !in->failed; q++) {
        slice term = read_string(in);
        float frequency = chance(read_f32(in));
        if (term_number(&m->queries, term, &m->memory) != q) in->failed = true; /* it is there twice */
        m->frequency = mem_grow(m->frequency, &m->frequency_capacity, m->queries.n, sizeof *m->frequency);
        m->frequency[m->queries.n - 1] = frequency;
    }
}

static void load_rows(translation *m, byte_reader *in) {
    size_t capacity = 0;
    uint32_t n = read_u32(in);
    if (n == 0) in->failed = true;
    for (uint32_t d = 0; d < n && !in->failed; d++) {
        slice term = read_string(in);
        uint8_t n_targets = read_u8(in);
        if (term_number(&m->documents, term, &m->memory) != d) in->failed = true;
        m->rows = mem_grow(m->rows, &capacity, m->documents.n, sizeof *m->rows);
        m->rows[m->documents.n - 1] = (targets){0};
        for (uint8_t i = 0; i < n_targets && !in->failed; i++) {
            target t = {read_u32(in), 0};
            t.t = chance(read_f32(in));
            if (t.term >= m->queries.n) in->failed = true;
            else keep_target(&m->rows[d], t, &m->memory);
        }
    }
}

forage_status translation_load(slice bytes, translation **out, base_error *error) {
    byte_reader in = byte_reader_of(bytes.data, bytes.size);
    uint32_t magic = read_u32(&in);
    uint8_t format = read_u8(&in);
    if (magic != MAGIC || bytes.size < 8 ||
        load_le64(bytes.data + bytes.size - 8) != hash64(bytes.data, bytes.size - 8, 0))
        return error_set(error, FORAGE_E_CORRUPT, "the translation model is damaged; train it again");
    if (format != FORMAT)
        return error_set(error, FORAGE_E_VERSION, "the translation model has format %u, this program reads %u; "
                         "train it again", format, FORMAT);
    translation *m = translation_create();
    m->n_pairs = (size_t)read_u64(&in);
    load_terms(m, &in);
    load_rows(m, &in);
    read_u64(&in);
    if (in.failed || read_left(&in)) {
        translation_destroy(m);
        return error_set(error, FORAGE_E_CORRUPT, "the translation model is damaged; train it again");
    }
    *out = m;
    return FORAGE_OK;
}
