/* Vector fields whose encoder is somebody else's: a service that hangs or answers wrongly, a model folder that is damaged. What
 * cannot be encoded is told, and takes nothing with it. */
#include "world.h"

#include "embedding_service.h"
#include "retrieve/vectors.h"

static world *w;
static embedding_service *service;
static arena lasting;

static const char *const skies =
    "{\"id\":\"day\",\"title\":\"the sun at noon\",\"kind\":\"light\"}\n"
    "{\"id\":\"night\",\"title\":\"the moon at midnight\",\"kind\":\"dark\"}\n"
    "{\"id\":\"soup\",\"title\":\"onion soup\",\"kind\":\"food\"}\n"
    "{\"id\":\"dawn\",\"title\":\"first sunlight\",\"kind\":\"light\"}\n"
    "{\"id\":\"empty\",\"kind\":\"light\"}\n";

static int set_up(void **state) {
    (void)state;
    arena_init(&lasting, 0);
    log_set_level(LOG_SILENT);
    service = service_begin(SERVICE_GOOD);
    w = world_begin();
    world_schema(w, "{\"fields\":{\"title\":{\"type\":\"text\"},\"kind\":{\"type\":\"keyword\"}}}");
    world_import(w, skies);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    world_end(w);
    service_end(service);
    log_set_level(LOG_WARN);
    arena_release(&lasting);
    return 0;
}

static void declare_remote(const char *name, uint32_t dimensions, int timeout_ms) {
    world_schema(w, arena_printf(&lasting, "{\"fields\":{\"%s\":{\"type\":\"vector\",\"dimensions\":%u,\"encoder\":{\"kind\":\"remote\","
                                           "\"model\":\"m\",\"url\":\"%s\",\"timeout_ms\":%d}}}}",
                                 name, dimensions, service->url, timeout_ms));
}

static vectors_info info_of(const char *name) {
    vectors_info fields[SPARSE_MAX_FIELDS];
    size_t n = vectors_describe(funnel_vectors(w->funnel), fields);
    for (size_t i = 0; i < n; i++)
        if (strcmp(fields[i].field->name, name) == 0) return fields[i];
    fail_msg("no vector field %s", name);
    return fields[0];
}

static forage_status settle(void) { return vectors_settle(funnel_vectors(w->funnel), NULL); }

static const char *found(const char *members) {
    return world_ids(w, world_search(w, arena_printf(&lasting, "{\"policy\":\"all\",\"log\":false,%s}", members)));
}

/* ---- A service ---- */

static void a_service_is_asked_for_documents_and_queries(void **state) {
    (void)state;
    declare_remote("meaning", 3, 2000);
    assert_ok(settle());
    vectors_info info = info_of("meaning");
    assert_string_equal(info.problem, "");
    assert_int_equal(info.index.documents, 4); /* all with a text */
    const char *ids = found("\"query\":\"moonshine\"");
    assert_true(strncmp(ids, "night", 5) == 0);
    unsigned asked = service->asked;
    world_reopen(w); /* nothing is encoded again */
    assert_ok(settle());
    assert_int_equal(service->asked, asked);
    assert_true(strncmp(found("\"query\":\"moonshine\""), "night", 5) == 0);
    world_import(w, "{\"id\":\"soup\",\"title\":\"moon cake\"}\n{\"id\":\"new\",\"title\":\"moonlight sonata\"}\n");
    assert_ok(collection_delete(w->collection, SLICE("night"), NULL));
    assert_ok(settle());
    ids = found("\"query\":\"moonshine\",\"limit\":2,\"ranker\":\"rrf\"");
    assert_true(strstr(ids, "soup") && strstr(ids, "new"));
    assert_int_equal(info_of("meaning").index.documents, 4);
}

