/* Text analysis: golden tokens, the fast path against ICU, hostile bytes, normal forms, languages. */
#include "golden.h"

#include "base/random.h"
#include "os/file.h"
#include "text/analyze.h"

#include <pthread.h>
#include <sys/wait.h>

static text_analyzer *shared;

static int create_shared(void **state) {
    (void)state;
    shared = text_analyzer_create();
    return 0;
}

static int destroy_shared(void **state) {
    (void)state;
    text_analyzer_destroy(shared);
    return 0;
}

static text_language language_of(slice code) {
    text_language language = TEXT_ANY;
    if (!slice_is(code, "any") && !slice_is(code, "-") && text_language_from_code(code, &language) != FORAGE_OK)
        fail_msg("no such language: %.*s", SLICE_ARG(code));
    return language;
}

static void write_tokens(text_tokens found, buffer *out) {
    buffer_clear(out);
    for (size_t i = 0; i < found.count; i++) {
        const text_token *t = &found.tokens[i];
        if (i) buffer_putc(out, ' ');
        buffer_slice(out, t->folded);
        if (!slice_equal(t->folded, t->term)) {
            buffer_putc(out, '/');
            buffer_slice(out, t->term);
        }
        if (t->stopword) buffer_putc(out, '*');
    }
}

static void golden_tokens(void **state) {
    (void)state;
    golden g;
    buffer got = {0};
    size_t wrong = 0, cases = 0;
    golden_open(&g, "analysis.txt");
    for (; golden_next(&g); cases++) {
        for (int force = 0; force < 2; force++) {
            text_analyzer_force_icu(shared, force);
            write_tokens(text_analyze(shared, g.fields[1], language_of(g.fields[0]), 0), &got);
            wrong += golden_differs(&g, buffer_text(&got), g.fields[2]);
        }
    }
    text_analyzer_force_icu(shared, false);
    golden_close(&g);
    buffer_release(&got);
    assert_true(cases >= 120);
    assert_int_equal(wrong, 0);
}

/* Both paths over one text; a difference is printed and fails. */
static void assert_same_paths(text_analyzer *fast, text_analyzer *icu, slice text, text_language language) {
    text_tokens a = text_analyze(fast, text, language, 0), b = text_analyze(icu, text, language, 0);
    size_t same = 0;
    while (same < a.count && same < b.count) {
        const text_token *x = &a.tokens[same], *y = &b.tokens[same];
        if (x->start != y->start || x->end != y->end || x->stopword != y->stopword || x->position != y->position) break;
        if (!slice_equal(x->term, y->term) || !slice_equal(x->folded, y->folded)) break;
        same++;
    }
    if (same == a.count && same == b.count) return;
    size_t at = same < a.count ? a.tokens[same].start : same < b.count ? b.tokens[same].start : 0;
    size_t from = at > 40 ? at - 40 : 0, to = at + 40 < text.size ? at + 40 : text.size;
    print_message("token %zu of %zu and %zu, byte %zu of: \"%.*s\"\nbytes:", same, a.count, b.count, at,
                  (int)(to - from), text.data + from);
    for (size_t i = from; i < to; i++) print_message(" %02x", (uint8_t)text.data[i]);
    fail_msg("%s", "the fast path and ICU differ");
}

static size_t put_utf8(uint32_t c, char *out) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)((0xF00u >> size & 0xF0) | c);
    return size;
}

static uint32_t random_character(random_source *r, int kind) {
    static const char marks[] = "''..,,;:_- \t\n\"#+@&/()ab1Z9";
    static const uint32_t odd[] = {0x301,  0x2019, 0x2018,  0xAD,   0x200D, 0xB7,   0x5D0, 0x22,   0x4E2D,
                                   0x30AB, 0xE01,  0x1F44D, 0xFE0F, 0xFF0E, 0x2024, 0x66C, 0x20E3, 0xAC00};
    uint64_t dice = random_below(r, 10);
    if (dice < 4) return (uint32_t)(random_below(r, 2) ? 'a' : '0') + (uint32_t)random_below(r, 10);
    if (dice < 7) return (uint8_t)marks[random_below(r, sizeof marks - 1)];
    if (kind == 0) return (uint32_t)random_below(r, 0x80);
    if (kind == 1) return (uint32_t)(random_below(r, 4) ? random_below(r, 0x590) : 0x2010 + random_below(r, 0x40));
    if (dice < 9) return odd[random_below(r, sizeof odd / sizeof *odd)];
    return 0x80 + (uint32_t)random_below(r, 0x3000);
}

