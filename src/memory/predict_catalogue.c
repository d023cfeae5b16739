#include "memory/predict_catalogue.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OF_ROLE 6     /* facts of one role that go into combinations */
#define MAX_PHRASES 1024
#define WORST 0.02f

/* What a phrase of each shape is worth when the document is the only one that it fits. */
#define WORTH_TITLE 0.9f
#define WORTH_ALIAS 0.8f
#define WORTH_SHORT_TITLE 0.7f
#define WORTH_TITLE_AND_WHOSE 0.6f /* "dune frank herbert" */
#define WORTH_TITLE_AND_WHAT 0.4f  /* "dune 1965", "dune book" */
#define WORTH_ATTRIBUTES 0.5f
#define CROWD 10.0f /* documents: a phrase that fits so many is worth about 0.7 of one that fits one */

typedef struct phrases {
    const predict_description *d;
    text_analyzer *analyzer;
    arena *a;
    predict_entry *list;
    size_t n;
    buffer text, normalized;
} phrases;

/* Adds the phrase in p->text. */
static void add(phrases *p, float score) {
    if (p->n == MAX_PHRASES || !(score >= WORST)) return;
    text_normalize_query(p->analyzer, (slice){p->text.data, p->text.size}, &p->normalized);
    slice query = {p->normalized.data, p->normalized.size};
    if (!query.size || query.size > PREDICT_MAX_TEXT) return;
    for (size_t i = 0; i < p->n; i++) {
        if (!slice_equal(p->list[i].query, query)) continue;
        p->list[i].score = fmaxf(p->list[i].score, score);
        return;
    }
    p->list[p->n++] = (predict_entry){arena_slice(p->a, query), score};
}

static void begin(phrases *p) { buffer_clear(&p->text); }

static void word(phrases *p, slice text) {
    if (!text.size) return;
    if (p->text.size) buffer_putc(&p->text, ' ');
    buffer_slice(&p->text, text);
}

/* ---- Facts ---- */

static const predict_fact *fact(const predict_description *d, predict_role role, size_t i) {
    for (size_t f = 0; f < d->n_facts; f++)
        if (d->facts[f].role == role && d->facts[f].text.size && i-- == 0) return &d->facts[f];
    return NULL;
}

static bool is_english(const predict_description *d) {
    return d->language == TEXT_EN || d->language == TEXT_ANY;
}

static bool ends_with(slice s, const char *end) {
    size_t n = strlen(end);
    return s.size > n && memcmp(s.data + s.size - n, end, n) == 0;
}

/* "book" → "books". Other languages' plurals are left to the words' stems. */
static slice plural(phrases *p, slice type) {
    if (!is_english(p->d) || !type.size || ends_with(type, "s")) return type;
    char before = type.size > 1 ? type.data[type.size - 2] : 'a';
    if (ends_with(type, "y") && !strchr("aeiou", before))
        return slice_of(arena_printf(p->a, "%.*sies", (int)type.size - 1, type.data));
    bool hisses = ends_with(type, "x") || ends_with(type, "ch") || ends_with(type, "sh") || ends_with(type, "z");
    return slice_of(arena_printf(p->a, "%.*s%s", (int)type.size, type.data, hisses ? "es" : "s"));
}

/* The share of the collection that says this too. */
static double share(const predict_description *d, const predict_fact *f) {
    if (!f) return 1;
    uint64_t with = f->documents ? f->documents : 1, all = d->documents > with ? d->documents : with;
    return (double)with / (double)all;
}

static float crowded(const phrases *p, float worth, double fitting) {
    double others = fitting * (double)p->d->documents - 1;
    return worth / sqrtf(1 + (float)(others > 0 ? others : 0) / CROWD);
}

/* ---- Phrases ---- */

static slice before_subtitle(slice title) {
    for (size_t i = 1; i < title.size; i++)
        if (title.data[i] && strchr(":([", title.data[i])) {
            while (i > 0 && title.data[i - 1] == ' ') i--;
            return (slice){title.data, i};
        }
    return (slice){0};
}

static void add_titles(phrases *p) {
    const predict_fact *title, *year = fact(p->d, PREDICT_YEAR, 0), *type = fact(p->d, PREDICT_TYPE, 0);
    for (size_t i = 0; i < MAX_OF_ROLE && (title = fact(p->d, PREDICT_TITLE, i)); i++) {
        slice shorter = before_subtitle(title->text), name = shorter.size ? shorter : title->text;
        begin(p), word(p, title->text), add(p, WORTH_TITLE);
        begin(p), word(p, shorter), add(p, WORTH_SHORT_TITLE);
        if (year) begin(p), word(p, name), word(p, year->text), add(p, WORTH_TITLE_AND_WHAT);
        if (type) begin(p), word(p, name), word(p, type->text), add(p, WORTH_TITLE_AND_WHAT);
        const predict_fact *by;
        for (size_t r = 0; r < 2 && (by = fact(p->d, PREDICT_REFERENCE, r)); r++) {
            begin(p), word(p, name), word(p, by->text), add(p, WORTH_TITLE_AND_WHOSE);
            begin(p), word(p, by->text), word(p, name), add(p, WORTH_TITLE_AND_WHOSE);
        }
    }
    for (size_t i = 0; i < MAX_OF_ROLE && (title = fact(p->d, PREDICT_ALIAS, i)); i++)
        begin(p), word(p, title->text), add(p, WORTH_ALIAS);
}

