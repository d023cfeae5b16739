/* JSON: what is refused, what is kept exactly, messages, and writing that reads back. */
#include "testing.h"

#include "base/random.h"
#include "format/json.h"

#include <locale.h>
#include <math.h>

static arena memory;

static int set_up(void **state) {
    (void)state;
    arena_init(&memory, 0);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    arena_release(&memory);
    return 0;
}

static json_value *must_read(const char *text) {
    json_value *v = NULL;
    base_error error = {0};
    if (json_read(&memory, slice_of(text), &v, &error)) fail_msg("%s: %s", text, error.message);
    return v;
}

static void assert_refused_slice(slice text, const char *part) {
    json_value *v = NULL;
    base_error error = {0};
    if (json_read(&memory, text, &v, &error) != FORAGE_E_JSON) fail_msg("accepted: %.*s", SLICE_ARG(text));
    assert_null(v);
    assert_null(strchr(error.message, '\n'));
    assert_int_equal(strncmp(error.message, "byte ", 5), 0);
    if (!strstr(error.message, part)) fail_msg("%.*s: \"%s\" lacks \"%s\"", SLICE_ARG(text), error.message, part);
}

static void assert_refused(const char *text, const char *part) { assert_refused_slice(slice_of(text), part); }

static const char *written(const json_value *v) {
    buffer b = {0};
    json_writer w = json_writer_of(&b);
    json_value_write(&w, v);
    const char *text = arena_strndup(&memory, b.data, b.size);
    buffer_release(&b);
    return text;
}

static void reads_every_kind(void **state) {
    (void)state;
    const char *text = " {\"a\":null,\"b\":true,\"c\":[1,-2.5e3,\"x\"],\"d\":{},\"\":\"e\"}\r\n\t";
    json_value *v = must_read(text);
    assert_int_equal(v->type, JSON_OBJECT);
    assert_int_equal(v->count, 5);
    assert_int_equal(json_get(v, "a")->type, JSON_NULL);
    assert_true(json_get(v, "b")->boolean);
    const json_value *c = json_get(v, "c");
    assert_int_equal(c->count, 3);
    assert_true(c->first->integral && c->first->integer == 1);
    assert_true(!c->first->next->integral && c->first->next->number == -2500);
    assert_true(slice_is(c->first->next->text, "-2.5e3"));
    assert_true(c->first->key.size == 0);
    assert_null(c->first->next->next->next);
    assert_int_equal(json_get(v, "d")->count, 0);
    assert_true(slice_is(json_get(v, "")->text, "e"));
    assert_null(json_get(v, "missing"));
    assert_null(json_get(c, "a"));
    assert_null(json_get(NULL, "a"));
    assert_string_equal(written(v), "{\"a\":null,\"b\":true,\"c\":[1,-2.5e3,\"x\"],\"d\":{},\"\":\"e\"}");
    assert_true(slice_is(must_read("\xEF\xBB\xBF \"x\"")->text, "x"));
    assert_true(must_read("7")->integer == 7);
    assert_true(must_read(" false ")->type == JSON_BOOL);
}

static void the_text_need_not_outlive_the_value(void **state) {
    (void)state;
    char text[] = "{\"key\":[\"value\",12.5]}";
    json_value *v = must_read(text);
    memset(text, 'x', sizeof text - 1);
    assert_string_equal(written(v), "{\"key\":[\"value\",12.5]}");
}

static void refuses_bad_syntax(void **state) {
    (void)state;
    assert_refused("", "no value");
    assert_refused(" \n ", "no value");
    assert_refused("\xEF\xBB\xBF", "no value");
    assert_refused("[1", "ends too early");
    assert_refused("{\"a\"", "ends too early");
    assert_refused("\"abc", "ends inside a string");
    assert_refused("1 2", "trailing");
    assert_refused("{} x", "trailing");
    const char *const wrong[] = {"[1,]",   "{\"a\":1,}", "{a:1}", "{'a':1}", "[1 2]",  "01",    "1.",     ".5",
                                 "-",      "+1",         "1e",    "0x10",    "NaN",    "-Infinity", "tru", "TRUE",
                                 "\"\\x\"", "\"\\u12\"", "\"a\nb\"", "\"\t\"", "/**/1", "[1]]", "}",     "{1:2}",
                                 "\xEF\xBB\xBF\xEF\xBB\xBF[1]"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) assert_refused(wrong[i], "");
    assert_refused("\f1", "control character");
    assert_refused("[1,\v2]", "byte 3");
    assert_refused_slice((slice){0}, "no value");
    assert_refused_slice((slice){"1\0", 2}, "");
    assert_refused_slice((slice){"\"\0\"", 3}, "");
}

