/* Filters from JSON: every form, every error, and against a plain evaluation over random documents. */
#include "world.h"

#include <strings.h>

static world *w;
static text_analyzer *analyzer;
static random_source dice;

static int set_up(void **state) {
    (void)state;
    w = world_begin();
    analyzer = text_analyzer_create();
    random_seed(&dice, 5);
    world_schema(
        w, "{\"fields\":{\"title\":{\"type\":\"text\"},\"genre\":{\"type\":\"keyword\"},\"year\":{\"type\":\"number\"},"
           "\"released\":{\"type\":\"date\"},\"author\":{\"type\":\"reference\"},\"v\":{\"type\":\"vector\","
           "\"dimensions\":2}}}");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    text_analyzer_destroy(analyzer);
    world_end(w);
    return 0;
}

/* Which of the documents "0" … "n - 1" pass, as text: "0 3 7". */
static const char *passing(const char *filter, int n) {
    const sparse_filter *read = NULL;
    base_error error = {0};
    if (filter_read(collection_schema(w->collection), parse(&w->memory, filter), analyzer, &w->memory, &read, &error))
        fail_msg("%s: %s", filter, error.message);
    const sparse_snapshot *s = collection_acquire(w->collection);
    store_txn *t;
    sparse_eligible eligible;
    buffer out = {0};
    assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
    sparse_eligible_compute(s, read, &w->memory, &eligible);
    for (int i = 0; i < n; i++) {
        char id[16];
        uint32_t number;
        snprintf(id, sizeof id, "%d", i);
        assert_true(collection_number_of(t, slice_of(id), &number));
        if (sparse_is_eligible(&eligible, number)) buffer_printf(&out, out.size ? " %d" : "%d", i);
    }
    store_read_end(t);
    collection_release(w->collection, s);
    const char *text = arena_strndup(&w->memory, out.data ? out.data : "", out.size);
    buffer_release(&out);
    return text;
}

/* ---- Forms ---- */

static const char *const few =
    "{\"id\":0,\"title\":\"red "
    "fox\",\"genre\":[\"Drama\",\"Comedy\"],\"year\":1999,\"released\":\"1999-03-31\",\"author\":\"A\"}\n"
    "{\"id\":1,\"title\":\"grey "
    "wolf\",\"genre\":\"COMEDY\",\"year\":2001,\"released\":\"2001-07-01T12:00:00Z\",\"author\":[\"a\",\"B\"]}\n"
    "{\"id\":2,\"genre\":\"Été\",\"year\":-3.5,\"released\":0}\n"
    "{\"id\":3,\"title\":\"hen\",\"genre\":true}\n";

static const char *const forms[][2] = {
    {"{}", "0 1 2 3"},
    {"null", "0 1 2 3"},
    {"{\"genre\":\"drama\"}", "0"},
    {"{\"genre\":\"  Comedy \"}", "0 1"},
    {"{\"genre\":\"ÉTÉ\"}", "2"},
    {"{\"genre\":\"ete\"}", ""}, /* accents count in keywords */
    {"{\"genre\":true}", "3"},
    {"{\"genre\":[\"drama\",\"été\",\"nothing\"]}", "0 2"},
    {"{\"genre\":[]}", ""},
    {"{\"author\":\"A\"}", "0"}, /* references are ids: case counts */
    {"{\"author\":[\"a\",\"A\"]}", "0 1"},
    {"{\"year\":1999}", "0"},
    {"{\"year\":[1999,-3.5,7]}", "0 2"},
    {"{\"year\":[]}", ""},
    {"{\"year\":{\"gte\":1999}}", "0 1"},
    {"{\"year\":{\"gt\":1999}}", "1"},
    {"{\"year\":{\"lt\":1999}}", "2"},
    {"{\"year\":{\"lte\":1999,\"gt\":-4}}", "0 2"},
    {"{\"year\":{\"gt\":0,\"gte\":2000}}", "1"}, /* all bounds hold, whatever their order */
    {"{\"year\":{\"gte\":2000,\"gt\":0}}", "1"},
    {"{\"year\":{\"gt\":1999,\"gte\":1999}}", "1"},
    {"{\"year\":{\"gte\":1999,\"gt\":1999}}", "1"},
    {"{\"year\":{\"lt\":2001,\"lte\":2001}}", "0 2"},
    {"{\"year\":{\"lte\":2001,\"lt\":2001}}", "0 2"},
    {"{\"year\":{\"gt\":5,\"lt\":4}}", ""},
    {"{\"year\":{}}", "0 1 2"}, /* no bound: those that have one at all */
    {"{\"released\":\"1999-03-31\"}", "0"},
    {"{\"released\":{\"gte\":\"2001-07-01T14:00:00+02:00\"}}", "1"},
    {"{\"released\":{\"gt\":\"2001-07-01T14:00:00+02:00\"}}", ""},
    {"{\"released\":{\"lt\":\"1970-01-02\"}}", "2"},
    {"{\"released\":0}", "2"},
    {"{\"released\":[\"1999-03-31\",0]}", "0 2"},
    {"{\"title\":{\"exists\":true}}", "0 1 3"},
    {"{\"title\":{\"exists\":false}}", "2"},
    {"{\"year\":{\"exists\":false}}", "3"},
    {"{\"author\":{\"exists\":true}}", "0 1"},
    {"{\"released\":{\"exists\":true}}", "0 1 2"},
    {"{\"genre\":\"comedy\",\"year\":2001}", "1"},
    {"{\"all\":[{\"genre\":\"comedy\"},{\"year\":2001}]}", "1"},
    {"{\"any\":[{\"genre\":\"drama\"},{\"year\":2001}]}", "0 1"},
    {"{\"all\":[]}", "0 1 2 3"},
    {"{\"any\":[]}", ""},
    {"{\"not\":{\"genre\":\"comedy\"}}", "2 3"},
    {"{\"not\":{\"year\":{\"gt\":0}}}", "2 3"}, /* also those without a year */
    {"{\"not\":{\"not\":{\"year\":1999}}}", "0"},
    {"{\"not\":{}}", ""},
    {"{\"any\":[{\"all\":[{\"year\":1999},{\"genre\":\"drama\"}]},{\"not\":{\"year\":{\"exists\":true}}}],\"genre\":{"
     "\"exists\":true}}",
     "0 3"},
};

