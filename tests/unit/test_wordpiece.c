/* WordPiece: ids as BERT's tokenizer gives them, from both kinds of vocabulary. */
#include "testing.h"

#include "encode/wordpiece.h"
#include "os/file.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char folder[64];
static arena a;
static wordpiece *w;

static void put(const char *name, const char *text) {
    assert_int_equal(os_write_file(path_join(&a, folder, name), text, strlen(text), NULL), FORAGE_OK);
}

static const char *const lines =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n"
    "##aff\n##able\nhello\nworld\n,\n!\n\xe4\xbd\xa0\n\xe5\xa5\xbd\ncafe\nHello\n";

static int set_up(void **state) {
    (void)state;
    arena_init(&a, 0);
    snprintf(folder, sizeof folder, "/tmp/forage-wordpiece-%ld", (long)getpid());
    assert_int_equal(os_make_folders(folder, NULL), FORAGE_OK);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    wordpiece_close(w);
    w = NULL;
    arena_release(&a);
    return os_remove_tree(folder, NULL);
}

static void assert_ids(const char *text, const char *second, uint32_t most, const char *expected) {
    buffer ids = {0};
    slice other = second ? slice_of(second) : (slice){0};
    wordpiece_tokens t = wordpiece_encode(w, slice_of(text), second ? &other : NULL, most, &a);
    for (uint32_t i = 0; i < t.n; i++) buffer_printf(&ids, "%s%u", i ? " " : "", t.ids[i]);
    assert_string_equal(buffer_text(&ids), expected);
    buffer_release(&ids);
}

static void words_become_pieces(void **state) {
    (void)state;
    put("vocab.txt", lines);
    assert_int_equal(wordpiece_open(folder, &w, NULL), FORAGE_OK);
    assert_int_equal(wordpiece_size(w), 16);
    assert_ids("", NULL, 10, "2 3");
    assert_ids("Hello, WORLD!", NULL, 10, "2 8 10 9 11 3");
    assert_ids("unaffable un unknown", NULL, 10, "2 5 6 7 5 1 3");
    assert_ids("Caf\xc3\xa9 cafe\xcc\x81", NULL, 10, "2 14 14 3");
    assert_ids("\xe4\xbd\xa0\xe5\xa5\xbd hello", NULL, 10, "2 12 13 8 3"); /* ideographs stand alone */
    assert_ids("hello\xc2\xa0world\t\x01hello", NULL, 10, "2 8 9 8 3");
    assert_ids("[MASK] hello [mask]", NULL, 10, "2 4 8 1 1 1 3");
    assert_ids("hello world", "un hello", 20, "2 8 9 3 5 8 3");
    assert_ids("hello hello hello hello", "world", 7, "2 8 8 8 3 9 3");
    assert_ids("hello world hello", NULL, 4, "2 8 9 3");
    char longest[102];
    memset(longest, 'x', 101);
    longest[101] = '\0';
    assert_ids(longest, NULL, 10, "2 1 3");
    assert_true(wordpiece_is_special(w, 4) && !wordpiece_is_special(w, 8) && !wordpiece_is_special(w, 99));
    assert_true(slice_is(wordpiece_token(w, 6), "##aff") && wordpiece_token(w, 99).size == 0);
}

static void settings_are_followed(void **state) {
    (void)state;
    put("vocab.txt", lines);
    put("tokenizer_config.json", "{\"do_lower_case\":false}");
    assert_int_equal(wordpiece_open(folder, &w, NULL), FORAGE_OK);
    assert_ids("Hello hello WORLD", NULL, 10, "2 15 8 1 3");
}

static void a_json_vocabulary_is_the_same(void **state) {
    (void)state;
    put("tokenizer.json", "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{"
                          "\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":3,\"hello\":4,\"##s\":5}},"
                          "\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":true,\"strip_accents\":null},"
                          "\"added_tokens\":[{\"id\":6,\"content\":\"[MASK]\",\"special\":true},{\"id\":4}]}");
    assert_int_equal(wordpiece_open(folder, &w, NULL), FORAGE_OK);
    assert_ids("Hellos [MASK] hello", NULL, 10, "2 4 5 6 4 3");
}

