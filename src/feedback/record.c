#include "feedback/record.h"

#include "base/bytes.h"

#include <math.h>
#include <string.h>

#define RECORD_FORMAT 3

/* Impression, after the head; what is in [ ] is not in format 1, what is in { } not in formats 1 and 2:
 *   string query_id, query; 16 bytes memory key; string language, user, session, context; [string filter; u8 prefix;]
 *   u32 offset; string policy; u64 version; f64 propensity; u8 levels, u32 depth × levels; u8 policy features;
 *   u8 strategies, and each:
 *     string name; u8 level; f32 probability × levels; u32 depth, candidates, took_us; u8 late;
 *     [u8 allowed; f32 cost × levels; varint alone × levels;] f32 x × policy features
 *   string ranker; u64 version; u32 feature set; u16 features; [u32 candidates, took_us;] u16 hits, and each:
 *     u32 document; f32 score; varint rank × strategies; f32 × features {instead: packed features, see below; varint shadow; u8 team;
 *     f32 lean}
 *   {u16 unshown, and each as a hit; string experiment; u8 side; string shadow; u16 explored; f32 log propensity}
 * Event, after the head:
 *   string event_id, query_id, action, user, session, document_id; u32 document; u64 impression; u32 hit;
 *   f32 reward, credit; u64 engaged; [u8 ranks, varint × ranks]
 *
 * Packed features of a hit: two bits for each, four to a byte, lowest first: 0 zero, 1 not a number, 2 the same as in the hit before
 * (of the page, or of those not shown), 3 another one; then the f32 of all those. Most features of a search are one of the first
 * three. */
enum { PACKED_ZERO, PACKED_NAN, PACKED_SAME, PACKED_OTHER };
_Static_assert(RECORD_MAX_LEVELS <= 8, "allowed levels fit in a byte");

static void write_head(buffer *out, record_kind kind, int64_t time) {
    put_u8(out, (uint8_t)kind);
    put_u8(out, RECORD_FORMAT);
    put_u64(out, (uint64_t)time);
}

static void put_floats(buffer *out, const float *values, uint32_t n) { buffer_append(out, values, n * sizeof *values); }

static void write_strategy(const record_impression *r, const record_strategy *s, buffer *out) {
    put_string(out, s->name);
    put_u8(out, (uint8_t)s->level);
    put_floats(out, s->probability, r->n_levels);
    put_u32(out, s->depth);
    put_u32(out, s->candidates);
    put_u32(out, s->took_us);
    put_u8(out, s->late);
    put_u8(out, (uint8_t)s->allowed);
    put_floats(out, s->cost, r->n_levels);
    for (uint32_t l = 0; l < r->n_levels; l++) put_varint(out, s->alone[l]);
    put_floats(out, s->x, r->n_policy_features);
}

static uint8_t packed_code(const float *value, const float *before) {
    uint32_t bits;
    memcpy(&bits, value, sizeof bits);
    if (!bits) return PACKED_ZERO;
    if (*value != *value) return PACKED_NAN;
    return before && memcmp(value, before, sizeof *value) == 0 ? PACKED_SAME : PACKED_OTHER;
}

static void put_packed(buffer *out, const float *values, const float *before, uint32_t n) {
    for (uint32_t i = 0; i < n; i += 4) {
        uint8_t codes = 0;
        for (uint32_t j = i; j < n && j < i + 4; j++)
            codes |= (uint8_t)(packed_code(values + j, before ? before + j : NULL) << (j - i) * 2);
        put_u8(out, codes);
    }
    for (uint32_t i = 0; i < n; i++)
        if (packed_code(values + i, before ? before + i : NULL) == PACKED_OTHER) put_f32(out, values[i]);
}

/* before: the hit before it; NULL: it is the first. */
static void write_hit(const record_impression *r, const record_hit *hit, const record_hit *before, buffer *out) {
    put_u32(out, hit->document);
    put_f32(out, hit->score);
    for (uint32_t s = 0; s < r->n_strategies; s++) put_varint(out, hit->ranks[s]);
    put_packed(out, hit->features, before ? before->features : NULL, r->n_features);
    put_varint(out, hit->shadow);
    put_u8(out, (uint8_t)hit->team);
    put_f32(out, hit->lean);
}

