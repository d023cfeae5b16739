/* Experiments: who belongs where, what counts once, and what a person reads at the end. */
#include "testing.h"

#include "base/random.h"
#include "rank/experiment.h"

#include <math.h>

#define SECOND 1000000LL

static experiment *make(const experiment_config *c) {
    experiment *e = NULL;
    base_error error = {0};
    if (experiment_create(c, &e, &error)) fail_msg("%s", error.message);
    return e;
}

static slice user_name(int i) {
    static char text[32];
    snprintf(text, sizeof text, "user-%d", i);
    return slice_of(text);
}

/* Who is forgotten leaves no key behind; the sums stay, and whoever is watched goes on being watched. */
static void a_person_can_be_forgotten(void **state) {
    (void)state;
    experiment_config c;
    experiment_config_default(&c, "x", EXPERIMENT_AB, "linear", "forest");
    c.window = 10;
    experiment *e = make(&c);
    uint64_t key[3];
    for (int i = 0; i < 3; i++) {
        experiment_side side = experiment_assign(&c, EXPERIMENT_USER, user_name(i), &key[i]);
        experiment_show(e, key[i], side, i == 2 ? 20000000 : 0); /* the first two close before the third opens */
    }
    experiment_result before = experiment_ask(e);
    assert_int_equal(before.units[0] + before.units[1], 2);
    assert_true(experiment_forget(e, key[0]));
    assert_false(experiment_forget(e, key[0]));
    buffer bytes = {0};
    experiment_save(e, &bytes);
    assert_null(memmem(bytes.data, bytes.size, &key[0], sizeof key[0]));
    assert_non_null(memmem(bytes.data, bytes.size, &key[1], sizeof key[1]));
    experiment_reward(e, key[2], 0, 1, 21000000);
    experiment_advance(e, 40000000);
    experiment_result after = experiment_ask(e);
    assert_int_equal(after.units[0] + after.units[1], 3); /* what was counted stays */
    assert_true(after.earned[0] + after.earned[1] > 0);
    assert_true(experiment_forget(e, key[2]) && experiment_forget(e, key[1]));
    buffer_release(&bytes);
    experiment_destroy(e);
}

static void bad_settings_are_named(void **state) {
    (void)state;
    experiment_config good, c;
    base_error error;
    experiment_config_default(&good, "x", EXPERIMENT_AB, "linear", "forest");
    assert_ok(experiment_check(&good, &error));
    struct {
        const char *what;
        experiment_config config;
    } bad[7];
    for (int i = 0; i < 7; i++) bad[i].config = good;
    bad[0].what = "name", bad[0].config.name = "";
    bad[1].what = "side b", bad[1].config.side[1] = NULL;
    bad[2].what = "both are", bad[2].config.side[1] = "linear";
    bad[3].what = "share", bad[3].config.share = 0;
    bad[4].what = "split", bad[4].config.split = 1;
    bad[5].what = "window", bad[5].config.window = NAN;
    bad[6].what = "alpha", bad[6].config.alpha = .9;
    for (int i = 0; i < 7; i++) {
        c = bad[i].config;
        assert_int_equal(experiment_check(&c, &error), FORAGE_E_INVALID);
        assert_non_null(strstr(error.message, bad[i].what));
    }
    experiment_kind kind;
    assert_true(experiment_kind_of(SLICE("team_draft"), &kind) && kind == EXPERIMENT_TEAM_DRAFT);
    assert_false(experiment_kind_of(SLICE("teamdraft"), &kind));
}

