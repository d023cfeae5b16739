#include "text/analyze.h"
#include "text/icu.h"
#include "text/utf8.h"

#include <string.h>

void text_normalize_query(text_analyzer *a, slice query, buffer *out) {
    buffer_clear(out);
    text_tokens found = text_analyze(a, query, TEXT_ANY, 0);
    for (size_t i = 0; i < found.count; i++) {
        if (i) buffer_putc(out, ' ');
        buffer_slice(out, found.tokens[i].folded);
    }
}

static slice trim(slice s) {
    size_t length;
    while (s.size) {
        uint32_t c = text_decode((const uint8_t *)s.data, s.size, &length);
        if (!text_icu_space(c)) break;
        s = (slice){s.data + length, s.size - length};
    }
    while (s.size) {
        size_t last = text_cut(s.data, s.size, s.size - 1);
        uint32_t c = text_decode((const uint8_t *)s.data + last, s.size - last, &length);
        if (!text_icu_space(c) || last + length != s.size) break;
        s.size = last;
    }
    return s;
}

void text_normalize_keyword(text_analyzer *a, slice value, buffer *out) {
    (void)a;
    buffer_clear(out);
    value = trim(value);
    bool ascii = true;
    char *to = buffer_reserve(out, value.size);
    for (size_t i = 0; i < value.size && ascii; i++) {
        uint8_t c = (uint8_t)value.data[i];
        ascii = c < 0x80;
        to[i] = (char)(c + ((uint8_t)(c - 'A') < 26 ? 32 : 0));
    }
    if (ascii) {
        out->size = value.size;
        return;
    }
    text_icu_casefold_long(value, out);
    slice trimmed = trim((slice){out->data, out->size}); /* folding can bring spaces to the ends */
    if (trimmed.size) memmove(out->data, trimmed.data, trimmed.size);
    out->size = trimmed.size;
}