void record_write_impression(const record_impression *r, buffer *out) {
    write_head(out, RECORD_IMPRESSION, r->time);
    put_string(out, r->query_id);
    put_string(out, r->query);
    buffer_append(out, r->memory_key.bytes, sizeof r->memory_key.bytes);
    put_string(out, r->language);
    put_string(out, r->user);
    put_string(out, r->session);
    put_string(out, r->context);
    put_string(out, r->filter);
    put_u8(out, r->prefix);
    put_u32(out, r->offset);
    put_string(out, r->policy);
    put_u64(out, r->policy_version);
    put_f64(out, r->propensity);
    put_u8(out, (uint8_t)r->n_levels);
    for (uint32_t l = 0; l < r->n_levels; l++) put_u32(out, r->depths[l]);
    put_u8(out, (uint8_t)r->n_policy_features);
    put_u8(out, (uint8_t)r->n_strategies);
    for (uint32_t s = 0; s < r->n_strategies; s++) write_strategy(r, &r->strategies[s], out);
    put_string(out, r->ranker);
    put_u64(out, r->ranker_version);
    put_u32(out, r->feature_set);
    put_u16(out, (uint16_t)r->n_features);
    put_u32(out, r->n_candidates);
    put_u32(out, r->took_us);
    put_u16(out, (uint16_t)r->n_hits);
    for (uint32_t i = 0; i < r->n_hits; i++) write_hit(r, &r->hits[i], i ? &r->hits[i - 1] : NULL, out);
    put_u16(out, (uint16_t)r->n_unshown);
    for (uint32_t i = 0; i < r->n_unshown; i++) write_hit(r, &r->unshown[i], i ? &r->unshown[i - 1] : NULL, out);
    put_string(out, r->experiment);
    put_u8(out, (uint8_t)r->side);
    put_string(out, r->shadow);
    put_u16(out, (uint16_t)r->explored);
    put_f32(out, r->log_propensity);
}

void record_write_event(const record_event *r, buffer *out) {
    write_head(out, RECORD_EVENT, r->time);
    put_string(out, r->event_id);
    put_string(out, r->query_id);
    put_string(out, r->action);
    put_string(out, r->user);
    put_string(out, r->session);
    put_string(out, r->document_id);
    put_u32(out, r->document);
    put_u64(out, r->impression);
    put_u32(out, r->hit);
    put_f32(out, r->reward);
    put_f32(out, r->credit);
    put_u64(out, r->engaged);
    put_u8(out, (uint8_t)r->n_ranks);
    for (uint32_t s = 0; s < r->n_ranks; s++) put_varint(out, r->ranks[s]);
}

forage_status record_kind_of(slice bytes, record_kind *out) {
    if (bytes.size < 2) return FORAGE_E_CORRUPT;
    uint8_t kind = (uint8_t)bytes.data[0], format = (uint8_t)bytes.data[1];
    if (kind != RECORD_IMPRESSION && kind != RECORD_EVENT) return FORAGE_E_CORRUPT;
    if (format == 0) return FORAGE_E_CORRUPT;
    if (format > RECORD_FORMAT) return FORAGE_E_VERSION;
    *out = (record_kind)kind;
    return FORAGE_OK;
}

static forage_status read_head(slice bytes, record_kind wanted, byte_reader *in, uint8_t *format, int64_t *time) {
    record_kind kind;
    forage_status status = record_kind_of(bytes, &kind);
    if (status) return status;
    if (kind != wanted) return FORAGE_E_CORRUPT;
    *format = (uint8_t)bytes.data[1];
    *in = byte_reader_of(bytes.data + 2, bytes.size - 2);
    *time = (int64_t)read_u64(in);
    return FORAGE_OK;
}

