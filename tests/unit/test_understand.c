/* Query understanding: golden readings, and what holds for any query. */
#include "golden.h"

#include "base/random.h"
#include "understand/understand.h"

#include <math.h>

static text_analyzer *analyzer;
static arena memory;

static int create_shared(void **state) {
    (void)state;
    analyzer = text_analyzer_create();
    arena_init(&memory, 0);
    return 0;
}

static int destroy_shared(void **state) {
    (void)state;
    text_analyzer_destroy(analyzer);
    arena_release(&memory);
    return 0;
}

static text_language language_of(slice code) {
    text_language language = TEXT_ANY;
    text_language_from_code(code, &language);
    return language;
}

/* "book:10,tv show:0" */
static size_t parse_types(slice text, understand_type *types, size_t room) {
    size_t n = 0;
    for (size_t at = 0; at < text.size && n < room; n++) {
        size_t end = at, colon = at;
        while (end < text.size && text.data[end] != ',') end++;
        while (colon < end && text.data[colon] != ':') colon++;
        types[n].name = (slice){text.data + at, colon - at};
        types[n].documents = colon < end ? strtoull(text.data + colon + 1, NULL, 10) : 0;
        at = end + 1;
    }
    return n;
}

static void write_words(const understand_query *q, buffer *out) {
    buffer_clear(out);
    for (size_t i = 0; i < q->n_tokens; i++) {
        const understand_token *t = &q->tokens[i];
        buffer_printf(out, t->used ? "%s%.*s" : "%s(%.*s)", i ? " " : "", SLICE_ARG(t->term));
    }
}

static void write_readings(const understand_query *q, buffer *out) {
    buffer_clear(out);
    for (size_t i = 0; i < q->n_interpretations; i++) {
        const understand_interpretation *r = &q->interpretations[i];
        if (i) buffer_puts(out, ", ");
        if (r->kind == UNDERSTAND_FREE_TEXT) buffer_puts(out, "free");
        if (r->kind == UNDERSTAND_TYPE_WORD) buffer_printf(out, "%.*s@%zu", SLICE_ARG(r->type), r->token);
        if (r->kind == UNDERSTAND_YEAR) buffer_printf(out, "%d@%zu", r->year, r->token);
        buffer_printf(out, " %.2f", r->likelihood);
    }
}

static void write_flags(const understand_query *q, buffer *out) {
    buffer_clear(out);
    if (q->all_stopwords) buffer_puts(out, "stopwords ");
    if (q->has_digits) buffer_puts(out, "digits ");
    if (q->looks_like_identifier) buffer_puts(out, "identifier ");
    if (q->truncated) buffer_puts(out, "truncated ");
    if (!out->size) buffer_puts(out, "-");
}

static void golden_readings(void **state) {
    (void)state;
    golden g;
    buffer got = {0};
    size_t wrong = 0, cases = 0;
    golden_open(&g, "understanding.txt");
    for (; golden_next(&g); cases++) {
        understand_type types[8];
        understand_query q;
        slice languages = g.fields[0];
        understand_options options = {.types = types, .n_types = parse_types(g.fields[1], types, 8)};
        options.default_language = language_of((slice){languages.data, 2});
        if (languages.size == 5) options.context_language = language_of((slice){languages.data + 3, 2});
        arena_reset(&memory);
        understand_analyze(analyzer, g.fields[2], &options, &memory, &q);
        size_t before = wrong;
        wrong += golden_differs(&g, q.language ? text_language_code(q.language) : "any", g.fields[3]);
        write_words(&q, &got);
        wrong += golden_differs(&g, buffer_text(&got), g.fields[4]);
        write_readings(&q, &got);
        wrong += golden_differs(&g, buffer_text(&got), g.fields[5]);
        write_flags(&q, &got);
        wrong += golden_differs(&g, buffer_text(&got), g.fields[6]);
        if (wrong > before) print_message("  query    %.*s\n", SLICE_ARG(g.fields[2]));
    }
    golden_close(&g);
    buffer_release(&got);
    assert_true(cases >= 40);
    assert_int_equal(wrong, 0);
}

