/* Top-k of the sparse index: the pruned search against the exhaustive one, to the bit; scores against the formula;
 * explanations against scores; and the lists that need no query. */
#include "sparse_world.h"

#include <zlib.h>

static const sparse_config text_config = {
    .n_fields = 1, .fields = {{"text", SPARSE_TEXT, 1}}, .k1 = 0.9f, .b = 0.4f, .popularity = -1, .type = -1,
};

static random_source source;
static arena memory;

static int set_up(void **state) {
    (void)state;
    random_seed(&source, 42);
    arena_init(&memory, 0);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    arena_release(&memory);
    return 0;
}

static sparse_query_term word_term(uint32_t word, float weight, bool required) {
    return (sparse_query_term){.key = sparse_text_key(&memory, world_word(&memory, "w", word)), .weight = weight, .required = required};
}

static void assert_same_hits(const sparse_hit *a, size_t n_a, const sparse_hit *b, size_t n_b) {
    assert_int_equal(n_a, n_b);
    for (size_t i = 0; i < n_a; i++) {
        if (a[i].document == b[i].document && a[i].score == b[i].score) continue;
        fail_msg("rank %zu: document %u, score %.9g and document %u, score %.9g", i, a[i].document, (double)a[i].score,
                 b[i].document, (double)b[i].score);
    }
}

/* Returns how many hits both found. */
static size_t compare_searches(const sparse_eligible *e, const sparse_query *query, size_t k, sparse_hit *hits) {
    size_t room = k < e->count ? k : (size_t)e->count;
    sparse_hit *expected = arena_alloc(&memory, room * sizeof *expected);
    bool late = true;
    size_t n = sparse_search(e, query, k, &memory, hits, &late);
    size_t m = sparse_search_exhaustive(e, query, k, &memory, expected);
    assert_same_hits(hits, n, expected, m);
    assert_false(late);
    return n;
}

/* ---- pruned and exhaustive search agree ---- */

static sparse_query invent_query(const world *w) {
    size_t n = random_below(&source, 10) ? (size_t)random_below(&source, 6) : (size_t)random_below(&source, 70);
    sparse_query_term *terms = arena_alloc(&memory, (n + 1) * sizeof *terms);
    for (size_t i = 0; i < n; i++) {
        float weight = random_below(&source, 3) ? 1 : (float)random_double(&source) * 3;
        terms[i] = word_term(world_draw(&source, w->vocabulary + 3), weight, random_below(&source, 8) == 0);
        if (random_below(&source, 6)) continue;
        slice tag = world_word(&memory, "tag", world_draw(&source, 30));
        terms[i].key = sparse_attribute_key(&memory, WORLD_TAG, tag);
    }
    sparse_query q = {.terms = terms, .n_terms = n, .text_weight = 1};
    if (random_below(&source, 3) == 0) q.prior_weight = (float)random_double(&source) * 5;
    if (random_below(&source, 10) == 0) q.text_weight = 0;
    return q;
}

static void compare_many(const world_options *options, int queries) {
    static const size_t depths[] = {1, 2, 10, 128, 1000, 100000, SIZE_MAX};
    world w;
    size_t found = 0;
    world_create(&w, &source, options);
    sparse_hit *hits = mem_alloc((w.n + 1) * sizeof *hits);
    for (int i = 0; i < queries; i++) {
        sparse_eligible e;
        sparse_eligible_compute(&w.snapshot, i % 3 ? NULL : world_filter(&source, &memory, 2), &memory, &e);
        sparse_query query = invent_query(&w);
        found += compare_searches(&e, &query, depths[random_below(&source, 7)], hits);
        arena_reset(&memory);
    }
    assert_true(found > 0 || options->documents < 2);
    free(hits);
    world_destroy(&w);
}

static void small_parts_agree(void **state) {
    (void)state;
    for (uint32_t n = 0; n < 40; n++) {
        compare_many(&(world_options){.documents = n * n / 2, .parts = 1 + n % 6, .vocabulary = 4 + n * 2, .dead = 0.2,
                                      .popularity = n % 3 > 0}, 40);
    }
}

static void many_windows_agree(void **state) {
    (void)state;
    compare_many(&(world_options){.documents = 30000, .parts = 1, .vocabulary = 2000, .popularity = true}, 150);
    compare_many(&(world_options){.documents = 40000, .parts = 5, .vocabulary = 500, .dead = 0.1}, 150);
}