static void fast_path_is_icu_on_random_text(void **state) {
    (void)state;
    text_analyzer *icu = text_analyzer_create();
    text_analyzer_force_icu(icu, true);
    random_source r;
    random_seed(&r, 20260131);
    char text[256];
    for (int round = 0; round < 30000; round++) {
        size_t size = 0, wanted = random_below(&r, 60);
        for (size_t i = 0; i < wanted; i++) size += put_utf8(random_character(&r, round % 3), text + size);
        if (round % 7 == 0 && size) text[random_below(&r, size)] = (char)random_below(&r, 256); /* often invalid */
        assert_same_paths(shared, icu, (slice){text, size}, (text_language)(round % TEXT_LANGUAGES));
    }
    text_analyzer_destroy(icu);
}

static void fast_path_is_icu_on_real_text(void **state) {
    (void)state;
    static const char *const files[] = {"beir/scifact/claims_train.csv", "README.md", "lastfm-2k/artists.dat",
                                        "goodbooks-10k/books.csv"};
    bool any = false;
    text_analyzer *icu = text_analyzer_create();
    text_analyzer_force_icu(icu, true);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *path = testing_data(files[i]);
        if (!path) continue;
        buffer text = {0};
        assert_ok(os_read_file(path, 0, &text, NULL));
        size_t size = text.size < 400000 ? text.size : 400000;
        assert_same_paths(shared, icu, (slice){text.data, size}, TEXT_EN);
        buffer_release(&text);
        any = true;
    }
    text_analyzer_destroy(icu);
    if (!any) skip();
}

static void tokens_say_where_they_are(void **state) {
    (void)state;
    const char *text = "The  caf\xC3\xA9's 1,000 \xE4\xB8\xAD\xE6\x96\x87 C++";
    text_tokens t = text_analyze(shared, slice_of(text), TEXT_EN, 0);
    assert_int_equal(t.count, 5);
    const struct { uint32_t start, end; } expected[] = {{0, 3}, {5, 12}, {13, 18}, {19, 25}, {26, 29}};
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(t.tokens[i].start, expected[i].start);
        assert_int_equal(t.tokens[i].end, expected[i].end);
        assert_int_equal(t.tokens[i].position, i); /* stopwords count */
    }
    assert_true(slice_is(t.tokens[1].term, "cafe"));
    assert_true(t.tokens[0].stopword);
}

static void limit_gives_the_first_tokens(void **state) {
    (void)state;
    slice text = slice_of("one two three \xE4\xB8\xAD\xE6\x96\x87\xE5\x88\x86\xE8\xAF\x8D four five");
    for (size_t limit = 1; limit <= 9; limit++) {
        text_tokens t = text_analyze(shared, text, TEXT_EN, limit);
        assert_int_equal(t.count, limit < 7 ? limit : 7);
        assert_true(slice_is(t.tokens[0].term, "one"));
    }
    assert_int_equal(text_analyze(shared, SLICE(""), TEXT_EN, 0).count, 0);
    assert_int_equal(text_analyze(shared, (slice){NULL, 0}, TEXT_EN, 0).count, 0);
}

