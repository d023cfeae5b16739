/* Where the words of a posting stand. A term's bytes in the section of positions, when it is in several documents:
 *
 *     starts   of each block but the first, in the bytes behind the starts: 1 … 5 bytes each, as many as hold the size of
 *              all the term's bytes
 *     blocks   of the postings of a block: how often each has the term, less 1 (where the codes do not say it) · the first
 *              position of the first posting,
 *              then its gaps less 1, those of the second, …: 128 at a time, the last fewer. All by pack_values.
 *
 * Nothing here was checked when the image was opened, so that everything is checked as it is read. */
#include "sparse/pack_values.h"
#include "sparse/segment_image.h"

bool segment_block_positions(const sparse_term *t, uint32_t i, const uint8_t **from, const uint8_t **end) {
    size_t width = segment_start_width(t->position_bytes), table = (size_t)(t->n_blocks - 1) * width;
    if (t->position_bytes < table) return false;
    uint64_t size = t->position_bytes - table, bounds[2] = {0, size}; /* little-endian */
    if (i > 0) memcpy(&bounds[0], t->positions + (i - 1) * width, width);
    if (i + 1 < t->n_blocks) {
        bounds[1] = 0;
        memcpy(&bounds[1], t->positions + i * width, width);
    }
    if (bounds[0] > bounds[1] || bounds[1] > size) return false;
    *from = t->positions + table + bounds[0];
    *end = t->positions + table + bounds[1];
    return true;
}

void sparse_positions_open(sparse_positions *r, const sparse_term *t, arena *a) {
    r->term = t;
    r->arena = a;
    r->n = 0;
    r->many = NULL;
    r->room = 0;
}

static uint32_t *room_for(sparse_positions *r, size_t n) {
    if (n <= SPARSE_BLOCK) return r->few;
    if (n > r->room) {
        r->room = n < 2 * r->room ? 2 * r->room : n;
        r->many = arena_alloc(r->arena, r->room * sizeof *r->many);
    }
    return r->many;
}

static uint32_t read_code(sparse_positions *r, const uint32_t **positions) {
    const sparse_term *t = r->term;
    size_t most = t->position_bytes < SPARSE_MAX_TOKENS ? t->position_bytes : SPARSE_MAX_TOKENS;
    uint32_t *out = room_for(r, most);
    *positions = out;
    return segment_get_code(t->positions, t->positions + t->position_bytes, out);
}

/* The counts of a block. */
static bool read_block(sparse_positions *r, uint32_t block) {
    const sparse_term *t = r->term;
    const uint8_t *p;
    r->n = 0;
    if (t->position_bytes == 0 || !segment_block_positions(t, block, &p, &r->end)) return false;
    uint32_t n = sparse_term_blocks(t)[block].count_minus_1 + 1u, sum = 0;
    const sparse_segment *s = t->segment;
    if (sparse_term_blocks(t)[block].counted || !t->coded) {
        p = unpack_values(p, r->end, n, r->starts + 1);
    } else {
        const uint8_t *codes;
        uint32_t places[SPARSE_BLOCK + 8];
        sparse_block_load(t, block, places, &codes);
        sparse_block_codes(t, codes, n, r->starts + 1);
        for (uint32_t i = 1; i <= n; i++) r->starts[i] = s->totals[r->starts[i] < s->n_codes ? r->starts[i] : 0] - 1;
    }
    if (!p) return false;
    r->starts[0] = 0;
    for (uint32_t i = 1; i <= n; i++) {
        if (r->starts[i] >= SPARSE_MAX_TOKENS) return false;
        sum += r->starts[i] + 1; /* 128 times 2²² at most */
        r->starts[i] = sum;
    }
    r->first = r->next = p;
    r->block = block;
    r->chunk = UINT32_MAX;
    r->n = n;
    return true;
}

/* Makes `gaps` those of a chunk. */
static bool read_chunk(sparse_positions *r, uint32_t chunk) {
    uint32_t at = r->chunk + 1; /* the chunk at `next` */
    if (chunk < at) {
        r->next = r->first;
        at = 0;
    }
    r->chunk = UINT32_MAX;
    for (; r->next && at < chunk; at++) r->next = skip_values(r->next, r->end, SPARSE_BLOCK);
    uint32_t left = r->starts[r->n] - chunk * SPARSE_BLOCK;
    if (r->next) r->next = unpack_values(r->next, r->end, left < SPARSE_BLOCK ? left : SPARSE_BLOCK, r->gaps);
    if (!r->next) return r->n = 0, false; /* whoever asks again is told again */
    r->chunk = chunk;
    return true;
}

uint32_t sparse_positions_at(sparse_positions *r, uint32_t block, uint32_t index, const uint32_t **positions) {
    if (r->term->df == 1) return block == 0 && index == 0 ? read_code(r, positions) : 0;
    if ((r->n == 0 || r->block != block) && !read_block(r, block)) return 0;
    if (index >= r->n) return 0;
    uint32_t at = r->starts[index], n = r->starts[index + 1] - at, *out = room_for(r, n);
    uint64_t next = 0;
    for (uint32_t i = 0; i < n; i++, at++, next++) {
        if (at / SPARSE_BLOCK != r->chunk && !read_chunk(r, at / SPARSE_BLOCK)) return 0;
        next += r->gaps[at % SPARSE_BLOCK];
        if (next >= SPARSE_MAX_TOKENS) return 0;
        out[i] = (uint32_t)next;
    }
    *positions = out;
    return n;
}

/* --- frequencies ------------------------------------------------------------------------------------------------- */

static void count_fields(const sparse_segment *s, uint32_t place, const uint32_t *positions, uint32_t n,
                         uint32_t frequency[SPARSE_MAX_FIELDS]) {
    uint64_t end = 0;
    uint32_t i = 0;
    for (uint32_t o = 0; o < s->n_text && i < n; o++) {
        end += sparse_segment_span(s, s->text_fields[o], place);
        uint32_t from = i;
        while (i < n && positions[i] < end) i++;
        frequency[s->text_fields[o]] = i - from;
    }
}

bool sparse_term_frequencies(const sparse_term *t, uint32_t place, uint32_t frequency[SPARSE_MAX_FIELDS]) {
    const sparse_block *blocks = sparse_term_blocks(t);
    uint32_t low = 0, high = t->n_blocks;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (blocks[middle].last < place) low = middle + 1;
        else high = middle;
    }
    if (low == t->n_blocks) return false;
    uint32_t places[SPARSE_BLOCK + 8], at = 0;
    uint32_t n_places = sparse_block_places(t, low, places);
    while (at < n_places && places[at] < place) at++;
    if (at == n_places || places[at] != place) return false;

    memset(frequency, 0, SPARSE_MAX_FIELDS * sizeof *frequency);
    arena memory;
    arena_init(&memory, 0);
    sparse_positions r;
    const uint32_t *positions;
    sparse_positions_open(&r, t, &memory);
    uint32_t n = sparse_positions_at(&r, low, at, &positions);
    if (n > 0) count_fields(t->segment, place, positions, n, frequency);
    arena_release(&memory);
    return true;
}
