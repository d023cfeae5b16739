#include "testing.h"

#include "base/random.h"
#include "evaluate/metrics.h"
#include "os/file.h"

#include <locale.h>
#include <math.h>

#define FIXTURES "trec-eval-fixtures/"

static double value_of(const char *name, const judgments *j, const char *query, const slice *documents, size_t n) {
    metric m;
    assert_ok(metric_parse(slice_of(name), &m, NULL));
    return metric_query(m, j, slice_of(query), documents, n);
}

static void assert_close(double value, double expected) {
    if (!(fabs(value - expected) < 1e-12)) fail_msg("expected %.15g, got %.15g", expected, value);
}

static judgments *read_text(const char *text) {
    judgments *j = judgments_create();
    base_error error = {0};
    if (judgments_read(j, slice_of(text), &error)) fail_msg("%s", error.message);
    return j;
}

static void metric_names_round_trip(void **state) {
    (void)state;
    static const char *const good[] = {"ndcg",   "ndcg@10", "recall@100", "recall",    "p@5",         "mrr",
                                       "mrr@10", "map",     "map@7",      "success@1", "ndcg@1000000"};
    static const char *const bad[] = {
        "",        "@",       "ndcg@", "ndcg@0",      "ndcg@010", "ndcg@1000001", "ndcg@99999999999999999999",
        "ndcg@-1", "ndcg@ 5", "NDCG",  "precision@5", "p",        "success",      "mrr@10@5",
        "map10"};
    char name[32];
    metric m;
    base_error error;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_ok(metric_parse(slice_of(good[i]), &m, &error));
        metric_name(m, name);
        assert_string_equal(name, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        error.message[0] = 0;
        assert_int_equal(metric_parse(slice_of(bad[i]), &m, &error), FORAGE_E_INVALID);
        assert_non_null(strstr(error.message, "metric"));
    }
}

static void metrics_by_hand(void **state) {
    (void)state;
    judgments *j = read_text("q 0 a 3\nq 0 b 0\nq 0 c 1\nq 0 d 2\nq 0 e -2\nnone 0 a 0\n");
    const slice list[] = {SLICE("b"), SLICE("c"), SLICE("x"), SLICE("e"), SLICE("a"), SLICE("c"), SLICE("y")};
    double ideal = 3 + 2 / log2(3) + 1 / log2(4), got = 1 / log2(3) + 3 / log2(6);
    assert_close(value_of("ndcg", j, "q", list, 7), got / ideal);
    assert_close(value_of("ndcg@2", j, "q", list, 7), 1 / log2(3) / (3 + 2 / log2(3)));
    assert_close(value_of("recall@2", j, "q", list, 7), 1 / 3.0);
    assert_close(value_of("recall", j, "q", list, 7), 2 / 3.0);
    assert_close(value_of("p@5", j, "q", list, 7), 2 / 5.0);
    assert_close(value_of("p@50", j, "q", list, 7), 2 / 50.0);
    assert_close(value_of("mrr", j, "q", list, 7), 1 / 2.0);
    assert_close(value_of("mrr@1", j, "q", list, 7), 0);
    assert_close(value_of("map", j, "q", list, 7), (1 / 2.0 + 2 / 5.0) / 3);
    assert_close(value_of("map@4", j, "q", list, 7), 1 / 2.0 / 3);
    assert_close(value_of("success@1", j, "q", list, 7), 0);
    assert_close(value_of("success@2", j, "q", list, 7), 1);
    assert_close(value_of("ndcg", j, "none", list, 7), 0);
    assert_close(value_of("ndcg", j, "absent", list, 7), 0);
    assert_close(value_of("ndcg", j, "q", list, 0), 0);
    judgments_destroy(j);
}