static void people_stay_where_they_are(void **state) {
    (void)state;
    enum { USERS = 100000 };
    experiment_config c, wider, other;
    experiment_config_default(&c, "colours", EXPERIMENT_AB, "red", "blue");
    c.share = .2;
    c.split = .3;
    wider = other = c;
    wider.share = .6;
    other.name = "shapes";
    int in = 0, a = 0, both = 0, same = 0;
    for (int i = 0; i < USERS; i++) {
        uint64_t key, again;
        experiment_side side = experiment_assign(&c, EXPERIMENT_USER, user_name(i), &key);
        assert_true(side == experiment_assign(&c, EXPERIMENT_USER, user_name(i), &again) && key == again);
        experiment_side elsewhere = experiment_assign(&other, EXPERIMENT_USER, user_name(i), NULL);
        both += side != EXPERIMENT_OUT && elsewhere != EXPERIMENT_OUT;
        same += side == EXPERIMENT_A && elsewhere == EXPERIMENT_A;
        if (side == EXPERIMENT_OUT) continue;
        in++;
        a += side == EXPERIMENT_A;
        assert_int_equal(experiment_assign(&wider, EXPERIMENT_USER, user_name(i), NULL), side);
    }
    assert_true(abs(in - USERS / 5) < 4 * sqrt(USERS * .2 * .8));
    assert_true(abs(a - in * 3 / 10) < 4 * sqrt(in * .3 * .7));
    assert_true(abs(both - USERS / 25) < 4 * sqrt(USERS * .04)); /* two experiments divide independently */
    assert_true(fabs(same - both * .09) < 4 * sqrt(both * .09));
    uint64_t user, query; /* the id of a query is nobody's name */
    experiment_assign(&c, EXPERIMENT_USER, SLICE("x"), &user);
    experiment_assign(&c, EXPERIMENT_QUERY, SLICE("x"), &query);
    assert_true(user != query);
    c.kind = EXPERIMENT_TEAM_DRAFT;
    c.share = 1;
    assert_int_equal(experiment_assign(&c, EXPERIMENT_QUERY, SLICE("x"), NULL), EXPERIMENT_A);
}

/* Assignments are stored in logs and relied on between versions and machines. */
static void assignments_never_change(void **state) {
    (void)state;
    experiment_config c;
    char sides[33] = "";
    experiment_config_default(&c, "colours", EXPERIMENT_AB, "red", "blue");
    c.share = .75;
    for (int i = 0; i < 32; i++) sides[i] = "-AB"[experiment_assign(&c, EXPERIMENT_USER, user_name(i), NULL) + 1];
    assert_string_equal(sides, "BA--BAA-BB-BABABABAA-BAABBBA-BAB");
}

/* People of very different appetite who come five times. A test that takes each impression as evidence of its own is
 * alarmed by that; one that counts people is not. */
static void a_person_counts_once(void **state) {
    (void)state;
    enum { RUNS = 200, USERS = 400, VISITS = 5 };
    int alarms = 0, naive_alarms = 0;
    for (int run = 0; run < RUNS; run++) {
        experiment_config c;
        experiment_config_default(&c, "null", EXPERIMENT_AB, "a", "b");
        c.salt = (uint64_t)run;
        c.window = 50;
        experiment *e = make(&c);
        random_source random;
        random_seed(&random, 40 + (uint64_t)run);
        double n[2] = {0}, sum[2] = {0}, appetite[USERS];
        bool alarm = false;
        for (int i = 0; i < USERS; i++) appetite[i] = random_double(&random) < .3 ? .9 : .05;
        for (int64_t t = 0; t < USERS * VISITS; t++) { /* user i comes at seconds 5 i, 5 i + 1, … 5 i + 4 */
            int i = (int)(t / VISITS);
            uint64_t key;
            experiment_side side = experiment_assign(&c, EXPERIMENT_USER, user_name(i), &key);
            bool liked = random_double(&random) < appetite[i];
            experiment_show(e, key, side, t * SECOND);
            if (liked) experiment_reward(e, key, 0, 1, t * SECOND);
            n[side]++;
            sum[side] += liked;
            double rate = (sum[0] + sum[1]) / (n[0] + n[1]), error = sqrt(rate * (1 - rate) * (1 / n[0] + 1 / n[1]));
            if (n[0] >= 30 && n[1] >= 30 && fabs(sum[0] / n[0] - sum[1] / n[1]) > 1.96 * error) alarm = true;
        }
        experiment_advance(e, 1000000 * SECOND);
        experiment_result r = experiment_ask(e);
        assert_true(r.units[0] + r.units[1] == USERS && r.impressions[0] + r.impressions[1] == USERS * VISITS);
        assert_true(fabs(r.earned[0] - sum[0] / n[0]) < 1e-9);
        alarms += r.difference.verdict != SEQUENTIAL_OPEN;
        naive_alarms += alarm;
        experiment_destroy(e);
    }
    print_message("A/B without difference: %d of %d runs raise an alarm; a z-test of impressions at every look: %d\n", alarms,
                  RUNS, naive_alarms);
    assert_true(alarms <= RUNS / 20);
    assert_true(naive_alarms > RUNS / 2);
}

