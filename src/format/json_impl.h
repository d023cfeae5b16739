/* UTF-8, as strictly as the standard: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef FORMAT_JSON_IMPL_H
#define FORMAT_JSON_IMPL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Length of the valid multi-byte sequence at p (p < end, *p >= 0x80), 0 when it is not valid. */
static inline size_t utf8_sequence(const uint8_t *p, const uint8_t *end) {
    size_t left = (size_t)(end - p);
    uint8_t c = p[0];
    if (c < 0xC2 || c > 0xF4 || left < 2 || (p[1] & 0xC0) != 0x80) return 0;
    if (c < 0xE0) return 2;
    if (left < 3 || (p[2] & 0xC0) != 0x80) return 0;
    if (c < 0xF0) return (c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] >= 0xA0) ? 0 : 3;
    if (left < 4 || (p[3] & 0xC0) != 0x80) return 0;
    return (c == 0xF0 && p[1] < 0x90) || (c == 0xF4 && p[1] >= 0x90) ? 0 : 4;
}

/* Eight bytes at a time: the high bit of a byte of the result is set where... (only whether any is set is exact) */
#define EACH_BYTE(value) (0x0101010101010101ull * (value))
static inline uint64_t eight_bytes(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline uint64_t any_equal(uint64_t v, uint8_t byte) { /* ...the byte equals `byte` */
    v ^= EACH_BYTE(byte);
    return (v - EACH_BYTE(1)) & ~v & EACH_BYTE(0x80);
}
static inline uint64_t any_below(uint64_t v, uint8_t limit) { /* ...the byte is less than `limit`, at most 128 */
    return (v - EACH_BYTE(limit)) & ~v & EACH_BYTE(0x80);
}

#endif
