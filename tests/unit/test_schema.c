/* The schema: what people declare, what they are told when it is wrong, what is inferred, and that it survives. */
#include "world.h"

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

static schema *declare_on(const schema *base, const char *json, bool empty) {
    schema *out = NULL;
    base_error error = {0};
    if (schema_extend(base, parse(&memory, json), empty, &out, &error)) fail_msg("%s", error.message);
    return out;
}

static schema *declare(const char *json) {
    schema *empty = schema_create(), *out = declare_on(empty, json, true);
    schema_destroy(empty);
    return out;
}

static const char *written(const schema *s) {
    buffer text = {0};
    json_writer w = json_writer_of(&text);
    schema_write(s, &w);
    const char *out = arena_strndup(&memory, text.data, text.size);
    buffer_release(&text);
    return out;
}

static schema_kind kind_of(const schema *s, const char *name) {
    const schema_field *f = schema_find(s, slice_of(name));
    if (!f) fail_msg("there is no field %s in %s", name, written(s));
    return f->kind;
}

/* ---- Declared ---- */

static void an_undeclared_schema_infers(void **state) {
    (void)state;
    schema *s = schema_create();
    assert_true(s->inferred);
    assert_int_equal(s->n_fields, 0);
    assert_string_equal(s->id, "id");
    assert_string_equal(s->policy, "regcb");
    assert_string_equal(s->ranker, "auto");
    float reward;
    assert_true(schema_reward(s, SLICE("purchase"), &reward));
    assert_float_equal(reward, 1, 0);
    assert_false(schema_reward(s, SLICE("sneeze"), &reward));
    schema_destroy(s);
}

static void fields_are_declared(void **state) {
    (void)state;
    schema *s = declare(
        "{\"language\":\"de\",\"fields\":{\"title\":{\"type\":\"text\"},\"body\":{\"type\":\"text\",\"weight\":0.5,"
        "\"language\":\"fr\"},\"notes\":{\"type\":\"text\",\"language\":\"detect\"},\"genre\":{\"type\":\"keyword\"},"
        "\"year\":{\"type\":\"number\"},\"released\":{\"type\":\"date\"},\"author\":{\"type\":\"reference\"},"
        "\"v\":{\"type\":\"vector\",\"dimensions\":3}},\"rewards\":{\"click\":0.2,\"share\":1}}");
    assert_false(s->inferred);
    const schema_field *title = schema_find(s, SLICE("title")), *body = schema_find(s, SLICE("body"));
    assert_float_equal(title->weight, 3, 0); /* a title counts more unless somebody says otherwise */
    assert_int_equal(title->language, TEXT_DE);
    assert_float_equal(body->weight, 0.5, 0);
    assert_int_equal(body->language, TEXT_FR);
    assert_true(schema_find(s, SLICE("notes"))->detect);
    assert_int_equal(kind_of(s, "genre"), SCHEMA_KEYWORD);
    assert_int_equal(kind_of(s, "year"), SCHEMA_NUMBER);
    assert_int_equal(kind_of(s, "released"), SCHEMA_DATE);
    assert_int_equal(kind_of(s, "author"), SCHEMA_REFERENCE);
    assert_int_equal(schema_find(s, SLICE("v"))->dimensions, 3);
    assert_int_equal(kind_of(s, "type"), SCHEMA_KEYWORD); /* implied */
    assert_int_equal(kind_of(s, "popularity"), SCHEMA_NUMBER);
    float reward;
    assert_true(schema_reward(s, SLICE("click"), &reward));
    assert_float_equal(reward, 0.2, 1e-6);
    assert_true(schema_reward(s, SLICE("share"), &reward));
    assert_true(schema_reward(s, SLICE("play"), &reward)); /* the defaults stay */
    schema_destroy(s);
}

