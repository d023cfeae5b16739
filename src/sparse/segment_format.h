/* The bytes of a segment, drawn in README.md: shared by the writer and the reader of images, by nobody else. */
#ifndef SPARSE_SEGMENT_FORMAT_H
#define SPARSE_SEGMENT_FORMAT_H

#include "sparse/segment.h"

#include <string.h>

#define SEGMENT_MAGIC "ForageSg"
#define SEGMENT_VERSION 4u
#define SEGMENT_MAX_COUNT (1u << 28) /* places: keeps a term's postings below 4 GiB */
#define SEGMENT_TERMS 16             /* in a dictionary block */
#define SEGMENT_MAX_KEY (SPARSE_MAX_TERM + 2)
#define SEGMENT_HASHED 65536u /* bytes of the image under one hash */

typedef struct segment_header {
    char magic[8];
    uint32_t version, n_sections;
    uint64_t size;  /* of the image */
    uint64_t table; /* where the n_sections segment_sections are; the hashes, its last bytes, follow them */
    uint32_t count, n_fields, n_terms, reserved;
    uint64_t checksum; /* of the hashes: covers every byte, through them */
} segment_header;

/* Sections are stored in this order, each at a multiple of 8; those of a field follow each other. */
typedef enum segment_kind {
    SEGMENT_FIELDS = 1,   /* segment_field × n_fields */
    SEGMENT_DOCUMENTS,    /* u32 × count: document number of each place; the first alone when they are consecutive */
    SEGMENT_VERSIONS,     /* u64: the least; and what is added to it, 0, 1, 2, 4 or 8 bytes × count */
    SEGMENT_CLASSES,      /* u8 × count: of the lengths; left out where the lengths of the one text field serve */
    SEGMENT_TOTALS,       /* u32 × codes: occurrences that a code stands for */
    SEGMENT_IMPACTS,      /* u8, for each code (up to a power of 2) a row of one for each class (likewise) */
    SEGMENT_DICTIONARY,   /* segment_entries × ⌈n_terms / 16⌉ */
    SEGMENT_KEYS,         /* entries of the dictionary */
    SEGMENT_BLOCKS,       /* sparse_block, of terms with more than one */
    SEGMENT_POSTINGS,     /* places and codes, packed */
    SEGMENT_POSITIONS,    /* where the words stand, of terms that are in several documents */
    SEGMENT_LENGTHS,      /* per text field: u8, u16 or u32 × count */
    SEGMENT_SPANS,        /* per text field, likewise; left out where every span is its length */
    SEGMENT_NUMBERS,      /* per number field: f64 × count */
    SEGMENT_STARTS,       /* per keyword field: u32 × (count + 1) */
    SEGMENT_ORDINALS,     /* per keyword field: u32 */
    SEGMENT_VALUE_STARTS, /* per keyword field: u64 × (values + 1) */
    SEGMENT_VALUES,       /* per keyword field: bytes */
    SEGMENT_POPULARITY,   /* u32 × count: places, most popular first */
    SEGMENT_PRIOR,        /* f32 × count */
    SEGMENT_KINDS
} segment_kind;

typedef struct segment_section {
    uint32_t kind, field;
    uint64_t offset, size;
} segment_section;

typedef struct segment_field {
    uint64_t length; /* tokens; text fields */
    uint32_t having; /* documents with at least one */
    uint32_t kind;   /* sparse_kind */
} segment_field;

/* Where a dictionary block's entries, and the data of its first term, begin: 40 bits each. */
typedef struct segment_entries {
    uint32_t low[4]; /* of keys, postings, positions, blocks */
    uint8_t high[4];
} segment_entries;

static inline segment_entries segment_entries_of(uint64_t keys, uint64_t postings, uint64_t positions, uint64_t blocks) {
    return (segment_entries){
        {(uint32_t)keys, (uint32_t)postings, (uint32_t)positions, (uint32_t)blocks},
        {(uint8_t)(keys >> 32), (uint8_t)(postings >> 32), (uint8_t)(positions >> 32), (uint8_t)(blocks >> 32)}};
}
static inline uint64_t segment_entry(const segment_entries *e, unsigned which) {
    return (uint64_t)e->high[which] << 32 | e->low[which];
}

/* How many hashes the bytes before them have. */
static inline uint64_t segment_hashes(uint64_t size) { return (size + SEGMENT_HASHED - 1) / SEGMENT_HASHED; }

/* Hash i of the image's first `size` bytes, those before the hashes: the header's checksum counts as zeros. */
uint64_t segment_hash(const char *image, uint64_t size, uint64_t i);

