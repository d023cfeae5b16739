/* Retrieval metrics from ranked lists and judgments, equal to trec_eval's to 4 decimals, and confidence intervals. */
#ifndef EVALUATE_METRICS_H
#define EVALUATE_METRICS_H

#include "base/memory.h"
#include "base/status.h"

typedef struct judgments judgments; /* query id → document id → grade */
judgments *judgments_create(void);
void judgments_destroy(judgments *j);
void judgments_add(judgments *j, slice query, slice document, int grade); /* the last of duplicates wins */
size_t judgments_queries(const judgments *j);
size_t judgments_relevant(const judgments *j, slice query); /* with grade >= 1 */
bool judgments_has_query(const judgments *j, slice query);
int judgments_grade(const judgments *j, slice query, slice document); /* 0 when not judged */

/* TREC (`query 0 document grade`) or BEIR (header, `query<TAB>document<TAB>grade`), recognised by itself; the message
 * names the line. */
forage_status judgments_read(judgments *j, slice text, base_error *error);

typedef enum metric_kind {
    METRIC_NDCG, METRIC_RECALL, METRIC_PRECISION, METRIC_MRR, METRIC_MAP, METRIC_SUCCESS
} metric_kind;

/* "ndcg@10", "recall@100", "p@5", "mrr", "mrr@10", "map", "success@1": kind and cutoff (0: none). */
typedef struct metric {
    metric_kind kind;
    uint32_t cutoff;
} metric;
forage_status metric_parse(slice name, metric *out, base_error *error);
void metric_name(metric m, char out[32]);

/* One query: `documents` in rank order (duplicates count once, at their first place). nDCG: gain = grade,
 * discount log2(rank + 1), the ideal over all judged documents, as trec_eval's ndcg and ndcg_cut. */
double metric_query(metric m, const judgments *j, slice query, const slice *documents, size_t n);

/* Mean and a 95 % percentile-bootstrap interval over queries (seeded). */
typedef struct metric_summary {
    double mean, low, high;
    size_t queries;
} metric_summary;
metric_summary metric_summarize(const double *values, size_t n, uint64_t seed);

/* A run in TREC form (`query Q0 document rank score tag`) ordered as trec_eval does: by score descending, then by
 * document id descending; the rank column is not used. */
typedef struct run run;
run *run_create(void);
void run_destroy(run *r);
forage_status run_read(run *r, slice text, base_error *error);
void run_add(run *r, slice query, slice document, double score);
size_t run_queries(const run *r);
/* Evaluates over the queries that are in both (trec_eval's default) or, when `all`, over every judged query (missing: 0).
 * values: as many as queries evaluated, in query order; lives in the arena. */
size_t run_evaluate(run *r, const judgments *j, metric m, bool all, arena *a, double **values);

#endif
