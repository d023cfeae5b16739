/* Stats, checks, metrics, and the API's own description. */
#include "api/call.h"

#include <string.h>

extern const char api_openapi[];
extern const size_t api_openapi_size;

forage_status api_get_openapi(api_call *c, base_error *error) {
    (void)error;
    buffer_append(&c->body, api_openapi, api_openapi_size);
    return FORAGE_OK;
}

forage_status api_get_stats(api_call *c, base_error *error) {
    (void)error;
    collection_refresh(c->entry->collection);
    funnel_write_stats(c->entry->funnel, &c->json);
    return FORAGE_OK;
}

forage_status api_post_check(api_call *c, base_error *error) {
    buffer problems = {0};
    forage_status status = collection_check(c->entry->collection, &problems, error);
    if (!status || problems.size) {
        json_begin_object(&c->json);
        json_key(&c->json, "ok");
        json_bool(&c->json, !status);
        json_key(&c->json, "problems");
        json_begin_array(&c->json);
        for (slice rest = {problems.data, problems.size}; rest.size;) {
            const char *end = memchr(rest.data, '\n', rest.size);
            size_t size = end ? (size_t)(end - rest.data) : rest.size;
            json_string(&c->json, (slice){rest.data, size});
            size += end != NULL;
            rest = (slice){rest.data + size, rest.size - size};
        }
        json_end_array(&c->json);
        json_end_object(&c->json);
        status = FORAGE_OK;
    }
    buffer_release(&problems);
    return status;
}

forage_status api_post_optimize(api_call *c, base_error *error) {
    if (c->db->options.read_only) return error_set(error, FORAGE_E_READ_ONLY, "%s", status_message(FORAGE_E_READ_ONLY));
    forage_status status = sparse_index_optimize(collection_index(c->entry->collection), error);
    if (!status) funnel_write_stats(c->entry->funnel, &c->json);
    return status;
}

/* Of the collections that are open: asking for metrics opens nothing. */
forage_status api_get_metrics(api_call *c, base_error *error) {
    static const char *const types[][2] = {
        {"forage_documents", "gauge"}, {"forage_index_bytes", "gauge"}, {"forage_index_segments", "gauge"},
        {"forage_store_bytes", "gauge"}, {"forage_impressions_total", "counter"}, {"forage_events_total", "counter"},
        {"forage_strategy_asked_total", "counter"}, {"forage_strategy_candidates_asked_total", "counter"},
        {"forage_strategy_late_total", "counter"}, {"forage_strategy_seconds_total", "counter"},
        {"forage_strategy_credited_total", "counter"}, {"forage_cross_encoder_searches_total", "counter"},
        {"forage_cross_encoder_scored_total", "counter"}, {"forage_cross_encoder_cached_total", "counter"},
        {"forage_cross_encoder_late_total", "counter"}, {"forage_cross_encoder_unready_total", "counter"},
        {"forage_cross_encoder_seconds_total", "counter"}};
    (void)error;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) buffer_printf(&c->body, "# TYPE %s %s\n", types[i][0], types[i][1]);
    forage_collection *e = NULL;
    while ((e = engine_next_open(c->db, e))) funnel_write_metrics(e->funnel, &c->body);
    c->content_type = "text/plain; version=0.0.4; charset=utf-8";
    return FORAGE_OK;
}