/* Floats are copied: records are not aligned. */
static const float *read_floats(byte_reader *in, uint32_t n, arena *a) {
    slice bytes = read_bytes(in, n * sizeof(float));
    float *out = arena_zalloc(a, n + 1, sizeof *out);
    if (bytes.data) memcpy(out, bytes.data, n * sizeof *out);
    return out;
}

static uint32_t read_count(byte_reader *in) {
    uint64_t rank = read_varint(in);
    if (rank > UINT32_MAX) in->failed = true;
    return (uint32_t)rank;
}

static uint32_t levels_with_a_chance(const record_impression *r, const record_strategy *s) {
    uint32_t levels = 0;
    for (uint32_t l = 0; l < r->n_levels; l++) levels |= (uint32_t)(s->probability[l] > 0) << l;
    return levels;
}

static void read_strategy(byte_reader *in, uint8_t format, const record_impression *r, record_strategy *s, arena *a) {
    s->name = read_string(in);
    s->level = read_u8(in);
    for (uint32_t l = 0; l < r->n_levels; l++) s->probability[l] = read_f32(in);
    s->depth = read_u32(in);
    s->candidates = read_u32(in);
    s->took_us = read_u32(in);
    s->late = read_u8(in) != 0;
    if (format > 1) s->allowed = read_u8(in);
    for (uint32_t l = 0; l < r->n_levels; l++) s->cost[l] = format > 1 ? read_f32(in) : -1;
    for (uint32_t l = 0; format > 1 && l < r->n_levels; l++) s->alone[l] = read_count(in);
    s->x = read_floats(in, r->n_policy_features, a);
    bool sound = s->level < r->n_levels && !(s->allowed >> r->n_levels);
    if (!sound || (s->allowed && !(s->allowed >> s->level & 1))) in->failed = true;
    if (!s->allowed) s->allowed = levels_with_a_chance(r, s);
}

static const float *read_packed(byte_reader *in, const float *before, uint32_t n, arena *a) {
    slice codes = read_bytes(in, (n + 3) / 4);
    float *out = arena_zalloc(a, n + 1, sizeof *out);
    for (uint32_t i = 0; i < n && !in->failed; i++) {
        uint8_t code = (uint8_t)codes.data[i / 4] >> i % 4 * 2 & 3;
        if (code == PACKED_NAN) out[i] = NAN;
        if (code == PACKED_SAME && !before) in->failed = true;
        if (code == PACKED_SAME && before) out[i] = before[i];
        if (code == PACKED_OTHER) out[i] = read_f32(in);
    }
    return out;
}

static void read_hit(byte_reader *in, uint8_t format, const record_impression *r, const record_hit *before, arena *a, record_hit *out) {
    out->document = read_u32(in);
    out->score = read_f32(in);
    uint32_t *ranks = arena_zalloc(a, r->n_strategies + 1, sizeof *ranks);
    for (uint32_t s = 0; s < r->n_strategies; s++) ranks[s] = read_count(in);
    out->ranks = ranks;
    out->features = format < 3 ? read_floats(in, r->n_features, a) : read_packed(in, before ? before->features : NULL, r->n_features, a);
    if (format < 3) return;
    out->shadow = read_count(in);
    out->team = read_u8(in);
    out->lean = read_f32(in);
    if (out->team > RECORD_SIDE_B || !(out->lean >= -1 && out->lean <= 1)) in->failed = true;
}

/* NULL when there cannot be that many: a hit takes 8 bytes, its ranks and its features at least. What is read takes up to sixteen
 * times the memory of its bytes. */
static const record_hit *read_hits(byte_reader *in, uint8_t format, uint32_t n, const record_impression *r, arena *a) {
    uint64_t least = 8 + r->n_strategies + (format < 3 ? 4 * (uint64_t)r->n_features : (uint64_t)r->n_features / 4);
    if (in->failed || n * least > read_left(in)) {
        in->failed = true;
        return NULL;
    }
    record_hit *hits = arena_zalloc(a, n + 1, sizeof *hits);
    for (uint32_t i = 0; i < n && !in->failed; i++) read_hit(in, format, r, i ? &hits[i - 1] : NULL, a, &hits[i]);
    return hits;
}

