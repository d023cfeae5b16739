/* One request on its way through the API; only this folder's files include it. */
#ifndef API_CALL_H
#define API_CALL_H

#include "api/engine.h"

typedef struct api_parameter {
    slice name, value; /* decoded */
} api_parameter;

#define API_MAX_PARAMETERS 64

typedef struct api_call {
    forage *db;
    const forage_request *request;
    arena memory;
    slice collection, id; /* from the path, decoded */
    api_parameter parameters[API_MAX_PARAMETERS];
    size_t n_parameters;
    forage_collection *entry; /* acquired before the handler, or by a handler that may create it; released after */
    bool created;

    buffer body; /* of the answer */
    json_writer json;
    int http;    /* 0: 200 */
    const char *content_type;
    char next[256];
} api_call;

typedef forage_status (*api_handler)(api_call *c, base_error *error);

slice api_parameter_of(const api_call *c, const char *name); /* empty when absent */
forage_status api_parameter_integer(const api_call *c, const char *name, int64_t low, int64_t high, int64_t *out,
                                    base_error *error);
/* Acquires the collection of the path, made when it is not there: once nothing can be refused any more. */
forage_status api_make_collection(api_call *c, base_error *error);
/* The body as JSON; an empty body is {}. */
forage_status api_body(api_call *c, json_value **out, base_error *error);

forage_status api_list_collections(api_call *c, base_error *error);
forage_status api_put_collection(api_call *c, base_error *error);
forage_status api_get_collection(api_call *c, base_error *error);
forage_status api_delete_collection(api_call *c, base_error *error);
forage_status api_post_documents(api_call *c, base_error *error);
forage_status api_list_documents(api_call *c, base_error *error);
forage_status api_get_document(api_call *c, base_error *error);
forage_status api_delete_document(api_call *c, base_error *error);
forage_status api_post_search(api_call *c, base_error *error);
forage_status api_get_search(api_call *c, base_error *error);
forage_status api_post_events(api_call *c, base_error *error);
forage_status api_get_log(api_call *c, base_error *error);
forage_status api_post_evaluate(api_call *c, base_error *error);
forage_status api_post_ope(api_call *c, base_error *error);
forage_status api_post_replay(api_call *c, base_error *error);
forage_status api_get_replay(api_call *c, base_error *error);
forage_status api_get_predictions(api_call *c, base_error *error);
forage_status api_post_predictions(api_call *c, base_error *error);
forage_status api_delete_predictions(api_call *c, base_error *error);
forage_status api_get_document_predictions(api_call *c, base_error *error);
forage_status api_post_predictions_build(api_call *c, base_error *error);
forage_status api_post_predictions_train(api_call *c, base_error *error);
forage_status api_post_predictions_evaluate(api_call *c, base_error *error);
forage_status api_post_simulate(api_call *c, base_error *error);
forage_status api_get_policy(api_call *c, base_error *error);
forage_status api_post_policy(api_call *c, base_error *error);
forage_status api_get_user(api_call *c, base_error *error);
forage_status api_delete_user(api_call *c, base_error *error);
forage_status api_post_train(api_call *c, base_error *error);
forage_status api_get_train(api_call *c, base_error *error);
forage_status api_delete_train(api_call *c, base_error *error);
forage_status api_get_training_data(api_call *c, base_error *error);
forage_status api_get_examination(api_call *c, base_error *error);
forage_status api_get_shadow(api_call *c, base_error *error);
forage_status api_get_models(api_call *c, base_error *error);
forage_status api_post_models(api_call *c, base_error *error);
forage_status api_get_model(api_call *c, base_error *error);
forage_status api_delete_model(api_call *c, base_error *error);
forage_status api_post_model_activate(api_call *c, base_error *error);
forage_status api_post_model_shadow(api_call *c, base_error *error);
forage_status api_post_models_rollback(api_call *c, base_error *error);
forage_status api_get_features(api_call *c, base_error *error);
forage_status api_post_experiment(api_call *c, base_error *error);
forage_status api_get_experiment(api_call *c, base_error *error);
forage_status api_delete_experiment(api_call *c, base_error *error);
forage_status api_post_rank(api_call *c, base_error *error);
/* nDCG@10 of the collection's answers by this ranker: "queries" and "judgments" as /evaluate takes them. */
forage_status api_ndcg_of(forage_collection *c, const json_value *queries, const json_value *judged, slice ranker, double *out,
                          base_error *error);
forage_status api_post_similar(api_call *c, base_error *error);
forage_status api_post_recommend(api_call *c, base_error *error);
forage_status api_get_vectors(api_call *c, base_error *error);
forage_status api_post_vectors(api_call *c, base_error *error);
forage_status api_get_terms(api_call *c, base_error *error);
forage_status api_get_stats(api_call *c, base_error *error);
forage_status api_post_check(api_call *c, base_error *error);
forage_status api_post_optimize(api_call *c, base_error *error);
forage_status api_get_metrics(api_call *c, base_error *error);
forage_status api_get_openapi(api_call *c, base_error *error);

#endif
