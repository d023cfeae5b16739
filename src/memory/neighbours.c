#include "memory/neighbours.h"

#include "text/utf8.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

/* The queries that have one word, or three letters. */
typedef struct list {
    uint32_t hash, next; /* next: in its bucket, or among the free ones */
    size_t count, capacity;
    uint32_t *entries;
} list;

typedef struct lists {
    list *items;
    size_t n, capacity, live;
    size_t longest; /* that any list ever was */
    uint32_t free;
    uint32_t *buckets;
    uint32_t n_buckets; /* a power of 2 */
} lists;

typedef struct entry {
    hash128 key;
    uint32_t next; /* in its bucket, or among the free ones */
    float weight;
    bool used;
    uint8_t n_words, n_grams, n_rows, rows_capacity;
    uint32_t *features; /* numbers of its lists: words, then grams, each sorted */
    neighbours_row *rows;
} entry;

/* What a search needs of every query that it counts, close together. */
typedef struct shape {
    float strength; /* ln(1 + weight): of two that are equally near, the one with more behind it tells more */
    uint8_t n_words, n_grams;
} shape;

struct neighbours {
    pthread_rwlock_t lock;
    size_t most;
    lists words, grams;
    entry *entries;
    shape *shapes; /* by entry */
    size_t n, capacity, shapes_capacity, live;
    uint32_t free;
    uint32_t *buckets;
    uint32_t n_buckets;
    size_t bytes;
    uint64_t draws;
};

/* ---- What a query is made of ---- */

static int by_number(const void *x, const void *y) {
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

static uint32_t sort_once(uint32_t *values, uint32_t n) {
    uint32_t kept = 0;
    if (n) qsort(values, n, sizeof *values, by_number);
    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || values[i] != values[kept - 1]) values[kept++] = values[i];
    return kept;
}

/* Three letters in a row, a space standing before and after the query. */
static uint32_t grams_of(slice text, uint32_t *out) {
    uint32_t window[3] = {' ', ' ', ' '}, n = 0, letters = 0;
    for (size_t i = 0, length; i <= text.size && n < NEIGHBOURS_GRAMS; i += length) {
        length = 1;
        window[0] = window[1];
        window[1] = window[2];
        window[2] = i < text.size ? text_decode((const uint8_t *)text.data + i, text.size - i, &length) : ' ';
        if (++letters > 1) out[n++] = (uint32_t)hash64(window, sizeof window, 0);
    }
    return n;
}

void neighbours_features_of(text_analyzer *analyzer, slice normalized, text_language language,
                            neighbours_features *out) {
    *out = (neighbours_features){0};
    out->n_grams = sort_once(out->grams, grams_of(normalized, out->grams));
    text_tokens found = text_analyze(analyzer, normalized, language, 2 * NEIGHBOURS_WORDS);
    text_token used[2 * NEIGHBOURS_WORDS];
    size_t n = text_query_tokens(found, used);
    for (size_t i = 0; i < n && out->n_words < NEIGHBOURS_WORDS; i++)
        out->words[out->n_words++] = (uint32_t)hash64(used[i].term.data, used[i].term.size, 1);
    out->n_words = sort_once(out->words, out->n_words);
}

/* ---- Lists ---- */

static uint32_t lists_find(const lists *l, uint32_t hash) {
    uint32_t at = l->n_buckets ? l->buckets[hash & (l->n_buckets - 1)] : NONE;
    while (at != NONE && l->items[at].hash != hash) at = l->items[at].next;
    return at;
}

static void lists_rehash(lists *l) {
    free(l->buckets);
    l->n_buckets = l->n_buckets ? l->n_buckets * 2 : 256;
    l->buckets = mem_alloc(l->n_buckets * sizeof *l->buckets);
    memset(l->buckets, 0xff, l->n_buckets * sizeof *l->buckets);
    for (uint32_t i = 0; i < l->n; i++) {
        if (!l->items[i].count) continue; /* free ones are in a chain of their own */
        uint32_t *head = &l->buckets[l->items[i].hash & (l->n_buckets - 1)];
        l->items[i].next = *head;
        *head = i;
    }
}