static void duplicates_count_once(void **state) {
    (void)state;
    judgments *j = read_text("q 0 a 1\nq 0 b 1\n");
    const slice twice[] = {SLICE("a"), SLICE("a"), SLICE("a"), SLICE("b")}, once[] = {SLICE("a"), SLICE("b")};
    static const char *const names[] = {"ndcg", "ndcg@2", "recall@2", "map", "p@2"};
    for (size_t i = 0; i < 5; i++)
        assert_close(value_of(names[i], j, "q", twice, 4), value_of(names[i], j, "q", once, 2));
    judgments_add(j, SLICE("q"), SLICE("a"), 0); /* the last judgment wins */
    assert_int_equal(judgments_relevant(j, SLICE("q")), 1);
    assert_int_equal(judgments_grade(j, SLICE("q"), SLICE("a")), 0);
    judgments_add(j, SLICE("q"), SLICE("a"), 5);
    assert_int_equal(judgments_relevant(j, SLICE("q")), 2);
    assert_int_equal(judgments_grade(j, SLICE("q"), SLICE("a")), 5);
    judgments_destroy(j);
}

static void both_forms_of_judgments_are_read(void **state) {
    (void)state;
    static const char *const same[] = {
        "q1 0 d1 2\nq1 0 d2 0\nq2 0 d1 1\n",
        "q1\t0\td1\t2\r\n\r\n  \nq1 0   d2\t0\nq2 0 d1 +1",
        "# a comment\n\nq1 0 d1 2\n  # another 1 2 3 4\nq1 0 d2 0\nq2 0 d1 1\n",
        "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td1\t1\n",
        "\xef\xbb\xbfquery-id\tcorpus-id\tscore\r\nq1\td1\t2\r\nq1\td2\t0\r\nq2\td1\t1\r\n",
        "q1\td1\t2\nq1\td2\t0\nq2\td1\t1\n",
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        judgments *j = read_text(same[i]);
        assert_int_equal(judgments_queries(j), 2);
        assert_int_equal(judgments_grade(j, SLICE("q1"), SLICE("d1")), 2);
        assert_int_equal(judgments_grade(j, SLICE("q1"), SLICE("d2")), 0);
        assert_int_equal(judgments_grade(j, SLICE("q2"), SLICE("d1")), 1);
        assert_int_equal(judgments_grade(j, SLICE("q2"), SLICE("d2")), 0);
        assert_true(judgments_has_query(j, SLICE("q2")) && !judgments_has_query(j, SLICE("q")));
        assert_int_equal(judgments_relevant(j, SLICE("q1")), 1);
        judgments_destroy(j);
    }
    judgments *j = read_text("#1\tmy document\t1\n"); /* identifiers may hold spaces and # where tabs part them */
    assert_int_equal(judgments_grade(j, SLICE("#1"), SLICE("my document")), 1);
    judgments_destroy(j);
    j = read_text("");
    assert_int_equal(judgments_queries(j), 0);
    judgments_destroy(j);
}

static void malformed_lines_are_named(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"q 0 d 1\nq 0 d\n", "line 2: expected 4 columns"},
        {"q 0 d 1 1\n", "line 1: expected 4 columns"},
        {"q d 1\n", "line 1: expected 4 columns"},
        {"# c\n\nq 0 d one\n", "line 3: grade"},
        {"q 0 d 1.5\n", "\"1.5\""},
        {"q 0 d 99999999999\n", "line 1: grade"},
        {"q 0 d -\n", "line 1: grade"},
        {"q\td\t1\nq\td\n", "line 2: expected 3 columns"},
        {"query-id\tcorpus-id\tscore\nq\td\tscore\n", "line 2: grade"},
        {"q\t\t1\n", "line 1: the document is empty"},
        {"q\td\t1\n\td\t1\n", "line 2: the query is empty"},
    };
    base_error error;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        judgments *j = judgments_create();
        assert_int_equal(judgments_read(j, slice_of(bad[i].text), &error), FORAGE_E_INVALID);
        if (!strstr(error.message, bad[i].says)) fail_msg("%s: %s", bad[i].says, error.message);
        judgments_destroy(j);
    }
    static const struct {
        const char *text, *says;
    } bad_runs[] = {
        {"q Q0 d 1 2.5\n", "line 1: expected 6 columns"},
        {"\nq Q0 d 1 nan t\n", "line 2: score"},
        {"q Q0 d 1 0x10 t\n", "line 1: score"},
        {"q Q0 d 1 1.5.5 t\n", "line 1: score"},
        {"q Q0 d 1 . t\n", "line 1: score"},
    };
    for (size_t i = 0; i < sizeof bad_runs / sizeof *bad_runs; i++) {
        run *r = run_create();
        assert_int_equal(run_read(r, slice_of(bad_runs[i].text), &error), FORAGE_E_INVALID);
        if (!strstr(error.message, bad_runs[i].says)) fail_msg("%s: %s", bad_runs[i].says, error.message);
        run_destroy(r);
    }
}

