/* Terms by prefix, range and distance against reading the whole dictionary, in one segment and in snapshots of several
 * with dead documents. */
#include "testing.h"

#include "base/random.h"
#include "sparse/builder.h"
#include "sparse/enumerate.h"
#include "sparse/search.h"

enum { TITLE, BRAND, FIELDS, PARTS = 5, DOCUMENTS = 300, WORDS = 12, KEYS = 20000, LINE = 64 };

typedef struct vocabulary {
    sparse_snapshot snapshot;
    sparse_config config;
    sparse_part parts[PARTS];
    sparse_segment *segments[PARTS];
    buffer images[PARTS];
    uint64_t live[DOCUMENTS / 64 + 1];
    arena memory;
    sparse_enumerated keys[KEYS]; /* ascending: what brute force knows */
    size_t n;
} vocabulary;

static const char *const letters[] = {"a", "b", "c", "d", "é", "字", "1", "a", "b", "a"};

static slice invent(random_source *r, char *out) {
    size_t length = 1 + random_below(r, 9), n = 0;
    for (size_t i = 0; i < length; i++) {
        const char *letter = letters[random_below(r, sizeof letters / sizeof *letters)];
        memcpy(out + n, letter, strlen(letter));
        n += strlen(letter);
    }
    return (slice){out, n};
}

static void build_part(vocabulary *v, uint32_t part, random_source *r) {
    char word[LINE];
    sparse_builder *b = sparse_builder_create(&v->config);
    uint32_t documents[DOCUMENTS];
    uint64_t versions[DOCUMENTS] = {0};
    uint32_t n = part == 0 ? DOCUMENTS : 1 + (uint32_t)random_below(r, DOCUMENTS);
    for (uint32_t d = 0; d < n; d++) {
        documents[d] = d * PARTS + part;
        sparse_builder_begin(b);
        for (int i = 0; i < WORDS; i++) sparse_builder_term(b, TITLE, invent(r, word));
        sparse_builder_keyword(b, BRAND, invent(r, word));
    }
    sparse_statistics statistics;
    base_error error = {0};
    sparse_builder_statistics(b, &statistics);
    sparse_builder_finish(b, documents, versions, &statistics, &v->images[part]);
    if (sparse_segment_open((slice){v->images[part].data, v->images[part].size}, &v->segments[part], &error))
        fail_msg("%s", error.message);
    /* every second document is dead: that changes no df until a merge */
    v->parts[part] = (sparse_part){.segment = v->segments[part], .live = part % 2 ? v->live : NULL, .n_live = n};
    sparse_builder_destroy(b);
}

static int by_key(const void *x, const void *y) {
    return slice_compare(((const sparse_enumerated *)x)->key, ((const sparse_enumerated *)y)->key);
}

static void read_all(vocabulary *v) {
    size_t n = 0;
    for (uint32_t p = 0; p < v->snapshot.n_parts; p++) {
        sparse_term_walk w;
        sparse_term term;
        slice key;
        sparse_term_walk_start(&w, v->segments[p], SLICE(""));
        while (sparse_term_walk_next(&w, &key, &term)) {
            assert_true(n < KEYS);
            v->keys[n++] = (sparse_enumerated){arena_slice(&v->memory, key), term.df, 0};
        }
    }
    qsort(v->keys, n, sizeof *v->keys, by_key);
    for (size_t i = 0; i < n; i++) {
        if (v->n && slice_equal(v->keys[v->n - 1].key, v->keys[i].key)) v->keys[v->n - 1].df += v->keys[i].df;
        else v->keys[v->n++] = v->keys[i];
    }
}

static vocabulary *make(uint32_t parts, uint64_t seed) {
    vocabulary *v = mem_zalloc(1, sizeof *v);
    random_source r;
    random_seed(&r, seed);
    arena_init(&v->memory, 0);
    memset(v->live, 0x55, sizeof v->live);
    v->config = (sparse_config){.n_fields = FIELDS, .k1 = 1, .b = .5f, .popularity = -1, .type = -1,
                                .fields = {{"title", SPARSE_TEXT, 1}, {"brand", SPARSE_KEYWORD, 0}}};
    v->snapshot = (sparse_snapshot){.config = &v->config, .n_parts = parts, .parts = v->parts};
    for (uint32_t p = 0; p < parts; p++) build_part(v, p, &r);
    read_all(v);
    return v;
}

