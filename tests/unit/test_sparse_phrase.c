/* What selects beside the terms themselves: phrases, excluded and required terms, filters, the dead; against a naive reading
 * of the documents' words, over several parts. */
#include "sparse_oracle.h"

static random_source source;
static arena memory;

static int set_up(void **state) {
    (void)state;
    random_seed(&source, 99);
    arena_init(&memory, 0);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    arena_release(&memory);
    return 0;
}

static void assert_same_hits(const sparse_hit *a, size_t n_a, const sparse_hit *b, size_t n_b, const char *what) {
    for (size_t i = 0; i < n_a && i < n_b; i++) {
        if (a[i].document == b[i].document && a[i].score == b[i].score) continue;
        fail_msg("%s, rank %zu: document %u, score %.9g and document %u, score %.9g", what, i, a[i].document,
                 (double)a[i].score, b[i].document, (double)b[i].score);
    }
    if (n_a != n_b) fail_msg("%s: %zu and %zu hits", what, n_a, n_b);
}

static int by_number(const void *left, const void *right) {
    const uint32_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

/* The exhaustive search finds exactly what the naive reading does, and the pruned one the first k of it. Returns how many. */
static size_t check(const world *w, const sparse_filter *filter, const oracle_query *q) {
    static const size_t depths[] = {1, 3, 10, 100, 1000, SIZE_MAX};
    sparse_eligible e;
    sparse_eligible_compute(&w->snapshot, filter, &memory, &e);
    size_t n_naive = 0;
    uint32_t *naive = arena_alloc(&memory, w->n * sizeof *naive), *found = arena_alloc(&memory, w->n * sizeof *found);
    for (uint32_t i = 0; i < w->n; i++) {
        const world_document *d = &w->documents[i];
        if ((!filter || world_passes(w, d, filter)) && oracle_finds(d, q)) naive[n_naive++] = d->number;
    }
    sparse_hit *all = arena_alloc(&memory, e.count * sizeof *all), *hits = arena_alloc(&memory, e.count * sizeof *hits);
    size_t n = sparse_search_exhaustive(&e, &q->query, SIZE_MAX, &memory, all);
    for (size_t i = 0; i < n; i++) found[i] = all[i].document;
    qsort(found, n, sizeof *found, by_number);
    qsort(naive, n_naive, sizeof *naive, by_number);
    for (size_t i = 0; i < n && i < n_naive; i++)
        if (found[i] != naive[i]) fail_msg("found document %u, naive reading document %u", found[i], naive[i]);
    if (n != n_naive) fail_msg("found %zu documents, naive reading %zu", n, n_naive);
    sparse_eligible matching;
    sparse_matching(&e, &q->query, &memory, &matching);
    assert_int_equal(matching.count, n_naive);
    for (size_t i = 0; i < n_naive; i++) assert_true(sparse_is_eligible(&matching, naive[i]));
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        bool late = true;
        size_t m = sparse_search(&e, &q->query, depths[i], &memory, hits, &late);
        assert_same_hits(hits, m, all, n < depths[i] ? n : depths[i], "pruned and exhaustive");
        assert_false(late);
    }
    return n;
}

/* Excluding and requiring do not change what a document scores. */
static void check_scores(const world *w, const oracle_query *q) {
    sparse_query_term terms[ORACLE_TERMS];
    sparse_query plain = q->query;
    sparse_eligible e;
    plain.terms = terms;
    plain.n_terms = plain.n_phrases = 0;
    for (size_t i = 0; i < q->query.n_terms; i++) {
        if (q->terms[i].excluded) continue;
        terms[plain.n_terms] = q->terms[i];
        terms[plain.n_terms++].required = false;
    }
    sparse_eligible_compute(&w->snapshot, NULL, &memory, &e);
    sparse_hit *some = arena_alloc(&memory, e.count * sizeof *some), *all = arena_alloc(&memory, e.count * sizeof *all);
    size_t n = sparse_search(&e, &q->query, SIZE_MAX, &memory, some, NULL);
    size_t m = sparse_search(&e, &plain, SIZE_MAX, &memory, all, NULL);
    float *scores = arena_zalloc(&memory, (size_t)w->n * 3 + 3, sizeof *scores);
    for (size_t i = 0; i < m; i++) scores[all[i].document] = all[i].score;
    for (size_t i = 0; i < n; i++) assert_float_equal(some[i].score, scores[some[i].document], 1e-5 * (1 + (double)some[i].score));
}

