/* Term keys, and the small values that the writing and the reading side share. */
#include "sparse/fields.h"

#include "base/hash.h"

#include <string.h>

enum { HASH_DIGITS = 16 };

slice sparse_term_form(slice value, char room[SPARSE_MAX_TERM]) {
    if (value.size <= SPARSE_MAX_TERM) return value;
    uint64_t hash = hash64(value.data, value.size, 0);
    size_t kept = SPARSE_MAX_TERM - HASH_DIGITS;
    memcpy(room, value.data, kept);
    for (size_t i = 0; i < HASH_DIGITS; i++) room[kept + i] = "0123456789abcdef"[hash >> (60 - 4 * i) & 15];
    return (slice){room, SPARSE_MAX_TERM};
}

static slice make_key(arena *a, const char *prefix, size_t prefix_size, slice text) {
    char room[SPARSE_MAX_TERM];
    text = sparse_term_form(text, room);
    char *key = arena_alloc(a, prefix_size + text.size);
    memcpy(key, prefix, prefix_size);
    if (text.size > 0) memcpy(key + prefix_size, text.data, text.size);
    return (slice){key, prefix_size + text.size};
}

slice sparse_text_key(arena *a, slice term) {
    const char prefix[] = {SPARSE_SPACE_TEXT};
    return make_key(a, prefix, sizeof prefix, term);
}

slice sparse_attribute_key(arena *a, uint32_t field, slice value) {
    const char prefix[] = {SPARSE_SPACE_ATTRIBUTE, (char)field};
    return make_key(a, prefix, sizeof prefix, value);
}

slice sparse_weight_key(arena *a, uint32_t field, slice token) {
    const char prefix[] = {SPARSE_SPACE_WEIGHT, (char)field};
    return make_key(a, prefix, sizeof prefix, token);
}

void sparse_config_copy(const sparse_config *config, arena *a, sparse_config *out) {
    *out = *config;
    for (uint32_t f = 0; f < config->n_fields; f++) {
        const char *name = config->fields[f].name;
        out->fields[f].name = name ? arena_strndup(a, name, strlen(name)) : NULL;
    }
}

void sparse_statistics_add(sparse_statistics *sum, const sparse_statistics *more) {
    sum->documents += more->documents;
    for (uint32_t f = 0; f < SPARSE_MAX_FIELDS; f++) {
        sum->length[f] += more->length[f];
        sum->having[f] += more->having[f];
    }
}
