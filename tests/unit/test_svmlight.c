#include "testing.h"

#include "format/svmlight.h"
#include "rank/ranking_file.h"

#include <math.h>

static svmlight_rows read_text(const char *text, const svmlight_options *options) {
    svmlight_rows rows = {0};
    base_error error = {0};
    if (svmlight_read_memory(slice_of(text), options, &rows, &error)) fail_msg("%s", error.message);
    return rows;
}

static void rows_and_groups_are_read(void **state) {
    (void)state;
    svmlight_rows r = read_text("\xEF\xBB\xBF# title, price\r\n"
                                "2 qid:7 1:0.5 3:-2e-3 # GX1\r\n"
                                "\n"
                                "0 qid:7 2:nan\t4:1e3\n"
                                "1.5 qid:18446744073709551615 1:.25 2:+3. 4:123456789.123456789",
                                NULL);
    assert_int_equal(r.n_rows, 3);
    assert_int_equal(r.n_groups, 2);
    assert_int_equal(r.n_features, 4);
    assert_int_equal(r.first[1], 2);
    assert_int_equal(r.first[2], 3);
    assert_true(r.qid[0] == 7 && r.qid[1] == UINT64_MAX);
    assert_true(r.label[0] == 2 && r.label[1] == 0 && r.label[2] == 1.5f);
    float wanted[] = {.5f, 0, -2e-3f, 0, 0, NAN, 0, 1e3f, .25f, 3, 0, 123456789.123456789f};
    for (int i = 0; i < 12; i++) assert_true(isnan(wanted[i]) ? isnan(r.x[i]) : r.x[i] == wanted[i]);
    assert_null(r.weight);
    assert_null(r.position);
    svmlight_release(&r);
}

static void absent_features_and_second_files(void **state) {
    (void)state;
    svmlight_rows r = read_text("1 qid:1 2:5\n", &(svmlight_options){.n_features = 3, .absent_is_missing = true});
    assert_int_equal(r.n_features, 3);
    assert_true(isnan(r.x[0]) && r.x[1] == 5 && isnan(r.x[2]));
    svmlight_release(&r);
}

static void comments_tell_weight_and_position(void **state) {
    (void)state;
    svmlight_rows r = read_text("1 qid:1 1:1 # doc a weight=2.5 position=3\n"
                                "0 qid:1 1:2 # weight=-1 position=0 weight=x position=1.5\n",
                                NULL);
    assert_true(r.weight[0] == 2.5f && r.weight[1] == 1);
    assert_true(r.position[0] == 3 && r.position[1] == 0);
    svmlight_release(&r);
}

static void bad_lines_are_named(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
        forage_status status;
    } cases[] = {
        {"1 qid:1 1:1\nx qid:1 1:1\n", "line 2: expected a label", FORAGE_E_INVALID},
        {"nan qid:1 1:1\n", "line 1: expected a label", FORAGE_E_INVALID},
        {"inf qid:1 1:1\n", "line 1: expected a label", FORAGE_E_INVALID},
        {"1e39 qid:1 1:1\n", "line 1: expected a label", FORAGE_E_INVALID},
        {"1 1:1\n", "line 1: expected qid:NUMBER", FORAGE_E_INVALID},
        {"1\n", "line 1: expected qid:NUMBER", FORAGE_E_INVALID},
        {"1 qid: 1:1\n", "line 1: qid: expected a whole number", FORAGE_E_INVALID},
        {"1 qid:-4 1:1\n", "line 1: qid: expected a whole number", FORAGE_E_INVALID},
        {"1 qid:18446744073709551616 1:1\n", "line 1: qid: expected a whole number", FORAGE_E_INVALID},
        {"1 qid:1 1:1\n1 qid:2 1:1\n1 qid:1 1:1\n", "line 3: rows of one qid must stand together", FORAGE_E_INVALID},
        {"1 qid:1 0:1\n", "line 1: features are numbered from 1", FORAGE_E_INVALID},
        {"1 qid:1 2:1 1:1\n", "line 1: features must come in increasing order", FORAGE_E_INVALID},
        {"1 qid:1 2:1 2:1\n", "line 1: a feature comes twice", FORAGE_E_INVALID},
        {"1 qid:1 a:1\n", "line 1: expected a feature's index", FORAGE_E_INVALID},
        {"1 qid:1 -1:1\n", "line 1: expected a feature's index", FORAGE_E_INVALID},
        {"1 qid:1 1:\n", "line 1: expected a number or nan", FORAGE_E_INVALID},
        {"1 qid:1 1:0x10\n", "line 1: expected a number or nan", FORAGE_E_INVALID},
        {"1 qid:1 1:1e\n", "line 1: expected a number or nan", FORAGE_E_INVALID},
        {"1 qid:1 1:1e999\n", "line 1: expected a number or nan", FORAGE_E_INVALID},
        {"1 qid:1 1:infinity\n", "line 1: expected a number or nan", FORAGE_E_INVALID},
        {"1 qid:1 1:1,5\n", "line 1: expected a number or nan", FORAGE_E_INVALID},
        {"1 qid:1 word\n", "line 1: expected index:value", FORAGE_E_INVALID},
        {"1 qid:1 100001:1\n", "line 1: feature 100001: at most 100000", FORAGE_E_TOO_LARGE},
        {"", "the file has no rows", FORAGE_E_INVALID},
        {"# only a comment\n", "the file has no rows", FORAGE_E_INVALID},
        {"1 qid:1\n", "no row has a feature", FORAGE_E_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        svmlight_rows rows = {0};
        base_error error = {0};
        assert_int_equal(svmlight_read_memory(slice_of(cases[i].text), NULL, &rows, &error), cases[i].status);
        if (!strstr(error.message, cases[i].message)) fail_msg("%s: %s", cases[i].text, error.message);
        assert_null(rows.x);
    }
}

