/* CSV (RFC 4180: quoted cells may hold delimiters, line ends and doubled quotes) and TSV (no quoting). */
#include "format/json.h"
#include "format/json_impl.h"
#include "format/records_impl.h"

#include <string.h>

enum { MAX_COLUMNS = 4096 };

typedef enum place { CELL_BEGIN, IN_PLAIN, IN_QUOTES, AFTER_QUOTE } place;

/* The record at the window, found but not yet taken apart. */
typedef struct row_extent {
    size_t size;  /* without its line end */
    size_t whole; /* with it */
} row_extent;

static size_t without_return(const char *text, size_t size) { return size && text[size - 1] == '\r' ? size - 1 : size; }

/* Walks a line up to `end`. False when a closing quote is followed by text. */
static bool walk_line(place *p, const char *text, size_t from, size_t end, char delimiter) {
    for (size_t i = from; i < end; i++) {
        char c = text[i];
        switch (*p) {
        case CELL_BEGIN: *p = c == '"' ? IN_QUOTES : c == delimiter ? CELL_BEGIN : IN_PLAIN; break;
        case IN_PLAIN:
            if (c == delimiter) *p = CELL_BEGIN;
            break;
        case IN_QUOTES:
            if (c == '"') *p = AFTER_QUOTE;
            break;
        case AFTER_QUOTE:
            if (c == '"') *p = IN_QUOTES;
            else if (c == delimiter) *p = CELL_BEGIN;
            else if (c != '\r' || i + 1 != end) return false;
            break;
        }
    }
    return true;
}

/* A broken record costs its first line only: what a wrong quote seemed to swallow is read again. */
static forage_status broken(records_reader *r, uint64_t line, const char *what, bool *recoverable, base_error *error) {
    forage_status status = window_skip_line(r, error);
    if (status) return status;
    *recoverable = true;
    return error_set(error, FORAGE_E_INVALID, "line %llu: %s", (unsigned long long)line, what);
}

/* Finds where the record ends: at the first line end that is not inside quotes. */
static forage_status find_row(records_reader *r, uint64_t line, row_extent *out, bool *recoverable, base_error *error) {
    place p = CELL_BEGIN;
    for (size_t from = 0, end = 0;; from = end) {
        bool too_long = false;
        forage_status status = window_line(r, from, &end, &too_long, error);
        if (status) return status;
        if (too_long && p == IN_QUOTES) return broken(r, line, "a quoted cell does not end", recoverable, error);
        if (too_long) {
            status = window_skip_line(r, error);
            return status ? status : record_too_large(r, line, recoverable, error);
        }
        const char *text = window_at(r);
        bool last = end >= window_size(r);
        if (r->format == RECORDS_CSV && (p == IN_QUOTES || memchr(text + from, '"', end - from)) &&
            !walk_line(&p, text, from, end, r->delimiter))
            return broken(r, line, "text follows the closing quote of a cell", recoverable, error);
        if (p != IN_QUOTES) {
            *out = (row_extent){without_return(text, end), last ? end : end + 1};
            return FORAGE_OK;
        }
        if (last) return broken(r, line, "a quoted cell does not end", recoverable, error);
        end++;
    }
}

/* Takes the cell at *at off the row; *at is then at the next one, or beyond the row's end when this was the last. */
static slice take_cell(records_reader *r, const char *text, size_t size, size_t *at) {
    const char *p = text + *at;
    size_t left = size - *at;
    if (r->format == RECORDS_TSV || left == 0 || *p != '"') {
        const char *found = left ? memchr(p, r->delimiter, left) : NULL;
        size_t length = found ? (size_t)(found - p) : left;
        *at += length + 1;
        return (slice){p, length};
    }
    buffer_clear(&r->cell);
    const char *from = p + 1, *end = text + size;
    for (;;) {
        const char *quote = memchr(from, '"', (size_t)(end - from)); /* there is one: the row was walked */
        bool doubled = quote + 1 < end && quote[1] == '"';
        buffer_append(&r->cell, from, (size_t)(quote - from) + doubled);
        from = quote + 1 + doubled;
        if (!doubled) break;
    }
    *at = (size_t)(from - text) + 1;
    return (slice){r->cell.size ? r->cell.data : "", r->cell.size};
}

/* -?(0|[1-9][0-9]*)(\.[0-9]+)?, whole numbers short enough to be exact. An exponent is more often part of a name. */
static bool is_number(slice s) {
    size_t i = s.size && s.data[0] == '-', digits = i;
    while (i < s.size && s.data[i] >= '0' && s.data[i] <= '9') i++;
    if (i == digits || i - digits > 18 || (s.data[digits] == '0' && i - digits > 1)) return false;
    if (i == s.size) return true;
    if (s.data[i++] != '.' || i == s.size || s.size > 40) return false;
    while (i < s.size && s.data[i] >= '0' && s.data[i] <= '9') i++;
    return i == s.size;
}