static void settings_go_before_the_json(void **state) {
    (void)state;
    put("tokenizer.json", "{\"model\":{\"vocab\":{\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,"
                          "\"Hello\":3,\"hello\":4,\"caf\xc3\xa9\":5,\"cafe\":6}},"
                          "\"normalizer\":{\"lowercase\":true,\"strip_accents\":true}}");
    put("tokenizer_config.json", "{\"tokenize_chinese_chars\":true}");
    assert_int_equal(wordpiece_open(folder, &w, NULL), FORAGE_OK);
    assert_ids("Hello caf\xc3\xa9", NULL, 10, "1 4 6 2");
    wordpiece_close(w);
    w = NULL;
    put("tokenizer_config.json", "{\"do_lower_case\":false,\"strip_accents\":null}");
    assert_int_equal(wordpiece_open(folder, &w, NULL), FORAGE_OK);
    assert_ids("Hello caf\xc3\xa9", NULL, 10, "1 3 5 2");
    wordpiece_close(w);
    w = NULL;
    put("tokenizer_config.json", "{\"do_lower_case\":");
    assert_int_equal(wordpiece_open(folder, &w, NULL), FORAGE_E_JSON);
}

static void of_equal_lines_the_last_counts(void **state) {
    (void)state;
    put("vocab.txt", "[UNK]\n[CLS]\n[SEP]\nhello\nhello\n");
    assert_int_equal(wordpiece_open(folder, &w, NULL), FORAGE_OK);
    assert_ids("hello", NULL, 10, "1 4 2");
    assert_true(slice_is(wordpiece_token(w, 3), "hello"));
}

static void added_tokens_are_found_as_they_stand(void **state) {
    (void)state;
    put("tokenizer.json", "{\"model\":{\"vocab\":{\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,\"a\":3,\"b\":4}},\"added_tokens\":["
                          "{\"id\":5,\"content\":\"<e>\",\"special\":true},{\"id\":6,\"content\":\"<e>x\",\"special\":true},"
                          "{\"id\":7,\"content\":\"C++\",\"normalized\":true},"
                          "{\"id\":8,\"content\":\"tin\",\"normalized\":false,\"single_word\":true}]}");
    assert_int_equal(wordpiece_open(folder, &w, NULL), FORAGE_OK);
    assert_int_equal(wordpiece_size(w), 9);
    assert_ids("a<e>b<e>x <E>", NULL, 12, "1 3 5 4 6 0 0 0 2");
    assert_ids("C++ ac++b", NULL, 12, "1 7 3 7 4 2");
    assert_ids("tin (tin) tina", NULL, 12, "1 8 0 8 0 0 2");
    assert_true(wordpiece_is_special(w, 5) && !wordpiece_is_special(w, 7));
}

static void damage_is_told(void **state) {
    (void)state;
    assert_int_equal(wordpiece_open(folder, &w, NULL), FORAGE_E_NOT_FOUND);
    put("vocab.txt", "a\nb\n");
    assert_int_equal(wordpiece_open(folder, &w, NULL), FORAGE_E_INVALID);
    put("vocab.txt", "");
    assert_int_equal(wordpiece_open(folder, &w, NULL), FORAGE_E_INVALID);
    static const char *const bad[] = {"", "{", "[]", "{\"model\":{\"type\":\"BPE\",\"vocab\":{}}}", "{\"model\":{\"vocab\":{\"a\":-1}}}",
                                      "{\"model\":{\"vocab\":{\"a\":4000000000}}}",
                                      "{\"model\":{\"vocab\":{\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":3999999}}}",
                                      "{\"model\":{\"vocab\":{\"a\":\"b\"}}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put("tokenizer.json", bad[i]);
        assert_true(wordpiece_open(folder, &w, NULL) < 0);
    }
}

#define ISOLATED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {ISOLATED(words_become_pieces), ISOLATED(settings_are_followed),
                                       ISOLATED(a_json_vocabulary_is_the_same), ISOLATED(settings_go_before_the_json),
                                       ISOLATED(of_equal_lines_the_last_counts), ISOLATED(added_tokens_are_found_as_they_stand),
                                       ISOLATED(damage_is_told)};
    return cmocka_run_group_tests_name("wordpiece", tests, NULL, NULL);
}