static void limits_hold(void **state) {
    (void)state;
    svmlight_rows rows = {0};
    base_error error;
    buffer long_line = {0};
    buffer_puts(&long_line, "1 qid:1 1:1 #");
    for (int i = 0; i < 1000; i++) buffer_puts(&long_line, "xxxxxxxxxx");
    slice text = {long_line.data, long_line.size};
    assert_int_equal(svmlight_read_memory(text, &(svmlight_options){.line_limit = 5000}, &rows, &error), FORAGE_E_TOO_LARGE);
    assert_non_null(strstr(error.message, "line 1: longer than 5000 bytes"));
    assert_ok(svmlight_read_memory(text, &(svmlight_options){.line_limit = 20000}, &rows, &error));
    svmlight_release(&rows);
    buffer_release(&long_line);
    /* Two short lines that would make a matrix of 800 kB. */
    text = SLICE("1 qid:1 100000:1\n0 qid:1 1:1\n");
    assert_int_equal(svmlight_read_memory(text, &(svmlight_options){.matrix_limit = 700000}, &rows, &error), FORAGE_E_TOO_LARGE);
    assert_non_null(strstr(error.message, "2 rows of 100000 features"));
}

/* What is read is what strtof reads, and does not depend on the locale. */
static void numbers_are_exact(void **state) {
    (void)state;
    static const char *const numbers[] = {"0.1",      "1e-45",  "3.4028235e38", "0.30000001192092896", "16777217", "1e22",
                                          "1e-22",    "1e23",   "-0",           "000000000000000000001", "7.0064923216240854e-46",
                                          "9007199254740993", "1.17549435e-38", "123456789012345678901234567890"};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char line[120];
        snprintf(line, sizeof line, "0 qid:1 1:%s 2:1\n", numbers[i]);
        svmlight_rows r = read_text(line, NULL);
        float wanted = (float)strtod(numbers[i], NULL);
        assert_memory_equal(&r.x[0], &wanted, sizeof wanted);
        svmlight_release(&r);
    }
}

static void what_is_written_reads_back(void **state) {
    (void)state;
    float x[] = {.1f, 0, 3.1415927f, 1e-30f, NAN, 16777216, -1e10f, 1.0f / 3, 5}, label[] = {3, 0, .7f}, weight[] = {1, 1.0f / 7, 2};
    size_t first[] = {0, 2, 3};
    uint64_t qid[] = {12, 5};
    uint32_t position[] = {1, 0, 9};
    svmlight_rows rows = {.n_features = 3, .n_rows = 3, .n_groups = 2, .x = x, .label = label, .first = first, .qid = qid,
                          .weight = weight, .position = position};
    buffer text = {0};
    svmlight_write(&rows, (const char *[]){"bm25", "click rate", "a\nb"}, &text);
    assert_non_null(strstr(buffer_text(&text), "# 1:bm25 2:click_rate 3:a_b\n"));
    svmlight_rows back = read_text(buffer_text(&text), NULL);
    assert_int_equal(back.n_rows, 3);
    assert_int_equal(back.n_groups, 2);
    assert_memory_equal(back.first, first, sizeof first);
    assert_memory_equal(back.qid, qid, sizeof qid);
    assert_memory_equal(back.label, label, sizeof label);
    assert_memory_equal(back.weight, weight, sizeof weight);
    assert_memory_equal(back.position, position, sizeof position);
    for (int i = 0; i < 9; i++) assert_true(isnan(x[i]) ? isnan(back.x[i]) : back.x[i] == x[i]);
    svmlight_release(&back);
    buffer_release(&text);
}

/* Thousands of groups, and lines across the reader's pieces. */
static void a_large_file(void **state) {
    (void)state;
    buffer text = {0};
    for (int i = 0; i < 60000; i++) buffer_printf(&text, "%d qid:%d 1:%d 2:0.5\n", i % 5, i / 3, i);
    svmlight_rows r = read_text(buffer_text(&text), NULL);
    assert_int_equal(r.n_rows, 60000);
    assert_int_equal(r.n_groups, 20000);
    for (int i = 0; i < 60000; i++) assert_true(r.x[2 * i] == (float)i && r.label[i] == (float)(i % 5));
    svmlight_release(&r);
    buffer_release(&text);
}

static void real_files(void **state) {
    (void)state;
    const char *path = testing_data("letor-mq2008-fold1/train.txt");
    if (!path) skip();
    svmlight_rows r;
    base_error error;
    assert_ok(ranking_file_read(path, NULL, &r, &error));
    assert_int_equal(r.n_rows, 9630);
    assert_int_equal(r.n_groups, 471);
    assert_int_equal(r.n_features, 46);
    svmlight_release(&r);
    assert_int_equal(ranking_file_read("/nowhere/at-all", NULL, &r, &error), FORAGE_E_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_groups_are_read),  cmocka_unit_test(absent_features_and_second_files),
        cmocka_unit_test(comments_tell_weight_and_position), cmocka_unit_test(bad_lines_are_named),
        cmocka_unit_test(limits_hold),               cmocka_unit_test(numbers_are_exact),
        cmocka_unit_test(what_is_written_reads_back), cmocka_unit_test(a_large_file),
        cmocka_unit_test(real_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