static void ties_agree(void **state) {
    (void)state;
    compare_many(&(world_options){.documents = 20000, .parts = 3, .vocabulary = 6, .ties = true, .popularity = true,
                                  .dead = 0.02}, 200);
}

/* Filters that leave few places: looked up one by one instead of reading the postings. */
static void selective_filters_agree(void **state) {
    (void)state;
    world w;
    world_create(&w, &source, &(world_options){.documents = 30000, .parts = 2, .vocabulary = 40, .popularity = true});
    sparse_hit *hits = mem_alloc((w.n + 1) * sizeof *hits);
    for (uint32_t i = 0; i < 100; i++) {
        slice brand = world_word(&memory, "brand", i * 2);
        sparse_filter filter = {.kind = SPARSE_FILTER_VALUES, .field = WORLD_BRAND, .n_values = 1, .values = &brand};
        sparse_eligible e;
        sparse_eligible_compute(&w.snapshot, &filter, &memory, &e);
        sparse_query query = invent_query(&w);
        compare_searches(&e, &query, 1 + (size_t)random_below(&source, 50), hits);
        arena_reset(&memory);
    }
    free(hits);
    world_destroy(&w);
}

static void thousands_of_terms_agree(void **state) {
    (void)state;
    enum { TERMS = SPARSE_MAX_QUERY_TERMS + 100 };
    world w;
    sparse_hit hits[50];
    sparse_eligible e;
    world_create(&w, &source, &(world_options){.documents = 9000, .parts = 3, .vocabulary = 8000, .popularity = true});
    sparse_query_term *terms = arena_alloc(&memory, TERMS * sizeof *terms);
    for (uint32_t i = 0; i < TERMS; i++) terms[i] = word_term(i / 2, (float)random_double(&source), false);
    sparse_eligible_compute(&w.snapshot, NULL, &memory, &e);
    sparse_query query = {.terms = terms, .n_terms = TERMS, .text_weight = 1, .prior_weight = 0.5f};
    assert_int_equal(compare_searches(&e, &query, 50, hits), 50);
    world_destroy(&w);
}

/* The best documents lie at the ends of windows, and blocks end everywhere around them. */
static void window_edges_are_searched(void **state) {
    (void)state;
    enum { PLACES = 12300, EDGE = 2048 };
    static uint32_t numbers[PLACES];
    static uint64_t versions[PLACES];
    const sparse_config config = text_config;
    for (uint32_t skipped = 0; skipped < 132; skipped += skipped == 3 ? 122 : 1) {
        sparse_builder *b = sparse_builder_create(&config);
        uint32_t best = 0;
        for (uint32_t p = 0; p < PLACES; p++) {
            bool edge = p % EDGE == 0 || p % EDGE == EDGE - 1;
            sparse_builder_begin(b);
            for (int i = 0; i < 5; i++) {
                sparse_builder_term(b, 0, p >= skipped && (i == 0 || edge) ? SLICE("a") : SLICE("b"));
            }
            best += edge && p >= skipped;
            numbers[p] = PLACES - p;
            versions[p] = 1;
        }
        sparse_part part = {.n_live = PLACES};
        sparse_snapshot s = {.config = &config, .n_parts = 1, .parts = &part, .live_documents = PLACES};
        sparse_segment *segment;
        sparse_eligible e;
        buffer image = {0};
        sparse_hit hits[32];
        sparse_builder_statistics(b, &s.statistics);
        sparse_builder_finish(b, numbers, versions, &s.statistics, &image);
        assert_ok(sparse_segment_open((slice){image.data, image.size}, &segment, NULL));
        part.segment = segment;
        sparse_eligible_compute(&s, NULL, &memory, &e);
        sparse_query_term term = {.key = sparse_text_key(&memory, SLICE("a")), .weight = 1};
        sparse_query query = {.terms = &term, .n_terms = 1, .text_weight = 1};
        assert_int_equal(compare_searches(&e, &query, best, hits), best);
        for (uint32_t i = 0; i < best; i++) {
            uint32_t place = PLACES - hits[i].document;
            assert_true(place % EDGE == 0 || place % EDGE == EDGE - 1);
        }
        sparse_segment_close(segment);
        sparse_builder_destroy(b);
        buffer_release(&image);
        arena_reset(&memory);
    }
}

/* ---- scores ---- */

