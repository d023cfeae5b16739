/* Document ordering by bisection: planted clusters come back, popularity decides what gaps do not, limits hold. */
#include "testing.h"

#include "base/memory.h"
#include "base/random.h"
#include "sparse/bisect.h"

#include <math.h>

typedef struct world {
    bisect_documents documents;
    uint64_t *starts;
    uint32_t *terms;
} world;

static void world_release(world *w) {
    free(w->starts);
    free(w->terms);
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Document d has `per` distinct words of the vocabulary of cluster[d], which is `vocabulary` words, each as likely. */
static world planted(const uint32_t *cluster, uint32_t n, uint32_t k, uint32_t vocabulary, uint32_t per,
                     uint64_t seed) {
    random_source r;
    random_seed(&r, seed);
    world w = {.starts = mem_zalloc(n + 1, sizeof(uint64_t)), .terms = mem_alloc((size_t)n * per * sizeof(uint32_t))};
    for (uint32_t d = 0; d < n; d++) {
        uint32_t *terms = w.terms + w.starts[d], size = 0;
        for (uint32_t i = 0; i < per; i++) terms[i] = cluster[d] * vocabulary + (uint32_t)random_below(&r, vocabulary);
        qsort(terms, per, sizeof *terms, by_value);
        for (uint32_t i = 0; i < per; i++)
            if (i == 0 || terms[i] != terms[i - 1]) terms[size++] = terms[i];
        w.starts[d + 1] = w.starts[d] + size;
    }
    w.documents = (bisect_documents){.n = n, .n_terms = k * vocabulary, .starts = w.starts, .terms = w.terms};
    return w;
}

/* A world in which documents of the k clusters are shuffled. */
static world shuffled(uint32_t n, uint32_t k, uint32_t *cluster) {
    random_source r;
    random_seed(&r, 7);
    for (uint32_t d = 0; d < n; d++) cluster[d] = d % k;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = (uint32_t)random_below(&r, i), x = cluster[j];
        cluster[j] = cluster[i - 1];
        cluster[i - 1] = x;
    }
    return planted(cluster, n, k, 60, 8, 11);
}

/* The order of the same documents, which stay as they are. */
static forage_status order_copy(const bisect_documents *d, const bisect_options *o, uint32_t *order) {
    bisect_documents copy = *d;
    copy.terms = mem_alloc(d->starts[d->n] * sizeof(uint32_t));
    memcpy(copy.terms, d->terms, d->starts[d->n] * sizeof(uint32_t));
    forage_status status = bisect_order(&copy, o, order);
    free(copy.terms);
    return status;
}

static void assert_permutation(const uint32_t *order, uint32_t n) {
    uint8_t *seen = mem_zalloc(n, 1);
    for (uint32_t i = 0; i < n; i++) {
        assert_true(order[i] < n);
        assert_false(seen[order[i]]);
        seen[order[i]] = 1;
    }
    free(seen);
}

/* Within a cluster no order is better than chance, so the order by cluster is the best one known. Cuts may pull a cluster
 * apart. */
static void clusters_come_back(void **state) {
    (void)state;
    enum { N = 6000 };
    static const uint32_t counts[] = {2, 8, 13, 64};
    for (size_t c = 0; c < 4; c++) {
        uint32_t cluster[N], known[N], order[N], at = 0, k = counts[c];
        world w = shuffled(N, k, cluster);
        for (uint32_t i = 0; i < k; i++)
            for (uint32_t d = 0; d < N; d++)
                if (cluster[d] == i) known[at++] = d;
        bisect_options options = {.leaf = 16};
        assert_int_equal(order_copy(&w.documents, &options, order), FORAGE_OK);
        assert_permutation(order, N);
        bisect_cost before = bisect_cost_of(&w.documents, NULL), best = bisect_cost_of(&w.documents, known),
                    after = bisect_cost_of(&w.documents, order);
        assert_true(before.log_gap > best.log_gap + .8 * log2(k));
        if (after.log_gap > best.log_gap * 1.05)
            fail_msg("%u clusters: mean log gap %.3f, %.3f by cluster", k, after.log_gap, best.log_gap);
        assert_true(after.patched < before.patched);
        world_release(&w);
    }
}

static void same_again(void **state) {
    (void)state;
    enum { N = 2000 };
    uint32_t cluster[N], first[N], second[N];
    world w = shuffled(N, 5, cluster);
    bisect_options options = {0};
    assert_int_equal(order_copy(&w.documents, &options, first), FORAGE_OK);
    assert_int_equal(order_copy(&w.documents, &options, second), FORAGE_OK);
    assert_memory_equal(first, second, sizeof first);
    world_release(&w);
}