static void queries_keep_what_they_are_made_of(void **state) {
    (void)state;
    static const struct {
        const char *query, *kept;
    } cases[] = {
        {"the hunger games", "hunger games"},
        {"The Who", "the who"},
        {"to be or not to be", "to be or not to be"},
        {"it", "it"},
        {"The The", "the the"},
        {"what is machine learning", "machine learning"},
        {"", ""},
        {"lord of the rings", "lord rings"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text_tokens t = text_analyze(shared, slice_of(cases[i].query), TEXT_EN, 0);
        text_token kept[16];
        size_t n = text_query_tokens(t, kept);
        buffer got = {0};
        for (size_t k = 0; k < n; k++) buffer_printf(&got, "%s%.*s", k ? " " : "", SLICE_ARG(kept[k].folded));
        assert_string_equal(buffer_text(&got), cases[i].kept);
        buffer_release(&got);
    }
}

static void accents_do_not_part_stems(void **state) {
    (void)state;
    static const struct {
        text_language language;
        const char *with, *without;
    } cases[] = {
        {TEXT_ES, "información", "informacion"},
        {TEXT_PT, "informações", "informacoes"},
        {TEXT_FR, "aimée", "aimee"},
        {TEXT_FR, "élèves", "eleves"},
        {TEXT_IT, "città", "citta"},
        {TEXT_DE, "Häuser", "hauser"},
        {TEXT_RU, "ёлками", "елками"},
        {TEXT_EL, "άνθρωποι", "ανθρωποι"},
        {TEXT_CA, "informació", "informacio"},
        {TEXT_RO, "națională", "nationala"},
        {TEXT_NO, "bøkene", "bokene"},
        {TEXT_FI, "kylässä", "kylassa"},
        {TEXT_EN, "café", "cafe"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char first[64];
        text_tokens t = text_analyze(shared, slice_of(cases[i].with), cases[i].language, 0);
        snprintf(first, sizeof first, "%.*s", SLICE_ARG(t.tokens[0].term));
        t = text_analyze(shared, slice_of(cases[i].without), cases[i].language, 0);
        if (!slice_is(t.tokens[0].term, first)) fail_msg("%s and %s part", cases[i].with, cases[i].without);
    }
}

static void cache_never_changes_tokens(void **state) {
    (void)state;
    buffer text = {0}, warm = {0}, cold = {0};
    random_source r;
    random_seed(&r, 7);
    for (int i = 0; i < 60000; i++) { /* more distinct words than the cache holds, long ones among them */
        size_t letters = 1 + random_below(&r, i % 100 ? 6 : 70);
        for (size_t k = 0; k < letters; k++) {
            char bytes[4];
            uint32_t c = random_below(&r, 4) ? 'a' + (uint32_t)random_below(&r, 6)
                                             : 0xE0 + (uint32_t)random_below(&r, 6);
            buffer_append(&text, bytes, put_utf8(c, bytes));
        }
        buffer_putc(&text, ' ');
    }
    text_analyzer *a = text_analyzer_create();
    write_tokens(text_analyze(a, (slice){text.data, text.size}, TEXT_FR, 0), &cold);
    write_tokens(text_analyze(a, (slice){text.data, text.size}, TEXT_FR, 0), &warm);
    assert_int_equal(cold.size, warm.size);
    assert_memory_equal(cold.data, warm.data, cold.size);
    for (size_t from = 0; from + 400 < text.size; from += 40000) { /* and a fresh analyzer agrees */
        text_analyzer *fresh = text_analyzer_create();
        write_tokens(text_analyze(fresh, (slice){text.data + from, 400}, TEXT_FR, 0), &cold);
        write_tokens(text_analyze(a, (slice){text.data + from, 400}, TEXT_FR, 0), &warm);
        assert_int_equal(cold.size, warm.size);
        assert_memory_equal(cold.data, warm.data, cold.size);
        text_analyzer_destroy(fresh);
    }
    text_analyzer_destroy(a);
    buffer_release(&text);
    buffer_release(&warm);
    buffer_release(&cold);
}

static void fill(char *to, size_t size, const char *with, size_t width) {
    for (size_t i = 0; i + width <= size; i += width) memcpy(to + i, with, width);
}

static void hostile_text_is_survived_in_linear_time(void **state) {
    (void)state;
    enum { SIZE = 1 << 20 };
    static const struct {
        const char *unit;
        size_t width;
    } units[] = {
        {"a", 1},
        {"1", 1},
        {"a.", 2},
        {"_", 1},
        {"a'", 2},
        {"\xCC\x81", 2},
        {"\xCC\x81\xCC\xA3", 4},
        {"a\xCC\x81", 3},
        {"\xE4\xB8\xAD", 3},
        {"\xE0\xB8\x81", 3},
        {"\xFF", 1},
        {"\x80", 1},
        {"\0", 1},
        {"\xE2\x80\xAE", 3},
        {"\xF0\x9F\x91\x8D", 4},
        {"\xE2\x80\x8D", 3},
        {"a \xCC\x81", 4},
        {"\xEF\xB7\xBA", 3},
        {"C#", 2},
        {"\xE0\xA4\x95\xE0\xA5\x8D", 6},
        {"I'", 2},
        {"\xEA\xB0\x80", 3},
        {"\xE1\x84\x80", 3},
    };
    char *text = malloc(SIZE);
    buffer key = {0};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        memset(text, ' ', SIZE);
        fill(text, SIZE - 16, units[i].unit, units[i].width);
        text_tokens t = text_analyze(shared, (slice){text, SIZE}, TEXT_EN, 0);
        for (size_t k = 0; k < t.count; k++) {
            assert_in_range(t.tokens[k].term.size, 1, 64);
            assert_in_range(t.tokens[k].folded.size, 1, 64);
            assert_true(text_valid_utf8(t.tokens[k].folded, NULL));
            assert_true(text_valid_utf8(t.tokens[k].term, NULL));
        }
        text_normalize_query(shared, (slice){text, SIZE}, &key);
        text_normalize_keyword(shared, (slice){text, SIZE}, &key);
        assert_true(text_valid_utf8((slice){key.data, key.size}, NULL));
        double confidence;
        text_detect_language((slice){text, SIZE}, TEXT_EN, &confidence);
        assert_true(confidence >= 0 && confidence <= 1);
    }
    buffer_release(&key);
    free(text);
}

static void long_words_are_cut_between_characters(void **state) {
    (void)state;
    char text[512];
    for (size_t lead = 0; lead < 4; lead++) { /* é at every offset to the cut */
        memset(text, 'x', sizeof text);
        fill(text + lead, sizeof text - lead - 1, "\xC3\xA9", 2);
        text_tokens t = text_analyze(shared, (slice){text, sizeof text - 2 + lead % 2}, TEXT_ANY, 0);
        assert_int_equal(t.count, 1);
        assert_true(t.tokens[0].folded.size <= 64);
        for (size_t i = 0; i < t.tokens[0].folded.size; i++)
            assert_int_equal(t.tokens[0].folded.data[i], i < lead ? 'x' : 'e');
    }
}

static void queries_normalise_to_one_key(void **state) {
    (void)state;
    static const struct {
        const char *query, *key;
    } cases[] = {
        {"  Café-Racers! ", "cafe racers"},
        {"cafe   RACERS", "cafe racers"},
        {"the hunger games", "the hunger games"},
        {"Don't Look Up", "dont look up"},
        {"!!!", ""},
        {"", ""},
        {"C++ vs. C#", "c++ vs c#"},
        {"ＡＢＣ　１２", "abc 12"},
        {"ÉCOLE\tdes\nBeaux‑Arts", "ecole des beaux arts"},
    };
    buffer key = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text_normalize_query(shared, slice_of(cases[i].query), &key);
        assert_string_equal(buffer_text(&key), cases[i].key);
    }
    buffer_release(&key);
}