static void destroy(vocabulary *v) {
    for (uint32_t p = 0; p < v->snapshot.n_parts; p++) {
        sparse_segment_close(v->segments[p]);
        buffer_release(&v->images[p]);
    }
    arena_release(&v->memory);
    free(v);
}

static bool begins(slice key, slice with) { return key.size >= with.size && !memcmp(key.data, with.data, with.size); }

static int by_worth(const void *x, const void *y) {
    const sparse_enumerated *a = x, *b = y;
    if (a->distance != b->distance) return a->distance < b->distance ? -1 : 1;
    if (a->df != b->df) return a->df > b->df ? -1 : 1;
    return slice_compare(a->key, b->key);
}

/* The first of `expected`, in the order wanted. */
static void check(const sparse_vocabulary *got, sparse_enumerated *expected, size_t n, size_t limit, bool best) {
    if (best && n) qsort(expected, n, sizeof *expected, by_worth);
    assert_false(got->cut);
    assert_int_equal(got->more, n > limit);
    assert_int_equal(got->n, n < limit ? n : limit);
    for (size_t i = 0; i < got->n; i++) {
        assert_true(slice_equal(got->terms[i].key, expected[i].key));
        assert_int_equal(got->terms[i].df, expected[i].df);
        assert_int_equal(got->terms[i].distance, expected[i].distance);
    }
}

static slice random_key(random_source *r, arena *a) {
    char word[LINE];
    slice text = invent(r, word);
    return random_below(r, 3) ? sparse_text_key(a, text) : sparse_attribute_key(a, BRAND, text);
}

static void prefixes_and_ranges(void **state) {
    (void)state;
    static sparse_enumerated expected[KEYS];
    static const size_t limits[] = {0, 1, 10, KEYS};
    random_source r;
    random_seed(&r, 7);
    for (uint32_t parts = 0; parts <= PARTS; parts += parts ? 2 : 1) {
        vocabulary *v = make(parts, parts + 1);
        for (int i = 0; i < 120; i++) {
            arena a;
            arena_init(&a, 0);
            size_t limit = limits[i % 4], n = 0;
            sparse_vocabulary got;
            slice prefix = random_key(&r, &a), from = random_key(&r, &a), high = random_key(&r, &a);
            if (prefix.size > 3) prefix.size = random_below(&r, 4);
            for (size_t k = 0; k < v->n; k++)
                if (begins(v->keys[k].key, prefix)) expected[n++] = v->keys[k];
            sparse_vocabulary_prefix(&v->snapshot, prefix, limit, &(sparse_effort){0}, &a, &got);
            check(&got, expected, n, limit, true);

            slice space = {from.data, i % 3 ? 1 : 0};
            if (i % 5 == 0) high.size = 0;
            n = 0;
            for (size_t k = 0; k < v->n; k++) {
                slice key = v->keys[k].key;
                if (slice_compare(key, from) >= 0 && begins(key, space) && (!high.size || slice_compare(key, high) < 0))
                    expected[n++] = v->keys[k];
            }
            sparse_vocabulary_range(&v->snapshot, space, from, high, limit, &(sparse_effort){0}, &a, &got);
            check(&got, expected, n, limit, false);
            arena_release(&a);
        }
        destroy(v);
    }
}

/* levenshtein_match itself is compared with the dynamic program in test_levenshtein. */
static void near_words(void **state) {
    (void)state;
    static sparse_enumerated expected[KEYS];
    static const size_t limits[] = {0, 3, 50, KEYS};
    random_source r;
    random_seed(&r, 8);
    size_t found = 0;
    for (uint32_t parts = 1; parts <= PARTS; parts += 2) {
        vocabulary *v = make(parts, parts + 40);
        for (int i = 0; i < 250; i++) {
            arena a;
            char word[LINE];
            levenshtein *l = NULL;
            sparse_vocabulary got;
            arena_init(&a, 0);
            levenshtein_options o = {(uint32_t)random_below(&r, 4), random_below(&r, 2), random_below(&r, 4) == 0,
                                     random_below(&r, 3) ? 0 : (uint32_t)random_below(&r, 3)};
            assert_ok(levenshtein_create(invent(&r, word), &o, &l, NULL));
            slice space = i % 3 ? SLICE("t") : sparse_attribute_key(&a, BRAND, SLICE(""));
            size_t n = 0, limit = limits[i % 4];
            for (size_t k = 0; k < v->n; k++) {
                slice key = v->keys[k].key;
                if (!begins(key, space)) continue;
                uint8_t distance = levenshtein_match(l, (slice){key.data + space.size, key.size - space.size});
                if (distance == LEVENSHTEIN_NONE) continue;
                expected[n] = v->keys[k];
                expected[n++].distance = distance;
            }
            sparse_vocabulary_fuzzy(&v->snapshot, space, l, limit, &(sparse_effort){0}, &a, &got);
            check(&got, expected, n, limit, true);
            assert_true(got.looked <= parts * v->n);
            found += n;
            levenshtein_destroy(l);
            arena_release(&a);
        }
        destroy(v);
    }
    assert_true(found > 10000);
}

