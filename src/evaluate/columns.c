#include "evaluate/columns.h"

#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { WHOLE_LIMIT = 1000000, NUMBER_LENGTH = 63 };

line_reader line_reader_of(slice text) {
    if (text.size >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0) text = (slice){text.data + 3, text.size - 3};
    return (line_reader){.rest = text};
}

bool line_next(line_reader *r, slice *line) {
    if (!r->rest.size) return false;
    const char *end = memchr(r->rest.data, '\n', r->rest.size);
    size_t size = end ? (size_t)(end - r->rest.data) : r->rest.size, taken = size + (end != NULL);
    *line = (slice){r->rest.data, size};
    if (size && line->data[size - 1] == '\r') line->size--;
    r->rest = (slice){r->rest.data + taken, r->rest.size - taken};
    r->number++;
    return true;
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

size_t columns_split(slice line, slice *columns, size_t limit) {
    size_t count = 0, at = 0;
    for (;;) {
        while (at < line.size && is_space(line.data[at])) at++;
        if (at == line.size) return count;
        size_t first = at;
        while (at < line.size && !is_space(line.data[at])) at++;
        if (count < limit) columns[count] = (slice){line.data + first, at - first};
        count++;
    }
}

size_t columns_split_tabs(slice line, slice *columns, size_t limit) {
    size_t count = 0, first = 0;
    for (size_t at = 0; at <= line.size; at++) {
        if (at < line.size && line.data[at] != '\t') continue;
        if (count < limit) columns[count] = (slice){line.data + first, at - first};
        count++;
        first = at + 1;
    }
    return count;
}

bool column_whole(slice column, int *out) {
    bool negative = column.size && column.data[0] == '-';
    size_t at = negative || (column.size && column.data[0] == '+');
    int value = 0;
    if (at == column.size) return false;
    for (; at < column.size; at++) {
        if (column.data[at] < '0' || column.data[at] > '9') return false;
        value = value * 10 + (column.data[at] - '0');
        if (value > WHOLE_LIMIT) return false;
    }
    *out = negative ? -value : value;
    return true;
}

static locale_t c_locale;

static void make_locale(void) { c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

bool column_number(slice column, double *out) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char text[NUMBER_LENGTH + 1], *end;
    if (!column.size || column.size > NUMBER_LENGTH) return false;
    memcpy(text, column.data, column.size);
    text[column.size] = 0;
    if (strspn(text, "0123456789+-.eE") != column.size) return false; /* neither nan nor hexadecimal */
    pthread_once(&once, make_locale);
    double value = strtod_l(text, &end, c_locale);
    if (*end) return false;
    *out = value;
    return true;
}
