#include "simulate/sim_catalogue.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LONGEST_VALUE 60 /* bytes: a longer one is prose */
#define SHORTEST_WORD 4

/* ---- Values and words, counted ---- */

/* Texts by a number and their bytes: open addressing, at most half full. Ids count up from 0. */
typedef struct sim_values {
    uint32_t *slots; /* id + 1; 0: free */
    size_t mask;
    slice *texts;
    uint32_t *groups, *counts, *renamed; /* renamed: the attribute's number, or SIM_NONE */
    size_t n, texts_capacity, groups_capacity, counts_capacity;
} sim_values;

static size_t slot_of(const sim_values *v, uint32_t group, slice text) {
    size_t at = (size_t)hash64(text.data, text.size, group) & v->mask;
    while (v->slots[at] && (v->groups[v->slots[at] - 1] != group || !slice_equal(v->texts[v->slots[at] - 1], text)))
        at = (at + 1) & v->mask;
    return at;
}

static uint32_t find_value(const sim_values *v, uint32_t group, slice text) {
    return v->slots ? v->slots[slot_of(v, group, text)] - 1 : SIM_NONE; /* free is 0: SIM_NONE */
}

static void make_room(sim_values *v) {
    if (v->slots && (v->n + 1) * 2 <= v->mask) return;
    free(v->slots);
    v->mask = v->mask ? v->mask * 2 + 1 : 4095;
    v->slots = mem_zalloc(v->mask + 1, sizeof *v->slots);
    for (size_t i = 0; i < v->n; i++) v->slots[slot_of(v, v->groups[i], v->texts[i])] = (uint32_t)i + 1;
}

static uint32_t add_value(sim_values *v, uint32_t group, slice text, arena *a) {
    make_room(v);
    size_t at = slot_of(v, group, text);
    if (v->slots[at]) return v->slots[at] - 1;
    v->texts = mem_grow(v->texts, &v->texts_capacity, v->n + 1, sizeof *v->texts);
    v->groups = mem_grow(v->groups, &v->groups_capacity, v->n + 1, sizeof *v->groups);
    v->counts = mem_grow(v->counts, &v->counts_capacity, v->n + 1, sizeof *v->counts);
    v->texts[v->n] = arena_slice(a, text);
    v->groups[v->n] = group;
    v->counts[v->n] = 0;
    v->slots[at] = (uint32_t)++v->n;
    return (uint32_t)v->n - 1;
}

static void release_values(sim_values *v) {
    if (!v) return;
    free(v->slots);
    free(v->texts);
    free(v->groups);
    free(v->counts);
    free(v->renamed);
    free(v);
}

/* ---- Documents ---- */

/* The text field that is called so, else the weightiest. */
static int32_t find_title(const schema *s) {
    static const char *const usual[] = {"title", "name", "label"};
    int32_t best = -1;
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
        for (uint32_t f = 0; f < s->n_fields; f++)
            if (s->fields[f].kind == SCHEMA_TEXT && strcasecmp(s->fields[f].name, usual[i]) == 0) return (int32_t)f;
    for (uint32_t f = 0; f < s->n_fields; f++)
        if (s->fields[f].kind == SCHEMA_TEXT && (best < 0 || s->fields[f].weight > s->fields[best].weight))
            best = (int32_t)f;
    return best;
}

static slice text_of(const json_value *v) {
    return v && (v->type == JSON_STRING || v->type == JSON_NUMBER) ? v->text : (slice){0};
}

/* Calls for every value that could be an attribute. */
typedef uint32_t (*value_taker)(void *self, uint32_t field, slice text);

static size_t each_value(const sim_catalogue *k, const json_value *json, value_taker take, void *self, uint32_t *out) {
    size_t n = 0;
    for (uint32_t f = 0; f < k->schema->n_fields; f++) {
        schema_kind kind = k->schema->fields[f].kind;
        if ((kind != SCHEMA_TEXT && kind != SCHEMA_KEYWORD && kind != SCHEMA_REFERENCE) || (int32_t)f == k->title_field)
            continue;
        const json_value *v = json_get(json, k->schema->fields[f].name);
        bool list = v && v->type == JSON_ARRAY;
        for (v = list ? v->first : v; v && n < SIM_MAX_ATTRIBUTES; v = list ? v->next : NULL) {
            slice text = text_of(v);
            if (!text.size || text.size > LONGEST_VALUE) continue;
            uint32_t id = take(self, f, text);
            bool again = id == SIM_NONE;
            for (size_t i = 0; i < n && !again; i++) again = out[i] == id;
            if (!again) out[n++] = id;
        }
    }
    return n;
}

