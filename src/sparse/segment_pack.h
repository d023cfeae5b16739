/* A block's places as bits. n places ≥ base, ascending, are stored as gaps of `bits` bits: place[i] − place[i−1] − 1,
 * the first from base − 1.
 *
 * A full block (n = SPARSE_BLOCK) is laid out in rows of four gaps, one per 32-bit lane, so that four are unpacked at
 * once by any 128-bit vector unit; a shorter one is a plain little-endian bit string. Both take ⌈n × bits / 8⌉ bytes.
 */
#ifndef SPARSE_SEGMENT_PACK_H
#define SPARSE_SEGMENT_PACK_H

#include "sparse/fields.h"

static inline size_t segment_packed_size(uint32_t n, unsigned bits) { return ((size_t)n * bits + 7) / 8; }

unsigned segment_pack_bits(const uint32_t *places, uint32_t n, uint32_t base); /* 0 … 32 */
void segment_pack(const uint32_t *places, uint32_t n, uint32_t base, unsigned bits, uint8_t *out);

/* Reads up to 8 bytes past the packed ones. `places` has room for SPARSE_BLOCK + 8. */
void segment_unpack(const uint8_t *in, uint32_t n, uint32_t base, unsigned bits, uint32_t *places);

#endif
