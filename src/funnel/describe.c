#include "funnel/describe.h"

#include "funnel/answer.h"
#include "retrieve/gather.h"
#include "sparse/match.h"

#include <math.h>
#include <string.h>

/* What a request has to look up only once, and where the rows go. */
typedef struct description {
    funnel_answer *a;
    const columns_list *list;
    const uint32_t *candidates; /* rows to be filled */
    uint32_t *documents;        /* of them */
    size_t n;
} description;

static float *row_of(const description *d, size_t i, columns_source source) {
    return d->a->features + (size_t)d->candidates[i] * d->list->n + d->list->first[source];
}

/* ---- Strategies ---- */

static void describe_strategies(const description *d) {
    funnel_answer *a = d->a;
    float online[F_COUNT];
    ranker_weights(a->funnel->ranker, online, NULL);
    for (size_t i = 0; i < d->n; i++) {
        const funnel_candidate *c = &a->candidates[d->candidates[i]];
        float *x = row_of(d, i, COLUMNS_STRATEGY), *core = row_of(d, i, COLUMNS_CORE);
        x[C_FUSION] = x[C_ONLINE] = 0;
        for (uint32_t f = 0; f < F_COUNT; f++) {
            x[C_FUSION] += funnel_prior_weights[f] * core[f];
            x[C_ONLINE] += online[f] * core[f];
        }
        for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
            if (!c->rank[s]) continue;
            x[C_STRATEGIES + 2 * s] = c->raw[s];
            x[C_STRATEGIES + 2 * s + 1] = (float)c->rank[s];
        }
    }
}

/* ---- Words ---- */

/* The query's words as this language's fields hold them, in its order. Stopwords keep their places and weigh nothing. */
static size_t words_in(funnel_answer *a, text_language language, sparse_query_term **out) {
    text_tokens found = text_analyze(a->analyzer, a->understood.text, language, SPARSE_MATCH_TERMS);
    sparse_query_term *terms = arena_alloc(&a->memory, (found.count + 1) * sizeof *terms);
    bool any = false;
    for (size_t i = 0; i < found.count; i++) any = any || !found.tokens[i].stopword;
    for (size_t i = 0; i < found.count; i++) {
        bool used = !found.tokens[i].stopword || !any;
        terms[i] = (sparse_query_term){.key = sparse_text_key(&a->memory, found.tokens[i].term), .weight = used ? 1 : 0};
    }
    *out = terms;
    return found.count;
}

static text_language language_of(const funnel_answer *a, const schema_field *field) {
    return field->detect ? a->understood.language : field->language;
}

static void put_match(const sparse_match *m, float *x) {
    x[C_FIELD_BM25] = m->bm25;
    x[C_FIELD_COVERAGE] = m->coverage;
    x[C_FIELD_EXACT] = m->exact;
    x[C_FIELD_PREFIX] = m->prefix;
    x[C_FIELD_PHRASE] = m->phrase;
    x[C_FIELD_PROXIMITY] = m->proximity;
    x[C_FIELD_FIRST] = m->first;
    x[C_FIELD_LENGTH] = m->length;
}

/* The text fields of one language. */
static void match_language(const description *d, text_language language, uint32_t n_text, sparse_match *matches, float *coverage) {
    funnel_answer *a = d->a;
    sparse_query_term *terms;
    size_t n_terms = words_in(a, language, &terms);
    sparse_match_fields(a->snapshot, terms, n_terms, d->documents, d->n, &a->memory, matches, coverage);
    for (size_t i = 0; i < d->n; i++) {
        float *x = row_of(d, i, COLUMNS_WORDS);
        x[C_COVERAGE] = isnan(x[C_COVERAGE]) ? coverage[i] : fmaxf(x[C_COVERAGE], coverage[i]);
        if (isnan(x[C_BM25])) x[C_BM25] = 0;
        uint32_t column = 0, kept = 0;
        for (uint32_t f = 0; f < a->schema->n_fields; f++) {
            const schema_field *field = &a->schema->fields[f];
            if (field->kind != SCHEMA_TEXT || column >= n_text) continue;
            const sparse_match *m = &matches[i * n_text + column];
            bool listed = kept < d->list->n_text && d->list->text[kept] == column;
            if (language_of(a, field) == language) {
                x[C_BM25] += field->weight * m->bm25;
                if (listed) put_match(m, x + C_FIELDS + kept * COLUMNS_PER_TEXT);
            }
            kept += listed;
            column++;
        }
    }
}