static void check_kept(uint32_t n, uint32_t n_terms, const uint64_t *starts, uint32_t *terms) {
    bisect_documents d = {.n = n, .n_terms = n_terms, .starts = starts, .terms = terms};
    bisect_options options = {.leaf = 1};
    uint32_t order[64];
    assert_int_equal(bisect_order(&d, &options, order), FORAGE_OK);
    for (uint32_t i = 0; i < n; i++) assert_int_equal(order[i], i);
}

/* Where nothing can be gained, documents stay where they are. */
static void nothing_to_gain(void **state) {
    (void)state;
    uint64_t empty[65] = {0}, ones[65], pairs[65];
    for (uint32_t i = 0; i < 65; i++) {
        ones[i] = i;
        pairs[i] = 2 * i;
    }
    uint32_t terms[128] = {0};
    check_kept(0, 0, empty, terms);
    check_kept(1, 1, ones, terms);
    check_kept(2, 1, ones, terms);
    check_kept(64, 0, empty, terms); /* no terms at all */
    check_kept(64, 1, ones, terms);  /* the same term everywhere */
    for (uint32_t i = 0; i < 128; i++) terms[i] = i;
    check_kept(64, 128, pairs, terms); /* every term in one document only */
    for (uint32_t i = 0; i < 64; i++) {
        terms[2 * i] = i / 16;
        terms[2 * i + 1] = 4 + i / 16;
    }
    check_kept(64, 8, pairs, terms); /* already in order */
}

/* One term, a little more frequent in the first half: all that have it end up together. */
static void one_term(void **state) {
    (void)state;
    enum { N = 101 };
    uint64_t starts[N + 1] = {0};
    uint32_t terms[N] = {0}, order[N];
    for (uint32_t d = 0; d < N; d++) starts[d + 1] = starts[d] + (d % 3 == 0 || d == 1);
    bisect_documents d = {.n = N, .n_terms = 1, .starts = starts, .terms = terms};
    bisect_options options = {.leaf = 4};
    assert_int_equal(bisect_order(&d, &options, order), FORAGE_OK);
    assert_permutation(order, N);
    uint32_t changes = 0;
    for (uint32_t i = 1; i < N; i++)
        changes += (starts[order[i] + 1] == starts[order[i]]) != (starts[order[i - 1] + 1] == starts[order[i - 1]]);
    assert_true(changes <= 6); /* they do not fill halves of halves, and leaves are not ordered by terms */
}

/* Terms below min_df are no reason to move a document. */
static void min_df(void **state) {
    (void)state;
    enum { N = 1000 };
    uint32_t cluster[N], order[N], kept[N];
    world w = shuffled(N, 2, cluster);
    bisect_options options = {.min_df = N}; /* leaves nothing */
    assert_int_equal(order_copy(&w.documents, &options, order), FORAGE_OK);
    for (uint32_t i = 0; i < N; i++) kept[i] = i;
    assert_memory_equal(order, kept, sizeof order);
    world_release(&w);
}

static void popularity(void **state) {
    (void)state;
    enum { N = 4000, LEAF = 32, HEAD = 300 };
    uint32_t cluster[N], order[N];
    float popularity[N], sorted[N];
    world w = shuffled(N, 4, cluster);
    random_source r;
    random_seed(&r, 3);
    for (uint32_t d = 0; d < N; d++) popularity[d] = (float)random_below(&r, 1000000);
    bisect_options plain = {.leaf = LEAF}, options = {.leaf = LEAF, .popularity = popularity};
    assert_int_equal(order_copy(&w.documents, &plain, order), FORAGE_OK);
    double without = bisect_cost_of(&w.documents, order).log_gap;
    assert_int_equal(order_copy(&w.documents, &options, order), FORAGE_OK);
    assert_permutation(order, N);
    assert_true(bisect_cost_of(&w.documents, order).log_gap < without * 1.02);
    uint32_t falls = 0; /* 4,000 halved until at most 32: leaves of 31 and 32, within which popularity falls */
    for (uint32_t i = 1; i < N; i++) falls += popularity[order[i]] <= popularity[order[i - 1]];
    assert_true(falls >= N - 1 - 127);

    options.head = HEAD;
    assert_int_equal(order_copy(&w.documents, &options, order), FORAGE_OK);
    assert_permutation(order, N);
    float lowest = popularity[order[0]];
    for (uint32_t i = 0; i < HEAD; i++) lowest = popularity[order[i]] < lowest ? popularity[order[i]] : lowest;
    for (uint32_t i = HEAD; i < N; i++) assert_true(popularity[order[i]] <= lowest);
    world_release(&w);

    /* Without terms the order is that of popularity, equals as they were. */
    uint64_t starts[N + 1] = {0};
    for (uint32_t d = 0; d < N; d++) popularity[d] = (float)random_below(&r, 50);
    bisect_documents empty = {.n = N, .n_terms = 0, .starts = starts, .terms = NULL};
    options.head = 0;
    assert_int_equal(bisect_order(&empty, &options, order), FORAGE_OK);
    for (uint32_t i = 0; i < N; i++) sorted[i] = popularity[order[i]];
    for (uint32_t i = 1; i < N; i++) {
        assert_true(sorted[i] <= sorted[i - 1]);
        if (sorted[i] == sorted[i - 1]) assert_true(order[i] > order[i - 1]);
    }
}

