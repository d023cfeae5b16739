/* The counts of one row of the memory, and its bytes.
 *
 * Counts are decayed: they are worth what they say at `time`, and half of it a half-life later. An impression counts by
 * the chance that its position was looked at at all; the one that was engaged with was looked at for certain (the
 * position-based click model).
 *
 * No one person owns a row: each is hashed to one of 16 cells, and a cell may hold at most 2 + 2 × the mean of the other
 * cells. A million clicks of one user add up to 2 while nobody else came, and to about an eighth of the row after that.
 * The cells name nobody, and they are halved whenever an era, which is a half-life long, has passed.
 *
 * Bytes of a row (little-endian):
 *   16 bytes: f32 impressions, f32 rewards, i64 time (microseconds since 1970); 24 bytes: the same, then u64 born. The
 *   first format; still read.
 *   else: u8 format (2), u8 flags (1: cells follow), u16 era, f32 impressions, f32 rewards, i64 time, u32 shown,
 *   u32 earned, u64 born, then 16 × u16 cells of rewards and 16 × u16 cells of impressions, in 1/64. Bytes after these are
 *   passed over by a reader that does not know them. */
#ifndef MEMORY_QUERY_MEMORY_ROW_H
#define MEMORY_QUERY_MEMORY_ROW_H

#include "base/memory.h"

#define MEMORY_CELLS 16
#define MEMORY_COUNTS_SIZE (36 + 4 * MEMORY_CELLS) /* the most that is written */

typedef struct memory_counts {
    float impressions, rewards;
    int64_t time;
    uint32_t shown, earned; /* events of each kind, neither decayed nor weighed */
    uint64_t born;          /* the log's sequence of the impression with which the row began; 0: not known */
    bool capped;            /* it has cells */
    uint16_t era;
    uint16_t reward_cells[MEMORY_CELLS], impression_cells[MEMORY_CELLS];
} memory_counts;

/* False for bytes that are no row. Counts that are no numbers, below 0 or above a billion are read as 0. */
bool memory_counts_read(slice bytes, memory_counts *out);
size_t memory_counts_write(const memory_counts *c, uint8_t out[MEMORY_COUNTS_SIZE]);

/* What is left at `now` of a count of `then`; 1 when time went backwards or `half_life` is 0 (no decay). Any times, in
 * microseconds. */
float memory_decay(int64_t then, int64_t now, int64_t half_life);
/* Moves the counts to `now`; a clock that jumped back changes nothing. */
void memory_counts_age(memory_counts *c, int64_t now, int64_t half_life);

/* Gives it cells, if it has none: rows of the first format, and new ones. */
void memory_counts_cap(memory_counts *c, int64_t half_life);
/* How much of `amount` may still be added for the person whose hash is `who`; adds it to that cell. */
float memory_cells_take(uint16_t cells[MEMORY_CELLS], uint64_t who, float amount);

#endif
