/* The bytes of a segment, drawn in README.md: shared by the writer and the reader of images, by nobody else. */
#ifndef SPARSE_SEGMENT_FORMAT_H
#define SPARSE_SEGMENT_FORMAT_H

#include "sparse/segment.h"

#include <string.h>

#define SEGMENT_MAGIC "ForageSg"
#define SEGMENT_VERSION 2u
#define SEGMENT_MAX_COUNT (1u << 28) /* places: keeps a term's postings below 4 GiB */
#define SEGMENT_TERMS 16             /* in a dictionary block */
#define SEGMENT_MAX_KEY (SPARSE_MAX_TERM + 2)
#define SEGMENT_PAD 16 /* zero bytes after the postings, so that decoding may load whole words */

typedef struct segment_header {
    char magic[8];
    uint32_t version, n_sections;
    uint64_t size;  /* of the image */
    uint64_t table; /* where the n_sections segment_sections are: its last bytes */
    uint32_t count, n_fields, n_terms, reserved;
    uint64_t checksum; /* of the table, seeded with that of the header while this is 0: covers all, through theirs */
} segment_header;

/* Sections are stored in this order, each at a multiple of 8; those of a field follow each other. */
typedef enum segment_kind {
    SEGMENT_FIELDS = 1,   /* segment_field × n_fields */
    SEGMENT_DOCUMENTS,    /* u32 × count: document number of each place */
    SEGMENT_ORDER,        /* u32 × count: places by document number; left out when they ascend already */
    SEGMENT_VERSIONS,     /* u64 × count */
    SEGMENT_DICTIONARY,   /* segment_entries × ⌈n_terms / 16⌉ */
    SEGMENT_KEYS,         /* entries of the dictionary */
    SEGMENT_BLOCKS,       /* sparse_block, of terms with more than one */
    SEGMENT_POSTINGS,     /* packed places and impacts, then SEGMENT_PAD zeros */
    SEGMENT_FREQUENCIES,  /* cold */
    SEGMENT_LENGTHS,      /* per text field: u8, u16 or u32 × count */
    SEGMENT_FORWARD_LINES, /* per text field: segment_forward_line × ⌈count / 56⌉ */
    SEGMENT_FORWARD,      /* per text field: u16, the first tokens of place 0, of place 1, … */
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
    uint64_t offset, size, checksum;
} segment_section;

typedef struct segment_field {
    uint64_t length; /* tokens; text fields */
    uint32_t having; /* documents with at least one */
    uint32_t kind;   /* sparse_kind */
} segment_field;

/* Where a dictionary block's entries, and the data of its first term, begin. */
typedef struct segment_entries {
    uint64_t keys, postings, frequencies, blocks;
} segment_entries;

/* How many forward tokens each of 56 places has, and where those of the first begin: one cache line tells all. */
#define SEGMENT_FORWARD_PLACES 56
#define SEGMENT_FORWARD_CUT 0x80 /* added to a count: the field has more tokens than are kept */
typedef struct segment_forward_line {
    uint64_t start;
    uint8_t counts[SEGMENT_FORWARD_PLACES]; /* 0 after the last place */
} segment_forward_line;

static inline uint16_t segment_forward_token(uint32_t key_hash) {
    uint16_t token = (uint16_t)(key_hash >> 16);
    return token == SPARSE_FORWARD_GAP ? 1 : token;
}

_Static_assert(sizeof(segment_forward_line) == 64, "a forward line is a cache line");
_Static_assert(sizeof(segment_header) == 56 && sizeof(segment_section) == 32 && sizeof(segment_field) == 16 &&
                   sizeof(segment_entries) == 32 && sizeof(sparse_block) == 12,
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

/* The frequencies of one posting. A text field is known by its ordinal among the text fields; r bits hold one.
 *   one field:  varint of ((tf − 1) << r | ordinal) << 1
 *   n fields:   varint of n << 1 | 1, then n varints of (tf − 1) << r | ordinal, by ordinal */
typedef struct segment_frequency {
    uint32_t ordinal, tf;
} segment_frequency;
#define SEGMENT_MAX_CODE (SPARSE_MAX_FIELDS * 6 + 2) /* bytes */

static inline unsigned segment_ordinal_bits(uint32_t n_text) {
    return n_text <= 1 ? 0 : 32u - (unsigned)__builtin_clz(n_text - 1);
}

static inline uint8_t *segment_put_frequencies(uint8_t *p, unsigned r, const segment_frequency *f, uint32_t n) {
    if (n == 1) return segment_put_varint(p, ((uint64_t)(f->tf - 1) << r | f->ordinal) << 1);
    p = segment_put_varint(p, (uint64_t)n << 1 | 1);
    for (uint32_t i = 0; i < n; i++) p = segment_put_varint(p, (uint64_t)(f[i].tf - 1) << r | f[i].ordinal);
    return p;
}

/* Safe for any bytes: NULL when they are no code of a segment with `n_text` text fields. */
static inline const uint8_t *segment_get_frequencies(const uint8_t *p, const uint8_t *end, uint32_t n_text,
                                                     segment_frequency f[SPARSE_MAX_FIELDS], uint32_t *n) {
    unsigned r = segment_ordinal_bits(n_text);
    uint64_t v, ordinal_mask = ((uint64_t)1 << r) - 1;
    p = segment_get_varint(p, end, &v);
    if (!p) return NULL;
    uint64_t many = v & 1 ? v >> 1 : 1;
    if (many == 0 || many > n_text) return NULL;
    for (uint32_t i = 0; i < many; i++) {
        uint64_t code = v >> 1;
        if (v & 1) {
            p = segment_get_varint(p, end, &code);
            if (!p) return NULL;
        }
        f[i].ordinal = (uint32_t)(code & ordinal_mask);
        f[i].tf = (uint32_t)(code >> r) + 1;
        if (f[i].ordinal >= n_text || code >> r >= UINT32_MAX) return NULL;
    }
    *n = (uint32_t)many;
    return p;
}

#endif
