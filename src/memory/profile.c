#include "memory/profile.h"

#include "base/bytes.h"

#define PROFILE_FORMAT 2

static float sane(float weight, float most) { return weight > 0 ? fminf(weight, most) : 0; } /* NaN too */

static bool key_of(const char *kind, slice id, hash128 *out) {
    if (!id.size) return false;
    buffer text = {0};
    buffer_puts(&text, kind);
    put_string(&text, id);
    *out = hash128_of(text.data, text.size);
    buffer_release(&text);
    return true;
}

bool profile_key(slice user, slice session, hash128 *out) {
    return key_of("user", user, out) || key_of("session", session, out);
}

bool profile_key_of_search(slice query_id, hash128 *out) { return key_of("search", query_id, out); }

uint32_t profile_query(const hash128 *memory_key) {
    uint32_t query;
    memcpy(&query, memory_key->bytes, sizeof query);
    return query ? query : 1;
}

void profile_init(profile *p) {
    p->first = p->time = INT64_MIN;
    p->spent = 0;
    p->events = p->n_segments = p->n_items = p->n_attributes = 0;
}

/* ---- Bytes ---- */

void profile_encode(const profile *p, buffer *out) {
    put_u8(out, PROFILE_FORMAT);
    put_u64(out, (uint64_t)p->first);
    put_u64(out, (uint64_t)p->time);
    put_f32(out, p->spent);
    put_u32(out, p->events);
    put_u8(out, (uint8_t)p->n_segments);
    for (uint32_t i = 0; i < p->n_segments; i++) put_u64(out, p->segments[i]);
    put_u16(out, (uint16_t)p->n_items);
    for (uint32_t i = 0; i < p->n_items; i++) {
        put_u32(out, p->items[i].document);
        put_f32(out, p->items[i].weight);
        put_u8(out, p->items[i].origin);
        put_u32(out, p->items[i].query);
    }
    put_u16(out, (uint16_t)p->n_attributes);
    for (uint32_t i = 0; i < p->n_attributes; i++) {
        put_u16(out, (uint16_t)p->attributes[i].field);
        put_string(out, p->attributes[i].value);
        put_f32(out, p->attributes[i].weight);
    }
}

static void read_lists(byte_reader *in, uint8_t format, profile *p) {
    p->n_segments = read_u8(in);
    if (p->n_segments > PROFILE_SEGMENTS) in->failed = true;
    for (uint32_t i = 0; i < p->n_segments && !in->failed; i++) p->segments[i] = read_u64(in);
    p->n_items = read_u16(in);
    if (p->n_items > PROFILE_ITEMS) in->failed = true;
    for (uint32_t i = 0; i < p->n_items && !in->failed; i++) {
        p->items[i].document = read_u32(in);
        p->items[i].weight = sane(read_f32(in), PROFILE_ITEM_CAP);
        p->items[i].origin = read_u8(in);
        p->items[i].query = format > 1 ? read_u32(in) : 0;
    }
    p->n_attributes = read_u16(in);
    if (p->n_attributes > PROFILE_ATTRIBUTES) in->failed = true;
    for (uint32_t i = 0; i < p->n_attributes && !in->failed; i++) {
        p->attributes[i].field = read_u16(in);
        p->attributes[i].value = read_string(in);
        p->attributes[i].weight = sane(read_f32(in), PROFILE_ITEM_CAP);
    }
}

bool profile_decode(slice bytes, profile *out) {
    byte_reader in = byte_reader_of(bytes.data, bytes.size);
    uint8_t format = read_u8(&in);
    out->first = decay_bounded((int64_t)read_u64(&in));
    out->time = decay_bounded((int64_t)read_u64(&in));
    out->spent = sane(read_f32(&in), PROFILE_ALLOWANCE);
    out->events = read_u32(&in);
    read_lists(&in, format, out);
    if (!in.failed && format >= 1 && format <= PROFILE_FORMAT && !read_left(&in)) return true;
    profile_init(out);
    return false;
}

static slice key_slice(const hash128 *key) { return (slice){(const char *)key->bytes, sizeof key->bytes}; }

bool profile_read(store_txn *t, const hash128 *key, profile *out) {
    slice bytes;
    profile_init(out);
    return store_get(t, STORE_PROFILES, key_slice(key), &bytes) == FORAGE_OK && profile_decode(bytes, out);
}