static void roles_may_have_other_names(void **state) {
    (void)state;
    schema *s = declare(
        "{\"id\":\"sku\",\"type\":\"kind\",\"popularity\":\"sold\",\"fields\":{\"sold\":{\"type\":\"number\"}}}");
    sparse_config config;
    schema_sparse_config(s, &config);
    assert_string_equal(config.fields[config.popularity].name, "sold");
    assert_string_equal(config.fields[config.type].name, "kind");
    assert_string_equal(s->id, "sku");
    assert_null(schema_find(s, SLICE("popularity")));
    schema_destroy(s);
}

static const char *const wrong_schemas[][2] = {
    {"[]", "schema: expected an object, got an array"},
    {"{\"felds\":{}}", NULL},
    {"{\"fields\":[]}", "schema, \"fields\": expected an object, got an array"},
    {"{\"fields\":{\"a\":\"text\"}}",
     "schema, field \"a\": expected an object such as {\"type\": \"text\"}, got a string"},
    {"{\"fields\":{\"a\":{\"type\":\"string\"}}}",
     "schema, field \"a\": expected \"type\" to be text, keyword, number, date, vector, reference or weights, got \"string\""},
    {"{\"fields\":{\"a\":{}}}",
     "schema, field \"a\": expected \"type\" to be text, keyword, number, date, vector, reference or weights, got \"\""},
    {"{\"fields\":{\"a\":{\"type\":\"text\",\"wieght\":2}}}", NULL},
    {"{\"fields\":{\"a\":{\"type\":\"text\",\"weight\":-1}}}", NULL},
    {"{\"fields\":{\"a\":{\"type\":\"text\",\"language\":\"klingon\"}}}",
     "schema, field \"a\": unknown language \"klingon\"; use a code such as \"en\", \"any\" or \"detect\""},
    {"{\"language\":\"xx\"}",
     "schema, collection: unknown language \"xx\"; use a code such as \"en\", \"any\" or \"detect\""},
    {"{\"fields\":{\"v\":{\"type\":\"vector\"}}}", "schema, field \"v\": a vector needs \"dimensions\" (1 to 4096)"},
    {"{\"fields\":{\"v\":{\"type\":\"vector\",\"dimensions\":5000}}}", NULL},
    {"{\"fields\":{\"\":{\"type\":\"text\"}}}",
     "schema, field \"\": a name has 1 to 128 bytes and no control characters"},
    {"{\"fields\":{\"a\\nb\":{\"type\":\"text\"}}}",
     "schema, field \"a b\": a name has 1 to 128 bytes and no control characters"},
    {"{\"type\":\"kind\",\"fields\":{\"kind\":{\"type\":\"number\"}}}",
     "schema: \"kind\" must be a keyword field, it is declared as number"},
    {"{\"popularity\":\"title\",\"fields\":{\"title\":{\"type\":\"text\"}}}",
     "schema: \"title\" must be a number field, it is declared as text"},
    {"{\"rewards\":[]}", "schema, \"rewards\": expected an object such as {\"click\": 0.5}"},
    {"{\"rewards\":{\"click\":2}}", "schema, reward \"click\": expected a number above 0 and up to 1"},
    {"{\"rewards\":{\"click\":0}}", "schema, reward \"click\": expected a number above 0 and up to 1"},
    {"{\"rewards\":{\"a234567890123456789012345678901234567890123456789012345678901234\":1}}",
     "schema, reward \"a234567890123456789012345678901234567890123456789012345678901234\": "
     "a name has 1 to 63 bytes and no control characters"},
    {"{\"policy\":\"thompson\"}", "schema, \"policy\": there is no \"thompson\""},
    {"{\"ranker\":7}", NULL},
};

static void wrong_schemas_are_refused_by_name(void **state) {
    (void)state;
    schema *base = schema_create();
    for (size_t i = 0; i < sizeof wrong_schemas / sizeof wrong_schemas[0]; i++) {
        const char *const *row = wrong_schemas[i];
        schema *out = NULL;
        base_error error = {0};
        assert_int_equal(schema_extend(base, parse(&memory, row[0]), true, &out, &error), FORAGE_E_SCHEMA);
        assert_null(out);
        assert_int_equal(error.status, FORAGE_E_SCHEMA);
        if (row[1]) assert_string_equal(error.message, row[1]);
        else assert_int_equal(strncmp(error.message, "schema", 6), 0);
    }
    schema_destroy(base);
}

