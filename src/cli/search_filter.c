#include "cli/search_filter.h"

#include <stdlib.h>
#include <string.h>

typedef struct condition {
    slice field, value;
    const char *bound; /* "gte" …; NULL: equality */
    bool negated;
} condition;

/* Splits at the first operator. */
static bool read_condition(const char *text, condition *out) {
    static const struct {
        const char *sign, *bound;
        bool negated;
    } operators[] = {{"!=", NULL, true}, {">=", "gte", false}, {"<=", "lte", false},
                     {"=", NULL, false}, {">", "gt", false},   {"<", "lt", false}};
    size_t n = strcspn(text, "!=<>");
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        size_t size = strlen(operators[i].sign);
        if (strncmp(text + n, operators[i].sign, size) != 0) continue;
        *out = (condition){{text, n}, slice_of(text + n + size), operators[i].bound, operators[i].negated};
        return n > 0;
    }
    return false;
}

static bool is_number(slice text) {
    char copy[64], *end;
    if (text.size == 0 || text.size >= sizeof copy) return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    if (copy[strspn(copy, "+-.0123456789eE")]) return false; /* no hexadecimal, no infinity */
    strtod(copy, &end);
    return *end == '\0';
}

/* A number goes as a number where the field holds numbers; everything else is text. */
static void write_value(json_writer *w, slice value, slice type) {
    if (slice_is(type, "number") && is_number(value)) {
        char copy[64];
        memcpy(copy, value.data, value.size);
        copy[value.size] = '\0';
        json_number(w, strtod(copy, NULL));
    } else {
        json_string(w, value);
    }
}

static void write_equality(json_writer *w, slice value, slice type) {
    if (!memchr(value.data, ',', value.size)) {
        write_value(w, value, type);
        return;
    }
    json_begin_array(w);
    while (value.size) {
        const char *comma = memchr(value.data, ',', value.size);
        size_t n = comma ? (size_t)(comma - value.data) : value.size;
        write_value(w, (slice){value.data, n}, type);
        size_t skip = comma ? n + 1 : n;
        value.data += skip;
        value.size -= skip;
    }
    json_end_array(w);
}

static void write_condition(json_writer *w, const condition *c, slice type) {
    json_begin_object(w);
    if (c->negated) {
        json_key(w, "not");
        json_begin_object(w);
    }
    json_key_slice(w, c->field);
    if (c->bound) {
        json_begin_object(w);
        json_key(w, c->bound);
        write_value(w, c->value, type);
        json_end_object(w);
    } else {
        write_equality(w, c->value, type);
    }
    if (c->negated) json_end_object(w);
    json_end_object(w);
}

static slice field_type(const json_value *fields, slice field, arena *memory) {
    slice type = {0};
    json_member_string(json_get(fields, arena_strndup(memory, field.data, field.size)), "type", &type, NULL);
    return type;
}

static int write_where(const cli_arguments *a, client *c, arena *memory, const char *collection, json_writer *w) {
    json_value *answer = NULL;
    int status = client_json(c, memory, "GET", collection_target(memory, collection, ""), (slice){0}, &answer, NULL);
    if (status) return status;
    const json_value *fields = json_get(json_get(answer, "schema"), "fields");
    for (size_t i = 0; arg_nth(a, "where", i); i++) {
        const char *text = arg_nth(a, "where", i);
        condition where;
        if (!read_condition(text, &where))
            return cli_usage_error(a->command, "--where \"%s\": expected a condition such as genre=Drama or "
                                   "'year>=2000'", text);
        write_condition(w, &where, field_type(fields, where.field, memory));
    }
    return CLI_OK;
}

int search_filter_write(const cli_arguments *a, client *c, arena *memory, const char *collection, buffer *out) {
    const char *filter = arg_text(a, "filter", NULL);
    if (!filter && !arg_nth(a, "where", 0)) return CLI_OK;
    json_value *parsed;
    base_error error;
    if (filter && json_read(memory, slice_of(filter), &parsed, &error))
        return cli_usage_error(a->command, "--filter: %s", error.message);
    json_writer w = json_writer_of(out);
    json_begin_object(&w);
    json_key(&w, "all");
    json_begin_array(&w);
    if (filter) json_value_write(&w, parsed);
    int status = arg_nth(a, "where", 0) ? write_where(a, c, memory, collection, &w) : CLI_OK;
    json_end_array(&w);
    json_end_object(&w);
    return status;
}
