/* Memory: allocation that does not return NULL, arenas, and growable bytes.
 *
 * Sizes are bounded by limits long before an allocation; when the machine is out of memory all the same, these print one
 * line and abort, because a half-applied change would be worse: every acknowledged write is already on disk. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdarg.h>

void *mem_alloc(size_t size);                   /* uninitialised */
void *mem_zalloc(size_t count, size_t size);    /* zeroed; aborts on overflow of count × size */
void *mem_realloc(void *old, size_t size);
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t size); /* copies exactly `size` bytes and adds a NUL */

/* Makes room for at least `need` elements of `size` bytes, doubling `*capacity`. Returns the (moved) array. */
void *mem_grow(void *array, size_t *capacity, size_t need, size_t size);

/* A view of bytes that somebody else owns. Not NUL-terminated unless said so. */
typedef struct slice {
    const char *data;
    size_t size;
} slice;

slice slice_of(const char *text); /* of a NUL-terminated string; NULL gives an empty slice */
bool slice_equal(slice a, slice b);
bool slice_is(slice a, const char *text);
bool slice_starts(slice a, const char *text); /* begins with it */
int slice_compare(slice a, slice b); /* bytewise, shorter first */
#define SLICE(literal) ((slice){(literal), sizeof(literal) - 1})
#define SLICE_ARG(s) (int)((s).size > 200 ? 200 : (s).size), (s).data /* for "%.*s" in messages */

/* An arena hands out memory that is all released at once. arena_reset keeps the blocks for the next request. */
typedef struct arena_block arena_block;
typedef struct arena {
    arena_block *first, *current;
    size_t block_size;
} arena;

void arena_init(arena *a, size_t block_size); /* 0: 64 KiB */
void arena_release(arena *a);
void arena_reset(arena *a);
void *arena_alloc(arena *a, size_t size); /* 16-byte aligned, uninitialised; size 0 is allowed */
void *arena_zalloc(arena *a, size_t count, size_t size);
char *arena_strndup(arena *a, const char *text, size_t size); /* NUL-terminated copy */
slice arena_slice(arena *a, slice s);                         /* NUL-terminated copy */
char *arena_printf(arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
size_t arena_used(const arena *a);

/* Growable bytes. Zero-initialised is empty; `data` is NULL until something is appended. */
typedef struct buffer {
    char *data;
    size_t size, capacity;
} buffer;

void buffer_release(buffer *b); /* frees, and empties for reuse */
void buffer_clear(buffer *b);   /* keeps the memory */
char *buffer_reserve(buffer *b, size_t extra); /* room for `extra` more; returns where they go; does not change size */
void buffer_append(buffer *b, const void *data, size_t size);
void buffer_puts(buffer *b, const char *text);
void buffer_putc(buffer *b, char c);
void buffer_slice(buffer *b, slice s);
void buffer_printf(buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_vprintf(buffer *b, const char *format, va_list arguments);
char *buffer_text(buffer *b); /* NUL-terminates (not counted in size); valid until the next change */

#endif