typedef struct reading {
    sim_catalogue *k;
    sim_values *words;
    size_t documents_capacity, ids_capacity;
    arena scratch;
} reading;

static uint32_t note_value(void *self, uint32_t field, slice text) {
    sim_catalogue *k = self;
    return add_value(k->values, field, text, &k->memory);
}

static bool is_word_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || ((unsigned char)c & 0x80);
}

static bool next_word(slice *rest, slice *word) {
    while (rest->size && !is_word_byte(rest->data[0])) *rest = (slice){rest->data + 1, rest->size - 1};
    size_t n = 0;
    while (n < rest->size && is_word_byte(rest->data[n])) n++;
    *word = (slice){rest->data, n};
    *rest = (slice){rest->data + n, rest->size - n};
    return n > 0;
}

/* ASCII capitals made small, in the arena. */
static slice lowered(slice word, arena *a) {
    char *out = arena_strndup(a, word.data, word.size);
    for (size_t i = 0; i < word.size; i++)
        if (out[i] >= 'A' && out[i] <= 'Z') out[i] = (char)(out[i] + 32);
    return (slice){out, word.size};
}

static void count_words(reading *r, slice title) {
    slice word;
    while (next_word(&title, &word))
        if (word.size >= SHORTEST_WORD) {
            uint32_t id = add_value(r->words, 0, lowered(word, &r->scratch), &r->k->memory);
            r->words->counts[id]++;
        }
}

static void read_document(reading *r, const collection_document *d) {
    sim_catalogue *k = r->k;
    json_value *json;
    uint32_t ids[SIM_MAX_ATTRIBUTES];
    arena_reset(&r->scratch);
    if (json_read(&r->scratch, d->source, &json, NULL)) return;
    const json_value *title = k->title_field < 0 ? NULL : json_get(json, k->schema->fields[k->title_field].name);
    if (title && title->type == JSON_ARRAY) title = title->first;
    const json_value *popularity = k->schema->popularity ? json_get(json, k->schema->popularity) : NULL;
    size_t n = each_value(k, json, note_value, k, ids);
    k->documents = mem_grow(k->documents, &r->documents_capacity, k->n_documents + 1, sizeof *k->documents);
    k->attribute_ids = mem_grow(k->attribute_ids, &r->ids_capacity, k->n_members + n + 1, sizeof *k->attribute_ids);
    k->documents[k->n_documents++] = (sim_document){
        .number = d->number,
        .first = (uint32_t)k->n_members,
        .n_attributes = (uint32_t)n,
        .title = arena_slice(&k->memory, text_of(title)),
        .popularity = popularity && popularity->type == JSON_NUMBER && popularity->number > 0 ? popularity->number : 0};
    for (size_t i = 0; i < n; i++) {
        k->attribute_ids[k->n_members++] = ids[i];
        k->values->counts[ids[i]]++;
    }
    count_words(r, text_of(title));
}

/* Walks all documents; of more than SIM_MAX_DOCUMENTS a uniform sample (Knuth's Algorithm S) in order of their
 * numbers. */
static forage_status read_documents(reading *r, store_txn *t, uint64_t seed, base_error *error) {
    store_cursor *cursor;
    slice key, value;
    random_source random;
    uint64_t left = store_count(t, STORE_DOCUMENTS), wanted = left < SIM_MAX_DOCUMENTS ? left : SIM_MAX_DOCUMENTS;
    forage_status status = store_cursor_open(t, STORE_DOCUMENTS, (slice){0}, &cursor, error);
    if (status) return status;
    random_seed(&random, seed);
    for (; wanted && store_cursor_next(cursor, &key, &value); left--) {
        collection_document d;
        if (left > wanted && random_below(&random, left) >= wanted) continue;
        wanted--;
        if (key.size == 4 && !collection_document_by_number(t, load_be32(key.data), &d)) read_document(r, &d);
    }
    store_cursor_close(cursor);
    return FORAGE_OK;
}

/* ---- What is shared ---- */

