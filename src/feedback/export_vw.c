/* Vowpal Wabbit's decision service JSON: the shared part of an example under "c", its actions under "_multi", the
 * label as cost, probability and action, and the whole distribution as "a" (actions from 1) and "p". */
#include "feedback/export_formats.h"

#include "feedback/timestamp.h"
#include "format/json.h"

#include <math.h>
#include <stdio.h>

static void write_query(json_writer *w, const record_impression *r, uint32_t s, const export_source *source) {
    json_key(w, "Query");
    json_begin_object(w);
    for (uint32_t i = 0; i < r->n_policy_features; i++) {
        char unnamed[16];
        snprintf(unnamed, sizeof unnamed, "f%u", i);
        json_key(w, i < source->n_policy_features ? source->policy_features[i] : unnamed);
        json_float(w, isfinite(r->strategies[s].x[i]) ? (double)r->strategies[s].x[i] : 0);
    }
    json_end_object(w);
}

static void write_slot(json_writer *w, const record_impression *r, uint32_t s) {
    json_key(w, "Slot");
    json_begin_object(w);
    json_key(w, "strategy");
    json_string(w, r->strategies[s].name);
    json_key(w, "language");
    json_string(w, r->language);
    json_end_object(w);
}

static void write_actions(json_writer *w, const record_impression *r, uint32_t s) {
    json_key(w, "_multi");
    json_begin_array(w);
    for (uint32_t l = 0; l < r->n_levels; l++) {
        char depth[16];
        if (!(r->strategies[s].probability[l] > 0)) continue;
        snprintf(depth, sizeof depth, "%u", r->depths[l]);
        json_begin_object(w);
        json_key(w, "Depth");
        json_begin_object(w);
        json_key(w, "candidates");
        json_text(w, depth); /* as text: every depth is a feature of its own */
        json_end_object(w);
        json_end_object(w);
    }
    json_end_array(w);
}

/* The drawn action first, then the others in their order: numbers from 1, or probabilities. */
static void write_distribution(json_writer *w, const char *key, const record_strategy *s, uint32_t n_levels,
                               bool numbers) {
    json_key(w, key);
    json_begin_array(w);
    for (int others = 0; others < 2; others++) {
        for (uint32_t l = 0, action = 0; l < n_levels; l++) {
            if (!(s->probability[l] > 0)) continue;
            action++;
            if ((l != s->level) != others) continue;
            if (numbers) json_integer(w, action);
            else json_number(w, (double)s->probability[l]);
        }
    }
    json_end_array(w);
}

static void write_label(json_writer *w, const record_strategy *s, double reward) {
    int64_t index = 0;
    for (uint32_t l = 0; l < s->level; l++) index += s->probability[l] > 0;
    json_key(w, "_label_cost");
    json_float(w, reward > 0 ? -reward : 0);
    json_key(w, "_label_probability");
    json_number(w, (double)s->probability[s->level]);
    json_key(w, "_label_Action");
    json_integer(w, index + 1);
    json_key(w, "_labelIndex");
    json_integer(w, index);
}

static void write_event_id(json_writer *w, const record_impression *r, uint32_t s) {
    buffer id = {0};
    buffer_slice(&id, r->query_id);
    buffer_putc(&id, '/');
    buffer_slice(&id, r->strategies[s].name);
    json_key(w, "EventId");
    json_string(w, (slice){id.data, id.size});
    buffer_release(&id);
}

static void write_state(json_writer *w, const record_impression *r) {
    buffer model = {0};
    buffer_slice(&model, r->policy);
    buffer_printf(&model, "/%llu", (unsigned long long)r->policy_version);
    json_key(w, "VWState");
    json_begin_object(w);
    json_key(w, "m");
    json_string(w, (slice){model.data, model.size});
    json_end_object(w);
    buffer_release(&model);
}

void export_vw_dsjson(const record_impression *r, const float *credit, const export_source *source, buffer *out) {
    char when[TIMESTAMP_SIZE];
    timestamp_write(r->time, when);
    for (uint32_t s = 0; s < r->n_strategies; s++) {
        if (!export_slot_has_choice(r, s)) continue;
        json_writer w = json_writer_of(out);
        json_begin_object(&w);
        write_label(&w, &r->strategies[s], export_slot_reward(r, s, credit));
        json_key(&w, "Version");
        json_text(&w, "1");
        write_event_id(&w, r, s);
        json_key(&w, "Timestamp");
        json_text(&w, when);
        write_distribution(&w, "a", &r->strategies[s], r->n_levels, true);
        json_key(&w, "c");
        json_begin_object(&w);
        write_query(&w, r, s, source);
        write_slot(&w, r, s);
        write_actions(&w, r, s);
        json_end_object(&w);
        write_distribution(&w, "p", &r->strategies[s], r->n_levels, false);
        write_state(&w, r);
        json_end_object(&w);
        buffer_putc(out, '\n');
    }
}
