/* The writer. What is written is always valid JSON in valid UTF-8, whatever bytes the strings hold. */
#include "format/json.h"
#include "format/json_impl.h"

#include <assert.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_writer json_writer_of(buffer *out) { return (json_writer){.out = out}; }

/* Before each value: a comma unless it is the first, or follows its key. */
static void separate(json_writer *w) {
    uint64_t bit = (uint64_t)1 << w->depth;
    if (w->after_key) w->after_key = false;
    else if (w->started & bit) buffer_putc(w->out, ',');
    w->started |= bit;
}

static void open_level(json_writer *w, char c) {
    separate(w);
    buffer_putc(w->out, c);
    assert(w->depth < 63);
    w->depth++;
    w->started &= ~((uint64_t)1 << w->depth);
}

static void close_level(json_writer *w, char c) {
    assert(w->depth > 0 && !w->after_key);
    w->depth--;
    buffer_putc(w->out, c);
}

void json_begin_object(json_writer *w) { open_level(w, '{'); }
void json_end_object(json_writer *w) { close_level(w, '}'); }
void json_begin_array(json_writer *w) { open_level(w, '['); }
void json_end_array(json_writer *w) { close_level(w, ']'); }

/* Where the bytes that can be copied as they are end. */
static const uint8_t *plain_end(const uint8_t *p, const uint8_t *end) {
    while (p < end) {
        if (end - p >= 8) {
            uint64_t v = eight_bytes(p);
            if (!((v & EACH_BYTE(0x80)) | any_below(v, 0x20) | any_equal(v, '"') | any_equal(v, '\\'))) {
                p += 8;
                continue;
            }
        }
        if (*p >= 0x80) {
            size_t size = utf8_sequence(p, end);
            if (!size) return p;
            p += size;
        } else if (*p < 0x20 || *p == '"' || *p == '\\') {
            return p;
        } else {
            p++;
        }
    }
    return p;
}