static void scores_follow_the_formula(void **state) {
    (void)state;
    world w;
    world_create(&w, &source, &(world_options){.documents = 2000, .parts = 3, .vocabulary = 30, .popularity = true});
    sparse_query_term terms[] = {word_term(0, 1, false), word_term(5, 2.5f, false), word_term(11, 0.5f, false)};
    sparse_query query = {.terms = terms, .n_terms = 3, .text_weight = 0.7f, .prior_weight = 1.5f};
    sparse_eligible e;
    sparse_hit *hits = arena_alloc(&memory, 3000 * sizeof *hits);
    sparse_eligible_compute(&w.snapshot, NULL, &memory, &e);
    size_t n = sparse_search(&e, &query, 3000, &memory, hits, NULL);
    assert_true(n > 1000);
    for (size_t i = 0; i < n; i++) {
        double expected = 1.5 * (double)sparse_prior_of(&w.snapshot, hits[i].document);
        for (size_t t = 0; t < 3; t++) {
            double df = (double)sparse_document_frequency(&w.snapshot, terms[t].key);
            double idf = log(1 + ((double)w.snapshot.statistics.documents - df + 0.5) / (df + 0.5));
            assert_float_equal(sparse_idf(&w.snapshot, terms[t].key), idf, 1e-5);
            uint32_t part, place, places[SPARSE_BLOCK + 8];
            uint8_t impacts[SPARSE_BLOCK + 8];
            sparse_term found;
            assert_true(sparse_snapshot_find(&w.snapshot, hits[i].document, &part, &place));
            if (!sparse_segment_term(w.segments[part], terms[t].key, &found)) continue;
            for (uint32_t b = 0; b < found.n_blocks; b++) {
                uint32_t count = sparse_block_decode(&found, b, places, impacts);
                for (uint32_t j = 0; j < count; j++) {
                    if (places[j] != place) continue;
                    expected += 0.7 * (double)terms[t].weight * idf * 1.9 * impacts[j] / 255;
                }
            }
        }
        assert_float_equal(hits[i].score, expected, 1e-4);
    }
    world_destroy(&w);
}

static void a_repeated_word_counts_as_often_as_it_is_said(void **state) {
    (void)state;
    world w;
    sparse_eligible e;
    sparse_hit once[20], twice[20];
    world_create(&w, &source, &(world_options){.documents = 500, .parts = 2, .vocabulary = 30});
    sparse_eligible_compute(&w.snapshot, NULL, &memory, &e);
    sparse_query_term doubled[] = {word_term(3, 1, false), word_term(4, 1, false), word_term(3, 1, false)};
    sparse_query_term weighted[] = {word_term(3, 2, false), word_term(4, 1, false)};
    sparse_query saying_twice = {.terms = doubled, .n_terms = 3, .text_weight = 1};
    sparse_query weighing_twice = {.terms = weighted, .n_terms = 2, .text_weight = 1};
    size_t n = sparse_search(&e, &saying_twice, 20, &memory, twice, NULL);
    size_t m = sparse_search(&e, &weighing_twice, 20, &memory, once, NULL);
    assert_int_equal(n, 20);
    assert_same_hits(once, m, twice, n);
    world_destroy(&w);
}

static void required_terms_are_in_every_hit(void **state) {
    (void)state;
    world w;
    sparse_eligible e;
    sparse_hit hits[500];
    world_create(&w, &source, &(world_options){.documents = 5000, .parts = 3, .vocabulary = 40});
    sparse_eligible_compute(&w.snapshot, NULL, &memory, &e);
    sparse_query_term terms[] = {word_term(9, 1, true), word_term(0, 1, false), word_term(2, 0, true)};
    sparse_query query = {.terms = terms, .n_terms = 3, .text_weight = 1};
    size_t n = sparse_search(&e, &query, 500, &memory, hits, NULL);
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++) {
        sparse_term_story stories[3];
        float prior, score;
        sparse_explain(&w.snapshot, &query, hits[i].document, stories, &prior, &score);
        assert_true(stories[0].found && stories[2].found);
    }
    terms[2] = word_term(4000, 1, true);
    assert_int_equal(sparse_search(&e, &query, 500, &memory, hits, NULL), 0);
    world_destroy(&w);
}

