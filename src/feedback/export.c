/* Log records as JSON lines: the form in which people take their log elsewhere. */
#include "feedback/record.h"

#include "feedback/timestamp.h"
#include "format/json.h"

#include <stdio.h>

static void write_named(json_writer *w, const char *key, const char *const *names, uint32_t n_names,
                        const float *values, uint32_t n) {
    json_key(w, key);
    json_begin_object(w);
    for (uint32_t i = 0; i < n; i++) {
        char unnamed[16];
        snprintf(unnamed, sizeof unnamed, "f%u", i);
        json_key(w, i < n_names ? names[i] : unnamed);
        json_float(w, values[i]);
    }
    json_end_object(w);
}

static void write_head(json_writer *w, const char *kind, uint64_t sequence, int64_t time) {
    char when[TIMESTAMP_SIZE];
    timestamp_write(time, when);
    json_key(w, "kind");
    json_text(w, kind);
    json_key(w, "sequence");
    json_integer(w, (int64_t)sequence);
    json_key(w, "timestamp");
    json_text(w, when);
}

static void write_text(json_writer *w, const char *key, slice text) {
    if (!text.size) return;
    json_key(w, key);
    json_string(w, text);
}

static void write_strategy(json_writer *w, const record_impression *r, const record_strategy *s,
                           const record_names *names) {
    json_begin_object(w);
    write_text(w, "name", s->name);
    json_key(w, "level");
    json_integer(w, s->level);
    json_key(w, "allowed");
    json_begin_array(w);
    for (uint32_t l = 0; l < r->n_levels; l++)
        if (s->allowed >> l & 1) json_integer(w, r->depths[l]);
    json_end_array(w);
    json_key(w, "probabilities");
    json_begin_array(w);
    for (uint32_t l = 0; l < r->n_levels; l++) json_number(w, (double)s->probability[l]);
    json_end_array(w);
    json_key(w, "depth");
    json_integer(w, s->depth);
    json_key(w, "candidates");
    json_integer(w, s->candidates);
    json_key(w, "took_us");
    json_integer(w, s->took_us);
    json_key(w, "late");
    json_bool(w, s->late);
    write_named(w, "features", names->policy_features, names->n_policy_features, s->x, r->n_policy_features);
    json_end_object(w);
}

static void write_decision(json_writer *w, const record_impression *r, const record_names *names) {
    json_key(w, "decision");
    json_begin_object(w);
    write_text(w, "policy", r->policy);
    json_key(w, "version");
    json_integer(w, (int64_t)r->policy_version);
    json_key(w, "propensity");
    json_number(w, r->propensity);
    json_key(w, "levels");
    json_begin_array(w);
    for (uint32_t l = 0; l < r->n_levels; l++) json_integer(w, r->depths[l]);
    json_end_array(w);
    json_key(w, "strategies");
    json_begin_array(w);
    for (uint32_t s = 0; s < r->n_strategies; s++) write_strategy(w, r, &r->strategies[s], names);
    json_end_array(w);
    json_end_object(w);
}

static void write_comparison(json_writer *w, const record_impression *r) {
    static const char *const sides[] = {"", "a", "b", "both"};
    if (r->experiment.size) {
        write_text(w, "experiment", r->experiment);
        json_key(w, "side");
        json_text(w, sides[r->side & 3]);
    }
    write_text(w, "shadow", r->shadow);
    if (!r->explored) return;
    json_key(w, "explored");
    json_integer(w, r->explored);
    json_key(w, "log_propensity");
    json_float(w, (double)r->log_propensity);
}

static void write_hits(json_writer *w, const char *key, const record_impression *r, const record_hit *hits, uint32_t n,
                       const record_names *names, record_id_of id_of, void *self, arena *a) {
    const char *const *features = names->columns ? names->columns(names->owner, r->feature_set, r->n_features, a) : NULL;
    uint32_t n_features = features ? r->n_features : names->n_features;
    if (!features) features = names->features;
    json_key(w, key);
    json_begin_array(w);
    for (uint32_t i = 0; i < n; i++) {
        const record_hit *hit = &hits[i];
        json_begin_object(w);
        json_key(w, "id");
        json_string(w, id_of(self, hit->document, a));
        json_key(w, "score");
        json_float(w, hit->score);
        json_key(w, "ranks");
        json_begin_object(w);
        for (uint32_t s = 0; s < r->n_strategies; s++) {
            if (!hit->ranks[s]) continue;
            json_key_slice(w, r->strategies[s].name);
            json_integer(w, hit->ranks[s]);
        }
        json_end_object(w);
        if (hit->shadow) {
            json_key(w, "shadow_rank");
            json_integer(w, hit->shadow);
        }
        if (r->side == RECORD_SIDE_BOTH) {
            json_key(w, "lean");
            json_float(w, (double)hit->lean);
        }
        write_named(w, "features", features, n_features, hit->features, r->n_features);
        json_end_object(w);
    }
    json_end_array(w);
}

