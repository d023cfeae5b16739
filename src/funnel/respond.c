/* Respond: the page, and with `explain` the whole story of each hit. */
#include "funnel/answer.h"

#include <stdio.h>
#include <string.h>

/* ---- The page ---- */

static slice type_of(funnel_answer *a, uint32_t document) {
    if (a->snapshot->config->type < 0) return SLICE("");
    slice *values;
    size_t n = sparse_keywords_of(a->snapshot, document, (uint32_t)a->snapshot->config->type, &a->memory, &values);
    return n ? values[0] : SLICE("");
}

/* A UUID version 7 (RFC 9562): time first, so that ids made later sort later. Never from the request's seed: two requests
 * with one seed are two impressions. */
static void make_query_id(funnel_answer *a) {
    funnel *f = a->funnel;
    uint64_t ms = (uint64_t)(clock_wall(collection_clock(f->collection)) / 1000);
    pthread_mutex_lock(&f->random_mutex);
    uint64_t r1 = random_u64(&f->random), r2 = random_u64(&f->random);
    pthread_mutex_unlock(&f->random_mutex);
    snprintf(a->query_id, sizeof a->query_id, "%08x-%04x-7%03x-%04x-%012llx", (unsigned)(ms >> 16), (unsigned)(ms & 0xFFFF),
             (unsigned)(r1 & 0xFFF), (unsigned)(0x8000 | (r1 >> 16 & 0x3FFF)), (unsigned long long)(r2 & 0xFFFFFFFFFFFFu));
}

void funnel_make_id(funnel_answer *a) {
    a->query_id_slice = (slice){0};
    if (!a->request->log || store_read_only(collection_store(a->funnel->collection))) return;
    if (a->request->query_id.size) {
        a->query_id_slice = a->request->query_id;
    } else {
        make_query_id(a);
        a->query_id_slice = slice_of(a->query_id);
    }
}

/* What is shown of a candidate that is no document here. */
static void respond_given(funnel_answer *a, uint32_t place) {
    a->hits[a->n_hits++] = (funnel_hit){.document = a->candidates[place].document, .score = a->scores[place], .candidate = place,
                                        .id = a->given[place].id, .type = SLICE(""), .source = SLICE("null")};
}

/* Candidates that were removed since the snapshot was taken are passed over. */
void funnel_respond(funnel_answer *a) {
    a->hits = arena_alloc(&a->memory, (a->request->limit + 1) * sizeof *a->hits);
    a->n_hits = 0;
    a->end = a->offset;
    for (size_t i = a->offset; i < a->n_order && a->n_hits < a->request->limit; i++) {
        uint32_t place = a->order[i];
        collection_document d;
        a->end = (uint32_t)i + 1;
        if (collection_document_by_number(a->txn, a->candidates[place].document, &d)) {
            if (a->n_given) respond_given(a, place);
            continue;
        }
        a->hits[a->n_hits++] = (funnel_hit){.document = d.number, .score = a->scores[place], .candidate = place,
                                            .id = d.id, .type = type_of(a, d.number), .source = d.source};
    }
}

const char *funnel_answer_strategies(funnel_answer *a, size_t hit) {
    const funnel_candidate *c = &a->candidates[a->hits[hit].candidate];
    buffer names = {0};
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++)
        if (c->rank[s]) buffer_printf(&names, "%s%s", names.size ? "," : "", a->funnel->strategies[s]->name);
    char *out = arena_strndup(&a->memory, names.data, names.size);
    buffer_release(&names);
    return out;
}

/* ---- JSON ---- */

/* A term's key without its space. */
static slice term_text(const funnel_answer *a, size_t i) {
    return (slice){a->terms[i].key.data + 1, a->terms[i].key.size - 1};
}

static const char *const kind_names[] = {
    [UNDERSTAND_FREE_TEXT] = "free_text", [UNDERSTAND_TYPE_WORD] = "type_word", [UNDERSTAND_YEAR] = "year"};

static void write_interpretation(const funnel_answer *a, json_writer *w) {
    const understand_query *u = &a->understood;
    json_begin_object(w);
    json_key(w, "normalized");
    json_string(w, u->normalized);
    json_key(w, "language");
    json_text(w, text_language_code(u->language));
    json_key(w, "tokens");
    json_begin_array(w);
    for (size_t i = 0; i < a->n_terms; i++) json_string(w, term_text(a, i));
    json_end_array(w);
    json_key(w, "readings");
    json_begin_array(w);
    for (size_t i = 0; i < u->n_interpretations; i++) {
        const understand_interpretation *reading = &u->interpretations[i];
        json_begin_object(w);
        json_key(w, "kind");
        json_text(w, kind_names[reading->kind]);
        if (reading->kind == UNDERSTAND_TYPE_WORD) {
            json_key(w, "type");
            json_string(w, reading->type);
        } else if (reading->kind == UNDERSTAND_YEAR) {
            json_key(w, "year");
            json_integer(w, reading->year);
        }
        json_key(w, "likelihood");
        json_float(w, reading->likelihood);
        json_end_object(w);
    }
    json_end_array(w);
    json_end_object(w);
}

