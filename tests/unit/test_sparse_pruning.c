/* Pruned and exhaustive search agree to the bit on large parts, where every way of going through them is taken: dense, wide
 * and cut-off windows, and ranges, tried, kept and given up; under every kernel; and on real names and real queries.
 *
 *     test_sparse_pruning digest      prints a hash of many results: the test runs itself so, once for each kernel
 */
#include "sparse_oracle.h"

#include "base/hash.h"
#include "format/inflate.h"
#include "kernel/kernel.h"

#include <zlib.h>

static random_source source;
static arena memory;

static int set_up(void **state) {
    (void)state;
    random_seed(&source, 4);
    arena_init(&memory, 0);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    arena_release(&memory);
    return 0;
}

static slice text_key(uint32_t word) {
    return sparse_text_key(&memory, world_word(&memory, "w", word));
}

/* Every depth gives the beginning of everything. Returns a hash of it. */
static uint64_t compare(const sparse_eligible *e, const sparse_query *query) {
    static const size_t depths[] = {1, 3, 10, 100, 1000, SIZE_MAX};
    sparse_hit *all = arena_alloc(&memory, e->count * sizeof *all), *hits = arena_alloc(&memory, e->count * sizeof *hits);
    size_t n = sparse_search_exhaustive(e, query, SIZE_MAX, &memory, all);
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        size_t m = sparse_search(e, query, depths[i], &memory, hits, NULL), expected = n < depths[i] ? n : depths[i];
        if (m != expected) fail_msg("the best %zu: %zu hits, not %zu", depths[i], m, expected);
        for (size_t j = 0; j < m; j++) {
            if (hits[j].document == all[j].document && hits[j].score == all[j].score) continue;
            fail_msg("the best %zu, rank %zu: document %u, score %.9g; exhaustive: document %u, score %.9g", depths[i],
                     j, hits[j].document, (double)hits[j].score, all[j].document, (double)all[j].score);
        }
    }
    return hash64(all, n * sizeof *all, n);
}

/* ---- random worlds ---- */

static uint32_t draw_word(const world *w, uint64_t kind) {
    if (kind == 0) return (uint32_t)random_below(&source, 8);         /* in much of the documents */
    if (kind == 1) return (uint32_t)random_below(&source, w->vocabulary + 3);
    return world_draw(&source, w->vocabulary);
}

static sparse_query invent_query(const world *w) {
    static const float priors[] = {0, 0, 0.02f, 0.5f, 6, 300};
    size_t n = random_below(&source, 8) ? 1 + (size_t)random_below(&source, 6) : 60 + (size_t)random_below(&source, 20);
    sparse_query_term *terms = arena_zalloc(&memory, n, sizeof *terms);
    sparse_phrase *phrases = arena_zalloc(&memory, 1, sizeof *phrases);
    sparse_query q = {.terms = terms, .n_terms = n, .text_weight = 1, .phrases = phrases};
    uint64_t kind = random_below(&source, 4);
    for (size_t i = 0; i < n; i++) {
        terms[i].key = text_key(draw_word(w, kind));
        terms[i].weight = random_below(&source, 3) ? 1 : (float)random_double(&source) * 3;
        terms[i].required = n < 9 && random_below(&source, 7) == 0;
        terms[i].excluded = i > 0 && random_below(&source, 7) == 0;
    }
    if (n > 1 && random_below(&source, 6) == 0) {
        *phrases = (sparse_phrase){.n = 2, .slop = (uint32_t)random_below(&source, 3), .any_order = random_below(&source, 2)};
        terms[0].excluded = terms[1].excluded = false;
        q.n_phrases = 1;
    }
    q.prior_weight = priors[random_below(&source, sizeof priors / sizeof *priors)];
    if (random_below(&source, 20) == 0) q.text_weight = 0;
    return q;
}

/* A filter that leaves a few in a hundred, a filter that leaves many, a random one. */
static const sparse_filter *invent_filter(void) {
    sparse_filter *f = arena_zalloc(&memory, 1, sizeof *f);
    slice *brand = arena_zalloc(&memory, 1, sizeof *brand);
    switch (random_below(&source, 8)) {
    case 0:
        *brand = world_word(&memory, "brand", (uint32_t)random_below(&source, 20));
        *f = (sparse_filter){.kind = SPARSE_FILTER_VALUES, .field = WORLD_BRAND, .n_values = 1, .values = brand};
        return f;
    case 1:
        *f = (sparse_filter){.kind = SPARSE_FILTER_RANGE, .field = WORLD_PRICE, .low = 0, .high = INFINITY};
        return f;
    case 2: return world_filter(&source, &memory, 2);
    default: return NULL;
    }
}