static void strange_weights_are_harmless(void **state) {
    (void)state;
    static const float weights[] = {0, -1, NAN, INFINITY, -INFINITY, 1e38f, 1e-38f};
    enum { WEIGHTS = sizeof weights / sizeof *weights };
    world w;
    sparse_eligible e;
    world_create(&w, &source, &(world_options){.documents = 6000, .parts = 2, .vocabulary = 30, .popularity = true});
    sparse_eligible_compute(&w.snapshot, NULL, &memory, &e);
    sparse_hit *hits = arena_alloc(&memory, e.count * sizeof *hits);
    for (size_t i = 0; i < WEIGHTS * WEIGHTS * WEIGHTS; i++) {
        sparse_query_term terms[] = {word_term(1, weights[i % WEIGHTS], false), word_term(2, 1, false)};
        sparse_query query = {.terms = terms, .n_terms = 2, .prior_weight = weights[i / WEIGHTS % WEIGHTS],
                              .text_weight = weights[i / WEIGHTS / WEIGHTS]};
        size_t n = compare_searches(&e, &query, 100, hits);
        assert_int_equal(n, 100);
        for (size_t j = 0; j < n; j++) assert_true(isfinite(hits[j].score) && hits[j].score >= 0);
    }
    world_destroy(&w);
}

/* ---- explanations ---- */

static void explanations_add_up_to_the_score(void **state) {
    (void)state;
    world w;
    world_create(&w, &source, &(world_options){.documents = 3000, .parts = 4, .vocabulary = 60, .dead = 0.2,
                                               .popularity = true});
    for (int round = 0; round < 60; round++) {
        sparse_query query = invent_query(&w);
        sparse_eligible e;
        sparse_hit hits[30];
        sparse_term_story *stories = arena_alloc(&memory, (query.n_terms + 1) * sizeof *stories);
        sparse_eligible_compute(&w.snapshot, NULL, &memory, &e);
        size_t n = sparse_search(&e, &query, 30, &memory, hits, NULL);
        for (size_t i = 0; i < n; i++) {
            float prior, score;
            sparse_explain(&w.snapshot, &query, hits[i].document, stories, &prior, &score);
            assert_true(score == hits[i].score);
            double sum = (double)prior;
            for (size_t t = 0; t < query.n_terms; t++) sum += (double)stories[t].score;
            assert_float_equal(sum, score, 1e-4 * (1 + (double)score));
        }
        arena_reset(&memory);
    }
    world_destroy(&w);
}

static void explanations_count_occurrences(void **state) {
    (void)state;
    world w;
    world_create(&w, &source, &(world_options){.documents = 400, .parts = 2, .vocabulary = 10, .dead = 0.2});
    for (uint32_t i = 0; i < w.n; i++) {
        const world_document *d = &w.documents[i];
        sparse_query_term term = word_term(2, 1, false);
        uint32_t title = d->terms[0] == 2, body = 0;
        for (uint32_t t = 1; t < d->n_terms; t++) body += d->terms[t] == 2;
        if (d->dead) continue;
        sparse_term_story story;
        float prior, score;
        sparse_explain(&w.snapshot, &(sparse_query){.terms = &term, .n_terms = 1, .text_weight = 1}, d->number, &story,
                       &prior, &score);
        assert_int_equal(story.found, title + body > 0);
        assert_int_equal(story.frequency[WORLD_TITLE], title);
        assert_int_equal(story.frequency[WORLD_BODY], body);
        assert_int_equal(story.df, sparse_document_frequency(&w.snapshot, term.key));
        assert_true(story.found ? score > 0 && story.impact > 0 : score == 0 && story.impact == 0);
    }
    sparse_term_story story;
    float prior, score;
    sparse_query_term term = word_term(2, 1, false);
    sparse_explain(&w.snapshot, &(sparse_query){.terms = &term, .n_terms = 1, .text_weight = 1}, UINT32_MAX - 1, &story,
                   &prior, &score);
    assert_true(!story.found && score == 0 && story.df > 0);
    world_destroy(&w);
}

/* ---- edges ---- */

