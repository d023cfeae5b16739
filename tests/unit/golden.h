/* Golden files: lines of fields with " | " between them; # begins a comment line; \xNN is a byte. */
#ifndef GOLDEN_H
#define GOLDEN_H

#include "testing.h"

#include "base/memory.h"

enum { GOLDEN_FIELDS = 8 };

typedef struct golden {
    FILE *file;
    char path[1024], *line;
    size_t capacity, number;     /* of the line, from 1 */
    slice fields[GOLDEN_FIELDS]; /* without spaces around; those that are absent are empty */
} golden;

static inline void golden_open(golden *g, const char *name) {
    const char *source = getenv("FORAGE_SOURCE");
    *g = (golden){0};
    snprintf(g->path, sizeof g->path, "%s%stests/golden/%s", source ? source : "", source ? "/" : "", name);
    g->file = fopen(g->path, "r");
    if (!g->file) fail_msg("cannot open %s", g->path);
}

static inline void golden_close(golden *g) {
    fclose(g->file);
    free(g->line);
}

static inline size_t golden_unescape(char *text, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        if (text[i] == '\\' && i + 3 < size && sscanf(text + i, "\\x%2x", &byte) == 1) {
            text[n++] = (char)byte;
            i += 3;
        } else {
            text[n++] = text[i];
        }
    }
    return n;
}

/* Reads the next line that is neither empty nor a comment. */
static inline bool golden_next(golden *g) {
    ssize_t got;
    do {
        got = getline(&g->line, &g->capacity, g->file);
        if (got < 0) return false;
        g->number++;
        while (got > 0 && (g->line[got - 1] == '\n' || g->line[got - 1] == ' ')) got--;
    } while (got == 0 || g->line[0] == '#');
    memset(g->fields, 0, sizeof g->fields);
    char *at = g->line, *end = g->line + got;
    for (size_t i = 0; i < GOLDEN_FIELDS && at < end; i++) {
        char *bar = at;
        while (bar < end && !(*bar == '|' && bar > g->line && bar[-1] == ' ' && (bar + 1 == end || bar[1] == ' '))) bar++;
        char *from = at, *to = bar;
        while (from < to && *from == ' ') from++;
        while (to > from && to[-1] == ' ') to--;
        g->fields[i] = (slice){from, golden_unescape(from, (size_t)(to - from))};
        at = bar + 1;
    }
    return true;
}

/* Compares, and counts what differs after printing both. */
static inline size_t golden_differs(const golden *g, const char *got, slice expected) {
    slice have = slice_of(got);
    while (have.size && have.data[have.size - 1] == ' ') have.size--;
    if (slice_equal(have, expected)) return 0;
    print_message("%s:%zu:\n  expected %.*s\n  got      %.*s\n", g->path, g->number, (int)expected.size, expected.data,
                  (int)have.size, have.data);
    return 1;
}

#endif