/* A keyword of one document alone names it, as a part number does: nothing needs to be added. */
static bool is_name(const predict_description *d, const predict_fact *keyword) {
    return keyword && keyword->documents <= 1 && d->documents > 50;
}

/* "2008 fantasy books by x", as far as there is a year, a keyword, a type and a reference. */
static void add_combination(phrases *p, const predict_fact *year, const predict_fact *keyword, const predict_fact *type,
                            const predict_fact *by) {
    if (!keyword && !type && !by) return;
    if (is_name(p->d, keyword) && (year || type || by)) return;
    double fitting = share(p->d, year) * share(p->d, keyword) * share(p->d, type) * share(p->d, by);
    float score = crowded(p, WORTH_ATTRIBUTES, fitting);
    slice types[] = {type ? plural(p, type->text) : (slice){0}, type ? type->text : (slice){0}};
    for (int form = 0; form < (type ? 2 : 1); form++) {
        begin(p);
        if (year) word(p, year->text);
        if (keyword) word(p, keyword->text);
        word(p, types[form]);
        size_t size = p->text.size;
        if (by && size && is_english(p->d)) word(p, SLICE("by")), word(p, by->text), add(p, score);
        p->text.size = size;
        if (by) word(p, by->text);
        add(p, score);
        if (form && slice_equal(types[0], types[1])) break;
    }
    if (by && type && !year && !keyword) begin(p), word(p, by->text), word(p, types[0]), add(p, score);
}

static void add_attributes(phrases *p) {
    const predict_fact *years[] = {NULL, fact(p->d, PREDICT_YEAR, 0)}, *types[] = {NULL, fact(p->d, PREDICT_TYPE, 0)};
    for (size_t k = 0; k <= MAX_OF_ROLE; k++) {
        const predict_fact *keyword = k ? fact(p->d, PREDICT_KEYWORD, k - 1) : NULL;
        if (k && !keyword) break;
        for (size_t r = 0; r <= 2; r++) {
            const predict_fact *by = r ? fact(p->d, PREDICT_REFERENCE, r - 1) : NULL;
            if (r && !by) break;
            for (int y = 0; y < (years[1] ? 2 : 1); y++)
                for (int t = 0; t < (types[1] ? 2 : 1); t++) add_combination(p, years[y], keyword, types[t], by);
        }
    }
}

static int best_first(const void *x, const void *y) {
    const predict_entry *a = x, *b = y;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    if (a->query.size != b->query.size) return a->query.size < b->query.size ? -1 : 1; /* people type little */
    return slice_compare(a->query, b->query);
}

size_t predict_from_catalogue(const predict_description *d, text_analyzer *analyzer, arena *a, predict_entry **out) {
    phrases p = {.d = d, .analyzer = analyzer, .a = a, .list = arena_alloc(a, MAX_PHRASES * sizeof(predict_entry))};
    add_titles(&p);
    add_attributes(&p);
    buffer_release(&p.text);
    buffer_release(&p.normalized);
    if (p.n) qsort(p.list, p.n, sizeof *p.list, best_first);
    *out = p.list;
    return p.n < PREDICT_MAX_QUERIES ? p.n : PREDICT_MAX_QUERIES;
}

size_t predict_terms(const predict_description *d, text_analyzer *analyzer, size_t most, arena *a, slice **out) {
    slice *list = arena_alloc(a, (most + 1) * sizeof *list);
    size_t n = 0;
    for (predict_role role = PREDICT_TITLE; role < PREDICT_ROLES; role++)
        for (size_t f = 0; f < d->n_facts && n < most; f++) {
            if (d->facts[f].role != role) continue;
            text_tokens found = text_analyze(analyzer, d->facts[f].text, d->language, 4 * most);
            for (size_t i = 0; i < found.count && n < most; i++) {
                size_t at = 0;
                if (found.tokens[i].stopword) continue;
                while (at < n && !slice_equal(list[at], found.tokens[i].term)) at++;
                if (at == n) list[n++] = arena_slice(a, found.tokens[i].term);
            }
        }
    *out = list;
    return n;
}