static uint64_t compare_many(const world_options *options, int queries) {
    world w;
    uint64_t digest = 0;
    world_create(&w, &source, options);
    for (int i = 0; i < queries; i++) {
        sparse_eligible e;
        sparse_eligible_compute(&w.snapshot, invent_filter(), &memory, &e);
        sparse_query query = invent_query(&w);
        digest = digest * 31 + compare(&e, &query);
        arena_reset(&memory);
    }
    world_destroy(&w);
    return digest;
}

static void large_parts_agree(void **state) {
    (void)state;
    compare_many(&(world_options){.documents = 250000, .parts = 1, .vocabulary = 5000, .plain = true, .popularity = true}, 60);
}

static void several_large_parts_agree(void **state) {
    (void)state;
    compare_many(&(world_options){.documents = 240000, .parts = 3, .vocabulary = 400, .plain = true, .dead = 0.03,
                                  .popularity = true}, 40);
}

static void values_of_all_lengths_agree(void **state) {
    (void)state;
    compare_many(&(world_options){.documents = 100000, .parts = 2, .vocabulary = 30000, .values = true, .dead = 0.05}, 60);
}

/* ---- parts made for one way through them ---- */

typedef struct made {
    sparse_builder *builder;
    sparse_config config;
    sparse_part part;
    sparse_snapshot snapshot;
    sparse_segment *segment;
    sparse_eligible eligible;
    buffer image;
    arena lasting;
} made;

static void made_begin(made *m) {
    *m = (made){.config = {.n_fields = 1, .fields = {{"text", SPARSE_TEXT, 1}}, .k1 = 0.9f, .b = 0.4f, .popularity = -1,
                           .type = -1}};
    m->builder = sparse_builder_create(&m->config);
}

static void made_finish(made *m) {
    uint32_t count = sparse_builder_count(m->builder), *numbers = mem_alloc(count * sizeof *numbers);
    uint64_t *versions = mem_alloc(count * sizeof *versions);
    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = count - i; /* of equals, the last place is the first hit */
        versions[i] = 1;
    }
    sparse_statistics statistics;
    base_error error = {0};
    sparse_builder_statistics(m->builder, &statistics);
    sparse_builder_finish(m->builder, numbers, versions, &statistics, &m->image);
    if (sparse_segment_open((slice){m->image.data, m->image.size}, &m->segment, &error)) fail_msg("%s", error.message);
    m->part = (sparse_part){.segment = m->segment, .n_live = count};
    m->snapshot = (sparse_snapshot){.config = &m->config, .n_parts = 1, .parts = &m->part, .live_documents = count,
                                    .statistics = statistics};
    arena_init(&m->lasting, 0);
    sparse_eligible_compute(&m->snapshot, NULL, &m->lasting, &m->eligible);
    sparse_builder_destroy(m->builder);
    free(numbers);
    free(versions);
}

static void made_release(made *m) {
    sparse_segment_close(m->segment);
    buffer_release(&m->image);
    arena_release(&m->lasting);
}

static void add_words(made *m, const char *word, int n) {
    for (int i = 0; i < n; i++) sparse_builder_term(m->builder, 0, slice_of(word));
}

static sparse_query_term made_term(const char *word, float weight) {
    return (sparse_query_term){.key = sparse_text_key(&memory, slice_of(word)), .weight = weight};
}

/* All postings of a term lie together where a window is large because they seemed to be few: it ends earlier. */
static void crowded_windows_are_cut(void **state) {
    (void)state;
    enum { PLACES = 1300000, FIRST = 126976 + 5 /* a window begins 5 places before */, CROWD = 70000 };
    made m;
    made_begin(&m);
    for (uint32_t i = 0; i < PLACES; i++) {
        sparse_builder_begin(m.builder);
        bool crowd = i >= FIRST && i < FIRST + CROWD;
        if (crowd) add_words(&m, "crowd", 1 + (i % 1000 == 7));
        else if (i % 64 == 0) add_words(&m, "other", 1);
        if (crowd && i % 3 == 0) add_words(&m, "third", 1);
    }
    made_finish(&m);
    for (int required = 0; required < 2; required++) {
        for (size_t n = 1; n <= 3; n++) {
            sparse_query_term terms[] = {made_term("crowd", 1), made_term("third", 1), made_term("other", 1)};
            terms[0].required = required;
            sparse_query query = {.terms = terms, .n_terms = n, .text_weight = 1};
            compare(&m.eligible, &query);
            arena_reset(&memory);
        }
    }
    made_release(&m);
}

