#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arena_block {
    arena_block *next;
    size_t size, used;
    _Alignas(16) unsigned char bytes[];
};

void arena_init(arena *a, size_t block_size) {
    a->first = a->current = NULL;
    a->block_size = block_size ? block_size : 64 * 1024;
}

void arena_release(arena *a) {
    for (arena_block *block = a->first; block;) {
        arena_block *next = block->next;
        free(block);
        block = next;
    }
    a->first = a->current = NULL;
}

void arena_reset(arena *a) {
    for (arena_block *block = a->first; block; block = block->next) block->used = 0;
    a->current = a->first;
}

/* Blocks after `current` are empty leftovers of an earlier request: use the first that is large enough. */
static arena_block *next_block(arena *a, size_t size) {
    arena_block *last = a->current;
    for (arena_block *block = last ? last->next : a->first; block; block = block->next) {
        if (block->size >= size) return block;
        last = block;
    }
    size_t capacity = size > a->block_size ? size : a->block_size;
    arena_block *block = mem_alloc(sizeof *block + capacity);
    *block = (arena_block){.next = NULL, .size = capacity};
    if (last) last->next = block;
    else a->first = block;
    return block;
}

void *arena_alloc(arena *a, size_t size) {
    size_t rounded = (size + 15) & ~(size_t)15;
    if (rounded < size) abort();
    arena_block *block = a->current;
    if (!block || block->size - block->used < rounded) {
        block = next_block(a, rounded);
        a->current = block;
    }
    void *p = block->bytes + block->used;
    block->used += rounded;
    return p;
}

void *arena_zalloc(arena *a, size_t count, size_t size) {
    if (size && count > SIZE_MAX / 2 / size) abort();
    void *p = arena_alloc(a, count * size);
    return memset(p, 0, count * size);
}

char *arena_strndup(arena *a, const char *text, size_t size) {
    char *copy = arena_alloc(a, size + 1);
    if (size) memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

slice arena_slice(arena *a, slice s) { return (slice){arena_strndup(a, s.data, s.size), s.size}; }

char *arena_printf(arena *a, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = arena_alloc(a, (size_t)size + 1);
    vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    return text;
}

size_t arena_used(const arena *a) {
    size_t used = 0;
    for (const arena_block *block = a->first; block; block = block->next) used += block->used;
    return used;
}
