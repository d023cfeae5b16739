/* Understand: what may this query mean, and what is known about it already? */
#include "funnel/answer.h"

#include "collection/document.h"
#include "collection/filter_json.h"

#include <math.h>
#include <string.h>

/* Popularity's share of the best possible lexical score: enough to order equals, too little to beat a word. */
#define PRIOR_SHARE 0.1f

/* Adds the words of the query as this language's fields hold them. A term that is there already counts as often as the
 * first language had it. */
static void add_terms(funnel_answer *a, text_language language, size_t *capacity) {
    text_tokens found = text_analyze(a->analyzer, a->understood.text, language, UNDERSTAND_MAX_TOKENS);
    text_token *used = arena_alloc(&a->memory, (found.count + 1) * sizeof *used);
    size_t n = text_query_tokens(found, used), before = a->n_terms;
    if (before + n > *capacity) {
        *capacity = before + n;
        sparse_query_term *grown = arena_alloc(&a->memory, *capacity * sizeof *grown);
        if (before) memcpy(grown, a->terms, before * sizeof *grown);
        a->terms = grown;
    }
    for (size_t i = 0; i < n; i++) {
        slice key = sparse_text_key(&a->memory, used[i].term);
        bool known = false;
        for (size_t j = 0; j < before && !known; j++) known = slice_equal(a->terms[j].key, key);
        if (!known) a->terms[a->n_terms++] = (sparse_query_term){.key = key, .weight = 1};
    }
}

#define COMPLETIONS 12
#define COMPLETION_WEIGHT 0.7f /* of what a word typed to its end weighs */

/* Words that begin with the last one, which is still being typed, count as if all were one word: each gets the rarity that
 * they have together, or a rare accident ("hunza" for "hun") would beat what is meant. The same goes for the letters that
 * are there already. One letter begins too much: it waits for the next. */
static void add_completions(funnel_answer *a) {
    const understand_query *u = &a->understood;
    if (!u->n_tokens) return;
    const understand_token *last = &u->tokens[u->n_tokens - 1];
    if (last->end != u->text.size) return; /* a space or a sign ended it */
    slice typed = sparse_text_key(&a->memory, last->term);
    if (last->folded.size < 2) {
        if (a->n_terms > 1 && slice_equal(a->terms[a->n_terms - 1].key, typed)) a->n_terms--;
        return;
    }
    sparse_completion found[COMPLETIONS];
    size_t n = sparse_complete(a->snapshot, sparse_text_key(&a->memory, last->folded), COMPLETIONS, &a->memory, found);
    uint64_t together = 0;
    for (size_t i = 0; i < n; i++) together += found[i].df;
    float rarity = sparse_idf_of(a->snapshot, together);
    sparse_query_term *terms = arena_alloc(&a->memory, (a->n_terms + n + 1) * sizeof *terms);
    size_t kept = a->n_terms;
    if (kept) memcpy(terms, a->terms, kept * sizeof *terms);
    a->terms = terms;
    for (size_t i = 0; i < n; i++) {
        size_t same = 0;
        while (same < kept && !slice_equal(terms[same].key, found[i].key)) same++;
        float own = sparse_idf_of(a->snapshot, found[i].df), weight = own > 0 ? rarity / own : 0;
        if (same == kept) terms[a->n_terms++] = (sparse_query_term){.key = found[i].key, .weight = COMPLETION_WEIGHT * weight};
        else if (slice_equal(found[i].key, typed)) terms[same].weight = weight;
    }
}

/* A document's words were stemmed by its field's language, so the query's are too, once for each language in use. */
static void make_terms(funnel_answer *a) {
    bool used[TEXT_LANGUAGES] = {false};
    size_t capacity = 0;
    for (uint32_t i = 0; i < a->schema->n_fields; i++) {
        const schema_field *f = &a->schema->fields[i];
        if (f->kind != SCHEMA_TEXT) continue;
        used[f->language] = true;
        if (f->detect) used[a->understood.language] = true;
    }
    a->n_terms = 0;
    for (int language = 0; language < TEXT_LANGUAGES; language++)
        if (used[language]) add_terms(a, (text_language)language, &capacity);
    if (a->request->prefix) add_completions(a);
    a->rarity = a->spread = 0;
    float best = 0, documents = (float)a->snapshot->live_documents;
    for (size_t i = 0; i < a->n_terms; i++) {
        float rare = sparse_idf(a->snapshot, a->terms[i].key), idf = a->terms[i].weight * rare;
        best += idf;
        a->spread += documents * expf(-rare);
        if (idf > a->rarity) a->rarity = idf;
    }
    a->asked.prior_weight = PRIOR_SHARE * best;
}