/* One term decides alone, so windows are large; but where its own impacts are small, others have to help it. More terms than
 * ranges take. */
static void terms_become_essential_in_large_windows(void **state) {
    (void)state;
    enum { PLACES = 400000, RARE = 70 };
    made m;
    char word[16];
    made_begin(&m);
    for (uint32_t i = 0; i < PLACES; i++) {
        sparse_builder_begin(m.builder);
        bool best = i < 4000 && i % 200 == 0;
        if (i % 40 == 0) add_words(&m, "main", best ? 30 : 1);
        if (i % 40 > 0) add_words(&m, "filler", 1);
        if (!best) add_words(&m, "filler", 5 + (int)(i % 3));
        for (uint32_t r = 0; r < RARE; r++) {
            if (i % 2800 != r * 40) continue;
            snprintf(word, sizeof word, "rare%u", r);
            add_words(&m, word, 1);
        }
    }
    made_finish(&m);
    for (float weight = 0.05f; weight < 3; weight *= 1.5f) {
        sparse_query_term terms[RARE + 1];
        for (uint32_t r = 0; r < RARE; r++) {
            snprintf(word, sizeof word, "rare%u", r);
            terms[r] = made_term(word, weight);
        }
        terms[RARE] = made_term("main", 3);
        sparse_query query = {.terms = terms, .n_terms = RARE + 1, .text_weight = 1};
        compare(&m.eligible, &query);
        for (uint32_t r = 2; r < 5; r++) { /* and few terms */
            query.terms = terms + RARE - r;
            query.n_terms = r + 1;
            compare(&m.eligible, &query);
        }
        arena_reset(&memory);
    }
    made_release(&m);
}

/* ---- deadlines ---- */

static int64_t ticking(void *self) {
    return ++*(int64_t *)self;
}

/* Wherever the search is when time is up, what it has found are hits with their scores. */
static void a_deadline_leaves_true_hits(void **state) {
    (void)state;
    enum { K = 50 };
    world w;
    sparse_eligible e;
    sparse_hit hits[K];
    int finished = 0;
    world_create(&w, &source, &(world_options){.documents = 120000, .parts = 2, .vocabulary = 300, .plain = true});
    sparse_eligible_compute(&w.snapshot, NULL, &memory, &e);
    sparse_query_term terms[] = {{.key = text_key(1), .weight = 1}, {.key = text_key(2), .weight = 1},
                                 {.key = text_key(3), .weight = 1}, {.key = text_key(9), .excluded = true}};
    sparse_query query = {.terms = terms, .n_terms = 4, .text_weight = 1};
    sparse_hit *all = arena_alloc(&memory, e.count * sizeof *all);
    size_t n = sparse_search_exhaustive(&e, &query, SIZE_MAX, &memory, all);
    float *scores = arena_zalloc(&memory, (size_t)w.n * 3 + 3, sizeof *scores);
    for (size_t i = 0; i < n; i++) scores[all[i].document] = all[i].score;
    for (int64_t deadline = 1; deadline < 300 && finished < 3; deadline++) {
        int64_t ticks = 0;
        os_clock clock = {ticking, ticking, &ticks};
        bool late = false;
        query.clock = &clock;
        query.deadline = deadline;
        size_t m = sparse_search(&e, &query, K, &memory, hits, &late);
        assert_int_equal(late, ticks >= deadline);
        for (size_t i = 0; i < m; i++) assert_true(hits[i].score > 0 && scores[hits[i].document] == hits[i].score);
        if (late) continue;
        assert_memory_equal(hits, all, sizeof hits);
        finished++;
    }
    assert_int_equal(finished, 3);
    world_destroy(&w);
}

/* ---- kernels ---- */

static int print_digest(void) {
    set_up(NULL);
    uint64_t digest = compare_many(&(world_options){.documents = 60000, .parts = 2, .vocabulary = 300, .plain = true,
                                                    .popularity = true, .dead = 0.02}, 60);
    digest ^= compare_many(&(world_options){.documents = 20000, .parts = 1, .vocabulary = 2000, .values = true}, 40);
    printf("%s %016llx\n", kernels()->name, (unsigned long long)digest);
    return tear_down(NULL);
}