/* Two disjoint vocabularies, the second of the popular documents: cutting cannot care which half comes first. */
static void popular_half_first(void **state) {
    (void)state;
    enum { N = 512 };
    uint32_t cluster[N], order[N];
    float popularity[N];
    for (uint32_t d = 0; d < N; d++) {
        cluster[d] = d >= N / 2;
        popularity[d] = d >= N / 2 ? 10 : 1;
    }
    world w = planted(cluster, N, 2, 100, 8, 5);
    bisect_options options = {.popularity = popularity};
    assert_int_equal(order_copy(&w.documents, &options, order), FORAGE_OK);
    for (uint32_t i = 0; i < N; i++) assert_int_equal(cluster[order[i]], i < N / 2);
    world_release(&w);
}

static bool count_down(void *context) { return --*(int *)context > 0; }

static void stop(void **state) {
    (void)state;
    enum { N = 40000 };
    uint32_t *cluster = mem_alloc(N * sizeof *cluster), *order = mem_zalloc(N, sizeof *order);
    world w = shuffled(N, 9, cluster);
    int calls = 1000000;
    bisect_options options = {.proceed = count_down, .context = &calls};
    assert_int_equal(order_copy(&w.documents, &options, order), FORAGE_OK);
    int needed = 1000000 - calls;
    assert_true(needed >= 4);
    memset(order, 0xff, N * sizeof *order);
    for (int i = 1; i <= needed; i += needed / 4) {
        calls = i;
        assert_int_equal(order_copy(&w.documents, &options, order), FORAGE_E_CLOSED);
        assert_int_equal(calls, 0); /* it does not ask again */
        for (uint32_t d = 0; d < N; d++) assert_int_equal(order[d], UINT32_MAX);
    }
    world_release(&w);
    free(cluster);
    free(order);
}

static void memory_limit(void **state) {
    (void)state;
    enum { N = 1000 };
    uint32_t cluster[N], order[N];
    world w = shuffled(N, 4, cluster);
    size_t need = bisect_memory(N, w.starts[N], w.documents.n_terms);
    bisect_options options = {.memory_limit = need - 1};
    assert_int_equal(order_copy(&w.documents, &options, order), FORAGE_E_TOO_LARGE);
    options.memory_limit = need;
    assert_int_equal(order_copy(&w.documents, &options, order), FORAGE_OK);
    world_release(&w);
}

/* --- gathering ---------------------------------------------------------------------------------------------------- */

/* Term t has the multiples of t + 1 as places, in pieces of up to 3. Returns the number of passes. */
static unsigned feed_multiples(bisect_gather *g, uint32_t n, uint32_t n_terms) {
    unsigned passes = 0;
    for (; bisect_gather_pass(g); passes++) {
        for (uint32_t t = 0; t < n_terms; t++) {
            uint32_t places[3], held = 0;
            for (uint32_t p = 0; p < n; p += t + 1) {
                places[held++] = p;
                if (held == 3) bisect_gather_places(g, places, held);
                if (held == 3) held = 0;
            }
            bisect_gather_places(g, places, held);
            bisect_gather_end(g);
        }
    }
    return passes;
}

/* The documents have exactly the terms t from `first` to `last`, numbered from 0. */
static void assert_multiples(const bisect_documents *d, uint32_t first, uint32_t last) {
    assert_int_equal(d->n_terms, last - first + 1);
    assert_int_equal(d->starts[0], 0);
    for (uint32_t p = 0; p < d->n; p++) {
        uint64_t at = d->starts[p];
        for (uint32_t t = first; t <= last; t++) {
            if (p % (t + 1)) continue;
            assert_true(at < d->starts[p + 1]);
            assert_int_equal(d->terms[at++], t - first);
        }
        assert_int_equal(at, d->starts[p + 1]);
    }
}