static void describe_words(const description *d) {
    funnel_answer *a = d->a;
    uint32_t n_text = sparse_match_columns(a->snapshot->config, NULL);
    bool done[TEXT_LANGUAGES] = {false};
    if (!a->n_terms || !n_text) return;
    sparse_match *matches = arena_alloc(&a->memory, (d->n * n_text + 1) * sizeof *matches);
    float *coverage = arena_alloc(&a->memory, (d->n + 1) * sizeof *coverage);
    for (uint32_t f = 0; f < a->schema->n_fields; f++) {
        const schema_field *field = &a->schema->fields[f];
        if (field->kind != SCHEMA_TEXT || done[language_of(a, field)]) continue;
        done[language_of(a, field)] = true;
        match_language(d, language_of(a, field), n_text, matches, coverage);
    }
}

/* ---- Memory and people ---- */

static void describe_memory(const description *d) {
    funnel_answer *a = d->a;
    gather rows;
    float all = 0;
    gather_init(&rows, a->n_rows, &a->memory);
    for (size_t i = 0; i < a->n_rows; i++) {
        gather_add(&rows, a->rows[i].document, (float)(i + 1));
        all += a->rows[i].rewards;
    }
    for (size_t i = 0; i < d->n; i++) {
        float *x = row_of(d, i, COLUMNS_MEMORY);
        uint32_t place = a->n_rows ? (uint32_t)gather_score(&rows, d->documents[i]) : 0;
        if (!place) continue;
        const memory_row *row = &a->rows[place - 1];
        x[C_MEMORY_PLACE] = (float)place;
        x[C_MEMORY_MEAN] = row->mean;
        x[C_MEMORY_DEVIATION] = row->deviation;
        x[C_MEMORY_SHOWN] = log1pf(row->impressions);
        x[C_MEMORY_REWARDS] = log1pf(row->rewards);
        x[C_MEMORY_SHARE] = all > 0 ? row->rewards / all : 0;
        memory_posterior(row->impressions, row->rewards, &x[C_MEMORY_SAME_MEAN], &x[C_MEMORY_SAME_DEVIATION]);
        x[C_MEMORY_LENT] = row->lent;
        x[C_MEMORY_PREDICTED] = row->predicted;
        x[C_MEMORY_WAY] = (float)row->way;
        if (row->rewards > 0) x[C_MEMORY_AGE] = log1pf((float)fmax(0, (double)(a->now - row->time) / (double)DECAY_DAY));
    }
}

/* The place of each document's type among the collection's types, by number of documents; UINT32_MAX: none. */
static void types_of(funnel_answer *a, const uint32_t *documents, size_t n, uint32_t *out) {
    int32_t field = a->snapshot->config->type;
    for (size_t i = 0; i < n; i++) {
        slice *values;
        out[i] = UINT32_MAX;
        if (field < 0 || !sparse_keywords_of(a->snapshot, documents[i], (uint32_t)field, &a->memory, &values)) continue;
        for (uint32_t t = 0; t < a->n_types && out[i] == UINT32_MAX; t++)
            if (slice_equal(a->types[t].name, values[0])) out[i] = t;
    }
}

static void put_group(const description *d, const trend *trends, uint64_t group, const uint32_t *types, uint32_t type, uint32_t column) {
    trend_document *list = arena_alloc(&d->a->memory, (d->n + 1) * sizeof *list);
    uint32_t *places = arena_alloc(&d->a->memory, (d->n + 1) * sizeof *places);
    size_t n = 0;
    for (size_t i = 0; i < d->n; i++) {
        if (types && types[i] != type) continue;
        places[n] = (uint32_t)i;
        list[n++] = (trend_document){.document = d->documents[i]};
    }
    trend_weights(trends, group, d->a->now, list, n);
    for (size_t i = 0; i < n; i++) row_of(d, places[i], COLUMNS_PEOPLE)[column] = log1pf(list[i].weight);
}

