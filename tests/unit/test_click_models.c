#include "testing.h"

#include "base/random.h"
#include "evaluate/click_models.h"

#include <math.h>

enum { RANKS = 6, QUERIES = 12, DOCUMENTS = 8, PAIRS = QUERIES * DOCUMENTS, PAGES = 40000 };

/* A world that clicks by one of the models, with known parameters. */
typedef struct click_world {
    double a[PAIRS], s[PAIRS], p[RANKS], gamma;
    size_t first[PAGES + 1];
    uint32_t pair[PAGES * RANKS];
    uint8_t clicked[PAGES * RANKS];
    click_pages pages;
} click_world;

static void click_page(click_world *w, random_source *random, click_kind kind, size_t from) {
    bool looks = true;
    for (size_t r = 0; r < RANKS; r++) {
        uint32_t pair = w->pair[from + r];
        double chance = kind == CLICK_PBM ? w->p[r] : looks;
        bool clicked = random_double(random) < chance * w->a[pair];
        w->clicked[from + r] = clicked;
        if (kind == CLICK_CASCADE) looks = looks && !clicked;
        if (kind == CLICK_DBN)
            looks = looks && !(clicked && random_double(random) < w->s[pair]) && random_double(random) < w->gamma;
    }
}

static click_world *make_world(click_kind kind, uint64_t seed) {
    click_world *w = calloc(1, sizeof *w);
    random_source random;
    random_seed(&random, seed);
    w->gamma = .85;
    for (int r = 0; r < RANKS; r++) w->p[r] = 1 / sqrt(r + 1);
    for (int i = 0; i < PAIRS; i++) {
        w->a[i] = .05 + .6 * random_double(&random);
        w->s[i] = .1 + .8 * random_double(&random);
    }
    for (size_t i = 0; i < PAGES; i++) {
        uint32_t q = (uint32_t)random_below(&random, QUERIES), order[DOCUMENTS];
        w->first[i + 1] = (i + 1) * RANKS;
        for (uint32_t d = 0; d < DOCUMENTS; d++) order[d] = d;
        for (uint32_t r = 0; r < RANKS; r++) {
            uint32_t other = r + (uint32_t)random_below(&random, DOCUMENTS - r), d = order[other];
            order[other] = order[r];
            order[r] = d;
            w->pair[i * RANKS + r] = q * DOCUMENTS + d;
        }
        click_page(w, &random, kind, i * RANKS);
    }
    w->pages = (click_pages){PAGES, w->first, w->pair, w->clicked, PAIRS};
    return w;
}

static click_model *train(click_kind kind, const click_pages *pages, const double *curve) {
    click_options o;
    click_model *m = NULL;
    click_options_default(&o);
    o.prior_strength = 0;
    o.iterations = 1000;
    o.curve = curve;
    o.n_curve = curve ? RANKS : 0;
    assert_ok(click_model_train(kind, pages, &o, &m, NULL));
    return m;
}

static double likelihood(const click_model *m, const click_pages *pages) {
    click_score score;
    assert_ok(click_model_score(m, pages, &score, NULL));
    return score.log_likelihood;
}

static double mean_apart(const double *truth, const click_model *m, double (*get)(const click_model *, uint32_t)) {
    double sum = 0;
    for (uint32_t i = 0; i < PAIRS; i++) sum += fabs(truth[i] - get(m, i)) / PAIRS;
    return sum;
}

static void pbm_finds_what_pages_were_made_from(void **state) {
    (void)state;
    click_world *w = make_world(CLICK_PBM, 1);
    click_model *m = train(CLICK_PBM, &w->pages, NULL), *given = train(CLICK_CURVE, &w->pages, w->p);
    for (uint32_t r = 1; r <= RANKS; r++) {
        double p = click_model_examination(m, r) / click_model_examination(m, 1);
        assert_true(fabs(p / w->p[r - 1] - 1) < .05);
        assert_true(fabs(click_model_examination(given, r) - w->p[r - 1]) < 1e-5);
    }
    assert_true(mean_apart(w->a, given, click_model_attractiveness) < .02);
    /* The curve fitted along has more freedom, and gains next to nothing by it. */
    double gain = likelihood(m, &w->pages) - likelihood(given, &w->pages);
    assert_true(gain > -1e-6 && gain < 1e-3);
    click_model_destroy(m);
    click_model_destroy(given);
    free(w);
}

