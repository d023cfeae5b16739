#include "rank/page_token.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define VERSION 1

/* ---- base64url ---- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void put_base64(buffer *out, const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; i += 3) {
        size_t have = n - i < 3 ? n - i : 3;
        uint32_t group = (uint32_t)bytes[i] << 16;
        if (have > 1) group |= (uint32_t)bytes[i + 1] << 8;
        if (have > 2) group |= bytes[i + 2];
        for (size_t k = 0; k <= have; k++) buffer_putc(out, digits[group >> (18 - 6 * k) & 63]);
    }
}

static int digit_of(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '-') return 62;
    return c == '_' ? 63 : -1;
}

/* bytes: room for 3/4 of the text. One text for one sequence of bytes: the bits that are left over must be 0. */
static forage_status read_base64(slice text, uint8_t *bytes, size_t *size, base_error *error) {
    uint32_t bits = 0;
    size_t n = 0, have = 0;
    for (size_t i = 0; i < text.size; i++) {
        int digit = digit_of(text.data[i]);
        if (digit < 0)
            return error_set(error, FORAGE_E_INVALID, "page token: character %zu is none of a token", i + 1);
        bits = (bits << 6 | (uint32_t)digit) & 0xFFFFFF;
        have += 6;
        if (have < 8) continue;
        have -= 8;
        bytes[n++] = (uint8_t)(bits >> have);
    }
    if (have == 6 || bits & ((1u << have) - 1))
        return error_set(error, FORAGE_E_INVALID, "page token: is cut off or was changed at its end");
    *size = n;
    return FORAGE_OK;
}

/* ---- the bytes ---- */

static uint64_t zigzag(int64_t v) { return (uint64_t)v << 1 ^ (uint64_t)(v >> 63); }

static int64_t unzigzag(uint64_t v) { return (int64_t)(v >> 1) ^ -(int64_t)(v & 1); }

forage_status page_token_encode(const page_token *token, uint64_t key, buffer *out, base_error *error) {
    if (token->n_documents > PAGE_TOKEN_DOCUMENTS)
        return error_set(error, FORAGE_E_INVALID, "page token: holds at most %d documents, got %u", PAGE_TOKEN_DOCUMENTS,
                         token->n_documents);
    buffer bytes = {0};
    const uint64_t head[] = {token->generation, token->sequence, token->seed, token->model, token->request,
                             token->total, token->offset, token->n_documents};
    int64_t before = 0;
    put_u8(&bytes, VERSION);
    for (size_t i = 0; i < sizeof head / sizeof *head; i++) put_varint(&bytes, head[i]);
    for (uint32_t i = 0; i < token->n_documents; i++) {
        put_varint(&bytes, zigzag((int64_t)token->documents[i] - before));
        before = token->documents[i];
    }
    put_u64(&bytes, hash64(bytes.data, bytes.size, key));
    put_base64(out, (const uint8_t *)bytes.data, bytes.size);
    buffer_release(&bytes);
    return FORAGE_OK;
}

static int rising(const void *x, const void *y) {
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

static forage_status read_documents(byte_reader *in, uint32_t n, arena *a, const uint32_t **out, base_error *error) {
    uint32_t *documents = arena_alloc(a, n * sizeof *documents), *sorted = arena_alloc(a, n * sizeof *sorted);
    int64_t number = 0;
    for (uint32_t i = 0; i < n; i++) {
        int64_t step = unzigzag(read_varint(in));
        if (step < -(int64_t)UINT32_MAX || step > (int64_t)UINT32_MAX || number + step < 0 || number + step > UINT32_MAX)
            return error_set(error, FORAGE_E_INVALID, "page token: document %u has no number of a document", i + 1);
        documents[i] = (uint32_t)(number += step);
    }
    if (n) {
        memcpy(sorted, documents, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, rising);
    }
    for (uint32_t i = 1; i < n; i++)
        if (sorted[i] == sorted[i - 1])
            return error_set(error, FORAGE_E_INVALID, "page token: document %u is named twice", sorted[i]);
    *out = documents;
    return FORAGE_OK;
}

static forage_status read_token(slice bytes, arena *a, page_token *out, base_error *error) {
    byte_reader in = byte_reader_of(bytes.data + 1, bytes.size - 9);
    uint64_t head[8];
    for (size_t i = 0; i < 8; i++) head[i] = read_varint(&in);
    if (in.failed) return error_set(error, FORAGE_E_INVALID, "page token: ends within its numbers");
    if (head[6] > UINT32_MAX) return error_set(error, FORAGE_E_INVALID, "page token: offset is too large");
    if (head[7] > PAGE_TOKEN_DOCUMENTS || head[7] > read_left(&in))
        return error_set(error, FORAGE_E_INVALID, "page token: names more documents than it can hold");
    page_token t = {head[0], head[1], head[2], head[3], head[4], head[5], (uint32_t)head[6], (uint32_t)head[7], NULL};
    forage_status status = read_documents(&in, t.n_documents, a, &t.documents, error);
    if (status) return status;
    if (in.failed || read_left(&in))
        return error_set(error, FORAGE_E_INVALID, "page token: does not end where its documents do");
    *out = t;
    return FORAGE_OK;
}

forage_status page_token_decode(slice text, uint64_t key, arena *a, page_token *out, base_error *error) {
    if (text.size > PAGE_TOKEN_TEXT)
        return error_set(error, FORAGE_E_INVALID, "page token: has %zu characters, at most %d are allowed", text.size,
                         PAGE_TOKEN_TEXT);
    uint8_t *bytes = arena_alloc(a, text.size + 1);
    size_t n = 0;
    forage_status status = read_base64(text, bytes, &n, error);
    if (status) return status;
    if (n < 9 + 8) return error_set(error, FORAGE_E_INVALID, "page token: is too short to be one");
    if (bytes[0] != VERSION)
        return error_set(error, FORAGE_E_INVALID, "page token: version %u, expected %d", bytes[0], VERSION);
    if (load_le64(bytes + n - 8) != hash64(bytes, n - 8, key))
        return error_set(error, FORAGE_E_INVALID, "page token: its checksum does not match: it is damaged, or not of this server");
    return read_token((slice){(const char *)bytes, n}, a, out, error);
}
