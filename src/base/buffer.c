#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_release(buffer *b) {
    free(b->data);
    *b = (buffer){0};
}

void buffer_clear(buffer *b) { b->size = 0; }

char *buffer_reserve(buffer *b, size_t extra) {
    if (extra > SIZE_MAX / 2 - b->size) abort();
    b->data = mem_grow(b->data, &b->capacity, b->size + extra + 1, 1);
    return b->data + b->size;
}

void buffer_append(buffer *b, const void *data, size_t size) {
    char *at = buffer_reserve(b, size);
    if (size) memcpy(at, data, size);
    b->size += size;
}

void buffer_puts(buffer *b, const char *text) { buffer_append(b, text, strlen(text)); }

void buffer_putc(buffer *b, char c) {
    if (b->size + 1 >= b->capacity) buffer_reserve(b, 1);
    b->data[b->size++] = c;
}

void buffer_slice(buffer *b, slice s) { buffer_append(b, s.data, s.size); }

void buffer_vprintf(buffer *b, const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    char *at = buffer_reserve(b, (size_t)size + 1);
    vsnprintf(at, (size_t)size + 1, format, again);
    va_end(again);
    b->size += (size_t)size;
}

void buffer_printf(buffer *b, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    buffer_vprintf(b, format, arguments);
    va_end(arguments);
}

char *buffer_text(buffer *b) {
    *buffer_reserve(b, 1) = '\0';
    return b->data;
}