#define MOST_TYPES 64 /* that are told apart */

static void describe_people(const description *d) {
    funnel_answer *a = d->a;
    const trend *trends = a->funnel->behaviour ? behaviour_trends(a->funnel->behaviour) : NULL;
    if (!trends) return;
    uint32_t *types = arena_alloc(&a->memory, (d->n + 1) * sizeof *types);
    bool there[MOST_TYPES] = {false};
    types_of(a, d->documents, d->n, types);
    for (size_t i = 0; i < d->n; i++)
        if (types[i] < MOST_TYPES) there[types[i]] = true;
    put_group(d, trends, TREND_EVERYONE, NULL, 0, C_PEOPLE_EVERYONE);
    for (uint32_t t = 0; t < MOST_TYPES && t < a->n_types; t++)
        if (there[t]) put_group(d, trends, trend_type_group(a->types[t].name), types, t, C_PEOPLE_TYPE);
    if (a->asked.n_segments) put_group(d, trends, a->segments[a->asked.n_segments - 1], NULL, 0, C_PEOPLE_SEGMENT);
    trend_belief *beliefs = arena_alloc(&a->memory, (d->n + 1) * sizeof *beliefs);
    for (size_t i = 0; i < d->n; i++) beliefs[i] = (trend_belief){.document = d->documents[i]};
    trend_believe(trends, a->now, beliefs, d->n);
    for (size_t i = 0; i < d->n; i++) {
        float *x = row_of(d, i, COLUMNS_PEOPLE), after = row_of(d, i, COLUMNS_MEMORY)[C_MEMORY_REWARDS];
        x[C_PEOPLE_SHOWN] = log1pf(beliefs[i].shown);
        x[C_PEOPLE_MEAN] = beliefs[i].mean;
        x[C_PEOPLE_DEVIATION] = beliefs[i].deviation;
        x[C_PEOPLE_SURPRISE] = isnan(after) ? NAN : after - x[C_PEOPLE_EVERYONE];
    }
}

/* ---- The user ---- */

#define SEEDS 48     /* documents of the profile that a walk starts from, as the strategy "personal" does */
#define WALKED 2048  /* of the walk's ends */

static void describe_near(const description *d, const profile *p) {
    funnel_answer *a = d->a;
    graph_edge seeds[SEEDS], *near = arena_alloc(&a->memory, WALKED * sizeof *near);
    size_t n = 0;
    gather ends;
    for (; n < p->n_items && n < SEEDS; n++) seeds[n] = (graph_edge){p->items[n].document, p->items[n].weight};
    n = graph_walk(a->txn, behaviour_trends(a->funnel->behaviour), seeds, n, a->now, behaviour_half_life(a->funnel->behaviour),
                   WALKED, &a->memory, near);
    gather_init(&ends, n, &a->memory);
    for (size_t i = 0; i < n; i++) gather_add(&ends, near[i].document, (float)(i + 1));
    for (size_t i = 0; i < d->n; i++) {
        float *x = row_of(d, i, COLUMNS_USER);
        uint32_t place = n ? (uint32_t)gather_score(&ends, d->documents[i]) : 0;
        x[C_USER_NEAR] = place ? near[place - 1].weight / near[0].weight : 0;
        if (place) x[C_USER_NEAR_PLACE] = (float)place;
    }
}

/* ---- What is like the user's documents ---- */

#define LIKE_SEEDS 48 /* documents of the profile that are compared with, those chosen after this query first */

typedef struct likeness {
    gather all, here, own;
    size_t n_own;
} likeness;