static void every_form_means_what_it_says(void **state) {
    (void)state;
    world_import(w, few);
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const char *got = passing(forms[i][0], 4);
        if (strcmp(got, forms[i][1]) != 0) fail_msg("%s passes \"%s\", not \"%s\"", forms[i][0], got, forms[i][1]);
    }
}

/* ---- Errors ---- */

static const char *const errors[][2] = {
    {"[]", "filter: expected an object such as {\"type\": \"book\"}, got an array"},
    {"7", "filter: expected an object such as {\"type\": \"book\"}, got a number"},
    {"{\"gerne\":\"drama\"}", "filter: there is no field \"gerne\""},
    {"{\"title\":\"fox\"}",
     "filter, field \"title\": text fields can be searched, not filtered; declare it as keyword to filter by it"},
    {"{\"v\":[1,2]}", "filter, field \"v\": vector fields cannot be filtered"},
    {"{\"v\":{\"exists\":true}}", "filter, field \"v\": vector fields cannot be filtered"},
    {"{\"genre\":null}", "filter, field \"genre\": expected a string or an array of strings, got null"},
    {"{\"genre\":[\"a\",[]]}", "filter, field \"genre\": expected a string or an array of strings, got an array"},
    {"{\"genre\":{\"gte\":\"a\"}}",
     "filter, field \"genre\": a range needs a number or date field, this is a keyword field"},
    {"{\"author\":{\"lt\":\"a\"}}",
     "filter, field \"author\": a range needs a number or date field, this is a reference field"},
    {"{\"year\":\"1999\"}", "filter, field \"year\": expected a number, got \"1999\""},
    {"{\"year\":{\"gte\":\"x\"}}", "filter, field \"year\": expected a number, got \"x\""},
    {"{\"year\":[1,null]}", "filter, field \"year\": expected a number, got null"},
    {"{\"year\":{\"gte\":1,\"exists\":true}}", NULL},
    {"{\"year\":{\"above\":1}}", NULL},
    {"{\"year\":{\"exists\":1}}", "filter, field \"year\": expected true or false for \"exists\", got 1"},
    {"{\"released\":\"June\"}", "filter, field \"released\": expected a date such as \"2008-06-12\", got \"June\""},
    {"{\"released\":{\"lt\":\"2009-02-29\"}}",
     "filter, field \"released\": expected a date such as \"2008-06-12\", got \"2009-02-29\""},
    {"{\"all\":{}}", "filter, \"all\": expected an array of filters, got an object"},
    {"{\"any\":\"x\"}", "filter, \"any\": expected an array of filters, got a string"},
    {"{\"any\":[7]}", "filter: expected an object such as {\"type\": \"book\"}, got a number"},
    {"{\"not\":[]}", "filter: expected an object such as {\"type\": \"book\"}, got an array"},
};