static void refuses_what_would_be_misread(void **state) {
    (void)state;
    assert_refused("{\"a\":1,\"b\":2,\"a\":3}", "the key \"a\" is twice");
    assert_refused("{\"a\":1,\"\\u0061\":3}", "the key \"a\" is twice");
    assert_refused("{\"x\":[{\"q\":1,\"q\":1}]}", "twice");
    must_read("[{\"a\":1},{\"a\":1},{\"b\":{\"a\":1},\"a\":2}]");
    assert_refused("{\"\\u0000\":1}", "NUL");
    assert_true(must_read("\"a\\u0000b\"")->text.size == 3);
    assert_refused("1e400", "double");
    assert_refused("[-1e309]", "double");
    assert_refused("\"\\ud800\"", "surrogate");
    assert_refused("\"\\udc00\"", "surrogate");
    assert_refused("\"\\ud83d\\u0041\"", "surrogate");
    assert_refused("\"\\ud83dx\"", "surrogate");
    assert_refused("{\"\\ud800\":1}", "surrogate");
    assert_true(slice_is(must_read("\"\\ud83d\\ude00\\\\ud800\"")->text, "😀\\ud800"));
    assert_true(slice_is(must_read("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"")->text, "\"\\/\b\f\n\r\té"));
}

static void refuses_invalid_utf8(void **state) {
    (void)state;
    const char *const wrong[] = {"\"\x80\"",         "\"\xC0\xAF\"",     "\"\xC3\"",         "\"\xE0\x80\x80\"",
                                 "\"\xED\xA0\x80\"", "\"\xF5\x80\x80\x80\"", "\"\xF0\x80\x80\x80\"",
                                 "\"\xF4\x90\x80\x80\"", "\"abcdefgh\xFF\"", "{\"\xFE\":1}",     "\"\xE2\x82\""};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) assert_refused(wrong[i], "UTF-8");
    assert_refused("\"1234567\xFF\"", "byte 8:");
    assert_true(slice_is(must_read("\"é€😀\xF4\x8F\xBF\xBF\"")->text, "é€😀\xF4\x8F\xBF\xBF"));
}

static void numbers_keep_their_value(void **state) {
    (void)state;
    json_value *v = must_read("[9223372036854775807,-9223372036854775808,9223372036854775808,-0,0.1,1e-400,1.0,"
                              "123456789012345678901234567890,4.9e-324,1.7976931348623157e308,9007199254740993,"
                              "-9223372036854775809,0.30000000000000004]");
    const json_value *n = v->first;
    assert_true(n->integral && n->integer == INT64_MAX);
    n = n->next;
    assert_true(n->integral && n->integer == INT64_MIN);
    n = n->next;
    assert_true(!n->integral && n->number == 0x1p63);
    n = n->next;
    assert_true(n->integral && n->integer == 0 && signbit(n->number));
    n = n->next;
    assert_true(n->number == 0.1);
    n = n->next;
    assert_true(n->number == 0);
    n = n->next;
    assert_true(!n->integral && n->number == 1);
    n = n->next;
    assert_true(!n->integral && n->number == 123456789012345678901234567890.0 && n->text.size == 30);
    n = n->next;
    assert_true(n->number == 4.9e-324);
    n = n->next;
    assert_true(n->number == 1.7976931348623157e308);
    n = n->next;
    assert_true(n->integral && n->integer == 9007199254740993);
    n = n->next;
    assert_true(!n->integral);
    n = n->next;
    assert_true(n->number == 0.30000000000000004);
}

static void depth_is_limited(void **state) {
    (void)state;
    char text[200];
    for (int depth = 64; depth <= 65; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = '\0';
        if (depth == 64) assert_string_equal(written(must_read(text)), text);
        else assert_refused(text, "nested deeper than 64");
    }
    size_t size = 1 << 20;
    char *deep = arena_alloc(&memory, size);
    memset(deep, '[', size);
    assert_refused_slice((slice){deep, size}, "nested");
}

static void many_keys_are_not_slow(void **state) {
    (void)state;
    buffer b = {0};
    enum { KEYS = 200000 };
    buffer_putc(&b, '{');
    for (int i = 0; i < KEYS; i++) buffer_printf(&b, "%s\"key%d\":%d", i ? "," : "", i, i);
    buffer_putc(&b, '}');
    json_value *v = NULL;
    assert_ok(json_read(&memory, (slice){b.data, b.size}, &v, NULL));
    assert_int_equal(v->count, KEYS);
    assert_true(json_get(v, "key199999")->integer == 199999);
    b.size--;
    buffer_puts(&b, ",\"key77777\":1}");
    assert_refused_slice((slice){b.data, b.size}, "\"key77777\" is twice");
    buffer_clear(&b); /* around the size at which keys are looked up differently */
    for (int count = 8; count < 80; count++)
        for (int again = 0; again < count; again += 7) {
            buffer_clear(&b);
            buffer_putc(&b, '{');
            for (int i = 0; i < count; i++) buffer_printf(&b, "\"%d\":0,", i);
            buffer_printf(&b, "\"%d\":0}", again);
            assert_refused_slice((slice){b.data, b.size}, "twice");
        }
    buffer_release(&b);
}