/* Mean of a metric over a run given as text. */
static double evaluate_text(const char *run_text, const judgments *j, const char *name, bool all, size_t *count) {
    run *r = run_create();
    arena a;
    metric m;
    double *values, sum = 0;
    base_error error = {0};
    if (run_read(r, slice_of(run_text), &error)) fail_msg("%s", error.message);
    assert_ok(metric_parse(slice_of(name), &m, NULL));
    arena_init(&a, 0);
    *count = run_evaluate(r, j, m, all, &a, &values);
    for (size_t i = 0; i < *count; i++) sum += values[i];
    sum = *count ? sum / (double)*count : 0;
    arena_release(&a);
    run_destroy(r);
    return sum;
}

static void runs_are_ordered_as_trec_eval_orders_them(void **state) {
    (void)state;
    judgments *j = read_text("q 0 b 1\nother 0 x 1\nthird 0 z 1\n");
    size_t n;
    assert_close(evaluate_text("q Q0 a 1 2 t\nq Q0 b 2 3 t\n", j, "mrr", false, &n), 1); /* score, not rank */
    assert_close(evaluate_text("q Q0 a 1 2 t\nq Q0 b 2 2 t\n", j, "mrr", false, &n), 1); /* ties: b before a */
    assert_close(evaluate_text("q Q0 b 1 2 t\nq Q0 c 2 2 t\n", j, "mrr", false, &n), .5);
    assert_close(evaluate_text("q Q0 b 1 1e1 t\nq Q0 c 2 9 t\n", j, "mrr", false, &n), 1);
    assert_close(evaluate_text("q Q0 b 1 0.100000002 t\nq Q0 c 2 0.1 t\n", j, "mrr", false, &n),
                 .5); /* equal as float */
    assert_int_equal(n, 1);
    assert_close(evaluate_text("# x\nq Q0 b 1 1 t more junk\nunjudged Q0 b 1 1 t\n", j, "mrr", false, &n), 1);
    assert_int_equal(n, 1);
    assert_close(evaluate_text("q Q0 b 1 1 t\n", j, "mrr", true, &n), 1 / 3.0);
    assert_int_equal(n, 3);
    assert_close(evaluate_text("", j, "mrr", false, &n), 0);
    assert_int_equal(n, 0);
    judgments_destroy(j);
}

static void runs_can_grow_after_an_evaluation(void **state) {
    (void)state;
    judgments *j = read_text("b 0 x 1\na 0 x 1\n");
    run *r = run_create();
    arena a;
    double *values;
    metric m = {METRIC_MRR, 0};
    arena_init(&a, 0);
    assert_int_equal(run_evaluate(r, j, m, true, &a, &values), 2);
    run_add(r, SLICE("a"), SLICE("y"), 1);
    run_add(r, SLICE("a"), SLICE("x"), (double)NAN);
    assert_int_equal(run_evaluate(r, j, m, false, &a, &values), 1);
    assert_close(values[0], .5);
    run_add(r, SLICE("a"), SLICE("x"), 2); /* the better place of two */
    run_add(r, SLICE("b"), SLICE("z"), 2);
    assert_int_equal(run_evaluate(r, j, m, false, &a, &values), 2);
    assert_close(values[0], 0); /* in the judgments' order: b, a */
    assert_close(values[1], 1);
    assert_int_equal(run_queries(r), 2);
    arena_release(&a);
    run_destroy(r);
    judgments_destroy(j);
}