static forage_status check_facets(const funnel_answer *a, base_error *error) {
    for (size_t i = 0; i < a->request->n_facets; i++) {
        const schema_field *field = schema_find(a->schema, a->request->facets[i].field);
        if (!field)
            return error_set(error, FORAGE_E_INVALID, "\"facets\": there is no field \"%.*s\"",
                             SLICE_ARG(a->request->facets[i].field));
        if (field->kind == SCHEMA_TEXT || field->sparse < 0)
            return error_set(error, FORAGE_E_INVALID, "\"facets\": \"%s\" is a %s field; keyword, number, date and reference "
                             "fields can be counted", field->name, schema_kind_name(field->kind));
    }
    return FORAGE_OK;
}

/* The query's own language, where a request names it or the text shows it; else the collection's. */
static void understand(funnel_answer *a) {
    text_language context = TEXT_ANY;
    if (a->request->context_language.size) (void)text_language_from_code(a->request->context_language, &context);
    understand_type *known = arena_alloc(&a->memory, (a->n_types + 1) * sizeof *known);
    for (size_t i = 0; i < a->n_types; i++) known[i] = (understand_type){a->types[i].name, a->types[i].documents};
    understand_options options = {.default_language = a->schema->language, .context_language = context, .types = known,
                                  .n_types = a->n_types};
    understand_analyze(a->analyzer, a->request->query, &options, &a->memory, &a->understood);
}

/* For whom: the request's own segments; when it names none, those that its user was last seen with. */
static void find_asker(funnel_answer *a) {
    const funnel_request *request = a->request;
    segment_fields fields = funnel_segment_fields(a->schema);
    hash128 key;
    a->profile = NULL;
    if (profile_key(request->user, request->session, &key)) {
        profile *known = arena_alloc(&a->memory, sizeof *known);
        if (profile_read(a->txn, &key, known)) a->profile = known;
    }
    a->n_context_segments = segments_of(&fields, request->context, a->context_segments);
    a->asked.n_segments = a->n_context_segments;
    for (size_t i = 0; i < a->n_context_segments; i++) a->segments[i] = a->context_segments[i].hash;
    if (a->n_context_segments || !a->profile) return;
    for (uint32_t i = 0; i < a->profile->n_segments && i < SEGMENTS_MAX; i++) a->segments[i] = a->profile->segments[i];
    a->asked.n_segments = a->profile->n_segments < SEGMENTS_MAX ? a->profile->n_segments : SEGMENTS_MAX;
}

/* The type that a word of the query most likely means. */
static slice type_asked_for(const funnel_answer *a) {
    for (size_t i = 0; i < a->understood.n_interpretations; i++)
        if (a->understood.interpretations[i].kind == UNDERSTAND_TYPE_WORD) return a->understood.interpretations[i].type;
    return (slice){0};
}

static void remember(funnel_answer *a) {
    memory_question question = {.normalized = a->understood.normalized, .language = a->understood.language,
                                .analyzer = a->analyzer, .segments = a->context_segments,
                                .n_segments = a->n_context_segments, .now = a->now};
    a->memory_key = memory_key(a->understood.normalized);
    a->n_rows = query_memory_ask(a->funnel->memory, a->txn, &question, FUNNEL_MAX_ROWS, &a->memory, &a->rows);
}

/* The field of that kind that a request's vector or weights are for; NULL: none. `name` empty: the first that documents bring. */
static const schema_field *field_for(const funnel_answer *a, schema_kind kind, slice name) {
    for (uint32_t i = 0; i < a->schema->n_fields; i++) {
        const schema_field *f = &a->schema->fields[i];
        if (f->kind == kind && (name.size ? slice_is(name, f->name) : f->vector.encoder == SCHEMA_ENCODER_NONE)) return f;
    }
    return NULL;
}

static forage_status find_vector_field(const funnel_answer *a, const schema_field **out, base_error *error) {
    slice name = a->request->vector_field;
    *out = field_for(a, SCHEMA_VECTOR, name);
    if (*out) return FORAGE_OK;
    if (name.size) return error_set(error, FORAGE_E_INVALID, "\"vector_field\": there is no vector field \"%.*s\"", SLICE_ARG(name));
    return error_set(error, FORAGE_E_INVALID, "\"vector\": no vector field of the collection takes vectors from documents; name one by "
                     "\"vector_field\"");
}

/* Of the tokens and weights that the request brings; *field NULL: none. */
static forage_status check_weights(const funnel_answer *a, const schema_field **field, base_error *error) {
    const funnel_request *r = a->request;
    *field = NULL;
    if (!r->weights) return FORAGE_OK;
    *field = field_for(a, SCHEMA_WEIGHTS, r->weights_field);
    if (!*field && r->weights_field.size)
        return error_set(error, FORAGE_E_INVALID, "\"weights_field\": there is no field of weights \"%.*s\"", SLICE_ARG(r->weights_field));
    if (!*field)
        return error_set(error, FORAGE_E_INVALID, "\"weights\": no field of weights of the collection takes them from documents; name one "
                         "by \"weights_field\"");
    if (!document_weights_check(*field, r->weights, error)) return FORAGE_OK;
    error_prefix(error, "\"weights\"");
    if (error) error->status = FORAGE_E_INVALID;
    return FORAGE_E_INVALID;
}

