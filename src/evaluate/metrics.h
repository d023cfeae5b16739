/* Retrieval metrics from ranked lists and judgments, equal to trec_eval's to 4 decimals, and confidence intervals. */
#ifndef EVALUATE_METRICS_H
#define EVALUATE_METRICS_H

#include "base/memory.h"
#include "base/status.h"

/* Query id → document id → grade. Reading from several threads at once is fine while nobody adds. */
typedef struct judgments judgments;
judgments *judgments_create(void);
void judgments_destroy(judgments *j);
void judgments_add(judgments *j, slice query, slice document, int grade); /* the last of duplicates wins */
size_t judgments_queries(const judgments *j);
size_t judgments_relevant(const judgments *j, slice query); /* with grade >= 1 */
bool judgments_has_query(const judgments *j, slice query);
int judgments_grade(const judgments *j, slice query, slice document); /* 0 when not judged */

/* TREC (`query 0 document grade`) or BEIR (`query<TAB>document<TAB>grade`, with or without a header line), recognised
 * by the first line that says something. Empty lines are skipped, and in TREC's form those that begin with #. Grades
 * are whole numbers; below 1 is not relevant. FORAGE_E_INVALID names the line; the lines before it have been added. */
forage_status judgments_read(judgments *j, slice text, base_error *error);

typedef enum metric_kind {
    METRIC_NDCG, METRIC_RECALL, METRIC_PRECISION, METRIC_MRR, METRIC_MAP, METRIC_SUCCESS
} metric_kind;

/* "ndcg@10", "recall@100", "p@5", "mrr", "mrr@10", "map", "success@1": kind and cutoff (0: none; p and success need
 * one). They are trec_eval's ndcg_cut_10, recall_100, P_5, recip_rank, map, success_1. */
typedef struct metric {
    metric_kind kind;
    uint32_t cutoff;
} metric;
forage_status metric_parse(slice name, metric *out, base_error *error);
void metric_name(metric m, char out[32]);

/* One query: `documents` in rank order (duplicates count once, at their first place, and the rest moves up). nDCG: gain
 * = grade, discount log2(rank + 1), the ideal over all judged documents, as trec_eval's ndcg and ndcg_cut. 0 for a
 * query without relevant documents. */
double metric_query(metric m, const judgments *j, slice query, const slice *documents, size_t n);

/* Mean and a 95 % percentile-bootstrap interval over queries (seeded). */
typedef struct metric_summary {
    double mean, low, high;
    size_t queries;
} metric_summary;
metric_summary metric_summarize(const double *values, size_t n, uint64_t seed);

/* Two rankers on the same n queries, a[i] and b[i] of query i: the mean of a - b with its 95 % interval, and the
 * two-sided p of the paired randomisation test (Smucker, Allan & Carterette 2007): how often would a difference at
 * least as large come from swapping a[i] and b[i] by coin tosses? Seeded; 0 queries give p 1. */
typedef struct metric_comparison {
    double difference, low, high, p;
    size_t queries;
} metric_comparison;
metric_comparison metric_compare(const double *a, const double *b, size_t n, uint64_t seed);

/* A run in TREC form (`query Q0 document rank score tag`) ordered as trec_eval 9 does: by score (compared as float)
 * descending, then by document id descending; the rank column is not used. */
typedef struct run run;
run *run_create(void);
void run_destroy(run *r);
/* Empty lines and those that begin with # are skipped; columns after the tag are ignored. FORAGE_E_INVALID names the
 * line; the lines before it have been added. */
forage_status run_read(run *r, slice text, base_error *error);
void run_add(run *r, slice query, slice document, double score); /* NaN comes last */
size_t run_queries(const run *r);
/* Evaluates over the queries that are in both (trec_eval's default) or, when `all`, over every judged query (missing:
 * 0; trec_eval -c). Returns their number. values: one per query evaluated, in the order in which the queries first
 * appear in the judgments, so that two runs can be paired; lives in the arena. Sorts the run when something was added
 * to it. */
size_t run_evaluate(run *r, const judgments *j, metric m, bool all, arena *a, double **values);

#endif