/* A walk that skips gives what reading on gives, from any key to any later one. */
static void skipping(void **state) {
    (void)state;
    random_source r;
    random_seed(&r, 9);
    vocabulary *v = make(1, 3);
    for (int i = 0; i < 200; i++) {
        sparse_term_walk w = {.segment = v->segments[0]};
        slice key, last = {0};
        size_t shared, at = 0;
        sparse_term term;
        char before[LINE + 2];
        while (at < v->n) {
            size_t to = at + random_below(&r, i % 2 ? 4 : 1 + v->n / 3);
            slice wanted = to < v->n ? v->keys[to].key : SLICE("u");
            if (to == at && random_below(&r, 2)) wanted.size = 0; /* any */
            bool more = sparse_term_walk_skip(&w, wanted, &key, &shared, &term);
            assert_int_equal(more, to < v->n);
            if (!more) break;
            assert_true(slice_equal(key, v->keys[to].key));
            assert_int_equal(term.df, v->keys[to].df);
            assert_int_equal(term.ordinal, to);
            assert_true(shared <= last.size && shared <= key.size && memcmp(before, key.data, shared) == 0);
            memcpy(before, key.data, key.size);
            last = (slice){before, key.size};
            at = to + 1;
        }
    }
    destroy(v);
}

static int64_t late(void *self) {
    (void)self;
    return 1000;
}

/* Less work than needed is told; what is found all the same is right. */
static void bounded_work(void **state) {
    (void)state;
    vocabulary *v = make(1, 4);
    arena a;
    arena_init(&a, 0);
    sparse_vocabulary got;
    sparse_vocabulary_prefix(&v->snapshot, SLICE("t"), 10, &(sparse_effort){.most = 100}, &a, &got);
    assert_true(got.cut && got.n == 10 && got.looked == 100);
    os_clock clock = {.monotonic = late};
    sparse_vocabulary_range(&v->snapshot, SLICE("t"), SLICE("t"), SLICE(""), 10, &(sparse_effort){0, &clock, 1000}, &a, &got);
    assert_true(got.cut && got.n == 0);
    sparse_vocabulary_range(&v->snapshot, SLICE("t"), SLICE("t"), SLICE(""), 10, &(sparse_effort){0, &clock, 1001}, &a, &got);
    assert_true(!got.cut && got.n == 10 && got.more);
    arena_release(&a);
    destroy(v);
}

/* Completions beyond 8,192 terms come from the first of them, in key order. */
static void completions(void **state) {
    (void)state;
    vocabulary *v = make(PARTS, 5);
    arena a;
    arena_init(&a, 0);
    sparse_completion out[8];
    sparse_vocabulary all;
    size_t n = sparse_complete(&v->snapshot, SLICE("ta"), 8, &a, out);
    sparse_vocabulary_prefix(&v->snapshot, SLICE("ta"), 8, &(sparse_effort){0}, &a, &all);
    assert_int_equal(n, 8);
    for (size_t i = 0; i < n; i++) assert_true(slice_equal(out[i].key, all.terms[i].key) && out[i].df == all.terms[i].df);
    assert_int_equal(sparse_complete(&v->snapshot, SLICE("tzz"), 8, &a, out), 0);
    arena_release(&a);
    destroy(v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefixes_and_ranges), cmocka_unit_test(near_words),  cmocka_unit_test(skipping),
        cmocka_unit_test(bounded_work),        cmocka_unit_test(completions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