static uint32_t lists_add(lists *l, uint32_t hash, uint32_t query, size_t *bytes) {
    uint32_t at = lists_find(l, hash);
    if (at == NONE) {
        if (l->live >= l->n_buckets) lists_rehash(l);
        at = l->free;
        if (at != NONE) {
            l->free = l->items[at].next;
        } else {
            l->items = mem_grow(l->items, &l->capacity, l->n + 1, sizeof *l->items);
            at = (uint32_t)l->n++;
        }
        uint32_t *head = &l->buckets[hash & (l->n_buckets - 1)];
        l->items[at] = (list){.hash = hash, .next = *head};
        *head = at;
        l->live++;
        *bytes += sizeof(list);
    }
    list *found = &l->items[at];
    *bytes -= found->capacity * sizeof *found->entries;
    found->entries = mem_grow(found->entries, &found->capacity, found->count + 1, sizeof *found->entries);
    *bytes += found->capacity * sizeof *found->entries;
    found->entries[found->count++] = query;
    if (found->count > l->longest) l->longest = found->count;
    return at;
}

static void lists_remove(lists *l, uint32_t at, uint32_t query, size_t *bytes) {
    list *from = &l->items[at];
    for (size_t i = 0; i < from->count; i++) {
        if (from->entries[i] != query) continue;
        from->entries[i] = from->entries[--from->count];
        break;
    }
    if (from->count) return;
    uint32_t *link = &l->buckets[from->hash & (l->n_buckets - 1)];
    while (*link != at) link = &l->items[*link].next;
    *link = from->next;
    *bytes -= sizeof(list) + from->capacity * sizeof *from->entries;
    free(from->entries);
    *from = (list){.next = l->free};
    l->free = at;
    l->live--;
}

static void lists_release(lists *l) {
    for (size_t i = 0; i < l->n; i++) free(l->items[i].entries);
    free(l->items);
    free(l->buckets);
}

/* ---- Entries ---- */

neighbours *neighbours_create(size_t most) {
    neighbours *n = mem_zalloc(1, sizeof *n);
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&n->lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    n->most = most ? most : 1;
    n->free = n->words.free = n->grams.free = NONE;
    return n;
}

void neighbours_destroy(neighbours *n) {
    if (!n) return;
    for (size_t i = 0; i < n->n; i++) {
        free(n->entries[i].features);
        free(n->entries[i].rows);
    }
    lists_release(&n->words);
    lists_release(&n->grams);
    free(n->entries);
    free(n->shapes);
    free(n->buckets);
    pthread_rwlock_destroy(&n->lock);
    free(n);
}

static uint32_t bucket_of(const neighbours *n, const hash128 *key) {
    uint32_t hash;
    memcpy(&hash, key->bytes, sizeof hash); /* it is a hash already */
    return hash & (n->n_buckets - 1);
}

static uint32_t find(const neighbours *n, const hash128 *key) {
    uint32_t at = n->n_buckets ? n->buckets[bucket_of(n, key)] : NONE;
    while (at != NONE && memcmp(&n->entries[at].key, key, sizeof *key) != 0) at = n->entries[at].next;
    return at;
}

static void rehash(neighbours *n) {
    free(n->buckets);
    n->n_buckets = n->n_buckets ? n->n_buckets * 2 : 256;
    n->buckets = mem_alloc(n->n_buckets * sizeof *n->buckets);
    memset(n->buckets, 0xff, n->n_buckets * sizeof *n->buckets);
    for (uint32_t i = 0; i < n->n; i++) {
        if (!n->entries[i].used) continue;
        uint32_t *head = &n->buckets[bucket_of(n, &n->entries[i].key)];
        n->entries[i].next = *head;
        *head = i;
    }
}

static void drop(neighbours *n, uint32_t at) {
    entry *e = &n->entries[at];
    for (uint32_t i = 0; i < e->n_words; i++) lists_remove(&n->words, e->features[i], at, &n->bytes);
    for (uint32_t i = 0; i < e->n_grams; i++) lists_remove(&n->grams, e->features[e->n_words + i], at, &n->bytes);
    uint32_t *link = &n->buckets[bucket_of(n, &e->key)];
    while (*link != at) link = &n->entries[*link].next;
    *link = e->next;
    n->bytes -= sizeof *e + (size_t)(e->n_words + e->n_grams) * 4 + e->rows_capacity * sizeof *e->rows;
    free(e->features);
    free(e->rows);
    *e = (entry){.next = n->free};
    n->free = at;
    n->live--;
}