static void nothing_in_nothing_out(void **state) {
    (void)state;
    world w;
    sparse_eligible e;
    sparse_hit hits[10];
    bool late;
    world_create(&w, &source, &(world_options){.documents = 100, .parts = 2, .vocabulary = 10});
    sparse_eligible_compute(&w.snapshot, NULL, &memory, &e);
    sparse_query_term terms[] = {word_term(1, 1, false), word_term(777, 1, false), {.key = {NULL, 0}, .weight = 1}};
    sparse_query query = {.terms = terms, .n_terms = 3, .text_weight = 1};
    assert_int_equal(sparse_search(&e, &query, 0, &memory, NULL, &late), 0);
    query.n_terms = 0;
    assert_int_equal(sparse_search(&e, &query, 10, &memory, hits, &late), 0);
    query = (sparse_query){.terms = terms + 1, .n_terms = 2, .text_weight = 1};
    assert_int_equal(sparse_search(&e, &query, 10, &memory, hits, &late), 0);
    sparse_snapshot empty = {.config = &w.config};
    sparse_eligible_compute(&empty, NULL, &memory, &e);
    query = (sparse_query){.terms = terms, .n_terms = 3, .text_weight = 1};
    assert_int_equal(sparse_search(&e, &query, 10, &memory, hits, &late), 0);
    assert_false(late);
    assert_int_equal(sparse_top_popular(&e, 10, &memory, hits), 0);
    assert_int_equal(sparse_newest(&e, 10, &memory, hits), 0);
    assert_int_equal(sparse_sample(&e, 10, &source, &memory, hits), 0);
    world_destroy(&w);
}

static int64_t ticking(void *self) {
    return ++*(int64_t *)self;
}

static void a_deadline_ends_the_search_with_the_best_so_far(void **state) {
    (void)state;
    world w;
    sparse_eligible e;
    sparse_hit hits[10], all[10];
    bool late = false;
    world_create(&w, &source, &(world_options){.documents = 40000, .parts = 1, .vocabulary = 50});
    sparse_eligible_compute(&w.snapshot, NULL, &memory, &e);
    sparse_query_term terms[] = {word_term(1, 1, false), word_term(2, 1, false)};
    int64_t ticks = 0;
    os_clock clock = {ticking, ticking, &ticks};
    sparse_query query = {.terms = terms, .n_terms = 2, .text_weight = 1, .clock = &clock, .deadline = 4};
    size_t n = sparse_search(&e, &query, 10, &memory, hits, &late);
    assert_true(late);
    assert_true(n > 0 && n <= 10);
    ticks = 0;
    query.deadline = 1000000;
    assert_int_equal(sparse_search(&e, &query, 10, &memory, all, &late), 10);
    assert_false(late);
    assert_true(all[0].score >= hits[0].score);
    world_destroy(&w);
}

/* ---- lists ---- */

typedef struct naive {
    double key;
    uint32_t document;
} naive;

static int by_key(const void *left, const void *right) {
    const naive *a = left, *b = right;
    if (a->key != b->key) return a->key > b->key ? -1 : 1;
    return (a->document > b->document) - (a->document < b->document);
}

typedef enum naive_kind { POPULAR, NEWEST, TAGGED } naive_kind;

static size_t naive_list(const world *w, const sparse_eligible *e, naive_kind kind, slice tag, naive *list) {
    size_t n = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        const world_document *d = &w->documents[i];
        if (d->dead || !world_eligible(e, d) || (kind == TAGGED && !world_has_value(d, WORLD_TAG, tag))) continue;
        double popularity = w->config.popularity >= 0 && d->popularity > 0 ? d->popularity : 0;
        list[n++] = (naive){kind == NEWEST ? (double)d->version : popularity, d->number};
    }
    qsort(list, n, sizeof *list, by_key);
    return n;
}

static void assert_list(const sparse_hit *hits, size_t n, size_t k, const naive *list, size_t m) {
    assert_int_equal(n, m < k ? m : k);
    for (size_t i = 0; i < n; i++) assert_int_equal(hits[i].document, list[i].document);
}

