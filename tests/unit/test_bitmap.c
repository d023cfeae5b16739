/* Compressed bitmaps against plain ones: every operation on every pair of kinds of containers. */
#include "testing.h"

#include "base/bytes.h"
#include "base/random.h"
#include "sparse/bitmap.h"

enum { CHUNK = 1 << 16, CHUNKS = 5, COUNT = CHUNK * CHUNKS - 100, WORDS = (COUNT + 63) / 64 };

/* A set as it should be: a bit per number below COUNT. */
typedef struct oracle {
    uint64_t words[WORDS];
} oracle;

static bool has(const oracle *o, uint32_t i) { return o->words[i / 64] >> i % 64 & 1; }
static void put(oracle *o, uint32_t i) { o->words[i / 64] |= (uint64_t)1 << i % 64; }

typedef enum shape { EMPTY, ONE, FEW, MANY, RUNS, RUNS_AND_FEW, LONG_RUNS, ALL, SHAPES } shape;

static void put_runs(oracle *o, random_source *r, uint32_t from, uint32_t end, uint32_t length, uint32_t gap) {
    for (uint32_t at = from + (uint32_t)random_below(r, gap); at < end;) {
        uint32_t n = 1 + (uint32_t)random_below(r, length);
        for (; n > 0 && at < end; n--) put(o, at++);
        at += 1 + (uint32_t)random_below(r, gap);
    }
}

static void put_random(oracle *o, random_source *r, uint32_t from, uint32_t end, uint32_t n) {
    while (n-- > 0) put(o, from + (uint32_t)random_below(r, end - from));
}

/* Fills one chunk so that its container is of a certain kind. */
static void put_shape(oracle *o, random_source *r, uint32_t chunk, shape s) {
    uint32_t from = chunk * CHUNK, end = from + CHUNK < COUNT ? from + CHUNK : COUNT;
    switch (s) {
    case EMPTY: break;
    case ONE: put_random(o, r, from, end, 1); break;
    case FEW: put_random(o, r, from, end, 1 + (uint32_t)random_below(r, 4000)); break;
    case MANY: put_random(o, r, from, end, 5000 + (uint32_t)random_below(r, 60000)); break;
    case RUNS: put_runs(o, r, from, end, 100, 100); break;
    case RUNS_AND_FEW:
        put_runs(o, r, from, end, 200, 2000);
        put_random(o, r, from, end, 50);
        break;
    case LONG_RUNS: put_runs(o, r, from, end, 20000, 9000); break;
    default:
        for (uint32_t i = from; i < end; i++) put(o, i);
    }
}

static void invent(oracle *o, random_source *r) {
    memset(o, 0, sizeof *o);
    for (uint32_t c = 0; c < CHUNKS; c++) put_shape(o, r, c, (shape)random_below(r, SHAPES));
}

static bitmap *of(const oracle *o) { return bitmap_of_flat(o->words, COUNT); }

static void check_is(const bitmap *b, const oracle *o) {
    static oracle filled;
    uint64_t n = 0;
    memset(&filled, 0xab, sizeof filled);
    bitmap_fill_flat(b, filled.words, WORDS);
    assert_memory_equal(filled.words, o->words, sizeof o->words);
    for (size_t i = 0; i < WORDS; i++) n += (uint64_t)__builtin_popcountll(o->words[i]);
    assert_int_equal(bitmap_cardinality(b), n);
}

/* ---- making ---- */

static void every_way_of_making_gives_the_same_bytes(void **state) {
    (void)state;
    static oracle o;
    random_source r;
    random_seed(&r, 11);
    uint32_t *values = mem_alloc(COUNT * sizeof *values);
    for (int round = 0; round < 40; round++) {
        size_t n = 0;
        invent(&o, &r);
        for (uint32_t i = 0; i < COUNT; i++)
            if (has(&o, i)) values[n++] = i;
        bitmap *flat = of(&o), *listed = bitmap_of_values(values, n);
        bitmap_builder *builder = bitmap_builder_create();
        for (size_t i = 0, j; i < n; i = j) {
            for (j = i + 1; j < n && values[j] == values[j - 1] + 1; j++) {}
            bitmap_builder_add_range(builder, values[i], values[j - 1]);
        }
        bitmap *ranges = bitmap_builder_finish(builder);
        check_is(flat, &o);
        assert_true(bitmap_equal(flat, listed) && bitmap_equal(flat, ranges));
        bitmap_destroy(flat);
        bitmap_destroy(listed);
        bitmap_destroy(ranges);
    }
    free(values);
}

static void containers_take_the_fewest_bytes(void **state) {
    (void)state;
    static oracle o;
    const struct {
        uint32_t every, length;
        size_t most; /* bytes of one container */
    } sets[] = {{100, 1, 656 * 2}, {3, 1, 8192}, {1000, 900, 66 * 4}, {CHUNK, CHUNK, 4}, {64, 60, 1024 * 4}};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        memset(&o, 0, sizeof o);
        for (uint32_t at = 0; at < CHUNK; at += sets[i].every)
            for (uint32_t j = 0; j < sets[i].length && at + j < CHUNK; j++) put(&o, at + j);
        bitmap *b = of(&o);
        assert_in_range(bitmap_bytes(b).size, 1, 32 + 16 + (sets[i].most + 7) / 8 * 8);
        assert_true(bitmap_memory(b) >= bitmap_bytes(b).size);
        bitmap_destroy(b);
    }
}