static void members_have_types_and_ranges(void **state) {
    (void)state;
    json_value *v = must_read("{\"limit\":\"ten\",\"n\":7,\"f\":10.0,\"g\":2.5,\"s\":\"text\",\"b\":true,\"z\":null,"
                              "\"a\":[1],"
                              "\"big\":1e300,\"long\":\"0123456789012345678901234567890123456789é and more\"}");
    base_error error = {0};
    int64_t n = 42;
    assert_int_equal(json_member_integer(v, "limit", 0, 1000, &n, &error), FORAGE_E_INVALID);
    assert_string_equal(error.message, "\"limit\": expected a whole number from 0 to 1000, got \"ten\"");
    assert_ok(json_member_integer(v, "z", 0, 10, &n, &error));
    assert_ok(json_member_integer(v, "none", 0, 10, &n, &error));
    assert_true(n == 42);
    assert_ok(json_member_integer(v, "n", 0, 7, &n, &error));
    assert_true(n == 7);
    assert_ok(json_member_integer(v, "f", 0, 10, &n, &error));
    assert_true(n == 10);
    assert_int_equal(json_member_integer(v, "n", 0, 6, &n, &error), FORAGE_E_INVALID);
    assert_int_equal(json_member_integer(v, "g", 0, 6, &n, &error), FORAGE_E_INVALID);
    assert_string_equal(error.message, "\"g\": expected a whole number from 0 to 6, got 2.5");
    assert_int_equal(json_member_integer(v, "big", INT64_MIN, INT64_MAX, &n, &error), FORAGE_E_INVALID);
    assert_string_equal(error.message, "\"big\": expected a whole number, got 1e300");
    assert_int_equal(json_member_integer(v, "s", 1, INT64_MAX, &n, &error), FORAGE_E_INVALID);
    assert_string_equal(error.message, "\"s\": expected a whole number of at least 1, got \"text\"");
    double d = 0;
    assert_ok(json_member_number(v, "g", 0, 3, &d, &error));
    assert_true(d == 2.5);
    assert_int_equal(json_member_number(v, "g", 0, 1, &d, &error), FORAGE_E_INVALID);
    assert_string_equal(error.message, "\"g\": expected a number from 0 to 1, got 2.5");
    assert_int_equal(json_member_number(v, "a", -INFINITY, INFINITY, &d, &error), FORAGE_E_INVALID);
    assert_string_equal(error.message, "\"a\": expected a number, got an array");
    slice s = {0};
    assert_ok(json_member_string(v, "s", &s, &error));
    assert_true(slice_is(s, "text"));
    assert_int_equal(json_member_string(v, "b", &s, &error), FORAGE_E_INVALID);
    assert_string_equal(error.message, "\"b\": expected a string, got true");
    bool b = false;
    assert_ok(json_member_bool(v, "b", &b, NULL));
    assert_true(b);
    assert_int_equal(json_member_bool(v, "long", &b, &error), FORAGE_E_INVALID);
    assert_string_equal(error.message, "\"long\": expected true or false, got "
                                       "\"0123456789012345678901234567890123456789…\"");
    assert_string_equal(json_quote(&memory, must_read("\"a\\nb\"")), "\"a\\nb\"");
    assert_string_equal(json_quote(&memory, must_read("\"012345678901234567890123456789012345678é\"")),
                        "\"012345678901234567890123456789012345678…\"");
}

static void unknown_members_are_named(void **state) {
    (void)state;
    static const char *const allowed[] = {"limit", "query", NULL};
    base_error error = {0};
    assert_ok(json_only_members(must_read("{\"query\":1,\"limit\":2}"), allowed, &error));
    assert_ok(json_only_members(must_read("[]"), allowed, &error));
    assert_int_equal(json_only_members(must_read("{\"query\":1,\"limt\":2}"), allowed, &error), FORAGE_E_INVALID);
    assert_string_equal(error.message, "\"limt\" is not known here; known are \"limit\", \"query\"");
}