static void keywords_normalise_for_exact_matching(void **state) {
    (void)state;
    static const struct {
        const char *value, *key;
    } cases[] = {
        {"  Science Fiction ", "science fiction"},
        {"Café", "café"},
        {"CAFE\xCC\x81", "café"},
        {"\xC2\xA0ＡＢＣ\xE3\x80\x80", "abc"},
        {"Straße", "strasse"},
        {"a  b", "a  b"},
        {"B07-XJ8/C8F5", "b07-xj8/c8f5"},
        {"", ""},
        {" \t\n", ""},
        {"ÅÄÖ", "åäö"},
        {"x\xFFy", "x\xEF\xBF\xBDy"},
    };
    buffer key = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text_normalize_keyword(shared, slice_of(cases[i].value), &key);
        assert_string_equal(buffer_text(&key), cases[i].key);
    }
    buffer_release(&key);
}

static void utf8_is_checked_strictly(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        long bad;
    } cases[] = {
        {"", 0, -1},
        {"plain text, long enough", 23, -1},
        {"\xEF\xBF\xBD", 3, -1},
        {"a\xC3\xA9", 3, -1},
        {"12345678\xFF", 9, 8},
        {"a\xC3", 2, 1},
        {"\xC0\xAF", 2, 0},
        {"\xE0\x80\xAF", 3, 0},
        {"\xED\xA0\x80", 3, 0},
        {"\xF4\x90\x80\x80", 4, 0},
        {"\xF4\x8F\xBF\xBF", 4, -1},
        {"\x80", 1, 0},
        {"a\0b", 3, -1},
        {"\xF0\x9F\x91", 3, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t bad = 0;
        bool valid = text_valid_utf8((slice){cases[i].bytes, cases[i].size}, &bad);
        assert_int_equal(valid, cases[i].bad < 0);
        if (!valid) assert_int_equal(bad, cases[i].bad);
    }
}

