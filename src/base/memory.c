#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void out_of_memory(size_t size) {
    fprintf(stderr, "forage: out of memory (%zu bytes wanted)\n", size);
    abort();
}

void *mem_alloc(size_t size) {
    void *p = malloc(size ? size : 1);
    if (!p) out_of_memory(size);
    return p;
}

void *mem_zalloc(size_t count, size_t size) {
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (!p) out_of_memory(count);
    return p;
}

void *mem_realloc(void *old, size_t size) {
    void *p = realloc(old, size ? size : 1);
    if (!p) out_of_memory(size);
    return p;
}

char *mem_strdup(const char *text) { return mem_strndup(text, strlen(text)); }

char *mem_strndup(const char *text, size_t size) {
    char *copy = mem_alloc(size + 1);
    if (size) memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

void *mem_grow(void *array, size_t *capacity, size_t need, size_t size) {
    if (need <= *capacity) return array;
    size_t wanted = *capacity ? *capacity : 16;
    while (wanted < need) {
        if (wanted > SIZE_MAX / 2) out_of_memory(need);
        wanted *= 2;
    }
    if (wanted > SIZE_MAX / size) out_of_memory(need);
    *capacity = wanted;
    return mem_realloc(array, wanted * size);
}

slice slice_of(const char *text) { return (slice){text, text ? strlen(text) : 0}; }

bool slice_equal(slice a, slice b) { return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0); }

bool slice_is(slice a, const char *text) { return slice_equal(a, slice_of(text)); }

bool slice_starts(slice a, const char *text) {
    slice start = slice_of(text);
    return a.size >= start.size && memcmp(a.data, start.data, start.size) == 0;
}

int slice_compare(slice a, slice b) {
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.data, b.data, common) : 0;
    if (order) return order;
    return (a.size > b.size) - (a.size < b.size);
}
