/* Evaluate: queries through the real funnel, or somebody's run, against judgments. */
#include "api/call.h"

#include "evaluate/metrics.h"

#include <stdlib.h>

#define MAX_METRICS 32

typedef struct evaluation {
    judgments *judgments;
    run *run;
    metric metrics[MAX_METRICS];
    size_t n_metrics;
    int64_t depth;
    slice policy, ranker;
    bool per_query;
} evaluation;

static forage_status wrong(base_error *error, const char *what, const char *form) {
    return error_set(error, FORAGE_E_INVALID, "\"%s\": expected an array of %s", what, form);
}

static slice id_of(const json_value *object, const char *key) {
    const json_value *v = json_get(object, key);
    return v && (v->type == JSON_STRING || v->type == JSON_NUMBER) ? v->text : (slice){0};
}

static forage_status read_judgments(evaluation *e, const json_value *json, base_error *error) {
    const char *form = "{\"query\", \"document\", \"grade\"}";
    if (!json || json->type != JSON_ARRAY) return wrong(error, "judgments", form);
    for (const json_value *row = json->first; row; row = row->next) {
        slice query = id_of(row, "query"), document = id_of(row, "document");
        int64_t grade = 1;
        forage_status status = json_member_integer(row, "grade", -1000, 1000, &grade, error);
        if (status) return error_prefix(error, "\"judgments\""), status;
        if (!query.size || !document.size) return wrong(error, "judgments", form);
        judgments_add(e->judgments, query, document, (int)grade);
    }
    return FORAGE_OK;
}

static forage_status read_run(evaluation *e, const json_value *json, base_error *error) {
    const char *form = "{\"query\", \"document\", \"score\"}";
    if (json->type != JSON_ARRAY) return wrong(error, "run", form);
    for (const json_value *row = json->first; row; row = row->next) {
        slice query = id_of(row, "query"), document = id_of(row, "document");
        const json_value *score = json_get(row, "score");
        if (!query.size || !document.size || !score || score->type != JSON_NUMBER) return wrong(error, "run", form);
        run_add(e->run, query, document, score->number);
    }
    return FORAGE_OK;
}

static forage_status read_metrics(evaluation *e, const json_value *json, base_error *error) {
    static const char *const usual[] = {"ndcg@10", "recall@100", "mrr", "map"};
    if (!json) {
        for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
            if (metric_parse(slice_of(usual[i]), &e->metrics[e->n_metrics++], error)) return FORAGE_E_INTERNAL;
        return FORAGE_OK;
    }
    if (json->type != JSON_ARRAY || json->count > MAX_METRICS) return wrong(error, "metrics", "at most 32 names such as \"ndcg@10\"");
    for (const json_value *name = json->first; name; name = name->next) {
        if (name->type != JSON_STRING) return wrong(error, "metrics", "names such as \"ndcg@10\"");
        forage_status status = metric_parse(name->text, &e->metrics[e->n_metrics++], error);
        if (status) return error_prefix(error, "\"metrics\""), status;
    }
    return FORAGE_OK;
}

/* Nothing of it is logged, so nothing learns; the seed makes it repeatable. */
static forage_status search_one(api_call *c, evaluation *e, slice id, slice query, uint64_t seed, base_error *error) {
    funnel_request request;
    funnel_answer *a;
    const funnel_hit *hits;
    funnel_request_default(&request);
    request.query = query;
    request.limit = (uint32_t)e->depth;
    request.log = false;
    request.policy = e->policy.size ? e->policy : SLICE("all");
    request.ranker = e->ranker;
    request.seed = seed;
    request.timeout_ms = 60000;
    forage_status status = funnel_search(c->entry->funnel, &request, &a, error);
    if (status) return error_prefix(error, "query \"%.*s\"", SLICE_ARG(id)), status;
    size_t n = funnel_answer_hits(a, &hits);
    /* The place stands for the score: ties in the funnel are broken by document number, in a run by id. */
    for (size_t i = 0; i < n; i++) run_add(e->run, id, hits[i].id, (double)(n - i));
    funnel_answer_release(a);
    return FORAGE_OK;
}

