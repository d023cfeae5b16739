/* The line of learning: bounded, whole, the same whenever it is computed again, and safe to read from damaged bytes. */
#include "testing.h"

#include "base/bytes.h"
#include "funnel/history.h"

#include <math.h>

enum { S = HISTORY_STRATEGIES };

static history *make(void) { return mem_zalloc(1, sizeof(history)); }

/* Search number i of a made-up past: strategy s is asked in every (s + 1)th search. */
static void search(history *h, uint32_t i) {
    uint32_t depth[S];
    for (uint32_t s = 0; s < S; s++) depth[s] = i % (s + 1) == 0 ? 8 + i % 5 : 0;
    history_shown(h, depth, 10 + i % 7, 0.001);
    if (i % 3 == 0) history_earned(h, 0.5);
}

static history_point total(const history *h) {
    history_point sum = {0};
    for (uint32_t i = 0; i < h->n_points; i++) {
        const history_point *p = &h->points[i];
        sum.searches += p->searches;
        sum.candidates += p->candidates;
        sum.reward += p->reward;
        sum.price += p->price;
        for (uint32_t s = 0; s < S; s++) {
            sum.asked[s] += p->asked[s];
            sum.depth[s] += p->depth[s];
        }
    }
    return sum;
}

static void empty_until_something_is_asked(void **state) {
    (void)state;
    history *h = make();
    history_earned(h, 1);
    assert_int_equal(h->n_points, 0);
    buffer out = {0};
    json_writer w = json_writer_of(&out);
    history_write_json(h, NULL, &w);
    assert_string_equal(buffer_text(&out), "{\"points\":[]}");
    buffer_release(&out);
    free(h);
}

/* However long it runs: bounded, every point but the last full, the sums those of a count of everything. */
static void merging_keeps_sums(void **state) {
    (void)state;
    const uint32_t searches[] = {1, 255, 256, 257, 511, 512, 513, 5000, 100003};
    for (size_t k = 0; k < sizeof searches / sizeof *searches; k++) {
        history *h = make();
        history_point expected = {.searches = searches[k]};
        for (uint32_t i = 0; i < searches[k]; i++) {
            search(h, i);
            expected.candidates += 10 + i % 7;
            expected.reward += i % 3 == 0 ? 0.5 : 0;
            for (uint32_t s = 0; s < S; s++) {
                expected.asked[s] += i % (s + 1) == 0;
                expected.depth[s] += i % (s + 1) == 0 ? 8 + i % 5 : 0;
            }
        }
        history_point sum = total(h);
        assert_int_equal(sum.searches, expected.searches);
        assert_int_equal(sum.candidates, expected.candidates);
        assert_memory_equal(sum.asked, expected.asked, sizeof sum.asked);
        assert_memory_equal(sum.depth, expected.depth, sizeof sum.depth);
        assert_true(sum.reward == expected.reward); /* halves add up exactly */
        assert_true(fabs(sum.price - 0.001 * searches[k]) < 1e-9 * searches[k]);
        assert_in_range(h->n_points, searches[k] > 256 ? 128 : searches[k], HISTORY_POINTS);
        for (uint32_t i = 0; i + 1 < h->n_points; i++) assert_int_equal(h->points[i].searches, h->searches_per_point);
        assert_in_range(h->points[h->n_points - 1].searches, 1, h->searches_per_point);
        free(h);
    }
}

/* A merge is of neighbours: what was earned early stays early. */
static void merging_keeps_order(void **state) {
    (void)state;
    history *h = make();
    uint32_t depth[S] = {8};
    for (uint32_t i = 0; i < 1000; i++) {
        history_shown(h, depth, 8, 0);
        if (i < 500) history_earned(h, 1);
    }
    uint64_t searches = 0;
    for (uint32_t i = 0; i < h->n_points; i++) {
        const history_point *p = &h->points[i];
        uint64_t earning = searches >= 500 ? 0 : 500 - searches < p->searches ? 500 - searches : p->searches;
        assert_true(p->reward == (double)earning);
        searches += p->searches;
    }
    free(h);
}

static void late_rewards_count_when_they_come(void **state) {
    (void)state;
    history *h = make();
    uint32_t depth[S] = {8};
    history_shown(h, depth, 8, 0);
    history_shown(h, depth, 8, 0);
    history_earned(h, 2);
    assert_true(h->points[0].reward == 0 && h->points[1].reward == 2);
    free(h);
}

static void refuses_what_is_no_number(void **state) {
    (void)state;
    history *h = make();
    const uint32_t depth[S] = {UINT32_MAX, 0, 1};
    history_shown(h, depth, UINT32_MAX, NAN);
    history_shown(h, depth, 0, INFINITY);
    history_shown(h, depth, 0, -1);
    history_earned(h, NAN);
    history_earned(h, -5);
    history_earned(h, INFINITY);
    history_point sum = total(h);
    assert_true(sum.price == 0 && isfinite(sum.reward));
    assert_int_equal(sum.depth[0], 3ull * HISTORY_MOST);
    assert_int_equal(sum.candidates, HISTORY_MOST);
    assert_int_equal(sum.asked[1], 0);
    free(h);
}

