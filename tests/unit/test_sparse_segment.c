/* Builder, segment and merge against the plain model. */
#include "sparse_model.h"

#include "base/hash.h"
#include "os/clock.h"
#include "sparse/merge.h"
#include "sparse/pack_values.h"
#include "sparse/segment_format.h"
#include "sparse/segment_pack.h"

static sparse_segment *open_image(const buffer *image) {
    sparse_segment *s = NULL;
    base_error error = {0};
    if (sparse_segment_open((slice){image->data, image->size}, &s, &error) != FORAGE_OK) fail_msg("%s", error.message);
    assert_ok(sparse_segment_validate(s, &error));
    return s;
}

static double model_saturation(const model_document *d, uint32_t word, const sparse_statistics *st) {
    double x = 0;
    for (uint32_t f = 0; f < MODEL_FIELDS; f++) {
        if (model_config.fields[f].kind != SPARSE_TEXT) continue;
        double average = st->having[f] && st->length[f] ? (double)st->length[f] / (double)st->having[f] : 1;
        double norm = 1 - model_config.b + model_config.b * d->n[f] / average;
        x += model_config.fields[f].weight * model_frequency(d, f, word) / norm;
    }
    return x / (model_config.k1 + x);
}

/* Every posting of the term, from its blocks; checks what blocks promise. */
static uint32_t read_postings(const sparse_term *t, uint32_t *places, uint8_t *impacts) {
    uint32_t n = 0;
    uint8_t highest = 0;
    const sparse_block *blocks = sparse_term_blocks(t);
    for (uint32_t i = 0; i < t->n_blocks; i++) {
        uint32_t p[SPARSE_BLOCK + 8], got;
        uint8_t m[SPARSE_BLOCK + 8], most = 0;
        got = sparse_block_decode(t, i, p, m);
        assert_int_equal(got, blocks[i].count_minus_1 + 1);
        assert_int_equal(p[got - 1], blocks[i].last);
        for (uint32_t j = 0; j < got; j++, n++) {
            places[n] = p[j];
            impacts[n] = m[j];
            if (m[j] > most) most = m[j];
        }
        assert_int_equal(most, blocks[i].max_impact);
        if (most > highest) highest = most;
    }
    assert_int_equal(n, t->df);
    assert_int_equal(highest, t->max_impact);
    return n;
}

/* Posting by posting, and again from the last to the first. */
static void check_positions(const sparse_segment *s, const model_document *d, uint32_t word, slice key) {
    arena a;
    sparse_term t;
    arena_init(&a, 0);
    if (!sparse_segment_term(s, key, &t)) return;
    sparse_positions ahead, back;
    sparse_positions_open(&ahead, &t, &a);
    sparse_positions_open(&back, &t, &a);
    for (uint32_t i = 0; i < t.df; i++) {
        uint32_t j = t.df - 1 - i, wanted[2 * MODEL_FIELDS * MODEL_TOKENS], places[SPARSE_BLOCK + 8];
        uint8_t impacts[SPARSE_BLOCK + 8];
        const uint32_t *found;
        sparse_block_decode(&t, i / SPARSE_BLOCK, places, impacts);
        uint32_t n = model_positions(&d[places[i % SPARSE_BLOCK]], word, wanted);
        assert_int_equal(sparse_positions_at(&ahead, i / SPARSE_BLOCK, i % SPARSE_BLOCK, &found), n);
        assert_memory_equal(found, wanted, n * sizeof *found);
        sparse_block_decode(&t, j / SPARSE_BLOCK, places, impacts);
        n = model_positions(&d[places[j % SPARSE_BLOCK]], word, wanted);
        assert_int_equal(sparse_positions_at(&back, j / SPARSE_BLOCK, j % SPARSE_BLOCK, &found), n);
        assert_memory_equal(found, wanted, n * sizeof *found);
    }
    arena_release(&a);
}

static void check_word(const sparse_segment *s, const model_document *d, uint32_t n, uint32_t word,
                       const sparse_statistics *st, uint32_t *places, uint8_t *impacts) {
    char room[32];
    arena a;
    arena_init(&a, 0);
    sparse_term t;
    bool found = sparse_segment_term(s, sparse_text_key(&a, model_word(word, room)), &t);
    uint32_t df = found ? read_postings(&t, places, impacts) : 0, at = 0;
    check_positions(s, d, word, sparse_text_key(&a, model_word(word, room)));
    for (uint32_t p = 0; p < n; p++) {
        uint32_t title = model_frequency(&d[p], MODEL_TITLE, word), body = model_frequency(&d[p], MODEL_BODY, word);
        uint32_t frequency[SPARSE_MAX_FIELDS];
        if (title + body == 0) {
            if (found) assert_false(sparse_term_frequencies(&t, p, frequency));
            continue;
        }
        assert_true(at < df && places[at] == p);
        double saturation = model_saturation(&d[p], word, st);
        assert_true(fabs(sparse_impact_value(impacts[at]) - saturation) < 1.0 / 509);
        assert_true(sparse_term_frequencies(&t, p, frequency));
        assert_int_equal(frequency[MODEL_TITLE], title);
        assert_int_equal(frequency[MODEL_BODY], body);
        at++;
    }
    assert_int_equal(at, df);
    arena_release(&a);
}