/* What the drawn level was drawn from. */
static void write_distribution(const funnel_answer *a, uint32_t s, json_writer *w) {
    json_key(w, "level");
    json_integer(w, a->decision.level[s]);
    json_key(w, "distribution");
    json_begin_array(w);
    for (uint32_t l = 0; l < FUNNEL_LEVELS; l++) json_float(w, (double)a->decision.probability[s][l]);
    json_end_array(w);
}

static void write_levels(json_writer *w) {
    json_key(w, "levels");
    json_begin_array(w);
    for (uint32_t l = 0; l < FUNNEL_LEVELS; l++) json_integer(w, funnel_depths[l]);
    json_end_array(w);
}

static void write_decision(const funnel_answer *a, json_writer *w) {
    json_begin_object(w);
    json_key(w, "policy");
    json_text(w, a->policy_name);
    json_key(w, "version");
    json_integer(w, (int64_t)a->decision.version);
    json_key(w, "propensity");
    json_number(w, a->decision.propensity);
    if (a->request->explain) write_levels(w);
    json_key(w, "strategies");
    json_begin_array(w);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        const funnel_slot *slot = &a->slots[s];
        json_begin_object(w);
        json_key(w, "name");
        json_text(w, a->funnel->strategies[s]->name);
        json_key(w, "depth");
        json_integer(w, slot->depth);
        json_key(w, "probability");
        json_float(w, (double)a->decision.probability[s][a->decision.level[s]]);
        json_key(w, "candidates");
        json_integer(w, slot->state == SLOT_DONE ? (int64_t)slot->n_hits : 0);
        json_key(w, "took_us");
        json_integer(w, slot->took_us);
        json_key(w, "late");
        json_bool(w, funnel_slot_late(slot));
        if (a->request->explain) write_distribution(a, s, w);
        json_end_object(w);
    }
    json_end_array(w);
    json_end_object(w);
}

static void write_facet(funnel_answer *a, const funnel_facet *facet, json_writer *w) {
    const schema_field *field = schema_find(a->schema, facet->field);
    json_key_slice(w, facet->field);
    if (field->kind == SCHEMA_KEYWORD || field->kind == SCHEMA_REFERENCE) {
        sparse_facet_value *values = arena_alloc(&a->memory, facet->limit * sizeof *values);
        size_t n = sparse_facet_keyword(&a->matching, (uint32_t)field->sparse, facet->limit, &a->memory, values);
        json_begin_array(w);
        for (size_t i = 0; i < n; i++) {
            json_begin_object(w);
            json_key(w, "value");
            json_string(w, values[i].value);
            json_key(w, "count");
            json_integer(w, (int64_t)values[i].count);
            json_end_object(w);
        }
        json_end_array(w);
        return;
    }
    sparse_facet_range range;
    sparse_facet_number(&a->matching, (uint32_t)field->sparse, facet->limit, &range);
    json_begin_object(w);
    json_key(w, "count");
    json_integer(w, (int64_t)range.count);
    json_key(w, "low");
    json_number(w, range.low);
    json_key(w, "high");
    json_number(w, range.high);
    json_key(w, "width");
    json_number(w, range.width);
    json_key(w, "buckets");
    json_begin_array(w);
    for (uint32_t i = 0; i < range.n_buckets; i++) json_integer(w, (int64_t)range.buckets[i]);
    json_end_array(w);
    json_end_object(w);
}

