/* The stream of records: recognising the format, and finding where one JSON value ends without parsing it.
 *
 * NDJSON is read by lines. Pretty-printed objects are accepted there too: an object that is not closed at its line's
 * end goes on with the next line, unless that begins with '{', or the line ends inside a string. Then the record is
 * broken, and ends there, so that one broken line costs one record and not the rest of the file. */
#include "format/records.h"

#include "format/json_impl.h"
#include "format/records_impl.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_LIMIT ((size_t)16 << 20)
enum { READ_SIZE = 64 * 1024 };

/* --- The window --- */

forage_status window_more(records_reader *r, base_error *error) {
    if (r->ended) return FORAGE_OK;
    if (r->at) {
        memmove(r->window.data, window_at(r), window_size(r));
        r->window.size = window_size(r);
        r->at = 0;
    }
    size_t got = 0;
    char *space = buffer_reserve(&r->window, READ_SIZE);
    forage_status status = inflater_read(r->input, space, READ_SIZE, &got, error);
    if (status) return status;
    r->window.size += got;
    r->ended = got == 0;
    return FORAGE_OK;
}

void window_skip(records_reader *r, size_t size) {
    const char *p = window_at(r), *end = p + size;
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
        r->line++;
        p++;
    }
    r->at += size;
}

forage_status window_line(records_reader *r, size_t from, size_t *end, bool *too_long, base_error *error) {
    for (size_t seen = from;;) {
        size_t size = window_size(r);
        const char *found = seen < size ? memchr(window_at(r) + seen, '\n', size - seen) : NULL;
        *end = found ? (size_t)(found - window_at(r)) : size;
        *too_long = *end > r->limit;
        if (found || r->ended || *too_long) return FORAGE_OK;
        seen = size;
        forage_status status = window_more(r, error);
        if (status) return status;
    }
}

forage_status window_skip_line(records_reader *r, base_error *error) {
    for (;;) {
        const char *found = window_size(r) ? memchr(window_at(r), '\n', window_size(r)) : NULL;
        window_skip(r, found ? (size_t)(found - window_at(r)) + 1 : window_size(r));
        if (found || r->ended) return FORAGE_OK;
        forage_status status = window_more(r, error);
        if (status) return status;
    }
}

