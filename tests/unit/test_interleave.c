/* Interleaving: nobody gains from clicks that do not look, the better ranking gains from those that do, and what is logged
 * as a page's probability is one. */
#include "testing.h"

#include "rank/interleave.h"
#include "rank/simplex.h"

#include <math.h>

enum { MOST = 64 };

/* The pages that a draw can give, found by drawing until their probabilities sum to 1. */
typedef struct pages {
    interleave_page page[MOST];
    size_t n;
    double sum;
} pages;

static bool same_page(const interleave_page *x, const interleave_page *y) {
    return x->n == y->n && !memcmp(x->id, y->id, sizeof x->id) && !memcmp(x->credit, y->credit, sizeof x->credit);
}

static void find_all(interleave_kind kind, const uint32_t *a, size_t n_a, const uint32_t *b, size_t n_b, size_t length,
                     pages *out) {
    random_source random;
    random_seed(&random, 5);
    out->n = 0;
    out->sum = 0;
    for (int draw = 0; draw < 100000 && out->sum < 1 - 1e-9; draw++) {
        interleave_page page;
        interleave_draw(kind, a, n_a, b, n_b, length, &random, &page);
        size_t i = 0;
        while (i < out->n && !same_page(&out->page[i], &page)) i++;
        if (i < out->n) {
            assert_true(fabs(out->page[i].propensity - page.propensity) < 1e-12);
            continue;
        }
        assert_true(out->n < MOST);
        out->page[out->n++] = page;
        out->sum += page.propensity;
    }
    assert_true(fabs(out->sum - 1) < 1e-9);
}

/* What a click at a position earns for A, in expectation over the pages. */
static double expected_credit(const pages *all, uint32_t position) {
    double sum = 0;
    for (size_t i = 0; i < all->n; i++)
        if (position < all->page[i].n) sum += all->page[i].propensity * (double)all->page[i].credit[position];
    return sum;
}

static size_t random_permutation(random_source *random, uint32_t n, uint32_t *out) {
    for (uint32_t i = 0; i < n; i++) {
        uint32_t j = (uint32_t)random_below(random, i + 1);
        out[i] = out[j];
        out[j] = i;
    }
    return n;
}

/* Of some of the items, so that two of them know different ones. */
static size_t random_ranking(random_source *random, uint32_t items, uint32_t *out) {
    random_permutation(random, items, out);
    return 1 + random_below(random, items);
}

static size_t shown_beginning(const uint32_t *ranking, size_t n, const uint32_t *shown, uint32_t k) {
    for (size_t i = 0; i < n; i++) {
        bool found = false;
        for (uint32_t m = 0; m < k; m++) found |= shown[m] == ranking[i];
        if (!found) return i;
    }
    return n;
}

/* Each item is the best that A or B has left: each beginning of the list is one of A together with one of B. */
static void assert_drafted(const interleave_page *page, const uint32_t *a, size_t n_a, const uint32_t *b, size_t n_b) {
    for (uint32_t k = 0; k < page->n; k++) {
        size_t i = shown_beginning(a, n_a, page->id, k), j = shown_beginning(b, n_b, page->id, k);
        assert_true((i < n_a && page->id[k] == a[i]) || (j < n_b && page->id[k] == b[j]));
        for (uint32_t m = 0; m < k; m++) assert_true(page->id[m] != page->id[k]);
    }
}

