/* What is remembered about a segment: it never changes an answer, it stays within its bounds, and any thread may ask. A
 * snapshot of the same segments without caches is the oracle. */
#include "sparse_world.h"

#include "base/hash.h"

#include <pthread.h>

static const world_options shape = {
    .documents = 14000, .parts = 2, .vocabulary = 200, .dead = 0.1, .popularity = true};

typedef struct pair {
    world w;
    sparse_part bare_parts[WORLD_PARTS];
    sparse_snapshot bare;
} pair;

static void pair_create(pair *p, uint64_t seed, const world_options *o) {
    random_source r;
    random_seed(&r, seed);
    world_create(&p->w, &r, o);
    memcpy(p->bare_parts, p->w.parts, sizeof p->bare_parts);
    for (uint32_t i = 0; i < WORLD_PARTS; i++) p->bare_parts[i].cache = NULL;
    p->bare = p->w.snapshot;
    p->bare.parts = p->bare_parts;
}

static void check_equal(const sparse_eligible *a, const sparse_eligible *b) {
    assert_int_equal(a->count, b->count);
    for (uint32_t p = 0; p < a->snapshot->n_parts; p++) {
        size_t words = (sparse_segment_count(a->snapshot->parts[p].segment) + 63) / 64;
        assert_int_equal(a->counts[p], b->counts[p]);
        if (a->bits[p] != b->bits[p]) assert_memory_equal(a->bits[p], b->bits[p], words * sizeof *a->bits[p]);
    }
}

static part_cache_info describe(const world *w) {
    part_cache_info info = {0};
    for (uint32_t p = 0; p < w->snapshot.n_parts; p++) part_cache_describe(w->parts[p].cache, &info);
    return info;
}

/* ---- answers ---- */

enum { FILTERS = 40, ROUNDS = 12, LIMIT = 40 };

static void check_answers(const pair *p, const sparse_filter *filter, arena *a) {
    static const uint32_t keywords[] = {WORLD_TAG, WORLD_BRAND};
    sparse_eligible with, without;
    sparse_facet_value values[LIMIT], expected[LIMIT];
    sparse_facet_range range, expected_range;
    sparse_eligible_compute(&p->w.snapshot, filter, a, &with);
    sparse_eligible_compute(&p->bare, filter, a, &without);
    check_equal(&with, &without);
    for (size_t f = 0; f < 2; f++) {
        size_t n = sparse_facet_keyword(&with, keywords[f], LIMIT, a, values);
        assert_int_equal(sparse_facet_keyword(&without, keywords[f], LIMIT, a, expected), n);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(values[i].count, expected[i].count);
            assert_true(slice_equal(values[i].value, expected[i].value));
        }
    }
    sparse_facet_number(&with, WORLD_PRICE, 20, &range);
    sparse_facet_number(&without, WORLD_PRICE, 20, &expected_range);
    assert_memory_equal(&range, &expected_range, sizeof range);
}

static void what_is_remembered_changes_no_answer(void **state) {
    (void)state;
    pair p;
    random_source r;
    arena filters, a;
    random_seed(&r, 5);
    arena_init(&filters, 0);
    arena_init(&a, 1 << 20);
    pair_create(&p, 20260201, &shape);
    const sparse_filter *some[FILTERS];
    for (uint32_t i = 0; i < FILTERS; i++) some[i] = i == 0 ? NULL : world_filter(&r, &filters, i % 3);
    for (int round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < FILTERS; i++) {
            check_answers(&p, some[i], &a);
            arena_reset(&a);
        }
    }
    part_cache_info info = describe(&p.w);
    assert_true(info.hits > FILTERS && info.sets > 0 && info.shapes >= 4);
    world_destroy(&p.w);
    arena_release(&a);
    arena_release(&filters);
}