static void all_kernels_find_the_same(void **state) {
    (void)state;
    static const char *const names[] = {"scalar", "avx2", "avx512", "neon"};
    char self[512], command[600], name[16], first[17] = "", digest[17];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(size > 0);
    self[size] = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!kernels_named(names[i])) continue;
        snprintf(command, sizeof command, "FORAGE_KERNEL=%s '%s' digest", names[i], self);
        FILE *out = popen(command, "r");
        assert_non_null(out);
        assert_int_equal(fscanf(out, "%15s %16s", name, digest), 2);
        assert_int_equal(pclose(out), 0);
        assert_string_equal(name, names[i]);
        if (!*first) memcpy(first, digest, sizeof first);
        assert_string_equal(digest, first);
    }
}

/* ---- real names, real queries ---- */

static forage_status read_file(void *self, void *data, size_t size, size_t *got, base_error *error) {
    (void)error;
    *got = fread(data, 1, size, self);
    return FORAGE_OK;
}

/* Lower-case words of a text: letters and digits. */
static bool next_word(const char **at, const char *end, char word[64], size_t *n) {
    const char *p = *at;
    for (*n = 0; p < end; p++) {
        char c = *p >= 'A' && *p <= 'Z' ? (char)(*p | 32) : *p;
        bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (unsigned char)c >= 128;
        if (letter && *n < 63) word[(*n)++] = c;
        if (!letter && *n > 0) break;
    }
    *at = p;
    return *n > 0;
}

enum { PACKAGES = 100000 };

/* Every 11th of the first 1.1 million lines. */
static void read_packages(made *m, FILE *file) {
    enum { ROOM = 1 << 16 };
    static char room[ROOM];
    inflater *f = inflater_open(read_file, file, UINT64_MAX);
    size_t size = 0, got = 1;
    uint32_t line = 0;
    while (sparse_builder_count(m->builder) < PACKAGES && got > 0) {
        assert_ok(inflater_read(f, room + size, ROOM - size, &got, NULL));
        size += got;
        char *at = room, *end;
        for (; (end = memchr(at, '\n', size - (size_t)(at - room))); at = end + 1) {
            if (line++ % 11 || sparse_builder_count(m->builder) >= PACKAGES) continue;
            char word[64];
            size_t n;
            sparse_builder_begin(m->builder);
            for (const char *p = at; next_word(&p, end, word, &n);) sparse_builder_term(m->builder, 0, (slice){word, n});
        }
        size -= (size_t)(at - room);
        memmove(room, at, size);
        assert_true(size < ROOM);
    }
    inflater_close(f);
}

static void packages_agree(void **state) {
    (void)state;
    char topics[1100];
    const char *path = testing_data("trec-queries/topics.terabyte05.efficiency.txt.gz");
    if (path) snprintf(topics, sizeof topics, "%s", path);
    const char *packages = path ? testing_data("packages/packages.tsv.zst") : NULL;
    if (!packages) skip();
    made m;
    FILE *file = fopen(packages, "rb");
    assert_non_null(file);
    made_begin(&m);
    read_packages(&m, file);
    fclose(file);
    made_finish(&m);
    assert_int_equal(m.eligible.count, PACKAGES);
    gzFile lines = gzopen(topics, "rb");
    assert_non_null(lines);
    char line[4096], word[64];
    for (size_t i = 0, n; i < 3000 && gzgets(lines, line, sizeof line); i++) {
        if (i % 10) continue;
        sparse_query_term terms[40];
        sparse_phrase phrase = {.n = 2, .slop = i % 20 ? 0 : 3, .any_order = i % 40 == 0};
        sparse_query query = {.terms = terms, .text_weight = 1, .phrases = &phrase};
        const char *at = strchr(line, ':');
        for (at = at ? at + 1 : line; query.n_terms < 40 && next_word(&at, line + strlen(line), word, &n); query.n_terms++) {
            slice key = sparse_text_key(&memory, (slice){word, n});
            terms[query.n_terms] = (sparse_query_term){.key = key, .weight = 1, .required = i % 50 == 10};
        }
        if (i % 30 == 0 && query.n_terms >= 2) query.n_phrases = 1;
        if (i % 70 == 0 && query.n_terms >= 3) terms[query.n_terms - 1].excluded = true;
        compare(&m.eligible, &query);
        arena_reset(&memory);
    }
    gzclose(lines);
    made_release(&m);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "digest") == 0) return print_digest();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(large_parts_agree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(several_large_parts_agree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_of_all_lengths_agree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(crowded_windows_are_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(terms_become_essential_in_large_windows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_deadline_leaves_true_hits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_kernels_find_the_same, set_up, tear_down),
        cmocka_unit_test_setup_teardown(packages_agree, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("sparse_pruning", tests, NULL, NULL);
}
