/* Simulated customers: click models keep to their formulas, the same seed brings the same people, drifts and seasons
 * move what they want, and what they type is made of the catalogue. */
#include "world.h"

#include "simulate/click_model.h"
#include "simulate/population.h"
#include "simulate/simulation_measure.h"
#include "text/utf8.h"

/* ---- Click models ---- */

static const double relevance[] = {0.3, 1, 0, 0.1, 0.6, 1, 0.05, 0.8};
#define N (sizeof relevance / sizeof relevance[0])
#define DRAWS 200000

static click_model model_of(const char *name) {
    click_model m;
    base_error error = {0};
    if (click_model_named(slice_of(name), &m, &error)) fail_msg("%s", error.message);
    return m;
}

/* The formulas of click_model.h, written down once more: position by position from the definition, by enumerating at
 * which position reading stops. */
static void chances_by_definition(const click_model *m, double out[N]) {
    for (size_t i = 0; i < N; i++) {
        double a = m->noise + (m->attraction - m->noise) * relevance[i], reached = 1;
        for (size_t j = 0; j < i; j++) {
            double b = m->noise + (m->attraction - m->noise) * relevance[j], s = m->satisfaction * relevance[j];
            if (m->kind == CLICK_CASCADE) reached *= 1 - b;
            if (m->kind == CLICK_DYNAMIC) reached *= (1 - b) * m->perseverance + b * (1 - s) * m->perseverance;
        }
        out[i] = a * (m->kind == CLICK_POSITION ? 1 / pow((double)i + 1, m->eta) : reached);
    }
}

static void check_model(const char *name, uint64_t seed) {
    click_model m = model_of(name);
    double told[N], defined[N], chi = 0, sum = 0, squares = 0;
    size_t clicks[N] = {0};
    random_source r;
    click_model_chances(&m, relevance, N, told);
    chances_by_definition(&m, defined);
    random_seed(&r, seed);
    for (int d = 0; d < DRAWS; d++) {
        click_deed deeds[N];
        double reward = 0;
        click_model_draw(&m, relevance, N, &r, deeds);
        for (size_t i = 0; i < N; i++) {
            clicks[i] += deeds[i].clicked;
            reward += deeds[i].clicked ? .5 + (deeds[i].committed ? .25 : 0) : 0;
            assert_true(deeds[i].clicked || !deeds[i].satisfied);
            assert_true(deeds[i].satisfied || !deeds[i].committed);
        }
        sum += reward;
        squares += reward * reward;
    }
    for (size_t i = 0; i < N; i++) {
        double expected = told[i] * DRAWS;
        assert_float_equal(told[i], defined[i], 1e-12);
        chi += (clicks[i] - expected) * (clicks[i] - expected) / (expected * (1 - told[i]));
    }
    if (chi > 32) fail_msg("%s: chi-square %.1f with %zu degrees", name, chi, N); /* p = 1e-4 */
    double mean = sum / DRAWS, error = sqrt((squares / DRAWS - mean * mean) / DRAWS);
    double exact = click_model_reward(&m, relevance, N, .5, .25);
    if (fabs(mean - exact) > 4 * error) fail_msg("%s: %.5f is expected, %.5f ± %.5f drawn", name, exact, mean, error);
}

static void test_clicks_come_as_often_as_the_formulas_say(void **state) {
    (void)state;
    check_model("pbm", 11);
    check_model("cascade", 12);
    check_model("dbn", 13);
}

static void test_a_cascade_ends_at_the_first_click(void **state) {
    (void)state;
    click_model m = model_of("cascade");
    random_source r;
    random_seed(&r, 5);
    for (int d = 0; d < 1000; d++) {
        click_deed deeds[N];
        size_t clicks = 0;
        click_model_draw(&m, relevance, N, &r, deeds);
        for (size_t i = 0; i < N; i++) clicks += deeds[i].clicked;
        assert_true(clicks <= 1);
    }
    assert_float_equal(click_model_reward(&m, relevance, 0, .5, .5), 0, 0);
}

static void test_click_parameters_out_of_range(void **state) {
    (void)state;
    click_model m = model_of("dbn"), bad;
    base_error error;
    assert_ok(click_model_check(&m, &error));
    assert_int_equal(click_model_named(SLICE("PBM"), &bad, &error), FORAGE_E_INVALID);
    bad = m, bad.eta = 11;
    assert_int_equal(click_model_check(&bad, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "\"eta\""));
    bad = m, bad.perseverance = NAN;
    assert_int_equal(click_model_check(&bad, &error), FORAGE_E_INVALID);
    bad = m, bad.commitment = -.1;
    assert_int_equal(click_model_check(&bad, &error), FORAGE_E_INVALID);
    bad = m, bad.noise = .95;
    assert_int_equal(click_model_check(&bad, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "\"noise\""));
}

/* ---- A population ---- */