static void gather(void **state) {
    (void)state;
    enum { N = 500, TERMS = 400 };
    bisect_options options = {.min_df = 3};
    bisect_gather *g = bisect_gather_create(N, &options);
    assert_int_equal(feed_multiples(g, N, TERMS), 2);
    bisect_documents d;
    assert_true(bisect_gather_documents(g, &d));
    assert_int_equal(d.n, N);
    assert_multiples(&d, 1, 248); /* term 0 is in more than half; 249 and on in fewer than three */
    bisect_gather_destroy(g);
    bisect_gather_destroy(NULL);
}

static void gather_nothing(void **state) {
    (void)state;
    for (uint32_t n = 0; n < 3; n++) {
        bisect_options options = {0};
        bisect_gather *g = bisect_gather_create(n, &options);
        feed_multiples(g, n, 4);
        bisect_documents d;
        assert_true(bisect_gather_documents(g, &d));
        assert_int_equal(d.n, n);
        assert_int_equal(d.n_terms, 0);
        assert_int_equal(d.starts[n], 0);
        uint32_t order[3];
        assert_int_equal(bisect_order(&d, &options, order), FORAGE_OK);
        for (uint32_t i = 0; i < n; i++) assert_int_equal(order[i], i);
        bisect_gather_destroy(g);
    }
}

/* With less and less memory, more and more of the most frequent terms are left out, and in the end all. */
static void gather_memory_limit(void **state) {
    (void)state;
    enum { N = 500, TERMS = 400 };
    uint32_t first_before = 1;
    size_t most = bisect_memory(N, 4 * N, TERMS);
    unsigned refused = 0, cut = 0;
    for (size_t limit = most; limit > 1000; limit -= 1000) {
        bisect_options options = {.min_df = 3, .memory_limit = limit};
        bisect_gather *g = bisect_gather_create(N, &options);
        unsigned passes = feed_multiples(g, N, TERMS);
        bisect_documents d;
        if (!bisect_gather_documents(g, &d)) {
            refused++;
        } else {
            assert_int_equal(refused, 0);
            uint32_t first = 249 - d.n_terms;
            assert_true(first >= first_before);
            assert_int_equal(passes, first == 1 ? 2 : 3);
            assert_multiples(&d, first, 248);
            assert_true(bisect_memory(N, d.starts[N], d.n_terms) <= limit);
            uint32_t order[N];
            assert_int_equal(bisect_order(&d, &options, order), FORAGE_OK);
            assert_permutation(order, N);
            cut += first > first_before;
            first_before = first;
        }
        bisect_gather_destroy(g);
    }
    assert_true(cut >= 3);
    assert_true(refused >= 1);
}

static void cost(void **state) {
    (void)state;
    /* One term at places 0, 1, 2, 9: gaps 1, 1, 1 and 7. Packed, 3 bits each; patched, one exception of 8 + 3 bits. */
    uint64_t starts[] = {0, 1, 2, 3, 3, 3, 3, 3, 3, 3, 4};
    uint32_t terms[4] = {0}, order[] = {3, 0, 4, 1, 5, 2, 6, 9, 7, 8};
    bisect_documents d = {.n = 10, .n_terms = 1, .starts = starts, .terms = terms};
    bisect_cost cost = bisect_cost_of(&d, NULL);
    assert_true(fabs(cost.log_gap - log2(7) / 4) < 1e-12);
    assert_true(fabs(cost.packed - 3) < 1e-12);
    assert_true(fabs(cost.patched - 11.0 / 4) < 1e-12);
    cost = bisect_cost_of(&d, order); /* places 1, 3, 5, 7: gaps of 2 */
    assert_true(fabs(cost.log_gap - 1) < 1e-12);
    assert_true(fabs(cost.packed - 1) < 1e-12);
    d = (bisect_documents){.n = 0, .n_terms = 0, .starts = starts, .terms = terms};
    assert_true(bisect_cost_of(&d, NULL).log_gap == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clusters_come_back),
        cmocka_unit_test(same_again),
        cmocka_unit_test(nothing_to_gain),
        cmocka_unit_test(one_term),
        cmocka_unit_test(min_df),
        cmocka_unit_test(popularity),
        cmocka_unit_test(popular_half_first),
        cmocka_unit_test(stop),
        cmocka_unit_test(memory_limit),
        cmocka_unit_test(gather),
        cmocka_unit_test(gather_nothing),
        cmocka_unit_test(gather_memory_limit),
        cmocka_unit_test(cost),
    };
    return cmocka_run_group_tests_name("bisect", tests, NULL, NULL);
}