static void extension_appends_and_never_reorders(void **state) {
    (void)state;
    schema *first = declare("{\"fields\":{\"title\":{\"type\":\"text\"},\"year\":{\"type\":\"number\"}}}");
    schema *second = declare_on(
        first, "{\"fields\":{\"pages\":{\"type\":\"number\"},\"title\":{\"type\":\"text\",\"weight\":7}}}", false);
    assert_int_equal(second->n_fields, first->n_fields + 1);
    for (uint32_t i = 0; i < first->n_fields; i++) {
        assert_string_equal(second->fields[i].name, first->fields[i].name);
        assert_int_equal(second->fields[i].sparse, first->fields[i].sparse);
    }
    assert_float_equal(schema_find(second, SLICE("title"))->weight, 7, 0);
    assert_float_equal(schema_find(first, SLICE("title"))->weight, 3, 0);
    schema_destroy(first);
    schema_destroy(second);
}

static void kinds_hold_once_there_are_documents(void **state) {
    (void)state;
    schema *base = declare("{\"fields\":{\"year\":{\"type\":\"text\"}}}"), *out = NULL;
    base_error error = {0};
    json_value *change = parse(&memory, "{\"fields\":{\"year\":{\"type\":\"number\"}}}");
    assert_int_equal(schema_extend(base, change, false, &out, &error), FORAGE_E_SCHEMA);
    assert_string_equal(error.message,
                        "schema, field \"year\": it is a text field already and the collection has documents; "
                        "make a new collection to change that");
    assert_ok(schema_extend(base, change, true, &out, &error));
    assert_int_equal(kind_of(out, "year"), SCHEMA_NUMBER);
    schema_destroy(out);
    schema_destroy(base);
}

/* What was written gives the same schema again, and the same bytes. */
static void assert_round_trip(const schema *s) {
    schema *back = NULL;
    base_error error = {0};
    if (schema_read(parse(&memory, written(s)), &back, &error)) fail_msg("%s", error.message);
    assert_string_equal(written(back), written(s));
    assert_int_equal(back->n_fields, s->n_fields);
    assert_int_equal(back->type_field, s->type_field);
    assert_int_equal(back->popularity_field, s->popularity_field);
    for (uint32_t i = 0; i < s->n_fields; i++) {
        const schema_field *a = &s->fields[i], *b = &back->fields[i];
        assert_string_equal(a->name, b->name);
        assert_true(a->kind == b->kind && a->weight == b->weight && a->dimensions == b->dimensions &&
                    a->sparse == b->sparse);
        if (a->kind == SCHEMA_TEXT) assert_true(a->language == b->language && a->detect == b->detect);
    }
    schema_destroy(back);
}

static void json_gives_the_schema_back(void **state) {
    (void)state;
    static const char *const steps[][2] = {
        {"{}", "{}"},
        {"{\"language\":\"de\"}", "{\"language\":\"detect\"}"},
        {"{\"language\":\"detect\",\"fields\":{\"a\":{\"type\":\"text\"}}}", "{\"language\":\"fr\"}"},
        {"{\"language\":\"any\",\"fields\":{\"a\":{\"type\":\"text\",\"language\":\"detect\"}}}",
         "{\"language\":\"sv\"}"},
        {"{\"id\":\"sku\",\"type\":\"kind\",\"popularity\":\"sold\",\"policy\":\"all\",\"ranker\":\"rrf\"}", "{}"},
        {"{\"rewards\":{\"click\":0.25,\"wave\":0.125},\"inferred\":true,\"fields\":{\"v\":{\"type\":\"vector\","
         "\"dimensions\":7},"
         "\"k\":{\"type\":\"keyword\"},\"r\":{\"type\":\"reference\"},\"d\":{\"type\":\"date\"}}}",
         "{\"fields\":{\"t \\\"quoted\\\" ü\":{\"type\":\"text\",\"weight\":0.1}}}"},
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        schema *first = declare(steps[i][0]), *second = declare_on(first, steps[i][1], true);
        assert_round_trip(first);
        assert_round_trip(second);
        schema_destroy(first);
        schema_destroy(second);
    }
}