static void language_codes(void **state) {
    (void)state;
    text_language language = TEXT_KO;
    for (unsigned l = 1; l < TEXT_LANGUAGES; l++) {
        assert_int_equal(strlen(text_language_code((text_language)l)), 2);
        assert_ok(text_language_from_code(slice_of(text_language_code((text_language)l)), &language));
        assert_int_equal(language, l);
    }
    static const struct {
        const char *code;
        text_language language;
    } others[] = {
        {"en-GB", TEXT_EN}, {"eng", TEXT_EN}, {"PT_br", TEXT_PT},
        {"ger", TEXT_DE},   {"nb", TEXT_NO},  {"zh-Hant-TW", TEXT_ZH},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_ok(text_language_from_code(slice_of(others[i].code), &language));
        assert_int_equal(language, others[i].language);
    }
    static const char *const wrong[] = {"", "e", "english", "xx", "-en", "pl", "no nor"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        language = TEXT_KO;
        assert_int_equal(text_language_from_code(slice_of(wrong[i]), &language), FORAGE_E_NOT_FOUND);
        assert_int_equal(language, TEXT_KO);
    }
    assert_string_equal(text_language_code(TEXT_ANY), "");
}

static void languages_are_detected(void **state) {
    (void)state;
    golden g;
    size_t wrong = 0;
    golden_open(&g, "languages.txt");
    while (golden_next(&g)) {
        double confidence = -1;
        text_language found = text_detect_language(g.fields[2], language_of(g.fields[0]), &confidence);
        assert_true(confidence >= 0 && confidence <= 1);
        wrong += golden_differs(&g, found ? text_language_code(found) : "any", g.fields[1]);
    }
    golden_close(&g);
    assert_int_equal(wrong, 0);
    double sure, unsure;
    text_detect_language(slice_of("the cat and the dog that are in the house with them"), TEXT_EN, &sure);
    text_detect_language(slice_of("hunger games"), TEXT_EN, &unsure);
    assert_true(sure > .7);
    assert_true(unsure < .1);
}

/* Runs first, in a process of its own: the data files are looked for once. */
static void detection_needs_no_data_files(void **state) {
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("XDG_DATA_DIRS", "/nonexistent", 1);
        slice german = slice_of(
            "Der Hund und die Katze sind nicht in dem Haus, sondern auf der Straße vor dem Garten.");
        slice polish = slice_of("Litwo, ojczyzno moja, jesteś jak zdrowie; ile cię trzeba cenić, ten tylko się dowie.");
        bool good = text_detect_language(german, TEXT_EN, NULL) == TEXT_DE &&
                    text_detect_language(polish, TEXT_EN, NULL) == TEXT_EN;
        _exit(good ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void *analyze_and_detect(void *argument) {
    text_analyzer *a = text_analyzer_create();
    buffer *out = argument;
    slice text = slice_of(
        "Les élèves de l'école et le professeur, qui parle. Der Hund 中文 node.js litwo ojczyzno moja tylko");
    for (int i = 0; i < 50; i++) {
        text_detect_language(text, TEXT_EN, NULL);
        write_tokens(text_analyze(a, text, TEXT_FR, 0), out);
    }
    text_analyzer_destroy(a);
    return NULL;
}

static void threads_do_not_disturb_each_other(void **state) {
    (void)state;
    pthread_t threads[4];
    buffer out[4] = {{0}};
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, analyze_and_detect, &out[i]), 0);
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(buffer_text(&out[i]), buffer_text(&out[0]));
        if (i) buffer_release(&out[i]);
    }
    buffer_release(&out[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(detection_needs_no_data_files),
        cmocka_unit_test(golden_tokens),
        cmocka_unit_test(fast_path_is_icu_on_random_text),
        cmocka_unit_test(fast_path_is_icu_on_real_text),
        cmocka_unit_test(tokens_say_where_they_are),
        cmocka_unit_test(limit_gives_the_first_tokens),
        cmocka_unit_test(queries_keep_what_they_are_made_of),
        cmocka_unit_test(accents_do_not_part_stems),
        cmocka_unit_test(cache_never_changes_tokens),
        cmocka_unit_test(hostile_text_is_survived_in_linear_time),
        cmocka_unit_test(long_words_are_cut_between_characters),
        cmocka_unit_test(queries_normalise_to_one_key),
        cmocka_unit_test(keywords_normalise_for_exact_matching),
        cmocka_unit_test(utf8_is_checked_strictly),
        cmocka_unit_test(language_codes),
        cmocka_unit_test(languages_are_detected),
        cmocka_unit_test(threads_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests_name("text", tests, create_shared, destroy_shared);
}
