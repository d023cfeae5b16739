#include "text/utf8.h"

#include "text/analyze.h"

#include <string.h>

uint32_t text_decode_slow(const uint8_t *p, size_t left, size_t *length) {
    uint8_t lead = p[0];
    *length = 1;
    if (lead < 0x80) return lead;
    size_t more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC2 || lead > 0xF4) return TEXT_REPLACEMENT;
    /* The second byte's range excludes overlong forms, surrogates and what lies above U+10FFFF. */
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    uint32_t c = lead & (0x3Fu >> more);
    for (size_t i = 1; i <= more; i++) {
        if (i >= left || p[i] < low || p[i] > high) return TEXT_REPLACEMENT;
        c = c << 6 | (p[i] & 0x3F);
        *length = i + 1;
        low = 0x80;
        high = 0xBF;
    }
    return c;
}

size_t text_encode(uint32_t c, char *out) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)((0xF00u >> size & 0xF0) | c);
    return size;
}

size_t text_cut(const char *text, size_t size, size_t limit) {
    if (size <= limit) return size;
    size_t end = limit;
    while (end > 0 && limit - end < 4 && ((uint8_t)text[end] & 0xC0) == 0x80) end--;
    return ((uint8_t)text[end] & 0xC0) == 0x80 || end == 0 ? limit : end;
}

bool text_valid_utf8(slice text, size_t *bad_offset) {
    const uint8_t *p = (const uint8_t *)text.data;
    size_t i = 0;
    while (i < text.size) {
        uint64_t eight;
        if (i + 8 <= text.size && (memcpy(&eight, p + i, 8), (eight & 0x8080808080808080u) == 0)) {
            i += 8;
            continue;
        }
        size_t length;
        /* U+FFFD itself is valid, and the only valid sequence that decodes to it takes 3 bytes. */
        uint32_t c = text_decode(p + i, text.size - i, &length);
        if (c == TEXT_REPLACEMENT && !(length == 3 && p[i] == 0xEF && p[i + 1] == 0xBF && p[i + 2] == 0xBD)) {
            if (bad_offset) *bad_offset = i;
            return false;
        }
        i += length;
    }
    return true;
}
