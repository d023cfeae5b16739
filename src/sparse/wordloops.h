/* Loops over the words of bitmaps: bit i % 64 of word i / 64. Plain C that compilers turn into vector instructions. */
#ifndef SPARSE_WORDLOOPS_H
#define SPARSE_WORDLOOPS_H

#include <stddef.h>
#include <stdint.h>

static inline void words_and(uint64_t *restrict to, const uint64_t *restrict from, size_t n) {
    for (size_t i = 0; i < n; i++) to[i] &= from[i];
}

static inline void words_or(uint64_t *restrict to, const uint64_t *restrict from, size_t n) {
    for (size_t i = 0; i < n; i++) to[i] |= from[i];
}

static inline void words_and_not(uint64_t *restrict to, const uint64_t *restrict from, size_t n) {
    for (size_t i = 0; i < n; i++) to[i] &= ~from[i];
}

/* Ones of each byte; no multiplication and no table, so that the compiler does several words at once. */
static inline uint64_t word_byte_ones(uint64_t x) {
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    return (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
}

static inline uint32_t word_byte_sum(uint64_t bytes) {
    bytes = (bytes & 0x00ff00ff00ff00ffu) + (bytes >> 8 & 0x00ff00ff00ff00ffu);
    return (uint32_t)(bytes * 0x0001000100010001u >> 48);
}

static inline uint32_t word_ones(uint64_t x) { return word_byte_sum(word_byte_ones(x)); }

static inline uint64_t words_count(const uint64_t *words, size_t n) {
    uint64_t ones = 0;
    size_t i = 0;
    for (size_t whole = n / 16 * 16; i < whole; i += 16) {
        uint64_t bytes = 0; /* 16 words put at most 128 into each */
        for (size_t j = 0; j < 16; j++) bytes += word_byte_ones(words[i + j]);
        ones += word_byte_sum(bytes);
    }
    for (; i < n; i++) ones += word_ones(words[i]);
    return ones;
}

static inline uint64_t words_count_and(const uint64_t *a, const uint64_t *b, size_t n) {
    uint64_t ones = 0;
    size_t i = 0;
    for (size_t whole = n / 16 * 16; i < whole; i += 16) {
        uint64_t bytes = 0;
        for (size_t j = 0; j < 16; j++) bytes += word_byte_ones(a[i + j] & b[i + j]);
        ones += word_byte_sum(bytes);
    }
    for (; i < n; i++) ones += word_ones(a[i] & b[i]);
    return ones;
}

/* Runs of ones that begin in these words, where the bit before the first counts as 0. */
static inline uint32_t words_runs(const uint64_t *words, size_t n) {
    if (n == 0) return 0;
    uint64_t runs = word_ones(words[0] & ~(words[0] << 1));
    size_t i = 1;
    for (size_t whole = 1 + (n - 1) / 16 * 16; i < whole; i += 16) {
        uint64_t bytes = 0;
        for (size_t j = i; j < i + 16; j++) bytes += word_byte_ones(words[j] & ~(words[j] << 1 | words[j - 1] >> 63));
        runs += word_byte_sum(bytes);
    }
    for (; i < n; i++) runs += word_ones(words[i] & ~(words[i] << 1 | words[i - 1] >> 63));
    return (uint32_t)runs;
}

static inline uint64_t bits_from(uint32_t bit) { return UINT64_MAX << (bit & 63); }
static inline uint64_t bits_up_to(uint32_t bit) { return UINT64_MAX >> (63 - (bit & 63)); }

static inline void words_set(uint64_t *words, uint32_t first, uint32_t last) {
    uint32_t from = first >> 6, to = last >> 6;
    if (first > last) return;
    if (from == to) {
        words[from] |= bits_from(first) & bits_up_to(last);
        return;
    }
    words[from] |= bits_from(first);
    for (uint32_t i = from + 1; i < to; i++) words[i] = UINT64_MAX;
    words[to] |= bits_up_to(last);
}

static inline void words_clear(uint64_t *words, uint32_t first, uint32_t last) {
    uint32_t from = first >> 6, to = last >> 6;
    if (first > last) return;
    if (from == to) {
        words[from] &= ~(bits_from(first) & bits_up_to(last));
        return;
    }
    words[from] &= ~bits_from(first);
    for (uint32_t i = from + 1; i < to; i++) words[i] = 0;
    words[to] &= ~bits_up_to(last);
}

static inline uint64_t words_count_range(const uint64_t *words, uint32_t first, uint32_t last) {
    uint32_t from = first >> 6, to = last >> 6;
    if (first > last) return 0;
    if (from >= to) return word_ones(words[from] & bits_from(first) & bits_up_to(last));
    return word_ones(words[from] & bits_from(first)) + words_count(words + from + 1, to - from - 1) +
           word_ones(words[to] & bits_up_to(last));
}

#endif
