/* An image is written from front to back, except for its header. In a file, a hash is computed whenever its 64 KiB are full;
 * the first block stays in memory until the header is known. */
#include "sparse/segment_output.h"

#include "base/hash.h"
#include "os/output.h"

#include <assert.h>
#include <stdlib.h>

enum { MAX_SECTIONS = SEGMENT_KINDS + 4 * SPARSE_MAX_FIELDS };

struct segment_output {
    segment_section sections[MAX_SECTIONS];
    uint32_t n;
    uint64_t size; /* so far */

    buffer *memory; /* else NULL, and: */
    os_output *file;
    const sparse_work *work;
    buffer block; /* the last bytes, fewer than SEGMENT_HASHED between calls */
    buffer first; /* the first block, once it is full */
    buffer hashes;
    buffer room;
    forage_status status;
    base_error error;
};

static segment_output *create(void) {
    segment_output *o = mem_zalloc(1, sizeof *o);
    o->status = FORAGE_OK;
    return o;
}

static void begin_image(segment_output *o) {
    const segment_header later = {0};
    segment_output_bytes(o, &later, sizeof later);
}

segment_output *segment_output_to_memory(buffer *image) {
    segment_output *o = create();
    o->memory = image;
    buffer_clear(image);
    begin_image(o);
    return o;
}

forage_status segment_output_to_file(const char *path, const sparse_work *work, segment_output **out,
                                     base_error *error) {
    segment_output *o = create();
    o->work = work;
    forage_status status = os_output_create(path, &o->file, error);
    if (status != FORAGE_OK) {
        segment_output_destroy(o);
        return status;
    }
    buffer_reserve(&o->block, SEGMENT_HASHED);
    begin_image(o);
    *out = o;
    return FORAGE_OK;
}

void segment_output_destroy(segment_output *o) {
    if (!o) return;
    os_output_destroy(o->file);
    buffer_release(&o->block);
    buffer_release(&o->first);
    buffer_release(&o->hashes);
    buffer_release(&o->room);
    free(o);
}

static void write_block(segment_output *o) {
    if (o->first.size == 0) buffer_append(&o->first, o->block.data, o->block.size);
    uint64_t hash = hash64(o->block.data, o->block.size, 0); /* that of the first is not the one it will have */
    buffer_append(&o->hashes, &hash, sizeof hash);
    if (o->status == FORAGE_OK) o->status = os_output_write(o->file, o->block.data, o->block.size, &o->error);
    if (o->status == FORAGE_OK && !sparse_work_proceed(o->work, o->block.size))
        o->status = error_set(&o->error, FORAGE_E_CLOSED, "writing the segment was ended");
    buffer_clear(&o->block);
}

void segment_output_bytes(segment_output *o, const void *data, size_t size) {
    o->size += size;
    if (o->memory) {
        if (size > 0) buffer_append(o->memory, data, size);
        return;
    }
    for (const char *from = data; size > 0;) {
        size_t some = SEGMENT_HASHED - o->block.size;
        if (some > size) some = size;
        buffer_append(&o->block, from, some);
        from += some;
        size -= some;
        if (o->block.size == SEGMENT_HASHED) write_block(o);
    }
}

void *segment_output_room(segment_output *o, size_t size) {
    assert(size <= SEGMENT_HASHED);
    if (o->memory) return buffer_reserve(o->memory, size);
    buffer_clear(&o->room);
    return buffer_reserve(&o->room, SEGMENT_HASHED);
}

void segment_output_advance(segment_output *o, size_t size) {
    if (!o->memory) {
        segment_output_bytes(o, o->room.data, size);
        return;
    }
    o->memory->size += size;
    o->size += size;
}

static void align(segment_output *o) {
    static const char zeros[8];
    segment_output_bytes(o, zeros, (8 - o->size % 8) % 8);
}

void segment_output_begin(segment_output *o, segment_kind kind, uint32_t field) {
    align(o);
    assert(o->n < MAX_SECTIONS);
    o->sections[o->n] = (segment_section){.kind = kind, .field = field, .offset = o->size};
}

void segment_output_end(segment_output *o) {
    o->sections[o->n].size = o->size - o->sections[o->n].offset;
    o->n++;
}

/* The image is whole but for its hashes and the header. */
static void finish_memory(segment_output *o, segment_header *header) {
    uint64_t end = o->size, n = segment_hashes(end);
    buffer *out = o->memory;
    memcpy(out->data, header, sizeof *header);
    uint64_t *hashes = (uint64_t *)(void *)buffer_reserve(out, n * sizeof *hashes);
    for (uint64_t i = 0; i < n; i++) hashes[i] = segment_hash(out->data, end, i);
    out->size += n * sizeof *hashes;
    header->checksum = hash64(hashes, n * sizeof *hashes, 0);
    memcpy(out->data, header, sizeof *header);
}

static forage_status finish_file(segment_output *o, segment_header *header) {
    if (o->block.size > 0) write_block(o);
    memcpy(o->first.data, header, sizeof *header);
    uint64_t first = segment_hash(o->first.data, o->size, 0);
    memcpy(o->hashes.data, &first, sizeof first);
    header->checksum = hash64(o->hashes.data, o->hashes.size, 0);
    if (o->status == FORAGE_OK) o->status = os_output_write(o->file, o->hashes.data, o->hashes.size, &o->error);
    if (o->status == FORAGE_OK) o->status = os_output_rewrite(o->file, 0, header, sizeof *header, &o->error);
    if (o->status == FORAGE_OK) o->status = os_output_commit(o->file, &o->error);
    return o->status;
}

forage_status segment_output_finish(segment_output *o, segment_header header, base_error *error) {
    align(o);
    memcpy(header.magic, SEGMENT_MAGIC, sizeof header.magic);
    header.version = SEGMENT_VERSION;
    header.n_sections = o->n;
    header.table = o->size;
    segment_output_bytes(o, o->sections, o->n * sizeof *o->sections);
    header.size = o->size + segment_hashes(o->size) * sizeof(uint64_t);
    if (o->memory) finish_memory(o, &header);
    else finish_file(o, &header);
    if (o->status != FORAGE_OK && error) *error = o->error;
    return o->status;
}