forage_status profile_write(store_txn *t, const hash128 *key, const profile *p, base_error *error) {
    buffer bytes = {0};
    profile_encode(p, &bytes);
    forage_status status = store_put(t, STORE_PROFILES, key_slice(key), (slice){bytes.data, bytes.size}, error);
    buffer_release(&bytes);
    return status;
}

forage_status profile_erase(store_txn *t, const hash128 *key, base_error *error) {
    return store_delete(t, STORE_PROFILES, key_slice(key), error);
}

/* ---- Engagement ---- */

float profile_left(const profile *p, int64_t now, int64_t half_life) {
    return p->time == INT64_MIN ? 1 : decay_factor(decay_bounded(now) - p->time, half_life);
}

/* Makes everything as old as it is at `time`. */
static void advance(profile *p, int64_t time, int64_t half_life) {
    float left = profile_left(p, time, half_life);
    p->time = time;
    p->spent *= left;
    for (uint32_t i = 0; i < p->n_items; i++) p->items[i].weight *= left;
    for (uint32_t i = 0; i < p->n_attributes; i++) p->attributes[i].weight *= left;
}

/* The lists are in order of weight but for one entry that has grown: it moves up. */
static void add_item(profile *p, const profile_engagement *e, float weight, float *before) {
    uint32_t i = 0;
    while (i < p->n_items && p->items[i].document != e->document) i++;
    if (i == p->n_items) p->items[p->n_items++] = (profile_item){.document = e->document};
    profile_item item = p->items[i];
    *before = item.weight;
    item.origin |= e->origin;
    if (e->query) item.query = e->query;
    item.weight = sane(item.weight + weight, PROFILE_ITEM_CAP);
    for (; i > 0 && p->items[i - 1].weight < item.weight; i--) p->items[i] = p->items[i - 1];
    p->items[i] = item;
    if (p->n_items > PROFILE_ITEMS) p->n_items = PROFILE_ITEMS;
}

static void add_attribute(profile *p, const profile_attribute *a, float weight) {
    if (a->value.size > PROFILE_MAX_VALUE || a->field > UINT16_MAX) return;
    uint32_t i = 0;
    while (i < p->n_attributes && (p->attributes[i].field != a->field || !slice_equal(p->attributes[i].value, a->value))) i++;
    if (i == p->n_attributes) p->attributes[p->n_attributes++] = (profile_attribute){a->field, a->value, 0};
    profile_attribute grown = p->attributes[i];
    grown.weight = sane(grown.weight + weight, PROFILE_ITEM_CAP);
    for (; i > 0 && p->attributes[i - 1].weight < grown.weight; i--) p->attributes[i] = p->attributes[i - 1];
    p->attributes[i] = grown;
    if (p->n_attributes > PROFILE_ATTRIBUTES) p->n_attributes = PROFILE_ATTRIBUTES;
}

/* A document's values of one field share its credit, so that a document with many tags does not fill the profile. */
static void add_attributes(profile *p, const profile_engagement *e, float weight) {
    for (size_t i = 0; i < e->n_attributes; i++) {
        size_t alike = 0;
        for (size_t j = 0; j < e->n_attributes; j++) alike += e->attributes[j].field == e->attributes[i].field;
        add_attribute(p, &e->attributes[i], weight / (float)alike);
    }
}

float profile_engage(profile *p, const profile_engagement *e) {
    int64_t time = decay_time(e->time, e->now, p->time);
    if (p->time == INT64_MIN || time > p->time) advance(p, time, e->half_life);
    if (p->first == INT64_MIN || time < p->first) p->first = time;
    float weight = sane(e->credit, PROFILE_ITEM_CAP) * decay_factor(p->time - time, e->half_life), before;
    add_item(p, e, weight, &before);
    add_attributes(p, e, weight);
    if (p->events < UINT32_MAX) p->events++;
    if (e->n_segments) {
        p->n_segments = e->n_segments < PROFILE_SEGMENTS ? (uint32_t)e->n_segments : PROFILE_SEGMENTS;
        memcpy(p->segments, e->segments, p->n_segments * sizeof *p->segments);
    }
    float news = fmaxf(0, fminf(sane(e->credit, 1), 1 - before));
    float voice = news * fmaxf(0, 1 - p->spent / PROFILE_ALLOWANCE);
    p->spent += voice;
    return voice;
}