static void write_terms(funnel_answer *a, uint32_t document, json_writer *w) {
    sparse_query query = {.terms = a->terms, .n_terms = a->n_terms, .prior_weight = a->asked.prior_weight, .text_weight = 1};
    sparse_term_story *stories = arena_zalloc(&a->memory, a->n_terms + 1, sizeof *stories);
    float prior, score;
    sparse_explain(a->snapshot, &query, document, stories, &prior, &score);
    json_key(w, "terms");
    json_begin_array(w);
    for (size_t i = 0; i < a->n_terms; i++) {
        if (!stories[i].found) continue;
        json_begin_object(w);
        json_key(w, "term");
        json_string(w, term_text(a, i));
        json_key(w, "field_frequencies");
        json_begin_object(w);
        for (uint32_t f = 0; f < a->schema->n_fields; f++) {
            const schema_field *field = &a->schema->fields[f];
            if (field->kind != SCHEMA_TEXT || !stories[i].frequency[field->sparse]) continue;
            json_key(w, field->name);
            json_integer(w, stories[i].frequency[field->sparse]);
        }
        json_end_object(w);
        json_key(w, "document_frequency");
        json_integer(w, (int64_t)stories[i].df);
        json_key(w, "idf");
        json_float(w, (double)stories[i].idf);
        json_key(w, "impact");
        json_float(w, (double)stories[i].impact);
        json_key(w, "score");
        json_float(w, (double)stories[i].score);
        json_end_object(w);
    }
    json_end_array(w);
    json_key(w, "popularity_score");
    json_float(w, (double)prior);
}

static void write_memory(const funnel_answer *a, uint32_t document, json_writer *w) {
    for (size_t i = 0; i < a->n_rows; i++) {
        const memory_row *row = &a->rows[i];
        if (row->document != document) continue;
        json_key(w, "memory");
        json_begin_object(w);
        json_key(w, "impressions");
        json_float(w, (double)row->impressions);
        json_key(w, "rewards");
        json_float(w, (double)row->rewards);
        json_key(w, "mean");
        json_float(w, (double)row->mean);
        json_key(w, "deviation");
        json_float(w, (double)row->deviation);
        json_key(w, "way");
        json_text(w, memory_way_name(row->way));
        json_key(w, "lent");
        json_float(w, (double)row->lent);
        json_key(w, "predicted");
        json_float(w, (double)row->predicted);
        json_end_object(w);
        return;
    }
}

/* What each column added to the score; NULL where nothing tells it. */
static double *contributions(funnel_answer *a, uint32_t candidate, const char **method) {
    uint32_t n = a->columns->n;
    const float *x = a->features + (size_t)candidate * n;
    double *out = arena_zalloc(&a->memory, n + 1, sizeof *out);
    *method = NULL;
    if (a->scorer.kind == FUNNEL_SCORE_MODEL) {
        if (!model_explain(a->scorer.model, x, &a->memory, out, method, NULL)) return out;
        *method = NULL; /* trees that do not say how many rows reached each leaf */
        return NULL;
    }
    if (a->scorer.kind != FUNNEL_SCORE_ONLINE) return NULL;
    for (uint32_t i = 0; i < F_COUNT; i++) out[i] = (double)(a->weights[i] * x[i]);
    *method = "linear";
    return out;
}

/* Columns that have a value or a part in the score. */
static void write_features(funnel_answer *a, uint32_t candidate, json_writer *w) {
    const char *method;
    if (a->scorer.kind == FUNNEL_SCORE_MODEL) funnel_describe_rest(a, &candidate, 1);
    double *parts = contributions(a, candidate, &method); /* none: a model whose file does not tell enough */
    uint32_t n = a->scorer.kind == FUNNEL_SCORE_MODEL ? a->columns->n : F_COUNT;
    json_key(w, "features");
    json_begin_array(w);
    for (uint32_t i = 0; i < n; i++) {
        float value = a->features[(size_t)candidate * a->columns->n + i];
        bool known = value != 0 && value == value;
        if (!known && !(parts && parts[i] != 0)) continue;
        json_begin_object(w);
        json_key(w, "name");
        json_text(w, a->columns->names[i]);
        json_key(w, "value");
        if (value == value) json_float(w, (double)value);
        else json_null(w);
        if (a->scorer.kind == FUNNEL_SCORE_ONLINE) {
            json_key(w, "weight");
            json_float(w, (double)a->weights[i]);
        }
        if (parts) {
            json_key(w, "contribution");
            json_float(w, parts[i]);
        }
        json_end_object(w);
    }
    json_end_array(w);
    if (!parts) return;
    json_key(w, "method");
    json_text(w, method);
    json_key(w, "bias");
    json_float(w, a->scorer.kind == FUNNEL_SCORE_MODEL ? parts[a->columns->n] : 0);
}

