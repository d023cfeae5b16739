#include "cli/screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GAP 2
#define NARROWEST 10

struct table {
    const table_column *columns;
    size_t n_columns, n_cells, capacity;
    slice *cells;
    size_t *widths; /* set by the first printing; 0: the column is empty */
    arena memory;
};

table *table_create(const table_column *columns, size_t n) {
    table *t = mem_zalloc(1, sizeof *t);
    t->columns = columns;
    t->n_columns = n;
    arena_init(&t->memory, 0);
    return t;
}

void table_destroy(table *t) {
    if (!t) return;
    free(t->cells);
    free(t->widths);
    arena_release(&t->memory);
    free(t);
}

void table_cell(table *t, slice text) {
    t->cells = mem_grow(t->cells, &t->capacity, t->n_cells + 1, sizeof *t->cells);
    t->cells[t->n_cells++] = arena_slice(&t->memory, text);
}

void table_cell_text(table *t, const char *text) { table_cell(t, slice_of(text)); }

size_t table_rows(const table *t) { return t->n_cells / t->n_columns; }

static void measure(table *t) {
    t->widths = mem_zalloc(t->n_columns, sizeof *t->widths);
    for (size_t i = 0; i < t->n_cells; i++) {
        size_t width = text_width(t->cells[i]), *widest = &t->widths[i % t->n_columns];
        if (width > *widest) *widest = width;
    }
    size_t total = 0;
    for (size_t c = 0; c < t->n_columns; c++) {
        size_t title = text_width(slice_of(t->columns[c].title));
        if (t->widths[c] && t->widths[c] < title) t->widths[c] = title;
        if (t->widths[c]) total += t->widths[c] + GAP;
    }
    size_t screen = screen_width();
    while (screen && total > screen) { /* the widest gives way first */
        size_t *widest = NULL;
        for (size_t c = 0; c < t->n_columns; c++)
            if (t->columns[c].shrinks && t->widths[c] > NARROWEST && (!widest || t->widths[c] > *widest))
                widest = &t->widths[c];
        if (!widest) break;
        --*widest;
        total--;
    }
}

void table_print_row(table *t, long row, const char *prefix) {
    if (!t->widths) measure(t);
    buffer line = {0};
    buffer_puts(&line, prefix);
    for (size_t c = 0; c < t->n_columns; c++) {
        if (t->widths[c] == 0) continue;
        slice text = row < 0 ? slice_of(t->columns[c].title) : t->cells[(size_t)row * t->n_columns + c];
        text_style style = row < 0 ? STYLE_DIM : t->columns[c].style;
        buffer cell = {0};
        size_t width = text_fit(&cell, text, t->widths[c]), padding = t->widths[c] - width;
        if (t->columns[c].right)
            while (padding) buffer_putc(&line, ' '), padding--;
        if (style) buffer_puts(&line, paint(style));
        buffer_append(&line, cell.data, cell.size);
        if (style) buffer_puts(&line, paint(STYLE_NONE));
        for (padding += GAP; padding; padding--) buffer_putc(&line, ' ');
        buffer_release(&cell);
    }
    while (line.size && line.data[line.size - 1] == ' ') line.size--;
    printf("%s\n", buffer_text(&line));
    buffer_release(&line);
}

void table_print(table *t, const char *prefix) {
    for (long row = -1; row < (long)table_rows(t); row++) table_print_row(t, row, prefix);
}