static forage_status search_all(api_call *c, evaluation *e, const json_value *queries, base_error *error) {
    if (!queries || queries->type != JSON_ARRAY) return wrong(error, "queries", "{\"id\", \"query\"}");
    uint64_t seed = 1;
    for (const json_value *row = queries->first; row; row = row->next, seed++) {
        slice id = id_of(row, "id"), query = id_of(row, "query");
        if (!id.size) return wrong(error, "queries", "{\"id\", \"query\"}");
        if (!judgments_has_query(e->judgments, id)) continue;
        forage_status status = search_one(c, e, id, query, seed, error);
        if (status) return status;
    }
    return FORAGE_OK;
}

static void write_metrics(api_call *c, evaluation *e, bool all, int64_t start) {
    json_writer *w = &c->json;
    size_t queries = 0;
    json_begin_object(w);
    json_key(w, "metrics");
    json_begin_array(w);
    for (size_t i = 0; i < e->n_metrics; i++) {
        char name[32];
        double *values;
        queries = run_evaluate(e->run, e->judgments, e->metrics[i], all, &c->memory, &values);
        metric_summary s = metric_summarize(values, queries, 42);
        metric_name(e->metrics[i], name);
        json_begin_object(w);
        json_key(w, "name");
        json_text(w, name);
        json_key(w, "mean");
        json_number(w, s.mean);
        json_key(w, "low");
        json_number(w, s.low);
        json_key(w, "high");
        json_number(w, s.high);
        if (e->per_query) {
            json_key(w, "values");
            json_begin_array(w);
            for (size_t q = 0; q < queries; q++) json_number(w, values[q]);
            json_end_array(w);
        }
        json_end_object(w);
    }
    json_end_array(w);
    json_key(w, "queries");
    json_integer(w, (int64_t)queries);
    json_key(w, "took_ms");
    json_float(w, (double)(clock_monotonic(&os_clock_system) - start) / 1000);
    json_end_object(w);
}

forage_status api_ndcg_of(forage_collection *entry, const json_value *queries, const json_value *judged, slice ranker, double *out,
                          base_error *error) {
    evaluation e = {.judgments = judgments_create(), .run = run_create(), .depth = 100, .ranker = ranker};
    api_call c = {.db = entry->db, .entry = entry};
    double *values;
    arena_init(&c.memory, 0);
    forage_status status = metric_parse(SLICE("ndcg@10"), &e.metrics[0], error);
    if (!status) status = read_judgments(&e, judged, error);
    if (!status) status = search_all(&c, &e, queries, error);
    if (!status) {
        size_t n = run_evaluate(e.run, e.judgments, e.metrics[0], true, &c.memory, &values);
        *out = metric_summarize(values, n, 42).mean;
    }
    run_destroy(e.run);
    judgments_destroy(e.judgments);
    arena_release(&c.memory);
    return status;
}

static forage_status evaluate(api_call *c, evaluation *e, base_error *error) {
    static const char *const members[] = {"queries", "run", "judgments", "metrics", "depth", "policy", "ranker", "per_query", NULL};
    int64_t start = clock_monotonic(&os_clock_system);
    json_value *json;
    forage_status status = api_body(c, &json, error);
    if (!status) status = json_only_members(json, members, error);
    if (!status) status = json_member_integer(json, "depth", 1, FUNNEL_MAX_LIMIT, &e->depth, error);
    if (!status) status = json_member_string(json, "policy", &e->policy, error);
    if (!status) status = json_member_string(json, "ranker", &e->ranker, error);
    if (!status) status = json_member_bool(json, "per_query", &e->per_query, error);
    if (!status) status = read_metrics(e, json_get(json, "metrics"), error);
    if (!status) status = read_judgments(e, json_get(json, "judgments"), error);
    const json_value *given = status ? NULL : json_get(json, "run");
    if (!status) status = given ? read_run(e, given, error) : search_all(c, e, json_get(json, "queries"), error);
    if (!status) write_metrics(c, e, !given, start);
    return status;
}

forage_status api_post_evaluate(api_call *c, base_error *error) {
    evaluation e = {.judgments = judgments_create(), .run = run_create(), .depth = 100};
    forage_status status = evaluate(c, &e, error);
    run_destroy(e.run);
    judgments_destroy(e.judgments);
    return status;
}
