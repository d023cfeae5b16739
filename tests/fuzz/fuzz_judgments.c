/* Hostile text: judgments, runs and names of metrics, and an evaluation of what could be read. The part before the
 * first NUL byte is judgments, the next a run, the last a metric's name. */
#include "evaluate/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static slice next_part(slice *rest) {
    const char *end = rest->size ? memchr(rest->data, 0, rest->size) : NULL;
    size_t size = end ? (size_t)(end - rest->data) : rest->size;
    slice part = {rest->data, size};
    *rest = end ? (slice){end + 1, rest->size - size - 1} : (slice){rest->data + size, 0};
    return part;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    slice rest = {(const char *)data, size};
    judgments *j = judgments_create();
    run *r = run_create();
    base_error error;
    arena a;
    metric m = {METRIC_NDCG, 0};
    double *values;
    arena_init(&a, 0);
    (void)judgments_read(j, next_part(&rest), &error);
    (void)run_read(r, next_part(&rest), &error);
    (void)metric_parse(rest, &m, &error);
    for (int all = 0; all < 2; all++) {
        size_t n = run_evaluate(r, j, m, all, &a, &values);
        for (size_t i = 0; i < n; i++)
            if (!(values[i] >= 0 && values[i] <= 1 + 1e-9)) abort();
    }
    arena_release(&a);
    run_destroy(r);
    judgments_destroy(j);
    return 0;
}
