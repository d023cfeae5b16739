/* A schema from the first documents: what a person would have declared, by rules that can be read here.
 *
 * A member is a number when all its values are; a date when all are ISO dates; a vector when all are arrays of the same
 * eight or more numbers; a reference when nearly all are ids of documents in the sample; a keyword when its values are
 * short and repeat, or look like codes or addresses; and text otherwise. */
#include "collection/schema.h"

#include "base/hash.h"
#include "feedback/timestamp.h"

#include <string.h>

typedef struct evidence {
    slice name;
    size_t values, strings, numbers, booleans, dates, arrays, others;
    size_t words, urls, references, distinct;
    uint32_t dimensions; /* of number arrays; UINT32_MAX: they differ */
    uint64_t *seen;      /* open-addressing set of value hashes */
    size_t seen_capacity;
} evidence;

#define SEEN_LIMIT 8192

/* A set of hashes that stops growing when it is three quarters full: by then the values are known to be diverse. */
static bool seen_add(uint64_t *set, size_t capacity, size_t *count, uint64_t hash) {
    if (*count * 4 >= capacity * 3) return true;
    hash = hash ? hash : 1;
    for (size_t i = hash & (capacity - 1);; i = (i + 1) & (capacity - 1)) {
        if (set[i] == hash) return false;
        if (set[i]) continue;
        set[i] = hash;
        ++*count;
        return true;
    }
}

static bool seen_has(const uint64_t *set, size_t capacity, uint64_t hash) {
    hash = hash ? hash : 1;
    for (size_t i = hash & (capacity - 1);; i = (i + 1) & (capacity - 1)) {
        if (set[i] == hash) return true;
        if (!set[i]) return false;
    }
}

typedef struct id_set {
    uint64_t *hashes;
    size_t capacity, count;
} id_set;

static size_t count_words(slice text) {
    size_t words = 0;
    bool inside = false;
    for (size_t i = 0; i < text.size; i++) {
        bool space = text.data[i] == ' ' || text.data[i] == '\n' || text.data[i] == '\t';
        words += !space && !inside;
        inside = !space;
    }
    return words;
}

static void look_at_string(evidence *e, slice text, const id_set *ids) {
    int64_t time;
    uint64_t hash = hash64(text.data, text.size, 0);
    e->strings++;
    e->words += count_words(text);
    e->dates += text.size >= 7 && timestamp_read(text, &time);
    e->urls += text.size > 8 && (memcmp(text.data, "http://", 7) == 0 || memcmp(text.data, "https://", 8) == 0);
    e->references += seen_has(ids->hashes, ids->capacity, hash);
    seen_add(e->seen, e->seen_capacity, &e->distinct, hash);
}

static void look_at(evidence *e, const json_value *value, const id_set *ids, bool nested) {
    switch (value->type) {
    case JSON_NULL: return;
    case JSON_STRING: look_at_string(e, value->text, ids); break;
    case JSON_NUMBER: e->numbers++; break;
    case JSON_BOOL: e->booleans++; break;
    case JSON_OBJECT: e->others++; break;
    case JSON_ARRAY:
        if (nested) {
            e->others++;
            break;
        }
        e->arrays++;
        if (value->first && value->first->type == JSON_NUMBER)
            e->dimensions = e->dimensions == 0 || e->dimensions == value->count ? (uint32_t)value->count : UINT32_MAX;
        for (const json_value *item = value->first; item; item = item->next) look_at(e, item, ids, true);
        return;
    }
    e->values++;
}

/* True when the evidence says what the field is. */
static bool decide(const evidence *e, schema_kind *kind, uint32_t *dimensions) {
    if (e->values == 0 || e->others) return false;
    *dimensions = 0;
    if (e->numbers == e->values) {
        if (!e->arrays) *kind = SCHEMA_NUMBER;
        else if (e->dimensions >= 8 && e->dimensions <= 4096) {
            *kind = SCHEMA_VECTOR;
            *dimensions = e->dimensions;
        } else *kind = SCHEMA_KEYWORD;
        return true;
    }
    if (e->strings == 0) {
        *kind = SCHEMA_KEYWORD;
        return true;
    }
    double words = (double)e->words / (double)e->strings, distinct = (double)e->distinct / (double)e->strings;
    bool title = slice_is(e->name, "title") || slice_is(e->name, "name");
    if (title) *kind = SCHEMA_TEXT;
    else if (e->dates == e->values && !e->arrays) *kind = SCHEMA_DATE;
    else if (e->references * 10 >= e->strings * 9) *kind = SCHEMA_REFERENCE;
    else if (e->urls * 2 > e->strings) *kind = SCHEMA_KEYWORD;
    else if (words <= 4 && (distinct <= 0.5 || words <= 1.05)) *kind = SCHEMA_KEYWORD;
    else *kind = SCHEMA_TEXT;
    return true;
}

static evidence *find_or_add(evidence *list, size_t *n, slice name, arena *a) {
    for (size_t i = 0; i < *n; i++)
        if (slice_equal(list[i].name, name)) return &list[i];
    if (*n == SPARSE_MAX_FIELDS) return NULL;
    evidence *e = &list[(*n)++];
    *e = (evidence){.name = name, .seen_capacity = SEEN_LIMIT, .seen = arena_zalloc(a, SEEN_LIMIT, sizeof(uint64_t))};
    return e;
}

static bool is_role(const schema *s, slice name) { return slice_is(name, s->id) || slice_is(name, "_id"); }

/* A member that counts popularity by one of its usual names becomes the popularity, unless another is there. */
static void guess_popularity(schema *s) {
    static const char *const names[] = {"popularity", "downloads", "ratings_count", "votes", "views", "sales", "plays",
                                        "listens"};
    for (size_t i = 0; i < sizeof names / sizeof names[0] && s->popularity_field < 0; i++) {
        const schema_field *f = schema_find(s, slice_of(names[i]));
        if (!f || f->kind != SCHEMA_NUMBER) continue;
        s->popularity = arena_strndup(&s->memory, names[i], strlen(names[i]));
        s->popularity_field = (int32_t)(f - s->fields);
    }
}

void schema_infer(schema *s, const json_value *const *documents, size_t n, uint32_t *added) {
    arena scratch;
    arena_init(&scratch, 1 << 20);
    id_set ids = {arena_zalloc(&scratch, 65536, sizeof(uint64_t)), 65536, 0};
    for (size_t i = 0; i < n; i++) {
        const json_value *id = json_get(documents[i], s->id);
        if (!id && slice_is(SLICE("id"), s->id)) id = json_get(documents[i], "_id");
        if (id) seen_add(ids.hashes, ids.capacity, &ids.count, hash64(id->text.data, id->text.size, 0));
    }
    evidence *list = arena_zalloc(&scratch, SPARSE_MAX_FIELDS, sizeof *list);
    size_t members = 0;
    for (size_t i = 0; i < n; i++)
        for (const json_value *member = documents[i]->first; member; member = member->next) {
            if (is_role(s, member->key) || schema_find(s, member->key) || member->key.size < 1 || member->key.size > 128)
                continue;
            evidence *e = find_or_add(list, &members, member->key, &scratch);
            if (e) look_at(e, member, &ids, false);
        }
    *added = 0;
    for (size_t i = 0; i < members; i++) {
        schema_kind kind;
        uint32_t dimensions;
        if (!decide(&list[i], &kind, &dimensions)) continue;
        if (slice_is(list[i].name, s->type)) kind = SCHEMA_KEYWORD;
        *added += schema_add_field(s, list[i].name, kind, dimensions);
    }
    if (*added) guess_popularity(s);
    arena_release(&scratch);
}
