/* A segment: an immutable inverted index with columns, read in place from memory or a mapped file.
 *
 * A posting is (place, 8-bit impact): the impact is the saturated, length-normalised, field-weighted term frequency
 * of BM25F, 255 for the largest possible, so that score = idf × (k1 + 1) × impact / 255 needs no document data.
 * Beside it, in a section that only phrases, features, merging and explanations read, lie the positions of the term in the
 * document, and thereby its exact frequency in each field: merging computes impacts anew with the collection's average
 * lengths of that day. The impact of a token with weights is the weight that it was given. Byte layout: see README.md in this folder. */
#ifndef SPARSE_SEGMENT_H
#define SPARSE_SEGMENT_H

#include "sparse/fields.h"

typedef struct sparse_segment sparse_segment;

/* `image` stays the caller's, is 8-byte aligned and must outlive the segment. Every offset, place and ordinal is
 * checked and the checksum of every 64 KiB verified here, so that reading is memory-safe afterwards even for hostile
 * bytes: one pass over the bytes, some seconds per 10 GB. FORAGE_E_CORRUPT (naming the damaged block), FORAGE_E_VERSION. */
forage_status sparse_segment_open(slice image, sparse_segment **out, base_error *error);
void sparse_segment_close(sparse_segment *s);

uint32_t sparse_segment_count(const sparse_segment *s); /* places */
uint32_t sparse_segment_document(const sparse_segment *s, uint32_t place);
uint64_t sparse_segment_version(const sparse_segment *s, uint32_t place);
bool sparse_segment_find(const sparse_segment *s, uint32_t document, uint32_t *place);
void sparse_segment_statistics(const sparse_segment *s, sparse_statistics *out);
uint32_t sparse_segment_fields(const sparse_segment *s); /* known when it was built; later fields are absent */

bool sparse_segment_matches(const sparse_segment *s, const sparse_config *config); /* the fields both have are alike */

bool sparse_segment_ascends(const sparse_segment *s); /* documents do, with their places: nothing ever ordered them */

/* The array behind sparse_segment_document; NULL when the numbers are *first + place. */
const uint32_t *sparse_segment_documents(const sparse_segment *s, uint32_t *first);
uint32_t sparse_segment_terms(const sparse_segment *s); /* in the dictionary; ordinals are below it */
size_t sparse_segment_bytes(const sparse_segment *s);   /* of the image */
uint64_t sparse_segment_checksum(const sparse_segment *s); /* covers every byte of it */

/* What an impact stands for: the saturation x / (k1 + x) in [0, 1], to within 1/510. A keyword's posting counts as
 * x = 1, so that it adds idf × weight to the score. A given weight is what it is, with neither idf nor k1. */
static inline float sparse_impact_value(uint8_t impact) { return (float)impact * (1.0f / 255.0f); }

/* impact = rows[(code & mask) << shift | classes[place]]: what the fields of the place say to a code. */
typedef struct sparse_impacts {
    const uint8_t *classes, *rows;
    uint32_t mask;
    unsigned shift;
    uint32_t last; /* place */
} sparse_impacts;

typedef struct sparse_block {
    uint32_t last;   /* last place in the block */
    uint32_t offset; /* of its bytes in the term's data */
    uint8_t count_minus_1;
    uint8_t max_impact;
    uint8_t counted; /* 1: its positions say how many each posting has, because the codes do not */
    uint8_t reserved;
} sparse_block;

typedef struct sparse_term {
    const sparse_segment *segment;
    uint32_t df;
    uint8_t max_impact;
    uint32_t n_blocks;
    const sparse_block *blocks; /* NULL when there is one block: use sparse_term_blocks */
    sparse_block single;
    const uint8_t *data;
    size_t data_bytes;
    bool coded;                 /* of text or weights; all postings of another have its highest impact */
    const sparse_impacts *impacts; /* what its codes stand for */
    uint32_t ordinal;           /* of the term in the dictionary */
    const uint8_t *positions; /* read by sparse_positions */
    size_t position_bytes;
    const uint8_t *maxima; /* of a frequent term: its highest impact among each 2^shift places; NULL for others */
    unsigned maxima_shift; /* at least 6 */
} sparse_term;

/* The n_blocks blocks; the pointer holds while *t stays where it is. */
static inline const sparse_block *sparse_term_blocks(const sparse_term *t) {
    return t->blocks ? t->blocks : &t->single;
}

bool sparse_segment_term(const sparse_segment *s, slice key, sparse_term *out);
/* Decodes block i: ascending places and their impacts. Returns how many (1 … SPARSE_BLOCK). Both arrays have room for
 * SPARSE_BLOCK + 8. */
uint32_t sparse_block_decode(const sparse_term *t, uint32_t i, uint32_t *places, uint8_t *impacts);
uint32_t sparse_block_places(const sparse_term *t, uint32_t i, uint32_t *places); /* at a third of the cost */
/* The same in two steps: places, and where the codes are (NULL: there are none); of those, codes and impacts. */
uint32_t sparse_block_load(const sparse_term *t, uint32_t i, uint32_t *places, const uint8_t **codes);
void sparse_block_codes(const sparse_term *t, const uint8_t *at, uint32_t n, uint32_t *codes);
void sparse_block_impacts(const sparse_term *t, uint32_t i, const uint8_t *codes, uint32_t n, const uint32_t *places,
                          uint8_t *impacts);

static inline uint8_t sparse_impact(const sparse_impacts *t, uint32_t place, uint32_t code) {
    place = place < t->last ? place : t->last; /* a mapped file can change after it was checked */
    return t->rows[(code & t->mask) << t->shift | (t->classes[place] & ((1u << t->shift) - 1))];
}