static void clicks_that_do_not_look_earn_nothing(void **state) {
    (void)state;
    random_source random;
    random_seed(&random, 1);
    int solved = 0, pairs = 0; /* both of the same items, as two rankers' orders of one union are */
    static pages all;
    for (int trial = 0; trial < 100; trial++) {
        uint32_t a[8], b[8];
        size_t n_a = random_ranking(&random, 7, a), n_b = random_ranking(&random, 7, b);
        size_t length = 1 + random_below(&random, 6);
        if (trial % 2) n_a = random_permutation(&random, 7, a), n_b = random_permutation(&random, 7, b);
        for (interleave_kind kind = INTERLEAVE_TEAM_DRAFT; kind <= INTERLEAVE_OPTIMISED; kind++) {
            find_all(kind, a, n_a, b, n_b, length, &all);
            for (uint32_t k = 0; k < length; k++) assert_true(fabs(expected_credit(&all, k)) < 1e-6);
            for (size_t i = 0; i < all.n; i++) assert_drafted(&all.page[i], a, n_a, b, n_b);
            if (kind == INTERLEAVE_OPTIMISED && trial % 2) {
                pairs++;
                solved += all.page[0].kind == INTERLEAVE_OPTIMISED;
            }
        }
    }
    print_message("optimised: %d of %d pairs of random orders have a solution\n", solved, pairs);
    assert_true(solved * 10 > pairs * 8);
}

/* The same check on a method that is known to be unfair: A always picks first. */
static void the_check_finds_an_unfair_method(void **state) {
    (void)state;
    static pages all;
    find_all(INTERLEAVE_TEAM_DRAFT, (uint32_t[]){1, 2}, 2, (uint32_t[]){3, 4}, 2, 2, &all);
    pages *unfair = &all;
    for (size_t i = 0; i < unfair->n; i++)
        if (unfair->page[i].team[0] < 0) unfair->page[i].propensity = 0;
    assert_true(expected_credit(unfair, 0) > .4);
}

static void long_pages_are_fair_too(void **state) {
    (void)state;
    random_source random;
    random_seed(&random, 3);
    uint32_t a[40], b[40];
    for (uint32_t i = 0; i < 40; i++) a[i] = b[i] = i;
    for (uint32_t i = 0; i < 39; i++) { /* b: a with neighbours at most five apart exchanged */
        uint32_t j = i + (uint32_t)random_below(&random, 5), t = b[i];
        if (j > 39) j = 39;
        b[i] = b[j];
        b[j] = t;
    }
    enum { DRAWS = 150, LENGTH = 25 };
    double sum = 0, squares = 0;
    int solved = 0;
    for (int draw = 0; draw < DRAWS; draw++) {
        interleave_page page;
        interleave_draw(INTERLEAVE_OPTIMISED, a, 40, b, 40, LENGTH, &random, &page);
        assert_int_equal(page.n, LENGTH);
        assert_drafted(&page, a, 40, b, 40);
        solved += page.kind == INTERLEAVE_OPTIMISED;
        float reward[INTERLEAVE_MAX] = {0};
        for (uint32_t k = 0; k < page.n; k++) {
            reward[k] = random_double(&random) < 1.0 / (k + 1) ? 1 : 0;
            if (k >= INTERLEAVE_OPTIMISED_MAX && page.kind == INTERLEAVE_OPTIMISED) assert_true(page.credit[k] == 0);
        }
        double outcome = interleave_outcome(page.credit, reward, page.n);
        sum += outcome;
        squares += outcome * outcome;
    }
    print_message("optimised, 20 of 25 positions: %d of %d pages have a solution\n", solved, DRAWS);
    assert_true(solved > DRAWS * 8 / 10);
    assert_true(fabs(sum) < 4 * sqrt(squares));
}

static void equal_rankings_never_differ(void **state) {
    (void)state;
    uint32_t a[30];
    for (uint32_t i = 0; i < 30; i++) a[i] = 100 + i;
    for (interleave_kind kind = INTERLEAVE_TEAM_DRAFT; kind <= INTERLEAVE_OPTIMISED; kind++)
        for (uint64_t seed = 0; seed < 20; seed++) {
            random_source random;
            interleave_page page;
            random_seed(&random, seed);
            interleave_draw(kind, a, 30, a, 30, 10, &random, &page);
            assert_int_equal(page.n, 10);
            assert_true(page.propensity == 1);
            for (uint32_t k = 0; k < 10; k++) assert_true(page.id[k] == a[k] && page.credit[k] == 0 && page.team[k] == 0);
        }
}

