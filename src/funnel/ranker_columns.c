#include "funnel/ranker_columns.h"

#include "base/hash.h"
#include "funnel/funnel.h"
#include "retrieve/strategy.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const char *columns_source_name(columns_source source) {
    static const char *const names[COLUMNS_SOURCES] = {"core",     "strategy", "words",   "memory", "people", "user",
                                                       "document", "query",    "context", "field",  "request", "cross"};
    return names[source];
}

typedef struct named {
    const char *name, *meaning;
} named;

static const named strategy_start[] = {{"fusion", "reciprocal-rank fusion with the prior weights"},
                                       {FUNNEL_ONLINE_COLUMN, "score of the linear ranker that learns online"}};
static const named words_start[] = {
    {"words.coverage", "share of the query's information whose words are anywhere in it"},
    {"words.bm25", "sum over the text fields of weight × BM25"}};
static const named per_text[COLUMNS_PER_TEXT] = {
    [C_FIELD_BM25] = {"bm25", "BM25 of the field alone"},
    [C_FIELD_COVERAGE] = {"coverage", "share of the query's information whose words are in the field"},
    [C_FIELD_EXACT] = {"exact", "the field is the query"},
    [C_FIELD_PREFIX] = {"prefix", "the field begins with the query"},
    [C_FIELD_PHRASE] = {"phrase", "longest run of the query's words in order, over the number of its words"},
    [C_FIELD_PROXIMITY] = {"proximity", "matched words over the narrowest window that has them all"},
    [C_FIELD_FIRST] = {"first", "how early the first match is"},
    [C_FIELD_LENGTH] = {"length", "logarithm of its words"}};
static const named memory[] = {
    [C_MEMORY_PLACE] = {"memory.place", "rank among what is remembered of the query"},
    [C_MEMORY_MEAN] = {"memory.mean", "expected reward after this query"},
    [C_MEMORY_DEVIATION] = {"memory.deviation", "how unsure that is"},
    [C_MEMORY_SHOWN] = {"memory.shown", "logarithm of impressions after the same query"},
    [C_MEMORY_REWARDS] = {"memory.rewards", "logarithm of rewards after the same query"},
    [C_MEMORY_SHARE] = {"memory.share", "share of all rewards after the same query"},
    [C_MEMORY_SAME_MEAN] = {"memory.same_mean", "expected reward by the same query alone"},
    [C_MEMORY_SAME_DEVIATION] = {"memory.same_deviation", "how unsure that is"},
    [C_MEMORY_LENT] = {"memory.lent", "rewards that near queries lend"},
    [C_MEMORY_PREDICTED] = {"memory.predicted", "how well a predicted query of the document fits"},
    [C_MEMORY_WAY] = {"memory.way", "0 same query, 1 shared words, 2 shared letters, 3 predicted"},
    [C_MEMORY_AGE] = {"memory.age", "logarithm of days since the last engagement after this query"}};
static const named people[] = {
    [C_PEOPLE_EVERYONE] = {"people.everyone", "logarithm of recent engagement"},
    [C_PEOPLE_TYPE] = {"people.type", "the same, counted within its type"},
    [C_PEOPLE_SEGMENT] = {"people.segment", "logarithm of recent engagement of the asker's most special segment"},
    [C_PEOPLE_SHOWN] = {"people.shown", "logarithm of recent impressions"},
    [C_PEOPLE_MEAN] = {"people.mean", "expected reward whatever the query"},
    [C_PEOPLE_DEVIATION] = {"people.deviation", "how unsure that is"},
    [C_PEOPLE_SURPRISE] = {"people.surprise", "logarithm of rewards after this query over engagement after any"}};
static const named user[] = {
    [C_USER_CHOSEN] = {"user.chosen", "weight of the document in the user's profile"},
    [C_USER_PLACE] = {"user.place", "its rank there"},
    [C_USER_ORIGIN] = {"user.origin", "1 chosen in a search, 2 known from elsewhere, 3 both, 0 neither"},
    [C_USER_SIMILAR] = {"user.similar", "similarity to the user's documents, by who engages with both, over the best"},
    [C_USER_SIMILAR_HERE] = {"user.similar_here", "the same to those that people choose after this query"},
    [C_USER_SIMILAR_OWN] = {"user.similar_own", "the same to those that this user chose after this query"},
    [C_USER_OWN] = {"user.own", "logarithm of the documents that the user chose after this query"},
    [C_USER_ATTRIBUTES] = {"user.attributes", "how much the user favours its attribute values"},
    [C_USER_TYPE] = {"user.type", "how much the user favours its type"},
    [C_USER_EVENTS] = {"user.events", "logarithm of the user's engagements"},
    [C_USER_ITEMS] = {"user.items", "logarithm of the documents in the profile"},
    [C_USER_SHARED] = {"user.shared", "share of the user's documents that are remembered for this query"}};
