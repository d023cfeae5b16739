#include "evaluate/identifiers.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 64 };

void identifiers_init(identifiers *t) {
    *t = (identifiers){.slots = mem_zalloc(FIRST_SLOTS, sizeof(uint32_t)), .slot_count = FIRST_SLOTS};
    arena_init(&t->text, 0);
}

void identifiers_release(identifiers *t) {
    arena_release(&t->text);
    free(t->names);
    free(t->slots);
    *t = (identifiers){0};
}

/* The slot that holds the name, or the empty one where it belongs. */
static size_t slot_of(const identifiers *t, slice name, uint32_t hash) {
    size_t slot = hash & (t->slot_count - 1);
    for (; t->slots[slot]; slot = (slot + 1) & (t->slot_count - 1)) {
        const identifier *n = &t->names[t->slots[slot] - 1];
        if (n->hash == hash && n->size == name.size && memcmp(n->data, name.data, name.size) == 0) break;
    }
    return slot;
}

static void double_slots(identifiers *t) {
    free(t->slots);
    t->slot_count *= 2;
    t->slots = mem_zalloc(t->slot_count, sizeof *t->slots);
    for (size_t i = 0; i < t->count; i++) {
        size_t slot = t->names[i].hash & (t->slot_count - 1);
        while (t->slots[slot]) slot = (slot + 1) & (t->slot_count - 1);
        t->slots[slot] = (uint32_t)i + 1;
    }
}

uint32_t identifiers_find(const identifiers *t, slice name) {
    return t->slots[slot_of(t, name, (uint32_t)hash64(name.data, name.size, 0))] - 1; /* 0 becomes IDENTIFIER_NONE */
}

uint32_t identifiers_add(identifiers *t, slice name) {
    uint32_t hash = (uint32_t)hash64(name.data, name.size, 0);
    size_t slot = slot_of(t, name, hash);
    if (t->slots[slot]) return t->slots[slot] - 1;
    t->names = mem_grow(t->names, &t->capacity, t->count + 1, sizeof *t->names);
    t->names[t->count] = (identifier){arena_strndup(&t->text, name.data, name.size), (uint32_t)name.size, hash};
    t->slots[slot] = (uint32_t)++t->count;
    if (t->count * 2 > t->slot_count) double_slots(t);
    return (uint32_t)t->count - 1;
}

slice identifiers_name(const identifiers *t, uint32_t number) {
    return (slice){t->names[number].data, t->names[number].size};
}