static void errors_name_the_field(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        const sparse_filter *read = NULL;
        base_error error = {0};
        const json_value *json = parse(&w->memory, errors[i][0]);
        assert_int_equal(filter_read(collection_schema(w->collection), json, analyzer, &w->memory, &read, &error),
                         FORAGE_E_FILTER);
        assert_null(read);
        assert_int_equal(error.status, FORAGE_E_FILTER);
        if (errors[i][1]) assert_string_equal(error.message, errors[i][1]);
        else assert_int_equal(strncmp(error.message, "filter, field \"year\": ", 22), 0);
        assert_int_equal(filter_read(collection_schema(w->collection), json, analyzer, &w->memory, &read, NULL),
                         FORAGE_E_FILTER);
    }
}

static void a_filter_has_at_most_a_thousand_conditions(void **state) {
    (void)state;
    buffer json = {0};
    const sparse_filter *read;
    base_error error = {0};
    buffer_puts(&json, "{\"any\":[{}");
    for (int i = 0; i < FILTER_MAX_NODES; i++) buffer_puts(&json, ",{\"year\":1}");
    buffer_puts(&json, "]}");
    assert_int_equal(filter_read(collection_schema(w->collection), parse(&w->memory, buffer_text(&json)), analyzer,
                                 &w->memory, &read, &error),
                     FORAGE_E_FILTER);
    assert_string_equal(error.message, "filter: more than 1000 conditions");
    buffer_release(&json);
}

/* ---- Against a plain evaluation ---- */

static const char *const genres[] = {"drama", "comedy", "science fiction", "war", "noir"};
static const char *const authors[] = {"a1", "a2", "A1"};
#define COUNT(array) (sizeof(array) / sizeof *(array))

static uint32_t below(uint32_t n) { return (uint32_t)random_below(&dice, n); }

static void put_word(buffer *out, const char *word) {
    bool upper = below(2);
    buffer_putc(out, '"');
    for (; *word; word++) buffer_putc(out, upper && *word >= 'a' ? (char)(*word - 32 * (*word <= 'z')) : *word);
    buffer_putc(out, '"');
}

static void put_date(buffer *out) {
    buffer_printf(out, "\"20%02u-%02u-%02u\"", below(20), 1 + below(12), 1 + below(28));
}

static void random_document(buffer *out, int id) {
    buffer_printf(out, "{\"id\":%d", id);
    if (below(4)) {
        buffer_puts(out, ",\"genre\":[");
        for (uint32_t i = 0, n = below(4); i < n; i++) {
            if (i) buffer_putc(out, ',');
            put_word(out, genres[below(COUNT(genres))]);
        }
        buffer_putc(out, ']');
    }
    if (below(4)) buffer_printf(out, ",\"year\":%d", (int)below(12) - 4);
    if (below(4)) {
        buffer_puts(out, ",\"released\":");
        put_date(out);
    }
    if (below(2)) buffer_printf(out, ",\"author\":\"%s\"", authors[below(COUNT(authors))]);
    if (below(2)) buffer_puts(out, ",\"title\":\"words\"");
    buffer_puts(out, "}\n");
}

static void random_condition(buffer *out) {
    static const char *const bounds[] = {"gt", "gte", "lt", "lte"};
    static const char *const fields[] = {"genre", "year", "released", "author", "title"};
    bool date = below(2);
    switch (below(6)) {
    case 0:
        buffer_puts(out, "\"genre\":");
        put_word(out, genres[below(COUNT(genres))]);
        return;
    case 1:
        buffer_puts(out, "\"genre\":[");
        put_word(out, genres[below(COUNT(genres))]);
        buffer_putc(out, ',');
        put_word(out, genres[below(COUNT(genres))]);
        buffer_putc(out, ']');
        return;
    case 2: buffer_printf(out, "\"author\":\"%s\"", authors[below(COUNT(authors))]); return;
    case 3: buffer_printf(out, "\"year\":[%d,%d]", (int)below(12) - 4, (int)below(12) - 4); return;
    case 4:
        buffer_printf(out, "\"%s\":{\"exists\":%s}", fields[below(COUNT(fields))], below(2) ? "true" : "false");
        return;
    default:
        buffer_printf(out, "\"%s\":{", date ? "released" : "year");
        for (uint32_t i = below(4), n = 0; i < 4; i += 1 + below(3)) {
            buffer_printf(out, "%s\"%s\":", n++ ? "," : "", bounds[i]);
            if (date) put_date(out);
            else buffer_printf(out, "%d", (int)below(12) - 4);
        }
        buffer_putc(out, '}');
    }
}