/* Windows, lateness, second visits after the count. */
static void units_are_watched_for_a_while(void **state) {
    (void)state;
    experiment_config c;
    experiment_config_default(&c, "w", EXPERIMENT_AB, "a", "b");
    c.window = 10;
    experiment *e = make(&c);
    experiment_show(e, 1, EXPERIMENT_A, 100 * SECOND);
    experiment_show(e, 1, EXPERIMENT_A, 105 * SECOND);
    experiment_show(e, 2, EXPERIMENT_B, 106 * SECOND);
    experiment_show(e, 3, EXPERIMENT_OUT, 106 * SECOND);
    experiment_reward(e, 1, 0, .5f, 109 * SECOND);
    experiment_reward(e, 2, 0, 5, 50 * SECOND); /* a clock that went back; clipped */
    experiment_reward(e, 2, 0, NAN, 109 * SECOND);
    experiment_reward(e, 9, 0, 1, 109 * SECOND); /* never seen */
    experiment_result r = experiment_ask(e);
    assert_true(r.units[0] == 0 && r.opened[0] == 1 && r.opened[1] == 1 && r.late == 1);
    experiment_reward(e, 1, 0, 1, 110 * SECOND); /* its ten seconds are over */
    experiment_show(e, 1, EXPERIMENT_A, 111 * SECOND);
    r = experiment_ask(e);
    assert_true(r.units[0] == 1 && r.units[1] == 0 && r.impressions[0] == 2 && r.earned[0] == .25 && r.late == 2);
    experiment_advance(e, INT64_MAX);
    r = experiment_ask(e);
    assert_true(r.units[0] == 1 && r.units[1] == 1 && r.earned[1] == 1);
    experiment_destroy(e);
}

/* Sessions of an interleaved experiment: B's order is right, A's is turned round, people look at the top. */
static void play(experiment *e, random_source *random, int from, int to) {
    uint32_t a[8], b[8];
    for (uint32_t i = 0; i < 8; i++) a[i] = 7 - i, b[i] = i;
    for (int i = from; i < to; i++) {
        interleave_page page;
        interleave_draw(INTERLEAVE_TEAM_DRAFT, a, 8, b, 8, 8, random, &page);
        uint64_t key;
        experiment_side side = experiment_assign(experiment_config_of(e), EXPERIMENT_QUERY, user_name(i), &key);
        experiment_show(e, key, side, i * SECOND);
        for (uint32_t k = 0; k < page.n; k++)
            if (random_double(random) < (8 - page.id[k]) / 12.0 / (k + 1))
                experiment_reward(e, key, page.credit[k], 1, i * SECOND + 1);
    }
}

static const json_value *member(const json_value *o, const char *key) {
    const json_value *v = json_get(o, key);
    if (!v) fail_msg("no member \"%s\"", key);
    return v;
}

static char *described(const experiment *e, arena *a, json_value **out) {
    buffer text = {0};
    json_writer w = json_writer_of(&text);
    experiment_describe(e, &w);
    assert_ok(json_read(a, (slice){text.data, text.size}, out, NULL));
    buffer_release(&text);
    return arena_strndup(a, member(*out, "verdict")->text.data, member(*out, "verdict")->text.size);
}

static void interleaving_finds_the_better_side(void **state) {
    (void)state;
    experiment_config c;
    experiment_config_default(&c, "drafts", EXPERIMENT_TEAM_DRAFT, "upside down", "right");
    experiment *e = make(&c);
    arena memory;
    json_value *json;
    random_source random;
    random_seed(&random, 12);
    arena_init(&memory, 0);
    assert_string_equal(described(e, &memory, &json), "Nothing has been counted yet.");
    play(e, &random, 0, 3000);
    experiment_advance(e, 10000 * SECOND);
    experiment_result r = experiment_ask(e);
    assert_int_equal(r.units[0], 3000);
    assert_int_equal(r.difference.verdict, SEQUENTIAL_B);
    assert_true(r.earned[1] > r.earned[0] && r.difference.high < 0);
    assert_true(fabs(r.earned[0] - r.earned[1] - r.difference.mean) < 1e-9);
    char *verdict = described(e, &memory, &json);
    print_message("%s\n", verdict);
    assert_non_null(strstr(verdict, "\"right\" is better"));
    assert_true(slice_is(member(member(json, "difference"), "decided")->text, "b"));
    assert_true(member(json, "pages")->integer == 3000);
    experiment_destroy(e);
    arena_release(&memory);
}

