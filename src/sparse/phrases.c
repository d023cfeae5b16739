/* Phrases and nearness from positions, which count all text fields of a document in one row. */
#include "sparse/phrases.h"

#include "sparse/cursor.h"

/* A term of any phrase. */
typedef struct phrase_word {
    sparse_cursor cursor;
    sparse_positions reader;
    uint32_t place; /* that `at` belongs to; UINT32_MAX: none yet */
    uint32_t n;     /* positions there */
    const uint32_t *at;
} phrase_word;

typedef struct phrase_run {
    uint32_t first, n; /* in `order` */
    uint32_t slop;
    bool any_order;
} phrase_run;

struct sparse_phrases {
    const sparse_segment *segment;
    uint32_t n_fields;
    phrase_word *words; /* different terms */
    uint32_t n_words;
    uint32_t *order; /* words of all phrases, one after the other */
    phrase_run *runs;
    size_t n_runs;
    uint32_t *next; /* scratch: a position of each word of a phrase */
};

static uint32_t word_of(sparse_phrases *p, const sparse_plan *plan, uint32_t part, uint32_t term, arena *a) {
    const sparse_term *found = sparse_plan_found(plan, part, term);
    for (uint32_t i = 0; i < p->n_words; i++)
        if (p->words[i].cursor.term.ordinal == found->ordinal) return i;
    phrase_word *w = &p->words[p->n_words];
    cursor_open(&w->cursor, found, 0);
    sparse_positions_open(&w->reader, &w->cursor.term, a);
    w->place = UINT32_MAX;
    return p->n_words++;
}

sparse_phrases *sparse_phrases_open(const sparse_plan *plan, uint32_t part, arena *a) {
    if (plan->n_phrases == 0) return NULL;
    size_t total = 0, n = 0;
    for (size_t i = 0; i < plan->n_phrases; i++) total += plan->phrases[i].n;
    sparse_phrases *p = arena_zalloc(a, 1, sizeof *p);
    p->segment = plan->snapshot->parts[part].segment;
    p->n_fields = sparse_segment_fields(p->segment);
    p->words = arena_alloc(a, total * sizeof *p->words);
    p->order = arena_alloc(a, total * sizeof *p->order);
    p->next = arena_alloc(a, total * sizeof *p->next);
    p->runs = arena_alloc(a, plan->n_phrases * sizeof *p->runs);
    for (size_t i = 0; i < plan->n_phrases; i++) {
        const sparse_phrase *phrase = &plan->phrases[i];
        p->runs[p->n_runs++] = (phrase_run){(uint32_t)n, phrase->n, phrase->slop, phrase->any_order};
        for (uint32_t j = 0; j < phrase->n; j++) {
            p->order[n++] = word_of(p, plan, part, plan->term_of[phrase->first + j], a);
        }
    }
    return p;
}

/* Fetches the word's positions in the document; 0: it does not have it. */
static uint32_t fetch(phrase_word *w, uint32_t place) {
    sparse_cursor *c = &w->cursor;
    if (w->place == place) return w->n;
    w->n = 0;
    uint32_t b = cursor_skip(c, w->place != UINT32_MAX && place > w->place ? c->block : 0, place);
    w->place = place;
    c->block = b;
    if (b >= c->term.n_blocks) return 0;
    cursor_load(c, b);
    uint32_t at = cursor_from(c, place);
    if (at == c->n || c->places[at] != place) return 0;
    return w->n = sparse_positions_at(&w->reader, b, at, &w->at);
}

/* Whether the positions from `first` to `last` belong to one field. */
static bool in_one_field(const sparse_phrases *p, uint32_t place, uint32_t first, uint32_t last) {
    for (uint32_t f = 1; f < p->n_fields && first < last; f++) {
        uint32_t start = sparse_segment_field_start(p->segment, f, place);
        if (first < start && start <= last) return false;
    }
    return true;
}

static bool has(const phrase_word *w, uint32_t position) {
    uint32_t low = 0, high = w->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (w->at[middle] < position) low = middle + 1;
        else high = middle;
    }
    return low < w->n && w->at[low] == position;
}

/* Word j at the start's position + j; the word with the fewest positions says where to look. */
static bool match_exact(const sparse_phrases *p, const phrase_run *run, uint32_t place) {
    const uint32_t *order = p->order + run->first;
    uint32_t rarest = 0;
    for (uint32_t j = 1; j < run->n; j++)
        if (p->words[order[j]].n < p->words[order[rarest]].n) rarest = j;
    const phrase_word *w = &p->words[order[rarest]];
    for (uint32_t i = 0; i < w->n; i++) {
        if (w->at[i] < rarest) continue;
        uint32_t start = w->at[i] - rarest, j = 0;
        while (j < run->n && has(&p->words[order[j]], start + j)) j++;
        if (j == run->n && in_one_field(p, place, start, start + run->n - 1)) return true;
    }
    return false;
}

/* In order, each as soon as it can be after the one before: no end is nearer to this start. */
static bool match_ordered(const sparse_phrases *p, const phrase_run *run, uint32_t place) {
    const uint32_t *order = p->order + run->first;
    const phrase_word *w = &p->words[order[0]];
    for (uint32_t j = 0; j < run->n; j++) p->next[j] = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        uint32_t last = w->at[i];
        for (uint32_t j = 1; j < run->n; j++) {
            const phrase_word *v = &p->words[order[j]];
            while (p->next[j] < v->n && v->at[p->next[j]] <= last) p->next[j]++;
            if (p->next[j] == v->n) return false;
            last = v->at[p->next[j]];
        }
        if (last - w->at[i] <= run->n - 1 + (uint64_t)run->slop && in_one_field(p, place, w->at[i], last)) return true;
    }
    return false;
}

/* How often the j-th word comes among those before it: the i-th of equal words takes the i-th position. */
static uint32_t earlier(const sparse_phrases *p, const phrase_run *run, uint32_t j) {
    const uint32_t *order = p->order + run->first;
    uint32_t n = 0;
    for (uint32_t i = 0; i < j; i++) n += order[i] == order[j];
    return n;
}

/* In any order: the span of one position of each, moving the first of them on until one is at its end. */
static bool match_near(const sparse_phrases *p, const phrase_run *run, uint32_t place) {
    const uint32_t *order = p->order + run->first;
    for (uint32_t j = 0; j < run->n; j++)
        if ((p->next[j] = earlier(p, run, j)) >= p->words[order[j]].n) return false;
    for (;;) {
        uint32_t first = UINT32_MAX, last = 0, word = 0;
        for (uint32_t j = 0; j < run->n; j++) {
            uint32_t position = p->words[order[j]].at[p->next[j]];
            if (position < first) first = position, word = order[j];
            if (position > last) last = position;
        }
        if (last - first <= run->n - 1 + (uint64_t)run->slop && in_one_field(p, place, first, last)) return true;
        for (uint32_t j = 0; j < run->n; j++) /* equal words move on together */
            if (order[j] == word && ++p->next[j] == p->words[word].n) return false;
    }
}

bool sparse_phrases_match(sparse_phrases *p, uint32_t place) {
    for (uint32_t i = 0; i < p->n_words; i++)
        if (fetch(&p->words[i], place) == 0) return false;
    for (size_t i = 0; i < p->n_runs; i++) {
        const phrase_run *run = &p->runs[i];
        bool found = run->any_order   ? match_near(p, run, place)
                     : run->slop == 0 ? match_exact(p, run, place)
                                      : match_ordered(p, run, place);
        if (!found) return false;
    }
    return true;
}