/* Text that is JSON already; left out when it is not. */
static void write_json(json_writer *w, const char *key, slice text, arena *a) {
    json_value *value;
    if (!text.size || json_read(a, text, &value, NULL)) return;
    json_key(w, key);
    json_value_write(w, value);
}

static void impression_to_json(json_writer *w, const record_impression *r, uint64_t sequence,
                               const record_names *names, record_id_of id_of, void *self, arena *a) {
    write_head(w, "impression", sequence, r->time);
    write_text(w, "query_id", r->query_id);
    json_key(w, "user_query");
    json_string(w, r->query);
    write_text(w, "language", r->language);
    write_text(w, "client_id", r->user);
    write_text(w, "session_id", r->session);
    write_json(w, "context", r->context, a);
    write_json(w, "filter", r->filter, a);
    json_key(w, "prefix");
    json_bool(w, r->prefix);
    json_key(w, "offset");
    json_integer(w, r->offset);
    write_decision(w, r, names);
    json_key(w, "ranker");
    json_begin_object(w);
    write_text(w, "name", r->ranker);
    json_key(w, "version");
    json_integer(w, (int64_t)r->ranker_version);
    json_key(w, "feature_set");
    json_integer(w, r->feature_set);
    json_end_object(w);
    json_key(w, "candidates");
    json_integer(w, r->n_candidates);
    json_key(w, "took_us");
    json_integer(w, r->took_us);
    write_comparison(w, r);
    write_hits(w, "hits", r, r->hits, r->n_hits, names, id_of, self, a);
    if (r->n_unshown) write_hits(w, "unshown", r, r->unshown, r->n_unshown, names, id_of, self, a);
}

static void write_hindsight(json_writer *w, const record_event *r, const record_names *names) {
    if (!r->n_ranks) return;
    json_key(w, "hindsight_ranks");
    json_begin_object(w);
    for (uint32_t s = 0; s < r->n_ranks; s++) {
        char unnamed[16];
        snprintf(unnamed, sizeof unnamed, "s%u", s);
        json_key(w, r->n_ranks == names->n_strategies ? names->strategies[s] : unnamed);
        json_integer(w, r->ranks[s]);
    }
    json_end_object(w);
}

/* In the form of User Behavior Insights 1.3. */
static void event_to_json(json_writer *w, const record_event *r, uint64_t sequence, const record_names *names) {
    write_head(w, "event", sequence, r->time);
    write_text(w, "query_id", r->query_id);
    write_text(w, "action_name", r->action);
    write_text(w, "client_id", r->user);
    write_text(w, "session_id", r->session);
    json_key(w, "event_attributes");
    json_begin_object(w);
    write_text(w, "event_id", r->event_id);
    json_key(w, "object");
    json_begin_object(w);
    json_key(w, "object_id");
    json_string(w, r->document_id);
    json_end_object(w);
    json_key(w, "position");
    json_begin_object(w);
    json_key(w, "ordinal");
    json_integer(w, (int64_t)r->hit + 1);
    json_end_object(w);
    json_end_object(w);
    json_key(w, "reward");
    json_float(w, r->reward);
    json_key(w, "credit");
    json_float(w, r->credit);
    write_hindsight(w, r, names);
}

forage_status record_to_json(slice bytes, uint64_t sequence, const record_names *names, record_id_of id_of, void *self,
                             arena *a, buffer *out) {
    record_kind kind;
    forage_status status = record_kind_of(bytes, &kind);
    if (status) return status;
    record_impression impression;
    record_event event;
    if (kind == RECORD_IMPRESSION) status = record_read_impression(bytes, a, &impression);
    else status = record_read_event(bytes, &event);
    if (status) return status;
    json_writer w = json_writer_of(out);
    json_begin_object(&w);
    if (kind == RECORD_IMPRESSION) impression_to_json(&w, &impression, sequence, names, id_of, self, a);
    else event_to_json(&w, &event, sequence, names);
    json_end_object(&w);
    return FORAGE_OK;
}
