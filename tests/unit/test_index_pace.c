/* The pace of merges, with a clock that the test turns. */
#include "testing.h"

#include "sparse/index_pace.h"

enum { SECOND = 1000000 };

/* What a merge gets done in a second of wall-clock time, in pieces of so many microseconds and bytes. */
typedef struct outcome {
    int64_t worked, longest_slice, longest_pause;
    uint64_t written;
} outcome;

static outcome merge_for_a_second(int64_t piece, uint64_t bytes, bool (*searched)(int64_t now), bool urgent) {
    index_pace p;
    outcome o = {0};
    int64_t now = 5 * SECOND, end = now + SECOND, slice = 0;
    index_pace_start(&p, now);
    while (now < end) {
        now += piece;
        slice += piece;
        o.worked += piece;
        o.written += bytes;
        int64_t pause = index_pace_pause(&p, now, searched(now), urgent, bytes);
        now += pause;
        if (slice > o.longest_slice) o.longest_slice = slice;
        if (pause > 0) slice = 0;
        if (pause > o.longest_pause) o.longest_pause = pause;
    }
    return o;
}

static bool never(int64_t now) {
    (void)now;
    return false;
}

static bool always(int64_t now) {
    (void)now;
    return true;
}

static bool in_the_first_half(int64_t now) { return now % SECOND < SECOND / 2; }

static void nobody_searches_and_nothing_is_slowed(void **state) {
    (void)state;
    outcome o = merge_for_a_second(1000, 1 << 20, never, false);
    assert_int_equal(o.longest_pause, 0);
    assert_int_equal(o.worked, SECOND);
}

static void searches_get_half_of_the_time_in_short_slices(void **state) {
    (void)state;
    outcome o = merge_for_a_second(500, 0, always, false);
    assert_in_range(o.worked, SECOND * 45 / 100, SECOND * 55 / 100);
    assert_in_range(o.longest_slice, 1, INDEX_PACE_SLICE + 500);
    assert_in_range(o.longest_pause, 1, INDEX_PACE_SLICE + 500);
}

static void long_pieces_are_paused_for_but_not_for_ever(void **state) {
    (void)state;
    outcome o = merge_for_a_second(300000, 0, always, false);
    assert_int_equal(o.longest_pause, INDEX_PACE_LONGEST);
    assert_true(o.worked >= 600000);
}

static void written_bytes_are_limited_while_others_search(void **state) {
    (void)state;
    outcome o = merge_for_a_second(100, 256 << 10, always, false); /* a disk of 2.5 GB/s */
    assert_in_range(o.written, INDEX_PACE_BYTES * 9 / 10, INDEX_PACE_BYTES + INDEX_PACE_BURST + (1 << 20));
    outcome slow = merge_for_a_second(10000, 64 << 10, always, false); /* 6.5 MB/s: only time is shared */
    assert_in_range(slow.worked, SECOND * 45 / 100, SECOND * 55 / 100);
}

static void full_speed_returns_when_searching_ends(void **state) {
    (void)state;
    outcome o = merge_for_a_second(500, 0, in_the_first_half, false);
    int64_t polite = SECOND / 2 + INDEX_PACE_RECENT; /* half of it works */
    assert_in_range(o.worked, SECOND - polite / 2 - 50000, SECOND - polite / 2 + 50000);
}

static void urgent_work_waits_for_nobody(void **state) {
    (void)state;
    outcome o = merge_for_a_second(500, 1 << 20, always, true);
    assert_int_equal(o.longest_pause, 0);

    /* And what it did then is not made up for afterwards. */
    index_pace p;
    index_pace_start(&p, 0);
    assert_int_equal(index_pace_pause(&p, 2 * SECOND, true, true, 1 << 30), 0);
    assert_int_equal(index_pace_pause(&p, 2 * SECOND + 100, true, false, 0), 0);
    assert_in_range(index_pace_pause(&p, 2 * SECOND + INDEX_PACE_SLICE, true, false, 0), 1, INDEX_PACE_SLICE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_searches_and_nothing_is_slowed),
        cmocka_unit_test(searches_get_half_of_the_time_in_short_slices),
        cmocka_unit_test(long_pieces_are_paused_for_but_not_for_ever),
        cmocka_unit_test(written_bytes_are_limited_while_others_search),
        cmocka_unit_test(full_speed_returns_when_searching_ends),
        cmocka_unit_test(urgent_work_waits_for_nobody),
    };
    return cmocka_run_group_tests_name("index_pace", tests, NULL, NULL);
}