static void lists_agree_with_sorting(void **state) {
    (void)state;
    static const world_options shapes[] = {
        {.documents = 700, .parts = 5, .vocabulary = 20, .dead = 0.3, .popularity = true},
        {.documents = 700, .parts = 5, .vocabulary = 20, .dead = 0.3, .popularity = true, .ties = true},
        {.documents = 700, .parts = 1, .vocabulary = 20},
    };
    for (size_t s = 0; s < 3; s++) {
        world w;
        world_create(&w, &source, &shapes[s]);
        naive *list = mem_alloc(w.n * sizeof *list);
        sparse_hit *hits = mem_alloc(w.n * sizeof *hits);
        for (int i = 0; i < 40; i++) {
            sparse_eligible e;
            sparse_eligible_compute(&w.snapshot, i % 2 ? world_filter(&source, &memory, 2) : NULL, &memory, &e);
            size_t k = 1 + (size_t)random_below(&source, i % 5 ? 30 : 2000), n;
            slice tag = world_word(&memory, "tag", world_draw(&source, 30));
            n = sparse_top_popular(&e, k, &memory, hits);
            assert_list(hits, n, k, list, naive_list(&w, &e, POPULAR, tag, list));
            for (size_t j = 0; j < n; j++) assert_true(hits[j].score == sparse_prior_of(&w.snapshot, hits[j].document));
            n = sparse_newest(&e, k, &memory, hits);
            assert_list(hits, n, k, list, naive_list(&w, &e, NEWEST, tag, list));
            n = sparse_with_keyword(&e, WORLD_TAG, tag, k, &memory, hits);
            assert_list(hits, n, k, list, naive_list(&w, &e, TAGGED, tag, list));
        }
        free(list);
        free(hits);
        world_destroy(&w);
    }
}

/* Pearson's chi-square over how often each eligible document is drawn; also at the first rank. */
static void check_uniform(const world *w, const sparse_eligible *e, size_t k) {
    enum { ROUNDS = 4000 };
    uint32_t most = 0;
    for (uint32_t i = 0; i < w->n; i++) most = w->documents[i].number > most ? w->documents[i].number : most;
    uint32_t *drawn = mem_zalloc(most + 1, sizeof *drawn), *first = mem_zalloc(most + 1, sizeof *first);
    sparse_hit *hits = mem_alloc(k * sizeof *hits);
    for (int round = 0; round < ROUNDS; round++) {
        assert_int_equal(sparse_sample(e, k, &source, &memory, hits), k);
        for (size_t i = 0; i < k; i++) drawn[hits[i].document]++;
        first[hits[0].document]++;
        arena_reset(&memory);
    }
    double expected = (double)k * ROUNDS / (double)e->count, once = (double)ROUNDS / (double)e->count;
    double chi = 0, chi_first = 0, freedom = (double)e->count - 1;
    for (uint32_t i = 0; i < w->n; i++) {
        const world_document *d = &w->documents[i];
        bool eligible = !d->dead && world_eligible(e, d);
        if (d->dead) continue;
        if (!eligible) assert_int_equal(drawn[d->number], 0);
        if (!eligible) continue;
        assert_true(drawn[d->number] <= ROUNDS);
        chi += pow(drawn[d->number] - expected, 2) / expected;
        chi_first += pow(first[d->number] - once, 2) / once;
    }
    /* Without replacement the counts vary less, by the factor 1 − k / n; five standard deviations of slack. */
    double shrink = 1 - (double)k / (double)e->count, slack = 5 * sqrt(2 * freedom);
    assert_true(fabs(chi - freedom * shrink) <= slack * shrink + 1e-9);
    assert_true(fabs(chi_first - freedom) <= slack);
    free(drawn);
    free(first);
    free(hits);
}

static void samples_are_uniform(void **state) {
    (void)state;
    world w;
    arena lasting;
    arena_init(&lasting, 0);
    world_create(&w, &source, &(world_options){.documents = 400, .parts = 3, .vocabulary = 10, .dead = 0.2});
    slice brands[] = {SLICE("brand0"), SLICE("brand2")};
    sparse_filter few = {.kind = SPARSE_FILTER_VALUES, .field = WORLD_BRAND, .n_values = 2, .values = brands};
    const sparse_filter *filters[] = {NULL, &few};
    for (int i = 0; i < 2; i++) {
        sparse_eligible e;
        sparse_eligible_compute(&w.snapshot, filters[i], &lasting, &e);
        assert_true(e.count > 20);
        check_uniform(&w, &e, 1);
        check_uniform(&w, &e, 15);
        check_uniform(&w, &e, (size_t)e.count - 3);
        check_uniform(&w, &e, (size_t)e.count);
    }
    arena_release(&lasting);
    world_destroy(&w);
}

static void samples_repeat_with_their_seed(void **state) {
    (void)state;
    world w;
    sparse_eligible e;
    sparse_hit a[50], b[50];
    world_create(&w, &source, &(world_options){.documents = 900, .parts = 3, .vocabulary = 10, .dead = 0.2});
    sparse_eligible_compute(&w.snapshot, NULL, &memory, &e);
    random_source left, right;
    random_seed(&left, 7);
    random_seed(&right, 7);
    for (int i = 0; i < 10; i++) {
        size_t n = sparse_sample(&e, 50, &left, &memory, a), m = sparse_sample(&e, 50, &right, &memory, b);
        assert_same_hits(a, n, b, m);
    }
    sparse_hit *all = arena_alloc(&memory, w.n * sizeof *all);
    assert_int_equal(sparse_sample(&e, w.n, &left, &memory, all), e.count);
    world_destroy(&w);
}

