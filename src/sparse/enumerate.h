/* The vocabulary in key order: terms that begin alike, that lie in a range, or that are nearly spelled like a word.
 *
 * An enumerator gives the terms of one segment; the sparse_vocabulary_ functions give those of a snapshot, each once, with
 * the documents of all segments summed. A df counts documents that have died but are not merged away yet. Terms are
 * known by their keys (see fields.h): the space, a keyword's field, the text. Every enumeration has bounded work and
 * says when that cut it short. */
#ifndef SPARSE_ENUMERATE_H
#define SPARSE_ENUMERATE_H

#include "os/clock.h"
#include "sparse/index.h"
#include "sparse/levenshtein.h"

/* How much may be done. Without a clock there is no deadline. */
typedef struct sparse_effort {
    uint64_t most;         /* keys that are looked at in one segment; 0: all */
    const os_clock *clock;
    int64_t deadline;      /* monotonic microseconds; looked at every 256 keys */
} sparse_effort;

typedef struct sparse_enumerator {
    sparse_term_walk walk;
    sparse_effort effort;
    slice space;             /* every key given begins with it */
    slice high;              /* and is less; empty: no bound */
    levenshtein *automaton;  /* and what follows `space` matches; NULL: whatever follows */
    uint64_t looked;         /* keys so far; those that were skipped do not count */
    bool cut, ended;
    size_t to_size, depth;   /* next key wanted; bytes after `space` whose states are known */
    uint8_t to[SPARSE_MAX_TERM + 16 + LEVENSHTEIN_MOST_BYTES];
    levenshtein_state states[SPARSE_MAX_TERM + 16];
} sparse_enumerator;

typedef struct sparse_enumerated {
    slice key;        /* an enumerator's: until its next call */
    uint64_t df;      /* documents, dead ones included */
    uint32_t distance; /* edits; 0 where none were asked for */
} sparse_enumerated;

/* Slices, segment and automaton stay the caller's until the enumeration is over. `from` is at most SPARSE_MAX_TERM + 2
 * bytes long and begins with `space`; space and high may be empty. */
void sparse_enumerate_prefix(sparse_enumerator *e, const sparse_segment *s, slice prefix, const sparse_effort *effort);
/* Keys of [from, high) that begin with `space`. */
void sparse_enumerate_range(sparse_enumerator *e, const sparse_segment *s, slice space, slice from, slice high,
                            const sparse_effort *effort);
/* Keys that are `space` and something that the automaton accepts. The automaton tells from which key on the next match can
 * lie, and everything between is skipped, whole dictionary blocks without being read. */
void sparse_enumerate_fuzzy(sparse_enumerator *e, const sparse_segment *s, slice space, levenshtein *automaton,
                            const sparse_effort *effort);
/* In key order; false at the end, or when the work was cut (e->cut). */
bool sparse_enumerate_next(sparse_enumerator *e, sparse_enumerated *out);

typedef struct sparse_vocabulary {
    size_t n;
    sparse_enumerated *terms; /* keys too in the caller's arena */
    uint64_t looked;          /* keys, in all segments */
    bool cut;                 /* by effort or the automaton's room: terms may be missing and a df be too small */
    bool more;                /* further terms were found, beyond the limit */
} sparse_vocabulary;

/* The most frequent terms whose key begins with `prefix`, most frequent first, ties by key. */
void sparse_vocabulary_prefix(const sparse_snapshot *s, slice prefix, size_t limit, const sparse_effort *effort, arena *a,
                              sparse_vocabulary *out);
/* The first terms of [from, high) that begin with `space`, in key order. */
void sparse_vocabulary_range(const sparse_snapshot *s, slice space, slice from, slice high, size_t limit,
                             const sparse_effort *effort, arena *a, sparse_vocabulary *out);
/* The nearest terms, by distance, then most frequent first, then by key. */
void sparse_vocabulary_fuzzy(const sparse_snapshot *s, slice space, levenshtein *automaton, size_t limit,
                             const sparse_effort *effort, arena *a, sparse_vocabulary *out);

#endif