static void as_json(void **state) {
    (void)state;
    history *h = make();
    const char *names[S];
    char text[S][16];
    for (uint32_t s = 0; s < S; s++) {
        snprintf(text[s], sizeof text[s], "s%u", s);
        names[s] = text[s];
    }
    for (uint32_t i = 0; i < 512; i++) {
        uint32_t depth[S] = {10, i % 2 ? 40 : 0};
        history_shown(h, depth, 30, 0.25);
        if (i % 2) history_earned(h, 1);
    }
    buffer out = {0};
    arena a;
    json_value *read = NULL;
    json_writer w = json_writer_of(&out);
    history_write_json(h, names, &w);
    arena_init(&a, 0);
    assert_ok(json_read(&a, (slice){out.data, out.size}, &read, NULL));
    const json_value *points = json_get(read, "points");
    assert_int_equal(points->count, 256);
    for (const json_value *p = points->first; p; p = p->next) {
        assert_int_equal(json_get(p, "searches")->integer, 2);
        assert_int_equal(json_get(p, "candidates")->integer, 60);
        assert_true(json_get(p, "reward")->number == 1);
        assert_true(json_get(p, "price")->number == 0.25);
        const json_value *strategies = json_get(p, "strategies");
        assert_int_equal(strategies->count, S);
        assert_true(json_get(json_get(strategies, "s0"), "share")->number == 1);
        assert_true(json_get(json_get(strategies, "s0"), "depth")->number == 10);
        assert_true(json_get(json_get(strategies, "s1"), "share")->number == 0.5);
        assert_true(json_get(json_get(strategies, "s1"), "depth")->number == 20);
        assert_true(json_get(json_get(strategies, "s2"), "share")->number == 0);
    }
    arena_release(&a);
    buffer_release(&out);
    free(h);
}

static void goes_on_from_saved_bytes(void **state) {
    (void)state;
    for (uint32_t n = 0; n < 2000; n += 333) {
        history *whole = make(), *first = make(), *second = make();
        buffer bytes = {0};
        for (uint32_t i = 0; i < 2500; i++) search(whole, i);
        for (uint32_t i = 0; i < n; i++) search(first, i);
        history_save(first, &bytes);
        assert_ok(history_load((slice){bytes.data, bytes.size}, second, NULL));
        for (uint32_t i = n; i < 2500; i++) search(second, i);
        assert_int_equal(second->n_points, whole->n_points);
        assert_memory_equal(second->points, whole->points, whole->n_points * sizeof whole->points[0]);
        buffer_release(&bytes);
        free(whole);
        free(first);
        free(second);
    }
}

static void expect_refused(forage_status status, const buffer *bytes, size_t size) {
    history *out = make();
    base_error error = {0};
    out->n_points = 77;
    assert_int_equal(history_load((slice){bytes->data, size}, out, &error), status);
    assert_int_equal(out->n_points, 77);
    assert_non_null(strstr(error.message, "learning history"));
    free(out);
}

/* A header and one point of one search, the reward given. */
static void bytes_of(buffer *out, uint64_t each, uint64_t n, uint64_t asked, double reward) {
    buffer_clear(out);
    put_u8(out, 1);
    put_u8(out, S);
    put_varint(out, each);
    put_varint(out, n);
    put_varint(out, 1);
    put_varint(out, 8);
    put_f64(out, reward);
    put_f64(out, 0);
    for (uint32_t s = 0; s < S; s++) {
        put_varint(out, asked);
        put_varint(out, asked);
    }
}

static void damaged_bytes_are_refused(void **state) {
    (void)state;
    history *h = make(), *out = make();
    buffer bytes = {0};
    for (uint32_t i = 0; i < 700; i++) search(h, i);
    history_save(h, &bytes);
    for (size_t size = 0; size < bytes.size; size++) expect_refused(FORAGE_E_CORRUPT, &bytes, size);
    buffer_putc(&bytes, 0);
    expect_refused(FORAGE_E_CORRUPT, &bytes, bytes.size);
    bytes.data[0] = 2;
    expect_refused(FORAGE_E_VERSION, &bytes, bytes.size);
    bytes.data[0] = 1;
    bytes.data[1] = S + 1;
    expect_refused(FORAGE_E_INVALID, &bytes, bytes.size);

    bytes_of(&bytes, 1, 1, 1, 0.5);
    assert_ok(history_load((slice){bytes.data, bytes.size}, out, NULL));
    const double wrong[] = {NAN, INFINITY, -1, 1e300};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        bytes_of(&bytes, 1, 1, 1, wrong[i]);
        expect_refused(FORAGE_E_CORRUPT, &bytes, bytes.size);
    }
    const uint64_t shapes[][3] = {{0, 1, 1}, {3, 1, 1}, {1, 2, 1}, {1, 0, 1}, {1, 257, 1}, {1, UINT64_MAX, 1}, {1, 1, 2},
                                  {UINT64_MAX, 1, 1}, {(uint64_t)1 << 63, 1, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        bytes_of(&bytes, shapes[i][0], shapes[i][1], shapes[i][2], 0.5);
        expect_refused(FORAGE_E_CORRUPT, &bytes, bytes.size);
    }
    buffer_release(&bytes);
    free(h);
    free(out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_until_something_is_asked), cmocka_unit_test(merging_keeps_sums),
        cmocka_unit_test(merging_keeps_order), cmocka_unit_test(late_rewards_count_when_they_come),
        cmocka_unit_test(refuses_what_is_no_number), cmocka_unit_test(as_json), cmocka_unit_test(goes_on_from_saved_bytes),
        cmocka_unit_test(damaged_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