static const named document[] = {
    [C_DOCUMENT_POPULARITY] = {"document.popularity", "popularity, 0 to 1"},
    [C_DOCUMENT_IN_TYPE] = {"document.popularity_in_type", "popularity over that of the most popular candidate of its type"},
    [C_DOCUMENT_BEHIND] = {"document.behind", "logarithm of the changes since it came, up to the newest candidate"},
    [C_DOCUMENT_BEHIND_IN_TYPE] = {"document.behind_in_type", "the same, up to the newest candidate of its type"},
    [C_DOCUMENT_TYPE] = {"document.type", "rank of its type by number of documents, from 0"}};
static const named query[] = {
    [C_QUERY_WORDS] = {"query.words", "number of words"},
    [C_QUERY_LETTERS] = {"query.letters", "number of bytes"},
    [C_QUERY_RARITY] = {"query.rarity", "idf of the rarest word"},
    [C_QUERY_TYPE] = {"query.type_word", "likelihood that a word names a type"},
    [C_QUERY_YEAR] = {"query.year", "likelihood that a word is a year"},
    [C_QUERY_YEAR_MATCH] = {"query.year_match", "a number or date field has that year"},
    [C_QUERY_LANGUAGE] = {"query.other_language", "it is not in the collection's language"},
    [C_QUERY_DIGITS] = {"query.digits", "it has digits"},
    [C_QUERY_IDENTIFIER] = {"query.identifier", "it looks like an identifier"},
    [C_QUERY_STOPWORDS] = {"query.stopwords", "all words are stopwords"},
    [C_QUERY_MATCHING] = {"query.matching", "logarithm of matching documents"},
    [C_QUERY_REMEMBERED] = {"query.remembered", "logarithm of documents remembered for it"},
    [C_QUERY_REWARDS] = {"query.rewards", "logarithm of all rewards after the same query"}};
static const named context[] = {
    [C_CONTEXT_HOUR] = {"context.hour", "hour of the day, UTC"},
    [C_CONTEXT_WEEKDAY] = {"context.weekday", "0 Sunday … 6 Saturday"},
    [C_CONTEXT_SEGMENTS] = {"context.segments", "number of known segments of the asker"},
    [C_CONTEXT_USER] = {"context.user", "the asker is known"}};

/* ---- Building ---- */

typedef struct builder {
    columns_list *list;
    arena *memory;
    columns_column *columns;
    const char **names;
} builder;

typedef struct owner {
    columns_list list; /* first: a list is its owner */
    arena memory;
} owner;

/* More than there can be: a list is never cut, because what describes candidates counts on all of it. */
#define COUNT(list) (sizeof list / sizeof list[0])
#define MOST_CORE 32
#define MOST_COLUMNS                                                                                                       \
    (MOST_CORE + COUNT(strategy_start) + 2 * RETRIEVE_STRATEGIES + COUNT(words_start) +                                    \
     COLUMNS_MAX_TEXT * COLUMNS_PER_TEXT + COUNT(memory) + COUNT(people) + COUNT(user) + COUNT(document) + COUNT(query) + \
     COUNT(context) + COLUMNS_MAX_NUMBERS + SCHEMA_MAX_FEATURES + 1)
_Static_assert(MOST_COLUMNS <= RANKER_MAX_FEATURES, "a ranker sees every column");

static bool is_taken(const builder *b, const char *name) {
    for (uint32_t i = 0; i < b->list->n; i++)
        if (strcmp(b->names[i], name) == 0) return true;
    return false;
}

/* A field may be called as a source is: then the later of two equal names gets a number. */
static void add(builder *b, columns_source source, const char *prefix, const char *name, const char *meaning) {
    columns_list *list = b->list;
    assert(list->n < RANKER_MAX_FEATURES);
    const char *full = arena_printf(b->memory, "%s%s", prefix, name);
    for (int again = 2; is_taken(b, full); again++) full = arena_printf(b->memory, "%s%s.%d", prefix, name, again);
    b->names[list->n] = full;
    b->columns[list->n++] = (columns_column){full, meaning, source};
}

static void begin(builder *b, columns_source source) { b->list->first[source] = b->list->n; }

static void add_all(builder *b, columns_source source, const named *list, size_t n) {
    begin(b, source);
    for (size_t i = 0; i < n; i++) add(b, source, "", list[i].name, list[i].meaning);
}
#define ADD_ALL(b, source, list) add_all(b, source, list, COUNT(list))

static const char *dotted(builder *b, const char *name) {
    size_t size = strlen(name);
    char *out = arena_alloc(b->memory, size + 2);
    memcpy(out, name, size);
    memcpy(out + size, ".", 2);
    return out;
}

static void add_strategies(builder *b) {
    ADD_ALL(b, COLUMNS_STRATEGY, strategy_start);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        const char *prefix = dotted(b, retrieve_strategies[s]->name);
        add(b, COLUMNS_STRATEGY, prefix, "raw", "score by the strategy's own scale; none when it did not find it");
        add(b, COLUMNS_STRATEGY, prefix, "rank", "the strategy's rank; none when it did not find it");
    }
}