static void random_filter(buffer *out, int depth) {
    buffer_putc(out, '{');
    uint32_t kind = depth ? below(5) : 4;
    if (kind < 2) {
        buffer_puts(out, kind ? "\"any\":[" : "\"all\":[");
        for (uint32_t i = 0, n = below(4); i < n; i++) {
            if (i) buffer_putc(out, ',');
            random_filter(out, depth - 1);
        }
        buffer_putc(out, ']');
    } else if (kind == 2) {
        buffer_puts(out, "\"not\":");
        random_filter(out, depth - 1);
    } else {
        random_condition(out);
    }
    buffer_putc(out, '}');
}

static bool plain(const json_value *filter, const json_value *document);

static bool same(const json_value *value, const json_value *wanted, bool case_counts) {
    if (value->type == JSON_NUMBER) return value->number == wanted->number;
    return value->text.size == wanted->text.size &&
           (case_counts ? memcmp(value->text.data, wanted->text.data, value->text.size)
                        : strncasecmp(value->text.data, wanted->text.data, value->text.size)) == 0;
}

static bool has(const json_value *member, const json_value *wanted, bool case_counts) {
    if (!member) return false;
    if (wanted->type == JSON_ARRAY) {
        for (const json_value *one = wanted->first; one; one = one->next)
            if (has(member, one, case_counts)) return true;
        return false;
    }
    if (member->type != JSON_ARRAY) return same(member, wanted, case_counts);
    for (const json_value *one = member->first; one; one = one->next)
        if (same(one, wanted, case_counts)) return true;
    return false;
}

static bool within(const json_value *member, const json_value *bounds) {
    if (!member) return false;
    for (const json_value *b = bounds->first; b; b = b->next) {
        int order = b->type == JSON_NUMBER
                        ? (member->number > b->number) - (member->number < b->number)
                        : slice_compare(member->text, b->text); /* dates of one form: their order is the text's */
        bool equal_is_fine = b->key.size == 3;
        if (order == 0 ? !equal_is_fine : (b->key.data[0] == 'g') != (order > 0)) return false;
    }
    return true;
}

static bool plain_member(const json_value *condition, const json_value *document) {
    if (slice_is(condition->key, "not")) return !plain(condition, document);
    bool all = slice_is(condition->key, "all");
    if (all || slice_is(condition->key, "any")) {
        for (const json_value *f = condition->first; f; f = f->next)
            if (plain(f, document) != all) return !all;
        return all;
    }
    const char *field = arena_strndup(&w->memory, condition->key.data, condition->key.size);
    const json_value *member = json_get(document, field), *exists = json_get(condition, "exists");
    if (exists) return (member && (member->type != JSON_ARRAY || member->count)) == exists->boolean;
    if (condition->type == JSON_OBJECT) return within(member, condition);
    return has(member, condition, slice_is(condition->key, "author"));
}

static bool plain(const json_value *filter, const json_value *document) {
    for (const json_value *m = filter->first; m; m = m->next)
        if (!plain_member(m, document)) return false;
    return true;
}

static void random_filters_agree_with_a_plain_evaluation(void **state) {
    (void)state;
    enum { N = 120 };
    buffer text = {0};
    const json_value *documents[N];
    for (int i = 0; i < N; i++) {
        buffer_clear(&text);
        random_document(&text, i);
        documents[i] = parse(&w->memory, buffer_text(&text));
        world_import(w, buffer_text(&text));
        if (i == N / 2)
            assert_ok(sparse_index_flush(collection_index(w->collection), NULL)); /* some in files, some in memory */
    }
    for (int round = 0; round < 1500; round++) {
        buffer_clear(&text);
        random_filter(&text, 3);
        buffer expected = {0};
        const json_value *filter = parse(&w->memory, buffer_text(&text));
        for (int i = 0; i < N; i++)
            if (plain(filter, documents[i])) buffer_printf(&expected, expected.size ? " %d" : "%d", i);
        const char *got = passing(buffer_text(&text), N);
        if (strcmp(got, buffer_text(&expected)) != 0)
            fail_msg("%s passes\n%s, not\n%s", buffer_text(&text), got, buffer_text(&expected));
        buffer_release(&expected);
    }
    buffer_release(&text);
}

#define ISOLATED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ISOLATED(every_form_means_what_it_says),
        ISOLATED(errors_name_the_field),
        ISOLATED(a_filter_has_at_most_a_thousand_conditions),
        ISOLATED(random_filters_agree_with_a_plain_evaluation),
    };
    return cmocka_run_group_tests_name("filter_json", tests, NULL, NULL);
}