static void add_neighbours(const description *d, likeness *l, const profile_item *item, float remembered, bool own) {
    graph_edge near[GRAPH_DEGREE];
    funnel_answer *a = d->a;
    size_t n = graph_neighbours(a->txn, behaviour_trends(a->funnel->behaviour), item->document, a->now,
                                behaviour_half_life(a->funnel->behaviour), near);
    float weight = log1pf(item->weight);
    for (size_t i = 0; i < n; i++) {
        gather_add(&l->all, near[i].document, weight * near[i].weight);
        if (remembered > 0) gather_add(&l->here, near[i].document, weight * remembered * near[i].weight);
        if (own) gather_add(&l->own, near[i].document, near[i].weight);
    }
}

static float best_of(const description *d, const gather *g) {
    float best = 0;
    for (size_t i = 0; i < d->a->n_candidates; i++) best = fmaxf(best, gather_score(g, d->a->candidates[i].document));
    return best > 0 ? best : 1;
}

static void describe_likeness(const description *d, const profile *p) {
    funnel_answer *a = d->a;
    uint32_t query = profile_query(&a->memory_key), used = 0, shared = 0;
    likeness l = {0};
    gather rows;
    gather_init(&rows, a->n_rows, &a->memory);
    for (size_t i = 0; i < a->n_rows; i++) gather_add(&rows, a->rows[i].document, a->rows[i].mean);
    gather_init(&l.all, LIKE_SEEDS * GRAPH_DEGREE, &a->memory);
    gather_init(&l.here, LIKE_SEEDS * GRAPH_DEGREE, &a->memory);
    gather_init(&l.own, LIKE_SEEDS * GRAPH_DEGREE, &a->memory);
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < p->n_items; i++) {
            bool own = a->n_terms && p->items[i].query == query;
            float remembered = a->n_rows ? gather_score(&rows, p->items[i].document) : 0;
            if (pass == 0) shared += remembered > 0;
            if (pass == 0) l.n_own += own;
            if (own != (pass == 0) || used == LIKE_SEEDS) continue;
            used++;
            add_neighbours(d, &l, &p->items[i], remembered, own);
        }
    float all = best_of(d, &l.all), here = best_of(d, &l.here), own = best_of(d, &l.own);
    for (size_t i = 0; i < d->n; i++) {
        float *x = row_of(d, i, COLUMNS_USER);
        x[C_USER_SIMILAR] = gather_score(&l.all, d->documents[i]) / all;
        x[C_USER_SIMILAR_HERE] = gather_score(&l.here, d->documents[i]) / here;
        x[C_USER_SIMILAR_OWN] = gather_score(&l.own, d->documents[i]) / own;
        x[C_USER_OWN] = log1pf((float)l.n_own);
        x[C_USER_SHARED] = p->n_items ? (float)shared / (float)p->n_items : 0;
    }
}

/* Favoured attribute values by hash of field and value: open addressing. */
typedef struct tastes {
    uint64_t keys[512];
    float weights[512];
} tastes;

static uint64_t taste_key(uint32_t field, slice value) { return hash64(value.data, value.size, field) | 1; }

static float taste_of(const tastes *t, uint64_t key) {
    size_t at = key >> 9 & 511;
    while (t->keys[at] && t->keys[at] != key) at = (at + 1) & 511;
    return t->keys[at] ? t->weights[at] : 0;
}

static void gather_tastes(const funnel_answer *a, const profile *p, tastes *out) {
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < p->n_attributes; i++) {
        uint64_t key = taste_key(p->attributes[i].field, p->attributes[i].value);
        size_t at = key >> 9 & 511;
        while (out->keys[at]) at = (at + 1) & 511; /* PROFILE_ATTRIBUTES leave room */
        out->keys[at] = key;
        out->weights[at] = p->attributes[i].weight;
    }
    (void)a;
}
_Static_assert(PROFILE_ATTRIBUTES < 512, "there is always a free place");

#define MOST_ATTRIBUTES 64