/* Values of one document only are dropped: they are names, not attributes. */
static void number_attributes(sim_catalogue *k) {
    sim_values *v = k->values;
    v->renamed = mem_alloc((v->n + 1) * sizeof *v->renamed);
    k->attributes = mem_zalloc(v->n + 1, sizeof *k->attributes);
    for (size_t i = 0; i < v->n; i++) {
        v->renamed[i] = SIM_NONE;
        if (v->counts[i] < 2) continue;
        bool typed = k->schema->fields[v->groups[i]].kind != SCHEMA_REFERENCE;
        v->renamed[i] = (uint32_t)k->n_attributes;
        k->attributes[k->n_attributes++] = (sim_attribute){.text = typed ? v->texts[i] : (slice){0},
                                                           .field = v->groups[i],
                                                           .weight = log((double)(k->n_documents + 1) / v->counts[i])};
    }
}

static void join_attributes(sim_catalogue *k) {
    uint32_t kept = 0, next = 0;
    for (size_t d = 0; d < k->n_documents; d++) {
        sim_document *document = &k->documents[d];
        uint32_t first = document->first, n = document->n_attributes;
        document->first = kept;
        for (uint32_t i = first; i < first + n; i++) {
            uint32_t id = k->values->renamed[k->attribute_ids[i]];
            if (id != SIM_NONE) k->attribute_ids[kept++] = id;
        }
        document->n_attributes = kept - document->first;
        for (uint32_t i = document->first; i < kept; i++) k->attributes[k->attribute_ids[i]].n_documents++;
    }
    k->n_members = kept;
    k->members = mem_alloc((kept + 1) * sizeof *k->members);
    for (size_t i = 0; i < k->n_attributes; i++) {
        k->attributes[i].first = next;
        next += k->attributes[i].n_documents;
        k->attributes[i].n_documents = 0;
    }
    for (size_t d = 0; d < k->n_documents; d++)
        for (uint32_t i = 0; i < k->documents[d].n_attributes; i++) {
            sim_attribute *attribute = &k->attributes[k->attribute_ids[k->documents[d].first + i]];
            k->members[attribute->first + attribute->n_documents++] = (uint32_t)d;
        }
}

static void choose_words(reading *r) {
    for (size_t d = 0; d < r->k->n_documents; d++) {
        sim_document *document = &r->k->documents[d];
        slice rest = document->title, word;
        uint32_t most = 0;
        while (next_word(&rest, &word)) {
            arena_reset(&r->scratch);
            uint32_t id = word.size >= SHORTEST_WORD ? find_value(r->words, 0, lowered(word, &r->scratch)) : SIM_NONE;
            if (id == SIM_NONE || r->words->counts[id] <= most) continue;
            most = r->words->counts[id];
            document->word = word;
        }
        if (!document->word.size) document->word = document->title;
    }
}

forage_status sim_catalogue_create(collection *c, uint64_t seed, sim_catalogue **out, base_error *error) {
    sim_catalogue *k = mem_zalloc(1, sizeof *k);
    reading r = {.k = k, .words = mem_zalloc(1, sizeof *r.words)};
    store_txn *t = NULL;
    arena_init(&k->memory, 0);
    arena_init(&r.scratch, 0);
    k->schema = collection_schema(c);
    k->title_field = find_title(k->schema);
    k->values = mem_zalloc(1, sizeof *k->values);
    forage_status status = store_read_begin(collection_store(c), &t, error);
    if (!status) status = read_documents(&r, t, seed, error);
    store_read_end(t);
    if (!status) {
        number_attributes(k);
        join_attributes(k);
        choose_words(&r);
        bool any = k->n_attributes > 0;
        for (size_t d = 0; d < k->n_documents && !any; d++) any = k->documents[d].title.size > 0;
        if (!any)
            status = error_set(error, FORAGE_E_INVALID,
                               "there is no document with a title or a shared value to look for");
    }
    release_values(r.words);
    arena_release(&r.scratch);
    if (status) sim_catalogue_destroy(k);
    else *out = k;
    return status;
}

void sim_catalogue_destroy(sim_catalogue *k) {
    if (!k) return;
    release_values(k->values);
    free(k->documents);
    free(k->attributes);
    free(k->attribute_ids);
    free(k->members);
    arena_release(&k->memory);
    free(k);
}

static uint32_t known_value(void *self, uint32_t field, slice text) {
    const sim_catalogue *k = self;
    uint32_t id = find_value(k->values, field, text);
    return id == SIM_NONE ? id : k->values->renamed[id];
}

size_t sim_catalogue_attributes(const sim_catalogue *k, slice source, arena *a, uint32_t *out) {
    json_value *json;
    sim_catalogue *self = (sim_catalogue *)(uintptr_t)k;
    return json_read(a, source, &json, NULL) ? 0 : each_value(k, json, known_value, self, out);
}