static world *w;
static sim_catalogue *catalogue;

#define DOCUMENTS 400

/* Documents 1 to 400; five kinds, ten makers, one word that all titles share. */
static int set_up(void **state) {
    (void)state;
    buffer records = {0};
    base_error error = {0};
    w = world_begin();
    world_schema(
        w, "{\"fields\":{\"title\":{\"type\":\"text\",\"weight\":3},\"body\":{\"type\":\"text\"},"
           "\"maker\":{\"type\":\"keyword\"},\"isbn\":{\"type\":\"keyword\"},\"like\":{\"type\":\"reference\"}}}");
    for (int i = 0; i < DOCUMENTS; i++)
        buffer_printf(
            &records,
            "{\"id\":\"d%d\",\"type\":\"kind%d\",\"title\":\"The Éclair garden number%d\",\"maker\":\"Maker %d\","
            "\"isbn\":\"i%d\",\"like\":\"d%d\",\"popularity\":%d,\"body\":\"A longer text that is no attribute, as it "
            "is prose and nobody types all of it\"}\n",
            i, i % 5, i, i % 10, i, i % 7, DOCUMENTS - i);
    world_import(w, buffer_text(&records));
    buffer_release(&records);
    if (sim_catalogue_create(w->collection, 3, &catalogue, &error)) fail_msg("%s", error.message);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    sim_catalogue_destroy(catalogue);
    world_end(w);
    return 0;
}

static population_config settings(uint64_t seed) {
    population_config c;
    population_config_default(&c);
    c.seed = seed;
    c.users = 100;
    return c;
}

static void test_the_catalogue_knows_what_documents_share(void **state) {
    (void)state;
    uint32_t ids[SIM_MAX_ATTRIBUTES];
    assert_int_equal(catalogue->n_documents, DOCUMENTS);
    assert_int_equal(catalogue->n_attributes, 5 + 10 + 7); /* kinds, makers, references; no isbn, no prose */
    for (size_t i = 0; i < catalogue->n_attributes; i++) {
        const sim_attribute *a = &catalogue->attributes[i];
        assert_true(a->n_documents >= DOCUMENTS / 10);
        bool reference = strcmp(catalogue->schema->fields[a->field].name, "like") == 0;
        assert_int_equal(a->text.size == 0, reference);
    }
    assert_true(slice_is(catalogue->documents[7].word, "Éclair") || slice_is(catalogue->documents[7].word, "garden"));
    slice other = SLICE("{\"id\":\"x\",\"type\":\"kind1\",\"maker\":[\"Maker 3\",\"nobody\",\"Maker 3\"]}");
    assert_int_equal(sim_catalogue_attributes(catalogue, other, &w->memory, ids), 2);
    assert_int_equal(sim_catalogue_attributes(catalogue, SLICE("{"), &w->memory, ids), 0);
}

static void assert_same(const customer *a, const customer *b) {
    assert_int_equal(a->user, b->user);
    assert_int_equal(a->intent, b->intent);
    assert_int_equal(a->style, b->style);
    assert_int_equal(a->attribute, b->attribute);
    assert_int_equal(a->seed, b->seed);
    assert_true(slice_equal(a->query, b->query));
}

static void test_a_seed_brings_the_same_customers(void **state) {
    (void)state;
    population_config one = settings(4), other = settings(5);
    population *a = population_create(catalogue, &one), *b = population_create(catalogue, &one);
    population *c = population_create(catalogue, &other);
    int differ = 0;
    for (int i = 0; i < 500; i++) {
        customer x, y, z;
        population_next(a, &w->memory, &x);
        population_next(b, &w->memory, &y);
        population_next(c, &w->memory, &z);
        assert_same(&x, &y);
        assert_int_equal(x.number, i);
        assert_true(x.seed != 0 && x.user < one.users);
        differ += x.intent != z.intent;
    }
    assert_true(differ > 400);
    population_destroy(a);
    population_destroy(b);
    population_destroy(c);
}