static void describe_tastes(const description *d, const profile *p) {
    funnel_answer *a = d->a;
    profile_attribute *own = arena_alloc(&a->memory, MOST_ATTRIBUTES * sizeof *own);
    tastes *known = arena_alloc(&a->memory, sizeof *known);
    int32_t type = a->snapshot->config->type;
    gather_tastes(a, p, known);
    for (size_t i = 0; i < d->n; i++) {
        float *x = row_of(d, i, COLUMNS_USER);
        size_t n = behaviour_attributes(a->snapshot, d->documents[i], &a->memory, MOST_ATTRIBUTES, own);
        x[C_USER_ATTRIBUTES] = x[C_USER_TYPE] = 0;
        for (size_t v = 0; v < n; v++) {
            float weight = taste_of(known, taste_key(own[v].field, own[v].value));
            if ((int32_t)own[v].field == type) x[C_USER_TYPE] += weight;
            else x[C_USER_ATTRIBUTES] += weight;
        }
        x[C_USER_ATTRIBUTES] = log1pf(x[C_USER_ATTRIBUTES]);
        x[C_USER_TYPE] = log1pf(x[C_USER_TYPE]);
    }
}

static void describe_user(const description *d) {
    funnel_answer *a = d->a;
    const profile *p = a->profile;
    gather items;
    if (!p) return;
    gather_init(&items, p->n_items, &a->memory);
    for (uint32_t i = 0; i < p->n_items; i++) gather_add(&items, p->items[i].document, (float)(i + 1));
    for (size_t i = 0; i < d->n; i++) {
        float *x = row_of(d, i, COLUMNS_USER);
        uint32_t place = p->n_items ? (uint32_t)gather_score(&items, d->documents[i]) : 0;
        x[C_USER_CHOSEN] = place ? p->items[place - 1].weight : 0;
        x[C_USER_ORIGIN] = place ? (float)p->items[place - 1].origin : 0;
        if (place) x[C_USER_PLACE] = (float)place;
        x[C_USER_EVENTS] = log1pf((float)p->events);
        x[C_USER_ITEMS] = log1pf((float)p->n_items);
    }
    if (p->n_items && a->funnel->behaviour) {
        describe_near(d, p);
        describe_likeness(d, p);
    }
    if (p->n_attributes) describe_tastes(d, p);
}

/* ---- The document ---- */

/* The best of a type among all candidates, so that a row is the same whichever rows are asked for. */
typedef struct standard {
    float popularity[MOST_TYPES + 1];
    uint64_t version[MOST_TYPES + 1], newest;
} standard;

static uint32_t bounded(uint32_t type) { return type < MOST_TYPES ? type : MOST_TYPES; }

static void describe_documents(const description *d) {
    funnel_answer *a = d->a;
    size_t n = a->n_candidates;
    standard *s = arena_zalloc(&a->memory, 1, sizeof *s);
    uint32_t *documents = arena_alloc(&a->memory, (n + 1) * sizeof *documents), *types = arena_alloc(&a->memory, (n + 1) * sizeof *types);
    uint64_t *versions = arena_alloc(&a->memory, (n + 1) * sizeof *versions);
    for (size_t i = 0; i < n; i++) documents[i] = a->candidates[i].document;
    types_of(a, documents, n, types);
    for (size_t i = 0; i < n; i++) {
        uint32_t t = bounded(types[i]);
        versions[i] = sparse_version_of(a->snapshot, documents[i]);
        s->popularity[t] = fmaxf(s->popularity[t], sparse_prior_of(a->snapshot, documents[i]));
        if (versions[i] > s->version[t]) s->version[t] = versions[i];
        if (versions[i] > s->newest) s->newest = versions[i];
    }
    for (size_t i = 0; i < d->n; i++) {
        float *x = row_of(d, i, COLUMNS_DOCUMENT);
        uint32_t c = d->candidates[i], t = bounded(types[c]);
        x[C_DOCUMENT_POPULARITY] = sparse_prior_of(a->snapshot, documents[c]);
        x[C_DOCUMENT_IN_TYPE] = s->popularity[t] > 0 ? x[C_DOCUMENT_POPULARITY] / s->popularity[t] : 0;
        x[C_DOCUMENT_BEHIND] = log1pf((float)(s->newest - versions[c]));
        x[C_DOCUMENT_BEHIND_IN_TYPE] = log1pf((float)(s->version[t] - versions[c]));
        if (types[c] != UINT32_MAX) x[C_DOCUMENT_TYPE] = (float)types[c];
    }
}

