/* Text for people: colours on a terminal, columns that line up, numbers that can be read. */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include "base/memory.h"

typedef enum text_style { STYLE_NONE, STYLE_BOLD, STYLE_DIM, STYLE_GREEN, STYLE_CYAN, STYLE_YELLOW } text_style;

/* The escape sequence that starts a style on standard output (STYLE_NONE ends it); "" when it is no terminal or
 * NO_COLOR is set. */
const char *paint(text_style style);
/* Columns of the terminal on standard output; 0 when it is none: lines may be of any length. */
size_t screen_width(void);

/* Appends text that cannot move the cursor or change colours: control characters become spaces. */
void text_clean(buffer *out, slice text);
size_t text_width(slice text); /* columns on a terminal */
/* Appends `text`, cut with "…" when it is wider than `width` columns (0: never). Returns the columns it took. */
size_t text_fit(buffer *out, slice text, size_t width);

const char *text_count(arena *a, uint64_t n);       /* 19,580 */
const char *text_bytes(arena *a, uint64_t n);       /* 4.8 MB */
const char *text_seconds(arena *a, double seconds); /* 3.2 s, 4 min 10 s */
const char *plural(uint64_t n, const char *one, const char *many);

/* A table whose columns are as wide as their widest cell; on a narrow terminal those marked `shrinks` give way. */
typedef struct table_column {
    const char *title;
    bool right;   /* numbers */
    bool shrinks;
    text_style style;
} table_column;

typedef struct table table;
table *table_create(const table_column *columns, size_t n); /* `columns` must outlive it */
void table_destroy(table *t);
void table_cell(table *t, slice text);                      /* row by row, left to right */
void table_cell_text(table *t, const char *text);
/* Prints the row `row`, or the title line for -1. Empty columns are left out. Prefix goes before each line. */
void table_print_row(table *t, long row, const char *prefix);
size_t table_rows(const table *t);
void table_print(table *t, const char *prefix);

#endif