static void cascade_finds_what_pages_were_made_from(void **state) {
    (void)state;
    click_world *w = make_world(CLICK_CASCADE, 2);
    click_model *m = train(CLICK_CASCADE, &w->pages, NULL);
    assert_true(mean_apart(w->a, m, click_model_attractiveness) < .02);
    click_model_destroy(m);
    free(w);
}

static void dbn_finds_what_pages_were_made_from(void **state) {
    (void)state;
    click_world *w = make_world(CLICK_DBN, 3);
    click_model *m = train(CLICK_DBN, &w->pages, NULL), *simple = train(CLICK_SDBN, &w->pages, NULL);
    assert_true(fabs(click_model_continuation(m) - w->gamma) < .02);
    assert_true(mean_apart(w->a, m, click_model_attractiveness) < .02);
    assert_true(mean_apart(w->s, m, click_model_satisfaction) < .05);
    assert_true(mean_apart(w->a, simple, click_model_attractiveness) > .03); /* it takes gamma for 1 */
    click_model_destroy(m);
    click_model_destroy(simple);
    free(w);
}

/* On pages of each kind the model of that kind explains held-out pages best. */
static void the_right_model_predicts_best(void **state) {
    (void)state;
    static const click_kind kinds[] = {CLICK_PBM, CLICK_CASCADE, CLICK_DBN};
    for (int world = 0; world < 3; world++) {
        click_world *w = make_world(kinds[world], 10 + (uint64_t)world);
        click_pages learned = w->pages, held = w->pages;
        double best = -INFINITY;
        int winner = -1;
        learned.n_pages = PAGES / 2;
        held.n_pages = PAGES / 2;
        held.first = w->first + PAGES / 2;
        for (int i = 0; i < 3; i++) {
            click_model *m = train(kinds[i], &learned, NULL);
            double value = likelihood(m, &held);
            if (value > best) best = value, winner = i;
            click_model_destroy(m);
        }
        /* A cascade is a DBN whose every click satisfies: the DBN explains its pages too. */
        assert_true(winner == world || (kinds[world] == CLICK_CASCADE && kinds[winner] == CLICK_DBN));
        free(w);
    }
}

/* Over all the ways to click a page, the conditional chances make probabilities that sum to 1 and whose marginals are the full
 * chances. */
static void conditional_and_full_chances_belong_together(void **state) {
    (void)state;
    click_world *w = make_world(CLICK_DBN, 4);
    for (int kind = 0; kind < CLICK_KINDS; kind++) {
        click_model *m = train((click_kind)kind, &w->pages, kind == CLICK_CURVE ? w->p : NULL);
        double sum = 0, marginal[RANKS] = {0}, full[RANKS], conditional[RANKS];
        for (int way = 0; way < 1 << RANKS; way++) {
            uint8_t clicked[RANKS];
            double chance = 1;
            for (int r = 0; r < RANKS; r++) clicked[r] = way >> r & 1;
            click_model_predict(m, w->pair, clicked, RANKS, full, conditional);
            for (int r = 0; r < RANKS; r++) chance *= clicked[r] ? conditional[r] : 1 - conditional[r];
            for (int r = 0; r < RANKS; r++) marginal[r] += clicked[r] ? chance : 0;
            sum += chance;
        }
        assert_true(fabs(sum - 1) < 1e-9);
        for (int r = 0; r < RANKS; r++) assert_true(fabs(marginal[r] - full[r]) < 1e-4);
        click_model_destroy(m);
    }
    free(w);
}

/* EM climbs: more of it never explains its own pages worse, and the truth does not explain them better than the end. */
static void em_ends_above_the_truth(void **state) {
    (void)state;
    click_world *w = make_world(CLICK_DBN, 5);
    click_options o;
    double before = -INFINITY;
    click_options_default(&o);
    o.prior_strength = 0;
    for (uint32_t n = 1; n <= 64; n *= 2) {
        click_model *m = NULL;
        o.iterations = n;
        assert_ok(click_model_train(CLICK_DBN, &w->pages, &o, &m, NULL));
        double value = likelihood(m, &w->pages);
        assert_true(value >= before - 1e-9);
        before = value;
        click_model_destroy(m);
    }
    double truth = 0;
    for (size_t i = 0; i < PAGES; i++) { /* what the truth says of each page, by its own definition */
        double now = 1;
        for (size_t j = w->first[i]; j < w->first[i + 1]; j++) {
            double a = w->a[w->pair[j]];
            truth += log(w->clicked[j] ? now * a : 1 - now * a) / PAGES;
            now = w->gamma * (w->clicked[j] ? 1 - w->s[w->pair[j]] : now * (1 - a) / (1 - now * a));
        }
    }
    assert_true(before > truth);
    free(w);
}

