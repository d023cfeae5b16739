/* Up to 128 small numbers in few bytes: patched frame of reference (Zukowski et al. 2006; Lemire & Boytsov 2015). Most
 * values fit into some number of bits; the few that do not keep their low bits there and their high bits in a list.
 *
 *     bits b u8, + 64 with exceptions · with exceptions: how many m u8 · high bits h u8 ·
 *     the values' low b bits, ⌈n · b / 8⌉ bytes · m ascending indices u8 · m times h bits, ⌈m · h / 8⌉ bytes
 *
 * 128 values lie in rows of four 32-bit lanes, as the gaps of a full block do (segment_pack.h); fewer are a plain
 * little-endian bit string. b is the one that takes the fewest bytes; values that are all 0 take one. */
#ifndef SPARSE_PACK_VALUES_H
#define SPARSE_PACK_VALUES_H

#include "sparse/fields.h"

#define PACK_VALUES_ROOM 520 /* bytes that n values never exceed */

/* 1 <= n <= SPARSE_BLOCK. Returns the bytes written, at most 1 + 4 · n. */
size_t pack_values(const uint32_t *values, uint32_t n, uint8_t *out);

/* Returns the first byte behind them, NULL when the bytes before `end` are no n values. Reads nothing at or behind `end`.
 * `values` has room for SPARSE_BLOCK + 8. */
const uint8_t *unpack_values(const uint8_t *in, const uint8_t *end, uint32_t n, uint32_t *values);
const uint8_t *skip_values(const uint8_t *in, const uint8_t *end, uint32_t n); /* looks at sizes only */

#endif