static void check_brand(const sparse_segment *s, const model_document *d, uint32_t n, uint32_t brand, uint32_t *places,
                        uint8_t *impacts) {
    char room[32];
    arena a;
    arena_init(&a, 0);
    slice value = model_brand(brand, room);
    sparse_term t;
    bool found = sparse_segment_term(s, sparse_attribute_key(&a, MODEL_BRAND, value), &t);
    uint32_t df = found ? read_postings(&t, places, impacts) : 0, at = 0;
    sparse_keywords k;
    assert_true(sparse_segment_keywords(s, MODEL_BRAND, &k));
    for (uint32_t p = 0; p < n; p++) {
        bool in_column = false;
        for (uint32_t i = k.starts[p]; i < k.starts[p + 1]; i++) {
            in_column = in_column || slice_equal(sparse_segment_keyword_value(s, MODEL_BRAND, k.ordinals[i]), value);
            if (i > k.starts[p]) assert_true(k.ordinals[i - 1] < k.ordinals[i]);
        }
        assert_int_equal(in_column, model_has_brand(&d[p], brand));
        if (!in_column) continue;
        assert_true(at < df && places[at] == p);
        assert_true(fabs(sparse_impact_value(impacts[at]) - 1 / (1 + model_config.k1)) < 1.0 / 509);
        at++;
    }
    assert_int_equal(at, df);
    arena_release(&a);
}

static void check_columns(const sparse_segment *s, const model_document *d, uint32_t n) {
    float highest;
    const double *plays = sparse_segment_numbers(s, MODEL_PLAYS), *years = sparse_segment_numbers(s, MODEL_YEAR);
    const float *prior = sparse_segment_prior(s, &highest);
    const uint32_t *popular = sparse_segment_by_popularity(s);
    assert_null(sparse_segment_numbers(s, MODEL_BODY));
    for (uint32_t p = 0; p < n; p++) {
        uint32_t place;
        assert_int_equal(sparse_segment_document(s, p), d[p].document);
        assert_int_equal(sparse_segment_version(s, p), d[p].version);
        assert_true(sparse_segment_find(s, d[p].document, &place));
        assert_int_equal(place, p);
        assert_int_equal(sparse_segment_length(s, MODEL_TITLE, p), d[p].n[MODEL_TITLE]);
        assert_int_equal(sparse_segment_length(s, MODEL_BODY, p), d[p].n[MODEL_BODY]);
        assert_int_equal(sparse_segment_span(s, MODEL_BODY, p), model_span(&d[p], MODEL_BODY));
        assert_int_equal(sparse_segment_field_start(s, MODEL_TITLE, p), 0);
        assert_int_equal(sparse_segment_field_start(s, MODEL_BODY, p), model_span(&d[p], MODEL_TITLE));
        assert_true(plays[p] == d[p].plays || (isnan(plays[p]) && isnan(d[p].plays)));
        assert_true(years[p] == d[p].year || (isnan(years[p]) && isnan(d[p].year)));
        assert_true(prior[p] == sparse_prior_value(d[p].plays) && prior[p] <= highest);
        if (p > 0) assert_true(prior[popular[p - 1]] >= prior[popular[p]]);
    }
    if (n > 0) assert_true(prior[popular[0]] == highest);
}

static void check_all(const sparse_segment *s, const model_document *d, uint32_t n, const sparse_statistics *st) {
    assert_int_equal(sparse_segment_count(s), n);
    uint32_t *places = mem_alloc((n + 1) * sizeof *places);
    uint8_t *impacts = mem_alloc(n + 1);
    for (uint32_t w = 0; w < MODEL_WORDS; w++) check_word(s, d, n, w, st, places, impacts);
    check_positions(s, d, MODEL_WORDS, SLICE("g"));
    for (uint32_t b = 0; b < MODEL_BRANDS; b++) check_brand(s, d, n, b, places, impacts);
    check_columns(s, d, n);
    sparse_statistics own, wanted;
    sparse_segment_statistics(s, &own);
    model_statistics(d, n, &wanted);
    assert_memory_equal(&own, &wanted, sizeof own);
    free(places);
    free(impacts);
}