static void a_b_finds_the_better_side_and_a_loss_of_units(void **state) {
    (void)state;
    for (int lossy = 0; lossy < 2; lossy++) {
        experiment_config c;
        experiment_config_default(&c, "ab", EXPERIMENT_AB, "old", "new");
        c.split = .4;
        experiment *e = make(&c);
        arena memory;
        json_value *json;
        random_source random;
        random_seed(&random, 3);
        arena_init(&memory, 0);
        for (int i = 0; i < 6000; i++) {
            uint64_t key;
            experiment_side side = experiment_assign(&c, EXPERIMENT_USER, user_name(i), &key);
            if (lossy && side == EXPERIMENT_B && random_double(&random) < .2) continue;
            experiment_show(e, key, side, i * SECOND);
            if (random_double(&random) < (side == EXPERIMENT_A ? .2 : .3)) experiment_reward(e, key, 0, 1, i * SECOND);
        }
        experiment_advance(e, 100000 * SECOND);
        char *verdict = described(e, &memory, &json);
        print_message("%s\n", verdict);
        assert_non_null(strstr(verdict, "\"new\" is better"));
        assert_true((strstr(verdict, "Do not trust this") != NULL) == lossy);
        assert_true(member(member(json, "sample_ratio"), "fits")->boolean == !lossy);
        assert_true(member(member(json, "a"), "units")->integer == (int64_t)experiment_ask(e).units[0]);
        experiment_destroy(e);
        arena_release(&memory);
    }
}

static void results_equal(const experiment *x, const experiment *y) {
    buffer a = {0}, b = {0};
    experiment_save(x, &a);
    experiment_save(y, &b);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    buffer_release(&a);
    buffer_release(&b);
}

static void states_are_kept(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        experiment_config c;
        experiment_config_default(&c, "kept", kind ? EXPERIMENT_TEAM_DRAFT : EXPERIMENT_AB, "a", "b");
        c.window = 100;
        experiment *e = make(&c), *f = make(&c);
        random_source random, same;
        base_error error;
        buffer bytes = {0};
        random_seed(&random, 5);
        play(e, &random, 0, 3000);
        experiment_save(e, &bytes);
        assert_ok(experiment_load(f, (slice){bytes.data, bytes.size}, &error));
        results_equal(e, f);
        same = random;
        play(e, &random, 2950, 4000); /* some of whom are being watched, or have been */
        play(f, &same, 2950, 4000);
        results_equal(e, f);
        for (size_t i = 0; i < bytes.size; i += i < 400 ? 1 : 97) {
            bytes.data[i] ^= 4;
            assert_true(experiment_load(f, (slice){bytes.data, bytes.size}, &error) < 0);
            bytes.data[i] ^= 4;
            assert_true(experiment_load(f, (slice){bytes.data, i}, &error) < 0);
        }
        results_equal(e, f);
        c.split = .4;
        experiment *other = make(&c);
        assert_int_equal(experiment_load(other, (slice){bytes.data, bytes.size}, &error), FORAGE_E_INVALID);
        experiment_destroy(other);
        experiment_destroy(e);
        experiment_destroy(f);
        buffer_release(&bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_person_can_be_forgotten),
        cmocka_unit_test(bad_settings_are_named),
        cmocka_unit_test(people_stay_where_they_are),
        cmocka_unit_test(assignments_never_change),
        cmocka_unit_test(a_person_counts_once),
        cmocka_unit_test(units_are_watched_for_a_while),
        cmocka_unit_test(interleaving_finds_the_better_side),
        cmocka_unit_test(a_b_finds_the_better_side_and_a_loss_of_units),
        cmocka_unit_test(states_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
