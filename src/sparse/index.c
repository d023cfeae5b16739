/* Opening, publishing, and asking an index. */
#include "sparse/index_impl.h"

#include "os/wait.h"
#include "sparse/partcache.h"

#include <stdlib.h>
#include <string.h>

enum { READ_ATTEMPTS = 8 };

/* --- opening and closing ----------------------------------------------------------------------------------------- */

sparse_index *index_create(const char *folder, store *s, const sparse_config *config) {
    sparse_index *index = mem_zalloc(1, sizeof *index);
    index->folder = mem_strdup(folder);
    index->store = s;
    index->writable = s && !store_read_only(s);
    index->slots = mem_zalloc(INDEX_SLOTS, sizeof *index->slots);
    pthread_mutex_init(&index->mutex, NULL);
    pthread_mutex_init(&index->files, NULL);
    os_condition_init(&index->changed);
    arena_init(&index->configs, 4096);
    sparse_config *copy = arena_alloc(&index->configs, sizeof *copy);
    sparse_config_copy(config, &index->configs, copy);
    index->config = copy;
    return index;
}

void sparse_index_close(sparse_index *index) {
    if (!index) return;
    index_maintain_stop(index);
    index_retire(index);
    free(index->slots);
    pthread_cond_destroy(&index->changed);
    pthread_mutex_destroy(&index->files);
    pthread_mutex_destroy(&index->mutex);
    arena_release(&index->configs);
    free(index->folder);
    free(index);
}

/* Reads the manifest and opens its files. A reader tries again when the writer has replaced them in between. */
static forage_status load(sparse_index *index, const index_snapshot *open, index_stored *stored, index_draft *draft,
                          bool *damaged, base_error *error) {
    for (int attempt = 1;; attempt++) {
        uint64_t commit = store_commit_number(index->store);
        forage_status status = index_stored_read(index->store, stored, error);
        if (status != FORAGE_OK) return status;
        status = index_load(index, open, stored, draft, damaged, error);
        if (status != FORAGE_OK) {
            index_stored_release(stored);
            return status;
        }
        index->commit_number = commit;
        bool moved = *damaged && !stored->incomplete && store_commit_number(index->store) != commit;
        if (index->writable || !moved || attempt == READ_ATTEMPTS) return FORAGE_OK;
        index_draft_release(draft);
        index_stored_release(stored);
    }
}

static void kill_pending(const index_stored *stored, index_draft *d) {
    for (size_t i = 0; i < stored->n_pending; i++) {
        size_t part;
        uint32_t place;
        if (index_draft_find(d, stored->pending[i], &part, &place)) index_draft_kill(d, part, place);
    }
}

forage_status sparse_index_open(const char *folder, store *s, const sparse_config *config, sparse_index **out,
                                bool *damaged, base_error *error) {
    sparse_index *index = index_create(folder, s, config);
    index_stored stored = {0};
    index_draft draft = {0};
    bool lost = false;
    forage_status status = FORAGE_OK;
    if (index->writable && !os_exists(folder))
        status = error_set(error, FORAGE_E_NOT_FOUND, "%s: no such folder", folder);
    if (status == FORAGE_OK) status = load(index, NULL, &stored, &draft, &lost, error);
    if (status != FORAGE_OK) goto done;
    kill_pending(&stored, &draft);
    index->incomplete = lost;
    index->next_file = stored.next_file ? stored.next_file : 1;
    if (index->writable) index_remove_strangers(index, &stored, &index->next_file);
    index_publish(index, &draft);
    if (index->writable) status = index_maintain_start(index, error);
    if (status != FORAGE_OK) goto done;
    *out = index;
    *damaged = lost;
    index = NULL;
done:
    index_draft_release(&draft);
    index_stored_release(&stored);
    sparse_index_close(index);
    return status;
}

/* --- publishing -------------------------------------------------------------------------------------------------- */