_Static_assert(sizeof(segment_header) == 56 && sizeof(segment_section) == 24 && sizeof(segment_field) == 16 &&
                   sizeof(segment_entries) == 20 && sizeof(sparse_block) == 12,
               "stored structs have no padding");

static inline uint8_t *segment_put_varint(uint8_t *p, uint64_t v) {
    for (; v >= 128; v >>= 7) *p++ = (uint8_t)(v | 128);
    *p++ = (uint8_t)v;
    return p;
}

/* NULL at the end of the bytes, and for more than ten. */
static inline const uint8_t *segment_get_varint(const uint8_t *p, const uint8_t *end, uint64_t *out) {
    if (p < end && *p < 128) return *out = *p, p + 1;
    uint64_t v = 0;
    for (unsigned shift = 0; p < end && shift < 64; shift += 7) {
        uint8_t byte = *p++;
        v |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return *out = v, p;
    }
    return NULL;
}

/* How many bytes a key shares with the one before, and how many follow: a byte of both while each is below 15, which stands for
 * more, said by a varint behind. */
static inline uint8_t *segment_put_sizes(uint8_t *p, size_t shared, size_t rest) {
    *p++ = (uint8_t)((shared < 15 ? shared : 15) << 4 | (rest < 15 ? rest : 15));
    if (shared >= 15) p = segment_put_varint(p, shared - 15);
    if (rest >= 15) p = segment_put_varint(p, rest - 15);
    return p;
}

static inline const uint8_t *segment_get_sizes(const uint8_t *p, const uint8_t *end, uint64_t *shared, uint64_t *rest) {
    if (p >= end) return NULL;
    uint64_t more;
    *shared = *p >> 4;
    *rest = *p++ & 15;
    if (*shared == 15) {
        p = segment_get_varint(p, end, &more);
        if (!p || more > SEGMENT_MAX_KEY) return NULL;
        *shared += more;
    }
    if (*rest == 15) {
        p = segment_get_varint(p, end, &more);
        if (!p || more > SEGMENT_MAX_KEY) return NULL;
        *rest += more;
    }
    return p;
}

/* Whether terms of the key's space have positions. */
static inline bool segment_has_positions(char space) { return space == SPARSE_SPACE_TEXT || space == SPARSE_SPACE_GAP; }

/* The positions of one posting, n > 0 of them, ascending and below SPARSE_MAX_TOKENS, as a code of varints:
 *   one:      position << 1
 *   several:  the bytes that follow << 1 | 1, then the first, and of each further one the gap − 1
 * so that a code of any length is passed over at once. */
static inline size_t segment_varint_size(uint32_t v) { return 1 + (31 - (unsigned)__builtin_clz(v | 1)) / 7; }

static inline size_t segment_code_room(uint32_t n) { return 5 + 4 * (size_t)n; } /* a position takes 22 bits */

static inline uint8_t *segment_put_code(uint8_t *p, const uint32_t *positions, uint32_t n) {
    if (n == 1) return segment_put_varint(p, (uint64_t)positions[0] << 1);
    size_t size = segment_varint_size(positions[0]);
    for (uint32_t i = 1; i < n; i++) size += segment_varint_size(positions[i] - positions[i - 1] - 1);
    p = segment_put_varint(p, (uint64_t)size << 1 | 1);
    p = segment_put_varint(p, positions[0]);
    for (uint32_t i = 1; i < n; i++) p = segment_put_varint(p, positions[i] - positions[i - 1] - 1);
    return p;
}

/* Passes over a code; NULL when it does not end before `end`. */
static inline const uint8_t *segment_skip_code(const uint8_t *p, const uint8_t *end) {
    uint64_t v;
    p = segment_get_varint(p, end, &v);
    if (!p || !(v & 1)) return p;
    return v >> 1 <= (uint64_t)(end - p) ? p + (v >> 1) : NULL;
}

/* Reads a code that takes up all the bytes, into as many positions at most. Returns how many; 0 when the
 * bytes are none. Safe for any bytes. */
static inline uint32_t segment_get_code(const uint8_t *p, const uint8_t *end, uint32_t *positions) {
    uint64_t v, next = 0;
    uint32_t n = 0;
    p = segment_get_varint(p, end, &v);
    if (!p) return 0;
    if (!(v & 1)) {
        if (p != end || v >> 1 >= SPARSE_MAX_TOKENS) return 0;
        positions[0] = (uint32_t)(v >> 1);
        return 1;
    }
    if (v >> 1 != (uint64_t)(end - p)) return 0;
    for (; p < end; next++) {
        p = segment_get_varint(p, end, &v);
        if (!p || v >= SPARSE_MAX_TOKENS || (next += v) >= SPARSE_MAX_TOKENS) return 0;
        positions[n++] = (uint32_t)next;
    }
    return n;
}

#endif