static void sixty_four_fields_and_no_more(void **state) {
    (void)state;
    buffer json = {0};
    buffer_puts(&json, "{\"fields\":{\"type\":{\"type\":\"keyword\"},\"popularity\":{\"type\":\"number\"}");
    for (int i = 0; i < 62; i++) buffer_printf(&json, ",\"f%d\":{\"type\":\"text\"}", i);
    size_t full = json.size;
    buffer_puts(&json, "}}");
    schema *s = declare(buffer_text(&json)), *out = NULL;
    assert_int_equal(s->n_fields, 64);
    assert_round_trip(s);
    json.size = full;
    buffer_puts(&json, ",\"one more\":{\"type\":\"text\"}}}");
    base_error error = {0};
    assert_int_equal(schema_extend(s, parse(&memory, buffer_text(&json)), true, &out, &error), FORAGE_E_SCHEMA);
    assert_string_equal(error.message, "schema: more than 64 fields");
    schema_destroy(s);
    buffer_release(&json);
}

/* ---- Inferred ---- */

#define SAMPLE 40

/* A schema inferred from SAMPLE documents; `format` makes one from its number, up to four times used. */
static schema *infer(const char *format) {
    const json_value *documents[SAMPLE];
    for (int i = 0; i < SAMPLE; i++) {
        buffer text = {0};
        for (const char *c = format; *c; c++) {
            if (*c != '#') buffer_putc(&text, *c);
            else buffer_printf(&text, "%d", i);
        }
        documents[i] = parse(&memory, buffer_text(&text));
        buffer_release(&text);
    }
    schema *s = schema_create();
    uint32_t added;
    schema_infer(s, documents, SAMPLE, &added);
    assert_int_equal(added, s->n_fields);
    assert_round_trip(s);
    return s;
}

static void kinds_are_inferred_from_values(void **state) {
    (void)state;
    schema *s = infer(
        "{\"id\":\"b#\",\"type\":\"book\",\"title\":\"Book#\",\"summary\":\"A long story number # about several "
        "things\","
        "\"year\":19#,\"price\":#.5,\"released\":\"2008-06-12\",\"updated\":\"2020-01-01T10:00:#0Z\","
        "\"vector\":[1,2,3,4,5,6,7,#],\"scores\":[1,#],\"tags\":[\"one word\",\"another\"],\"isbn\":\"978-#\","
        "\"site\":\"https://example.org/some page/#\",\"sequel\":\"b1\",\"mates\":[\"b2\",\"b#\"],\"in_print\":true,"
        "\"nested\":{\"a\":#},\"nothing\":null,\"empty\":[],\"text_year\":\"19\"}");
    static const struct {
        const char *name;
        schema_kind kind;
    } expected[] = {{"type", SCHEMA_KEYWORD},    {"title", SCHEMA_TEXT},      {"summary", SCHEMA_TEXT},
                    {"year", SCHEMA_NUMBER},     {"price", SCHEMA_NUMBER},    {"released", SCHEMA_DATE},
                    {"vector", SCHEMA_VECTOR},   {"scores", SCHEMA_KEYWORD},  {"tags", SCHEMA_KEYWORD},
                    {"isbn", SCHEMA_KEYWORD},    {"site", SCHEMA_KEYWORD},    {"sequel", SCHEMA_REFERENCE},
                    {"mates", SCHEMA_REFERENCE}, {"in_print", SCHEMA_KEYWORD}};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        if (kind_of(s, expected[i].name) != expected[i].kind)
            fail_msg("%s is inferred as %s", expected[i].name, schema_kind_name(kind_of(s, expected[i].name)));
    assert_null(schema_find(s, SLICE("id")));
    assert_null(schema_find(s, SLICE("nested"))); /* kept and returned, not searched */
    assert_null(schema_find(s, SLICE("nothing")));
    assert_null(schema_find(s, SLICE("empty")));
    assert_int_equal(schema_find(s, SLICE("vector"))->dimensions, 8);
    schema_destroy(s);
}