static void writes_with_commas_and_escapes(void **state) {
    (void)state;
    buffer b = {0};
    json_writer w = json_writer_of(&b);
    json_begin_object(&w);
    json_key(&w, "a\"b");
    json_begin_array(&w);
    json_begin_object(&w);
    json_end_object(&w);
    json_begin_array(&w);
    json_end_array(&w);
    json_bool(&w, false);
    json_null(&w);
    json_text(&w, NULL);
    json_text(&w, "t");
    json_raw(&w, SLICE("{\"r\":1}"));
    json_integer(&w, INT64_MIN);
    json_end_array(&w);
    json_key_slice(&w, SLICE("s"));
    json_string(&w, SLICE("\x01\x1F\b\t\n\f\r\"\\/\x7F\0plain text that is longer than eight é€😀"));
    json_key(&w, "empty");
    json_string(&w, (slice){0});
    json_key(&w, "v");
    json_value_write(&w, must_read("{\"x\":[1,\"\\u0007\"]}"));
    json_end_object(&w);
    assert_string_equal(buffer_text(&b),
                        "{\"a\\\"b\":[{},[],false,null,null,\"t\",{\"r\":1},-9223372036854775808],"
                        "\"s\":\"\\u0001\\u001f\\b\\t\\n\\f\\r\\\"\\\\/\x7F\\u0000"
                        "plain text that is longer than eight é€😀\","
                        "\"empty\":\"\",\"v\":{\"x\":[1,\"\\u0007\"]}}");
    must_read(b.data);
    buffer_clear(&b);
    w = json_writer_of(&b);
    json_string(&w, SLICE("a\xFF" "b\xC3(\xE2\x82"));
    assert_string_equal(buffer_text(&b), "\"a\xEF\xBF\xBD" "b\xEF\xBF\xBD(\xEF\xBF\xBD\xEF\xBF\xBD\"");
    buffer_release(&b);
}

static const char *number_text(double value, bool rounded) {
    static char text[64];
    buffer b = {0};
    json_writer w = json_writer_of(&b);
    if (rounded) json_float(&w, value);
    else json_number(&w, value);
    snprintf(text, sizeof text, "%s", buffer_text(&b));
    buffer_release(&b);
    return text;
}

static void numbers_are_short_and_read_back(void **state) {
    (void)state;
    assert_string_equal(number_text(0, false), "0");
    assert_string_equal(number_text(-3, false), "-3");
    assert_string_equal(number_text(0.1, false), "0.1");
    assert_string_equal(number_text(-12.75, false), "-12.75");
    assert_string_equal(number_text(0.05, false), "0.05");
    assert_string_equal(number_text(0.1 + 0.2, false), "0.30000000000000004");
    assert_string_equal(number_text(1.0 / 3, false), "0.3333333333333333");
    assert_string_equal(number_text(1e300, false), "1e+300");
    assert_string_equal(number_text(NAN, false), "null");
    assert_string_equal(number_text(-INFINITY, true), "null");
    assert_string_equal(number_text(1.0 / 3, true), "0.333333");
    assert_string_equal(number_text(1234567.0, true), "1.23457e+06");
    assert_true(signbit(strtod(number_text(-0.0, false), NULL)));
    random_source r;
    random_seed(&r, 3);
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = random_u64(&r);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (i % 2) value = (double)(int64_t)random_below(&r, 100000000) / (double)(1 + random_below(&r, 10000));
        if (!isfinite(value)) continue;
        arena_reset(&memory);
        json_value *v = must_read(number_text(value, false));
        assert_memory_equal(&v->number, &value, sizeof value);
    }
}

static void the_programs_locale_does_not_matter(void **state) {
    (void)state;
    const char *const commas[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8"};
    const char *set = NULL;
    for (size_t i = 0; i < 3 && !set; i++) set = setlocale(LC_NUMERIC, commas[i]);
    if (!set) {
        printf("SKIPPED: no locale with a decimal comma is installed\n");
        skip();
    }
    assert_true(must_read("0.30000000000000004")->number == 0.1 + 0.2);
    assert_string_equal(number_text(0.1 + 0.2, false), "0.30000000000000004");
    assert_string_equal(number_text(0.5, true), "0.5");
    setlocale(LC_NUMERIC, "C");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(reads_every_kind), TEST(the_text_need_not_outlive_the_value), TEST(refuses_bad_syntax),
        TEST(refuses_what_would_be_misread), TEST(refuses_invalid_utf8), TEST(numbers_keep_their_value),
        TEST(depth_is_limited), TEST(many_keys_are_not_slow), TEST(members_have_types_and_ranges),
        TEST(unknown_members_are_named), TEST(writes_with_commas_and_escapes), TEST(numbers_are_short_and_read_back),
        TEST(the_programs_locale_does_not_matter),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
