/* UTF-8, decoded one way everywhere: what is wrong becomes U+FFFD, one per maximal wrong part (Unicode 15, 3.9, D93b). */
#ifndef TEXT_UTF8_H
#define TEXT_UTF8_H

#include "base/memory.h"

#define TEXT_REPLACEMENT 0xFFFDu

/* Decodes the code point at `p` (left > 0) and sets the bytes it took, at least 1. */
uint32_t text_decode_slow(const uint8_t *p, size_t left, size_t *length);

static inline uint32_t text_decode(const uint8_t *p, size_t left, size_t *length) {
    if (p[0] < 0x80) {
        *length = 1;
        return p[0];
    }
    if (p[0] >= 0xC2 && p[0] < 0xE0 && left > 1 && (p[1] & 0xC0) == 0x80) {
        *length = 2;
        return (uint32_t)(p[0] & 0x1F) << 6 | (p[1] & 0x3F);
    }
    return text_decode_slow(p, left, length);
}

/* Writes the UTF-8 of a valid code point (1 to 4 bytes); returns how many. */
size_t text_encode(uint32_t c, char *out);

/* The longest prefix of `size` or fewer bytes that does not end inside a character. */
size_t text_cut(const char *text, size_t size, size_t limit);

static inline bool text_is_space(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

#endif