static void read_comparison(byte_reader *in, record_impression *r) {
    r->experiment = read_string(in);
    r->side = read_u8(in);
    r->shadow = read_string(in);
    r->explored = read_u16(in);
    r->log_propensity = read_f32(in);
    if (r->side > RECORD_SIDE_BOTH) in->failed = true;
}

static bool read_decision(byte_reader *in, uint8_t format, record_impression *r, arena *a) {
    r->policy = read_string(in);
    r->policy_version = read_u64(in);
    r->propensity = read_f64(in);
    r->n_levels = read_u8(in);
    if (r->n_levels > RECORD_MAX_LEVELS) return false;
    for (uint32_t l = 0; l < r->n_levels; l++) r->depths[l] = read_u32(in);
    r->n_policy_features = read_u8(in);
    r->n_strategies = read_u8(in);
    if (r->n_strategies > RECORD_MAX_STRATEGIES) return false;
    for (uint32_t s = 0; s < r->n_strategies && !in->failed; s++) read_strategy(in, format, r, &r->strategies[s], a);
    return !in->failed;
}

forage_status record_read_impression(slice bytes, arena *a, record_impression *out) {
    record_impression r = {0};
    byte_reader in;
    uint8_t format;
    forage_status status = read_head(bytes, RECORD_IMPRESSION, &in, &format, &r.time);
    if (status) return status;
    r.query_id = read_string(&in);
    r.query = read_string(&in);
    slice key = read_bytes(&in, sizeof r.memory_key.bytes);
    if (key.data) memcpy(r.memory_key.bytes, key.data, key.size);
    r.language = read_string(&in);
    r.user = read_string(&in);
    r.session = read_string(&in);
    r.context = read_string(&in);
    if (format > 1) {
        r.filter = read_string(&in);
        r.prefix = read_u8(&in) != 0;
    }
    r.offset = read_u32(&in);
    if (!read_decision(&in, format, &r, a)) return FORAGE_E_CORRUPT;
    r.ranker = read_string(&in);
    r.ranker_version = read_u64(&in);
    r.feature_set = read_u32(&in);
    r.n_features = read_u16(&in);
    if (format > 1) {
        r.n_candidates = read_u32(&in);
        r.took_us = read_u32(&in);
    }
    r.n_hits = read_u16(&in);
    r.hits = read_hits(&in, format, r.n_hits, &r, a);
    if (format > 2) {
        r.n_unshown = read_u16(&in);
        r.unshown = read_hits(&in, format, r.n_unshown, &r, a);
        read_comparison(&in, &r);
    }
    if (in.failed || read_left(&in)) return FORAGE_E_CORRUPT;
    *out = r;
    return FORAGE_OK;
}

forage_status record_read_event(slice bytes, record_event *out) {
    record_event r = {0};
    byte_reader in;
    uint8_t format;
    forage_status status = read_head(bytes, RECORD_EVENT, &in, &format, &r.time);
    if (status) return status;
    r.event_id = read_string(&in);
    r.query_id = read_string(&in);
    r.action = read_string(&in);
    r.user = read_string(&in);
    r.session = read_string(&in);
    r.document_id = read_string(&in);
    r.document = read_u32(&in);
    r.impression = read_u64(&in);
    r.hit = read_u32(&in);
    r.reward = read_f32(&in);
    r.credit = read_f32(&in);
    r.engaged = read_u64(&in);
    if (format > 1) r.n_ranks = read_u8(&in);
    if (r.n_ranks > RECORD_MAX_STRATEGIES) return FORAGE_E_CORRUPT;
    for (uint32_t s = 0; s < r.n_ranks; s++) r.ranks[s] = read_count(&in);
    if (in.failed || read_left(&in)) return FORAGE_E_CORRUPT;
    *out = r;
    return FORAGE_OK;
}

hash128 record_credit_key(uint64_t impression, uint32_t document) {
    uint8_t text[7 + 12];
    memcpy(text, "credit:", 7);
    store_be64(text + 7, impression);
    store_be32(text + 15, document);
    return hash128_of(text, sizeof text);
}
