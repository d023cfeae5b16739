#include "evaluate/columns.h"
#include "evaluate/judgments.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct run_row {
    slice document;
    uint32_t query;
    float score;
} run_row;

struct run {
    identifiers query_ids;
    arena text;
    run_row *rows;
    size_t count, capacity;
    bool sorted;
    size_t *first; /* by query number: of its rows; one more for the end. Of a sorted run */
};

run *run_create(void) {
    run *r = mem_zalloc(1, sizeof *r);
    identifiers_init(&r->query_ids);
    arena_init(&r->text, 0);
    return r;
}

void run_destroy(run *r) {
    if (!r) return;
    identifiers_release(&r->query_ids);
    arena_release(&r->text);
    free(r->rows);
    free(r->first);
    free(r);
}

void run_add(run *r, slice query, slice document, double score) {
    if (isnan(score)) score = -INFINITY; /* every order needs a place for it */
    r->rows = mem_grow(r->rows, &r->capacity, r->count + 1, sizeof *r->rows);
    r->rows[r->count++] = (run_row){.document = arena_slice(&r->text, document),
                                    .query = identifiers_add(&r->query_ids, query),
                                    .score = (float)score};
    r->sorted = false;
}

size_t run_queries(const run *r) { return r->query_ids.count; }

forage_status run_read(run *r, slice text, base_error *error) {
    line_reader lines = line_reader_of(text);
    slice line, c[6];
    while (line_next(&lines, &line)) {
        size_t count = columns_split(line, c, 6);
        if (!count || c[0].data[0] == '#') continue;
        if (count < 6)
            return error_set(error, FORAGE_E_INVALID,
                             "run, line %llu: expected 6 columns (query Q0 document rank score tag), got %zu",
                             (unsigned long long)lines.number, count);
        double score;
        if (!column_number(c[4], &score))
            return error_set(error, FORAGE_E_INVALID, "run, line %llu: score: expected a number, got \"%.*s\"",
                             (unsigned long long)lines.number, SLICE_ARG(c[4]));
        run_add(r, c[0], c[2], score);
    }
    return FORAGE_OK;
}

/* By query; then score descending, then document descending as strcmp orders them. */
static int compare_rows(const void *a, const void *b) {
    const run_row *x = a, *y = b;
    if (x->query != y->query) return x->query < y->query ? -1 : 1;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return slice_compare(y->document, x->document);
}

static void sort_run(run *r) {
    if (r->sorted) return;
    if (r->count) qsort(r->rows, r->count, sizeof *r->rows, compare_rows);
    size_t queries = r->query_ids.count;
    r->first = mem_realloc(r->first, (queries + 1) * sizeof *r->first);
    for (size_t q = 0, row = 0; q <= queries; q++) {
        while (row < r->count && r->rows[row].query < q) row++;
        r->first[q] = row;
    }
    r->sorted = true;
}

size_t run_evaluate(run *r, const judgments *j, metric m, bool all, arena *a, double **values) {
    size_t queries = judgments_queries(j), count = 0, longest = 0;
    sort_run(r);
    for (size_t q = 0; q < r->query_ids.count; q++)
        if (r->first[q + 1] - r->first[q] > longest) longest = r->first[q + 1] - r->first[q];
    slice *documents = mem_alloc((longest + 1) * sizeof *documents);
    double *results = arena_alloc(a, queries * sizeof *results);
    for (uint32_t q = 0; q < queries; q++) {
        slice query = identifiers_name(&j->query_ids, q);
        uint32_t in_run = identifiers_find(&r->query_ids, query);
        size_t n = 0;
        if (in_run == IDENTIFIER_NONE && !all) continue;
        if (in_run != IDENTIFIER_NONE)
            for (size_t row = r->first[in_run]; row < r->first[in_run + 1]; row++)
                documents[n++] = r->rows[row].document;
        results[count++] = metric_query(m, j, query, documents, n);
    }
    free(documents);
    *values = results;
    return count;
}