static void scores_follow_their_definitions(void **state) {
    (void)state;
    const size_t first[] = {0, 2, 4};
    const uint32_t pair[] = {0, 1, 0, 1};
    const uint8_t clicked[] = {1, 0, 0, 0};
    const double curve[] = {.8, .4};
    click_pages pages = {2, first, pair, clicked, 2};
    click_options o;
    click_model *m = NULL;
    click_score score;
    click_options_default(&o);
    o.curve = curve;
    o.n_curve = 2;
    assert_ok(click_model_train(CLICK_CURVE, &pages, &o, &m, NULL));
    double p0 = .8 * click_model_attractiveness(m, 0), p1 = .4 * click_model_attractiveness(m, 1);
    assert_true(p0 > p1 && p1 > 0);
    assert_ok(click_model_score(m, &pages, &score, NULL));
    assert_true(fabs(score.log_likelihood - (log(p0) + log(1 - p0) + 2 * log(1 - p1)) / 2) < 1e-12);
    assert_true(fabs(score.at_rank[0] - exp2(-(log2(p0) + log2(1 - p0)) / 2)) < 1e-12);
    assert_true(fabs(score.perplexity - (score.at_rank[0] + 1 / (1 - p1)) / 2) < 1e-12);
    assert_true(fabs(score.perplexity - score.conditional_perplexity) < 1e-12);
    /* A pair that nobody saw is as attractive as pairs are in general. */
    double unseen = click_model_attractiveness(m, 77), low = click_model_attractiveness(m, 1);
    assert_true(unseen > low && unseen < click_model_attractiveness(m, 0));
    click_model_destroy(m);
}

static void wrong_pages_are_named(void **state) {
    (void)state;
    size_t first[] = {0, 2};
    uint32_t pair[] = {0, 5};
    uint8_t clicked[] = {1, 0};
    const double curve[] = {1, 0};
    click_pages pages = {1, first, pair, clicked, 2};
    click_options o;
    click_model *m = NULL;
    base_error error;
    click_options_default(&o);
    assert_int_equal(click_model_train(CLICK_PBM, &pages, &o, &m, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "pair 5"));
    pair[1] = 1, clicked[1] = 2;
    assert_int_equal(click_model_train(CLICK_PBM, &pages, &o, &m, &error), FORAGE_E_INVALID);
    clicked[1] = 1, first[1] = 65;
    assert_int_equal(click_model_train(CLICK_PBM, &pages, &o, &m, &error), FORAGE_E_INVALID);
    first[1] = 2, pages.n_pages = 0;
    assert_int_equal(click_model_train(CLICK_PBM, &pages, &o, &m, &error), FORAGE_E_INVALID);
    pages.n_pages = 1;
    assert_int_equal(click_model_train(CLICK_CURVE, &pages, &o, &m, &error), FORAGE_E_INVALID);
    o.curve = curve, o.n_curve = 2;
    assert_int_equal(click_model_train(CLICK_CURVE, &pages, &o, &m, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "rank 2"));
    assert_null(m);
    click_kind kind;
    assert_true(click_kind_named("dbn", &kind) && kind == CLICK_DBN);
    assert_false(click_kind_named("ubm", &kind));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pbm_finds_what_pages_were_made_from),
        cmocka_unit_test(cascade_finds_what_pages_were_made_from),
        cmocka_unit_test(dbn_finds_what_pages_were_made_from),
        cmocka_unit_test(the_right_model_predicts_best),
        cmocka_unit_test(conditional_and_full_chances_belong_together),
        cmocka_unit_test(em_ends_above_the_truth),
        cmocka_unit_test(scores_follow_their_definitions),
        cmocka_unit_test(wrong_pages_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
