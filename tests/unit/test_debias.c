/* The debiased-training simulation: its clicks follow the model it states, its rows what rank/rows.h says. */
#include "testing.h"

#include "judged_clicks.h"

enum { GROUPS = 30, PER_GROUP = 15, ROWS = GROUPS * PER_GROUP, PAGES = 60000 };

typedef struct judged_set {
    float x[ROWS], label[ROWS], production[ROWS];
    size_t first[GROUPS + 1];
    rank_rows rows;
    judged_world world;
    judged_log log;
} judged_set;

static judged_set *make_set(size_t pages) {
    judged_set *s = calloc(1, sizeof *s);
    random_source random;
    random_seed(&random, 11);
    for (size_t i = 0; i < ROWS; i++) {
        s->label[i] = (float)random_below(&random, 3);
        s->x[i] = (float)i;
        s->production[i] = s->label[i] + 2 * (float)random_normal(&random);
        s->first[i / PER_GROUP + 1] = i + 1;
    }
    s->rows = (rank_rows){.n_features = 1, .n_rows = ROWS, .n_groups = GROUPS, .x = s->x, .label = s->label,
                          .first = s->first};
    s->world = (judged_world){.judged = &s->rows, .production = s->production, .ranks = 10, .power = 1, .mistake = .1,
                              .temperature = .5};
    judged_log_init(&s->world, pages, 12, &s->log);
    return s;
}

static void free_set(judged_set *s) {
    judged_log_release(&s->log);
    free(s);
}

static void prior_of_power(double power, examination_curve *out) {
    examination_config c;
    examination_config_default(&c);
    c.prior_power = power;
    examination_prior(&c, out);
}

/* How far labels are from the true chance of a click where it is looked at, on average. */
static double off_truth(const judged_set *s, const rank_table *t) {
    double sum = 0;
    for (size_t i = 0; i < t->rows.n_rows; i++) {
        size_t row = (size_t)t->x[i];
        sum += fabs((double)t->label[i] - judged_chance(&s->world, s->label[row], 2)) / (double)t->rows.n_rows;
    }
    return sum;
}

static void better_documents_stand_higher_but_not_always(void **state) {
    (void)state;
    judged_set *s = make_set(2000);
    double grade[10] = {0};
    for (size_t p = 0; p < 2000; p++)
        for (size_t k = 0; k < 10; k++) grade[k] += (double)s->label[s->log.row[s->log.first[p] + k]] / 2000;
    assert_true(grade[0] > grade[9] + .3 && grade[0] < 1.9);
    free_set(s);
}

static void weighed_clicks_say_what_judgments_say(void **state) {
    (void)state;
    judged_set *s = make_set(PAGES);
    examination_config config;
    examination *e = NULL;
    examination_curve estimated;
    rank_table debiased, naive;
    examination_config_default(&config);
    config.prior_power = .5;
    assert_ok(examination_create(&config, &e, NULL));
    judged_count(&s->log, e);
    examination_fit(e, EXAMINATION_HARVEST, &estimated);
    for (uint32_t k = 1; k <= 10; k++) assert_true(fabs(examination_at(&estimated, k) * k - 1) < .05);
    judged_by_query(&s->world, &s->log, &estimated, 100, &debiased);
    judged_by_query(&s->world, &s->log, NULL, 100, &naive);
    assert_true(debiased.rows.n_groups == GROUPS && debiased.rows.n_rows > ROWS / 2);
    assert_true(off_truth(s, &debiased) < .06);
    assert_true(off_truth(s, &naive) > .2);
    rank_table_release(&debiased);
    rank_table_release(&naive);
    examination_destroy(e);
    free_set(s);
}

static void rows_of_pages_carry_position_and_weight(void **state) {
    (void)state;
    judged_set *s = make_set(50);
    examination_curve curve;
    rank_table t;
    prior_of_power(1, &curve);
    judged_by_page(&s->world, &s->log, 40, &curve, 4, &t);
    assert_int_equal(t.rows.n_groups, 40);
    assert_int_equal(t.rows.n_rows, 400);
    size_t clipped = 0, clicks = 0;
    for (size_t i = 0; i < 400; i++) {
        assert_int_equal(t.position[i], i % 10 + 1);
        double weight = t.label[i] > 0 ? fmin(4, (double)(i % 10 + 1)) : 1;
        assert_true(fabs((double)t.weight[i] - weight) < 1e-5);
        clicks += t.label[i] > 0;
        clipped += t.label[i] > 0 && i % 10 > 3;
    }
    assert_true(clicks > 20 && clipped > 0);
    rank_table_release(&t);
    free_set(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(better_documents_stand_higher_but_not_always),
        cmocka_unit_test(weighed_clicks_say_what_judgments_say),
        cmocka_unit_test(rows_of_pages_carry_position_and_weight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
