/* Hostile page tokens. The input goes in as it is, and, since hardly any mutation has the right checksum, also as the bytes
 * of a token, with a checksum put behind them and written as text. What is read must be written and read again as the same. */
#include "base/bytes.h"
#include "base/hash.h"
#include "rank/page_token.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KEY = 7 };

static void require(bool holds) {
    if (!holds) abort();
}

static void put_text(buffer *out, const buffer *bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0, have = 0;
    for (size_t i = 0; i < bytes->size; i++) {
        bits = bits << 8 | (uint8_t)bytes->data[i];
        for (have += 8; have >= 6;) buffer_putc(out, digits[bits >> (have -= 6) & 63]);
    }
    if (have) buffer_putc(out, digits[bits << (6 - have) & 63]);
}

static void try_text(slice text) {
    arena memory;
    page_token token, again;
    base_error error;
    buffer out = {0};
    arena_init(&memory, 0);
    forage_status status = page_token_decode(text, KEY, &memory, &token, &error);
    require(status == FORAGE_OK || (status == FORAGE_E_INVALID && strstr(error.message, "page token")));
    if (status == FORAGE_OK) {
        require(token.n_documents <= PAGE_TOKEN_DOCUMENTS);
        require(page_token_encode(&token, KEY, &out, NULL) == FORAGE_OK && out.size <= PAGE_TOKEN_TEXT);
        require(page_token_decode((slice){out.data, out.size}, KEY, &memory, &again, NULL) == FORAGE_OK);
        require(token.generation == again.generation && token.sequence == again.sequence && token.seed == again.seed &&
                token.model == again.model && token.request == again.request && token.total == again.total &&
                token.offset == again.offset && token.n_documents == again.n_documents);
        for (uint32_t i = 0; i < token.n_documents; i++) require(token.documents[i] == again.documents[i]);
    }
    buffer_release(&out);
    arena_release(&memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    buffer bytes = {0}, text = {0};
    try_text((slice){(const char *)data, size});
    buffer_append(&bytes, data, size);
    put_u64(&bytes, hash64(bytes.data, bytes.size, KEY));
    put_text(&text, &bytes);
    try_text((slice){text.data, text.size});
    buffer_release(&bytes);
    buffer_release(&text);
    return 0;
}
