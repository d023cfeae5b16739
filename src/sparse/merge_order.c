/* What bisection needs, from segments: which places a term has, term by term, and how popular they are. */
#include "sparse/bisect.h"
#include "sparse/merge_inputs.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCKS_OF_WORK = 1024 };

/* Gaps between values say nothing about what a document is like. */
static bool is_telling(slice key) { return key.data[0] != SPARSE_SPACE_GAP; }

static void gather_term(bisect_gather *g, const merge_source *s) {
    for (uint32_t i = 0; i < s->term.n_blocks; i++) {
        uint32_t places[SPARSE_BLOCK + 8], n = 0;
        uint32_t found = sparse_block_places(&s->term, i, places);
        for (uint32_t j = 0; j < found; j++) {
            places[n] = s->moved[places[j]];
            n += places[n] != MERGE_NONE;
        }
        bisect_gather_places(g, places, n);
    }
}

/* One pass over the terms. False when the work was ended. */
static bool gather(bisect_gather *g, merge_inputs *m, const sparse_work *work) {
    uint8_t bytes[SPARSE_MAX_TERM + 16];
    uint32_t blocks = 0;
    merge_inputs_start(m, (slice){0});
    for (merge_source *s; (s = merge_inputs_first(m)) != NULL;) {
        slice key = {(const char *)bytes, s->key.size};
        memcpy(bytes, s->key.data, key.size);
        for (; s && slice_equal(s->key, key); s = merge_inputs_first(m)) {
            if (is_telling(key)) gather_term(g, s);
            blocks += s->term.n_blocks;
            merge_inputs_next(m);
        }
        bisect_gather_end(g);
        if (blocks < BLOCKS_OF_WORK) continue;
        blocks = 0;
        if (!sparse_work_proceed(work, 0)) return false;
    }
    return true;
}

static bool ask(void *context) { return sparse_work_proceed(context, 0); }

/* In units of the prior, so that a few very popular documents do not decide for all that lie beside them; NULL without the
 * field. */
static float *gather_popularity(const merge_inputs *m, const sparse_config *config) {
    if (config->popularity < 0) return NULL;
    float *popularity = mem_zalloc(m->count, sizeof *popularity);
    for (size_t i = 0; i < m->n; i++) {
        const merge_source *s = &m->sources[i];
        const double *numbers = sparse_segment_numbers(s->segment, (uint32_t)config->popularity);
        for (uint32_t p = 0; numbers && p < sparse_segment_count(s->segment); p++)
            if (s->moved[p] != MERGE_NONE) popularity[s->moved[p]] = sparse_prior_value(numbers[p]);
    }
    return popularity;
}

/* Bisection says which document a place gets; a merge asks which place a document gets. */
static void invert(const uint32_t *documents, uint32_t n, uint32_t *order) {
    for (uint32_t place = 0; place < n; place++) order[documents[place]] = place;
}

forage_status sparse_merge_order(const sparse_merge_input *inputs, size_t n, const sparse_config *config,
                                 size_t memory_limit, const sparse_work *work, uint32_t *order) {
    merge_inputs m;
    merge_inputs_open(&m, inputs, n, NULL);
    float *popularity = gather_popularity(&m, config);
    uint32_t *documents = NULL;
    bisect_documents gathered;
    forage_status status = FORAGE_OK;
    bisect_options options = {.popularity = popularity,
                              .memory_limit = memory_limit,
                              .proceed = work ? ask : NULL,
                              .context = (void *)(uintptr_t)work};
    bisect_gather *g = bisect_gather_create(m.count, &options);
    while (status == FORAGE_OK && bisect_gather_pass(g))
        if (!gather(g, &m, work)) status = FORAGE_E_CLOSED;
    if (status != FORAGE_OK) goto done;
    if (!bisect_gather_documents(g, &gathered)) {
        status = FORAGE_E_TOO_LARGE;
        goto done;
    }
    documents = mem_alloc(m.count * sizeof *documents);
    status = bisect_order(&gathered, &options, documents);
    if (status == FORAGE_OK) invert(documents, m.count, order);
done:
    bisect_gather_destroy(g);
    free(documents);
    free(popularity);
    merge_inputs_release(&m);
    return status;
}
