/* Rows are gathered as pairs of index and value, because only the last line tells how many columns there are; then they are laid out
 * in one matrix, whose size is checked before it is made. */
#include "format/svmlight.h"

#include "base/hash.h"
#include "format/inflate.h"
#include "format/json.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define READ_SIZE ((size_t)256 << 10)
#define DEFAULT_FEATURES 100000u
#define DEFAULT_LINE ((size_t)16 << 20)
#define DEFAULT_MATRIX ((size_t)8 << 30)
#define DEFAULT_INFLATED ((uint64_t)64 << 30)
#define MOST_POSITION 1000000u
enum { LONGEST_NUMBER = 300, LONGEST_QUOTE = 40 };

typedef struct reader {
    svmlight_options limits;
    inflater *input;
    buffer window;
    size_t at; /* of the window: where the next line starts */
    bool ended;
    uint64_t line;

    uint32_t *index;
    float *value, *label, *weight;
    uint32_t *position;
    size_t *row_end, *first; /* row_end: pairs up to the end of a row */
    uint64_t *qid;
    size_t n_pairs, n_rows, n_groups;
    size_t index_capacity, value_capacity, row_capacities[4], group_capacities[2];
    uint32_t largest;
    bool weighted, placed;

    uint64_t *seen; /* open addressing: 1 + place in qid; 0: free. A power of two */
    size_t n_seen;
} reader;

/* ---- Numbers --------------------------------------------------------------------------------------------------- */

static locale_t c_locale;
static void make_locale(void) { c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

/* What the quick way cannot say exactly: many digits, large exponents. */
static bool read_slowly(slice text, double *out) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char copy[LONGEST_NUMBER + 1], *end;
    pthread_once(&once, make_locale);
    if (text.size > LONGEST_NUMBER) return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    *out = strtod_l(copy, &end, c_locale);
    return end == copy + text.size;
}

/* A decimal number and nothing else: strtod would also take hexadecimal, "infinity" and "nan(…)". Up to 15 digits and a power of ten
 * up to 22 are exact in doubles, so that one division or multiplication rounds as it should (Clinger 1990). */
static bool read_number(slice text, double *out) {
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const char *c = text.data, *end = c + text.size;
    bool negative = c < end && *c == '-', point = false;
    uint64_t mantissa = 0;
    int digits = 0, significant = 0, scale = 0, exponent = 0, exponent_digits = 0;
    if (c < end && (*c == '-' || *c == '+')) c++;
    for (; c < end && ((*c >= '0' && *c <= '9') || (*c == '.' && !point)); c++) {
        if (*c == '.') {
            point = true;
            continue;
        }
        digits++;
        scale -= point;
        if (mantissa || *c != '0') significant++;
        if (significant <= 18) mantissa = mantissa * 10 + (uint64_t)(*c - '0');
    }
    if (!digits) return false;
    if (c < end && (*c == 'e' || *c == 'E')) {
        bool below = ++c < end && *c == '-';
        if (c < end && (*c == '-' || *c == '+')) c++;
        for (; c < end && *c >= '0' && *c <= '9'; c++, exponent_digits++)
            if (exponent < 100000) exponent = exponent * 10 + (*c - '0');
        if (!exponent_digits) return false;
        if (below) exponent = -exponent;
    }
    if (c != end) return false;
    scale += exponent;
    if (significant > 15 || scale < -22 || scale > 22) return read_slowly(text, out);
    double value = scale < 0 ? (double)mantissa / powers[-scale] : (double)mantissa * powers[scale];
    *out = negative ? -value : value;
    return true;
}

static bool is_nan(slice text) {
    const char *c = text.data;
    return text.size == 3 && (c[0] | 32) == 'n' && (c[1] | 32) == 'a' && (c[2] | 32) == 'n';
}

/* Finite as a float; "nan" is NaN where `missing` may be. */
static bool read_float(slice text, bool missing, float *out) {
    double value;
    if (missing && is_nan(text)) {
        *out = NAN;
        return true;
    }
    if (!read_number(text, &value) || !isfinite((float)value)) return false;
    *out = (float)value;
    return true;
}

