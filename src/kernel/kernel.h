/* The inner loops of the sparse engine, once for every instruction set.
 *
 * kernels() gives a table of functions, chosen once for the processor at hand; ask for it once per search and call through
 * it. Every table gives the same answers to the bit: `scalar` is plain C and the oracle that the others are tested against.
 *
 *   const kernel_table *k = kernels();
 *   k->unpack_gaps(block, bits, base, places);
 *   k->add_impacts(sums, mask, places, impacts, KERNEL_BLOCK, units);
 *   n = k->collect_sums(sums, window, least, live, offsets, found);
 *
 * Arithmetic is modulo 2^32 throughout. Arrays need no alignment beyond that of their elements. Inputs are read within the
 * bounds stated and no further; outputs may be written up to the room stated, which goes beyond what is returned, because
 * whole vectors are stored. Inputs and outputs do not overlap, save where a function says "in place". Preconditions are the
 * caller's to keep: nothing is checked here. n may be 0 except where a range is given.
 *
 * Threads: everything may be called from any thread; the functions keep no state.
 */
#ifndef KERNEL_KERNEL_H
#define KERNEL_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#define KERNEL_BLOCK 128

typedef struct kernel_table {
    const char *name; /* "scalar", "avx2", "avx512", "neon" */

    /* -- blocks of postings ------------------------------------------------------------------------------------------ */

    /* A block of KERNEL_BLOCK values of `bits` (0 … 32) bits, in 32 rows of four 32-bit lanes: value 4j + i is in lane i,
     * at bits j × bits … of that lane's string of little-endian words. Reads exactly 16 × bits bytes. */
    void (*unpack)(const uint8_t *in, unsigned bits, uint32_t values[KERNEL_BLOCK]);

    /* The same, where the values are gaps: places[i] = base + i + gaps[0] + … + gaps[i]. */
    void (*unpack_gaps)(const uint8_t *in, unsigned bits, uint32_t base, uint32_t places[KERNEL_BLOCK]);

    /* Gaps become places, in place, for any n: values[i] = base + i + values[0] + … + values[i]. */
    void (*sum_gaps)(uint32_t *values, uint32_t n, uint32_t base);

    /* -- scoring ----------------------------------------------------------------------------------------------------- */

    /* sums[places[i] & mask] += units × impacts[i] + 1. The places of one call are distinct; mask is 2^k − 1. */
    void (*add_impacts)(uint32_t *sums, uint32_t mask, const uint32_t *places, const uint8_t *impacts, uint32_t n,
                        uint32_t units);

    /* Empties a window: of sums[0 … n), each below 2^31, those >= least (>= 1) whose bit in `bits` is set (NULL: all are),
     * ascending by offset. n is a multiple of 64, `bits` has n / 64 words. Clears all of sums[0 … n). `offsets` and
     * `out_sums` have room for n + 16. Returns how many. */
    uint32_t (*collect_sums)(uint32_t *sums, uint32_t n, uint32_t least, const uint64_t *bits, uint32_t *offsets,
                             uint32_t *out_sums);

    /* The postings with impact >= least, in order: places[i] − base and units × impacts[i] + 1. Both outputs have room
     * for n + 16. Returns how many. */
    uint32_t (*collect_impacts)(const uint32_t *places, const uint8_t *impacts, uint32_t n, uint32_t least,
                                uint32_t units, uint32_t base, uint32_t *out_places, uint32_t *out_sums);

    /* Keeps, in place and in order, the candidates with sums[i] + added[i] >= need and added[i] >= least_added; their sums
     * become sums[i] + added[i]. Behind those kept both arrays hold anything. Returns how many. */
    uint32_t (*keep)(uint32_t *candidates, uint32_t *sums, const uint32_t *added, uint32_t n, uint32_t need,
                     uint32_t least_added);

    /* maxima[g] becomes the largest of values[64 g … 64 g + 63]. n is a multiple of 64. */
    void (*max_groups)(const uint32_t *values, uint32_t n, uint32_t *maxima);

    /* The indices, ascending, of the values >= least. n is a multiple of 64; room for n + 16. Returns how many. */
    uint32_t (*list_at_least)(const uint32_t *values, uint32_t n, uint32_t least, uint32_t *out);

    /* bounds[i] += units × maxima[i] + (maxima[i] != 0) */
    void (*add_bounds)(uint32_t *bounds, const uint8_t *maxima, uint32_t n, uint32_t units);

    /* The largest of n values; 0 when n is 0. */
    uint8_t (*max_u8)(const uint8_t *values, uint32_t n);

    /* -- ascending lists --------------------------------------------------------------------------------------------- */

    /* What two ascending lists without repeats have in common, as positions in a and in b. Both outputs have room for
     * min(na, nb) + 16. Time: na + nb, or the shorter one × log of the ratio where one is 16 times longer. Returns how
     * many. */
    uint32_t (*intersect)(const uint32_t *a, uint32_t na, const uint32_t *b, uint32_t nb, uint32_t *at_a,
                          uint32_t *at_b);

    /* Position of the first of n (1 … KERNEL_BLOCK) ascending values that is >= value; n when none is. `values` is
     * readable up to n rounded up to a multiple of 8; what stands there at and after n may be anything. */
    uint32_t (*first_from)(const uint32_t *values, uint32_t n, uint32_t value);

    /* -- bit sets of n 64-bit words; member p is bit p % 64 of word p / 64 --------------------------------------------- */

    uint64_t (*count_ones)(const uint64_t *words, size_t n);
    void (*and_words)(uint64_t *a, const uint64_t *b, size_t n);     /* a &= b */
    void (*or_words)(uint64_t *a, const uint64_t *b, size_t n);      /* a |= b */
    void (*and_not_words)(uint64_t *a, const uint64_t *b, size_t n); /* a &= ~b */

    /* The members, ascending, plus base. `out` has room for all of them + 16. Returns how many. */
    uint32_t (*list_ones)(const uint64_t *words, size_t n, uint32_t base, uint32_t *out);

    /* Bit i of `bits` becomes low <= numbers[i] <= high; a NaN is not between anything. n is a multiple of 64. */
    void (*between)(const double *numbers, size_t n, double low, double high, uint64_t *bits);
} kernel_table;

/* The best table for this processor. FORAGE_KERNEL=scalar|avx2|avx512|neon in the environment overrides that; a name that
 * this processor cannot run is ignored, with a line in the log. The environment is read at the first call. Cost: one
 * atomic load. */
const kernel_table *kernels(void);

/* The table of that name; NULL when it was not built, or this processor (or its system) does not support it. */
const kernel_table *kernels_named(const char *name);

#endif