static void the_last_numbers_there_are_can_be_members(void **state) {
    (void)state;
    bitmap_builder *builder = bitmap_builder_create();
    bitmap_builder_add(builder, 7);
    bitmap_builder_add_range(builder, UINT32_MAX - 3 * CHUNK, UINT32_MAX);
    bitmap *b = bitmap_builder_finish(builder);
    uint32_t value, n = 0, last = 0;
    assert_int_equal(bitmap_cardinality(b), 3 * CHUNK + 2);
    assert_true(bitmap_contains(b, UINT32_MAX) && !bitmap_contains(b, UINT32_MAX - 3 * CHUNK - 1));
    assert_int_equal(bitmap_rank(b, (uint64_t)UINT32_MAX + 1), 3 * CHUNK + 2);
    assert_int_equal(bitmap_rank(b, UINT32_MAX), 3 * CHUNK + 1);
    assert_true(bitmap_select(b, 3 * CHUNK + 1, &value) && value == UINT32_MAX);
    bitmap_walk w;
    for (bitmap_walk_start(&w, b, 8); bitmap_walk_next(&w, &value); n++) last = value;
    assert_int_equal(n, 3 * CHUNK + 1);
    assert_int_equal(last, UINT32_MAX);
    bitmap_destroy(b);
}

/* ---- asking ---- */

static void questions_are_answered_as_by_counting(void **state) {
    (void)state;
    static oracle o;
    static uint32_t below[COUNT + 1];
    random_source r;
    random_seed(&r, 12);
    for (int round = 0; round < 12; round++) {
        invent(&o, &r);
        bitmap *b = of(&o);
        for (uint32_t i = 0; i < COUNT; i++) below[i + 1] = below[i] + has(&o, i);
        for (int i = 0; i < 3000; i++) {
            uint32_t x = (uint32_t)random_below(&r, COUNT), y = (uint32_t)random_below(&r, COUNT + 1), value;
            assert_int_equal(bitmap_contains(b, x), has(&o, x));
            assert_int_equal(bitmap_rank(b, x), below[x]);
            assert_int_equal(bitmap_range_cardinality(b, x, y), x < y ? below[y] - below[x] : 0);
            if (below[COUNT] == 0) continue;
            uint64_t nth = random_below(&r, below[COUNT]);
            assert_true(bitmap_select(b, nth, &value));
            assert_true(has(&o, value) && below[value] == nth);
        }
        assert_false(bitmap_select(b, below[COUNT], &(uint32_t){0}));
        assert_int_equal(bitmap_rank(b, COUNT), below[COUNT]);
        bitmap_destroy(b);
    }
}

static void walks_begin_anywhere_and_miss_nothing(void **state) {
    (void)state;
    static oracle o;
    random_source r;
    random_seed(&r, 13);
    for (int round = 0; round < 40; round++) {
        uint32_t from = round == 0 ? 0 : (uint32_t)random_below(&r, COUNT), value, at = from;
        bitmap_walk w;
        invent(&o, &r);
        bitmap *b = of(&o);
        for (bitmap_walk_start(&w, b, from); bitmap_walk_next(&w, &value); at = value + 1) {
            while (at < COUNT && !has(&o, at)) at++;
            assert_int_equal(value, at);
        }
        while (at < COUNT && !has(&o, at)) at++;
        assert_int_equal(at, COUNT);
        bitmap_destroy(b);
    }
}

/* ---- combining ---- */

static void check_flat(const bitmap *b, const oracle *x, const oracle *y, random_source *r) {
    static oracle flat, expected;
    uint64_t both = 0;
    for (size_t i = 0; i < WORDS; i++) both += (uint64_t)__builtin_popcountll(x->words[i] & y->words[i]);
    assert_int_equal(bitmap_count_flat(b, x->words, WORDS), both);
    void (*const change[])(const bitmap *, uint64_t *, size_t) = {bitmap_fill_flat, bitmap_or_flat, bitmap_and_flat,
                                                                  bitmap_and_not_flat};
    size_t n = random_below(r, 3) ? WORDS : (size_t)random_below(r, WORDS + 1); /* also when the flat set ends early */
    for (size_t op = 0; op < 4; op++) {
        flat = *x;
        for (size_t i = 0; i < WORDS; i++) {
            uint64_t a = x->words[i], c = y->words[i];
            expected.words[i] = i >= n ? a : op == 0 ? c : op == 1 ? a | c : op == 2 ? a & c : a & ~c;
        }
        change[op](b, flat.words, n);
        assert_memory_equal(flat.words, expected.words, sizeof flat.words);
    }
}

