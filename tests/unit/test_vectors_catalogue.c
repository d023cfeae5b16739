/* Vector fields of the catalogue's own encoder: what it reads of documents, what references teach it, a model that is damaged. */
#include "world.h"

#include "retrieve/vectors.h"

static world *w;
static arena lasting;

static int set_up(void **state) {
    (void)state;
    arena_init(&lasting, 0);
    w = world_begin();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    world_end(w);
    arena_release(&lasting);
    return 0;
}

static void settle(void) {
    base_error error = {0};
    if (vectors_settle(funnel_vectors(w->funnel), &error)) fail_msg("%s", error.message);
}

static vectors_info info_of(const char *name) {
    vectors_info fields[SPARSE_MAX_FIELDS];
    size_t n = vectors_describe(funnel_vectors(w->funnel), fields);
    for (size_t i = 0; i < n; i++)
        if (strcmp(fields[i].field->name, name) == 0) return fields[i];
    fail_msg("no vector field %s", name);
    return fields[0];
}

static const char *found(const char *members) {
    return world_ids(w, world_search(w, arena_printf(&lasting, "{\"policy\":\"all\",\"log\":false,%s}", members)));
}

static size_t count(const char *ids, const char *what) {
    size_t n = 0;
    for (const char *at = ids; (at = strstr(at, what)); at++) n++;
    return n;
}

/* The ids of those whose vectors are nearest to a document's. */
static const char *alike(const char *id, uint32_t depth) {
    store_txn *t;
    uint32_t number;
    sparse_eligible all;
    bool late = false;
    sparse_hit *hits = arena_alloc(&lasting, (depth + 2) * sizeof *hits);
    buffer ids = {0};
    const sparse_snapshot *snapshot = (collection_refresh(w->collection), collection_acquire(w->collection));
    assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
    assert_true(collection_number_of(t, slice_of(id), &number));
    sparse_eligible_compute(snapshot, NULL, &lasting, &all);
    vector_query *q = vectors_ask(funnel_vectors(w->funnel), (slice){0}, NULL, NULL, number);
    size_t n = vector_query_search(q, &all, depth + 1, INT64_MAX, &lasting, hits, &late);
    for (size_t i = 0; i < n; i++) {
        collection_document d;
        assert_ok(collection_document_by_number(t, hits[i].document, &d));
        if (hits[i].document != number) buffer_printf(&ids, "%.*s ", SLICE_ARG(d.id));
    }
    vector_query_release(q);
    store_read_end(t);
    collection_release(w->collection, snapshot);
    const char *out = arena_strndup(&lasting, ids.size ? ids.data : "", ids.size);
    buffer_release(&ids);
    return out;
}

static const char *const kinds[2][6] = {{"engine", "wheel", "road", "brake", "fuel", "gear"},
                                        {"onion", "pepper", "kitchen", "spoon", "salt", "stew"}};

/* Two kinds of documents, whose words stand in `tags`, an array; titles say nothing. */
static void import_kinds(int n) {
    buffer lines = {0};
    random_source r;
    random_seed(&r, 2);
    for (int i = 0; i < n; i++) {
        buffer_printf(&lines, "{\"id\":\"%s%d\",\"title\":\"item\",\"tags\":[", i % 2 ? "food" : "ride", i);
        for (int t = 0; t < 4; t++) buffer_printf(&lines, "%s\"%s\"", t ? "," : "", kinds[i % 2][random_below(&r, 6)]);
        buffer_puts(&lines, "]}\n");
    }
    world_import(w, buffer_text(&lines));
    buffer_release(&lines);
}

/* Of which fields a vector is made is said by "from": keywords in an array, too. */
static void it_reads_what_it_is_told_to(void **state) {
    (void)state;
    world_schema(w, "{\"fields\":{\"title\":{\"type\":\"text\"},\"tags\":{\"type\":\"keyword\"},\"meaning\":{\"type\":\"vector\","
                    "\"dimensions\":4,\"encoder\":\"catalogue\",\"from\":[\"tags\",\"nothing\"]},"
                    "\"titles\":{\"type\":\"vector\",\"dimensions\":4,\"encoder\":\"catalogue\",\"from\":[\"tags\",\"title\"]}}}");
    import_kinds(200);
    world_import(w, "{\"id\":\"bare\",\"title\":\"item\"}\n");
    settle();
    assert_int_equal(info_of("meaning").index.documents, 200); /* "bare" has nothing to read */
    assert_int_equal(info_of("titles").index.documents, 201);
    const char *ids = found("\"query\":\"gear\",\"limit\":40"); /* no text field has the word */
    assert_true(count(ids, "ride") >= 38);
    assert_int_equal(count(ids, "bare"), 0);
}