/* Leaves that mean the same are one. */
static void equal_leaves_are_found_in_any_form(void **state) {
    (void)state;
    pair p;
    arena a;
    arena_init(&a, 0);
    pair_create(&p, 20260202, &shape);
    enum { BRANDS = 40 };
    slice one[BRANDS], two[BRANDS + 1]; /* many, so that they are worth keeping */
    for (uint32_t i = 0; i < BRANDS; i++) one[i] = two[BRANDS - i] = world_word(&a, "brand", i);
    two[0] = one[1];
    const sparse_filter forms[] = {
        {.kind = SPARSE_FILTER_VALUES, .field = WORLD_BRAND, .n_values = BRANDS, .values = one},
        {.kind = SPARSE_FILTER_VALUES, .field = WORLD_BRAND, .n_values = BRANDS, .values = one},
        {.kind = SPARSE_FILTER_VALUES, .field = WORLD_BRAND, .n_values = BRANDS + 1, .values = two},
        {.kind = SPARSE_FILTER_RANGE, .field = WORLD_PRICE, .low = 0.0, .high = 70},
        {.kind = SPARSE_FILTER_RANGE, .field = WORLD_PRICE, .low = -0.0, .high = 70},
        {.kind = SPARSE_FILTER_RANGE, .field = WORLD_PRICE, .low = nextafter(0, -1), .low_strict = true,
         .high = nextafter(70, 71), .high_strict = true},
    };
    sparse_eligible e[6];
    for (int i = 0; i < 6; i++) {
        uint64_t before = describe(&p.w).hits;
        sparse_eligible_compute(&p.w.snapshot, &forms[i], &a, &e[i]);
        if (i % 3 == 2) check_equal(&e[i], &e[i - 2]);
        if (i == 2 || i == 5) assert_int_equal(describe(&p.w).hits, before + p.w.snapshot.n_parts);
        else assert_int_equal(describe(&p.w).hits, before);
    }
    world_destroy(&p.w);
    arena_release(&a);
}

/* ---- bounds ---- */

static part_cache_key key_of_number(uint64_t *number) {
    slice bytes = {(const char *)number, sizeof *number};
    return (part_cache_key){bytes, hash64(bytes.data, bytes.size, 0)};
}

static void a_cache_stays_within_its_bounds(void **state) {
    (void)state;
    pair p;
    random_source r;
    random_seed(&r, 6);
    pair_create(&p, 20260203, &shape);
    part_cache *c = p.w.parts[0].cache;
    const sparse_segment *s = p.w.segments[0];
    size_t words = sparse_segment_count(s) / 64 + 1, most = sparse_segment_bytes(s) / 16;
    if (most < 64 * 1024) most = 64 * 1024;
    uint64_t *bits = mem_zalloc(words, sizeof *bits);
    for (uint64_t i = 0; i < 500; i++) {
        part_cache_key key = key_of_number(&i);
        for (size_t w = 0; w < words; w++) bits[w] = random_u64(&r);
        part_cache_offer(c, &key, bits);
        assert_null(part_cache_take(c, &key)); /* once is not enough */
        part_cache_offer(c, &key, bits);
        part_cache_set *set = part_cache_take(c, &key);
        assert_non_null(set);
        assert_int_equal(bitmap_count_flat(set->members, bits, words), bitmap_cardinality(set->members));
        part_cache_give_back(set);
        part_cache_info info = {0};
        part_cache_describe(c, &info);
        assert_true(info.bytes <= most && info.sets > 0);
    }
    uint64_t first = 0;
    part_cache_key gone = key_of_number(&first);
    assert_null(part_cache_take(c, &gone));
    free(bits);
    world_destroy(&p.w);
}

static void small_segments_have_no_cache(void **state) {
    (void)state;
    pair p;
    const world_options small = {.documents = 500, .parts = 1, .vocabulary = 20};
    uint64_t number = 1;
    pair_create(&p, 1, &small);
    assert_null(p.w.parts[0].cache);
    part_cache_key key = key_of_number(&number);
    part_cache_offer(NULL, &key, &number);
    assert_null(part_cache_take(NULL, &key));
    assert_null(part_cache_order(NULL, WORLD_PRICE, true));
    assert_null(part_cache_counts(NULL, WORLD_TAG, true));
    world_destroy(&p.w);
}

