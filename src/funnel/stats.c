/* What happened so far, for people and for Prometheus. */
#include "funnel/answer.h"

#include <stdlib.h>

static const char *const *columns_of(void *owner, uint32_t feature_set, uint32_t n, arena *a) {
    return funnel_column_names(owner, feature_set, n, a);
}

record_names funnel_names(funnel *f) {
    static const char *strategies[RETRIEVE_STRATEGIES], *core[F_COUNT];
    for (uint32_t i = 0; i < F_COUNT; i++) core[i] = funnel_core[i].name;
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) strategies[s] = retrieve_strategies[s]->name;
    return (record_names){.features = core, .policy_features = funnel_policy_feature_names, .strategies = strategies,
                          .n_features = F_COUNT, .n_policy_features = X_COUNT, .n_strategies = RETRIEVE_STRATEGIES,
                          .columns = f ? columns_of : NULL, .owner = f};
}

static funnel_counters counters_now(funnel *f) {
    pthread_mutex_lock(&f->counters_mutex);
    funnel_counters c = f->counters;
    pthread_mutex_unlock(&f->counters_mutex);
    return c;
}

static uint64_t count_table(funnel *f, store_table table) {
    store_txn *t;
    if (store_read_begin(collection_store(f->collection), &t, NULL)) return 0;
    uint64_t n = store_count(t, table);
    store_read_end(t);
    return n;
}

static void integer(json_writer *w, const char *key, uint64_t value) {
    json_key(w, key);
    json_integer(w, (int64_t)value);
}

static void write_policy(funnel *f, const funnel_counters *c, json_writer *w) {
    json_key(w, "policy");
    json_begin_object(w);
    json_key(w, "name");
    json_text(w, collection_schema(f->collection)->policy);
    integer(w, "version", policy_updates(f->learned));
    json_key(w, "price");
    json_number(w, policy_price(f->learned));
    json_key(w, "strategies");
    json_begin_array(w);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        double asked = c->asked[s] ? (double)c->asked[s] : 1, searches = c->searches ? (double)c->searches : 1;
        json_begin_object(w);
        json_key(w, "name");
        json_text(w, f->strategies[s]->name);
        json_key(w, "purpose");
        json_text(w, f->strategies[s]->purpose);
        integer(w, "searches", c->asked[s]);
        json_key(w, "share");
        json_float(w, (double)c->asked[s] / searches);
        json_key(w, "mean_depth");
        json_float(w, (double)c->depth[s] / asked);
        json_key(w, "mean_us");
        json_float(w, (double)c->took_us[s] / asked);
        integer(w, "late", c->late[s]);
        integer(w, "credited_events", c->credited[s]);
        json_end_object(w);
    }
    json_end_array(w);
    json_end_object(w);
}

static void write_learning(funnel *f, json_writer *w) {
    const char *names[RETRIEVE_STRATEGIES];
    history *copy = mem_alloc(sizeof *copy);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) names[s] = f->strategies[s]->name;
    pthread_mutex_lock(&f->counters_mutex);
    *copy = f->history;
    pthread_mutex_unlock(&f->counters_mutex);
    json_key(w, "learning");
    history_write_json(copy, names, w);
    free(copy);
}

static void write_ranker(funnel *f, json_writer *w) {
    float mean[F_COUNT], variance[F_COUNT];
    ranker_weights(f->ranker, mean, variance);
    json_key(w, "ranker");
    json_begin_object(w);
    json_key(w, "name");
    json_text(w, collection_schema(f->collection)->ranker);
    integer(w, "version", ranker_updates(f->ranker));
    json_key(w, "weights");
    json_begin_array(w);
    for (uint32_t i = 0; i < F_COUNT; i++) {
        json_begin_object(w);
        json_key(w, "feature");
        json_text(w, funnel_core[i].name);
        json_key(w, "weight");
        json_float(w, (double)mean[i]);
        json_key(w, "prior");
        json_float(w, (double)funnel_prior_weights[i]);
        json_key(w, "variance");
        json_float(w, (double)variance[i]);
        json_end_object(w);
    }
    json_end_array(w);
    json_end_object(w);
}

void funnel_write_stats(funnel *f, json_writer *w) {
    sparse_index_info index;
    sparse_index_describe(collection_index(f->collection), &index);
    funnel_counters c = counters_now(f);
    json_begin_object(w);
    json_key(w, "name");
    json_text(w, collection_name(f->collection));
    integer(w, "documents", index.documents);
    integer(w, "segments", index.segments);
    integer(w, "memory_segments", index.memory_segments);
    integer(w, "index_bytes", index.file_bytes + index.memory_bytes);
    integer(w, "store_bytes", store_bytes(collection_store(f->collection)));
    integer(w, "terms", index.terms);
    integer(w, "dead", index.dead);
    integer(w, "impressions", c.searches);
    integer(w, "events", c.events);
    integer(w, "memory_pairs", count_table(f, STORE_MEMORY));
    memory_info memory = query_memory_describe(f->memory);
    integer(w, "memory_queries", memory.queries);
    integer(w, "memory_bytes", memory.bytes);
    write_policy(f, &c, w);
    write_ranker(f, w);
    funnel_write_cross_stats(f, w);
    write_learning(f, w);
    json_end_object(w);
}

void funnel_write_metrics(funnel *f, buffer *out) {
    sparse_index_info index;
    sparse_index_describe(collection_index(f->collection), &index);
    funnel_counters c = counters_now(f);
    const char *name = collection_name(f->collection);
    buffer_printf(out, "forage_documents{collection=\"%s\"} %llu\n", name, (unsigned long long)index.documents);
    buffer_printf(out, "forage_index_bytes{collection=\"%s\"} %llu\n", name,
                  (unsigned long long)(index.file_bytes + index.memory_bytes));
    buffer_printf(out, "forage_index_segments{collection=\"%s\"} %u\n", name, index.segments);
    buffer_printf(out, "forage_store_bytes{collection=\"%s\"} %llu\n", name,
                  (unsigned long long)store_bytes(collection_store(f->collection)));
    buffer_printf(out, "forage_impressions_total{collection=\"%s\"} %llu\n", name, (unsigned long long)c.searches);
    buffer_printf(out, "forage_events_total{collection=\"%s\"} %llu\n", name, (unsigned long long)c.events);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        const char *strategy = f->strategies[s]->name;
        buffer_printf(out, "forage_strategy_asked_total{collection=\"%s\",strategy=\"%s\"} %llu\n", name, strategy,
                      (unsigned long long)c.asked[s]);
        buffer_printf(out, "forage_strategy_candidates_asked_total{collection=\"%s\",strategy=\"%s\"} %llu\n", name, strategy,
                      (unsigned long long)c.depth[s]);
        buffer_printf(out, "forage_strategy_late_total{collection=\"%s\",strategy=\"%s\"} %llu\n", name, strategy,
                      (unsigned long long)c.late[s]);
        buffer_printf(out, "forage_strategy_seconds_total{collection=\"%s\",strategy=\"%s\"} %.6f\n", name, strategy,
                      (double)c.took_us[s] / 1e6);
        buffer_printf(out, "forage_strategy_credited_total{collection=\"%s\",strategy=\"%s\"} %llu\n", name, strategy,
                      (unsigned long long)c.credited[s]);
    }
    funnel_write_cross_metrics(f, out);
}