/* A bit for a byte of a text: letters and digits have one of their own, the others share 28. */
static inline uint64_t sparse_letter(uint8_t byte) {
    unsigned bit = byte >= 'a' && byte <= 'z' ? 0u + byte - 'a' : byte >= '0' && byte <= '9' ? 26u + byte - '0' : 36u + byte % 28u;
    return (uint64_t)1 << bit;
}
/* Letters of a text: near its beginning, and after it. Each symbol is in one at least, those of the middle are in both. */
#define SPARSE_EARLY 6 /* symbols; counted so that there may be more, never fewer */
#define SPARSE_LATE 3  /* bytes before the others */
typedef struct sparse_letters {
    uint64_t early, late;
} sparse_letters;

/* Terms in key order, from the first >= `from`: for merging, vocabulary and suggestions. */
typedef struct sparse_term_walk {
    const sparse_segment *segment;
    uint32_t ordinal; /* of the next term */
    size_t key_size;
    uint64_t blocks; /* of the dictionary that sparse_term_walk_skip has read from */
    sparse_letters wanted;    /* set beforehand: it passes over blocks whose texts, all together, lack more than */
    uint64_t wanted_anywhere; /* `missing` of these letters, early, late, or in either */
    uint32_t missing;
    uint64_t state[4];
    uint8_t key[SPARSE_MAX_TERM + 16];
} sparse_term_walk;
void sparse_term_walk_start(sparse_term_walk *w, const sparse_segment *s, slice from);
bool sparse_term_walk_next(sparse_term_walk *w, slice *key, sparse_term *term); /* key: until the next call */
/* The next term >= `to`, which the key last given is not; dictionary blocks between are not read. A walk that has given
 * nothing is {.segment = s}. *shared: how many first bytes the key has in common, at least, with the one given before. An
 * empty `to` is any term. */
bool sparse_term_walk_skip(sparse_term_walk *w, slice to, slice *key, size_t *shared, sparse_term *term);

/* Exact frequency of the term in each text field of the document at `place` (all zero for a keyword); false when it
 * does not occur. frequency[] is written in full, later fields too. Decodes one block. */
bool sparse_term_frequencies(const sparse_term *t, uint32_t place, uint32_t frequency[SPARSE_MAX_FIELDS]);
uint32_t sparse_segment_length(const sparse_segment *s, uint32_t field, uint32_t place); /* tokens; text fields */
/* The field's positions are start … start + span − 1: tokens, and gaps between values. Text fields; 0 for others. */
uint32_t sparse_segment_span(const sparse_segment *s, uint32_t field, uint32_t place);
uint32_t sparse_segment_field_start(const sparse_segment *s, uint32_t field, uint32_t place);

/* Reads where one term of the text space stands, posting by posting. What was decoded last is kept, so that going through
 * postings in their order decodes everything once; another order is right, and slower. 1.6 KiB. */
typedef struct sparse_positions {
    const sparse_term *term;
    arena *arena;
    uint32_t block, n;                 /* the counts of n postings of that block are known; n 0: none are */
    uint32_t starts[SPARSE_BLOCK + 9]; /* posting i has the block's gaps starts[i] … starts[i + 1] − 1 */
    const uint8_t *first, *next, *end; /* where gaps are packed, 128 at a time: the first, behind the last read, the end */
    uint32_t chunk;                    /* which of these chunks is in `gaps`; UINT32_MAX: none */
    uint32_t gaps[SPARSE_BLOCK + 8];
    uint32_t few[SPARSE_BLOCK];
    uint32_t *many; /* in the arena */
    size_t room;    /* for so many */
} sparse_positions;

/* *t and the arena must outlive *r. The arena is used for documents that have the term more than 128 times. */
void sparse_positions_open(sparse_positions *r, const sparse_term *t, arena *a);
/* The positions of posting `index` (as sparse_block_decode gives them) of block `block`, ascending, in
 * *positions until the next call. Returns how many; 0 when the bytes are damaged, and for terms that have none: keywords. */
uint32_t sparse_positions_at(sparse_positions *r, uint32_t block, uint32_t index, const uint32_t **positions);

/* Tell the processor what will be wanted, so that many are waited for at once: sparse_segment_find of the document, the
 * lengths and spans of the field at the place. */
void sparse_segment_find_soon(const sparse_segment *s, uint32_t document);
void sparse_segment_length_soon(const sparse_segment *s, uint32_t field, uint32_t place);

/* Columns. */
const double *sparse_segment_numbers(const sparse_segment *s, uint32_t field); /* per place, NaN: none; NULL: no column */
typedef struct sparse_keywords {
    const uint32_t *starts;   /* count + 1: ordinals of place p are ordinals[starts[p] … starts[p+1]) */
    const uint32_t *ordinals;
    uint32_t n_values;
} sparse_keywords;
bool sparse_segment_keywords(const sparse_segment *s, uint32_t field, sparse_keywords *out);
slice sparse_segment_keyword_value(const sparse_segment *s, uint32_t field, uint32_t ordinal);
const uint32_t *sparse_segment_by_popularity(const sparse_segment *s); /* places, most popular first, ties by
                                                                        * document number; NULL without the field */
/* The highest prior among each 64 places; NULL without. */
const float *sparse_segment_prior_maxima(const sparse_segment *s);
const float *sparse_segment_prior(const sparse_segment *s, float *max); /* per place, in [0, 1]; NULL without */
/* The prior of a popularity: log(1 + p) / log(1 + 10⁷), cut to [0, 1]; 0 for NaN. The same in every segment. */
float sparse_prior_value(double popularity);

/* Decodes everything and checks what opening does not: for sparse_index_check and fuzzing. */
forage_status sparse_segment_validate(const sparse_segment *s, base_error *error);

#endif
