/* The ranker's columns: one list a schema, names that are unique and found again by what was logged. */
#include "ranked_world.h"

static schema *schema_from(arena *a, const char *json) {
    schema *empty = schema_create(), *out = NULL;
    base_error error = {0};
    if (schema_extend(empty, parse(a, json), true, &out, &error)) fail_msg("%s", error.message);
    schema_destroy(empty);
    return out;
}

static void assert_sound(const columns_list *list) {
    assert_int_equal(list->first[COLUMNS_CORE], 0);
    assert_int_equal(list->first[COLUMNS_STRATEGY], F_COUNT);
    assert_int_equal(list->first[COLUMNS_SOURCES], list->n);
    assert_true(list->n <= RANKER_MAX_FEATURES);
    for (uint32_t i = 0; i < F_COUNT; i++) assert_string_equal(list->names[i], funnel_core[i].name);
    for (uint32_t i = 0; i < list->n; i++) {
        columns_source source = list->columns[i].source;
        if (columns_find(list, slice_of(list->names[i])) != i) fail_msg("\"%s\" is there twice", list->names[i]);
        assert_true(i >= list->first[source] && i < list->first[source + 1]);
        assert_string_equal(list->columns[i].name, list->names[i]);
        assert_true(strlen(list->columns[i].meaning) > 0);
    }
    /* What describes candidates counts on so many of each source. */
    assert_int_equal(list->first[COLUMNS_MEMORY] - list->first[COLUMNS_WORDS], C_FIELDS + list->n_text * COLUMNS_PER_TEXT);
    assert_int_equal(list->first[COLUMNS_WORDS] - list->first[COLUMNS_STRATEGY], C_STRATEGIES + 2 * RETRIEVE_STRATEGIES);
    assert_int_equal(list->first[COLUMNS_PEOPLE] - list->first[COLUMNS_MEMORY], C_MEMORY_AGE + 1);
    assert_int_equal(list->first[COLUMNS_USER] - list->first[COLUMNS_PEOPLE], C_PEOPLE_SURPRISE + 1);
    assert_int_equal(list->first[COLUMNS_DOCUMENT] - list->first[COLUMNS_USER], C_USER_SHARED + 1);
    assert_int_equal(list->first[COLUMNS_QUERY] - list->first[COLUMNS_DOCUMENT], C_DOCUMENT_TYPE + 1);
    assert_int_equal(list->first[COLUMNS_CONTEXT] - list->first[COLUMNS_QUERY], C_QUERY_REWARDS + 1);
    assert_int_equal(list->first[COLUMNS_FIELD] - list->first[COLUMNS_CONTEXT], C_CONTEXT_USER + 1);
    assert_int_equal(list->first[COLUMNS_REQUEST] - list->first[COLUMNS_FIELD], list->n_numbers);
    assert_int_equal(list->n - list->first[COLUMNS_REQUEST], list->n_request);
}

static columns_list *list_of(arena *a, const char *json, schema **s) {
    *s = schema_from(a, json);
    columns_list *list = columns_create(*s, funnel_core, F_COUNT);
    assert_sound(list);
    return list;
}

static bool has(const columns_list *list, const char *name) { return columns_find(list, slice_of(name)) != COLUMNS_NONE; }

static void a_list_follows_its_schema(void **state) {
    (void)state;
    arena a;
    schema *s;
    arena_init(&a, 0);
    columns_list *list = list_of(&a,
        "{\"fields\":{\"title\":{\"type\":\"text\"},\"year\":{\"type\":\"number\"},\"came\":{\"type\":\"date\"},"
                                     "\"genre\":{\"type\":\"keyword\"}}}", &s);
    assert_true(has(list, "title.bm25") && has(list, "title.proximity") && has(list, "field.year") && has(list, "field.came"));
    assert_true(has(list, "lexical.rank") && has(list, "personal.raw") && has(list, "online") && has(list, "user.similar_own"));
    assert_false(has(list, "field.genre"));
    assert_false(has(list, "genre.bm25"));
    assert_int_equal(list->n_request, 0);
    assert_int_equal(columns_find(list, SLICE("title")), COLUMNS_NONE);
    columns_destroy(list);
    schema_destroy(s);
    arena_release(&a);
}