static void round_trip(void **state) {
    (void)state;
    static const uint32_t sizes[] = {0, 1, 2, 127, 128, 129, 700};
    random_source r;
    random_seed(&r, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint32_t n = sizes[i];
        model_document *d = mem_zalloc(n, sizeof *d);
        for (uint32_t p = 0; p < n; p++) d[p] = model_make(&r, i % 2 ? 5 * p + 3 : (p * 7919) % 20011, 100 + p);
        sparse_statistics st;
        model_statistics(d, n, &st);
        buffer image = {0};
        model_image(d, n, &st, &image);
        sparse_segment *s = open_image(&image);
        check_all(s, d, n, &st);
        uint32_t place;
        assert_false(sparse_segment_find(s, 999999, &place));
        assert_false(sparse_segment_find(s, 4, &place) && d[place].document != 4);
        sparse_segment_close(s);
        buffer_release(&image);
        free(d);
    }
}

static void builder_leaves_out_replaced_documents_and_can_be_reused(void **state) {
    (void)state;
    random_source r;
    random_seed(&r, 2);
    enum { N = 300 };
    model_document *d = mem_zalloc(N, sizeof *d), *kept = mem_zalloc(N, sizeof *d);
    uint32_t documents[N], n = 0;
    uint64_t versions[N];
    sparse_builder *b = sparse_builder_create(&model_config);
    model_document other = model_make(&r, 1, 1);
    model_add(b, &other);
    sparse_builder_reset(b);
    for (uint32_t i = 0; i < N; i++) {
        d[i] = model_make(&r, i, i);
        model_add(b, &d[i]);
        documents[i] = i % 3 == 0 ? UINT32_MAX : i;
        versions[i] = i;
        if (i % 3) kept[n++] = d[i];
    }
    assert_int_equal(sparse_builder_count(b), N);
    assert_true(sparse_builder_bytes(b) > 0);
    sparse_statistics st, from_model;
    sparse_builder_statistics(b, &st);
    model_statistics(d, N, &from_model);
    assert_memory_equal(&st, &from_model, sizeof st);
    buffer image = {0};
    sparse_builder_finish(b, documents, versions, &st, &image);
    sparse_segment *s = open_image(&image);
    check_all(s, kept, n, &st);
    sparse_segment_close(s);
    buffer_release(&image);
    sparse_builder_destroy(b);
    free(d);
    free(kept);
}

static void walking_gives_every_term_in_order(void **state) {
    (void)state;
    random_source r;
    random_seed(&r, 3);
    enum { N = 200 };
    model_document *d = mem_zalloc(N, sizeof *d);
    for (uint32_t i = 0; i < N; i++) d[i] = model_make(&r, i, i);
    sparse_statistics st;
    model_statistics(d, N, &st);
    buffer image = {0};
    model_image(d, N, &st, &image);
    sparse_segment *s = open_image(&image);

    sparse_term_walk w;
    slice key;
    sparse_term t, same;
    char (*keys)[64] = mem_zalloc(MODEL_WORDS + MODEL_BRANDS, 64);
    size_t sizes[MODEL_WORDS + MODEL_BRANDS], n = 0;
    sparse_term_walk_start(&w, s, SLICE(""));
    while (sparse_term_walk_next(&w, &key, &t)) {
        if (n > 0) assert_true(slice_compare((slice){keys[n - 1], sizes[n - 1]}, key) < 0);
        assert_int_equal(t.ordinal, n);
        assert_true(sparse_segment_term(s, key, &same));
        assert_true(same.ordinal == t.ordinal && same.df == t.df && same.data == t.data && same.blocks == t.blocks);
        memcpy(keys[n], key.data, key.size);
        sizes[n++] = key.size;
    }
    assert_int_equal(n, sparse_segment_terms(s));
    for (size_t i = 0; i < n; i++) { /* from each key, and from just behind it */
        sparse_term_walk_start(&w, s, (slice){keys[i], sizes[i]});
        assert_true(sparse_term_walk_next(&w, &key, &t));
        assert_int_equal(t.ordinal, i);
        sparse_term_walk_start(&w, s, (slice){keys[i], sizes[i] + 1});
        assert_int_equal(sparse_term_walk_next(&w, &key, &t), i + 1 < n);
        if (i + 1 < n) assert_int_equal(t.ordinal, i + 1);
        assert_false(sparse_segment_term(s, (slice){keys[i], sizes[i] + 1}, &t));
        if (sizes[i] > 1) {
            bool found = sparse_segment_term(s, (slice){keys[i], sizes[i] - 1}, &t), is_key = false;
            for (size_t j = 0; j < n; j++)
                is_key = is_key || slice_equal((slice){keys[j], sizes[j]}, (slice){keys[i], sizes[i] - 1});
            assert_int_equal(found, is_key);
        }
    }
    assert_false(sparse_segment_term(s, SLICE(""), &t));
    assert_false(sparse_segment_term(s, SLICE("\xff"), &t));
    free(keys);
    sparse_segment_close(s);
    buffer_release(&image);
    free(d);
}

