/* Tokens with given weights: they stay what they were given, through merges too, and the pruned search for the greatest dot
 * products finds what scoring everything finds, to the bit. */
#include "testing.h"

#include "base/random.h"
#include "os/file.h"
#include "sparse/builder.h"
#include "sparse/index.h"
#include "sparse/merge.h"
#include "sparse/search.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

enum { TOKENS = 60, BODY = 0, LEARNED = 1 };

static const sparse_config config = {
    .n_fields = 2,
    .fields = {{"body", SPARSE_TEXT, 1}, {"learned", SPARSE_WEIGHTS, 0}},
    .k1 = 0.9f, .b = 0.4f, .popularity = -1, .type = -1};

/* weights[document][token]; 0: it has not got the token. */
typedef struct world {
    uint8_t (*weights)[TOKENS];
    uint32_t n;
    buffer images[4];
    sparse_segment *segments[4];
    sparse_part parts[4];
    sparse_merge_input inputs[4];
    sparse_snapshot snapshot;
} world;

static slice token_of(arena *a, uint32_t token) { return slice_of(arena_printf(a, "token%u", token)); }

static void open_image(world *w, uint32_t part) {
    base_error error = {0};
    if (sparse_segment_open((slice){w->images[part].data, w->images[part].size}, &w->segments[part], &error))
        fail_msg("%s", error.message);
    if (sparse_segment_validate(w->segments[part], &error)) fail_msg("%s", error.message);
    w->parts[part] = (sparse_part){.segment = w->segments[part], .n_live = sparse_segment_count(w->segments[part])};
    w->inputs[part] = (sparse_merge_input){w->segments[part], NULL};
}

/* Few tokens are frequent; a document's weights are small and one or two are large. */
static void invent(world *w, random_source *r) {
    for (uint32_t d = 0; d < w->n; d++)
        for (uint32_t t = 0; t < TOKENS; t++)
            if (random_below(r, t + 1) < 2)
                w->weights[d][t] = (uint8_t)(1 + random_below(r, random_below(r, 20) == 0 ? 255 : 40));
}

static void build_part(world *w, uint32_t part, uint32_t from, uint32_t end) {
    sparse_builder *b = sparse_builder_create(&config);
    uint32_t *documents = mem_alloc((end - from + 1) * sizeof *documents);
    uint64_t *versions = mem_alloc((end - from + 1) * sizeof *versions);
    sparse_statistics st;
    arena a;
    arena_init(&a, 0);
    for (uint32_t d = from; d < end; d++) {
        documents[d - from] = d;
        versions[d - from] = 7 + d;
        sparse_builder_begin(b);
        if (d % 3 == 0) sparse_builder_term(b, BODY, SLICE("word"));
        for (uint32_t t = 0; t < TOKENS; t++) {
            uint8_t weight = w->weights[d][t];
            if (!weight) continue;
            if (d % 5 == 0) sparse_builder_weight(b, LEARNED, token_of(&a, t), 1); /* the greater of two is kept */
            sparse_builder_weight(b, LEARNED, token_of(&a, t), weight);
        }
        arena_reset(&a);
    }
    sparse_builder_statistics(b, &st);
    sparse_builder_finish(b, documents, versions, &st, &w->images[part]);
    sparse_builder_destroy(b);
    open_image(w, part);
    sparse_statistics_add(&w->snapshot.statistics, &st);
    arena_release(&a);
    free(documents);
    free(versions);
}

static world *new_world(uint32_t n, uint32_t parts, uint64_t seed) {
    world *w = mem_zalloc(1, sizeof *w);
    random_source r;
    random_seed(&r, seed);
    w->n = n;
    w->weights = mem_zalloc(n, sizeof *w->weights);
    invent(w, &r);
    for (uint32_t p = 0; p < parts; p++) build_part(w, p, n * p / parts, n * (p + 1) / parts);
    w->snapshot.config = &config;
    w->snapshot.n_parts = parts;
    w->snapshot.parts = w->parts;
    w->snapshot.live_documents = n;
    return w;
}

static void end_world(world *w) {
    for (int p = 0; p < 4; p++) {
        sparse_segment_close(w->segments[p]);
        buffer_release(&w->images[p]);
    }
    free(w->weights);
    free(w);
}

