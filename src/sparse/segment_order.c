#include "sparse/segment_order.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

typedef struct ranked {
    uint64_t key;
    uint32_t place;
} ranked;

/* By key, equal keys in the order they have: by 11 bits at a time, the lowest first, but for bits in which none differ. Takes
 * the list over and returns it, or another. */
static ranked *sort(ranked *list, uint32_t count) {
    enum { DIGIT = 11, VALUES = 1 << DIGIT };
    uint64_t differing = 0;
    for (uint32_t i = 0; i < count; i++) differing |= list[i].key ^ list[0].key;
    ranked *spare = mem_alloc(count * sizeof *spare);
    for (unsigned shift = 0; shift < 64; shift += DIGIT) {
        if (!(differing >> shift & (VALUES - 1))) continue;
        uint32_t next[VALUES + 1] = {0};
        for (uint32_t i = 0; i < count; i++) next[(list[i].key >> shift) % VALUES + 1]++;
        for (uint32_t v = 0; v < VALUES; v++) next[v + 1] += next[v];
        for (uint32_t i = 0; i < count; i++) spare[next[(list[i].key >> shift) % VALUES]++] = list[i];
        ranked *sorted = spare;
        spare = list;
        list = sorted;
    }
    free(spare);
    return list;
}

static ranked *rank_documents(const uint32_t *documents, uint32_t count) {
    ranked *list = mem_alloc(count * sizeof *list);
    for (uint32_t p = 0; p < count; p++) list[p] = (ranked){documents[p], p};
    return sort(list, count);
}

/* Takes the list over. */
static uint32_t *places_of(ranked *list, uint32_t count) {
    uint32_t *places = mem_alloc(count * sizeof *places);
    for (uint32_t i = 0; i < count; i++) places[i] = list[i].place;
    free(list);
    return places;
}

uint32_t *segment_order_by_document(const uint32_t *documents, uint32_t count) {
    bool ascending = true;
    for (uint32_t p = 1; p < count; p++) ascending = ascending && documents[p - 1] < documents[p];
    return ascending ? NULL : places_of(rank_documents(documents, count), count);
}

/* The bits of a number that is not negative are in the order of the number. */
static uint64_t descending_bits(double number) {
    uint64_t bits;
    double positive = number > 0 ? number : 0; /* none, too */
    memcpy(&bits, &positive, sizeof bits);
    return ~bits;
}

uint32_t *segment_order_by_number(const double *numbers, const uint32_t *documents, uint32_t count) {
    ranked *list = rank_documents(documents, count);
    for (uint32_t i = 0; i < count; i++) list[i].key = descending_bits(numbers[list[i].place]);
    return places_of(sort(list, count), count);
}