/* ---- shapes ---- */

static void orders_find_every_range(void **state) {
    (void)state;
    enum { COUNT = 3000 };
    static double numbers[COUNT];
    random_source r;
    random_seed(&r, 7);
    static const double special[] = {-INFINITY, INFINITY, -0.0, 0.0, -1e308, 1e308, 5e-324, -5e-324};
    for (int round = 0; round < 6; round++) {
        uint32_t count = round == 0 ? 0 : (uint32_t)random_below(&r, COUNT);
        for (uint32_t i = 0; i < count; i++) {
            uint64_t kind = random_below(&r, 6);
            numbers[i] = kind == 0 ? NAN : kind == 1 ? special[random_below(&r, 8)] : kind == 2 ? random_normal(&r)
                                                                                    : (double)random_below(&r, 40) - 20;
        }
        column_order *o = column_order_create(numbers, count);
        for (int i = 0; i < 200; i++) {
            double low = random_below(&r, 3) ? (double)random_below(&r, 50) - 25 : special[random_below(&r, 8)];
            double high = random_below(&r, 3) ? low + (double)random_below(&r, 20) : special[random_below(&r, 8)];
            uint32_t from, to, expected = 0;
            column_order_range(o, low, high, &from, &to);
            for (uint32_t p = 0; p < count; p++) expected += numbers[p] >= low && numbers[p] <= high;
            assert_int_equal(to - from, expected);
            for (uint32_t j = from; j < to; j++) assert_true(numbers[o->places[j]] >= low && numbers[o->places[j]] <= high);
        }
        column_order_destroy(o);
    }
}

/* ---- threads ---- */

typedef struct asker {
    const pair *p;
    uint64_t seed;
    pthread_t thread;
    uint64_t wrong;
} asker;

static void *ask(void *argument) {
    asker *self = argument;
    random_source r;
    arena a;
    arena_init(&a, 1 << 20);
    for (int round = 0; round < 150; round++) {
        random_seed(&r, self->seed + random_below(&(random_source){{1, 2, 3, (uint64_t)round + 4}}, 20)); /* filters recur */
        const sparse_filter *filter = world_filter(&r, &a, 2);
        sparse_eligible with, without;
        sparse_facet_value values[4], expected[4];
        sparse_eligible_compute(&self->p->w.snapshot, filter, &a, &with);
        sparse_eligible_compute(&self->p->bare, filter, &a, &without);
        self->wrong += with.count != without.count;
        size_t n = sparse_facet_keyword(&with, WORLD_TAG, 4, &a, values);
        self->wrong += n != sparse_facet_keyword(&without, WORLD_TAG, 4, &a, expected);
        for (size_t i = 0; i < n; i++) self->wrong += values[i].count != expected[i].count;
        arena_reset(&a);
    }
    arena_release(&a);
    return NULL;
}

static void many_threads_ask_at_once(void **state) {
    (void)state;
    enum { THREADS = 4 };
    asker askers[THREADS];
    pair p;
    pair_create(&p, 20260204, &shape);
    for (int i = 0; i < THREADS; i++) {
        askers[i] = (asker){.p = &p, .seed = (uint64_t)(i / 2) * 10}; /* two and two ask the same */
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_int_equal(askers[i].wrong, 0);
    }
    assert_true(describe(&p.w).hits > 0);
    world_destroy(&p.w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_remembered_changes_no_answer),
        cmocka_unit_test(equal_leaves_are_found_in_any_form),
        cmocka_unit_test(a_cache_stays_within_its_bounds),
        cmocka_unit_test(small_segments_have_no_cache),
        cmocka_unit_test(orders_find_every_range),
        cmocka_unit_test(many_threads_ask_at_once),
    };
    return cmocka_run_group_tests_name("partcache", tests, NULL, NULL);
}