/* Every posting of the part says what was given. */
static void check_weights(const world *w, const sparse_segment *s) {
    uint64_t seen = 0, given = 0;
    arena a;
    arena_init(&a, 0);
    for (uint32_t t = 0; t < TOKENS; t++) {
        sparse_term term;
        if (!sparse_segment_term(s, sparse_weight_key(&a, LEARNED, token_of(&a, t)), &term)) continue;
        for (uint32_t b = 0; b < term.n_blocks; b++) {
            uint32_t places[SPARSE_BLOCK + 8], n;
            uint8_t impacts[SPARSE_BLOCK + 8];
            n = sparse_block_decode(&term, b, places, impacts);
            for (uint32_t i = 0; i < n; i++, seen++) assert_int_equal(impacts[i], w->weights[sparse_segment_document(s, places[i])][t]);
        }
    }
    for (uint32_t p = 0; p < sparse_segment_count(s); p++)
        for (uint32_t t = 0; t < TOKENS; t++) given += w->weights[sparse_segment_document(s, p)][t] > 0;
    assert_int_equal(seen, given);
    arena_release(&a);
}

static void weights_are_what_was_given(void **state) {
    (void)state;
    world *w = new_world(3000, 2, 1);
    check_weights(w, w->segments[0]);
    check_weights(w, w->segments[1]);
    end_world(w);
}

static void merges_keep_weights(void **state) {
    (void)state;
    world *w = new_world(2000, 3, 2);
    uint32_t *order = mem_alloc(w->n * sizeof *order);
    uint64_t live[11]; /* of part 1: every second place */
    memset(live, 0x55, sizeof live);
    for (uint32_t i = 0; i < w->n; i++) order[i] = w->n - 1 - i;
    for (int how = 0; how < 3; how++) {
        buffer merged = {0};
        sparse_segment *s;
        w->inputs[1].live = how == 2 ? live : NULL;
        sparse_merge(w->inputs, 3, how == 1 ? order : NULL, &config, &w->snapshot.statistics, &merged);
        assert_ok(sparse_segment_open((slice){merged.data, merged.size}, &s, NULL));
        assert_ok(sparse_segment_validate(s, NULL));
        assert_int_equal(sparse_segment_count(s), how == 2 ? 2000 - 667 / 2 : 2000);
        check_weights(w, s);
        sparse_segment_close(s);
        buffer_release(&merged);
    }
    free(order);
    end_world(w);
}

/* The greatest dot products, naively: by score, then by number. */
static size_t naive(const world *w, const float *query, size_t k, sparse_hit *hits) {
    size_t n = 0;
    for (uint32_t d = 0; d < w->n; d++) {
        double sum = 0;
        bool matches = false;
        for (uint32_t t = 0; t < TOKENS; t++) {
            if (query[t] <= 0 || !w->weights[d][t]) continue;
            matches = true;
            sum += (double)query[t] * w->weights[d][t] / 255;
        }
        size_t at = n;
        if (!matches) continue;
        while (at > 0 && (double)hits[at - 1].score < sum - 1e-5) at--;
        if (at >= k) continue;
        if (n < k) n++;
        memmove(hits + at + 1, hits + at, (n - 1 - at) * sizeof *hits);
        hits[at] = (sparse_hit){d, (float)sum};
    }
    return n;
}

static void pruned_search_is_exact(void **state) {
    (void)state;
    random_source r;
    random_seed(&r, 3);
    for (uint32_t parts = 1; parts <= 4; parts += 3) {
        world *w = new_world(20000, parts, parts);
        arena a;
        arena_init(&a, 0);
        for (int round = 0; round < 60; round++, arena_reset(&a)) {
            enum { MOST = 100 };
            float query[TOKENS] = {0};
            sparse_query_term terms[TOKENS];
            sparse_hit hits[MOST], all[MOST], expected[MOST];
            size_t n = 0, k = round % 2 ? 10 : MOST;
            for (uint32_t t = 0; t < TOKENS; t++) {
                if (random_below(&r, 5) > 1) continue;
                query[t] = (float)random_double(&r) * 3;
                terms[n++] = (sparse_query_term){.key = sparse_weight_key(&a, LEARNED, token_of(&a, t)), .weight = query[t]};
            }
            sparse_eligible e;
            sparse_eligible_compute(&w->snapshot, NULL, &a, &e);
            sparse_query q = {.terms = terms, .n_terms = n, .text_weight = 1};
            size_t found = sparse_search(&e, &q, k, &a, hits, NULL);
            assert_int_equal(found, sparse_search_exhaustive(&e, &q, k, &a, all));
            assert_memory_equal(hits, all, found * sizeof *hits);
            assert_int_equal(found, naive(w, query, k, expected));
            for (size_t i = 0; i < found; i++) assert_float_equal(hits[i].score, expected[i].score, 1e-4);
        }
        arena_release(&a);
        end_world(w);
    }
}