static void assert_sound(const understand_query *q) {
    double sum = 0;
    assert_in_range(q->n_interpretations, 1, UNDERSTAND_MAX_INTERPRETATIONS);
    assert_int_equal(q->interpretations[0].kind, UNDERSTAND_FREE_TEXT);
    for (size_t i = 0; i < q->n_interpretations; i++) {
        const understand_interpretation *r = &q->interpretations[i];
        assert_true(r->likelihood > 0 && r->likelihood <= 1);
        assert_true(r->token + r->n_tokens <= q->n_tokens);
        if (i > 1) assert_true(r->likelihood <= q->interpretations[i - 1].likelihood);
        sum += r->likelihood;
    }
    assert_true(fabs(sum - 1) < 1e-9);
    assert_true(q->interpretations[0].likelihood >= .2 - 1e-9);
    assert_true(q->n_tokens <= UNDERSTAND_MAX_TOKENS);
    size_t used = 0;
    for (size_t i = 0; i < q->n_tokens; i++) {
        used += q->tokens[i].used;
        assert_true(q->tokens[i].start < q->tokens[i].end && q->tokens[i].end <= q->text.size);
    }
    assert_true(used > 0 || q->n_tokens == 0);
    assert_true(q->language_confidence >= 0 && q->language_confidence <= 1);
}

static void every_query_has_sound_readings(void **state) {
    (void)state;
    static const char *const parts[] = {"the",  "books",    "book",   "1984", "(2001)", "film", "tv shows",
                                        "\xFF", "中文",     "'s",     "1999", "of",     "2020", "B07-XJ8",
                                        ".",    "\xCC\x81", "author", "war",  "",       "\x01"};
    understand_type types[20];
    for (size_t i = 0; i < 20; i++) types[i] = (understand_type){slice_of(parts[i]), i % 3};
    random_source r;
    random_seed(&r, 11);
    for (int round = 0; round < 3000; round++) {
        char text[400] = "";
        size_t words = random_below(&r, 30);
        for (size_t i = 0; i < words; i++) {
            strcat(text, parts[random_below(&r, 20)]);
            if (random_below(&r, 8)) strcat(text, " ");
        }
        understand_options options = {(text_language)random_below(&r, TEXT_LANGUAGES), TEXT_ANY, types,
                                      random_below(&r, 21)};
        understand_query q;
        arena_reset(&memory);
        understand_analyze(analyzer, slice_of(text), &options, &memory, &q);
        assert_sound(&q);
    }
}

static void long_queries_are_cut_and_say_so(void **state) {
    (void)state;
    enum { SIZE = 100 * 1024 };
    char *text = malloc(SIZE);
    understand_options options = {.default_language = TEXT_EN};
    understand_query q;
    for (size_t i = 0; i < SIZE; i++) text[i] = "word "[i % 5];
    arena_reset(&memory);
    understand_analyze(analyzer, (slice){text, SIZE}, &options, &memory, &q);
    assert_sound(&q);
    assert_true(q.truncated);
    assert_int_equal(q.n_tokens, UNDERSTAND_MAX_TOKENS);
    assert_int_equal(q.text.size, 5 * UNDERSTAND_MAX_TOKENS - 1);
    assert_int_equal(q.normalized.size, q.text.size);

    understand_analyze(analyzer, (slice){text, 5 * UNDERSTAND_MAX_TOKENS}, &options, &memory, &q);
    assert_false(q.truncated);
    assert_int_equal(q.n_tokens, UNDERSTAND_MAX_TOKENS);
    free(text);
}

static void the_query_outlives_its_text(void **state) {
    (void)state;
    char text[] = "Alien (1979)";
    understand_options options = {.default_language = TEXT_EN};
    understand_query q;
    arena_reset(&memory);
    understand_analyze(analyzer, slice_of(text), &options, &memory, &q);
    memset(text, 'x', sizeof text - 1);
    text_analyze(analyzer, SLICE("something else entirely"), TEXT_EN, 0);
    assert_true(slice_is(q.text, "Alien (1979)"));
    assert_true(slice_is(q.normalized, "alien 1979"));
    assert_true(slice_is(q.tokens[0].term, "alien"));
    assert_true(slice_is(q.tokens[1].folded, "1979"));
}

static void the_context_goes_before_the_collection(void **state) {
    (void)state;
    understand_options options = {.default_language = TEXT_EN, .context_language = TEXT_DE};
    understand_query q;
    arena_reset(&memory);
    understand_analyze(analyzer, SLICE("hunger games"), &options, &memory, &q);
    assert_int_equal(q.language, TEXT_DE);
    assert_true(q.language_confidence < .1);
    understand_analyze(analyzer, SLICE("the lord of the rings"), &options, &memory, &q);
    assert_int_equal(q.language, TEXT_EN); /* but not before what the query itself says */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_readings),
        cmocka_unit_test(every_query_has_sound_readings),
        cmocka_unit_test(long_queries_are_cut_and_say_so),
        cmocka_unit_test(the_query_outlives_its_text),
        cmocka_unit_test(the_context_goes_before_the_collection),
    };
    return cmocka_run_group_tests_name("understand", tests, create_shared, destroy_shared);
}