static void long_and_strange_values_are_indexed(void **state) {
    (void)state;
    arena a;
    arena_init(&a, 0);
    sparse_builder *b = sparse_builder_create(&model_config);
    char *long_value = arena_zalloc(&a, 1, 5000), room[SPARSE_MAX_TERM];
    memset(long_value, 'x', 5000);
    slice values[] = {SLICE(""),         {"\0\0", 2},       SLICE("\xff\xfe"),
                      {long_value, 512}, {long_value, 513}, {long_value, 5000}};
    size_t n = sizeof values / sizeof *values;
    uint32_t documents[6];
    uint64_t versions[6] = {0};
    for (uint32_t i = 0; i < n; i++) {
        documents[i] = sparse_builder_begin(b);
        sparse_builder_keyword(b, MODEL_BRAND, values[i]);
        sparse_builder_keyword(b, MODEL_BRAND, values[i]);
        for (int times = 0; times < 70000; times += 10000) sparse_builder_term(b, MODEL_BODY, values[i]);
    }
    for (int times = 0; times < 100000; times++) sparse_builder_term(b, MODEL_TITLE, SLICE("again"));
    sparse_statistics st;
    sparse_builder_statistics(b, &st);
    buffer image = {0};
    sparse_builder_finish(b, documents, versions, &st, &image);
    sparse_segment *s = open_image(&image);
    sparse_keywords k;
    assert_true(sparse_segment_keywords(s, MODEL_BRAND, &k));
    assert_int_equal(k.n_values, n);
    for (uint32_t i = 0; i < n; i++) {
        sparse_term t;
        uint32_t frequency[SPARSE_MAX_FIELDS];
        assert_true(sparse_segment_term(s, sparse_attribute_key(&a, MODEL_BRAND, values[i]), &t));
        assert_true(t.df == 1 && sparse_term_frequencies(&t, i, frequency));
        assert_int_equal(k.starts[i + 1] - k.starts[i], 1);
        slice value = sparse_segment_keyword_value(s, MODEL_BRAND, k.ordinals[k.starts[i]]);
        assert_true(slice_equal(value, sparse_term_form(values[i], room)));
        assert_true(sparse_segment_term(s, sparse_text_key(&a, values[i]), &t));
        assert_true(t.df == 1 && sparse_term_frequencies(&t, i, frequency));
        assert_int_equal(frequency[MODEL_BODY], 7);
    }
    sparse_term t;
    uint32_t frequency[SPARSE_MAX_FIELDS];
    assert_true(sparse_segment_term(s, sparse_text_key(&a, SLICE("again")), &t));
    assert_true(sparse_term_frequencies(&t, (uint32_t)n - 1, frequency));
    assert_int_equal(frequency[MODEL_TITLE], 100000);
    assert_int_equal(sparse_segment_length(s, MODEL_TITLE, (uint32_t)n - 1), 100000);
    sparse_segment_close(s);
    buffer_release(&image);
    sparse_builder_destroy(b);
    arena_release(&a);
}

static void merging_equals_building_at_once(void **state) {
    (void)state;
    random_source r;
    random_seed(&r, 4);
    enum { PARTS = 5, EACH = 170, N = PARTS * EACH };
    model_document *d = mem_zalloc(N, sizeof *d), *kept = mem_zalloc(N, sizeof *d);
    uint64_t live[PARTS][(EACH + 63) / 64] = {{0}};
    buffer images[PARTS] = {{0}}, merged = {0}, at_once = {0};
    sparse_merge_input inputs[PARTS];
    sparse_segment *segments[PARTS];
    size_t n = 0;
    for (uint32_t part = 0; part < PARTS; part++) {
        for (uint32_t i = 0; i < EACH; i++) {
            uint32_t p = part * EACH + i;
            d[p] = model_make(&r, p * 3 % N, p);
            bool keep = part == 1 || (part != 2 && random_below(&r, 3));
            if (!keep) continue;
            live[part][i / 64] |= (uint64_t)1 << i % 64;
            kept[n++] = d[p];
        }
        sparse_statistics then; /* the lengths of that day: merging must not depend on them */
        model_statistics(d, part * EACH + 1, &then);
        model_image(d + part * EACH, EACH, &then, &images[part]);
        segments[part] = open_image(&images[part]);
        inputs[part] = (sparse_merge_input){segments[part], part == 1 ? NULL : live[part]};
    }
    sparse_statistics st;
    model_statistics(d, N, &st);
    assert_true(sparse_merge_fits(inputs, PARTS));
    sparse_merge(inputs, PARTS, NULL, &model_config, &st, &merged);
    model_image(kept, n, &st, &at_once);
    assert_int_equal(merged.size, at_once.size);
    assert_memory_equal(merged.data, at_once.data, merged.size);
    for (uint32_t part = 0; part < PARTS; part++) {
        sparse_segment_close(segments[part]);
        buffer_release(&images[part]);
    }
    buffer_release(&merged);
    buffer_release(&at_once);
    free(d);
    free(kept);
}