/* Optimal string alignment with adjacent swaps. */
static size_t slips_between(slice a, slice b) {
    static size_t d[256][256];
    for (size_t i = 0; i <= a.size; i++)
        for (size_t j = 0; j <= b.size; j++) {
            if (!i || !j) {
                d[i][j] = i + j;
                continue;
            }
            size_t best = d[i - 1][j - 1] + (a.data[i - 1] != b.data[j - 1]);
            if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] && a.data[i - 2] == b.data[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[a.size][b.size];
}

static void test_styles_come_as_often_as_said_and_say_what_they_should(void **state) {
    (void)state;
    population_config config = settings(6);
    population *p = population_create(catalogue, &config);
    int seen[QUERY_STYLES] = {0}, slipped = 0;
    for (int i = 0; i < 4000; i++) {
        customer c;
        size_t bad;
        population_next(p, &w->memory, &c);
        const sim_document *d = &catalogue->documents[c.intent];
        seen[c.style]++;
        assert_true(c.query.size > 0 && text_valid_utf8(c.query, &bad));
        if (c.style == STYLE_TITLE) assert_true(slice_equal(c.query, d->title));
        if (c.style == STYLE_AMBIGUOUS) assert_true(slice_equal(c.query, d->word));
        if (c.style == STYLE_TYPO) {
            size_t slips = slips_between(c.query, d->title);
            assert_true(slips <= 1);
            slipped += slips == 1;
        }
        if (c.style == STYLE_BROAD) assert_true(slice_equal(c.query, catalogue->attributes[c.attribute].text));
        if (c.attribute != SIM_NONE) assert_true(c.style == STYLE_BROAD || c.style == STYLE_ATTRIBUTE);
    }
    for (int s = 0; s < QUERY_STYLES; s++) assert_float_equal(seen[s] / 4000.0, config.styles[s], .03);
    assert_true(slipped > seen[STYLE_TYPO] * .8); /* a letter can be changed into itself, and twins swapped */
    population_destroy(p);
}

static void test_people_want_what_is_popular_and_what_they_like(void **state) {
    (void)state;
    population_config config = settings(7);
    population *p = population_create(catalogue, &config);
    double sum = 0, top = 0;
    int by_taste = 0, by_chance = 0;
    for (uint32_t d = 0; d < DOCUMENTS; d++) {
        sum += population_popularity(p, d);
        if (d < DOCUMENTS / 10) top += population_popularity(p, d); /* the most popular of the catalogue */
    }
    assert_float_equal(sum, 1, 1e-9);
    assert_true(top > .2);
    for (int i = 0; i < 2000; i++) {
        customer c;
        uint32_t mine[POPULATION_TASTES], others[POPULATION_TASTES];
        population_next(p, &w->memory, &c);
        population_tastes(p, c.user, mine);
        population_tastes(p, (c.user + 50) % 100, others);
        const sim_document *d = &catalogue->documents[c.intent];
        for (uint32_t a = 0; a < d->n_attributes; a++) {
            by_taste += catalogue->attribute_ids[d->first + a] == mine[0];
            by_chance += catalogue->attribute_ids[d->first + a] == others[0];
        }
    }
    assert_true(by_taste > 2 * by_chance);
    population_destroy(p);
}

static void test_a_drift_changes_its_share_and_nothing_before(void **state) {
    (void)state;
    population_config config = settings(8), still = config;
    config.n_drifts = 1;
    config.drift_at[0] = 100;
    config.drift_share = .5;
    population *p = population_create(catalogue, &config), *q = population_create(catalogue, &still);
    int moved = 0, changed = 0;
    for (int i = 0; i < 100; i++) {
        customer x, y;
        population_next(p, &w->memory, &x);
        population_next(q, &w->memory, &y);
        assert_same(&x, &y);
    }
    customer x;
    population_next(p, &w->memory, &x);
    double sum = 0;
    for (uint32_t d = 0; d < DOCUMENTS; d++) {
        moved += fabs(population_popularity(p, d) / population_popularity(q, d) - 1) > 1e-9;
        sum += population_popularity(p, d);
    }
    for (uint32_t u = 0; u < 100; u++) {
        uint32_t now[POPULATION_TASTES], before[POPULATION_TASTES];
        population_tastes(p, u, now);
        population_tastes(q, u, before);
        changed += memcmp(now, before, sizeof now) != 0;
    }
    assert_float_equal(sum, 1, 1e-9);
    assert_in_range(moved, DOCUMENTS * 4 / 10, DOCUMENTS * 6 / 10);
    assert_in_range(changed, 35, 65);
    population_destroy(p);
    population_destroy(q);
}

static void test_seasons_turn_and_come_back(void **state) {
    (void)state;
    population_config config = settings(9);
    config.season = 160;
    population *p = population_create(catalogue, &config);
    double start[DOCUMENTS], furthest = 0;
    for (uint32_t d = 0; d < DOCUMENTS; d++) start[d] = population_popularity(p, d);
    for (int i = 0; i <= 160; i++) {
        customer c;
        population_next(p, &w->memory, &c);
        for (uint32_t d = 0; d < DOCUMENTS; d++)
            furthest = fmax(furthest, fabs(log(population_popularity(p, d) / start[d])));
    }
    assert_true(furthest > .5);
    for (uint32_t d = 0; d < DOCUMENTS; d++) assert_float_equal(population_popularity(p, d), start[d], 1e-12);
    population_destroy(p);
}

static void test_closeness_to_what_is_wanted(void **state) {
    (void)state;
    population_config config = settings(10);
    population *p = population_create(catalogue, &config);
    const sim_document *d = &catalogue->documents[20];
    const uint32_t *ids = catalogue->attribute_ids + d->first;
    customer exact = {.intent = 20, .attribute = SIM_NONE}, any = {.intent = 20, .attribute = ids[0]};
    assert_int_equal(d->n_attributes, 3);
    assert_float_equal(population_relevance(p, &exact, d->number, ids, 3), 1, 0);
    assert_float_equal(population_relevance(p, &exact, d->number + 1, ids, 3), .5, 1e-12); /* a twin */
    double two = population_relevance(p, &exact, d->number + 1, ids, 2);
    double one = population_relevance(p, &exact, d->number + 1, ids, 1);
    assert_true(two < .5 && one < two && one > 0);
    assert_float_equal(population_relevance(p, &exact, d->number + 1, NULL, 0), 0, 0);
    assert_true(population_relevance(p, &any, d->number + 1, ids, 1) > .3);
    assert_float_equal(population_relevance(p, &any, d->number + 1, ids + 1, 2), 0, 0);
    population_destroy(p);
}

static void test_nothing_to_look_for(void **state) {
    (void)state;
    world *empty = world_begin();
    sim_catalogue *k = NULL;
    base_error error;
    assert_int_equal(sim_catalogue_create(empty->collection, 1, &k, &error), FORAGE_E_INVALID);
    world_schema(empty, "{\"fields\":{\"size\":{\"type\":\"number\"}}}");
    world_import(empty, "{\"id\":\"a\",\"size\":1}\n{\"id\":\"b\",\"size\":2}\n");
    assert_int_equal(sim_catalogue_create(empty->collection, 1, &k, &error), FORAGE_E_INVALID);
    assert_null(k);
    world_end(empty);
}

/* ---- Measures ---- */

static void test_growth_is_recovered(void **state) {
    (void)state;
    static double increments[4000];
    const double powers[] = {.5, .75, 1};
    for (size_t k = 0; k < 3; k++) {
        random_source r;
        power_fit fit;
        random_seed(&r, k + 1);
        for (size_t i = 0; i < 4000; i++)
            increments[i] = 5 * (pow((double)i + 1, powers[k]) - pow((double)i, powers[k])) * (1 + random_normal(&r));
        assert_true(measure_power(increments, 4000, 1, &fit));
        assert_float_equal(fit.exponent, powers[k], .05);
        assert_true(fit.low < powers[k] && powers[k] < fit.high && fit.high - fit.low < .3);
        assert_true(fit.r2 > .98);
    }
}

static void test_no_growth_to_speak_of(void **state) {
    (void)state;
    double falling[200], few[50];
    power_fit fit;
    for (int i = 0; i < 200; i++) falling[i] = -1;
    for (int i = 0; i < 50; i++) few[i] = 1;
    assert_false(measure_power(falling, 200, 1, &fit));
    assert_false(measure_power(few, 50, 1, &fit));
    assert_false(measure_power(few, 0, 1, &fit));
}

static void test_recovery_is_found(void **state) {
    (void)state;
    double reward[1000];
    recovery r;
    for (int i = 0; i < 1000; i++) reward[i] = i < 500 ? 1 : i < 600 ? .5 : 1;
    assert_true(measure_recovery(reward, 500, 1000, 50, .95, &r));
    assert_float_equal(r.before, 1, 1e-12);
    assert_float_equal(r.lowest, .5, 1e-12);
    assert_true(r.recovered);
    assert_in_range(r.customers, 145, 150); /* at most 5 of the window's 50 are still low */
    assert_true(measure_recovery(reward, 500, 610, 50, .95, &r));
    assert_false(r.recovered);
    assert_false(measure_recovery(reward, 500, 520, 50, .95, &r));
    assert_false(measure_recovery(reward, 20, 1000, 50, .95, &r));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clicks_come_as_often_as_the_formulas_say),
        cmocka_unit_test(test_a_cascade_ends_at_the_first_click),
        cmocka_unit_test(test_click_parameters_out_of_range),
        cmocka_unit_test(test_nothing_to_look_for),
        cmocka_unit_test(test_growth_is_recovered),
        cmocka_unit_test(test_no_growth_to_speak_of),
        cmocka_unit_test(test_recovery_is_found),
    };
    const struct CMUnitTest crowd[] = {
        cmocka_unit_test(test_the_catalogue_knows_what_documents_share),
        cmocka_unit_test(test_a_seed_brings_the_same_customers),
        cmocka_unit_test(test_styles_come_as_often_as_said_and_say_what_they_should),
        cmocka_unit_test(test_people_want_what_is_popular_and_what_they_like),
        cmocka_unit_test(test_a_drift_changes_its_share_and_nothing_before),
        cmocka_unit_test(test_seasons_turn_and_come_back),
        cmocka_unit_test(test_closeness_to_what_is_wanted),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed + cmocka_run_group_tests(crowd, set_up, tear_down);
}