#define DRAWN 16 /* for leaving; the least of them goes */

static void make_room(neighbours *n) {
    uint32_t least = NONE;
    for (int i = 0; i < DRAWN; i++) {
        n->draws++;
        uint32_t at = (uint32_t)(hash64(&n->draws, sizeof n->draws, 0) % n->n);
        if (n->entries[at].used && (least == NONE || n->entries[at].weight < n->entries[least].weight)) least = at;
    }
    for (uint32_t at = 0; least == NONE; at++)
        if (n->entries[at].used) least = at;
    drop(n, least);
}

static uint32_t add(neighbours *n, const hash128 *key, const neighbours_features *f) {
    if (n->live >= n->most) make_room(n);
    if (n->live >= n->n_buckets) rehash(n);
    uint32_t at = n->free;
    if (at != NONE) {
        n->free = n->entries[at].next;
    } else {
        n->entries = mem_grow(n->entries, &n->capacity, n->n + 1, sizeof *n->entries);
        n->shapes = mem_grow(n->shapes, &n->shapes_capacity, n->n + 1, sizeof *n->shapes);
        at = (uint32_t)n->n++;
    }
    entry *e = &n->entries[at];
    uint32_t *head = &n->buckets[bucket_of(n, key)];
    *e = (entry){.key = *key, .next = *head, .used = true, .n_words = (uint8_t)f->n_words,
                 .n_grams = (uint8_t)f->n_grams};
    *head = at;
    n->live++;
    e->features = mem_alloc((f->n_words + f->n_grams + 1) * sizeof *e->features);
    for (uint32_t i = 0; i < f->n_words; i++) e->features[i] = lists_add(&n->words, f->words[i], at, &n->bytes);
    for (uint32_t i = 0; i < f->n_grams; i++)
        e->features[f->n_words + i] = lists_add(&n->grams, f->grams[i], at, &n->bytes);
    n->bytes += sizeof *e + (size_t)(f->n_words + f->n_grams) * 4;
    return at;
}

void neighbours_put(neighbours *n, const hash128 *key, const neighbours_features *features, float weight) {
    pthread_rwlock_wrlock(&n->lock);
    uint32_t at = find(n, key);
    if (at == NONE) at = add(n, key, features);
    n->entries[at].weight = weight;
    n->shapes[at] = (shape){log1pf(weight), n->entries[at].n_words, n->entries[at].n_grams};
    pthread_rwlock_unlock(&n->lock);
}

/* The better one of two documents that want a place: more rewards, then the lower number. */
static bool is_less(const neighbours_row *a, const neighbours_row *b) {
    return a->rewards != b->rewards ? a->rewards < b->rewards : a->document > b->document;
}

static void set_row(neighbours *n, entry *e, const neighbours_row *row) {
    uint8_t at = 0, least = 0;
    while (at < e->n_rows && e->rows[at].document != row->document) {
        if (is_less(&e->rows[at], &e->rows[least])) least = at;
        at++;
    }
    if (at == e->n_rows && at == NEIGHBOURS_ROWS) {
        if (is_less(row, &e->rows[least])) return;
        at = least;
    } else if (at == e->n_rows) {
        if (at == e->rows_capacity) {
            uint8_t grown = e->rows_capacity ? (uint8_t)(e->rows_capacity * 2) : 2;
            n->bytes += (size_t)(grown - e->rows_capacity) * sizeof *e->rows;
            e->rows = mem_realloc(e->rows, grown * sizeof *e->rows);
            e->rows_capacity = grown;
        }
        e->n_rows++;
    }
    e->rows[at] = *row;
}

void neighbours_row_set(neighbours *n, const hash128 *key, const neighbours_row *row) {
    pthread_rwlock_wrlock(&n->lock);
    uint32_t at = find(n, key);
    if (at != NONE) set_row(n, &n->entries[at], row);
    pthread_rwlock_unlock(&n->lock);
}

bool neighbours_has(neighbours *n, const hash128 *key) {
    pthread_rwlock_rdlock(&n->lock);
    bool found = find(n, key) != NONE;
    pthread_rwlock_unlock(&n->lock);
    return found;
}