static void one_seed_one_page(void **state) {
    (void)state;
    uint32_t a[5] = {1, 2, 3, 4, 5}, b[5] = {5, 3, 9, 1, 7};
    for (interleave_kind kind = INTERLEAVE_TEAM_DRAFT; kind <= INTERLEAVE_OPTIMISED; kind++) {
        random_source x, y;
        interleave_page p, q;
        random_seed(&x, 8);
        random_seed(&y, 8);
        for (int i = 0; i < 10; i++) {
            interleave_draw(kind, a, 5, b, 5, 5, &x, &p);
            interleave_draw(kind, a, 5, b, 5, 5, &y, &q);
            assert_memory_equal(&p, &q, sizeof p);
        }
    }
}

static void odd_rankings(void **state) {
    (void)state;
    uint32_t a[4] = {1, 1, 2, 1}, b[1] = {3}, many[300];
    for (uint32_t i = 0; i < 300; i++) many[i] = i;
    random_source random;
    interleave_page page;
    random_seed(&random, 2);
    for (interleave_kind kind = INTERLEAVE_TEAM_DRAFT; kind <= INTERLEAVE_OPTIMISED; kind++) {
        interleave_draw(kind, NULL, 0, NULL, 0, 10, &random, &page);
        assert_true(page.n == 0 && page.propensity == 1);
        interleave_draw(kind, a, 4, b, 1, 0, &random, &page);
        assert_int_equal(page.n, 0);
        interleave_draw(kind, a, 4, NULL, 0, 10, &random, &page); /* nobody to compare with, and an id named three times */
        assert_true(page.n == 2 && page.id[0] == 1 && page.id[1] == 2);
        interleave_draw(kind, a, 4, b, 1, 10, &random, &page);
        assert_int_equal(page.n, 3);
        interleave_draw(kind, many, 300, many + 1, 299, 5000, &random, &page);
        assert_int_equal(page.n, INTERLEAVE_MAX);
    }
}

static void outcomes_are_bounded(void **state) {
    (void)state;
    float credit[4] = {1, -1, 1, 0};
    assert_true(interleave_outcome(credit, (float[]){1, 0, 0, 0}, 4) == 1);
    assert_true(interleave_outcome(credit, (float[]){.25f, 0, 0, 0}, 4) == .25);
    assert_true(interleave_outcome(credit, (float[]){1, 1, 0, 0}, 4) == 0);
    assert_true(interleave_outcome(credit, (float[]){1, 0, 1, 1}, 4) == 2.0 / 3);
    assert_true(interleave_outcome(credit, (float[]){-1, 0, 0, 0}, 4) == -1);
    assert_true(interleave_outcome(credit, (float[]){INFINITY, NAN, 50, 0}, 4) == 1);
    assert_true(interleave_outcome(credit, NULL, 0) == 0);
}

/* A catalogue where a noisier ranker is a worse one; people look at position k with 1 / k and click on what they like. */
static void the_better_ranking_earns_more(void **state) {
    (void)state;
    enum { ITEMS = 20, PAGE = 10, IMPRESSIONS = 1000 };
    for (interleave_kind kind = INTERLEAVE_TEAM_DRAFT; kind <= INTERLEAVE_OPTIMISED; kind++) {
        random_source random;
        random_seed(&random, 17);
        double sum = 0, squares = 0;
        for (int impression = 0; impression < IMPRESSIONS; impression++) {
            double like[ITEMS], scores[2][ITEMS];
            uint32_t ranking[2][ITEMS];
            for (int i = 0; i < ITEMS; i++) {
                like[i] = random_double(&random) * random_double(&random);
                scores[0][i] = like[i] + .1 * random_normal(&random);
                scores[1][i] = like[i] + .4 * random_normal(&random);
            }
            for (int side = 0; side < 2; side++)
                for (uint32_t i = 0; i < ITEMS; i++) {
                    uint32_t k = i;
                    for (; k > 0 && scores[side][ranking[side][k - 1]] < scores[side][i]; k--)
                        ranking[side][k] = ranking[side][k - 1];
                    ranking[side][k] = i;
                }
            interleave_page page;
            float reward[INTERLEAVE_MAX] = {0};
            interleave_draw(kind, ranking[0], ITEMS, ranking[1], ITEMS, PAGE, &random, &page);
            for (uint32_t k = 0; k < page.n; k++)
                reward[k] = random_double(&random) < like[page.id[k]] / (k + 1) ? 1 : 0;
            double outcome = interleave_outcome(page.credit, reward, page.n);
            sum += outcome;
            squares += outcome * outcome;
        }
        double z = sum / sqrt(squares);
        print_message("%s: z = %.1f after %d impressions; z = 1.96 after about %.0f\n", interleave_kind_name(kind), z,
                      IMPRESSIONS, IMPRESSIONS * 1.96 * 1.96 / (z * z));
        assert_true(z > 4);
    }
}

