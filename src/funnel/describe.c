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

static uint32_t type_at(const funnel_answer *a, const sparse_segment *segment, uint32_t place) {
    int32_t field = a->snapshot->config->type;
    sparse_keywords column;
    if (field < 0 || !sparse_segment_keywords(segment, (uint32_t)field, &column)) return UINT32_MAX;
    if (column.starts[place] == column.starts[place + 1]) return UINT32_MAX;
    slice value = sparse_segment_keyword_value(segment, (uint32_t)field, column.ordinals[column.starts[place]]);
    for (uint32_t t = 0; t < a->n_types; t++)
        if (slice_equal(a->types[t].name, value)) return t;
    return UINT32_MAX;
}

const describe_indexed *describe_look_up(funnel_answer *a) {
    if (a->indexed) return a->indexed;
    for (uint32_t p = 0; p < a->snapshot->n_parts; p++)
        for (size_t i = 0; i < a->n_candidates; i++)
            sparse_segment_find_soon(a->snapshot->parts[p].segment, a->candidates[i].document);
    describe_indexed *list = arena_alloc(&a->memory, (a->n_candidates + 1) * sizeof *list);
    for (size_t i = 0; i < a->n_candidates; i++) {
        uint32_t part, place;
        float most;
        list[i] = (describe_indexed){.type = UINT32_MAX};
        if (!sparse_snapshot_find(a->snapshot, a->candidates[i].document, &part, &place)) continue;
        const sparse_segment *segment = a->snapshot->parts[part].segment;
        const float *prior = sparse_segment_prior(segment, &most);
        list[i] = (describe_indexed){type_at(a, segment, place), prior ? prior[place] : 0, sparse_segment_version(segment, place),
                                     segment, place};
    }
    a->indexed = list;
    return list;
}

/* The group's weights of the documents that anybody engaged with (beliefs), and of this type, unless types is NULL. What nobody
 * engaged with no group did: it is not looked for. */
static void put_group(const description *d, const trend *trends, uint64_t group, const trend_belief *beliefs, const uint32_t *types,
                      uint32_t type, uint32_t column) {
    trend_document *list = arena_alloc(&d->a->memory, (d->n + 1) * sizeof *list);
    uint32_t *places = arena_alloc(&d->a->memory, (d->n + 1) * sizeof *places);
    size_t n = 0;
    for (size_t i = 0; i < d->n; i++) {
        if (types && types[i] != type) continue;
        row_of(d, i, COLUMNS_PEOPLE)[column] = 0;
        if (!(beliefs[i].engaged > 0)) continue;
        places[n] = (uint32_t)i;
        list[n++] = (trend_document){.document = d->documents[i]};
    }
    if (n) trend_weights(trends, group, d->a->now, list, n);
    for (size_t i = 0; i < n; i++) row_of(d, places[i], COLUMNS_PEOPLE)[column] = log1pf(list[i].weight);
}

#define MOST_TYPES 64 /* that are told apart */

static void describe_people(const description *d) {
    funnel_answer *a = d->a;
    const trend *trends = a->funnel->behaviour ? behaviour_trends(a->funnel->behaviour) : NULL;
    if (!trends) return;
    const describe_indexed *known = describe_look_up(a);
    uint32_t *types = arena_alloc(&a->memory, (d->n + 1) * sizeof *types);
    bool there[MOST_TYPES] = {false};
    trend_belief *beliefs = arena_alloc(&a->memory, (d->n + 1) * sizeof *beliefs);
    for (size_t i = 0; i < d->n; i++) {
        beliefs[i] = (trend_belief){.document = d->documents[i]};
        types[i] = known[d->candidates[i]].type;
        if (types[i] < MOST_TYPES) there[types[i]] = true;
    }
    trend_believe(trends, a->now, beliefs, d->n);
    for (uint32_t t = 0; t < MOST_TYPES && t < a->n_types; t++)
        if (there[t]) put_group(d, trends, trend_type_group(a->types[t].name), beliefs, types, t, C_PEOPLE_TYPE);
    if (a->asked.n_segments) put_group(d, trends, a->segments[a->asked.n_segments - 1], beliefs, NULL, 0, C_PEOPLE_SEGMENT);
    for (size_t i = 0; i < d->n; i++) {
        float *x = row_of(d, i, COLUMNS_PEOPLE), after = row_of(d, i, COLUMNS_MEMORY)[C_MEMORY_REWARDS];
        x[C_PEOPLE_EVERYONE] = log1pf(beliefs[i].engaged);
        x[C_PEOPLE_SHOWN] = log1pf(beliefs[i].shown);
        x[C_PEOPLE_MEAN] = beliefs[i].mean;
        x[C_PEOPLE_DEVIATION] = beliefs[i].deviation;
        x[C_PEOPLE_SURPRISE] = isnan(after) ? NAN : after - x[C_PEOPLE_EVERYONE];
    }
}