/* Beside words of a text, which do have an idf. */
static void an_explanation_adds_up(void **state) {
    (void)state;
    world *w = new_world(500, 2, 5);
    arena a;
    arena_init(&a, 0);
    const sparse_query_term terms[] = {{.key = sparse_weight_key(&a, LEARNED, token_of(&a, 0)), .weight = 2},
                                       {.key = sparse_weight_key(&a, LEARNED, token_of(&a, 1)), .weight = 0.5f},
                                       {.key = sparse_text_key(&a, SLICE("word")), .weight = 1}};
    sparse_query q = {.terms = terms, .n_terms = 3, .text_weight = 1};
    for (uint32_t d = 0; d < 300; d += 3) {
        sparse_term_story stories[3];
        float prior, score;
        sparse_explain(&w->snapshot, &q, d, stories, &prior, &score);
        assert_float_equal(stories[0].score, 2.0f * w->weights[d][0] / 255, 1e-4);
        assert_float_equal(stories[1].score, 0.5f * w->weights[d][1] / 255, 1e-4);
        assert_true(stories[2].score > 0);
        assert_float_equal(score, stories[0].score + stories[1].score + stories[2].score, 1e-4);
    }
    arena_release(&a);
    end_world(w);
}

/* Whatever byte changes: it is seen when the image is opened. */
static void damage_is_seen(void **state) {
    (void)state;
    world *w = new_world(400, 1, 6);
    char *bytes = mem_alloc(w->images[0].size);
    for (size_t at = 0; at < w->images[0].size; at += 97) {
        sparse_segment *s;
        memcpy(bytes, w->images[0].data, w->images[0].size);
        bytes[at] ^= 0x10;
        assert_int_not_equal(sparse_segment_open((slice){bytes, w->images[0].size}, &s, NULL), FORAGE_OK);
        assert_int_not_equal(sparse_segment_open((slice){w->images[0].data, at / 8 * 8}, &s, NULL), FORAGE_OK);
    }
    free(bytes);
    end_world(w);
}

/* ---- An index without a store ---- */

/* One document with a token that only it has. */
static void apply_one(sparse_index *index, uint32_t document, uint64_t version, uint8_t weight) {
    sparse_builder *b = sparse_builder_create(&config);
    sparse_statistics st;
    buffer image = {0};
    char token[32];
    snprintf(token, sizeof token, "only%u", document);
    sparse_builder_begin(b);
    sparse_builder_weight(b, LEARNED, SLICE("common"), weight);
    sparse_builder_weight(b, LEARNED, slice_of(token), weight);
    sparse_builder_statistics(b, &st);
    sparse_builder_finish(b, &document, &version, &st, &image);
    sparse_builder_destroy(b);
    assert_ok(sparse_index_apply(index, &image, NULL, 0, NULL));
}

static size_t find(sparse_index *index, slice token, sparse_hit *hits, size_t k) {
    arena a;
    arena_init(&a, 0);
    const sparse_snapshot *s = sparse_index_acquire(index);
    const sparse_query_term term = {.key = sparse_weight_key(&a, LEARNED, token), .weight = 1};
    sparse_query q = {.terms = &term, .n_terms = 1, .text_weight = 1};
    sparse_eligible e;
    sparse_eligible_compute(s, NULL, &a, &e);
    size_t n = sparse_search(&e, &q, k, &a, hits, NULL);
    sparse_index_release(index, s);
    arena_release(&a);
    return n;
}

static void check_alone(sparse_index *index) {
    sparse_hit hits[64];
    assert_int_equal(find(index, SLICE("common"), hits, 64), 48);
    assert_int_equal(hits[0].document, 7);
    assert_float_equal(hits[0].score, 1, 1e-6);
    assert_int_equal(find(index, SLICE("only3"), hits, 64), 0);
    assert_int_equal(find(index, SLICE("only9"), hits, 64), 1);
    sparse_index_info info;
    sparse_index_describe(index, &info);
    assert_int_equal(info.documents, 48);
}