size_t neighbours_count(neighbours *n) {
    pthread_rwlock_rdlock(&n->lock);
    size_t count = n->live;
    pthread_rwlock_unlock(&n->lock);
    return count;
}

size_t neighbours_bytes(neighbours *n) {
    pthread_rwlock_rdlock(&n->lock);
    size_t bytes = n->bytes + (n->n_buckets + n->words.n_buckets + n->grams.n_buckets) * sizeof(uint32_t);
    pthread_rwlock_unlock(&n->lock);
    return bytes;
}

/* ---- Finding ---- */

/* What a neighbour's evidence is worth, at similarity 1 (another query with the same words) and falling with its square.
 * By letters a query must be nearly the same to count at all, and a query that so many people asked is not misspelt. */
#define WORDS_WORTH 0.6f
#define LETTERS_WORTH 0.4f
#define LETTERS_NEAR 0.5f
#define LETTERS_LEAST 0.6f /* what is less similar would be worth next to nothing */
#define LETTERS_POSTINGS 2000000 /* letters that so many queries share tell nothing, and would take milliseconds */
#define WELL_KNOWN 8.0f

typedef struct found {
    uint32_t query;
    float similarity, weight, order;
} found;

/* The best so far, in order; there are few. */
typedef struct best_found {
    found list[NEIGHBOURS_EACH];
    size_t n;
} best_found;

static bool is_before(const neighbours *n, const found *x, const found *y) {
    if (x->order != y->order) return x->order > y->order;
    return memcmp(&n->entries[x->query].key, &n->entries[y->query].key, sizeof(hash128)) < 0;
}

/* Whether a query that is worth `weight` could still be among the best. */
static bool could_enter(const neighbours *n, const best_found *best, uint32_t query, float weight) {
    return best->n < NEIGHBOURS_EACH || weight * n->shapes[query].strength >= best->list[NEIGHBOURS_EACH - 1].order;
}

static void keep(const neighbours *n, best_found *best, uint32_t query, float similarity, float weight) {
    found f = {query, similarity, weight, weight * n->shapes[query].strength};
    size_t at = best->n;
    if (at == NEIGHBOURS_EACH && !is_before(n, &f, &best->list[at - 1])) return;
    if (at < NEIGHBOURS_EACH) best->n++;
    else at--;
    for (; at > 0 && is_before(n, &f, &best->list[at - 1]); at--) best->list[at] = best->list[at - 1];
    best->list[at] = f;
}

typedef struct ranked_list {
    const list *list;
    uint32_t number;
    float worth;
} ranked_list;

static int rarest_first(const void *x, const void *y) {
    const list *a = ((const ranked_list *)x)->list, *b = ((const ranked_list *)y)->list;
    if (a->count != b->count) return a->count < b->count ? -1 : 1;
    return (a->hash > b->hash) - (a->hash < b->hash);
}

static size_t rank_lists(const lists *l, const uint32_t *hashes, uint32_t n_hashes, ranked_list *out) {
    size_t n = 0;
    for (uint32_t i = 0; i < n_hashes; i++) {
        uint32_t at = lists_find(l, hashes[i]);
        if (at != NONE) out[n++] = (ranked_list){&l->items[at], at, 0};
    }
    if (n) qsort(out, n, sizeof *out, rarest_first);
    return n;
}

static float rarity(const neighbours *n, size_t having) { return logf(1 + (float)n->live / (float)(having ? having : 1)); }

/* By words: the queries that share one, and which ones. */
typedef struct sharing {
    uint16_t *masks;   /* by query: bit i, it has the word i of those asked for, rarest first */
    uint32_t *queries;
    size_t n;
} sharing;

#define CANDIDATES 8192

/* Rare words bring candidates until there are enough; the others only say more about those. */
static void find_sharing(const neighbours *n, const ranked_list *order, size_t n_lists, arena *a, sharing *out) {
    size_t bringing = 0, postings = 0;
    while (bringing < n_lists && postings < CANDIDATES) postings += order[bringing++].list->count;
    if (postings > NEIGHBOURS_BUDGET) postings = NEIGHBOURS_BUDGET;
    *out = (sharing){.masks = arena_zalloc(a, n->n + 1, sizeof *out->masks),
                     .queries = arena_alloc(a, (postings + 1) * sizeof *out->queries)};
    for (size_t i = 0; i < n_lists; i++) {
        const uint32_t *at = order[i].list->entries, bit = 1u << i;
        size_t count = order[i].list->count;
        if (i == bringing) postings = NEIGHBOURS_BUDGET;
        if (count > postings) count = postings;
        postings -= count;
        for (const uint32_t *end = at + count; at < end; at++) {
            uint16_t *mask = &out->masks[*at];
            if (!*mask && i >= bringing) continue;
            if (!*mask) out->queries[out->n++] = *at;
            *mask |= (uint16_t)bit;
        }
    }
}