/* ---- What is like the user's documents ---- */

#define LIKE_SEEDS 48 /* documents of the profile that are compared with, those chosen after this query first */

/* Similarity to the user's documents, for every candidate. */
typedef struct likeness {
    gather places; /* of candidates: place + 1 */
    float *all, *here, *own;
    size_t n_own;
} likeness;

/* item: by what it counts, its engagement. */
static void add_neighbours(const description *d, likeness *l, const profile_item *item, float engagement, float remembered, bool own) {
    graph_edge ties[GRAPH_DEGREE];
    funnel_answer *a = d->a;
    size_t n = graph_ties(a->txn, item->document, a->now, behaviour_half_life(a->funnel->behaviour), ties);
    float damping = graph_damping(engagement), weight = log1pf(item->weight) * damping;
    for (size_t i = 0; i < n; i++) {
        uint32_t place = (uint32_t)gather_score(&l->places, ties[i].document);
        if (!place) continue;
        l->all[place - 1] += weight * ties[i].weight;
        l->here[place - 1] += remembered * weight * ties[i].weight;
        if (own) l->own[place - 1] += damping * ties[i].weight;
    }
}

static float best_of(const float *values, size_t n) {
    float best = 0;
    for (size_t i = 0; i < n; i++) best = fmaxf(best, values[i]);
    return best > 0 ? best : 1;
}

/* The seeds: those chosen after this query, then the others by weight. Returns how many. */
static uint32_t choose_seeds(const funnel_answer *a, const profile *p, const profile_item **seeds, size_t *n_own) {
    uint32_t query = profile_query(&a->memory_key), n = 0;
    *n_own = 0;
    for (int others = 0; others < 2; others++)
        for (uint32_t i = 0; i < p->n_items; i++) {
            bool own = a->n_terms && p->items[i].query == query;
            *n_own += own && !others;
            if (own != others && n < LIKE_SEEDS) seeds[n++] = &p->items[i];
        }
    return n;
}

static likeness likeness_of(const description *d, const profile *p, const gather *rows) {
    funnel_answer *a = d->a;
    size_t n = a->n_candidates;
    likeness l = {.all = arena_zalloc(&a->memory, 3 * n + 1, sizeof *l.all)};
    l.here = l.all + n;
    l.own = l.all + 2 * n;
    const profile_item *seeds[LIKE_SEEDS];
    uint32_t n_seeds = choose_seeds(a, p, seeds, &l.n_own);
    trend_document *engaged = arena_alloc(&a->memory, (n + LIKE_SEEDS) * sizeof *engaged);
    gather_init(&l.places, n, &a->memory);
    for (size_t i = 0; i < n; i++) {
        gather_add(&l.places, a->candidates[i].document, (float)(i + 1));
        engaged[i].document = a->candidates[i].document;
    }
    for (uint32_t i = 0; i < n_seeds; i++) engaged[n + i].document = seeds[i]->document;
    trend_weights(behaviour_trends(a->funnel->behaviour), TREND_EVERYONE, a->now, engaged, n + n_seeds);
    for (uint32_t i = 0; i < n_seeds; i++) {
        float remembered = a->n_rows ? gather_score(rows, seeds[i]->document) : 0;
        add_neighbours(d, &l, seeds[i], engaged[n + i].weight, remembered, i < l.n_own);
    }
    for (size_t i = 0; i < n; i++) {
        float damping = graph_damping(engaged[i].weight);
        l.all[i] *= damping;
        l.here[i] *= damping;
        l.own[i] *= damping;
    }
    return l;
}