static void names_of_people_are_words_when_they_vary(void **state) {
    (void)state;
    schema *s = infer("{\"id\":#,\"director\":\"Person Number #\",\"studio\":\"Big Pictures\"}");
    assert_int_equal(kind_of(s, "director"), SCHEMA_TEXT);
    assert_int_equal(kind_of(s, "studio"), SCHEMA_KEYWORD);
    schema_destroy(s);
}

static void references_to_underscore_ids_are_seen(void **state) {
    (void)state;
    schema *s = infer("{\"_id\":\"b#\",\"part_of\":\"b7\"}");
    assert_int_equal(kind_of(s, "part_of"), SCHEMA_REFERENCE);
    assert_null(schema_find(s, SLICE("_id")));
    schema_destroy(s);
}

static void the_type_is_a_keyword_whatever_it_looks_like(void **state) {
    (void)state;
    static const char *const samples[] = {"{\"id\":#,\"type\":#}", "{\"id\":#,\"type\":\"2008-01-#\"}",
                                          "{\"id\":#,\"type\":\"#\"}",
                                          "{\"id\":#,\"type\":\"a fairly long description of kind #\"}"};
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        schema *s = infer(samples[i]);
        assert_int_equal(kind_of(s, "type"), SCHEMA_KEYWORD);
        assert_true(s->type_field >= 0);
        schema_destroy(s);
    }
}

static void popularity_is_guessed_by_its_usual_names(void **state) {
    (void)state;
    schema *s = infer("{\"id\":#,\"title\":\"x\",\"votes\":#,\"year\":1999}");
    assert_string_equal(s->popularity, "votes");
    assert_true(s->popularity_field >= 0);
    schema_destroy(s);
    s = infer("{\"id\":#,\"popularity\":#,\"downloads\":#}");
    assert_string_equal(s->popularity, "popularity");
    schema_destroy(s);
    s = infer("{\"id\":#,\"popularity\":\"high\",\"year\":1999}"); /* words are no popularity */
    assert_int_equal(s->popularity_field, -1);
    schema_destroy(s);
}

static void more_members_than_fields_are_left_alone(void **state) {
    (void)state;
    buffer json = {0};
    buffer_puts(&json, "{\"id\":#");
    for (int i = 0; i < 100; i++) buffer_printf(&json, ",\"member%d\":%d", i, i);
    buffer_putc(&json, '}');
    schema *s = infer(buffer_text(&json));
    assert_int_equal(s->n_fields, 64);
    schema_destroy(s);
    buffer_release(&json);
}

/* ---- In a collection ---- */

static void assert_survives(const char *documents) {
    world *w = world_begin();
    world_import(w, documents);
    const char *before = written(collection_schema(w->collection));
    world_reopen(w);
    assert_string_equal(written(collection_schema(w->collection)), before);
    assert_int_equal(collection_schema(w->collection)->inferred, 1);
    world_end(w);
}

static void an_inferred_schema_survives_reopening(void **state) {
    (void)state;
    assert_survives("{\"id\":1,\"title\":\"only a title\"}\n");
    assert_survives("{\"id\":1,\"popularity\":\"high\",\"type\":3}\n{\"id\":2,\"popularity\":\"low\",\"type\":4}\n");
    buffer many = {0};
    buffer_puts(&many, "{\"id\":1");
    for (int i = 0; i < 80; i++) buffer_printf(&many, ",\"member%d\":%d", i, i);
    buffer_putc(&many, '}');
    assert_survives(buffer_text(&many));
    buffer_release(&many);
}

