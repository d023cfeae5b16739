#include "feedback/export_formats.h"

#include "format/json.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name, *content_type;
} formats[] = {
    [EXPORT_JSON] = {"json", "application/x-ndjson"},
    [EXPORT_VW_DSJSON] = {"vw-dsjson", "application/x-ndjson"},
    [EXPORT_OBD_CSV] = {"obd-csv", "text/csv"},
    [EXPORT_LETOR] = {"letor", "text/plain; charset=utf-8"},
};
#define FORMATS (sizeof formats / sizeof formats[0])

forage_status export_format_parse(slice name, export_format *out, base_error *error) {
    for (size_t i = 0; i < FORMATS; i++) {
        if (!slice_is(name, formats[i].name)) continue;
        *out = (export_format)i;
        return FORAGE_OK;
    }
    return error_set(error, FORAGE_E_INVALID, "\"format\": expected json, vw-dsjson, obd-csv or letor, got \"%.*s\"",
                     SLICE_ARG(name));
}

const char *export_content_type(export_format format) { return formats[format].content_type; }

void export_number(buffer *out, double value) {
    json_writer w = json_writer_of(out);
    json_float(&w, isfinite(value) ? value : 0);
}

bool export_slot_has_choice(const record_impression *r, uint32_t strategy) {
    uint32_t levels = 0;
    for (uint32_t l = 0; l < r->n_levels; l++) levels += r->strategies[strategy].probability[l] > 0;
    return levels > 1 && r->strategies[strategy].probability[r->strategies[strategy].level] > 0;
}

double export_slot_reward(const record_impression *r, uint32_t strategy, const float *credit) {
    double reward = 0;
    for (uint32_t i = 0; i < r->n_hits; i++)
        if (r->hits[i].ranks[strategy]) reward += (double)credit[i];
    return reward;
}

float export_credit(store_txn *t, uint64_t sequence, uint32_t document) {
    hash128 key = record_credit_key(sequence, document);
    slice value;
    float credit;
    if (store_get(t, STORE_EVENTS, (slice){(const char *)key.bytes, sizeof key.bytes}, &value) || value.size < sizeof credit)
        return 0;
    memcpy(&credit, value.data, sizeof credit);
    return isfinite(credit) ? credit : 0;
}

void export_head(export_format format, const export_source *source, buffer *out) {
    if (format != EXPORT_OBD_CSV) return;
    buffer_puts(out, ",timestamp,item_id,position,click,propensity_score");
    for (uint32_t i = 0; i < source->n_policy_features; i++) buffer_printf(out, ",user_feature_%u", i);
    buffer_putc(out, '\n');
}

forage_status export_record(export_format format, slice bytes, uint64_t sequence, const export_source *source, arena *a,
                            buffer *out) {
    record_kind kind;
    record_impression r;
    forage_status status = record_kind_of(bytes, &kind);
    if (status || kind != RECORD_IMPRESSION) return status;
    status = record_read_impression(bytes, a, &r);
    if (status) return status;
    float *credit = arena_zalloc(a, r.n_hits + 1, sizeof *credit);
    for (uint32_t i = 0; i < r.n_hits; i++) credit[i] = source->credit_of(source->self, sequence, r.hits[i].document);
    if (format == EXPORT_VW_DSJSON) export_vw_dsjson(&r, credit, source, out);
    else if (format == EXPORT_OBD_CSV) export_obd_csv(&r, sequence, credit, out);
    else if (format == EXPORT_LETOR) export_letor(&r, sequence, credit, source, a, out);
    return FORAGE_OK;
}