static void describe_likeness(const description *d, const profile *p) {
    funnel_answer *a = d->a;
    uint32_t shared = 0;
    gather rows;
    gather_init(&rows, a->n_rows, &a->memory);
    for (size_t i = 0; i < a->n_rows; i++) gather_add(&rows, a->rows[i].document, a->rows[i].mean);
    for (uint32_t i = 0; a->n_rows && i < p->n_items; i++) shared += gather_score(&rows, p->items[i].document) > 0;
    likeness l = likeness_of(d, p, &rows);
    float all = best_of(l.all, a->n_candidates), here = best_of(l.here, a->n_candidates), own = best_of(l.own, a->n_candidates);
    for (size_t i = 0; i < d->n; i++) {
        float *x = row_of(d, i, COLUMNS_USER);
        uint32_t c = d->candidates[i];
        x[C_USER_SIMILAR] = l.all[c] / all;
        x[C_USER_SIMILAR_HERE] = l.here[c] / here;
        x[C_USER_SIMILAR_OWN] = l.own[c] / own;
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

static void gather_tastes(const profile *p, tastes *out) {
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < p->n_attributes; i++) {
        uint64_t key = taste_key(p->attributes[i].field, p->attributes[i].value);
        size_t at = key >> 9 & 511;
        while (out->keys[at]) at = (at + 1) & 511; /* PROFILE_ATTRIBUTES leave room */
        out->keys[at] = key;
        out->weights[at] = p->attributes[i].weight;
    }
}
_Static_assert(PROFILE_ATTRIBUTES < 512, "there is always a free place");

#define MOST_ATTRIBUTES 64

static void describe_tastes(const description *d, const profile *p) {
    funnel_answer *a = d->a;
    profile_attribute *own = arena_alloc(&a->memory, MOST_ATTRIBUTES * sizeof *own);
    tastes *known = arena_alloc(&a->memory, sizeof *known);
    int32_t type = a->snapshot->config->type;
    gather_tastes(p, known);
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
    if (p->n_items && a->funnel->behaviour) describe_likeness(d, p);
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
    const describe_indexed *known = describe_look_up(a);
    standard *s = arena_zalloc(&a->memory, 1, sizeof *s);
    for (size_t i = 0; i < a->n_candidates; i++) {
        uint32_t t = bounded(known[i].type);
        s->popularity[t] = fmaxf(s->popularity[t], known[i].popularity);
        if (known[i].version > s->version[t]) s->version[t] = known[i].version;
        if (known[i].version > s->newest) s->newest = known[i].version;
    }
    for (size_t i = 0; i < d->n; i++) {
        float *x = row_of(d, i, COLUMNS_DOCUMENT);
        const describe_indexed *own = &known[d->candidates[i]];
        uint32_t t = bounded(own->type);
        x[C_DOCUMENT_POPULARITY] = own->popularity;
        x[C_DOCUMENT_IN_TYPE] = s->popularity[t] > 0 ? own->popularity / s->popularity[t] : 0;
        if (!own->version) continue;
        x[C_DOCUMENT_BEHIND] = log1pf((float)(s->newest - own->version));
        x[C_DOCUMENT_BEHIND_IN_TYPE] = log1pf((float)(s->version[t] - own->version));
        if (own->type != UINT32_MAX) x[C_DOCUMENT_TYPE] = (float)own->type;
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
    const describe_indexed *known = describe_look_up(a);
    for (size_t i = 0; i < d->n; i++) {
        const describe_indexed *own = &known[d->candidates[i]];
        float *x = row_of(d, i, COLUMNS_FIELD), *match = row_of(d, i, COLUMNS_QUERY) + C_QUERY_YEAR_MATCH;
        if (year) *match = 0;
        for (uint32_t f = 0; f < d->list->n_numbers; f++) {
            const double *numbers = own->version ? sparse_segment_numbers(own->segment, d->list->number[f]) : NULL;
            double value = numbers ? numbers[own->place] : NAN;
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

static void (*const describers[COLUMNS_CROSS])(const description *) = {
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
    for (columns_source s = COLUMNS_STRATEGY; s < COLUMNS_CROSS; s++) { /* cross_stage.c puts its own where it belongs */
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
