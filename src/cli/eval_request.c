#include "cli/eval_input.h"
#include "format/json.h"

void eval_write_pairs(json_writer *w, const char *name, const eval_pairs *pairs, const char *value_name) {
    json_key(w, name);
    json_begin_array(w);
    for (size_t i = 0; i < pairs->count; i++) {
        json_begin_object(w);
        json_key(w, "query");
        json_string(w, pairs->items[i].query);
        json_key(w, "document");
        json_string(w, pairs->items[i].document);
        json_key(w, value_name);
        json_number(w, pairs->items[i].value);
        json_end_object(w);
    }
    json_end_array(w);
}

void eval_write_queries(json_writer *w, const eval_input *in) {
    json_key(w, "queries");
    json_begin_array(w);
    for (size_t i = 0; i < in->n_queries; i++) {
        if (!in->queries[i].judged) continue;
        json_begin_object(w);
        json_key(w, "id");
        json_string(w, in->queries[i].id);
        json_key(w, "query");
        json_string(w, in->queries[i].text);
        json_end_object(w);
    }
    json_end_array(w);
}
