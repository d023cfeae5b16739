#include "text/scan.h"

#include "text/icu.h"
#include "text/utf8.h"

#include <pthread.h>

/* Classes of the scripts that need no dictionary: ASCII to Hebrew's start and beyond, Greek Extended and Latin
 * Additional, and the punctuation that goes with them. Characters outside are TEXT_COMPLEX. */
enum { LOW_END = 0x600, HIGH_START = 0x1E00, HIGH_END = 0x20D0 };
static uint8_t low[LOW_END], high[HIGH_END - HIGH_START];
static pthread_once_t built = PTHREAD_ONCE_INIT;

static void build(void) {
    for (uint32_t c = 0; c < LOW_END; c++) low[c] = (uint8_t)text_icu_class(c);
    for (uint32_t c = HIGH_START; c < HIGH_END; c++) high[c - HIGH_START] = (uint8_t)text_icu_class(c);
}

void text_scan_init(void) { pthread_once(&built, build); }

static inline unsigned class_of(uint32_t c) {
    if (c < LOW_END) return low[c];
    if (c >= HIGH_START && c < HIGH_END) return high[c - HIGH_START];
    return c == TEXT_REPLACEMENT ? TEXT_OTHER : TEXT_COMPLEX;
}

static inline unsigned class_at(const uint8_t *p, size_t i, size_t n, size_t *length) {
    if (p[i] < 0x80) {
        *length = 1;
        return low[p[i]];
    }
    return class_of(text_decode(p + i, n - i, length));
}

unsigned text_scan_class(slice text, size_t i, size_t *length) {
    uint32_t c = text_decode((const uint8_t *)text.data + i, text.size - i, length);
    unsigned class = class_of(c);
    return class == TEXT_COMPLEX ? text_icu_class(c) : class;
}

/* WB6, WB7, WB11, WB12: whether `mark` joins what stands before and after it. */
static inline bool joins(unsigned before, unsigned mark, unsigned after) {
    if (before != after) return false;
    if (before == TEXT_LETTER) return mark == TEXT_MIDLETTER || mark == TEXT_QUOTE || mark == TEXT_DOT;
    return mark == TEXT_MIDNUM || mark == TEXT_QUOTE || mark == TEXT_DOT;
}

text_scanned text_scan_word(slice text, size_t *start, size_t *end, unsigned *flags) {
    const uint8_t *p = (const uint8_t *)text.data;
    size_t n = text.size, i = *start, length = 1;
    unsigned class = TEXT_OTHER;
    for (; i < n; i += length) {
        class = class_at(p, i, n, &length);
        if (class == TEXT_LETTER || class == TEXT_DIGIT || class == TEXT_COMPLEX) break;
    }
    *start = i;
    if (i >= n) return TEXT_SCAN_END;
    if (class == TEXT_COMPLEX) return TEXT_SCAN_COMPLEX;

    *flags = 0;
    unsigned before = class;
    for (i += length; i < n; i += length) {
        class = class_at(p, i, n, &length);
        if (class == TEXT_LETTER || class == TEXT_DIGIT) { /* WB5, WB8, WB9, WB10 */
            before = class;
            continue;
        }
        if (class == TEXT_OTHER) break;
        if (class == TEXT_COMPLEX) {
            *start = i;
            return TEXT_SCAN_COMPLEX;
        }
        size_t next = i + length, skipped;
        unsigned after = next < n ? class_at(p, next, n, &skipped) : TEXT_OTHER;
        if (after == TEXT_COMPLEX) {
            *start = next;
            return TEXT_SCAN_COMPLEX;
        }
        if (!joins(before, class, after)) break;
        if (class == TEXT_DOT && before == TEXT_LETTER) *flags = TEXT_DOTTED;
    }
    *end = i;
    return TEXT_SCAN_WORD;
}