static forage_status open_image(const sparse_index *index, buffer *image, index_segment **out, base_error *error) {
    index_segment *s = NULL;
    forage_status status = index_segment_in_memory(image, &s, error);
    if (status == FORAGE_OK && (!sparse_segment_matches(s->segment, index->config) ||
                                sparse_segment_fields(s->segment) > index->config->n_fields)) {
        index_segment_release(s);
        return error_set(error, FORAGE_E_INVALID, "index %s: the segment's fields are not the index's", index->folder);
    }
    if (status == FORAGE_OK) *out = s;
    return status;
}

forage_status sparse_index_apply(sparse_index *index, buffer *image, const uint32_t *dead, size_t n_dead,
                                 base_error *error) {
    index_segment *added = NULL;
    forage_status status = image->size > 0 ? open_image(index, image, &added, error) : FORAGE_OK;
    buffer_release(image);
    if (status != FORAGE_OK) return status;

    index_draft draft;
    pthread_mutex_lock(&index->mutex);
    index_draft_start(&draft, index->current);
    for (size_t i = 0; i < n_dead; i++) {
        size_t part;
        uint32_t place;
        if (index_draft_find(&draft, dead[i], &part, &place)) index_draft_kill(&draft, part, place);
    }
    if (added) {
        index_draft_add(&draft, draft.n, added, NULL);
        index_draft_replace(&draft, draft.n - 1);
    }
    index_relieve(index, &draft);
    index_publish(index, &draft);
    index_touch(index);
    pthread_mutex_unlock(&index->mutex);
    return FORAGE_OK;
}

static bool same_fields(const sparse_config *a, const sparse_config *b, uint32_t n, bool weights) {
    for (uint32_t f = 0; f < n; f++) {
        if (a->fields[f].kind != b->fields[f].kind) return false;
        if (weights && memcmp(&a->fields[f].weight, &b->fields[f].weight, sizeof(float)) != 0) return false;
    }
    return true;
}

forage_status sparse_index_extend(sparse_index *index, const sparse_config *config, base_error *error) {
    forage_status status = FORAGE_OK;
    pthread_mutex_lock(&index->mutex);
    const sparse_config *old = index->config;
    bool never_filled = index->current->visible.n_parts == 0;
    if (config->n_fields > SPARSE_MAX_FIELDS ||
        (!never_filled && (config->n_fields < old->n_fields || !same_fields(old, config, old->n_fields, false)))) {
        status = error_set(error, FORAGE_E_SCHEMA, "index %s: fields can only be added at the end", index->folder);
    } else if (config->n_fields != old->n_fields || !same_fields(old, config, old->n_fields, true) ||
               config->k1 != old->k1 || config->b != old->b || config->popularity != old->popularity ||
               config->type != old->type) {
        sparse_config *copy = arena_alloc(&index->configs, sizeof *copy);
        sparse_config_copy(config, &index->configs, copy);
        index->config = copy;
        index_draft draft;
        index_draft_start(&draft, index->current);
        index_publish(index, &draft);
    }
    pthread_mutex_unlock(&index->mutex);
    return status;
}

/* Of the documents that were applied to memory, those stay that are in no file yet. A document that is not in memory
 * and waits to be applied keeps its old version until then, unless it was deleted. */
static void join_memory(index_draft *d, const index_snapshot *old, const index_stored *stored) {
    size_t n_files = d->n;
    for (uint32_t i = 0; i < old->visible.n_parts; i++) {
        const index_part *p = &old->owned[i];
        if (p->segment->number != 0) continue;
        index_draft_add(d, d->n, index_segment_retain(p->segment), index_live_retain(p->live));
        for (uint32_t place = 0; place < sparse_segment_count(p->segment->segment); place++)
            if (!index_stored_is_pending(stored, sparse_segment_document(p->segment->segment, place)))
                index_draft_kill(d, d->n - 1, place);
    }
    index_draft files = {.parts = d->parts, .n = n_files};
    for (size_t i = 0; i < stored->n_pending; i++) {
        size_t part;
        uint32_t place;
        if (!index_draft_find(&files, stored->pending[i], &part, &place)) continue;
        index_draft memory = {.parts = d->parts + n_files, .n = d->n - n_files};
        size_t other;
        uint32_t at;
        if (stored->deleted[i] || index_draft_find(&memory, stored->pending[i], &other, &at))
            index_draft_kill(d, part, place);
    }
}