static float similarity_by_words(const neighbours *n, uint32_t query, float shared, float whole) {
    const entry *e = &n->entries[query];
    float other = 0;
    for (uint32_t w = 0; w < e->n_words; w++) other += rarity(n, n->words.items[e->features[w]].count);
    float similarity = shared / (whole + other - shared);
    return similarity < 1 ? similarity : 1;
}

#define SHADES 256
#define LOOKED_AT 2048 /* candidates */

typedef struct candidate {
    uint32_t query;
    float shared; /* what the words are worth that it shares */
    float most;   /* its similarity, if its other words are the commonest there are */
} candidate;

static candidate candidate_of(const neighbours *n, const sharing *x, uint32_t query, const ranked_list *order, float whole,
                              float least) {
    float shared = 0;
    int others = n->shapes[query].n_words;
    for (unsigned mask = x->masks[query]; mask; mask &= mask - 1, others--) shared += order[__builtin_ctz(mask)].worth;
    float most = shared / (whole + (float)others * least);
    return (candidate){query, shared, most < 1 ? most : 1};
}

/* The candidates in order of what they could be worth at most. */
static size_t order_candidates(const neighbours *n, const sharing *x, const ranked_list *order, float whole, arena *a,
                               candidate **out) {
    float least = rarity(n, n->words.longest);
    size_t starts[SHADES + 1] = {0};
    candidate *all = arena_alloc(a, 2 * (x->n + 1) * sizeof *all), *sorted = all + x->n;
    for (size_t i = 0; i < x->n; i++) {
        all[i] = candidate_of(n, x, x->queries[i], order, whole, least);
        starts[(size_t)((SHADES - 1) * (1 - all[i].most)) + 1]++;
    }
    for (size_t s = 0; s < SHADES; s++) starts[s + 1] += starts[s];
    for (size_t i = 0; i < x->n; i++) sorted[starts[(size_t)((SHADES - 1) * (1 - all[i].most))]++] = all[i];
    *out = sorted;
    return x->n;
}

/* Most candidates cannot be among the best whatever their other words are, and are passed over without a look at them. */
static void find_by_words(const neighbours *n, const neighbours_features *f, uint32_t self, arena *a, best_found *best) {
    ranked_list order[NEIGHBOURS_WORDS];
    sharing shared;
    candidate *candidates;
    size_t n_lists = rank_lists(&n->words, f->words, f->n_words, order), looked = 0;
    if (n_lists == 0) return;
    float whole = (float)(f->n_words - n_lists) * rarity(n, 0);
    for (size_t i = 0; i < n_lists; i++) whole += order[i].worth = rarity(n, order[i].list->count);
    find_sharing(n, order, n_lists, a, &shared);
    size_t n_candidates = order_candidates(n, &shared, order, whole, a, &candidates);
    for (size_t i = 0; i < n_candidates && looked < LOOKED_AT; i++) {
        const candidate *x = &candidates[i];
        if (x->query == self || !could_enter(n, best, x->query, WORDS_WORTH * x->most * x->most)) continue;
        float similarity = similarity_by_words(n, x->query, x->shared, whole);
        looked++;
        keep(n, best, x->query, similarity, WORDS_WORTH * similarity * similarity);
    }
}

static uint32_t shared_lists(const entry *e, const uint64_t *marked) {
    uint32_t shared = 0;
    for (const uint32_t *g = e->features + e->n_words, *end = g + e->n_grams; g < end; g++)
        shared += marked[*g / 64] >> (*g % 64) & 1;
    return shared;
}

/* To be near, a query must share at least `needed` of the grams. Half as many lists, the longest, are not looked at at
 * first: what shares `needed` of all is then in at least needed − skipped of the others. */