static bool read_whole(slice text, uint64_t *out) {
    uint64_t value = 0;
    if (text.size == 0 || text.size > 20) return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, (uint64_t)(text.data[i] - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

/* ---- Lines ----------------------------------------------------------------------------------------------------- */

#define QUOTE(text) (int)((text).size > LONGEST_QUOTE ? LONGEST_QUOTE : (text).size), (text).data

static forage_status refuse(const reader *r, base_error *error, const char *what, slice token) {
    return error_set(error, FORAGE_E_INVALID, "line %llu: %s, got \"%.*s\"", (unsigned long long)r->line, what, QUOTE(token));
}

/* The next run of what is not blank, taken off `rest`; empty at the end. */
static slice next_token(slice *rest) {
    const char *c = rest->data, *end = c + rest->size;
    while (c < end && (*c == ' ' || *c == '\t')) c++;
    const char *start = c;
    while (c < end && *c != ' ' && *c != '\t') c++;
    *rest = (slice){c, (size_t)(end - c)};
    return (slice){start, (size_t)(c - start)};
}

static bool has_prefix(slice token, const char *prefix, slice *rest) {
    size_t size = strlen(prefix);
    if (token.size < size || memcmp(token.data, prefix, size) != 0) return false;
    *rest = (slice){token.data + size, token.size - size};
    return true;
}

/* A comment is anybody's: what is not exactly one of ours in its range says nothing. */
static void read_comment(reader *r, slice comment, float *weight, uint32_t *position) {
    for (slice token; (token = next_token(&comment)).size;) {
        slice text;
        uint64_t whole;
        float value;
        if (has_prefix(token, "weight=", &text) && read_float(text, false, &value) && value >= 0) {
            *weight = value;
            r->weighted = true;
        } else if (has_prefix(token, "position=", &text) && read_whole(text, &whole) && whole >= 1 && whole <= MOST_POSITION) {
            *position = (uint32_t)whole;
            r->placed = true;
        }
    }
}

static forage_status read_pair(reader *r, slice token, uint32_t *before, base_error *error) {
    const char *colon = memchr(token.data, ':', token.size);
    uint64_t index;
    float value;
    if (!colon) return refuse(r, error, "expected index:value", token);
    slice left = {token.data, (size_t)(colon - token.data)}, right = {colon + 1, token.size - left.size - 1};
    if (!read_whole(left, &index)) return refuse(r, error, "expected a feature's index before the colon", token);
    if (index == 0) return refuse(r, error, "features are numbered from 1", token);
    if (index > r->limits.feature_limit)
        return error_set(error, FORAGE_E_TOO_LARGE, "line %llu: feature %llu: at most %u", (unsigned long long)r->line,
                         (unsigned long long)index, r->limits.feature_limit);
    if (index == *before) return refuse(r, error, "a feature comes twice", token);
    if (index < *before) return refuse(r, error, "features must come in increasing order", token);
    if (!read_float(right, true, &value)) return refuse(r, error, "expected a number or nan after the colon", token);
    r->index = mem_grow(r->index, &r->index_capacity, r->n_pairs + 1, sizeof *r->index);
    r->value = mem_grow(r->value, &r->value_capacity, r->n_pairs + 1, sizeof *r->value);
    r->index[r->n_pairs] = (uint32_t)index;
    r->value[r->n_pairs++] = value;
    *before = (uint32_t)index;
    if (*before > r->largest) r->largest = *before;
    return FORAGE_OK;
}

/* The slot of a group's id: where it is, or where it would go. */
static size_t slot_of(const reader *r, uint64_t qid) {
    size_t at = hash64(&qid, sizeof qid, 0) & (r->n_seen - 1);
    while (r->seen[at] && r->qid[r->seen[at] - 1] != qid) at = (at + 1) & (r->n_seen - 1);
    return at;
}

static void grow_seen(reader *r) {
    if (2 * (r->n_groups + 1) <= r->n_seen) return;
    free(r->seen);
    r->n_seen = r->n_seen ? 4 * r->n_seen : 64;
    r->seen = mem_zalloc(r->n_seen, sizeof *r->seen);
    for (size_t g = 0; g < r->n_groups; g++) r->seen[slot_of(r, r->qid[g])] = g + 1;
}

static forage_status enter_group(reader *r, slice token, base_error *error) {
    slice text;
    uint64_t qid;
    if (!has_prefix(token, "qid:", &text)) return refuse(r, error, "expected qid:NUMBER after the label", token);
    if (!read_whole(text, &qid)) return refuse(r, error, "qid: expected a whole number", token);
    if (r->n_groups && r->qid[r->n_groups - 1] == qid) return FORAGE_OK;
    grow_seen(r);
    size_t slot = slot_of(r, qid);
    if (r->seen[slot]) return refuse(r, error, "rows of one qid must stand together, and this one came before", token);
    r->qid = mem_grow(r->qid, &r->group_capacities[0], r->n_groups + 1, sizeof *r->qid);
    r->first = mem_grow(r->first, &r->group_capacities[1], r->n_groups + 2, sizeof *r->first);
    r->qid[r->n_groups] = qid;
    r->first[r->n_groups++] = r->n_rows;
    r->seen[slot] = r->n_groups;
    return FORAGE_OK;
}

static void add_row(reader *r, float label, float weight, uint32_t position) {
    size_t n = r->n_rows++;
    r->label = mem_grow(r->label, &r->row_capacities[0], n + 1, sizeof *r->label);
    r->weight = mem_grow(r->weight, &r->row_capacities[1], n + 1, sizeof *r->weight);
    r->position = mem_grow(r->position, &r->row_capacities[2], n + 1, sizeof *r->position);
    r->row_end = mem_grow(r->row_end, &r->row_capacities[3], n + 1, sizeof *r->row_end);
    r->label[n] = label;
    r->weight[n] = weight;
    r->position[n] = position;
    r->row_end[n] = r->n_pairs;
}

static forage_status read_line(reader *r, slice line, base_error *error) {
    const char *hash = memchr(line.data, '#', line.size);
    slice rest = {line.data, hash ? (size_t)(hash - line.data) : line.size}, token = next_token(&rest);
    float label, weight = 1;
    uint32_t before = 0, position = 0;
    if (!token.size) return FORAGE_OK;
    if (!read_float(token, false, &label)) return refuse(r, error, "expected a label, a finite number", token);
    forage_status status = enter_group(r, next_token(&rest), error);
    while (!status && (token = next_token(&rest)).size) status = read_pair(r, token, &before, error);
    if (status) return status;
    if (hash) read_comment(r, (slice){hash + 1, (size_t)(line.data + line.size - hash) - 1}, &weight, &position);
    add_row(r, label, weight, position);
    return FORAGE_OK;
}

/* ---- The stream ------------------------------------------------------------------------------------------------ */

/* The next line without its end, or *end. The slice is valid until the next call. */
static forage_status next_line(reader *r, slice *line, bool *end, base_error *error) {
    size_t searched = r->at;
    for (;;) {
        const char *data = r->window.data;
        const char *newline = r->window.size > searched ? memchr(data + searched, '\n', r->window.size - searched) : NULL;
        size_t size = newline ? (size_t)(newline - data) - r->at : r->window.size - r->at;
        if (size > r->limits.line_limit)
            return error_set(error, FORAGE_E_TOO_LARGE, "line %llu: longer than %zu bytes", (unsigned long long)r->line + 1,
                             r->limits.line_limit);
        if (newline || (r->ended && size)) {
            r->line++;
            *line = (slice){data + r->at, size};
            r->at += size + (newline != NULL);
            if (line->size && line->data[line->size - 1] == '\r') line->size--;
            return FORAGE_OK;
        }
        if (r->ended) {
            *end = true;
            return FORAGE_OK;
        }
        if (r->at) {
            r->window.size -= r->at;
            memmove(r->window.data, r->window.data + r->at, r->window.size);
            r->at = 0;
        }
        searched = r->window.size;
        size_t got = 0;
        forage_status status = inflater_read(r->input, buffer_reserve(&r->window, READ_SIZE), READ_SIZE, &got, error);
        if (status) return status;
        r->window.size += got;
        r->ended = got == 0;
    }
}

static forage_status read_lines(reader *r, base_error *error) {
    for (bool end = false;;) {
        slice line = {0};
        forage_status status = next_line(r, &line, &end, error);
        if (status || end) return status;
        if (r->line == 1 && line.size >= 3 && memcmp(line.data, "\xEF\xBB\xBF", 3) == 0)
            line = (slice){line.data + 3, line.size - 3};
        if (memchr(line.data, '\0', line.size))
            return error_set(error, FORAGE_E_INVALID, "line %llu: a byte 0: this is no text", (unsigned long long)r->line);
        if ((status = read_line(r, line, error))) return status;
    }
}

static forage_status lay_out(reader *r, svmlight_rows *out, base_error *error) {
    uint32_t F = r->largest > r->limits.n_features ? r->largest : r->limits.n_features;
    if (!r->n_rows) return error_set(error, FORAGE_E_INVALID, "line %llu: the file has no rows", (unsigned long long)r->line);
    if (!F) return error_set(error, FORAGE_E_INVALID, "line %llu: no row has a feature", (unsigned long long)r->line);
    if (r->n_rows > r->limits.matrix_limit / sizeof(float) / F)
        return error_set(error, FORAGE_E_TOO_LARGE, "line %llu: %zu rows of %u features are more than %zu MB",
                         (unsigned long long)r->line, r->n_rows, F, r->limits.matrix_limit >> 20);
    size_t cells = r->n_rows * F;
    float *x = mem_zalloc(cells, sizeof *x);
    if (r->limits.absent_is_missing)
        for (size_t i = 0; i < cells; i++) x[i] = NAN;
    for (size_t row = 0, pair = 0; row < r->n_rows; row++)
        for (; pair < r->row_end[row]; pair++) x[row * F + r->index[pair] - 1] = r->value[pair];
    r->first[r->n_groups] = r->n_rows;
    *out = (svmlight_rows){.n_features = F, .n_rows = r->n_rows, .n_groups = r->n_groups, .x = x, .label = r->label,
                           .first = r->first, .qid = r->qid, .weight = r->weighted ? r->weight : NULL,
                           .position = r->placed ? r->position : NULL};
    r->label = NULL;
    r->first = NULL;
    r->qid = NULL;
    if (r->weighted) r->weight = NULL;
    if (r->placed) r->position = NULL;
    return FORAGE_OK;
}

forage_status svmlight_read(records_source source, void *self, const svmlight_options *options, svmlight_rows *out,
                            base_error *error) {
    reader r = {0};
    if (options) r.limits = *options;
    if (!r.limits.feature_limit) r.limits.feature_limit = DEFAULT_FEATURES;
    if (!r.limits.line_limit) r.limits.line_limit = DEFAULT_LINE;
    if (!r.limits.matrix_limit) r.limits.matrix_limit = DEFAULT_MATRIX;
    r.input = inflater_open(source, self, r.limits.inflated_limit ? r.limits.inflated_limit : DEFAULT_INFLATED);
    forage_status status = read_lines(&r, error);
    if (!status) status = lay_out(&r, out, error);
    inflater_close(r.input);
    buffer_release(&r.window);
    free(r.index);
    free(r.value);
    free(r.label);
    free(r.weight);
    free(r.position);
    free(r.row_end);
    free(r.first);
    free(r.qid);
    free(r.seen);
    return status;
}

static forage_status read_slice(void *self, void *data, size_t size, size_t *got, base_error *error) {
    slice *left = self;
    (void)error;
    *got = left->size < size ? left->size : size;
    if (*got) memcpy(data, left->data, *got);
    *left = (slice){left->data + *got, left->size - *got};
    return FORAGE_OK;
}

forage_status svmlight_read_memory(slice bytes, const svmlight_options *options, svmlight_rows *out, base_error *error) {
    return svmlight_read(read_slice, &bytes, options, out, error);
}

void svmlight_release(svmlight_rows *rows) {
    free(rows->x);
    free(rows->label);
    free(rows->first);
    free(rows->qid);
    free(rows->weight);
    free(rows->position);
    memset(rows, 0, sizeof *rows);
}

/* ---- Writing --------------------------------------------------------------------------------------------------- */

/* Six digits where they read back equal, else the shortest that do. */
static void write_float(buffer *out, float value) {
    json_writer w = json_writer_of(out);
    size_t start = out->size;
    double back;
    if (isnan(value)) {
        buffer_puts(out, "nan");
        return;
    }
    json_float(&w, (double)value);
    if (read_number((slice){out->data + start, out->size - start}, &back) && (float)back == value) return;
    out->size = start;
    w = json_writer_of(out);
    json_number(&w, (double)value);
}

/* A comment ends with its line, and a name with a blank. */
static void write_name(buffer *out, const char *name) {
    for (; *name; name++) buffer_putc(out, (unsigned char)*name <= ' ' ? '_' : *name);
}

static void write_row(const svmlight_rows *rows, size_t g, size_t row, buffer *out) {
    const float *x = rows->x + row * rows->n_features;
    write_float(out, rows->label[row]);
    buffer_printf(out, " qid:%llu", (unsigned long long)(rows->qid ? rows->qid[g] : g + 1));
    for (uint32_t f = 0; f < rows->n_features; f++) {
        if (x[f] == 0) continue;
        buffer_printf(out, " %u:", f + 1);
        write_float(out, x[f]);
    }
    if (rows->weight || rows->position) buffer_puts(out, " #");
    if (rows->position && rows->position[row]) buffer_printf(out, " position=%u", rows->position[row]);
    if (rows->weight) {
        buffer_puts(out, " weight=");
        write_float(out, rows->weight[row]);
    }
    buffer_putc(out, '\n');
}

void svmlight_write(const svmlight_rows *rows, const char *const *names, buffer *out) {
    if (names) {
        buffer_putc(out, '#');
        for (uint32_t f = 0; f < rows->n_features; f++) {
            buffer_printf(out, " %u:", f + 1);
            write_name(out, names[f]);
        }
        buffer_putc(out, '\n');
    }
    for (size_t g = 0; g < rows->n_groups; g++)
        for (size_t row = rows->first[g]; row < rows->first[g + 1]; row++) write_row(rows, g, row, out);
}
