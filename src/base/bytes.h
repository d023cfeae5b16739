/* Numbers in bytes: little-endian fields, big-endian keys (so that LMDB sorts them), and bounded reading. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include "base/memory.h"

#include <string.h>

static inline uint16_t load_le16(const void *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t load_le32(const void *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t load_le64(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline void store_le16(void *p, uint16_t v) { memcpy(p, &v, 2); }
static inline void store_le32(void *p, uint32_t v) { memcpy(p, &v, 4); }
static inline void store_le64(void *p, uint64_t v) { memcpy(p, &v, 8); }
static inline uint32_t load_be32(const void *p) { return __builtin_bswap32(load_le32(p)); }
static inline uint64_t load_be64(const void *p) { return __builtin_bswap64(load_le64(p)); }
static inline void store_be32(void *p, uint32_t v) { store_le32(p, __builtin_bswap32(v)); }
static inline void store_be64(void *p, uint64_t v) { store_le64(p, __builtin_bswap64(v)); }
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "Forage runs on little-endian machines");

/* A reader over untrusted bytes: any read past the end sets `failed`, and from then on every read gives zeros, so that
 * a decoder checks once, at its end. */
typedef struct byte_reader {
    const uint8_t *at, *end;
    bool failed;
} byte_reader;

byte_reader byte_reader_of(const void *data, size_t size);
size_t read_left(const byte_reader *r);
uint8_t read_u8(byte_reader *r);
uint16_t read_u16(byte_reader *r);
uint32_t read_u32(byte_reader *r);
uint64_t read_u64(byte_reader *r);
float read_f32(byte_reader *r);
double read_f64(byte_reader *r);
uint64_t read_varint(byte_reader *r); /* LEB128, at most 10 bytes */
slice read_bytes(byte_reader *r, size_t size);
slice read_string(byte_reader *r); /* varint length, then the bytes */

void put_u8(buffer *b, uint8_t v);
void put_u16(buffer *b, uint16_t v);
void put_u32(buffer *b, uint32_t v);
void put_u64(buffer *b, uint64_t v);
void put_f32(buffer *b, float v);
void put_f64(buffer *b, double v);
void put_varint(buffer *b, uint64_t v);
void put_string(buffer *b, slice s);

#endif