/* Columns of a programme on demand: units of row 0 and row 1, one each. */
static bool unit_column(void *context, const double *y, double *column, double *cost) {
    int *asked = context;
    int row = y[0] > 1e-9 ? 0 : 1;
    if (y[row] <= 1e-9) return false;
    column[row] = 1;
    column[1 - row] = 0;
    *cost = row;
    (*asked)++;
    return true;
}

static void programmes_are_solved(void **state) {
    (void)state;
    double x[4];
    /* x0 + x1 + s = 4, x0 + 3 x1 + t = 6, greatest 3 x0 + 5 x1 at (3, 1) */
    double A[8] = {1, 1, 1, 0, 1, 3, 0, 1};
    assert_int_equal(simplex_maximise(A, (double[]){4, 6}, (double[]){3, 5, 0, 0}, 2, 4, NULL, x), SIMPLEX_SOLVED);
    assert_true(fabs(x[0] - 3) < 1e-9 && fabs(x[1] - 1) < 1e-9);
    double twice[6] = {1, 1, 1, 2, 2, 2}; /* a redundant row */
    assert_int_equal(simplex_maximise(twice, (double[]){1, 2}, (double[]){0, 1, .5}, 2, 3, NULL, x), SIMPLEX_SOLVED);
    assert_true(fabs(x[1] - 1) < 1e-9 && x[0] == 0 && x[2] == 0);
    /* contradicts itself */
    assert_int_equal(simplex_maximise(twice, (double[]){1, 3}, (double[]){0, 1, .5}, 2, 3, NULL, x), SIMPLEX_INFEASIBLE);
    /* has no bound */
    assert_int_equal(simplex_maximise((double[]){1, -1}, (double[]){1}, (double[]){1, 0}, 1, 2, NULL, x), SIMPLEX_FAILED);
    int asked = 0; /* one column that satisfies nothing alone, and those that are asked for */
    simplex_columns columns = {unit_column, &asked, 2};
    assert_int_equal(simplex_maximise((double[]){1, 1}, (double[]){2, 3}, (double[]){0}, 2, 1, &columns, x), SIMPLEX_SOLVED);
    assert_true(asked >= 1 && asked <= 2);
    double first = x[0] + (asked > 1 ? x[1] + x[2] : x[1]);
    assert_true(fabs(x[0] - 2) < 1e-9 && fabs(first - 3) < 1e-9);
    columns.most = 0;
    assert_int_equal(simplex_maximise((double[]){1, 1}, (double[]){2, 3}, (double[]){0}, 2, 1, &columns, x), SIMPLEX_INFEASIBLE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clicks_that_do_not_look_earn_nothing),
        cmocka_unit_test(the_check_finds_an_unfair_method),
        cmocka_unit_test(long_pages_are_fair_too),
        cmocka_unit_test(equal_rankings_never_differ),
        cmocka_unit_test(one_seed_one_page),
        cmocka_unit_test(odd_rankings),
        cmocka_unit_test(outcomes_are_bounded),
        cmocka_unit_test(the_better_ranking_earns_more),
        cmocka_unit_test(programmes_are_solved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