static void scores_are_read_the_same_in_every_locale(void **state) {
    (void)state;
    judgments *j = read_text("q 0 b 1\n");
    size_t n;
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8")) printf("no German locale here: tested with the one there is\n");
    assert_close(evaluate_text("q Q0 b 1 1.7 t\nq Q0 c 2 1.2 t\n", j, "mrr", false, &n), 1);
    setlocale(LC_NUMERIC, "C");
    judgments_destroy(j);
}

/* trec_eval's files: one line per metric and query, `name<spaces>\tquery\tvalue`. */

static bool read_fixture(const char *name, buffer *out) {
    char path[256];
    snprintf(path, sizeof path, FIXTURES "%s", name);
    const char *found = testing_data(path);
    buffer_clear(out);
    return found && os_read_file(found, 0, out, NULL) == FORAGE_OK;
}

/* Our metric for a name of trec_eval's, when there is one. */
static bool translate(const char *name, metric *out) {
    static const struct {
        const char *theirs, *ours;
    } known[] = {
        {"map", "map"},         {"recip_rank", "mrr"},  {"ndcg", "ndcg"},     {"set_recall", "recall"}, {"P_", "p@"},
        {"recall_", "recall@"}, {"ndcg_cut_", "ndcg@"}, {"map_cut_", "map@"}, {"success_", "success@"},
    };
    char ours[64];
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t size = strlen(known[i].theirs);
        bool prefix = known[i].theirs[size - 1] == '_';
        if (prefix ? strncmp(name, known[i].theirs, size) != 0 : strcmp(name, known[i].theirs) != 0) continue;
        snprintf(ours, sizeof ours, "%s%s", known[i].ours, prefix ? name + size : "");
        return metric_parse(slice_of(ours), out, NULL) == FORAGE_OK;
    }
    return false;
}

typedef struct fixture {
    judgments *j, *binary; /* binary: for metrics that do not use grades */
    run *r;
    bool all;
    uint32_t depth; /* trec_eval -M; 0: none */
} fixture;

static double evaluate_line(const fixture *f, metric m, const char *query) {
    const judgments *j = m.kind == METRIC_NDCG ? f->j : f->binary;
    arena a;
    double *values, sum = 0;
    arena_init(&a, 0);
    size_t n = run_evaluate(f->r, j, m, f->all, &a, &values);
    for (size_t i = 0; i < n; i++) sum += values[i];
    double value = strcmp(query, "all") == 0 ? sum / (double)n : values[strtoul(query, NULL, 10) - 301];
    arena_release(&a);
    return value;
}

/* Compares every line that we have a metric for; returns their number. */
static size_t compare_output(const fixture *f, const char *file, const char *only_query) {
    buffer out = {0};
    size_t compared = 0;
    assert_true(read_fixture(file, &out));
    char *rest = buffer_text(&out), *line;
    while ((line = strsep(&rest, "\n")) && *line) {
        char name[64], query[64];
        double expected;
        metric m;
        if (sscanf(line, "%63s %63s %lf", name, query, &expected) != 3 || !translate(name, &m)) continue;
        if (only_query && strcmp(query, only_query) != 0) continue;
        if (f->depth && !m.cutoff && m.kind != METRIC_NDCG) m.cutoff = f->depth;
        else if (f->depth && (!m.cutoff || m.cutoff > f->depth)) continue;
        double value = evaluate_line(f, m, only_query ? "all" : query);
        if (fabs(value - expected) > .00005 + 1e-9) fail_msg("%s: %s: got %.6f", file, line, value);
        compared++;
    }
    buffer_release(&out);
    return compared;
}

