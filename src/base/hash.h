/* Hashes (xxHash enters the project in hash.c). Stable across machines and versions: they are stored. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct hash128 {
    uint8_t bytes[16];
} hash128;

uint64_t hash64(const void *data, size_t size, uint64_t seed);
hash128 hash128_of(const void *data, size_t size);

#endif