/* ---- The request ---- */

static float likelihood_of(const funnel_answer *a, understand_kind kind) {
    float sum = 0;
    for (size_t i = 0; i < a->understood.n_interpretations; i++)
        if (a->understood.interpretations[i].kind == kind) sum += (float)a->understood.interpretations[i].likelihood;
    return sum;
}

static void describe_query(const description *d) {
    const funnel_answer *a = d->a;
    float q[C_QUERY_REWARDS + 1], rewards = 0;
    for (size_t i = 0; i < a->n_rows; i++) rewards += a->rows[i].rewards;
    q[C_QUERY_WORDS] = (float)a->n_terms;
    q[C_QUERY_LETTERS] = (float)a->understood.normalized.size;
    q[C_QUERY_RARITY] = a->rarity;
    q[C_QUERY_TYPE] = likelihood_of(a, UNDERSTAND_TYPE_WORD);
    q[C_QUERY_YEAR] = likelihood_of(a, UNDERSTAND_YEAR);
    q[C_QUERY_YEAR_MATCH] = NAN; /* the document's: describe_fields */
    q[C_QUERY_LANGUAGE] = a->understood.language != a->schema->language;
    q[C_QUERY_DIGITS] = a->understood.has_digits;
    q[C_QUERY_IDENTIFIER] = a->understood.looks_like_identifier;
    q[C_QUERY_STOPWORDS] = a->understood.all_stopwords;
    q[C_QUERY_MATCHING] = log1pf((float)a->matching.count);
    q[C_QUERY_REMEMBERED] = log1pf((float)a->n_rows);
    q[C_QUERY_REWARDS] = log1pf(rewards);
    for (size_t i = 0; i < d->n; i++) memcpy(row_of(d, i, COLUMNS_QUERY), q, sizeof q);
}

#define HOUR_US ((int64_t)3600 * 1000000)

static void describe_context(const description *d) {
    const funnel_answer *a = d->a;
    int64_t hours = a->now / HOUR_US;
    float c[] = {[C_CONTEXT_HOUR] = (float)(hours % 24), [C_CONTEXT_WEEKDAY] = (float)((hours / 24 + 4) % 7), /* 1970 began on a Thursday */
                 [C_CONTEXT_SEGMENTS] = (float)a->asked.n_segments, [C_CONTEXT_USER] = a->asked.known_user};
    for (size_t i = 0; i < d->n; i++) memcpy(row_of(d, i, COLUMNS_CONTEXT), c, sizeof c);
}

#define YEAR_SECONDS 31556952.0 /* of the Gregorian calendar, on average */

/* Numbers are years as they are; dates are seconds since 1970, and near the turn of a year may count for either. */
static bool in_year(double value, schema_kind kind, int year) {
    return kind == SCHEMA_DATE ? floor(1970 + value / YEAR_SECONDS) == year : value == year;
}

static void describe_fields(const description *d) {
    funnel_answer *a = d->a;
    int year = 0;
    for (size_t r = 0; r < a->understood.n_interpretations; r++)
        if (a->understood.interpretations[r].kind == UNDERSTAND_YEAR) year = a->understood.interpretations[r].year;
    schema_kind kinds[SPARSE_MAX_FIELDS];
    for (uint32_t f = 0; f < a->schema->n_fields; f++)
        if (a->schema->fields[f].sparse >= 0) kinds[a->schema->fields[f].sparse] = a->schema->fields[f].kind;
    for (size_t i = 0; i < d->n; i++) {
        float *x = row_of(d, i, COLUMNS_FIELD), *match = row_of(d, i, COLUMNS_QUERY) + C_QUERY_YEAR_MATCH;
        if (year) *match = 0;
        for (uint32_t f = 0; f < d->list->n_numbers; f++) {
            double value = sparse_number_of(a->snapshot, d->documents[i], d->list->number[f]);
            x[f] = (float)value;
            if (year && in_year(value, kinds[d->list->number[f]], year)) *match = 1;
        }
    }
}

