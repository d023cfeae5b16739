#include "cli/eval_input.h"

#include "cli/input.h"
#include "format/json.h"

#include <stdlib.h>
#include <string.h>

#define MAX_COLUMNS 8

void eval_input_init(eval_input *in) {
    memset(in, 0, sizeof *in);
    arena_init(&in->memory, 1 << 20);
}

void eval_input_release(eval_input *in) {
    free(in->queries);
    free(in->judgments.items);
    free(in->run.items);
    arena_release(&in->memory);
}

/* Cuts the next line off `text`, without its line end. False at the end. */
static bool next_line(slice *text, slice *line) {
    if (text->size == 0) return false;
    const char *end = memchr(text->data, '\n', text->size);
    size_t n = end ? (size_t)(end - text->data) : text->size, skip = end ? n + 1 : n;
    *line = (slice){text->data, n};
    while (line->size && line->data[line->size - 1] == '\r') line->size--;
    text->data += skip;
    text->size -= skip;
    return true;
}

/* Columns are parted by tabs where the line has one, else by spaces. */
static size_t split(slice line, slice columns[MAX_COLUMNS]) {
    bool tabs = memchr(line.data, '\t', line.size) != NULL;
    size_t n = 0, at = 0;
    while (at <= line.size && n < MAX_COLUMNS) {
        size_t start = at;
        while (at < line.size && (tabs ? line.data[at] != '\t' : line.data[at] != ' ')) at++;
        if (tabs || at > start) columns[n++] = (slice){line.data + start, at - start};
        at++;
    }
    return n;
}

static bool read_number(slice text, double *out) {
    char copy[64], *end;
    while (text.size && text.data[text.size - 1] == ' ') text.size--;
    if (text.size == 0 || text.size >= sizeof copy) return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    *out = strtod(copy, &end);
    return *end == '\0';
}

/* The whole file, in the input's memory: queries and pairs point into it. */
static int read_text(eval_input *in, const char *path, slice *out) {
    buffer text = {0};
    int status = input_text(path, &text);
    if (!status) *out = arena_slice(&in->memory, (slice){text.data ? text.data : "", text.size});
    buffer_release(&text);
    if (!status && out->size >= 3 && memcmp(out->data, "\xef\xbb\xbf", 3) == 0) out->data += 3, out->size -= 3;
    return status;
}

static bool query_from_json(eval_input *in, slice line, eval_query *out) {
    json_value *object;
    if (json_read(&in->memory, line, &object, NULL)) return false;
    static const char *const id_names[] = {"_id", "id", "query_id"}, *const text_names[] = {"text", "query"};
    const json_value *id = NULL, *text = NULL;
    for (size_t i = 0; i < 3 && !id; i++) id = json_get(object, id_names[i]);
    for (size_t i = 0; i < 2 && !text; i++) text = json_get(object, text_names[i]);
    if (!id || !text || text->type != JSON_STRING) return false;
    *out = (eval_query){.id = id->text, .text = text->text};
    return id->text.size > 0;
}

static bool query_from_columns(slice line, eval_query *out) {
    const char *tab = memchr(line.data, '\t', line.size);
    if (!tab || tab == line.data) return false;
    size_t n = (size_t)(tab - line.data);
    *out = (eval_query){.id = {line.data, n}, .text = {tab + 1, line.size - n - 1}};
    return true;
}

static bool is_title(slice first_column) {
    static const char *const names[] = {"query-id", "query_id", "qid", "id", "_id"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_is(first_column, names[i])) return true;
    return false;
}

int eval_read_queries(eval_input *in, const char *path) {
    slice text, line;
    int status = read_text(in, path, &text);
    for (size_t number = 1; !status && next_line(&text, &line); number++) {
        eval_query query = {0};
        if (line.size == 0) continue;
        bool json = line.data[0] == '{';
        if (!(json ? query_from_json(in, line, &query) : query_from_columns(line, &query))) {
            cli_error("%s, line %zu: expected a query: an id, a tab and the text, or {\"_id\": …, \"text\": …}",
                      path, number);
            return CLI_FAILED;
        }
        if (number == 1 && is_title(query.id)) continue;
        in->queries = mem_grow(in->queries, &in->queries_capacity, in->n_queries + 1, sizeof *in->queries);
        in->queries[in->n_queries++] = query;
    }
    if (!status && in->n_queries == 0) {
        cli_error("%s holds no queries", path);
        status = CLI_FAILED;
    }
    return status;
}

static void add_pair(eval_pairs *pairs, slice query, slice document, double value) {
    pairs->items = mem_grow(pairs->items, &pairs->capacity, pairs->count + 1, sizeof *pairs->items);
    pairs->items[pairs->count++] = (eval_pair){query, document, value};
}

/* Reads pairs from files of `trec_columns` columns, with the number in column `trec_value`, or of three. */
static int read_pairs(eval_input *in, const char *path, size_t trec_columns, size_t trec_value, const char *what,
                      eval_pairs *out) {
    slice text, line, columns[MAX_COLUMNS];
    int status = read_text(in, path, &text);
    for (size_t number = 1; !status && next_line(&text, &line); number++) {
        size_t n = line.size ? split(line, columns) : 0;
        if (n == 0) continue;
        bool trec = n >= trec_columns;
        double value;
        if (n >= 3 && read_number(columns[trec ? trec_value : 2], &value)) {
            add_pair(out, columns[0], columns[trec ? 2 : 1], value);
        } else if (number > 1 || !is_title(columns[0])) {
            cli_error("%s, line %zu: expected %s", path, number, what);
            status = CLI_FAILED;
        }
    }
    if (!status && out->count == 0) {
        cli_error("%s is empty: expected %s", path, what);
        status = CLI_FAILED;
    }
    return status;
}

int eval_read_judgments(eval_input *in, const char *path) {
    return read_pairs(in, path, 4, 3, "a judgment: query, iteration, document, grade (TREC), or query, document, grade",
                      &in->judgments);
}

int eval_read_run(eval_input *in, const char *path) {
    return read_pairs(in, path, 6, 4, "a line of a run: query, Q0, document, rank, score, name (TREC), or query, "
                      "document, score", &in->run);
}

static int by_bytes(const void *a, const void *b) { return slice_compare(*(const slice *)a, *(const slice *)b); }

size_t eval_mark_judged(eval_input *in) {
    size_t n = in->judgments.count, judged = 0;
    slice *ids = mem_zalloc(n + 1, sizeof *ids);
    for (size_t i = 0; i < n; i++) ids[i] = in->judgments.items[i].query;
    qsort(ids, n, sizeof *ids, by_bytes);
    for (size_t i = 0; i < in->n_queries; i++) {
        eval_query *q = &in->queries[i];
        q->judged = bsearch(&q->id, ids, n, sizeof *ids, by_bytes) != NULL;
        judged += q->judged;
    }
    free(ids);
    return judged;
}
