/* Identifiers: strings numbered 0, 1, 2 … in the order in which they first appear. */
#ifndef EVALUATE_IDENTIFIERS_H
#define EVALUATE_IDENTIFIERS_H

#include "base/memory.h"

#define IDENTIFIER_NONE UINT32_MAX

typedef struct identifier {
    const char *data;
    uint32_t size, hash;
} identifier;

typedef struct identifiers {
    arena text;
    identifier *names;
    uint32_t *slots; /* number + 1, or 0; open addressing */
    size_t count, capacity, slot_count;
} identifiers;

void identifiers_init(identifiers *t);
void identifiers_release(identifiers *t);
uint32_t identifiers_find(const identifiers *t, slice name); /* IDENTIFIER_NONE when absent */
uint32_t identifiers_add(identifiers *t, slice name);        /* its number, old or new; copies the bytes */
slice identifiers_name(const identifiers *t, uint32_t number);

#endif