static forage_status read_vector(funnel_answer *a, const schema_field **field, float **vector, base_error *error) {
    const json_value *given = a->request->vector;
    *field = NULL;
    *vector = NULL;
    if (!given) return FORAGE_OK;
    forage_status status = find_vector_field(a, field, error);
    if (status) return status;
    if (given->count != (*field)->dimensions)
        return error_set(error, FORAGE_E_INVALID, "\"vector\": \"%s\" has %u dimensions, got %zu numbers", (*field)->name,
                         (*field)->dimensions, given->count);
    float *out = *vector = arena_alloc(&a->memory, (given->count + 1) * sizeof *out);
    bool zero = true;
    for (const json_value *number = given->first; number; number = number->next, out++) {
        *out = (float)number->number;
        zero = zero && *out == 0;
    }
    if (zero && (*field)->vector.metric == DENSE_COSINE)
        return error_set(error, FORAGE_E_INVALID, "\"vector\": a vector of zeros has no direction, which cosine compares");
    return FORAGE_OK;
}

/* What is asked for besides words: nothing is encoded yet. */
static forage_status ask_vectors(funnel_answer *a, base_error *error) {
    const schema_field *field, *weights_field;
    float *vector;
    uint32_t like = UINT32_MAX;
    slice id = a->request->like;
    forage_status status = read_vector(a, &field, &vector, error);
    if (!status) status = check_weights(a, &weights_field, error);
    if (!status && id.size && !collection_number_of(a->txn, id, &like))
        status = error_set(error, FORAGE_E_NO_DOCUMENT, "\"like\": there is no document \"%.*s\"", SLICE_ARG(id));
    if (status) return status;
    a->meaning = vectors_ask(a->funnel->vectors, a->request->query, field, vector, like);
    a->asked.meaning = a->meaning;
    a->expansion = weights_ask(a->funnel->vectors, a->request->query, weights_field, a->request->weights);
    a->asked.expansion = a->expansion;
    if (like != UINT32_MAX) {
        uint32_t *kept = arena_alloc(&a->memory, sizeof *kept);
        *kept = like;
        a->asked.like = kept;
    }
    return FORAGE_OK;
}

forage_status funnel_understand(funnel_answer *a, base_error *error) {
    funnel *f = a->funnel;
    collection_refresh(f->collection);
    a->schema = collection_schema(f->collection);
    a->snapshot = collection_acquire(f->collection);
    a->now = a->request->time ? a->request->time : clock_wall(collection_clock(f->collection));
    forage_status status = store_read_begin(collection_store(f->collection), &a->txn, error);
    if (!status) status = check_facets(a, error);
    const sparse_filter *filter = NULL;
    if (!status) status = filter_read(a->schema, a->request->filter, a->analyzer, &a->memory, &filter, error);
    if (status) return status;
    a->n_types = collection_types(f->collection, a->snapshot, &a->memory, &a->types);
    understand(a);
    make_terms(a);
    sparse_eligible_compute(a->snapshot, filter, &a->memory, &a->eligible);
    float prior_weight = a->asked.prior_weight;
    a->asked = (retrieve_request){
        .collection = f->collection, .schema = a->schema, .snapshot = a->snapshot, .eligible = &a->eligible,
        .matching = &a->eligible, .terms = a->terms, .n_terms = a->n_terms, .prior_weight = prior_weight,
        .behaviour = f->behaviour, .known_user = a->request->user.size || a->request->session.size, .segments = a->segments,
        .type = type_asked_for(a), .beyond_words = a->schema->beyond_words || a->n_terms == 0,
        .only_new = a->schema->only_new, .now = a->now,
        .seed = random_u64(&a->random), .clock = &os_clock_system,
        .deadline = clock_monotonic(&os_clock_system) + (int64_t)a->request->timeout_ms * 1000,
    };
    status = ask_vectors(a, error);
    if (status) return status;
    find_asker(a);
    remember(a);
    a->asked.profile = a->profile;
    a->asked.memory = a->rows;
    a->asked.n_memory = a->n_rows;
    return FORAGE_OK;
}

segment_fields funnel_segment_fields(const schema *s) {
    segment_fields fields = {.n = s->n_segments};
    for (uint32_t i = 0; i < s->n_segments; i++) fields.names[i] = s->segments[i];
    return fields;
}