forage_status sparse_index_refresh(sparse_index *index, bool *changed, base_error *error) {
    *changed = false;
    if (index->writable) return FORAGE_OK;
    pthread_mutex_lock(&index->mutex);
    forage_status status = FORAGE_OK;
    index_stored stored = {0};
    index_draft draft = {0};
    bool lost = false;
    if (store_commit_number(index->store) == index->commit_number) goto done;
    status = load(index, index->current, &stored, &draft, &lost, error);
    if (status != FORAGE_OK) goto done;
    if (lost) {
        status = error_set(error, FORAGE_E_CORRUPT, "index %s: files are missing or damaged", index->folder);
        index->commit_number = 0; /* so that the next call looks again */
        goto done;
    }
    join_memory(&draft, index->current, &stored);
    index_publish(index, &draft);
    *changed = true;
done:
    index_draft_release(&draft);
    index_stored_release(&stored);
    pthread_mutex_unlock(&index->mutex);
    return status;
}

/* --- asking ------------------------------------------------------------------------------------------------------ */

/* Those who search are seen without writing to memory that others read, but for once between two looks. */
const sparse_snapshot *sparse_index_acquire(sparse_index *index) {
    if (!atomic_load_explicit(&index->searched, memory_order_relaxed))
        atomic_store_explicit(&index->searched, true, memory_order_relaxed);
    return &index_acquire(index)->visible;
}

void sparse_index_release(sparse_index *index, const sparse_snapshot *snapshot) {
    (void)index;
    index_release((index_snapshot *)(uintptr_t)snapshot);
}

void sparse_index_statistics(sparse_index *index, const sparse_statistics *batch, sparse_statistics *out) {
    index_snapshot *s = index_acquire(index);
    *out = s->visible.statistics;
    index_release(s);
    if (batch) sparse_statistics_add(out, batch);
}

void sparse_index_describe(sparse_index *index, sparse_index_info *out) {
    index_snapshot *s = index_acquire(index);
    *out = (sparse_index_info){.segments = s->visible.n_parts};
    part_cache_info remembered = {0};
    for (uint32_t i = 0; i < s->visible.n_parts; i++) {
        const index_part *p = &s->owned[i];
        uint64_t bytes = sparse_segment_bytes(p->segment->segment);
        out->memory_segments += p->segment->number == 0;
        out->documents += index_part_live(p);
        out->dead += sparse_segment_count(p->segment->segment) - index_part_live(p);
        out->terms += sparse_segment_terms(p->segment->segment);
        part_cache_describe(p->segment->cache, &remembered);
        *(p->segment->number == 0 ? &out->memory_bytes : &out->file_bytes) += bytes;
    }
    out->filter_hits = remembered.hits;
    out->filter_misses = remembered.misses;
    out->remembered_bytes = remembered.bytes;
    index_release(s);
}

forage_status sparse_index_check(sparse_index *index, base_error *error) {
    pthread_mutex_lock(&index->files);
    index_snapshot *s = index_acquire(index);
    forage_status status = index->writable ? index_check_manifest(index, error) : FORAGE_OK;
    for (uint32_t i = 0; i < s->visible.n_parts && status == FORAGE_OK; i++) {
        status = sparse_segment_validate(s->owned[i].segment->segment, error);
        if (status != FORAGE_OK && error)
            error_prefix(error, "segment %llx", (unsigned long long)s->owned[i].segment->number);
    }
    index_release(s);
    pthread_mutex_unlock(&index->files);
    return status;
}

bool sparse_snapshot_find(const sparse_snapshot *s, uint32_t document, uint32_t *part, uint32_t *place) {
    for (uint32_t i = s->n_parts; i-- > 0;) {
        uint32_t p;
        if (!sparse_segment_find(s->parts[i].segment, document, &p)) continue;
        if (s->parts[i].live && !(s->parts[i].live[p / 64] >> p % 64 & 1)) continue;
        *part = i;
        *place = p;
        return true;
    }
    return false;
}
