/* Which words are at most k edits from a given one? A deterministic automaton over bytes, built as far as it is used.
 *
 * An edit inserts, deletes or replaces one symbol, or, when asked, exchanges two neighbours (optimal string alignment:
 * no symbol is edited twice, so "ca" and "abc" are three apart). A symbol is a code point of UTF-8: a lead byte with as
 * many continuation bytes as it announces. A byte that belongs to none is a symbol by itself.
 *
 * A state is the set of positions of Schulz & Mihov, "Fast string correction with Levenshtein automata" (2002), as the
 * row of the dynamic program that holds the same: for each of the 2k + 1 positions that may be alive the fewest edits,
 * and whether a transposition is half done there; and the bytes of a symbol that is not complete. States are told apart by
 * content and kept, as are their transitions, so a byte costs a table look-up once its transition has been taken.
 *
 * An automaton belongs to one thread at a time: reading builds states. */
#ifndef SPARSE_LEVENSHTEIN_H
#define SPARSE_LEVENSHTEIN_H

#include "sparse/segment.h"

#define LEVENSHTEIN_MOST_EDITS 3
#define LEVENSHTEIN_MOST_SYMBOLS 63 /* of the word */
#define LEVENSHTEIN_DEAD 0          /* the state from which nothing matches */
#define LEVENSHTEIN_NONE 255        /* no distance: the bytes so far are too far from the word */

typedef struct levenshtein_options {
    uint32_t edits;      /* k, 0 … LEVENSHTEIN_MOST_EDITS */
    bool transpositions; /* exchanging two neighbours is one edit */
    bool prefix;         /* accept what begins with something within k; the distance is that of the nearest beginning */
    uint32_t exact;      /* so many first symbols must be as they are */
} levenshtein_options;

typedef uint16_t levenshtein_state;
typedef struct levenshtein levenshtein;

/* Copies the word. FORAGE_E_INVALID: more than LEVENSHTEIN_MOST_SYMBOLS symbols, or too many edits. */
forage_status levenshtein_create(slice word, const levenshtein_options *options, levenshtein **out, base_error *error);
void levenshtein_destroy(levenshtein *a); /* NULL is a no-op */

levenshtein_state levenshtein_start(const levenshtein *a);
/* The state after one byte more; LEVENSHTEIN_DEAD when no continuation matches. */
levenshtein_state levenshtein_step(levenshtein *a, levenshtein_state from, uint8_t byte);
/* Edits when the bytes end here, at most k, or LEVENSHTEIN_NONE. */
uint8_t levenshtein_distance(const levenshtein *a, levenshtein_state state);

/* Bytes b for which the step may lead on: bit b % 64 of word b / 64. A step that is not in the set is dead; one that is
 * may be dead still, only where symbols are cut or the word is not ASCII. */
typedef struct levenshtein_bytes {
    uint64_t bits[4];
} levenshtein_bytes;
const levenshtein_bytes *levenshtein_alive(levenshtein *a, levenshtein_state state);

/* The smallest key, bytewise, that is greater than `key` and all that begins with its first n + 1 bytes, and that might
 * match: a lower bound of the next match, never beyond it. states[i] is the state after i bytes of `key`, i = 0 … n, none
 * of them dead. Written to `out`, which has room for n + 1 + LEVENSHTEIN_MOST_BYTES; 0: no further key matches. */
#define LEVENSHTEIN_MOST_BYTES (4 * (LEVENSHTEIN_MOST_SYMBOLS + LEVENSHTEIN_MOST_EDITS))
size_t levenshtein_next(levenshtein *a, const levenshtein_state *states, const uint8_t *key, size_t n, uint8_t *out);

/* Letters (see segment.h) of which a match lacks at most `edits`: early, late, or in either. */
void levenshtein_letters(const levenshtein *a, sparse_letters *wanted, uint64_t *anywhere);
uint32_t levenshtein_edits(const levenshtein *a);

/* The whole of a term at once. */
uint8_t levenshtein_match(levenshtein *a, slice term);

/* States that have been built, and whether there was no room for another (65,535): then steps are dead that should not
 * be, and what is missing is to be called cut. */
size_t levenshtein_states(const levenshtein *a);
bool levenshtein_full(const levenshtein *a);

#endif
