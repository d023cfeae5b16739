/* An index without a store: in memory, and in the one file that its owner has it write. Without a maintenance thread, segments in
 * memory are merged by whoever applies (index_relieve). */
#include "sparse/index_impl.h"
#include "sparse/merge.h"

#include <stdlib.h>

enum { THE_FILE = 1 }; /* its number; there is never another */

sparse_index *sparse_index_create(const char *name, const sparse_config *config) {
    sparse_index *index = index_create(name, NULL, config);
    index_publish(index, &(index_draft){0});
    return index;
}

forage_status sparse_index_read_file(sparse_index *index, const char *path, base_error *error) {
    index_segment *s = NULL;
    if (!os_exists(path)) return error_set(error, FORAGE_E_NOT_FOUND, "%s: no such file", path);
    forage_status status = index_segment_in_file(path, THE_FILE, &s, error);
    if (status) return status;
    if (sparse_segment_fields(s->segment) != index->config->n_fields || !sparse_segment_matches(s->segment, index->config)) {
        index_segment_release(s);
        return error_set(error, FORAGE_E_CORRUPT, "%s: its fields are not the index's", path);
    }
    index_draft draft = {0};
    pthread_mutex_lock(&index->mutex);
    index_draft_add(&draft, 0, s, NULL);
    index_publish(index, &draft);
    pthread_mutex_unlock(&index->mutex);
    return FORAGE_OK;
}

static forage_status merge_all(const sparse_index *index, const index_snapshot *base, const char *path, base_error *error) {
    uint32_t n = base->visible.n_parts, kept = 0;
    sparse_merge_input *inputs = mem_alloc((n + 1) * sizeof *inputs);
    sparse_statistics statistics = base->visible.statistics;
    for (uint32_t i = 0; i < n; i++) {
        const sparse_part *p = &base->visible.parts[i];
        inputs[kept] = (sparse_merge_input){p->segment, p->live};
        sparse_merge_statistics(&inputs[kept], &statistics);
        kept += p->n_live > 0;
    }
    forage_status status = sparse_merge_fits(inputs, kept)
                               ? sparse_merge_to_file(inputs, kept, NULL, index->config, &statistics, path, NULL, error)
                               : error_set(error, FORAGE_E_TOO_LARGE, "%s: its documents do not fit one segment", path);
    free(inputs);
    return status;
}

forage_status sparse_index_write_file(sparse_index *index, const char *path, base_error *error) {
    pthread_mutex_lock(&index->files);
    pthread_mutex_lock(&index->mutex);
    index_snapshot *base = index_acquire(index);
    bool *chosen = mem_alloc((base->visible.n_parts + 1) * sizeof *chosen);
    index_segment *merged = NULL;
    for (uint32_t i = 0; i < base->visible.n_parts; i++) {
        chosen[i] = true;
        base->owned[i].segment->busy = true; /* who applies does not merge it away meanwhile */
    }
    pthread_mutex_unlock(&index->mutex);
    forage_status status = merge_all(index, base, path, error);
    if (!status) status = index_segment_in_file(path, THE_FILE, &merged, error);
    pthread_mutex_lock(&index->mutex);
    if (!status) index_swap(index, base, chosen, merged);
    for (uint32_t i = 0; i < base->visible.n_parts; i++) base->owned[i].segment->busy = false;
    pthread_mutex_unlock(&index->mutex);
    index_segment_release(merged);
    free(chosen);
    index_release(base);
    pthread_mutex_unlock(&index->files);
    return status;
}