static void later_documents_add_fields_while_inferring(void **state) {
    (void)state;
    world *w = world_begin();
    world_import(w, "{\"id\":1,\"title\":\"red fox\"}\n");
    world_import(w,
                 "{\"id\":2,\"title\":\"grey wolf\",\"body\":\"lives in the northern forests of many countries\"}\n");
    assert_string_equal(world_ids(w, world_find(w, "forests")), "2");
    world_schema(w, "{\"fields\":{\"year\":{\"type\":\"number\"}}}"); /* from here on people decide */
    world_import(w,
                 "{\"id\":3,\"title\":\"owl\",\"year\":3,\"habitat\":\"barns and church towers of old villages\"}\n");
    assert_string_equal(world_ids(w, world_find(w, "barns")), "");
    world_end(w);
}

static void kinds_hold_in_a_collection_with_documents(void **state) {
    (void)state;
    world *w = world_begin();
    base_error error = {0};
    world_schema(w, "{\"fields\":{\"title\":{\"type\":\"text\"},\"year\":{\"type\":\"number\"}}}");
    world_import(w, "{\"id\":1,\"title\":\"fox\",\"year\":1999}\n");
    const char *before = written(collection_schema(w->collection));
    json_value *change = parse(&memory, "{\"fields\":{\"year\":{\"type\":\"keyword\"}}}");
    assert_int_equal(collection_extend_schema(w->collection, change, &error), FORAGE_E_SCHEMA);
    assert_non_null(strstr(error.message, "field \"year\": it is a number field already"));
    assert_string_equal(written(collection_schema(w->collection)), before);
    world_end(w);
}

static void kinds_may_change_while_empty(void **state) {
    (void)state;
    world *w = world_begin();
    world_schema(
        w,
        "{\"fields\":{\"title\":{\"type\":\"text\"},\"year\":{\"type\":\"text\"},\"genre\":{\"type\":\"keyword\"}}}");
    world_schema(w, "{\"fields\":{\"year\":{\"type\":\"number\"}}}");
    for (int round = 0; round < 2; round++) {
        world_import(w, "{\"id\":1,\"title\":\"fox\",\"year\":1999,\"genre\":\"Drama\"}\n");
        const char *request = "{\"query\":\"fox\",\"filter\":{\"year\":1999,\"genre\":\"drama\"}}";
        assert_string_equal(world_ids(w, world_search(w, request)), "1");
        world_reopen(w);
        assert_string_equal(world_ids(w, world_search(w, request)), "1");
    }
    world_end(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_undeclared_schema_infers),
        cmocka_unit_test(fields_are_declared),
        cmocka_unit_test(roles_may_have_other_names),
        cmocka_unit_test(wrong_schemas_are_refused_by_name),
        cmocka_unit_test(extension_appends_and_never_reorders),
        cmocka_unit_test(kinds_hold_once_there_are_documents),
        cmocka_unit_test(json_gives_the_schema_back),
        cmocka_unit_test(sixty_four_fields_and_no_more),
        cmocka_unit_test(kinds_are_inferred_from_values),
        cmocka_unit_test(names_of_people_are_words_when_they_vary),
        cmocka_unit_test(references_to_underscore_ids_are_seen),
        cmocka_unit_test(the_type_is_a_keyword_whatever_it_looks_like),
        cmocka_unit_test(popularity_is_guessed_by_its_usual_names),
        cmocka_unit_test(more_members_than_fields_are_left_alone),
        cmocka_unit_test(an_inferred_schema_survives_reopening),
        cmocka_unit_test(later_documents_add_fields_while_inferring),
        cmocka_unit_test(kinds_hold_in_a_collection_with_documents),
        cmocka_unit_test(kinds_may_change_while_empty),
    };
    return cmocka_run_group_tests_name("schema", tests, set_up, tear_down);
}