static void write_explanation(funnel_answer *a, const funnel_hit *hit, json_writer *w) {
    const funnel_candidate *c = &a->candidates[hit->candidate];
    json_key(w, "explain");
    json_begin_object(w);
    json_key(w, "interpretation");
    write_interpretation(a, w);
    json_key(w, "strategies");
    json_begin_array(w);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        if (!c->rank[s]) continue;
        json_begin_object(w);
        json_key(w, "name");
        json_text(w, a->funnel->strategies[s]->name);
        json_key(w, "rank");
        json_integer(w, c->rank[s]);
        json_key(w, "score");
        json_float(w, (double)c->raw[s]);
        json_end_object(w);
    }
    json_end_array(w);
    write_features(a, hit->candidate, w);
    write_terms(a, hit->document, w);
    write_memory(a, hit->document, w);
    funnel_write_cross_hit(a, hit->candidate, w);
    json_key(w, "score");
    json_float(w, (double)hit->score);
    json_end_object(w);
}

static bool named_before(const json_value *names, const json_value *name) {
    for (const json_value *earlier = names->first; earlier != name; earlier = earlier->next)
        if (slice_equal(earlier->text, name->text)) return true;
    return false;
}

/* All members, or those that were asked for. */
static void write_document(funnel_answer *a, const funnel_hit *hit, json_writer *w) {
    json_value *document;
    if (!a->request->fields) {
        json_raw(w, hit->source);
        return;
    }
    json_begin_object(w);
    if (!json_read(&a->memory, hit->source, &document, NULL))
        for (const json_value *name = a->request->fields->first; name; name = name->next) {
            const json_value *member = json_get(document, arena_strndup(&a->memory, name->text.data, name->text.size));
            if (!member || named_before(a->request->fields, name)) continue;
            json_key_slice(w, name->text);
            json_value_write(w, member);
        }
    json_end_object(w);
}

static void write_hit(funnel_answer *a, const funnel_hit *hit, json_writer *w) {
    const funnel_candidate *c = &a->candidates[hit->candidate];
    json_begin_object(w);
    json_key(w, "id");
    json_string(w, hit->id);
    json_key(w, "type");
    json_string(w, hit->type);
    json_key(w, "score");
    json_float(w, (double)hit->score);
    json_key(w, "strategies");
    json_begin_array(w);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++)
        if (c->rank[s]) json_text(w, a->funnel->strategies[s]->name);
    json_end_array(w);
    json_key(w, "document");
    write_document(a, hit, w);
    if (a->request->explain) write_explanation(a, hit, w);
    json_end_object(w);
}

static void write_experiment(const funnel_answer *a, json_writer *w) {
    static const char *const sides[] = {"", "a", "b", "both"};
    json_key(w, "experiment");
    json_begin_object(w);
    json_key(w, "name");
    json_string(w, a->experiment);
    json_key(w, "side");
    json_text(w, sides[a->side]);
    json_end_object(w);
}

void funnel_answer_write(funnel_answer *a, json_writer *w) {
    json_begin_object(w);
    json_key(w, "query_id");
    if (a->query_id_slice.size) json_string(w, a->query_id_slice);
    else json_null(w);
    json_key(w, "query");
    json_string(w, a->request->query);
    json_key(w, "took_ms");
    json_float(w, (double)(a->finished - a->started) / 1000);
    json_key(w, "total");
    json_begin_object(w);
    json_key(w, "value");
    json_integer(w, (int64_t)a->matching.count);
    json_key(w, "relation");
    json_text(w, "exact");
    json_end_object(w);
    json_key(w, "hits");
    json_begin_array(w);
    for (size_t i = 0; i < a->n_hits; i++) write_hit(a, &a->hits[i], w);
    json_end_array(w);
    if (a->request->n_facets) {
        json_key(w, "facets");
        json_begin_object(w);
        for (size_t i = 0; i < a->request->n_facets; i++) write_facet(a, &a->request->facets[i], w);
        json_end_object(w);
    }
    json_key(w, "interpretation");
    write_interpretation(a, w);
    if (!a->n_given) { /* else nothing was decided */
        json_key(w, "decision");
        write_decision(a, w);
    }
    json_key(w, "ranker");
    json_begin_object(w);
    json_key(w, "name");
    json_text(w, a->scorer.name);
    json_key(w, "version");
    json_integer(w, (int64_t)a->scorer.version);
    json_key(w, "candidates");
    json_integer(w, (int64_t)a->n_candidates);
    json_key(w, "took_us");
    json_integer(w, a->rank_us);
    json_end_object(w);
    funnel_write_cross(a, w);
    if (a->experiment.size) write_experiment(a, w);
    if (a->request->next_page || a->request->page.size) {
        slice next = funnel_next_page(a);
        json_key(w, "next_page");
        if (next.size) json_string(w, next);
        else json_null(w);
    }
    json_end_object(w);
}
