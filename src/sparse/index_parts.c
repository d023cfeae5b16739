/* Segments, bitmaps and snapshots live as long as somebody holds them. */
#include "sparse/index_impl.h"

#include "sparse/partcache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- segments ---------------------------------------------------------------------------------------------------- */

static forage_status adopt(index_segment *s, slice image, index_segment **out, base_error *error) {
    forage_status status = sparse_segment_open(image, &s->segment, error);
    if (status != FORAGE_OK) {
        index_segment_release(s);
        return status;
    }
    s->cache = part_cache_create(s->segment);
    *out = s;
    return FORAGE_OK;
}

forage_status index_segment_in_memory(buffer *image, index_segment **out, base_error *error) {
    index_segment *s = mem_zalloc(1, sizeof *s);
    s->references = 1;
    s->image = *image;
    *image = (buffer){0};
    if (s->image.capacity > s->image.size + s->image.size / 16) { /* growing left room to spare */
        s->image.data = mem_realloc(s->image.data, s->image.size);
        s->image.capacity = s->image.size;
    }
    return adopt(s, (slice){s->image.data, s->image.size}, out, error);
}

forage_status index_segment_in_file(const char *path, uint64_t number, index_segment **out, base_error *error) {
    index_segment *s = mem_zalloc(1, sizeof *s);
    s->references = 1;
    s->number = number;
    forage_status status = os_map_file(path, &s->map, error);
    if (status != FORAGE_OK) {
        index_segment_release(s);
        return status;
    }
    status = adopt(s, (slice){(const char *)s->map.data, s->map.size}, out, error);
    return status == FORAGE_OK || !error ? status : error_prefix(error, "%s", path);
}

index_segment *index_segment_retain(index_segment *s) {
    atomic_fetch_add(&s->references, 1);
    return s;
}

void index_segment_release(index_segment *s) {
    if (!s || atomic_fetch_sub(&s->references, 1) != 1) return;
    part_cache_destroy(s->cache);
    sparse_segment_close(s->segment);
    buffer_release(&s->image);
    os_unmap(&s->map);
    index_live_release(s->saved);
    free(s);
}

/* --- live places ------------------------------------------------------------------------------------------------- */

static size_t live_words(uint32_t count) { return ((size_t)count + 63) / 64; }

index_live *index_live_create(uint32_t count) {
    index_live *l = mem_alloc(sizeof *l + live_words(count) * sizeof *l->words);
    l->references = 1;
    l->n_live = count;
    memset(l->words, 0xff, live_words(count) * sizeof *l->words);
    if (count % 64 != 0) l->words[count / 64] = ((uint64_t)1 << count % 64) - 1;
    return l;
}

static index_live *live_copy(const index_live *from, uint32_t count) {
    index_live *l = index_live_create(count);
    if (!from) return l;
    l->n_live = from->n_live;
    memcpy(l->words, from->words, live_words(count) * sizeof *l->words);
    return l;
}

index_live *index_live_retain(index_live *l) {
    if (l) atomic_fetch_add(&l->references, 1);
    return l;
}

void index_live_release(index_live *l) {
    if (l && atomic_fetch_sub(&l->references, 1) == 1) free(l);
}

uint32_t index_part_live(const index_part *p) {
    return p->live ? p->live->n_live : sparse_segment_count(p->segment->segment);
}

/* --- drafts ------------------------------------------------------------------------------------------------------ */

void index_draft_start(index_draft *d, const index_snapshot *from) {
    *d = (index_draft){0};
    for (uint32_t i = 0; from && i < from->visible.n_parts; i++)
        index_draft_add(d, i, index_segment_retain(from->owned[i].segment), index_live_retain(from->owned[i].live));
}

void index_draft_release(index_draft *d) {
    for (size_t i = 0; i < d->n; i++) {
        index_segment_release(d->parts[i].segment);
        index_live_release(d->parts[i].live);
    }
    free(d->parts);
    *d = (index_draft){0};
}

void index_draft_add(index_draft *d, size_t at, index_segment *segment, index_live *live) {
    assert(at <= d->n);
    d->parts = mem_grow(d->parts, &d->capacity, d->n + 1, sizeof *d->parts);
    memmove(d->parts + at + 1, d->parts + at, (d->n - at) * sizeof *d->parts);
    d->parts[at] = (index_part){.segment = segment, .live = live};
    d->n++;
}