/* The text fields of most weight, in the order of the schema. */
static void add_text(builder *b, const schema *s) {
    columns_list *list = b->list;
    ADD_ALL(b, COLUMNS_WORDS, words_start);
    bool taken[SPARSE_MAX_FIELDS] = {false};
    for (uint32_t n = 0; n < COLUMNS_MAX_TEXT; n++) {
        int32_t best = -1;
        for (uint32_t f = 0; f < s->n_fields; f++)
            if (s->fields[f].kind == SCHEMA_TEXT && !taken[f] && (best < 0 || s->fields[f].weight > s->fields[best].weight))
                best = (int32_t)f;
        if (best >= 0) taken[best] = true;
    }
    uint32_t place = 0;
    for (uint32_t f = 0; f < s->n_fields; f++) {
        if (s->fields[f].kind != SCHEMA_TEXT) continue;
        if (taken[f]) {
            const char *prefix = dotted(b, s->fields[f].name);
            list->text[list->n_text++] = place;
            for (uint32_t i = 0; i < COLUMNS_PER_TEXT; i++) add(b, COLUMNS_WORDS, prefix, per_text[i].name, per_text[i].meaning);
        }
        place++;
    }
}

static bool wanted(const schema *s, const schema_field *field) {
    if (field->kind != SCHEMA_NUMBER && field->kind != SCHEMA_DATE) return false;
    if (!s->ranking.features_declared) return true;
    for (uint32_t i = 0; i < s->ranking.n_features; i++)
        if (strcmp(s->ranking.features[i], field->name) == 0) return true;
    return false;
}

static void add_declared(builder *b, const schema *s) {
    columns_list *list = b->list;
    begin(b, COLUMNS_FIELD);
    for (uint32_t f = 0; f < s->n_fields && list->n_numbers < COLUMNS_MAX_NUMBERS; f++) {
        if (!wanted(s, &s->fields[f])) continue;
        list->number[list->n_numbers++] = (uint32_t)s->fields[f].sparse;
        add(b, COLUMNS_FIELD, "field.", s->fields[f].name, "the field's value");
    }
    begin(b, COLUMNS_REQUEST);
    size_t prefix = sizeof SCHEMA_REQUEST_FEATURE - 1;
    for (uint32_t i = 0; i < s->ranking.n_features; i++) {
        const char *name = s->ranking.features[i];
        if (strncmp(name, SCHEMA_REQUEST_FEATURE, prefix) != 0) continue;
        list->request[list->n_request++] = arena_strndup(b->memory, name + prefix, strlen(name + prefix));
        add(b, COLUMNS_REQUEST, "", name, "what the request says");
    }
    begin(b, COLUMNS_CROSS);
    if (s->ranking.cross.model)
        add(b, COLUMNS_CROSS, "", "cross_score", "how well query and text fit, by the cross-encoder; none when it did not score it");
    list->first[COLUMNS_SOURCES] = list->n;
}

columns_list *columns_create(const schema *s, const columns_column *core, uint32_t n_core) {
    assert(n_core <= MOST_CORE);
    owner *o = mem_zalloc(1, sizeof *o);
    arena_init(&o->memory, 16 * 1024);
    builder b = {.list = &o->list, .memory = &o->memory,
                 .columns = arena_alloc(&o->memory, RANKER_MAX_FEATURES * sizeof *b.columns),
                 .names = arena_alloc(&o->memory, RANKER_MAX_FEATURES * sizeof *b.names)};
    o->list.schema = s;
    begin(&b, COLUMNS_CORE);
    for (uint32_t i = 0; i < n_core; i++) add(&b, COLUMNS_CORE, "", core[i].name, core[i].meaning);
    add_strategies(&b);
    add_text(&b, s);
    ADD_ALL(&b, COLUMNS_MEMORY, memory);
    ADD_ALL(&b, COLUMNS_PEOPLE, people);
    ADD_ALL(&b, COLUMNS_USER, user);
    ADD_ALL(&b, COLUMNS_DOCUMENT, document);
    ADD_ALL(&b, COLUMNS_QUERY, query);
    ADD_ALL(&b, COLUMNS_CONTEXT, context);
    add_declared(&b, s);
    o->list.columns = b.columns;
    o->list.names = b.names;
    o->list.id = columns_hash(b.names, o->list.n);
    return &o->list;
}

void columns_destroy(columns_list *list) {
    if (!list) return;
    owner *o = (owner *)(void *)list;
    arena_release(&o->memory);
    free(o);
}

uint32_t columns_find(const columns_list *list, slice name) {
    for (uint32_t i = 0; i < list->n; i++)
        if (slice_is(name, list->names[i])) return i;
    return COLUMNS_NONE;
}

uint32_t columns_find_given(const columns_list *list, slice name) {
    for (uint32_t f = 0; f < list->n_request; f++)
        if (slice_is(name, list->request[f])) return list->first[COLUMNS_REQUEST] + f;
    return columns_find(list, name);
}

#define FIXED_IDS 256 /* ids below were given by hand */

uint32_t columns_hash(const char *const *names, uint32_t n) {
    uint64_t h = n;
    for (uint32_t i = 0; i < n; i++) h = hash64(names[i], strlen(names[i]), h);
    uint32_t id = (uint32_t)(h ^ h >> 32);
    return id < FIXED_IDS ? id + FIXED_IDS : id;
}