static bool is_utf8(slice s) {
    const uint8_t *p = (const uint8_t *)s.data, *end = p + s.size;
    while (p < end) {
        if (end - p >= 8 && !(eight_bytes(p) & EACH_BYTE(0x80))) {
            p += 8;
            continue;
        }
        size_t size = *p < 0x80 ? 1 : utf8_sequence(p, end);
        if (!size) return false;
        p += size;
    }
    return true;
}

/* Appends "key":value for a cell that is not empty. */
static void put_member(buffer *out, slice key, slice cell) {
    if (out->size > 1) buffer_putc(out, ',');
    buffer_slice(out, key);
    if (is_number(cell)) {
        buffer_slice(out, cell);
    } else {
        json_writer w = json_writer_of(out);
        json_string(&w, cell);
    }
}

forage_status csv_next(records_reader *r, slice *json, uint64_t *line, bool *recoverable, base_error *error) {
    row_extent row;
    forage_status status = find_row(r, *line, &row, recoverable, error);
    if (status) return status;
    const char *text = window_at(r);
    size_t cells = 0;
    if (!is_utf8((slice){text, row.size})) {
        status = error_set(error, FORAGE_E_INVALID, "line %llu: not valid UTF-8; save the file as UTF-8",
                           (unsigned long long)*line);
        goto done;
    }
    buffer_clear(&r->record);
    buffer_putc(&r->record, '{');
    for (size_t at = 0; at <= row.size; cells++) {
        slice cell = take_cell(r, text, row.size, &at);
        if (cells < r->column_count && cell.size && r->columns[cells].size)
            put_member(&r->record, r->columns[cells], cell);
    }
    buffer_putc(&r->record, '}');
    if (cells > r->column_count)
        status = error_set(error, FORAGE_E_INVALID, "line %llu: %zu cells, but the header has %zu columns",
                           (unsigned long long)*line, cells, r->column_count);
    *json = (slice){r->record.data, r->record.size};
done:
    *recoverable = status != FORAGE_OK;
    window_skip(r, row.whole);
    return status;
}

/* A file without any comma in its header but with semicolons comes from a spreadsheet that separates by them. */
static char delimiter_of(const records_reader *r, slice header) {
    if (r->format == RECORDS_TSV) return '\t';
    return header.size && !memchr(header.data, ',', header.size) && memchr(header.data, ';', header.size) ? ';' : ',';
}

static forage_status check_columns(const records_reader *r, base_error *error) {
    for (size_t i = 0; i < r->column_count; i++)
        for (size_t j = 0; j < i; j++)
            if (r->columns[i].size && slice_equal(r->columns[i], r->columns[j]))
                return error_set(error, FORAGE_E_INVALID, "line %llu: the header has the column %.*s twice",
                                 (unsigned long long)r->line, (int)r->columns[i].size - 1, r->columns[i].data);
    return FORAGE_OK;
}

forage_status csv_read_header(records_reader *r, base_error *error) {
    size_t end = 0;
    bool too_long = false, recoverable = false;
    row_extent row;
    forage_status status = window_line(r, 0, &end, &too_long, error);
    if (status || window_size(r) == 0) return status;
    r->delimiter = delimiter_of(r, (slice){window_at(r), end});
    uint64_t line = r->line;
    status = find_row(r, line, &row, &recoverable, error);
    if (status) return status;
    const char *text = window_at(r);
    if (!is_utf8((slice){text, row.size}))
        return error_set(error, FORAGE_E_INVALID, "line %llu: the header is not valid UTF-8; save the file as UTF-8",
                         (unsigned long long)line);
    if (memchr(text, 0, row.size))
        return error_set(error, FORAGE_E_INVALID, "line %llu: the header contains a NUL character",
                         (unsigned long long)line);
    size_t capacity = 1;
    for (size_t i = 0; i < row.size; i++) capacity += text[i] == r->delimiter;
    if (capacity > MAX_COLUMNS)
        return error_set(error, FORAGE_E_TOO_LARGE, "line %llu: the header has more than %d columns",
                         (unsigned long long)line, MAX_COLUMNS);
    r->columns = arena_alloc(&r->names, capacity * sizeof *r->columns);
    for (size_t at = 0; at <= row.size;) {
        slice name = take_cell(r, text, row.size, &at);
        slice *column = &r->columns[r->column_count++];
        *column = (slice){0};
        if (name.size == 0) continue;
        buffer_clear(&r->record);
        json_writer w = json_writer_of(&r->record);
        json_key_slice(&w, name);
        *column = arena_slice(&r->names, (slice){r->record.data, r->record.size});
    }
    status = check_columns(r, error);
    window_skip(r, row.whole);
    return status;
}