void index_draft_remove(index_draft *d, size_t at) {
    index_segment_release(d->parts[at].segment);
    index_live_release(d->parts[at].live);
    d->n--;
    memmove(d->parts + at, d->parts + at + 1, (d->n - at) * sizeof *d->parts);
}

void index_draft_kill(index_draft *d, size_t part, uint32_t place) {
    index_part *p = &d->parts[part];
    if (!index_live_has(p->live, place)) return;
    if (!p->own) {
        index_live *copy = live_copy(p->live, sparse_segment_count(p->segment->segment));
        index_live_release(p->live);
        p->live = copy;
        p->own = true;
    }
    p->live->words[place / 64] &= ~((uint64_t)1 << place % 64);
    p->live->n_live--;
}

/* The part other than `except` in which the document lives; the newest are asked first. */
static bool find_elsewhere(const index_draft *d, uint32_t document, size_t except, size_t *part, uint32_t *place) {
    for (size_t i = d->n; i-- > 0;) {
        uint32_t p;
        if (i == except || !sparse_segment_find(d->parts[i].segment->segment, document, &p)) continue;
        if (!index_live_has(d->parts[i].live, p)) continue;
        *part = i;
        *place = p;
        return true;
    }
    return false;
}

bool index_draft_find(const index_draft *d, uint32_t document, size_t *part, uint32_t *place) {
    return find_elsewhere(d, document, SIZE_MAX, part, place);
}

void index_draft_replace(index_draft *d, size_t added) {
    const sparse_segment *s = d->parts[added].segment->segment;
    for (uint32_t p = 0; p < sparse_segment_count(s); p++) {
        size_t part;
        uint32_t place;
        if (!find_elsewhere(d, sparse_segment_document(s, p), added, &part, &place)) continue;
        bool older = sparse_segment_version(s, p) < sparse_segment_version(d->parts[part].segment->segment, place);
        index_draft_kill(d, older ? added : part, older ? p : place);
    }
}

/* --- snapshots --------------------------------------------------------------------------------------------------- */

static index_snapshot *make_snapshot(sparse_index *index, index_draft *d) {
    index_snapshot *s = mem_zalloc(1, sizeof *s);
    sparse_part *parts = mem_zalloc(d->n, sizeof *parts);
    s->references = 1;
    s->owned = d->parts;
    s->visible = (sparse_snapshot){
        .config = index->config, .n_parts = (uint32_t)d->n, .parts = parts, .generation = ++index->generation};
    for (size_t i = 0; i < d->n; i++) {
        index_part *p = &d->parts[i];
        sparse_statistics own;
        p->own = false;
        parts[i] = (sparse_part){p->segment->segment, p->live ? p->live->words : NULL, index_part_live(p),
                                p->segment->cache};
        s->visible.live_documents += parts[i].n_live;
        sparse_segment_statistics(p->segment->segment, &own);
        sparse_statistics_add(&s->visible.statistics, &own);
    }
    *d = (index_draft){0};
    return s;
}

void index_release(index_snapshot *s) {
    if (!s || atomic_fetch_sub(&s->references, 1) != 1) return;
    for (uint32_t i = 0; i < s->visible.n_parts; i++) {
        index_segment_release(s->owned[i].segment);
        index_live_release(s->owned[i].live);
    }
    free((sparse_part *)(uintptr_t)s->visible.parts);
    free(s->owned);
    free(s);
}

void index_publish(sparse_index *index, index_draft *d) {
    for (size_t i = d->n; i-- > 0;)
        if (d->parts[i].segment->number == 0 && index_part_live(&d->parts[i]) == 0) index_draft_remove(d, i);
    index_snapshot *next = make_snapshot(index, d);
    pthread_mutex_lock(&index->current_lock);
    index_snapshot *last = index->current;
    index->current = next;
    pthread_mutex_unlock(&index->current_lock);
    index_release(last);
}

index_snapshot *index_acquire(sparse_index *index) {
    pthread_mutex_lock(&index->current_lock);
    index_snapshot *s = index->current;
    atomic_fetch_add(&s->references, 1);
    pthread_mutex_unlock(&index->current_lock);
    return s;
}
