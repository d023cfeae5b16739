#include "base/bytes.h"

byte_reader byte_reader_of(const void *data, size_t size) {
    const uint8_t *at = data;
    return (byte_reader){at, size ? at + size : at, false};
}

size_t read_left(const byte_reader *r) { return (size_t)(r->end - r->at); }

/* The next `size` bytes, or NULL (and failed). */
static const uint8_t *take(byte_reader *r, size_t size) {
    if (r->failed || size > read_left(r)) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *at = r->at;
    if (size) r->at += size;
    return at;
}

uint8_t read_u8(byte_reader *r) {
    const uint8_t *p = take(r, 1);
    return p ? *p : 0;
}

uint16_t read_u16(byte_reader *r) {
    const uint8_t *p = take(r, 2);
    return p ? load_le16(p) : 0;
}

uint32_t read_u32(byte_reader *r) {
    const uint8_t *p = take(r, 4);
    return p ? load_le32(p) : 0;
}

uint64_t read_u64(byte_reader *r) {
    const uint8_t *p = take(r, 8);
    return p ? load_le64(p) : 0;
}

float read_f32(byte_reader *r) {
    uint32_t bits = read_u32(r);
    float v;
    memcpy(&v, &bits, 4);
    return v;
}

double read_f64(byte_reader *r) {
    uint64_t bits = read_u64(r);
    double v;
    memcpy(&v, &bits, 8);
    return v;
}

uint64_t read_varint(byte_reader *r) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = read_u8(r);
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80)) return r->failed ? 0 : value;
    }
    r->failed = true;
    return 0;
}

slice read_bytes(byte_reader *r, size_t size) {
    const uint8_t *p = take(r, size);
    return p ? (slice){(const char *)p, size} : (slice){NULL, 0};
}

slice read_string(byte_reader *r) {
    uint64_t size = read_varint(r);
    if (size > read_left(r)) {
        r->failed = true;
        return (slice){NULL, 0};
    }
    return read_bytes(r, (size_t)size);
}

void put_u8(buffer *b, uint8_t v) { buffer_append(b, &v, 1); }
void put_u16(buffer *b, uint16_t v) { buffer_append(b, &v, 2); }
void put_u32(buffer *b, uint32_t v) { buffer_append(b, &v, 4); }
void put_u64(buffer *b, uint64_t v) { buffer_append(b, &v, 8); }
void put_f32(buffer *b, float v) { buffer_append(b, &v, 4); }
void put_f64(buffer *b, double v) { buffer_append(b, &v, 8); }

void put_varint(buffer *b, uint64_t v) {
    while (v >= 0x80) {
        put_u8(b, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    put_u8(b, (uint8_t)v);
}

void put_string(buffer *b, slice s) {
    put_varint(b, s.size);
    buffer_slice(b, s);
}
