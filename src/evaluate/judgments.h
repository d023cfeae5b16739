/* How metrics look into judgments. Grades of one query form a chain. */
#ifndef EVALUATE_JUDGMENTS_H
#define EVALUATE_JUDGMENTS_H

#include "evaluate/identifiers.h"
#include "evaluate/metrics.h"

#define JUDGMENT_NONE UINT32_MAX

typedef struct judgment {
    uint32_t query, document;
    int32_t grade;
    uint32_t next; /* of the same query, or JUDGMENT_NONE */
} judgment;

typedef struct judged_query {
    uint32_t first;
    uint32_t count, relevant; /* relevant: with grade >= 1 */
} judged_query;

struct judgments {
    identifiers query_ids, document_ids;
    judged_query *queries; /* by query number */
    size_t query_capacity;
    judgment *all;
    size_t count, capacity;
    uint32_t *slots; /* index into `all` + 1, or 0; open addressing by (query, document) */
    size_t slot_count;
};

/* Grade of a document for query number q; 0 when it is not judged. */
int judgments_grade_of(const judgments *j, uint32_t q, slice document);

#endif
