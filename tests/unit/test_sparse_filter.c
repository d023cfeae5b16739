/* Filters, matching sets, facets and columns of the sparse index against naive readings of the same documents. */
#include "sparse_world.h"

static const world_options shapes[] = {
    {.documents = 0, .parts = 1, .vocabulary = 5, .popularity = true},
    {.documents = 1, .parts = 2, .vocabulary = 5, .popularity = true},
    {.documents = 63, .parts = 1, .vocabulary = 20},
    {.documents = 300, .parts = 4, .vocabulary = 50, .dead = 0.3, .popularity = true},
    {.documents = 3000, .parts = 6, .vocabulary = 300, .dead = 0.1, .popularity = true},
    {.documents = 4000, .parts = 1, .vocabulary = 300, .popularity = true},
    {.documents = 5000, .parts = 1, .vocabulary = 200, .popularity = true}, /* with a cache */
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

typedef void (*world_check)(const world *w, random_source *r, arena *a);

static void in_every_world(world_check check) {
    random_source r;
    arena a;
    random_seed(&r, 20260131);
    arena_init(&a, 0);
    for (size_t i = 0; i < SHAPES; i++) {
        world w;
        world_create(&w, &r, &shapes[i]);
        check(&w, &r, &a);
        world_destroy(&w);
        arena_reset(&a);
    }
    arena_release(&a);
}

/* ---- filters ---- */

static void check_eligible(const world *w, const sparse_filter *filter, const sparse_eligible *e) {
    uint64_t expected = 0, per_part[WORLD_PARTS] = {0};
    for (uint32_t i = 0; i < w->n; i++) {
        const world_document *d = &w->documents[i];
        bool eligible = !d->dead && (!filter || world_passes(w, d, filter));
        assert_int_equal(world_eligible(e, d), eligible);
        if (!d->dead) assert_int_equal(sparse_is_eligible(e, d->number), eligible);
        expected += eligible;
        per_part[d->part] += eligible;
    }
    assert_int_equal(e->count, expected);
    for (uint32_t p = 0; p < w->snapshot.n_parts; p++) assert_int_equal(e->counts[p], per_part[p]);
}

static void check_filters(const world *w, random_source *r, arena *a) {
    for (int i = 0; i < 60; i++) {
        const sparse_filter *filter = i == 0 ? NULL : world_filter(r, a, (uint32_t)(i % 4));
        for (int again = 0; again < 3; again++) { /* results may be remembered */
            sparse_eligible e;
            sparse_eligible_compute(&w->snapshot, filter, a, &e);
            if (again != 1) check_eligible(w, filter, &e);
        }
    }
}

static void random_trees_agree_with_a_naive_evaluator(void **state) {
    (void)state;
    in_every_world(check_filters);
}

static void check_edges(const world *w, random_source *r, arena *a) {
    (void)r;
    slice long_value = {arena_zalloc(a, 5000, 1), 5000};
    const sparse_filter filters[] = {
        {.kind = SPARSE_FILTER_VALUES, .field = WORLD_TAG, .n_values = 1, .values = &long_value},
        {.kind = SPARSE_FILTER_VALUES, .field = WORLD_TITLE, .n_values = 1, .values = &long_value},
        {.kind = SPARSE_FILTER_VALUES, .field = UINT32_MAX, .n_values = 1, .values = &long_value},
        {.kind = SPARSE_FILTER_EXISTS, .field = UINT32_MAX},
        {.kind = SPARSE_FILTER_RANGE, .field = UINT32_MAX, .low = -INFINITY, .high = INFINITY},
        {.kind = SPARSE_FILTER_RANGE, .field = WORLD_PRICE, .low = NAN, .high = INFINITY},
        {.kind = SPARSE_FILTER_RANGE, .field = WORLD_PRICE, .low = INFINITY, .high = INFINITY, .low_strict = true},
        {.kind = SPARSE_FILTER_RANGE, .field = WORLD_PRICE, .low = 5, .high = 4},
        {.kind = SPARSE_FILTER_OR},
    };
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        sparse_eligible e;
        sparse_eligible_compute(&w->snapshot, &filters[i], a, &e);
        assert_int_equal(e.count, 0);
        sparse_filter negated = {.kind = SPARSE_FILTER_NOT, .first = &filters[i]};
        sparse_eligible_compute(&w->snapshot, &negated, a, &e);
        assert_int_equal(e.count, w->snapshot.live_documents);
    }
}