forage_status record_too_large(const records_reader *r, uint64_t line, bool *recoverable, base_error *error) {
    *recoverable = true;
    return error_set(error, FORAGE_E_TOO_LARGE, "line %llu: the record is larger than %zu bytes",
                     (unsigned long long)line, r->limit);
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* Leaves the window at the first byte that is no space, or empty at the end. */
static forage_status skip_spaces(records_reader *r, base_error *error) {
    for (;;) {
        size_t n = 0, size = window_size(r);
        while (n < size && is_space(window_at(r)[n])) n++;
        window_skip(r, n);
        if (n < size || r->ended) return FORAGE_OK;
        forage_status status = window_more(r, error);
        if (status) return status;
    }
}

/* --- Where a value ends --- */

typedef struct scan {
    size_t at; /* may be one past what was scanned, after a backslash */
    size_t depth;
    bool in_string;
} scan;

/* Goes on to `end`. True when what the first byte opened is closed: `at` is then just behind it. */
static bool scan_value(scan *s, const char *text, size_t end) {
    while (s->at < end) {
        if (s->in_string && end - s->at >= 8) {
            uint64_t v = eight_bytes(text + s->at);
            if (!(any_equal(v, '"') | any_equal(v, '\\'))) {
                s->at += 8;
                continue;
            }
        }
        char c = text[s->at++];
        if (s->in_string) {
            if (c == '\\') s->at++;
            if (c != '"') continue;
            s->in_string = false;
        } else if (c == '"') {
            s->in_string = true;
            continue;
        } else if (c == '{' || c == '[') {
            s->depth++;
            continue;
        } else if (c == '}' || c == ']') {
            if (s->depth) s->depth--;
        } else {
            continue;
        }
        if (s->depth == 0) return true;
    }
    return false;
}

/* --- Lines of JSON, and objects one after the other --- */

static size_t trimmed(const char *text, size_t size) {
    while (size && is_space(text[size - 1])) size--;
    return size;
}

/* Does the object that the window begins with end in this line, which ends at `end`? *size is then the record's. */
static forage_status object_ends(records_reader *r, scan *s, size_t end, bool *ends, size_t *size, base_error *error) {
    const char *text = window_at(r);
    bool by_lines = r->format == RECORDS_NDJSON;
    *size = trimmed(text, end);
    *ends = true;
    if (text[0] != '{') return FORAGE_OK;
    bool last = r->ended && end >= window_size(r), next_known = end + 1 < window_size(r);
    bool next_begins = last || (next_known && text[end + 1] == '{');
    if (by_lines && next_begins && *size && text[*size - 1] == '}') return FORAGE_OK; /* the usual case costs no scan */
    if (scan_value(s, text, end)) {
        if (!by_lines) *size = s->at;
        return FORAGE_OK;
    }
    if (s->in_string) return FORAGE_OK;
    while (!r->ended && window_size(r) <= end + 1) {
        forage_status status = window_more(r, error);
        if (status) return status;
    }
    *ends = window_size(r) <= end + 1 || window_at(r)[end + 1] == '{';
    return FORAGE_OK;
}

/* To the next line that begins an object, or the end: past all the lines of one that is not wanted. */
static forage_status skip_object(records_reader *r, base_error *error) {
    forage_status status;
    do {
        status = window_skip_line(r, error);
        if (!status && window_size(r) == 0) status = window_more(r, error);
    } while (!status && window_size(r) && *window_at(r) != '{');
    return status;
}

static forage_status next_object(records_reader *r, slice *json, uint64_t *line, bool *recoverable,
                                 base_error *error) {
    scan s = {0};
    size_t end = 0, size = 0;
    for (bool ends = false; !ends;) {
        bool too_long = false;
        forage_status status = window_line(r, end, &end, &too_long, error);
        if (!status && too_long) {
            status = skip_object(r, error);
            return status ? status : record_too_large(r, *line, recoverable, error);
        }
        if (!status) status = object_ends(r, &s, end, &ends, &size, error);
        if (status) return status;
        if (!ends) end++;
    }
    *json = (slice){window_at(r), size};
    window_skip(r, r->format == RECORDS_NDJSON && end < window_size(r) ? end + 1 : size);
    return FORAGE_OK;
}

/* --- A JSON array --- */

static forage_status broken(const records_reader *r, const char *what, base_error *error) {
    return error_set(error, FORAGE_E_JSON, "line %llu: %s", (unsigned long long)r->line, what);
}

/* To the element at hand; `*end` when the array is closed and nothing follows. */
static forage_status next_in_array(records_reader *r, bool *end, base_error *error) {
    bool comma = false;
    if (window_size(r) && r->array == ARRAY_AFTER) {
        comma = *window_at(r) == ',';
        if (!comma && *window_at(r) != ']') return broken(r, "expected ',' or ']' after an element", error);
        if (comma) {
            window_skip(r, 1);
            forage_status status = skip_spaces(r, error);
            if (status) return status;
        }
    }
    if (window_size(r) == 0) return broken(r, "the array is not closed: the text was cut short", error);
    if (*window_at(r) == ',' || (comma && *window_at(r) == ']')) return broken(r, "expected an element", error);
    if (*window_at(r) != ']') return FORAGE_OK;
    window_skip(r, 1);
    forage_status status = skip_spaces(r, error);
    if (status) return status;
    if (window_size(r)) return broken(r, "something follows the array", error);
    *end = true;
    return FORAGE_OK;
}

/* A number or a word, up to what ends it; the JSON reader will judge it. */
static bool scan_word(scan *s, const char *text, size_t end) {
    for (; s->at < end; s->at++)
        if (is_space(text[s->at]) || memchr(",]}", text[s->at], 3)) return true;
    return false;
}

static forage_status next_element(records_reader *r, slice *json, uint64_t *line, bool *recoverable,
                                  base_error *error) {
    scan s = {0};
    bool word = !memchr("{[\"", *window_at(r), 3), large = false;
    r->array = ARRAY_AFTER;
    while (word ? !scan_word(&s, window_at(r), window_size(r)) : !scan_value(&s, window_at(r), window_size(r))) {
        if (r->ended) return broken(r, "the array is not closed: the text was cut short", error);
        if (s.at > r->limit || large) { /* to be passed over without keeping it */
            size_t size = window_size(r);
            large = true;
            window_skip(r, size);
            s.at -= size;
        }
        forage_status status = window_more(r, error);
        if (status) return status;
    }
    if (large || s.at > r->limit) {
        window_skip(r, s.at);
        return record_too_large(r, *line, recoverable, error);
    }
    *json = (slice){window_at(r), s.at};
    window_skip(r, s.at);
    return FORAGE_OK;
}

/* --- The reader --- */

static const records_options defaults;

static records_reader *create(const records_options *options) {
    records_reader *r = mem_zalloc(1, sizeof *r);
    r->format = options->format;
    r->limit = options->record_limit ? options->record_limit : DEFAULT_LIMIT;
    r->line = 1;
    arena_init(&r->names, 4096);
    return r;
}

records_reader *records_open(records_source source, void *self, const records_options *options) {
    records_reader *r = create(options ? options : &defaults);
    r->input = inflater_open(source, self, options ? options->inflated_limit : 0);
    return r;
}

static forage_status read_memory(void *self, void *data, size_t size, size_t *got, base_error *error) {
    (void)error;
    records_reader *r = self;
    *got = r->memory.size < size ? r->memory.size : size;
    if (*got == 0) return FORAGE_OK;
    memcpy(data, r->memory.data, *got);
    r->memory.data += *got;
    r->memory.size -= *got;
    return FORAGE_OK;
}

records_reader *records_open_memory(slice bytes, const records_options *options) {
    records_reader *r = create(options ? options : &defaults);
    r->input = inflater_open(read_memory, r, options ? options->inflated_limit : 0);
    r->memory = bytes;
    return r;
}

void records_close(records_reader *r) {
    if (!r) return;
    inflater_close(r->input);
    arena_release(&r->names);
    buffer_release(&r->window);
    buffer_release(&r->record);
    buffer_release(&r->cell);
    free(r);
}

uint64_t records_bytes_read(const records_reader *r) { return inflater_consumed(r->input); }

static forage_status skip_byte_order_mark(records_reader *r, base_error *error) {
    while (!r->ended && window_size(r) < 3) {
        forage_status status = window_more(r, error);
        if (status) return status;
    }
    const char *p = window_at(r);
    size_t size = window_size(r);
    if (size >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0) r->at += 3;
    if (size >= 2 && (memcmp(p, "\xFF\xFE", 2) == 0 || memcmp(p, "\xFE\xFF", 2) == 0))
        return error_set(error, FORAGE_E_INVALID, "line 1: the text is UTF-16; save it as UTF-8");
    return FORAGE_OK;
}

/* By the first line that is not blank. Nothing of it is passed over: in TSV, leading tabs are empty cells. */
static forage_status recognise(records_reader *r, base_error *error) {
    for (;;) {
        size_t end = 0, n = 0;
        bool too_long = false;
        forage_status status = window_line(r, 0, &end, &too_long, error);
        if (status) return status;
        const char *text = window_at(r);
        while (n < end && is_space(text[n])) n++;
        if (n == end && end < window_size(r) && !too_long) {
            window_skip(r, end + 1);
            continue;
        }
        if (n < end && text[n] == '{') r->format = RECORDS_NDJSON;
        else if (n < end && text[n] == '[') r->format = RECORDS_JSON;
        else r->format = end && memchr(text, '\t', end) ? RECORDS_TSV : RECORDS_CSV;
        return FORAGE_OK;
    }
}

static bool is_table(const records_reader *r) { return r->format == RECORDS_CSV || r->format == RECORDS_TSV; }

/* In a table a line may begin with empty cells: only line ends are passed over. */
static forage_status skip_blank_lines(records_reader *r, base_error *error) {
    for (;;) {
        while (window_size(r) && (*window_at(r) == '\n' || *window_at(r) == '\r')) window_skip(r, 1);
        if (window_size(r) || r->ended) return FORAGE_OK;
        forage_status status = window_more(r, error);
        if (status) return status;
    }
}

static forage_status skip_blank(records_reader *r, base_error *error) {
    return is_table(r) ? skip_blank_lines(r, error) : skip_spaces(r, error);
}

static forage_status start(records_reader *r, base_error *error) {
    r->started = true;
    forage_status status = skip_byte_order_mark(r, error);
    if (!status && r->format == RECORDS_AUTO) status = recognise(r, error);
    if (!status) status = skip_blank(r, error);
    if (status) return status;
    if (r->format == RECORDS_JSON && window_size(r) && *window_at(r) == '[') {
        r->array = ARRAY_FIRST;
        window_skip(r, 1);
    }
    return is_table(r) ? csv_read_header(r, error) : FORAGE_OK;
}

/* To the first byte of the next record. */
static forage_status advance(records_reader *r, bool *end, base_error *error) {
    forage_status status = r->started ? FORAGE_OK : start(r, error);
    if (!status) status = skip_blank(r, error);
    if (status) return status;
    if (r->array != ARRAY_NONE) return next_in_array(r, end, error);
    *end = window_size(r) == 0;
    return FORAGE_OK;
}

forage_status records_next(records_reader *r, slice *json, uint64_t *line, bool *end, bool *recoverable,
                           base_error *error) {
    *end = r->over;
    *recoverable = false;
    if (r->over) return FORAGE_OK;
    base_error spare;
    if (!error) error = &spare;
    error->status = FORAGE_OK;
    forage_status status = advance(r, end, error);
    *line = r->line;
    if (!status && !*end) {
        if (is_table(r)) status = csv_next(r, json, line, recoverable, error);
        else if (r->array != ARRAY_NONE) status = next_element(r, json, line, recoverable, error);
        else status = next_object(r, json, line, recoverable, error);
    }
    if (status && strncmp(error->message, "line ", 5) != 0)
        error_prefix(error, "line %llu", (unsigned long long)r->line);
    r->over = *end || (status && !*recoverable);
    return status;
}

forage_status records_format_from_name(slice name, records_format *out) {
    static const struct {
        const char *name;
        records_format format;
    } known[] = {
        {"auto", RECORDS_AUTO}, {"ndjson", RECORDS_NDJSON}, {"jsonl", RECORDS_NDJSON}, {"json", RECORDS_JSON},
        {"csv", RECORDS_CSV}, {"tsv", RECORDS_TSV}, {"application/x-ndjson", RECORDS_NDJSON},
        {"application/ndjson", RECORDS_NDJSON}, {"application/jsonl", RECORDS_NDJSON},
        {"application/x-jsonlines", RECORDS_NDJSON}, {"application/json", RECORDS_JSON}, {"text/json", RECORDS_JSON},
        {"text/csv", RECORDS_CSV}, {"application/csv", RECORDS_CSV}, {"text/tab-separated-values", RECORDS_TSV},
        /* what clients send that do not know */
        {"text/plain", RECORDS_AUTO}, {"application/octet-stream", RECORDS_AUTO}, {"application/gzip", RECORDS_AUTO},
        {"application/x-gzip", RECORDS_AUTO}, {"application/zstd", RECORDS_AUTO},
        {"application/x-www-form-urlencoded", RECORDS_AUTO},
    };
    const char *parameters = name.size ? memchr(name.data, ';', name.size) : NULL;
    if (parameters) name.size = (size_t)(parameters - name.data);
    name.size = trimmed(name.data, name.size);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strlen(known[i].name) == name.size && strncasecmp(known[i].name, name.data, name.size) == 0) {
            *out = known[i].format;
            return FORAGE_OK;
        }
    return FORAGE_E_INVALID;
}