static void put_escaped(buffer *out, uint8_t c) {
    switch (c) {
    case '"': buffer_append(out, "\\\"", 2); break;
    case '\\': buffer_append(out, "\\\\", 2); break;
    case '\n': buffer_append(out, "\\n", 2); break;
    case '\r': buffer_append(out, "\\r", 2); break;
    case '\t': buffer_append(out, "\\t", 2); break;
    case '\b': buffer_append(out, "\\b", 2); break;
    case '\f': buffer_append(out, "\\f", 2); break;
    default:
        if (c >= 0x80) {
            buffer_append(out, "\xEF\xBF\xBD", 3);
        } else {
            static const char digits[] = "0123456789abcdef";
            char escape[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
            buffer_append(out, escape, sizeof escape);
        }
    }
}

static void put_quoted(buffer *out, slice text) {
    const uint8_t *p = (const uint8_t *)(text.size ? text.data : ""), *end = p + text.size;
    buffer_reserve(out, text.size + 2);
    buffer_putc(out, '"');
    while (p < end) {
        const uint8_t *stop = plain_end(p, end);
        buffer_append(out, p, (size_t)(stop - p));
        if (stop < end) put_escaped(out, *stop++);
        p = stop;
    }
    buffer_putc(out, '"');
}

void json_key_slice(json_writer *w, slice key) {
    separate(w);
    put_quoted(w->out, key);
    buffer_putc(w->out, ':');
    w->after_key = true;
}

void json_key(json_writer *w, const char *key) { json_key_slice(w, slice_of(key)); }

void json_string(json_writer *w, slice text) {
    separate(w);
    put_quoted(w->out, text);
}

void json_text(json_writer *w, const char *text) {
    if (text) json_string(w, slice_of(text));
    else json_null(w);
}

/* --- Numbers --- */

static locale_t c_locale;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void prepare(void) { c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

static size_t print_integer(char *out, int64_t value) {
    char digits[20];
    size_t n = 0, size = 0;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do digits[n++] = (char)('0' + left % 10);
    while (left /= 10);
    if (value < 0) out[size++] = '-';
    while (n) out[size++] = digits[--n];
    return size;
}

/* Decimals of few digits: an integer below 2^53 over an exact power of ten rounds once, as reading the text does, so
 * when the quotient is the value the text reads back equal. 0 when there is no such text. */
static size_t print_decimal(char *out, double value) {
    static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8};
    double size = fabs(value);
    if (!(size >= 1e-4 && size < 1e8)) return 0;
    for (int places = 1; places <= 8; places++) {
        double scaled = nearbyint(size * powers[places]);
        if (scaled / powers[places] != size) continue;
        size_t n = 0;
        if (value < 0) out[n++] = '-';
        uint64_t digits = (uint64_t)scaled, one = (uint64_t)powers[places], rest = digits % one;
        n += print_integer(out + n, (int64_t)(digits / one));
        out[n++] = '.';
        for (uint64_t unit = (uint64_t)powers[places - 1]; unit; unit /= 10) out[n++] = (char)('0' + rest / unit % 10);
        return n;
    }
    return 0;
}

/* In the C locale, whatever locale the program runs in: elsewhere the decimal point may be a comma. */
static size_t print_precise(char *out, size_t size, double value) {
    pthread_once(&once, prepare);
    locale_t before = uselocale(c_locale);
    int n = 0;
    for (int precision = 15; precision <= 17; precision++) {
        n = snprintf(out, size, "%.*g", precision, value);
        if (strtod(out, NULL) == value) break;
    }
    uselocale(before);
    return (size_t)n;
}

void json_number(json_writer *w, double value) {
    if (!isfinite(value)) {
        json_null(w);
        return;
    }
    char text[40];
    size_t size;
    if (value == nearbyint(value) && fabs(value) < 1e15 && !(value == 0 && signbit(value)))
        size = print_integer(text, (int64_t)value);
    else if (!(size = print_decimal(text, value)))
        size = print_precise(text, sizeof text, value);
    separate(w);
    buffer_append(w->out, text, size);
}

void json_float(json_writer *w, double value) {
    if (!isfinite(value)) {
        json_null(w);
        return;
    }
    pthread_once(&once, prepare);
    char text[40];
    locale_t before = uselocale(c_locale);
    int size = snprintf(text, sizeof text, "%.6g", value);
    uselocale(before);
    separate(w);
    buffer_append(w->out, text, (size_t)size);
}

void json_integer(json_writer *w, int64_t value) {
    char text[24];
    size_t size = print_integer(text, value);
    separate(w);
    buffer_append(w->out, text, size);
}

void json_bool(json_writer *w, bool value) {
    separate(w);
    buffer_puts(w->out, value ? "true" : "false");
}

void json_null(json_writer *w) {
    separate(w);
    buffer_puts(w->out, "null");
}

void json_raw(json_writer *w, slice json) {
    separate(w);
    buffer_slice(w->out, json);
}

/* Recurses by itself: a value may be nested as deep as the reader allows, on top of the writer's own depth. */
static void put_value(buffer *out, const json_value *v) {
    switch (v->type) {
    case JSON_NULL: buffer_puts(out, "null"); break;
    case JSON_BOOL: buffer_puts(out, v->boolean ? "true" : "false"); break;
    case JSON_NUMBER: buffer_slice(out, v->text); break;
    case JSON_STRING: put_quoted(out, v->text); break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        buffer_putc(out, v->type == JSON_ARRAY ? '[' : '{');
        for (const json_value *child = v->first; child; child = child->next) {
            if (child != v->first) buffer_putc(out, ',');
            if (v->type == JSON_OBJECT) {
                put_quoted(out, child->key);
                buffer_putc(out, ':');
            }
            put_value(out, child);
        }
        buffer_putc(out, v->type == JSON_ARRAY ? ']' : '}');
        break;
    }
}

void json_value_write(json_writer *w, const json_value *value) {
    separate(w);
    put_value(w->out, value);
}