static void check_pair(const oracle *x, const oracle *y, random_source *r) {
    static oracle expected;
    bitmap *a = of(x), *b = of(y);
    bitmap *(*const combine[])(const bitmap *, const bitmap *) = {bitmap_and, bitmap_or, bitmap_and_not};
    for (size_t op = 0; op < 3; op++) {
        for (size_t i = 0; i < WORDS; i++) {
            uint64_t p = x->words[i], q = y->words[i];
            expected.words[i] = op == 0 ? p & q : op == 1 ? p | q : p & ~q;
        }
        bitmap *made = combine[op](a, b), *built = of(&expected);
        check_is(made, &expected);
        assert_true(bitmap_equal(made, built)); /* the result, too, has the smallest containers */
        bitmap_destroy(made);
        bitmap_destroy(built);
    }
    check_flat(b, x, y, r);
    bitmap_destroy(a);
    bitmap_destroy(b);
}

static void every_pair_of_containers_combines(void **state) {
    (void)state;
    static oracle x, y;
    random_source r;
    random_seed(&r, 14);
    for (int round = 0; round < 4; round++) {
        for (int first = 0; first < SHAPES; first++) {
            memset(&x, 0, sizeof x);
            memset(&y, 0, sizeof y);
            for (uint32_t c = 0; c < CHUNKS; c++) { /* over five chunks and two rounds every second shape */
                put_shape(&x, &r, c, (shape)first);
                put_shape(&y, &r, c, (shape)((c + (uint32_t)round * 4) % SHAPES));
            }
            check_pair(&x, &y, &r);
            check_pair(&y, &x, &r);
        }
    }
    for (int round = 0; round < 60; round++) {
        invent(&x, &r);
        invent(&y, &r);
        check_pair(&x, &y, &r);
    }
}

/* ---- bytes ---- */

static void what_was_written_opens_in_place(void **state) {
    (void)state;
    static oracle o;
    random_source r;
    base_error error;
    random_seed(&r, 15);
    for (int round = 0; round < 20; round++) {
        invent(&o, &r);
        bitmap *b = of(&o), *opened;
        slice bytes = bitmap_bytes(b);
        void *copy = mem_alloc(bytes.size);
        memcpy(copy, bytes.data, bytes.size);
        bitmap_destroy(b);
        assert_ok(bitmap_open((slice){copy, bytes.size}, &opened, &error));
        check_is(opened, &o);
        assert_ptr_equal(bitmap_bytes(opened).data, copy);
        bitmap_destroy(opened);
        free(copy);
    }
}

/* Whatever opens is a set that a builder makes of its members, byte by byte. */
static void any_changed_byte_is_noticed_or_means_another_set(void **state) {
    (void)state;
    static oracle o;
    random_source r;
    base_error error;
    random_seed(&r, 16);
    memset(&o, 0, sizeof o);
    put_random(&o, &r, 0, CHUNK, 40);
    put_runs(&o, &r, CHUNK, CHUNK + 5000, 100, 100);
    put_random(&o, &r, 2 * CHUNK, 2 * CHUNK + 20000, 9000);
    bitmap *b = of(&o);
    slice bytes = bitmap_bytes(b);
    uint8_t *copy = mem_alloc(bytes.size);
    for (size_t i = 0; i < bytes.size; i++) {
        bitmap *opened;
        memcpy(copy, bytes.data, bytes.size);
        copy[i] ^= (uint8_t)(1u << random_below(&r, 8));
        forage_status status = bitmap_open((slice){(char *)copy, bytes.size}, &opened, &error);
        assert_true(i >= 32 || status != FORAGE_OK);
        if (status != FORAGE_OK) continue;
        bitmap_builder *builder = bitmap_builder_create();
        bitmap_walk w;
        uint32_t value;
        for (bitmap_walk_start(&w, opened, 0); bitmap_walk_next(&w, &value);) bitmap_builder_add(builder, value);
        bitmap *again = bitmap_builder_finish(builder);
        assert_true(bitmap_equal(again, opened) && !bitmap_equal(again, b));
        bitmap_destroy(again);
        bitmap_destroy(opened);
    }
    for (size_t size = 0; size < bytes.size; size++) {
        memcpy(copy, bytes.data, size);
        bitmap *opened;
        assert_int_not_equal(bitmap_open((slice){(char *)copy, size}, &opened, &error), FORAGE_OK);
    }
    memcpy(copy, bytes.data, bytes.size);
    store_le32(copy + 4, 2);
    assert_int_equal(bitmap_open((slice){(char *)copy, bytes.size}, &(bitmap *){NULL}, &error), FORAGE_E_VERSION);
    free(copy);
    bitmap_destroy(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_of_making_gives_the_same_bytes),
        cmocka_unit_test(containers_take_the_fewest_bytes),
        cmocka_unit_test(the_last_numbers_there_are_can_be_members),
        cmocka_unit_test(questions_are_answered_as_by_counting),
        cmocka_unit_test(walks_begin_anywhere_and_miss_nothing),
        cmocka_unit_test(every_pair_of_containers_combines),
        cmocka_unit_test(what_was_written_opens_in_place),
        cmocka_unit_test(any_changed_byte_is_noticed_or_means_another_set),
    };
    return cmocka_run_group_tests_name("bitmap", tests, NULL, NULL);
}
