#include "text/words.h"

#include "text/stem.h"
#include "text/stopwords.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A set-associative cache, 4,096 sets of 4 entries of one cache line each. `bytes` holds the word, then the folded form
 * unless it is the word itself, then the term unless it begins the folded form. Words too long for that are worked out
 * each time: they are rare. The tags lie apart, so that a look-up touches one line of them and one entry. */
enum { SETS = 4096, WAYS = 4 };
enum { SAME_FOLDED = 1, PREFIX_TERM = 2, STOPWORD = 4 };

typedef struct entry {
    uint8_t flags;
    uint8_t word, folded, term; /* sizes; word 0: nothing here */
    char bytes[60];
} entry;
static_assert(sizeof(entry) == 64, "an entry is one cache line");

typedef struct cache {
    uint32_t tags[SETS][WAYS]; /* of the words' hashes; 0: free */
    entry entries[SETS][WAYS];
} cache;

struct text_words {
    text_stemmers *stemmers;
    cache *caches[TEXT_LANGUAGES];
    unsigned turn; /* which way of a set is replaced next */
};

text_words *text_words_create(void) {
    text_words *w = mem_zalloc(1, sizeof *w);
    w->stemmers = text_stemmers_create();
    return w;
}

void text_words_destroy(text_words *w) {
    if (!w) return;
    text_stemmers_destroy(w->stemmers);
    for (size_t i = 0; i < TEXT_LANGUAGES; i++) free(w->caches[i]);
    free(w);
}

/* Eight bytes at a time, as they were written: loads that straddle stores would wait for them. Never stored, so it
 * needs no stability. */
static inline uint64_t hash_word(const char *word, size_t size) {
    uint64_t h = size, eight;
    for (; size > 8; size -= 8, word += 8) {
        memcpy(&eight, word, 8);
        h = (h ^ eight) * 0x9E3779B97F4A7C15u;
        h ^= h >> 32;
    }
    memcpy(&eight, word, 8);
    h = (h ^ (eight & UINT64_MAX >> (64 - 8 * size))) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 32;
}

static void remember(entry *e, slice word, const text_folded *form, slice term, unsigned flags) {
    slice folded = {form->folded, form->folded_size};
    if (slice_equal(folded, word)) flags |= SAME_FOLDED;
    if (term.size <= folded.size && memcmp(term.data, folded.data, term.size) == 0) flags |= PREFIX_TERM;
    size_t size = word.size + (flags & SAME_FOLDED ? 0 : folded.size) + (flags & PREFIX_TERM ? 0 : term.size);
    e->word = 0;
    if (size > sizeof e->bytes) return;
    e->flags = (uint8_t)flags;
    e->word = (uint8_t)word.size;
    e->folded = (uint8_t)folded.size;
    e->term = (uint8_t)term.size;
    char *to = e->bytes;
    memcpy(to, word.data, word.size);
    to += word.size;
    if (!(flags & SAME_FOLDED)) {
        memcpy(to, folded.data, folded.size);
        to += folded.size;
    }
    if (!(flags & PREFIX_TERM)) memcpy(to, term.data, term.size);
}

/* Works a word out, into the cache and into `room`. */
static bool work_out(text_words *w, text_language language, entry *e, char *room, size_t size, text_token *token,
                     size_t *used) {
    text_folded form;
    char stem[TEXT_WORD_BYTES];
    slice word = {room, size};
    text_fold_word(word, language, &form);
    slice folded = {form.folded, form.folded_size}, term = {stem, 0};
    if (folded.size) term.size = text_stem(w->stemmers, &form, language, stem);
    bool stopword = language != TEXT_ANY && (text_stopword_languages(folded) >> language & 1);
    remember(e, word, &form, term, stopword ? STOPWORD : 0);

    memcpy(room, folded.data, folded.size);
    memcpy(room + folded.size, term.data, term.size);
    token->folded = (slice){room, folded.size};
    token->term = (slice){room + folded.size, term.size};
    token->stopword = stopword;
    *used = folded.size + term.size;
    return folded.size > 0;
}

bool text_words_find(text_words *w, text_language language, char *room, size_t size, text_token *token, size_t *used) {
    assert(size > 0 && size <= TEXT_WORD_BYTES);
    cache *c = w->caches[language];
    if (!c) c = w->caches[language] = mem_zalloc(1, sizeof *c);

    uint64_t hash = hash_word(room, size);
    uint32_t tag = (uint32_t)(hash >> 32) | 1;
    uint32_t *tags = c->tags[hash % SETS];
    entry *set = c->entries[hash % SETS], *e = NULL;
    for (unsigned way = 0; way < WAYS && !e; way++)
        if (tags[way] == tag && set[way].word == size && memcmp(set[way].bytes, room, size) == 0) e = &set[way];
    if (!e) {
        unsigned way = w->turn++ % WAYS;
        tags[way] = tag;
        return work_out(w, language, &set[way], room, size, token, used);
    }

    const char *forms = e->bytes + size;
    token->folded = (slice){room, e->folded};
    token->term = (slice){room, e->term};
    *used = e->folded;
    if (!(e->flags & SAME_FOLDED)) {
        memcpy(room, forms, e->folded);
        forms += e->folded;
    }
    if (!(e->flags & PREFIX_TERM)) {
        memcpy(room + e->folded, forms, e->term);
        token->term.data = room + e->folded;
        *used += e->term;
    }
    token->stopword = (e->flags & STOPWORD) != 0;
    return e->folded > 0;
}
