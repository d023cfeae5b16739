/* Filters from JSON, checked against the schema (docs/api.md tells the form). */
#ifndef COLLECTION_FILTER_JSON_H
#define COLLECTION_FILTER_JSON_H

#include "collection/schema.h"
#include "sparse/search.h"

#define FILTER_MAX_NODES 1000

/* FORAGE_E_FILTER names the field and what is wrong. JSON null or {} gives *out NULL. */
forage_status filter_read(const schema *s, const json_value *json, text_analyzer *analyzer, arena *a,
                          const sparse_filter **out, base_error *error);

#endif