static const world_options shapes[] = {
    {.documents = 3, .parts = 2, .vocabulary = 3, .values = true},
    {.documents = 600, .parts = 3, .vocabulary = 5, .values = true, .dead = 0.2},
    {.documents = 3000, .parts = 5, .vocabulary = 25, .values = true, .dead = 0.1, .popularity = true},
    {.documents = 30000, .parts = 2, .vocabulary = 60, .values = true, .popularity = true},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* ---- excluded terms ---- */

static void invent_terms(const world *w, oracle_query *q, uint32_t duties) {
    *q = (oracle_query){0};
    for (uint64_t i = 0, n = 1 + random_below(&source, 5); i < n; i++) {
        uint32_t t = oracle_add(q, world_draw(&source, w->vocabulary + 1), &memory);
        if (duties == 1 || random_below(&source, 4) == 0) q->terms[t].required = random_below(&source, 2);
        else q->terms[t].excluded = random_below(&source, 2);
        q->terms[t].weight = random_below(&source, 3) ? 1 : (float)random_double(&source) * 3;
    }
    if (random_below(&source, 3) == 0) q->query.prior_weight = (float)random_double(&source) * 4;
}

static void excluded_terms_are_in_no_hit(void **state) {
    (void)state;
    size_t found = 0;
    for (size_t s = 0; s < SHAPES; s++) {
        world w;
        world_create(&w, &source, &shapes[s]);
        for (int i = 0; i < 60; i++) {
            oracle_query q;
            invent_terms(&w, &q, 0);
            found += check(&w, i % 3 ? NULL : world_filter(&source, &memory, 2), &q);
            if (i % 8 == 0) check_scores(&w, &q);
            arena_reset(&memory);
        }
        world_destroy(&w);
    }
    assert_true(found > 1000);
}

static void what_is_only_excluded_finds_nothing(void **state) {
    (void)state;
    world w;
    world_create(&w, &source, &shapes[2]);
    oracle_query q = {0};
    oracle_add(&q, 1, &memory);
    q.terms[0].excluded = true;
    assert_int_equal(check(&w, NULL, &q), 0);
    oracle_add(&q, 1, &memory); /* the same word asked for and excluded */
    oracle_add(&q, 2, &memory);
    assert_true(check(&w, NULL, &q) > 0);
    q.terms[2].required = q.terms[2].excluded = true;
    assert_int_equal(check(&w, NULL, &q), 0);
    world_destroy(&w);
}

/* ---- phrases ---- */

/* Words that stand somewhere, taken in order with holes, shuffled, or at random: so that many phrases are found. */
static void invent_phrase(const world *w, oracle_query *q) {
    sparse_phrase *p = &q->phrases[q->query.n_phrases++];
    const world_document *d = &w->documents[random_below(&source, w->n)];
    uint32_t n = 1 + (uint32_t)random_below(&source, 4), at = (uint32_t)random_below(&source, d->n_terms);
    uint32_t step = 1 + (random_below(&source, 4) == 0), words[4];
    for (uint32_t i = 0; i < n; i++, at += step) {
        words[i] = at < d->n_terms ? d->terms[at] : world_draw(&source, w->vocabulary);
        if (random_below(&source, 12) == 0) words[i] = i ? words[i - 1] : world_draw(&source, w->vocabulary);
    }
    *p = (sparse_phrase){.first = (uint32_t)q->query.n_terms, .n = n, .any_order = random_below(&source, 3) == 0};
    p->slop = random_below(&source, 2) ? 0 : (uint32_t)random_below(&source, 5);
    for (uint32_t i = 0; i < n && p->any_order; i++) {
        uint32_t j = (uint32_t)random_below(&source, i + 1), word = words[i];
        words[i] = words[j];
        words[j] = word;
    }
    for (uint32_t i = 0; i < n; i++) oracle_add(q, words[i], &memory);
}

static void phrases_are_found_where_they_stand(void **state) {
    (void)state;
    size_t found = 0;
    for (size_t s = 0; s < SHAPES; s++) {
        world w;
        world_create(&w, &source, &shapes[s]);
        for (int i = 0; i < 120; i++) {
            oracle_query q = {0};
            for (uint64_t n = 1 + random_below(&source, 8) / 6; n > 0; n--) invent_phrase(&w, &q);
            for (uint64_t n = random_below(&source, 3); n > 0; n--) {
                uint32_t t = oracle_add(&q, world_draw(&source, w.vocabulary), &memory);
                q.terms[t].required = random_below(&source, 3) == 0;
                q.terms[t].excluded = !q.terms[t].required && random_below(&source, 3) == 0;
            }
            if (i % 5 == 0) q.query.prior_weight = (float)random_double(&source) * 3;
            found += check(&w, i % 4 ? NULL : world_filter(&source, &memory, 2), &q);
            arena_reset(&memory);
        }
        world_destroy(&w);
    }
    assert_true(found > 1000);
}

/* One word said several times is one term to the search, and yet a phrase. */
static void repeated_words_have_to_stand_as_often(void **state) {
    (void)state;
    world w;
    size_t found = 0;
    world_create(&w, &source, &shapes[3]);
    for (uint32_t word = 0; word < 6; word++) {
        for (uint32_t n = 1; n <= 4; n++) {
            for (uint32_t slop = 0; slop < 4; slop++) {
                oracle_query q = {0};
                for (uint32_t i = 0; i < n; i++) oracle_add(&q, word, &memory);
                q.phrases[0] = (sparse_phrase){.n = n, .slop = slop, .any_order = word % 2};
                q.query.n_phrases = 1;
                found += check(&w, NULL, &q);
                arena_reset(&memory);
            }
        }
    }
    assert_true(found > 1000);
    world_destroy(&w);
}

/* Words at the end of one field or value and at the beginning of the next stand in no phrase, however loose. */
static void no_phrase_goes_across(void **state) {
    (void)state;
    static const uint32_t loose[] = {0, 1, 2, 100};
    world w;
    memset(&w, 0, sizeof w);
    w.config = (sparse_config){.n_fields = 2, .fields = {{"title", SPARSE_TEXT, 1}, {"body", SPARSE_TEXT, 1}},
                               .k1 = 0.9f, .b = 0.4f, .popularity = -1, .type = -1};
    world_document documents[] = {
        {.number = 1, .version = 1, .n_terms = 2, .n_title = 1, .terms = {1, 2}},
        {.number = 2, .version = 1, .n_terms = 2, .n_title = 2, .gaps = 2, .terms = {1, 2}},
        {.number = 3, .version = 1, .n_terms = 2, .n_title = 0, .gaps = 2, .terms = {1, 2}},
        {.number = 4, .version = 1, .n_terms = 5, .n_title = 0, .gaps = 4 | 8, .terms = {3, 1, 4, 2, 5}},
        {.number = 5, .version = 1, .n_terms = 4, .n_title = 2, .gaps = 8, .terms = {3, 1, 2, 1}},
    };
    enum { N = sizeof documents / sizeof *documents };
    w.documents = mem_alloc(sizeof documents);
    memcpy(w.documents, documents, sizeof documents);
    w.n = N;
    w.vocabulary = 6;
    w.snapshot = (sparse_snapshot){.config = &w.config, .n_parts = 1, .parts = w.parts};
    for (uint32_t i = 0; i < N; i++) w.documents[i].price = w.documents[i].popularity = NAN;
    world_build_part(&w, 0, false, &memory);
    world_bury(&w, 0);
    for (size_t i = 0; i < 4; i++) {
        for (int any_order = 0; any_order < 2; any_order++) {
            oracle_query q = {0};
            oracle_add(&q, 1, &memory);
            oracle_add(&q, 2, &memory);
            q.phrases[0] = (sparse_phrase){.n = 2, .slop = loose[i], .any_order = any_order};
            q.query.n_phrases = 1;
            assert_int_equal(check(&w, NULL, &q), 0);
        }
    }
    world_destroy(&w);
}

static void strange_phrases_are_harmless(void **state) {
    (void)state;
    world w;
    sparse_eligible e;
    sparse_hit hits[100];
    world_create(&w, &source, &shapes[2]);
    sparse_eligible_compute(&w.snapshot, NULL, &memory, &e);
    oracle_query q = {0};
    oracle_add(&q, 0, &memory);
    oracle_add(&q, 1, &memory);
    static const sparse_phrase strange[] = {
        {.first = 0, .n = 2, .slop = UINT32_MAX},
        {.first = 0, .n = 2, .slop = UINT32_MAX, .any_order = true},
        {.first = 1, .n = 1, .any_order = true},
    };
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        q.phrases[0] = strange[i];
        q.query.n_phrases = 1;
        if (strange[i].slop == 0) assert_true(check(&w, NULL, &q) > 0);
        size_t loose = sparse_search(&e, &q.query, 100, &memory, hits, NULL);
        q.phrases[0].slop = 100; /* longer than any document */
        assert_int_equal(loose, check(&w, NULL, &q) < 100 ? check(&w, NULL, &q) : 100);
    }
    q.phrases[0] = (sparse_phrase){.first = 0, .n = 2};
    q.words[1] = 4000; /* a word that nobody has */
    q.terms[1].key = sparse_text_key(&memory, SLICE("w4000"));
    assert_int_equal(check(&w, NULL, &q), 0);
    world_destroy(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(excluded_terms_are_in_no_hit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_only_excluded_finds_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(phrases_are_found_where_they_stand, set_up, tear_down),
        cmocka_unit_test_setup_teardown(repeated_words_have_to_stand_as_often, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_phrase_goes_across, set_up, tear_down),
        cmocka_unit_test_setup_teardown(strange_phrases_are_harmless, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("sparse_phrase", tests, NULL, NULL);
}
