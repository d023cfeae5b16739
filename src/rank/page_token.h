/* Page tokens: the second page belongs to the first.
 *
 * A token freezes a ranking by carrying it: the ordered document numbers, at most PAGE_TOKEN_DOCUMENTS, beside what
 * they were numbers of (generation and sequence of the snapshot), the seed and version they were ranked with, the
 * request's hash and the offset of the next page. What happens between two pages can then neither repeat nor lose a
 * hit. A token without documents says how to rank again.
 *
 * The text is base64url (RFC 4648, section 5) without padding: letters, digits, "-" and "_". Before that, the bytes:
 *     u8 version 1
 *     varints: generation, sequence, seed, model, request, total, offset, number of documents
 *     per document a varint: zigzag of its number less the one before (the first: less 0)
 *     u64 little-endian: hash64 of all bytes before it, with the key as seed
 * The keyed checksum notices damage, tokens of another server and casual forging; it is no cryptographic signature,
 * and a token is no secret: it can be read by whoever holds it, so put nothing in it that its holder may not see,
 * and check the rights of a request as for any other. Pure functions; any thread. */
#ifndef RANK_PAGE_TOKEN_H
#define RANK_PAGE_TOKEN_H

#include "base/memory.h"
#include "base/status.h"

#define PAGE_TOKEN_DOCUMENTS 1000
#define PAGE_TOKEN_TEXT 8192 /* bytes of text, at most; 1,000 documents take at most 6,768 */

typedef struct page_token {
    uint64_t generation, sequence; /* of the snapshot */
    uint64_t seed, model;          /* of the ranking */
    uint64_t request;              /* hash of everything that the pages must agree in */
    uint64_t total;                /* hits of the whole ranking, as the first page said */
    uint32_t offset;               /* where the next page starts */
    uint32_t n_documents;
    const uint32_t *documents;     /* in order; each once */
} page_token;

/* Appends the text. FORAGE_E_INVALID: more than PAGE_TOKEN_DOCUMENTS. */
forage_status page_token_encode(const page_token *token, uint64_t key, buffer *out, base_error *error);

/* *out's documents live in the arena. FORAGE_E_INVALID names what is wrong: too long, a character that is not
 * allowed, another version, a checksum that does not match (damaged, forged, or of another server), a document named
 * twice, bytes left over. At most 8 KiB of scratch from the arena. */
forage_status page_token_decode(slice text, uint64_t key, arena *a, page_token *out, base_error *error);

#endif