static fixture open_fixture(const char *qrels, const char *results) {
    fixture f = {.j = judgments_create(), .r = run_create()};
    buffer text = {0};
    base_error error = {0};
    f.binary = f.j;
    assert_true(read_fixture(qrels, &text));
    if (judgments_read(f.j, (slice){text.data, text.size}, &error)) fail_msg("%s", error.message);
    assert_true(read_fixture(results, &text));
    if (run_read(f.r, (slice){text.data, text.size}, &error)) fail_msg("%s", error.message);
    buffer_release(&text);
    return f;
}

static void close_fixture(fixture *f) {
    if (f->binary != f->j) judgments_destroy(f->binary);
    judgments_destroy(f->j);
    run_destroy(f->r);
}

static void trec_eval_agrees(void **state) {
    (void)state;
    if (!testing_data(FIXTURES "qrels.test")) skip();
    fixture f = open_fixture("qrels.test", "results.test");
    assert_int_equal(compare_output(&f, "out.test", NULL), 11);
    assert_int_equal(compare_output(&f, "out.test.a", NULL), 43);
    assert_int_equal(compare_output(&f, "out.test.aq", NULL), 4 * 43);
    assert_int_equal(compare_output(&f, "out.test.meas_params", NULL), 4 * 11);
    close_fixture(&f);
    f = open_fixture("qrels.test.with-comments", "results.test");
    assert_int_equal(compare_output(&f, "out.test.aq", NULL), 4 * 43);
    close_fixture(&f);
    f = open_fixture("qrels-302.test", "results-302.test");
    assert_int_equal(compare_output(&f, "out.test.aq", "302"), 43);
    close_fixture(&f);
}

static void trec_eval_agrees_on_a_run_that_lacks_a_query(void **state) {
    (void)state;
    if (!testing_data(FIXTURES "qrels.test")) skip();
    fixture f = open_fixture("qrels.test", "results.trunc");
    f.all = true;
    assert_int_equal(compare_output(&f, "out.test.aqc", NULL), 4 * 43);
    f.depth = 100;
    assert_true(compare_output(&f, "out.test.aqcM", NULL) >= 4 * 30);
    close_fixture(&f);
}

/* trec_eval -l2: relevant from grade 2 on, while nDCG's gains stay the grades. */
static void trec_eval_agrees_on_grades(void **state) {
    (void)state;
    if (!testing_data(FIXTURES "qrels.rel_level")) skip();
    fixture f = open_fixture("qrels.rel_level", "results.test");
    buffer text = {0};
    assert_true(read_fixture("qrels.rel_level", &text));
    f.binary = judgments_create();
    char *rest = buffer_text(&text), *line;
    while ((line = strsep(&rest, "\n")) && *line) {
        char query[32], document[64];
        int grade;
        assert_int_equal(sscanf(line, "%31s 0 %63s %d", query, document, &grade), 3);
        judgments_add(f.binary, slice_of(query), slice_of(document), grade - 1);
    }
    assert_int_equal(compare_output(&f, "out.test.aql", NULL), 4 * 43);
    buffer_release(&text);
    close_fixture(&f);
}

static void many_judgments_fit(void **state) {
    (void)state;
    judgments *j = judgments_create();
    char query[32], document[32];
    for (int q = 0; q < 20000; q++)
        for (int d = 0; d < 20; d++) {
            snprintf(query, sizeof query, "query %d", q);
            snprintf(document, sizeof document, "document %d", (q * 7 + d * 131) % 5000);
            judgments_add(j, slice_of(query), slice_of(document), d % 4);
        }
    assert_int_equal(judgments_queries(j), 20000);
    assert_int_equal(judgments_relevant(j, SLICE("query 19999")), 15);
    assert_int_equal(judgments_grade(j, SLICE("query 100"), SLICE("document 962")), 2);
    assert_int_equal(judgments_grade(j, SLICE("query 100"), SLICE("document 963")), 0);
    judgments_destroy(j);
}