static void find_by_letters(const neighbours *n, const neighbours_features *f, uint32_t self, arena *a, best_found *best) {
    ranked_list order[NEIGHBOURS_GRAMS];
    size_t n_lists = rank_lists(&n->grams, f->grams, f->n_grams, order), postings = 0, n_candidates = 0;
    uint32_t needed = (uint32_t)ceilf(LETTERS_LEAST * (float)f->n_grams / (2 - LETTERS_LEAST)), skipped = needed / 2;
    if (needed == 0 || n_lists < needed) return;
    for (size_t i = 0; i + skipped < n_lists; i++) postings += order[i].list->count;
    if (postings > LETTERS_POSTINGS) return;
    uint8_t *counts = arena_zalloc(a, n->n + 1, 1), enough = (uint8_t)(needed - skipped);
    uint32_t *candidates = arena_alloc(a, (postings / enough + 1) * sizeof *candidates);
    uint64_t *marked = arena_zalloc(a, n->grams.n / 64 + 1, sizeof *marked);
    for (size_t i = 0; i < n_lists; i++) marked[order[i].number / 64] |= (uint64_t)1 << (order[i].number % 64);
    for (size_t i = 0; i + skipped < n_lists; i++)
        for (const uint32_t *at = order[i].list->entries, *end = at + order[i].list->count; at < end; at++)
            if (++counts[*at] == enough) candidates[n_candidates++] = *at;
    for (size_t i = 0; i < n_candidates; i++) {
        uint32_t query = candidates[i];
        float both = (float)(f->n_grams + n->shapes[query].n_grams);
        if (query == self || 2 * (float)(counts[query] + skipped) < LETTERS_LEAST * both) continue;
        float similarity = 2 * (float)shared_lists(&n->entries[query], marked) / both;
        float near = (similarity - LETTERS_NEAR) / (1 - LETTERS_NEAR);
        if (similarity >= LETTERS_LEAST) keep(n, best, query, similarity, LETTERS_WORTH * near * near);
    }
}

static neighbour copy(const neighbours *n, const found *f, bool by_letters, arena *a) {
    const entry *e = &n->entries[f->query];
    neighbours_row *rows = arena_alloc(a, e->n_rows * sizeof *rows);
    if (e->n_rows) memcpy(rows, e->rows, e->n_rows * sizeof *rows);
    return (neighbour){e->key, by_letters, f->similarity, f->weight, e->n_rows, rows};
}

static int best_first(const void *x, const void *y) {
    const neighbour *a = x, *b = y;
    if (a->weight != b->weight) return a->weight > b->weight ? -1 : 1;
    return memcmp(&a->key, &b->key, sizeof a->key);
}

/* The weight of a query in the other way's list; 0 when it is not there. */
static float weight_in(const best_found *best, uint32_t query) {
    for (size_t i = 0; i < best->n; i++)
        if (best->list[i].query == query) return best->list[i].weight;
    return 0;
}

/* A query that was found both ways counts once, the way in which it weighs more. */
static size_t unite(const neighbours *n, const best_found *words, const best_found *letters, arena *a, neighbour *out) {
    size_t n_out = 0;
    for (size_t i = 0; i < words->n; i++)
        if (words->list[i].weight >= weight_in(letters, words->list[i].query))
            out[n_out++] = copy(n, &words->list[i], false, a);
    for (size_t i = 0; i < letters->n; i++)
        if (letters->list[i].weight > weight_in(words, letters->list[i].query))
            out[n_out++] = copy(n, &letters->list[i], true, a);
    return n_out;
}

size_t neighbours_find(neighbours *n, const neighbours_features *features, const hash128 *self, arena *a,
                       neighbour **out) {
    best_found words = {.n = 0}, letters = {.n = 0};
    neighbour *all = arena_alloc(a, 2 * NEIGHBOURS_EACH * sizeof *all);
    pthread_rwlock_rdlock(&n->lock);
    uint32_t but = find(n, self);
    if (features->n_words) find_by_words(n, features, but, a, &words);
    if (but == NONE || n->entries[but].weight < WELL_KNOWN) find_by_letters(n, features, but, a, &letters);
    size_t n_all = unite(n, &words, &letters, a, all);
    pthread_rwlock_unlock(&n->lock);
    if (n_all) qsort(all, n_all, sizeof *all, best_first);
    *out = all;
    return n_all;
}