static void declared_features_are_the_only_fields(void **state) {
    (void)state;
    arena a;
    schema *s;
    arena_init(&a, 0);
    columns_list *list = list_of(&a,
        "{\"fields\":{\"title\":{\"type\":\"text\"},\"year\":{\"type\":\"number\"},\"price\":{\"type\":\"number\"}},"
                                     "\"ranking\":{\"features\":[\"price\",\"request.stock\",\"request.p\"]}}", &s);
    assert_true(has(list, "field.price") && has(list, "request.stock") && has(list, "request.p"));
    assert_false(has(list, "field.year"));
    assert_int_equal(list->n_numbers, 1);
    assert_int_equal(list->n_request, 2);
    assert_string_equal(list->request[0], "stock");
    columns_destroy(list);
    schema_destroy(s);
    list = list_of(&a, "{\"fields\":{\"title\":{\"type\":\"text\"},\"year\":{\"type\":\"number\"}},\"ranking\":{\"features\":[]}}", &s);
    assert_int_equal(list->n_numbers, 0);
    columns_destroy(list);
    schema_destroy(s);
    arena_release(&a);
}

/* As many fields as a schema may have: the heaviest text fields in the schema's order, the first numbers, and nothing beyond. */
static void a_large_schema_stays_within_its_limits(void **state) {
    (void)state;
    arena a;
    schema *s;
    buffer json = {0};
    arena_init(&a, 0);
    buffer_puts(&json, "{\"fields\":{");
    for (int i = 0; i < 20; i++)
        buffer_printf(&json, "%s\"t%d\":{\"type\":\"text\",\"weight\":%d}", i ? "," : "", i, i == 3 ? 9 : i == 17 ? 5 : i == 10 ? 7 : 1);
    for (int i = 0; i < 30; i++) buffer_printf(&json, ",\"n%d\":{\"type\":\"number\"}", i);
    buffer_puts(&json, "},\"ranking\":{\"features\":[");
    for (int i = 0; i < 28; i++) buffer_printf(&json, "%s\"n%d\"", i ? "," : "", i);
    for (int i = 0; i < 4; i++) buffer_printf(&json, ",\"request.r%d\"", i);
    buffer_puts(&json, "]}}");
    columns_list *list = list_of(&a, buffer_text(&json), &s);
    assert_int_equal(list->n_text, COLUMNS_MAX_TEXT);
    assert_int_equal(list->n_numbers, COLUMNS_MAX_NUMBERS);
    assert_int_equal(list->n_request, 4);
    assert_true(has(list, "t3.exact") && has(list, "t17.exact") && has(list, "t10.exact") && has(list, "t0.exact") && has(list,
        "t5.exact"));
    assert_false(has(list, "t6.exact"));
    for (uint32_t i = 1; i < list->n_text; i++) assert_true(list->text[i - 1] < list->text[i]);
    assert_true(has(list, "request.r3"));
    columns_destroy(list);
    schema_destroy(s);
    buffer_release(&json);
    arena_release(&a);
}

/* Fields that are called as our own columns begin. */
static void fields_may_be_called_as_sources_are(void **state) {
    (void)state;
    arena a;
    schema *s;
    arena_init(&a, 0);
    columns_list *list = list_of(&a,
        "{\"fields\":{\"words\":{\"type\":\"text\"},\"field\":{\"type\":\"text\"},\"length\":{\"type\":\"number\"},"
                                     "\"request\":{\"type\":\"text\"}},\"ranking\":{\"features\":[\"length\",\"request.first\"]}}", &s);
    assert_true(has(list, "words.bm25") && has(list, "words.bm25.2") && has(list, "field.length") && has(list, "field.length.2"));
    assert_true(has(list, "request.first") && has(list, "request.first.2"));
    columns_destroy(list);
    schema_destroy(s);
    arena_release(&a);
}

static void the_id_is_of_the_names_and_their_order(void **state) {
    (void)state;
    const char *const ab[] = {"a", "b"}, *const ba[] = {"b", "a"}, *const joined[] = {"ab"};
    assert_int_equal(columns_hash(ab, 2), columns_hash(ab, 2));
    assert_int_not_equal(columns_hash(ab, 2), columns_hash(ba, 2));
    assert_int_not_equal(columns_hash(ab, 2), columns_hash(joined, 1));
    assert_int_not_equal(columns_hash(ab, 1), columns_hash(ab, 2));
    for (uint32_t i = 0; i < 5000; i++) {
        char name[16];
        const char *one = name;
        snprintf(name, sizeof name, "%u", i);
        assert_true(columns_hash(&one, 1) > FUNNEL_FEATURE_SET);
    }
}