/* Documents in any order: the image is the one that building in that order makes. */
static void merging_in_another_order_equals_building_in_it(void **state) {
    (void)state;
    random_source r;
    random_seed(&r, 8);
    enum { FIRST = 900, N = 1500 };
    model_document *d = mem_zalloc(N, sizeof *d), *moved = mem_zalloc(N, sizeof *d);
    uint64_t live[FIRST / 64 + 1];
    uint32_t order[N], n = 0;
    memset(live, 0xff, sizeof live);
    for (uint32_t i = 0; i < N; i++) {
        d[i] = model_make(&r, i * 7 % N, i);
        if (i % 5 == 0 && i < FIRST) live[i / 64] &= ~((uint64_t)1 << i % 64);
        else n++;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t j = (uint32_t)random_below(&r, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    sparse_statistics st;
    model_statistics(d, N, &st);
    buffer images[2] = {{0}}, merged = {0}, at_once = {0};
    model_image(d, FIRST, &st, &images[0]);
    model_image(d + FIRST, N - FIRST, &st, &images[1]);
    sparse_segment *segments[2] = {open_image(&images[0]), open_image(&images[1])};
    const sparse_merge_input inputs[2] = {{segments[0], live}, {segments[1], NULL}};
    sparse_merge(inputs, 2, order, &model_config, &st, &merged);
    for (uint32_t i = 0, at = 0; i < N; i++)
        if (i >= FIRST || live[i / 64] >> i % 64 & 1) moved[order[at++]] = d[i];
    model_image(moved, n, &st, &at_once);
    assert_int_equal(merged.size, at_once.size);
    assert_memory_equal(merged.data, at_once.data, merged.size);
    for (int i = 0; i < 2; i++) {
        sparse_segment_close(segments[i]);
        buffer_release(&images[i]);
    }
    buffer_release(&merged);
    buffer_release(&at_once);
    free(d);
    free(moved);
}

static void merging_adds_fields_that_came_later(void **state) {
    (void)state;
    sparse_config old = model_config, wide = model_config;
    old.n_fields = 1; /* the title only */
    old.popularity = -1;
    sparse_builder *b = sparse_builder_create(&old);
    uint32_t documents[2] = {7, 5};
    uint64_t versions[2] = {1, 2};
    for (int i = 0; i < 2; i++) {
        sparse_builder_begin(b);
        sparse_builder_term(b, MODEL_TITLE, SLICE("hello"));
    }
    sparse_statistics st;
    sparse_builder_statistics(b, &st);
    buffer image = {0}, merged = {0};
    sparse_builder_finish(b, documents, versions, &st, &image);
    sparse_segment *s = open_image(&image);
    assert_true(sparse_segment_matches(s, &wide));
    assert_int_equal(sparse_segment_fields(s), 1);
    assert_int_equal(sparse_segment_length(s, MODEL_BODY, 0), 0);
    assert_null(sparse_segment_numbers(s, MODEL_YEAR));
    float highest;
    assert_null(sparse_segment_prior(s, &highest));
    sparse_keywords k;
    assert_false(sparse_segment_keywords(s, MODEL_BRAND, &k));

    sparse_merge(&(sparse_merge_input){s, NULL}, 1, NULL, &wide, &st, &merged);
    sparse_segment *m = open_image(&merged);
    assert_int_equal(sparse_segment_fields(m), MODEL_FIELDS);
    old.fields[0].kind = SPARSE_KEYWORD;
    assert_false(sparse_segment_matches(m, &old));
    assert_true(isnan(sparse_segment_numbers(m, MODEL_YEAR)[1]));
    assert_true(sparse_segment_keywords(m, MODEL_BRAND, &k) && k.n_values == 0);
    assert_true(sparse_segment_prior(m, &highest)[0] == 0.0f);
    sparse_term t;
    uint32_t frequency[SPARSE_MAX_FIELDS];
    assert_true(sparse_segment_term(m, SLICE("thello"), &t) && sparse_term_frequencies(&t, 1, frequency));
    assert_int_equal(frequency[MODEL_TITLE], 1);
    sparse_segment_close(s);
    sparse_segment_close(m);
    buffer_release(&image);
    buffer_release(&merged);
    sparse_builder_destroy(b);
}

static void packing_keeps_every_width(void **state) {
    (void)state;
    random_source r;
    random_seed(&r, 5);
    for (unsigned bits = 0; bits <= 32; bits++)
        for (uint32_t n = 1; n <= SPARSE_BLOCK; n += n < 120 ? 7 : 1) {
            uint32_t places[SPARSE_BLOCK], got[SPARSE_BLOCK + 8], base = (uint32_t)random_below(&r, 1000);
            uint64_t at = base; /* the gaps that fit; the widest first where they must add up to less than 2³² */
            for (uint32_t i = 0; i < n; i++) {
                uint64_t room = (uint64_t)UINT32_MAX - at - (n - i), most = ((uint64_t)1 << bits) - 1;
                uint64_t gap = random_u64(&r) & most;
                if (i == 0 && bits > 0) gap |= (uint64_t)1 << (bits - 1);
                if (gap > room) gap = room < most ? 0 : room;
                places[i] = (uint32_t)(at + gap);
                at += gap + 1;
            }
            uint8_t bytes[16 * 32 + 16] = {0};
            unsigned needed = segment_pack_bits(places, n, base);
            assert_true(needed <= bits);
            segment_pack(places, n, base, bits, bytes);
            segment_unpack(bytes, n, base, bits, got);
            assert_memory_equal(places, got, n * sizeof *places);
        }
}

/* Where a document's fields come one after the other makes no difference, nor does a gap before the first token. */
static void fields_in_another_order_have_the_same_positions(void **state) {
    (void)state;
    static const uint32_t fields[2][4] = {{MODEL_TITLE, MODEL_TITLE, MODEL_BODY, MODEL_BODY},
                                          {MODEL_BODY, MODEL_TITLE, MODEL_BODY, MODEL_TITLE}};
    static const char *words[2][4] = {{"a", "b", "a", "a"}, {"a", "a", "a", "b"}};
    buffer images[2] = {{0}};
    for (int i = 0; i < 2; i++) {
        sparse_builder *b = sparse_builder_create(&model_config);
        sparse_builder_begin(b);
        for (int j = 0; j < 4; j++) {
            if (i == 1 && j == 0) sparse_builder_gap(b, MODEL_BODY);
            sparse_builder_term(b, fields[i][j], slice_of(words[i][j]));
        }
        sparse_statistics st;
        sparse_builder_statistics(b, &st);
        sparse_builder_finish(b, &(uint32_t){1}, &(uint64_t){1}, &st, &images[i]);
        sparse_builder_destroy(b);
    }
    sparse_segment_close(open_image(&images[0]));
    assert_int_equal(images[0].size, images[1].size);
    assert_memory_equal(images[0].data, images[1].data, images[0].size);
    buffer_release(&images[0]);
    buffer_release(&images[1]);
}

static void tokens_behind_the_limit_are_left_out(void **state) {
    (void)state;
    sparse_builder *b = sparse_builder_create(&model_config);
    for (int i = 0; i < 2; i++) {
        sparse_builder_begin(b);
        sparse_builder_term(b, MODEL_TITLE, SLICE("title"));
        for (uint32_t j = 0; i == 0 && j < SPARSE_MAX_TOKENS - 3; j++) sparse_builder_term(b, MODEL_BODY, SLICE("word"));
        sparse_builder_term(b, MODEL_BODY, SLICE("last"));
        sparse_builder_gap(b, MODEL_BODY); /* this and what follows do not fit together */
        sparse_builder_term(b, MODEL_BODY, SLICE("behind"));
        sparse_builder_term(b, MODEL_BODY, SLICE("behind"));
    }
    const uint32_t documents[2] = {0, 1};
    const uint64_t versions[2] = {0, 1};
    sparse_statistics st;
    sparse_builder_statistics(b, &st);
    buffer image = {0};
    sparse_builder_finish(b, documents, versions, &st, &image);
    sparse_builder_destroy(b);
    sparse_segment *s = open_image(&image);
    sparse_term t;
    uint32_t frequency[SPARSE_MAX_FIELDS];
    assert_int_equal(sparse_segment_length(s, MODEL_BODY, 0), SPARSE_MAX_TOKENS - 2);
    assert_true(sparse_segment_term(s, SLICE("tword"), &t) && sparse_term_frequencies(&t, 0, frequency));
    assert_int_equal(frequency[MODEL_BODY], SPARSE_MAX_TOKENS - 3);
    assert_true(sparse_segment_term(s, SLICE("tlast"), &t) && t.df == 2);
    assert_true(sparse_segment_term(s, SLICE("tbehind"), &t) && t.df == 1);
    assert_true(sparse_term_frequencies(&t, 1, frequency) && frequency[MODEL_BODY] == 2);
    sparse_segment_close(s);
    buffer_release(&image);
}

/* n values of at most `bits` bits, some of them of at most `wide`. */
static void invent_values(random_source *r, uint32_t n, unsigned bits, unsigned wide, uint32_t *values) {
    for (uint32_t i = 0; i < n; i++) {
        unsigned width = random_below(r, 12) ? bits : wide;
        values[i] = width == 0 ? 0 : (uint32_t)(random_u64(r) >> (64 - width));
    }
}

static void packed_values_come_back(void **state) {
    (void)state;
    random_source r;
    random_seed(&r, 9);
    uint32_t values[SPARSE_BLOCK] = {0}, got[SPARSE_BLOCK + 8];
    uint8_t bytes[PACK_VALUES_ROOM];
    assert_int_equal(pack_values(values, SPARSE_BLOCK, bytes), 1);
    for (unsigned bits = 0; bits <= 32; bits++)
        for (uint32_t n = 1; n <= SPARSE_BLOCK; n += n < 120 ? 7 : 1) {
            invent_values(&r, n, bits, (unsigned)random_below(&r, 33), values);
            size_t size = pack_values(values, n, bytes), plain = 1 + segment_packed_size(n, 32);
            assert_true(size <= plain);
            uint8_t *copy = mem_alloc(size); /* a byte read behind the last is found by the sanitizer */
            memcpy(copy, bytes, size);
            assert_ptr_equal(unpack_values(copy, copy + size, n, got), copy + size);
            assert_memory_equal(values, got, n * sizeof *values);
            assert_ptr_equal(skip_values(copy, copy + size, n), copy + size);
            for (size_t less = 0; less < size; less++) {
                assert_null(unpack_values(copy, copy + less, n, got));
                assert_null(skip_values(copy, copy + less, n));
            }
            free(copy);
        }
    for (uint32_t i = 0; i < SPARSE_BLOCK; i++) values[i] = i == 50 ? 1u << 31 : i % 4;
    assert_int_equal(pack_values(values, SPARSE_BLOCK, bytes), 3 + SPARSE_BLOCK * 2 / 8 + 1 + 4);
}

static void damaged_values_are_refused(void **state) {
    (void)state;
    static const uint8_t bad[][8] = {{33}, {0x80 | 1}, {0x40 | 1, 0, 1}, {0x40 | 1, 9, 1}, {0x40 | 30, 1, 3},
                                     {0x40, 1, 1, 8, 1}, {0x40, 2, 1, 3, 3, 1}, {0x40, 2, 1, 3, 2, 1}};
    uint32_t got[SPARSE_BLOCK + 8];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_null(unpack_values(bad[i], bad[i] + 8, 8, got));
    random_source r;
    random_seed(&r, 10);
    for (int i = 0; i < 200000; i++) { /* any bytes are values or refused, and nothing else is read or written */
        uint8_t bytes[40], *copy;
        uint32_t n = 1 + (uint32_t)random_below(&r, SPARSE_BLOCK);
        size_t size = random_below(&r, sizeof bytes);
        for (size_t j = 0; j < size; j++) bytes[j] = (uint8_t)(random_u64(&r) >> (random_below(&r, 2) ? 56 : 61));
        copy = mem_alloc(size + 1);
        memcpy(copy, bytes, size);
        const uint8_t *end = unpack_values(copy, copy + size, n, got);
        assert_true(!end || (end > copy && end <= copy + size));
        free(copy);
    }
}

static void assert_refused(const buffer *image, size_t size) {
    sparse_segment *s = NULL;
    base_error error = {0};
    forage_status status = sparse_segment_open((slice){image->data, size}, &s, &error);
    assert_true(status == FORAGE_E_CORRUPT || status == FORAGE_E_VERSION);
    assert_true(error.message[0] != '\0' && s == NULL);
}

/* Every byte of a small segment, and every length that it may be cut to. */
static void damage_is_noticed(void **state) {
    (void)state;
    random_source r;
    random_seed(&r, 6);
    model_document d[3];
    for (uint32_t i = 0; i < 3; i++) d[i] = model_make(&r, 3 - i, i);
    sparse_statistics st;
    model_statistics(d, 3, &st);
    buffer image = {0};
    model_image(d, 3, &st, &image);
    for (size_t i = 0; i < image.size; i++) {
        const uint8_t flips[] = {1, 2, 4, 8, 16, 32, 64, 128, 0xff, 0x0f, (uint8_t)image.data[i]};
        for (size_t j = 0; j < sizeof flips; j++) {
            if (flips[j] == 0) continue; /* the byte was a zero already */
            image.data[i] ^= (char)flips[j];
            assert_refused(&image, image.size);
            image.data[i] ^= (char)flips[j];
        }
    }
    for (size_t size = 0; size < image.size; size++) assert_refused(&image, size);
    sparse_segment_close(open_image(&image));
    segment_header *h = (segment_header *)(void *)image.data;
    h->version = SEGMENT_VERSION + 1;
    sparse_segment *s = NULL;
    assert_int_equal(sparse_segment_open((slice){image.data, image.size}, &s, NULL), FORAGE_E_VERSION);
    buffer_release(&image);
}

static void the_damaged_block_is_named(void **state) {
    (void)state;
    enum { N = 3000 };
    random_source r;
    random_seed(&r, 11);
    model_document *d = mem_zalloc(N, sizeof *d);
    for (uint32_t i = 0; i < N; i++) d[i] = model_make(&r, i, i);
    sparse_statistics st;
    model_statistics(d, N, &st);
    buffer image = {0};
    model_image(d, N, &st, &image);
    assert_true(image.size > 3 * SEGMENT_HASHED);
    image.data[2 * SEGMENT_HASHED + 5] ^= 1;
    sparse_segment *s = NULL;
    base_error error = {0};
    assert_int_equal(sparse_segment_open((slice){image.data, image.size}, &s, &error), FORAGE_E_CORRUPT);
    assert_non_null(strstr(error.message, "block 3 of"));
    buffer_release(&image);
    free(d);
}

/* Prints how fast documents become a segment; asserts nothing about it. */
static void rate(void **state) {
    (void)state;
    enum { N = 100000, WORDS = 45 };
    random_source r;
    random_seed(&r, 7);
    uint32_t *words = mem_alloc((size_t)N * WORDS * sizeof *words);
    for (size_t i = 0; i < (size_t)N * WORDS; i++) {
        double u = random_double(&r);
        words[i] = (uint32_t)(300000 * u * u * u * u);
    }
    sparse_builder *b = sparse_builder_create(&model_config);
    uint32_t *documents = mem_alloc(N * sizeof *documents);
    uint64_t *versions = mem_zalloc(N, sizeof *versions);
    int64_t start = clock_monotonic(&os_clock_system);
    for (uint32_t i = 0; i < N; i++) {
        documents[i] = sparse_builder_begin(b);
        for (uint32_t j = 0; j < WORDS; j++) {
            char room[32];
            int n = snprintf(room, sizeof room, "t%x", words[(size_t)i * WORDS + j]);
            sparse_builder_term(b, j < 6 ? MODEL_TITLE : MODEL_BODY, (slice){room, (size_t)n});
        }
    }
    int64_t built = clock_monotonic(&os_clock_system);
    sparse_statistics st;
    sparse_builder_statistics(b, &st);
    buffer image = {0}, merged = {0};
    size_t memory = sparse_builder_bytes(b);
    sparse_builder_finish(b, documents, versions, &st, &image);
    int64_t finished = clock_monotonic(&os_clock_system);
    sparse_segment *s = NULL;
    assert_ok(sparse_segment_open((slice){image.data, image.size}, &s, NULL));
    int64_t opened = clock_monotonic(&os_clock_system);
    sparse_merge(&(sparse_merge_input){s, NULL}, 1, NULL, &model_config, &st, &merged);
    int64_t end = clock_monotonic(&os_clock_system);
    printf("%d documents of %d words: built in %.0f ms, finished in %.0f ms, opened in %.1f ms, merged in %.0f ms; "
           "%.1f MiB image, %.1f MiB builder\n",
           N, WORDS, (double)(built - start) / 1e3, (double)(finished - built) / 1e3, (double)(opened - finished) / 1e3,
           (double)(end - opened) / 1e3, (double)image.size / (1 << 20), (double)memory / (1 << 20));
    sparse_segment_close(s);
    sparse_builder_destroy(b);
    buffer_release(&image);
    buffer_release(&merged);
    free(words);
    free(documents);
    free(versions);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(builder_leaves_out_replaced_documents_and_can_be_reused),
        cmocka_unit_test(walking_gives_every_term_in_order),
        cmocka_unit_test(long_and_strange_values_are_indexed),
        cmocka_unit_test(merging_equals_building_at_once),
        cmocka_unit_test(merging_in_another_order_equals_building_in_it),
        cmocka_unit_test(merging_adds_fields_that_came_later),
        cmocka_unit_test(fields_in_another_order_have_the_same_positions),
        cmocka_unit_test(tokens_behind_the_limit_are_left_out),
        cmocka_unit_test(packed_values_come_back),
        cmocka_unit_test(damaged_values_are_refused),
        cmocka_unit_test(packing_keeps_every_width),
        cmocka_unit_test(damage_is_noticed),
        cmocka_unit_test(the_damaged_block_is_named),
        cmocka_unit_test(rate),
    };
    return cmocka_run_group_tests_name("sparse_segment", tests, NULL, NULL);
}