/* A number holds for all candidates; an object has the number of each document by its id. */
static void describe_request(const description *d) {
    funnel_answer *a = d->a;
    const json_value *given = a->request->features;
    for (uint32_t f = 0; given && f < d->list->n_request; f++) {
        const json_value *value = json_get(given, d->list->request[f]);
        if (!value) continue;
        if (value->type == JSON_NUMBER)
            for (size_t i = 0; i < d->n; i++) row_of(d, i, COLUMNS_REQUEST)[f] = (float)value->number;
        if (value->type != JSON_OBJECT || !value->count) continue;
        gather by_document;
        const json_value **members = arena_alloc(&a->memory, value->count * sizeof *members);
        size_t n = 0;
        gather_init(&by_document, value->count, &a->memory);
        for (const json_value *m = value->first; m; m = m->next) {
            uint32_t number;
            if (m->type != JSON_NUMBER || !collection_number_of(a->txn, m->key, &number)) continue;
            members[n++] = m;
            gather_add(&by_document, number, (float)n);
        }
        for (size_t i = 0; i < d->n && n; i++) {
            uint32_t place = (uint32_t)gather_score(&by_document, d->documents[i]);
            if (place) row_of(d, i, COLUMNS_REQUEST)[f] = (float)members[place - 1]->number;
        }
    }
}

/* ---- All ---- */

static void (*const describers[COLUMNS_SOURCES])(const description *) = {
    [COLUMNS_STRATEGY] = describe_strategies, [COLUMNS_WORDS] = describe_words, [COLUMNS_MEMORY] = describe_memory,
    [COLUMNS_PEOPLE] = describe_people, [COLUMNS_USER] = describe_user, [COLUMNS_DOCUMENT] = describe_documents,
    [COLUMNS_QUERY] = describe_query, [COLUMNS_CONTEXT] = describe_context, [COLUMNS_FIELD] = describe_fields,
    [COLUMNS_REQUEST] = describe_request};

void funnel_describe_rest(funnel_answer *a, const uint32_t *candidates, size_t n) {
    uint32_t *rows = arena_alloc(&a->memory, (n + 1) * sizeof *rows), *documents = arena_alloc(&a->memory, (n + 1) * sizeof *documents);
    description d = {.a = a, .list = a->columns, .candidates = rows, .documents = documents};
    for (size_t i = 0; i < n; i++) {
        if (a->described[candidates[i]]) continue;
        a->described[candidates[i]] = true;
        rows[d.n] = candidates[i];
        documents[d.n++] = a->candidates[candidates[i]].document;
    }
    if (!d.n) return;
    const os_clock *clock = &os_clock_system;
    int64_t before = clock_monotonic(clock);
    for (columns_source s = COLUMNS_STRATEGY; s < COLUMNS_SOURCES; s++) {
        describers[s](&d);
        int64_t now = clock_monotonic(clock);
        atomic_fetch_add_explicit(&a->funnel->column_us[s], (uint64_t)(now - before), memory_order_relaxed);
        before = now;
    }
    for (size_t i = 0; i < d.n; i++) funnel_describe_given(a, rows[i], a->columns->first[COLUMNS_STRATEGY], a->columns->n);
    atomic_fetch_add_explicit(&a->funnel->described_requests, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&a->funnel->described_rows, d.n, memory_order_relaxed);
}

void funnel_column_costs(funnel *f, double per_request[COLUMNS_SOURCES], double per_candidate[COLUMNS_SOURCES]) {
    double requests = (double)atomic_load(&f->described_requests), rows = (double)atomic_load(&f->described_rows);
    for (columns_source s = 0; s < COLUMNS_SOURCES; s++) {
        double us = (double)atomic_load(&f->column_us[s]);
        per_request[s] = requests > 0 ? us / requests : 0;
        per_candidate[s] = rows > 0 ? us / rows : 0;
    }
}