/* Whatever it says instead of vectors: the field has none and tells why, words are answered, and a later answer mends it. */
static void wrong_answers_are_told_and_mended(void **state) {
    (void)state;
    static const struct {
        service_mood mood;
        const char *told;
    } wrong[] = {{SERVICE_FEW, ""}, {SERVICE_MANY, ""}, {SERVICE_WIDE, ""}, {SERVICE_NAN, ""}, {SERVICE_TEXT, ""}, {SERVICE_DOWN, "400"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *name = arena_printf(&lasting, "meaning%zu", i);
        atomic_store(&service->mood, wrong[i].mood);
        declare_remote(name, 3, 2000);
        assert_int_not_equal(settle(), FORAGE_OK);
        vectors_info info = info_of(name);
        assert_int_equal(info.index.documents, 0);
        assert_true(info.problem[0] && strstr(info.problem, wrong[i].told));
        assert_non_null(strstr(found("\"query\":\"onion\""), "soup"));
        atomic_store(&service->mood, SERVICE_GOOD);
        assert_ok(settle());
        assert_int_equal(info_of(name).index.documents, 4);
        assert_string_equal(info_of(name).problem, "");
        assert_true(strncmp(found("\"query\":\"moonshine\""), "night", 5) == 0);
    }
}

static const json_value *strategy_of(const json_value *answer, const char *name) {
    return named(at(answer, "decision.strategies"), "name", name);
}

/* A query waits no longer than it may, and what needs no vector of the query comes, also what is near to the first hits by their
 * vectors, which are there. */
static void a_silent_service_costs_its_own_strategy_only(void **state) {
    (void)state;
    declare_remote("meaning", 3, 60000);
    assert_ok(settle());
    atomic_store(&service->mood, SERVICE_SILENT);
    static const char *const filters[] = {"", ",\"filter\":{\"kind\":\"light\"}"};
    for (size_t i = 0; i < 2; i++) {
        int64_t started = clock_monotonic(&os_clock_system);
        const json_value *a = world_search(w, arena_printf(&lasting, "{\"query\":\"noon %zu\",\"policy\":\"all\",\"timeout_ms\":1500%s}", i,
                                                           filters[i]));
        int64_t took = clock_monotonic(&os_clock_system) - started;
        assert_true(took >= 1000000 && took < 20000000);
        const char *ids = world_ids(w, a);
        assert_non_null(strstr(ids, "day"));
        assert_true(true_at(strategy_of(a, "semantic"), "late"));
        assert_false(true_at(strategy_of(a, "lexical"), "late"));
        assert_false(true_at(strategy_of(a, "related"), "late"));
        assert_non_null(strstr(ids, "dawn")); /* no word of the query */
    }
}

static void closing_does_not_wait_for_all_that_is_to_be_made(void **state) {
    (void)state;
    buffer lines = {0};
    for (int i = 0; i < 2000; i++) buffer_printf(&lines, "{\"id\":\"d%d\",\"title\":\"sun number %d\"}\n", i, i);
    world_import(w, buffer_text(&lines));
    buffer_release(&lines);
    atomic_store(&service->mood, SERVICE_SLOW); /* 100 ms for each 32 texts: six seconds and more for all */
    declare_remote("meaning", 3, 2000);
    for (int i = 0; i < 200 && service->asked < 2; i++) usleep(50000);
    assert_true(service->asked >= 2);
    world_reopen(w);
    assert_true(service->asked < 50); /* of 63 */
    size_t made = info_of("meaning").index.documents;
    assert_true(made > 0 && made < 2000); /* what was made is kept */
    unsigned asked = service->asked;
    atomic_store(&service->mood, SERVICE_GOOD);
    assert_ok(settle());
    assert_int_equal(info_of("meaning").index.documents, 2004);
    assert_true(service->asked - asked <= (2004 - made) / 32 + 4); /* and not made again */
}

/* ---- A model's folder ---- */

static const char *folder_of_model(void) {
    const char *source = getenv("FORAGE_SOURCE");
    const char *to = arena_printf(&lasting, "%s/model", w->folder);
    world_copy(arena_printf(&lasting, "%s/tests/golden/bert", source ? source : "."), to);
    return to;
}

static void declare_bert(const char *name, uint32_t dimensions, const char *folder) {
    world_schema(w, arena_printf(&lasting, "{\"fields\":{\"%s\":{\"type\":\"vector\",\"dimensions\":%u,\"encoder\":{\"kind\":\"bert\","
                                           "\"model\":\"%s\"}}}}", name, dimensions, folder));
}

/* In the same number of bytes, so that nothing but the name or the number is wrong. */
static void replace_in(const char *path, const char *what, const char *with) {
    buffer file = {0};
    assert_int_equal(strlen(what), strlen(with));
    assert_ok(os_read_file(path, 0, &file, NULL));
    char *place = memmem(file.data, file.size, what, strlen(what));
    assert_non_null(place);
    memcpy(place, with, strlen(with));
    assert_ok(os_write_file(path, file.data, file.size, NULL));
    buffer_release(&file);
}

static void assert_off(const char *field, const char *told) {
    assert_int_not_equal(settle(), FORAGE_OK);
    vectors_info info = info_of(field);
    if (!info.problem[0] || !strstr(info.problem, told)) fail_msg("expected \"%s\" in \"%s\"", told, info.problem);
    assert_int_equal(info.version, 0);
    assert_non_null(strstr(found("\"query\":\"onion\""), "soup"));
}

static void a_damaged_model_turns_its_field_off(void **state) {
    (void)state;
    const char *folder = folder_of_model(), *tensors = arena_printf(&lasting, "%s/model.safetensors", folder),
               *config = arena_printf(&lasting, "%s/config.json", folder);
    declare_bert("right", 16, folder);
    assert_ok(settle());
    assert_string_equal(info_of("right").problem, "");
    assert_true(info_of("right").index.documents > 0);
    declare_bert("narrow", 8, folder);
    assert_off("narrow", "the encoder makes 16 dimensions, the field has 8");
    buffer file = {0};
    assert_ok(os_read_file(tensors, 0, &file, NULL));
    assert_ok(os_write_file(tensors, file.data, file.size - 4, NULL));
    declare_bert("cut", 16, folder);
    assert_off("cut", "model.safetensors");
    assert_ok(os_write_file(tensors, file.data, file.size, NULL));
    replace_in(tensors, "layer.1.", "layer.7.");
    declare_bert("missing", 16, folder);
    assert_off("missing", "layer.1.");
    assert_ok(os_write_file(tensors, file.data, file.size, NULL));
    replace_in(config, "\"intermediate_size\": 32", "\"intermediate_size\": 48");
    declare_bert("mismatched", 16, folder);
    assert_off("mismatched", "intermediate");
    replace_in(config, "\"intermediate_size\": 48", "\"intermediate_size\": 32");
    assert_int_not_equal(settle(), FORAGE_OK); /* "narrow" is as it was; all others are as good as new */
    assert_string_equal(info_of("cut").problem, "");
    assert_string_equal(info_of("missing").problem, "");
    assert_string_equal(info_of("mismatched").problem, "");
    buffer_release(&file);
}

#define ISOLATED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ISOLATED(a_service_is_asked_for_documents_and_queries),
        ISOLATED(wrong_answers_are_told_and_mended),
        ISOLATED(a_silent_service_costs_its_own_strategy_only),
        ISOLATED(closing_does_not_wait_for_all_that_is_to_be_made),
        ISOLATED(a_damaged_model_turns_its_field_off),
    };
    return cmocka_run_group_tests_name("vectors_encoders", tests, NULL, NULL);
}