/* Documents without a word in common refer to the same author: that makes them alike. */
static void references_teach_it(void **state) {
    (void)state;
    world_schema(w, "{\"fields\":{\"title\":{\"type\":\"text\"},\"author\":{\"type\":\"reference\"},\"meaning\":{\"type\":\"vector\","
                    "\"dimensions\":2,\"encoder\":\"catalogue\",\"from\":[\"title\"]}}}");
    buffer lines = {0};
    random_source r;
    random_seed(&r, 2);
    for (int i = 0; i < 240; i++) { /* four vocabularies; the first two share an author, and so do the others */
        int vocabulary = i % 4;
        buffer_printf(&lines, "{\"id\":\"v%d-%d\",\"title\":\"", vocabulary, i);
        for (int t = 0; t < 4; t++) buffer_printf(&lines, "%s%s ", kinds[vocabulary % 2][random_below(&r, 6)], vocabulary < 2 ? "" : "ium");
        buffer_printf(&lines, "\",\"author\":%s\"a%d\"%s}\n", i % 3 ? "[" : "", vocabulary / 2, i % 3 ? ",\"nobody\"]" : "");
    }
    buffer_puts(&lines, "{\"id\":\"a0\",\"title\":\"somebody\"}\n{\"id\":\"a1\",\"title\":\"somebody else\"}\n");
    world_import(w, buffer_text(&lines));
    buffer_release(&lines);
    settle();
    const char *ids = alike("v0-0", 119);
    if (count(ids, "v0-") + count(ids, "v1-") < 110) fail_msg("%s", ids); /* of 119; by words alone, half of them */
}

/* Cut off, or gone: trained anew from the same documents, and the same again. */
static void a_damaged_model_is_trained_anew(void **state) {
    (void)state;
    world_schema(w, "{\"fields\":{\"tags\":{\"type\":\"text\"},\"meaning\":{\"type\":\"vector\",\"dimensions\":4,"
                    "\"encoder\":\"catalogue\"}}}");
    import_kinds(120);
    settle();
    uint64_t version = info_of("meaning").version;
    log_set_level(LOG_SILENT);
    for (int gone = 0; gone < 2; gone++) {
        const char *path = path_join(&lasting, collection_folder(w->collection), "vectors/1.model");
        buffer file = {0};
        world_shut(w);
        assert_ok(os_read_file(path, 0, &file, NULL));
        if (gone) assert_ok(os_remove_file(path, NULL));
        else assert_ok(os_write_file(path, file.data, file.size / 3, NULL));
        world_open(w);
        assert_true(count(found("\"query\":\"gear\""), "ride") > 0); /* words need no model */
        settle();
        assert_true(info_of("meaning").version == version);
        assert_int_equal(info_of("meaning").index.documents, 120);
        assert_int_equal(info_of("meaning").trained_documents, 120);
        buffer_release(&file);
    }
    log_set_level(LOG_WARN);
}

/* Too few documents to learn from are no problem of the collection's. */
static void a_few_documents_teach_nothing(void **state) {
    (void)state;
    world_schema(w, "{\"fields\":{\"tags\":{\"type\":\"text\"},\"meaning\":{\"type\":\"vector\",\"dimensions\":4,"
                    "\"encoder\":\"catalogue\"}}}");
    import_kinds(4);
    base_error error = {0};
    log_set_level(LOG_SILENT);
    forage_status status = vectors_settle(funnel_vectors(w->funnel), &error);
    log_set_level(LOG_WARN);
    assert_true(status == FORAGE_OK || strstr(error.message, "too few"));
    assert_int_equal(info_of("meaning").version, 0);
    assert_true(count(found("\"query\":\"onion stew pepper salt kitchen spoon\""), "food") > 0);
}

#define ISOLATED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ISOLATED(it_reads_what_it_is_told_to),     ISOLATED(references_teach_it),
        ISOLATED(a_damaged_model_is_trained_anew), ISOLATED(a_few_documents_teach_nothing),
    };
    return cmocka_run_group_tests_name("vectors_catalogue", tests, NULL, NULL);
}
