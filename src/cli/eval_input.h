/* Queries, judgments and runs in the layouts that people have them in; gzip and zstd are undone. */
#ifndef CLI_EVAL_INPUT_H
#define CLI_EVAL_INPUT_H

#include "cli/cli.h"
#include "format/json.h"

typedef struct eval_query {
    slice id, text;
    bool judged;
} eval_query;

/* A judgment's grade, or a run's score. */
typedef struct eval_pair {
    slice query, document;
    double value;
} eval_pair;

typedef struct eval_pairs {
    eval_pair *items;
    size_t count, capacity;
} eval_pairs;

typedef struct eval_input {
    eval_query *queries;
    size_t n_queries, queries_capacity;
    eval_pairs judgments, run;
    arena memory;
} eval_input;

void eval_input_init(eval_input *in);
void eval_input_release(eval_input *in);
/* TSV (id, text), or JSON lines with _id or id, and text or query. */
int eval_read_queries(eval_input *in, const char *path);
/* TREC (query, iteration, document, grade) or BEIR's TSV (query, document, grade, with or without a title line). */
int eval_read_judgments(eval_input *in, const char *path);
/* TREC (query, Q0, document, rank, score, name) or three columns (query, document, score). */
int eval_read_run(eval_input *in, const char *path);
/* Marks the queries that have a judgment; returns how many. */
size_t eval_mark_judged(eval_input *in);

/* Members of a request: "queries" (the judged ones), and pairs with their number under this name. */
void eval_write_queries(json_writer *w, const eval_input *in);
void eval_write_pairs(json_writer *w, const char *name, const eval_pairs *pairs, const char *value_name);

#endif
