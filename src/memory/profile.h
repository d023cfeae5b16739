/* Profiles: what one user engaged with, decayed and bounded.
 *
 * A profile holds the documents that the user engaged with and the attribute values of those documents, each with a weight
 * that halves in half_life. What has least weight falls out when the profile is full, so a profile's size does not
 * grow with the user's history. All weights are as of the profile's own `time`: since they age alike, their order is right at
 * any time.
 *
 * One user is one voice. Each engagement has a `voice`: what it may add to what is counted over all people (trends, graph).
 * The same document again adds nothing until the first time is half forgotten, and all engagements of a user together add at
 * most PROFILE_ALLOWANCE (decayed): a user who clicks a million times is heard as loud as a busy one.
 *
 * Bytes in STORE_PROFILES: key: 16-byte hash of the user's (or, without one, the session's; or the search's) id. Value: u8
 * format (2); i64 first, i64 time; f32 spent; u32 events; u8 n, u64 segment × n; u16 n, (u32 document, f32 weight, u8 origin,
 * u32 query) × n;
 * u16 n, (u16 field, string value, f32 weight) × n; weights descending. The id itself is not stored. Format 1, without the
 * queries, is still read. */
#ifndef MEMORY_PROFILE_H
#define MEMORY_PROFILE_H

#include "base/hash.h"
#include "memory/decay.h"
#include "store/store.h"

#define PROFILE_ITEMS 200
#define PROFILE_ATTRIBUTES 200
#define PROFILE_SEGMENTS 4
#define PROFILE_MAX_VALUE 128      /* bytes; longer attribute values make no affinity */
#define PROFILE_ITEM_CAP 8.0f      /* an item's or an attribute's weight */
#define PROFILE_ALLOWANCE 256.0f

/* How a document came into a profile. */
enum { PROFILE_CHOSEN = 1 /* among the hits of a search */, PROFILE_TAUGHT = 2 /* known from elsewhere */ };

typedef struct profile_item {
    uint32_t document;
    float weight;
    uint8_t origin; /* one or both */
    uint32_t query; /* of the last search after which it was chosen: profile_query; 0: none */
} profile_item;

typedef struct profile_attribute {
    uint32_t field; /* of the index */
    slice value;
    float weight;
} profile_attribute;

typedef struct profile {
    int64_t first, time; /* of the first engagement; that the weights are as of. INT64_MIN: none yet */
    float spent;         /* voice that was used */
    uint32_t events;
    uint32_t n_segments, n_items, n_attributes;
    uint64_t segments[PROFILE_SEGMENTS]; /* when last seen with any */
    profile_item items[PROFILE_ITEMS + 1];               /* one more than is kept, while it is changed */
    profile_attribute attributes[PROFILE_ATTRIBUTES + 1]; /* values lie where they came from */
} profile;

/* False, and *out untouched, when neither is known: then there is no profile. */
bool profile_key(slice user, slice session, hash128 *out);
/* Of one search by nobody that is known, for its voice alone. False without a query id. */
bool profile_key_of_search(slice query_id, hash128 *out);

/* A query in a profile: 32 bits of its memory key, never 0. Two that collide are taken for one. */
uint32_t profile_query(const hash128 *memory_key);

void profile_init(profile *p);
/* The stored profile; slices live as long as the transaction, and in a write until the next put. False when there is none or
 * its bytes are damaged: *out is empty then. */
bool profile_read(store_txn *t, const hash128 *key, profile *out);
forage_status profile_write(store_txn *t, const hash128 *key, const profile *p, base_error *error);
forage_status profile_erase(store_txn *t, const hash128 *key, base_error *error); /* absent is success */
void profile_encode(const profile *p, buffer *out);
bool profile_decode(slice bytes, profile *out);

typedef struct profile_engagement {
    uint32_t document;
    float credit;                         /* > 0 */
    uint8_t origin;
    uint32_t query;                       /* 0: none */
    int64_t time, now, half_life;
    const profile_attribute *attributes;  /* of the document; their weights are not looked at */
    size_t n_attributes;
    const uint64_t *segments;
    size_t n_segments;
} profile_engagement;

/* Adds one engagement. Returns its voice, 0 to 1. Values of new attributes point to where the engagement's do. */
float profile_engage(profile *p, const profile_engagement *e);

/* What is left by now of a weight of 1. */
float profile_left(const profile *p, int64_t now, int64_t half_life);

#endif