static void an_index_alone_is_kept_in_a_file(void **state) {
    (void)state;
    char folder[512], path[600];
    base_error error = {0};
    sparse_index_info info;
    snprintf(folder, sizeof folder, "%s", testing_folder());
    snprintf(path, sizeof path, "%s/one.weights", folder);
    sparse_index *index = sparse_index_create("test", &config);
    assert_int_equal(sparse_index_read_file(index, path, &error), FORAGE_E_NOT_FOUND);
    assert_ok(sparse_index_write_file(index, path, &error)); /* of nothing */
    sparse_index_close(index);
    index = sparse_index_create("test", &config);
    assert_ok(sparse_index_read_file(index, path, &error));
    for (uint32_t d = 0; d < 50; d++) apply_one(index, d, 1, (uint8_t)(1 + d));
    sparse_index_describe(index, &info);
    assert_true(info.segments < 16); /* those of one size were merged */
    apply_one(index, 7, 2, 255);
    apply_one(index, 7, 1, 9); /* an older version changes nothing */
    const uint32_t dead[] = {3, 4, 1000};
    assert_ok(sparse_index_apply(index, &(buffer){0}, dead, 3, NULL));
    check_alone(index);
    assert_ok(sparse_index_write_file(index, path, &error));
    check_alone(index);
    sparse_index_describe(index, &info);
    assert_int_equal(info.segments, 1);
    assert_int_equal(info.memory_segments, 0);
    sparse_index_close(index);

    index = sparse_index_create("test", &config);
    assert_ok(sparse_index_read_file(index, path, &error));
    check_alone(index);
    apply_one(index, 4, 3, 20);
    assert_ok(sparse_index_write_file(index, path, &error));
    sparse_hit hits[1];
    assert_int_equal(find(index, SLICE("only4"), hits, 1), 1);
    sparse_index_close(index);

    buffer bytes = {0};
    assert_ok(os_read_file(path, 0, &bytes, NULL));
    bytes.data[bytes.size / 2] ^= 1;
    assert_ok(os_write_file(path, bytes.data, bytes.size, NULL));
    index = sparse_index_create("test", &config);
    assert_int_equal(sparse_index_read_file(index, path, &error), FORAGE_E_CORRUPT);
    apply_one(index, 1, 1, 1);
    sparse_index_close(index);
    buffer_release(&bytes);
    assert_ok(os_remove_tree(folder, NULL));
}

/* One writes, one saves, one searches: nothing is lost or found twice. */
typedef struct crowd {
    sparse_index *index;
    const char *path;
    atomic_bool over;
} crowd;

static void *save_again(void *argument) {
    crowd *c = argument;
    while (!atomic_load(&c->over))
        if (sparse_index_write_file(c->index, c->path, NULL) != FORAGE_OK) abort();
    return NULL;
}

static void *search_again(void *argument) {
    crowd *c = argument;
    while (!atomic_load(&c->over)) {
        sparse_hit hits[64];
        size_t n = find(c->index, SLICE("common"), hits, 64);
        for (size_t i = 1; i < n; i++) {
            bool equal = hits[i - 1].score == hits[i].score;
            if (hits[i - 1].score < hits[i].score || (equal && hits[i - 1].document >= hits[i].document)) abort();
        }
    }
    return NULL;
}

static void saving_takes_nothing_away(void **state) {
    (void)state;
    char folder[512], path[600];
    snprintf(folder, sizeof folder, "%s", testing_folder());
    snprintf(path, sizeof path, "%s/crowd.weights", folder);
    crowd c = {.index = sparse_index_create("test", &config), .path = path};
    pthread_t threads[2];
    assert_int_equal(pthread_create(&threads[0], NULL, save_again, &c), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, search_again, &c), 0);
    for (uint32_t round = 1; round <= 10; round++)
        for (uint32_t d = 0; d < 40; d++) {
            if (d % 8 == round % 8) assert_ok(sparse_index_apply(c.index, &(buffer){0}, &d, 1, NULL));
            else apply_one(c.index, d, round, (uint8_t)(round * 10 + d));
        }
    atomic_store(&c.over, true);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    sparse_hit hits[64];
    assert_int_equal(find(c.index, SLICE("common"), hits, 64), 35); /* the last round removed five */
    for (size_t i = 0; i < 35; i++) {
        assert_int_not_equal(hits[i].document % 8, 10 % 8);
        assert_float_equal(hits[i].score, (100 + hits[i].document) / 255.0, 1e-5);
    }
    assert_ok(sparse_index_check(c.index, NULL));
    sparse_index_close(c.index);
    assert_ok(os_remove_tree(folder, NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_what_was_given), cmocka_unit_test(merges_keep_weights), cmocka_unit_test(pruned_search_is_exact),
        cmocka_unit_test(an_explanation_adds_up),     cmocka_unit_test(damage_is_seen),
        cmocka_unit_test(an_index_alone_is_kept_in_a_file),
        cmocka_unit_test(saving_takes_nothing_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