static double skewed(random_source *random) { return random_beta(random, .5, 1.5); /* mean .25 */ }

static void intervals_cover_what_they_promise(void **state) {
    (void)state;
    enum { TRIALS = 200, N = 60 };
    random_source random;
    double values[N];
    int covered = 0;
    random_seed(&random, 99);
    for (int t = 0; t < TRIALS; t++) {
        for (int i = 0; i < N; i++) values[i] = skewed(&random);
        metric_summary s = metric_summarize(values, N, (uint64_t)t);
        assert_true(s.low < s.mean && s.mean < s.high && s.queries == N);
        covered += s.low <= .25 && .25 <= s.high;
    }
    assert_true(covered >= TRIALS * 89 / 100 && covered <= TRIALS * 99 / 100);
    metric_summary one = metric_summarize(values, 1, 1), none = metric_summarize(NULL, 0, 1);
    assert_true(one.low == values[0] && one.high == values[0] && one.mean == values[0]);
    assert_true(none.mean == 0 && none.low == 0 && none.high == 0 && none.queries == 0);
    metric_summary a = metric_summarize(values, N, 5), b = metric_summarize(values, N, 5);
    assert_true(a.low == b.low && a.high == b.high);
}

static void comparisons_find_differences_and_only_those(void **state) {
    (void)state;
    enum { TRIALS = 100, N = 40 };
    random_source random;
    double a[N], b[N];
    int false_alarms = 0, found = 0;
    random_seed(&random, 17);
    for (int t = 0; t < TRIALS; t++) {
        for (int i = 0; i < N; i++) {
            double hard = skewed(&random); /* the same query is hard for both */
            a[i] = hard + .05 * random_normal(&random);
            b[i] = hard + .05 * random_normal(&random);
        }
        false_alarms += metric_compare(a, b, N, (uint64_t)t).p < .05;
        for (int i = 0; i < N; i++) a[i] += .06;
        metric_comparison c = metric_compare(a, b, N, (uint64_t)t);
        found += c.p < .05 && c.low > 0;
        assert_true(c.low <= c.difference && c.difference <= c.high && c.p > 0 && c.p <= 1);
    }
    assert_true(false_alarms <= 12);
    assert_true(found >= 98);
    metric_comparison same = metric_compare(a, a, N, 1), swapped = metric_compare(b, a, N, 1), none;
    assert_true(same.difference == 0 && same.p == 1 && same.low == 0 && same.high == 0);
    assert_true(swapped.difference < 0 && swapped.p < .05);
    none = metric_compare(NULL, NULL, 0, 1);
    assert_true(none.p == 1 && none.queries == 0);
    double six[] = {1, 1, 1, 1, 1, 1}, zero[6] = {0}; /* exact: 2 of 64 patterns are as extreme */
    assert_true(fabs(metric_compare(six, zero, 6, 3).p - 2 / 64.0) < .01);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metric_names_round_trip),
        cmocka_unit_test(metrics_by_hand),
        cmocka_unit_test(duplicates_count_once),
        cmocka_unit_test(both_forms_of_judgments_are_read),
        cmocka_unit_test(malformed_lines_are_named),
        cmocka_unit_test(runs_are_ordered_as_trec_eval_orders_them),
        cmocka_unit_test(runs_can_grow_after_an_evaluation),
        cmocka_unit_test(scores_are_read_the_same_in_every_locale),
        cmocka_unit_test(trec_eval_agrees),
        cmocka_unit_test(trec_eval_agrees_on_a_run_that_lacks_a_query),
        cmocka_unit_test(trec_eval_agrees_on_grades),
        cmocka_unit_test(many_judgments_fit),
        cmocka_unit_test(intervals_cover_what_they_promise),
        cmocka_unit_test(comparisons_find_differences_and_only_those),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
