/* Compressed sets of 32-bit numbers: filter results that are kept, or stored.
 *
 * The numbers are cut into chunks of 2¹⁶ by their high half, and each chunk that has members is a container of the kind that
 * takes the fewest bytes: an array of low halves, a bitmap of 8 KiB, or runs of consecutive numbers (Chambi, Lemire, Kaser &
 * Godin 2016; Lemire, Ssi-Yan-Kai & Kaser 2016). A set never changes once it is made, and what it is in memory is what it is
 * on disk: bitmap_bytes can be written as it is and opened in place from a mapped file.
 *
 * A set has one form only, so two sets are equal when their bytes are. Threads: any number may read one.
 *
 * Bytes, little-endian, at a multiple of 8:
 *
 *     header 32   magic "FoBM" · version u32 · containers u32 · 0 u32 · members u64 · size of it all u64
 *     table       16 per container, keys ascending: key u16 · kind u8 · 0 u8 · members − 1 u16 · elements − 1 u16 ·
 *                 where its elements are u32, in units of 8 bytes from the beginning · members of the containers before u32
 *     elements    of each container, then zeros up to a multiple of 8
 *       array     a u16 per member, ascending
 *       bits      1,024 words of 64 bits; "elements − 1" is 1,023
 *       runs      first u16 · last u16 per run, ascending, with a gap between any two */
#ifndef SPARSE_BITMAP_H
#define SPARSE_BITMAP_H

#include "base/memory.h"
#include "base/status.h"

typedef struct bitmap bitmap;

/* --- making ------------------------------------------------------------------------------------------------------ */

/* Takes members in ascending order; asserts that they are. */
typedef struct bitmap_builder bitmap_builder;
bitmap_builder *bitmap_builder_create(void);
void bitmap_builder_add(bitmap_builder *b, uint32_t value);
void bitmap_builder_add_range(bitmap_builder *b, uint32_t first, uint32_t last); /* both included, first <= last */
bitmap *bitmap_builder_finish(bitmap_builder *b);                                /* ends the builder */

bitmap *bitmap_of_values(const uint32_t *values, size_t n); /* ascending */
/* Bit i % 64 of word i / 64 for each i < count; what is set beyond does not count. */
bitmap *bitmap_of_flat(const uint64_t *words, uint32_t count);

/* `bytes` stay the caller's, are 8-byte aligned and must outlive the set. Everything is checked, so that reading is safe
 * afterwards and the set is one that a builder could have made: one pass. FORAGE_E_CORRUPT, FORAGE_E_VERSION. */
forage_status bitmap_open(slice bytes, bitmap **out, base_error *error);
slice bitmap_bytes(const bitmap *b); /* until it is destroyed */
void bitmap_destroy(bitmap *b);      /* NULL is a no-op */

/* --- asking ------------------------------------------------------------------------------------------------------ */

uint64_t bitmap_cardinality(const bitmap *b);
size_t bitmap_memory(const bitmap *b); /* bytes that destroying frees */
bool bitmap_contains(const bitmap *b, uint32_t value);
uint64_t bitmap_rank(const bitmap *b, uint64_t value);           /* members below `value`, which may be 2³² */
bool bitmap_select(const bitmap *b, uint64_t i, uint32_t *out);  /* the member with i below it; false: there are fewer */
uint64_t bitmap_range_cardinality(const bitmap *b, uint64_t from, uint64_t to); /* members in [from, to), to <= 2³² */
bool bitmap_equal(const bitmap *a, const bitmap *b);

/* Members from the first >= `from`, ascending. */
typedef struct bitmap_walk {
    const bitmap *set;
    uint32_t container, element; /* of the next member … */
    uint32_t inside;             /* … within it: bits of a word taken, or numbers of a run */
} bitmap_walk;
void bitmap_walk_start(bitmap_walk *w, const bitmap *b, uint32_t from);
bool bitmap_walk_next(bitmap_walk *w, uint32_t *value);

/* --- combining --------------------------------------------------------------------------------------------------- */

bitmap *bitmap_and(const bitmap *a, const bitmap *b);
bitmap *bitmap_or(const bitmap *a, const bitmap *b);
bitmap *bitmap_and_not(const bitmap *a, const bitmap *b);

/* With a flat set of n_words words, as in bitmap_of_flat; members from n_words · 64 on do not count. */
void bitmap_fill_flat(const bitmap *b, uint64_t *words, size_t n_words); /* the words become the set */
void bitmap_or_flat(const bitmap *b, uint64_t *words, size_t n_words);
void bitmap_and_flat(const bitmap *b, uint64_t *words, size_t n_words);
void bitmap_and_not_flat(const bitmap *b, uint64_t *words, size_t n_words); /* words without the set's members */
uint64_t bitmap_count_flat(const bitmap *b, const uint64_t *words, size_t n_words); /* how many are in both */

#endif
