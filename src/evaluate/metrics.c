#include "evaluate/judgments.h"

#include "base/hash.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CUTOFF_LIMIT 1000000

static const struct {
    const char *name;
    bool needs_cutoff;
} kinds[] = {
    [METRIC_NDCG] = {"ndcg", false}, [METRIC_RECALL] = {"recall", false}, [METRIC_PRECISION] = {"p", true},
    [METRIC_MRR] = {"mrr", false},   [METRIC_MAP] = {"map", false},       [METRIC_SUCCESS] = {"success", true},
};

static bool parse_cutoff(slice text, uint32_t *out) {
    uint32_t value = 0;
    if (!text.size || text.data[0] == '0') return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        value = value * 10 + (uint32_t)(text.data[i] - '0');
        if (value > CUTOFF_LIMIT) return false;
    }
    *out = value;
    return true;
}

forage_status metric_parse(slice name, metric *out, base_error *error) {
    const char *at = name.size ? memchr(name.data, '@', name.size) : NULL;
    slice kind = {name.data, at ? (size_t)(at - name.data) : name.size};
    uint32_t cutoff = 0;
    if (at && !parse_cutoff((slice){at + 1, name.size - kind.size - 1}, &cutoff))
        return error_set(error, FORAGE_E_INVALID, "metric \"%.*s\": expected a cutoff from 1 to %d after the @",
                         SLICE_ARG(name), CUTOFF_LIMIT);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!slice_is(kind, kinds[i].name)) continue;
        if (kinds[i].needs_cutoff && !cutoff)
            return error_set(error, FORAGE_E_INVALID, "metric \"%s\": needs a cutoff, as in \"%s@5\"", kinds[i].name,
                             kinds[i].name);
        *out = (metric){(metric_kind)i, cutoff};
        return FORAGE_OK;
    }
    return error_set(error, FORAGE_E_INVALID, "metric \"%.*s\": expected ndcg, recall, p, mrr, map or success",
                     SLICE_ARG(name));
}

void metric_name(metric m, char out[32]) {
    if (m.cutoff) snprintf(out, 32, "%s@%u", kinds[m.kind].name, m.cutoff);
    else snprintf(out, 32, "%s", kinds[m.kind].name);
}

/* The grades of the first `limit` different documents, in rank order. Returns their number. */
static size_t grades_in_order(const judgments *j, uint32_t q, const slice *documents, size_t n, size_t limit,
                              int *grades) {
    size_t slot_count = 16, count = 0;
    while (slot_count < 2 * limit) slot_count *= 2;
    uint32_t *seen = mem_zalloc(slot_count, sizeof *seen); /* index of a document + 1, or 0; open addressing */
    for (size_t i = 0; i < n && count < limit; i++) {
        size_t slot = hash64(documents[i].data, documents[i].size, 0) & (slot_count - 1);
        while (seen[slot] && !slice_equal(documents[seen[slot] - 1], documents[i]))
            slot = (slot + 1) & (slot_count - 1);
        if (seen[slot]) continue;
        seen[slot] = (uint32_t)i + 1;
        grades[count++] = judgments_grade_of(j, q, documents[i]);
    }
    free(seen);
    return count;
}

static int descending(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x < y) - (x > y);
}

/* Järvelin & Kekäläinen 2002, with the discount log2(rank + 1). */
static double dcg(const int *grades, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        if (grades[i] > 0) sum += grades[i] / log2((double)i + 2);
    return sum;
}

static double ideal_dcg(const judgments *j, uint32_t q, uint32_t cutoff) {
    const judged_query *judged = &j->queries[q];
    int *grades = mem_alloc(judged->count * sizeof *grades);
    size_t n = 0;
    for (uint32_t at = judged->first; at != JUDGMENT_NONE; at = j->all[at].next) grades[n++] = j->all[at].grade;
    qsort(grades, n, sizeof *grades, descending);
    double ideal = dcg(grades, cutoff && cutoff < n ? cutoff : n);
    free(grades);
    return ideal;
}

static double evaluate(metric m, const judgments *j, uint32_t q, const int *grades, size_t n) {
    double relevant = j->queries[q].relevant, found = 0, precisions = 0, first = 0;
    for (size_t i = 0; i < n; i++) {
        if (grades[i] < 1) continue;
        if (!found) first = (double)i + 1;
        found++;
        precisions += found / ((double)i + 1);
    }
    switch (m.kind) {
    case METRIC_NDCG: return dcg(grades, n) / ideal_dcg(j, q, m.cutoff);
    case METRIC_RECALL: return found / relevant;
    case METRIC_PRECISION: return found / m.cutoff;
    case METRIC_MRR: return found ? 1 / first : 0;
    case METRIC_MAP: return precisions / relevant;
    case METRIC_SUCCESS: return found > 0;
    }
    return 0;
}

double metric_query(metric m, const judgments *j, slice query, const slice *documents, size_t n) {
    uint32_t q = identifiers_find(&j->query_ids, query);
    if (q == IDENTIFIER_NONE || !j->queries[q].relevant || !n) return 0;
    size_t limit = m.cutoff && m.cutoff < n ? m.cutoff : n;
    int *grades = mem_alloc(limit * sizeof *grades);
    double value = evaluate(m, j, q, grades, grades_in_order(j, q, documents, n, limit, grades));
    free(grades);
    return value;
}