/* ---- Kept ---- */

/* What was logged under an older schema keeps its names, also after the collection was opened anew. */
static void names_are_found_again_by_feature_set(void **state) {
    world *w = *state;
    arena *m = &w->memory;
    record_impression before, after;
    uint32_t n;
    world_schema(w, "{\"fields\":{\"title\":{\"type\":\"text\"},\"year\":{\"type\":\"number\"}}}");
    world_import(w, "{\"id\":\"a\",\"title\":\"red stone\",\"year\":1}\n{\"id\":\"b\",\"title\":\"blue stone\",\"year\":2}\n");
    world_search(w, "{\"query\":\"stone\",\"policy\":\"all\"}");
    before = world_last_impression(w);
    const char *const *old = funnel_columns_now(w->funnel, &n);
    assert_int_equal(before.n_features, n);
    assert_int_equal(before.feature_set, columns_hash(old, n));
    const char *last = arena_strndup(m, old[n - 1], strlen(old[n - 1]));
    world_schema(w, "{\"fields\":{\"price\":{\"type\":\"number\"}}}");
    world_search(w, "{\"query\":\"stone\",\"policy\":\"all\"}");
    after = world_last_impression(w);
    assert_int_equal(after.n_features, n + 1);
    assert_int_not_equal(after.feature_set, before.feature_set);
    world_reopen(w);
    const char *const *names = funnel_column_names(w->funnel, before.feature_set, before.n_features, m);
    assert_non_null(names);
    assert_int_equal(columns_hash(names, before.n_features), before.feature_set);
    assert_string_equal(names[n - 1], last);
    names = funnel_column_names(w->funnel, after.feature_set, after.n_features, m);
    assert_non_null(names);
    assert_string_equal(names[n], "field.price");
    assert_null(funnel_column_names(w->funnel, before.feature_set, before.n_features - 1, m));
    assert_null(funnel_column_names(w->funnel, before.feature_set, before.n_features + 1, m));
    assert_null(funnel_column_names(w->funnel, before.feature_set ^ 1, before.n_features, m));
    names = funnel_column_names(w->funnel, FUNNEL_FEATURE_SET, F_COUNT, m);
    assert_string_equal(names[F_AFFINITY], "user_document");
    assert_null(funnel_column_names(w->funnel, FUNNEL_FEATURE_SET, F_COUNT - 1, m));
}

static void the_list_is_told_with_what_it_costs(void **state) {
    world *w = *state;
    buffer text = {0};
    json_writer writer = json_writer_of(&text);
    world_schema(w, "{\"fields\":{\"title\":{\"type\":\"text\"}}}");
    world_import(w, "{\"id\":\"a\",\"title\":\"red stone\"}\n");
    world_search(w, "{\"query\":\"stone\"}");
    funnel_write_columns(w->funnel, &writer);
    const json_value *json = parse(&w->memory, buffer_text(&text));
    uint32_t n;
    (void)funnel_columns_now(w->funnel, &n);
    assert_int_equal(count_at(json, "columns"), n);
    assert_string_equal(text_at(json, "columns.0.source"), "core");
    assert_string_equal(text_at(named(at(json, "columns"), "name", "title.exact"), "source"), "words");
    assert_int_equal(count_at(json, "cost_us"), COLUMNS_SOURCES - 1);
    assert_true(number_at(json, "cost_us.words.candidate") >= 0);
    buffer_release(&text);
}

static int begin(void **state) {
    *state = world_begin();
    return 0;
}

static int end(void **state) {
    world_end(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_follows_its_schema),
        cmocka_unit_test(declared_features_are_the_only_fields),
        cmocka_unit_test(a_large_schema_stays_within_its_limits),
        cmocka_unit_test(fields_may_be_called_as_sources_are),
        cmocka_unit_test(the_id_is_of_the_names_and_their_order),
        cmocka_unit_test_setup_teardown(names_are_found_again_by_feature_set, begin, end),
        cmocka_unit_test_setup_teardown(the_list_is_told_with_what_it_costs, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
