/* Each hint that is found gets a weight: how often such a hint is meant, judged by eye on real query logs. Readings
 * exclude each other, so weights that add up to too much are scaled, and what they leave is free text's. */
#include "understand/interpret.h"

#include <string.h>

#define HINTS_AT_MOST 0.8 /* free text keeps the rest, whatever was found */

/* How a type's word stands in the query. */
#define WHOLE_QUERY 0.6
#define FIRST_OR_LAST 0.5
#define INSIDE 0.25
#define ENGLISH_STEM 0.5  /* "filming" shares the stem of "film": a factor; plurals count in full */
#define OTHER_STEM 0.9    /* in other languages the stem is how plurals are known */
#define EMPTY_TYPE 0.2    /* no document has the type: a factor */
#define FUNCTION_WORD 0.3 /* a type named like a stopword: a factor */

typedef struct readings {
    understand_interpretation list[UNDERSTAND_MAX_INTERPRETATIONS];
    size_t count; /* the first is free text */
} readings;

static void add(readings *r, understand_interpretation reading) {
    if (r->count < UNDERSTAND_MAX_INTERPRETATIONS) r->list[r->count++] = reading;
}

static bool ends_with(slice word, const char *ending) {
    size_t size = strlen(ending);
    return word.size > size && memcmp(word.data + word.size - size, ending, size) == 0;
}

/* Whether `word` is `name` or its regular English plural: types are mostly named in English. */
static bool is_name_or_plural(slice word, slice name) {
    if (slice_equal(word, name)) return true;
    if (ends_with(word, "ies") && ends_with(name, "y"))
        return word.size == name.size + 2 && memcmp(word.data, name.data, name.size - 1) == 0;
    size_t more = word.size > name.size ? word.size - name.size : 0;
    if (more == 0 || more > 2 || memcmp(word.data, name.data, name.size) != 0) return false;
    return more == 1 ? ends_with(word, "s") : ends_with(word, "es");
}

/* How well tokens from `at` on spell the type's name: 1, less where only stems agree, or 0. The last word may be in the plural on either
 * side: types are also named "books". */
static double spells(const understand_query *q, size_t at, text_tokens name) {
    double match = 1;
    if (name.count == 0 || at + name.count > q->n_tokens) return 0;
    for (size_t i = 0; i < name.count; i++) {
        const understand_token *token = &q->tokens[at + i];
        slice folded = name.tokens[i].folded;
        bool last = i + 1 == name.count;
        if (slice_equal(token->folded, folded)) continue;
        if (last && (is_name_or_plural(token->folded, folded) || is_name_or_plural(folded, token->folded))) continue;
        if (!slice_equal(token->term, name.tokens[i].term)) return 0;
        match = q->language == TEXT_EN ? ENGLISH_STEM : OTHER_STEM;
    }
    return match;
}

/* The year that a token spells in four digits (not "1,999"), or 0. */
static int year_of(const understand_token *token) {
    slice folded = token->folded;
    int year = 0;
    if (folded.size != 4 || token->end - token->start != 4) return 0;
    for (size_t i = 0; i < 4; i++) {
        if (folded.data[i] < '0' || folded.data[i] > '9') return 0;
        year = year * 10 + (folded.data[i] - '0');
    }
    return year >= 1000 && year < 2200 ? year : 0;
}

/* Whether tokens [from, to) are nothing but stopwords and years, so that a type's word beside them is the first or the
 * last that matters. */
static bool only_dressing(const understand_query *q, size_t from, size_t to) {
    for (; from < to; from++)
        if (q->tokens[from].used && !year_of(&q->tokens[from])) return false;
    return true;
}

static void find_type(const understand_query *q, const understand_type *type, text_tokens name, readings *r) {
    understand_interpretation best = {.kind = UNDERSTAND_TYPE_WORD, .type = type->name, .n_tokens = name.count};
    for (size_t at = 0; at < q->n_tokens; at++) {
        double weight = spells(q, at, name);
        if (weight == 0) continue;
        bool first = only_dressing(q, 0, at), last = only_dressing(q, at + name.count, q->n_tokens);
        weight *= first && last ? WHOLE_QUERY : first || last ? FIRST_OR_LAST : INSIDE;
        if (type->documents == 0) weight *= EMPTY_TYPE;
        if (name.count == 1 && q->tokens[at].stopword) weight *= FUNCTION_WORD;
        if (weight <= best.likelihood) continue;
        best.likelihood = weight;
        best.token = at;
    }
    if (best.likelihood > 0) add(r, best);
}

static void find_years(const understand_query *q, readings *r) {
    for (size_t i = 0; i < q->n_tokens; i++) {
        const understand_token *token = &q->tokens[i];
        int year = year_of(token);
        if (!year) continue;
        double weight = year >= 1900 && year < 2036 ? .4 : year >= 1800 && year < 1900 ? .25 : .1;
        bool bracketed = token->start > 0 && q->text.data[token->start - 1] == '(' && token->end < q->text.size &&
                         q->text.data[token->end] == ')';
        if (bracketed) weight *= 1.5;
        if (q->n_tokens == 1) weight *= .5; /* "1984" is a title before it is a year */
        add(r, (understand_interpretation){
                   .kind = UNDERSTAND_YEAR, .likelihood = weight, .token = i, .n_tokens = 1, .year = year});
    }
}

static void share_out(readings *r) {
    double hints = 0, scale = 1;
    for (size_t i = 1; i < r->count; i++) hints += r->list[i].likelihood;
    if (hints > HINTS_AT_MOST) scale = HINTS_AT_MOST / hints;
    for (size_t i = 1; i < r->count; i++) {
        understand_interpretation moved = r->list[i];
        moved.likelihood *= scale;
        size_t to = i;
        for (; to > 1 && r->list[to - 1].likelihood < moved.likelihood; to--) r->list[to] = r->list[to - 1];
        r->list[to] = moved;
    }
    r->list[0].likelihood = 1 - hints * scale;
}

void understand_interpret(text_analyzer *analyzer, const understand_options *options, arena *memory,
                          understand_query *query) {
    readings found = {.list = {{.kind = UNDERSTAND_FREE_TEXT}}, .count = 1};
    for (size_t i = 0; i < options->n_types && query->n_tokens; i++) {
        const understand_type *type = &options->types[i];
        find_type(query, type, text_analyze(analyzer, type->name, query->language, 8), &found);
    }
    find_years(query, &found);
    share_out(&found);
    size_t size = found.count * sizeof *found.list;
    query->interpretations = memcpy(arena_alloc(memory, size), found.list, size);
    query->n_interpretations = found.count;
}