static void impossible_filters_match_nothing(void **state) {
    (void)state;
    in_every_world(check_edges);
}

static void no_filter_copies_nothing(void **state) {
    (void)state;
    random_source r;
    arena a;
    world w;
    random_seed(&r, 4);
    arena_init(&a, 0);
    world_create(&w, &r, &shapes[3]);
    sparse_eligible e;
    sparse_eligible_compute(&w.snapshot, NULL, &a, &e);
    for (uint32_t p = 0; p < w.snapshot.n_parts; p++) assert_ptr_equal(e.bits[p], w.parts[p].live);
    world_destroy(&w);
    arena_release(&a);
}

/* ---- matching ---- */

static bool has_word(const world_document *d, slice key) {
    char word[32];
    for (uint32_t i = 0; i < d->n_terms; i++) {
        snprintf(word, sizeof word, "%cw%u", SPARSE_SPACE_TEXT, d->terms[i]);
        if (slice_is(key, word)) return true;
    }
    return false;
}

static void check_matching(const world *w, random_source *r, arena *a) {
    for (int round = 0; round < 30; round++) {
        sparse_query_term terms[4];
        size_t n = (size_t)random_below(r, 5);
        bool required = false;
        for (size_t i = 0; i < n; i++) {
            uint32_t word = world_draw(r, w->vocabulary + 2);
            bool must = random_below(r, round % 3 ? 5 : 2) == 0;
            terms[i] = (sparse_query_term){.key = sparse_text_key(a, world_word(a, "w", word)), .weight = 1, .required = must};
            required |= terms[i].required;
        }
        sparse_eligible e, m;
        sparse_eligible_compute(&w->snapshot, round % 2 ? world_filter(r, a, 2) : NULL, a, &e);
        sparse_matching(&e, &(sparse_query){.terms = terms, .n_terms = n}, a, &m);
        uint64_t expected = 0;
        for (uint32_t i = 0; i < w->n; i++) {
            bool any = false, all = true;
            for (size_t t = 0; t < n; t++) {
                bool has = has_word(&w->documents[i], terms[t].key);
                any |= has;
                all &= has || !terms[t].required;
            }
            bool matches = !w->documents[i].dead && world_eligible(&e, &w->documents[i]) && (required ? all : any);
            assert_int_equal(world_eligible(&m, &w->documents[i]), matches);
            expected += matches;
        }
        assert_int_equal(m.count, expected);
    }
}

static void matching_sets_are_exact(void **state) {
    (void)state;
    in_every_world(check_matching);
}

/* ---- facets ---- */

static void check_keyword_facet(const world *w, const sparse_eligible *set, uint32_t field, arena *a) {
    enum { VALUES = 256 };
    uint64_t expected[VALUES] = {0}, total = 0;
    const char *kind = field == WORLD_TAG ? "tag" : "brand";
    for (uint32_t i = 0; i < w->n; i++) {
        const world_document *d = &w->documents[i];
        if (d->dead || !world_eligible(set, d)) continue;
        for (uint32_t t = 0; field == WORLD_TAG && t < d->n_tags; t++) expected[d->tags[t]]++;
        if (field == WORLD_BRAND && d->has_brand) expected[d->brand]++;
    }
    for (uint32_t v = 0; v < VALUES; v++) total += expected[v] > 0;
    sparse_facet_value values[VALUES];
    size_t n = sparse_facet_keyword(set, field, VALUES, a, values);
    assert_int_equal(n, total);
    for (size_t i = 0; i < n; i++) {
        uint32_t v = (uint32_t)strtoul(values[i].value.data + strlen(kind), NULL, 10);
        assert_int_equal(values[i].count, expected[v]);
        if (i == 0) continue;
        int order = slice_compare(values[i - 1].value, values[i].value);
        assert_true(values[i - 1].count > values[i].count || (values[i - 1].count == values[i].count && order < 0));
    }
    sparse_facet_value top[3];
    size_t few = sparse_facet_keyword(set, field, 3, a, top);
    assert_int_equal(few, n < 3 ? n : 3);
    for (size_t i = 0; i < few; i++) assert_true(slice_equal(top[i].value, values[i].value));
}