/* ---- real text ---- */

/* Plain lower-case words of a line, in order. */
static bool next_word(char **at, slice *word) {
    char *p = *at;
    while (*p && !((*p | 32) >= 'a' && (*p | 32) <= 'z') && !(*p >= '0' && *p <= '9')) p++;
    if (!*p) return false;
    word->data = p;
    for (; ((*p | 32) >= 'a' && (*p | 32) <= 'z') || (*p >= '0' && *p <= '9'); p++) {
        if (*p >= 'A' && *p <= 'Z') *p |= 32;
    }
    word->size = (size_t)(p - word->data);
    *at = p;
    return true;
}

static void scifact_agrees(void **state) {
    (void)state;
    static char line[1 << 20];
    char topics[1100];
    const char *path = testing_data("beir/scifact/topics.beir-v1.0.0-scifact.test.tsv.gz");
    if (path) snprintf(topics, sizeof topics, "%s", path);
    const char *corpus = path ? testing_data("beir/scifact/corpus.jsonl.gz") : NULL;
    if (!corpus) skip();
    const sparse_config config = text_config;
    sparse_builder *b = sparse_builder_create(&config);
    uint32_t numbers[6000];
    uint64_t versions[6000];
    gzFile file = gzopen(corpus, "rb");
    slice word;
    while (gzgets(file, line, sizeof line)) {
        uint32_t place = sparse_builder_begin(b);
        numbers[place] = place;
        versions[place] = 1;
        for (char *at = line; next_word(&at, &word);) sparse_builder_term(b, 0, word);
    }
    gzclose(file);
    sparse_part part = {.n_live = sparse_builder_count(b)};
    sparse_snapshot s = {.config = &config, .n_parts = 1, .parts = &part, .live_documents = part.n_live};
    buffer image = {0};
    sparse_segment *segment;
    sparse_builder_statistics(b, &s.statistics);
    sparse_builder_finish(b, numbers, versions, &s.statistics, &image);
    sparse_builder_destroy(b);
    assert_ok(sparse_segment_open((slice){image.data, image.size}, &segment, NULL));
    part.segment = segment;
    sparse_eligible e;
    arena lasting;
    arena_init(&lasting, 0);
    sparse_eligible_compute(&s, NULL, &lasting, &e);
    size_t queries = 0;
    file = gzopen(topics, "rb");
    for (; gzgets(file, line, sizeof line); queries++) {
        sparse_query_term terms[200];
        sparse_hit hits[100];
        size_t n = 0;
        char *at = strchr(line, '\t');
        while (n < 200 && next_word(&at, &word)) {
            terms[n++] = (sparse_query_term){.key = sparse_text_key(&memory, word), .weight = 1};
        }
        sparse_query query = {.terms = terms, .n_terms = n, .text_weight = 1};
        assert_true(compare_searches(&e, &query, 1 + queries % 100, hits) > 0);
        arena_reset(&memory);
    }
    gzclose(file);
    assert_int_equal(queries, 300);
    arena_release(&lasting);
    sparse_segment_close(segment);
    buffer_release(&image);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(small_parts_agree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_windows_agree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ties_agree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(selective_filters_agree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(thousands_of_terms_agree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(window_edges_are_searched, set_up, tear_down),
        cmocka_unit_test_setup_teardown(scores_follow_the_formula, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_repeated_word_counts_as_often_as_it_is_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(required_terms_are_in_every_hit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(strange_weights_are_harmless, set_up, tear_down),
        cmocka_unit_test_setup_teardown(explanations_add_up_to_the_score, set_up, tear_down),
        cmocka_unit_test_setup_teardown(explanations_count_occurrences, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_in_nothing_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_deadline_ends_the_search_with_the_best_so_far, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lists_agree_with_sorting, set_up, tear_down),
        cmocka_unit_test_setup_teardown(samples_are_uniform, set_up, tear_down),
        cmocka_unit_test_setup_teardown(samples_repeat_with_their_seed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(scifact_agrees, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("sparse_search", tests, NULL, NULL);
}