static void check_number_facet(const world *w, const sparse_eligible *set, uint32_t n_buckets) {
    sparse_facet_range range;
    uint64_t count = 0, buckets[64] = {0};
    double low = INFINITY, high = -INFINITY;
    sparse_facet_number(set, WORLD_PRICE, n_buckets, &range);
    for (uint32_t i = 0; i < w->n; i++) {
        const world_document *d = &w->documents[i];
        if (d->dead || !world_eligible(set, d) || isnan(d->price)) continue;
        count++;
        low = fmin(low, d->price);
        high = fmax(high, d->price);
    }
    assert_int_equal(range.count, count);
    assert_int_equal(range.n_buckets, n_buckets < 64 ? n_buckets : 64);
    if (count == 0) return;
    assert_true(range.low == low && range.high == high);
    for (uint32_t i = 0; i < w->n && range.n_buckets > 0; i++) {
        const world_document *d = &w->documents[i];
        if (d->dead || !world_eligible(set, d) || isnan(d->price)) continue;
        double at = range.width > 0 ? (d->price - low) / range.width : 0;
        buckets[at < range.n_buckets ? (uint32_t)at : range.n_buckets - 1]++;
    }
    assert_memory_equal(range.buckets, buckets, sizeof buckets);
}

static void check_facets(const world *w, random_source *r, arena *a) {
    for (int round = 0; round < 12; round++) {
        sparse_eligible set;
        sparse_eligible_compute(&w->snapshot, round ? world_filter(r, a, 2) : NULL, a, &set);
        check_keyword_facet(w, &set, WORLD_TAG, a);
        check_keyword_facet(w, &set, WORLD_BRAND, a);
        check_number_facet(w, &set, (uint32_t)random_below(r, 70));
        sparse_facet_value value;
        sparse_facet_range range;
        assert_int_equal(sparse_facet_keyword(&set, WORLD_PRICE, 1, a, &value), 0);
        assert_int_equal(sparse_facet_keyword(&set, UINT32_MAX, 1, a, &value), 0);
        sparse_facet_number(&set, WORLD_TAG, 10, &range);
        assert_int_equal(range.count, 0);
    }
}

static void facets_count_exactly(void **state) {
    (void)state;
    in_every_world(check_facets);
}

/* ---- columns ---- */

static void check_columns(const world *w, random_source *r, arena *a) {
    (void)r;
    for (uint32_t i = 0; i < w->n; i++) {
        const world_document *d = &w->documents[i];
        if (d->dead) continue;
        slice *tags;
        double price = sparse_number_of(&w->snapshot, d->number, WORLD_PRICE);
        assert_true(isnan(d->price) ? isnan(price) : price == d->price);
        assert_int_equal(sparse_version_of(&w->snapshot, d->number), d->version);
        size_t n = sparse_keywords_of(&w->snapshot, d->number, WORLD_TAG, a, &tags);
        assert_int_equal(n, d->n_tags);
        for (size_t t = 0; t < n; t++) assert_true(world_has_value(d, WORLD_TAG, tags[t]));
        float prior = w->config.popularity < 0 ? 0 : sparse_prior_value(d->popularity);
        assert_true(sparse_prior_of(&w->snapshot, d->number) == prior);
    }
    slice *none;
    assert_true(isnan(sparse_number_of(&w->snapshot, UINT32_MAX - 1, WORLD_PRICE)));
    assert_int_equal(sparse_keywords_of(&w->snapshot, UINT32_MAX - 1, WORLD_TAG, a, &none), 0);
    assert_int_equal(sparse_version_of(&w->snapshot, UINT32_MAX - 1), 0);
}

static void columns_give_back_what_was_put_in(void **state) {
    (void)state;
    in_every_world(check_columns);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_trees_agree_with_a_naive_evaluator),
        cmocka_unit_test(impossible_filters_match_nothing),
        cmocka_unit_test(no_filter_copies_nothing),
        cmocka_unit_test(matching_sets_are_exact),
        cmocka_unit_test(facets_count_exactly),
        cmocka_unit_test(columns_give_back_what_was_put_in),
    };
    return cmocka_run_group_tests_name("sparse_filter", tests, NULL, NULL);
}
