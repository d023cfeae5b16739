/* Vector fields whose vectors documents bring: wrong values, fields that come later, several fields and metrics, changes while
 * vectors are made, files that are missing or damaged, collections that are only read. */
#include "world.h"

#include "retrieve/vectors.h"

#include <pthread.h>

static world *w;
static arena lasting;

static int set_up(void **state) {
    (void)state;
    arena_init(&lasting, 0);
    w = world_begin();
    world_schema(w, "{\"fields\":{\"title\":{\"type\":\"text\"},\"place\":{\"type\":\"vector\",\"dimensions\":3},"
                    "\"colour\":{\"type\":\"vector\",\"dimensions\":2,\"metric\":\"l2\",\"code\":\"float32\"},"
                    "\"taste\":{\"type\":\"vector\",\"dimensions\":2,\"metric\":\"dot\"}}}");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    world_end(w);
    arena_release(&lasting);
    return 0;
}

static forage_status settle(void) { return vectors_settle(funnel_vectors(w->funnel), NULL); }

static const char *found(const char *members) {
    return world_ids(w, world_search(w, arena_printf(&lasting, "{\"policy\":\"all\",\"log\":false,%s}", members)));
}

/* The best by a field's vectors alone, as the strategy "semantic" is asked; the search itself finds the same documents. */
static const char *nearest(const char *field, const char *vector, uint32_t like, uint32_t depth) {
    const schema_field *f = schema_find(collection_schema(w->collection), slice_of(field));
    const json_value *json = like == UINT32_MAX ? parse(&lasting, vector) : NULL;
    float given[8];
    size_t n = 0;
    for (const json_value *v = json ? json->first : NULL; v; v = v->next) given[n++] = (float)v->number;
    const sparse_snapshot *snapshot = (collection_refresh(w->collection), collection_acquire(w->collection));
    sparse_eligible all;
    sparse_eligible_compute(snapshot, NULL, &lasting, &all);
    vector_query *q = vectors_ask(funnel_vectors(w->funnel), (slice){0}, f, json ? given : NULL, like);
    sparse_hit *hits = arena_alloc(&lasting, (depth + 1) * sizeof *hits);
    bool late = false;
    n = vector_query_search(q, &all, depth, INT64_MAX, &lasting, hits, &late);
    vector_query_release(q);
    buffer ids = {0};
    store_txn *t;
    assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
    for (size_t i = 0; i < n; i++) {
        collection_document d;
        assert_ok(collection_document_by_number(t, hits[i].document, &d));
        buffer_printf(&ids, "%s%.*s", i ? " " : "", SLICE_ARG(d.id));
    }
    store_read_end(t);
    collection_release(w->collection, snapshot);
    const char *out = arena_strndup(&lasting, ids.size ? ids.data : "", ids.size);
    buffer_release(&ids);
    assert_false(late);
    return out;
}

static void assert_nearest(const char *field, const char *vector, const char *ids) {
    const char *got = nearest(field, vector, UINT32_MAX, 10);
    size_t size = strlen(ids);
    if (strncmp(got, ids, size) != 0 || (got[size] && got[size] != ' '))
        fail_msg("%s %s: expected \"%s\" first, got \"%s\"", field, vector, ids, got);
    const char *first = arena_strndup(&lasting, ids, strcspn(ids, " "));
    const char *all = found(arena_printf(&lasting, "\"vector\":%s,\"vector_field\":\"%s\",\"limit\":1000", vector, field));
    if (!strstr(all, first)) fail_msg("%s %s: expected \"%s\" in \"%s\"", field, vector, first, all);
}

static size_t vectors_of(const char *name) {
    vectors_info fields[SPARSE_MAX_FIELDS];
    size_t n = vectors_describe(funnel_vectors(w->funnel), fields);
    for (size_t i = 0; i < n; i++)
        if (strcmp(fields[i].field->name, name) == 0) return fields[i].index.documents;
    fail_msg("no vector field %s", name);
    return 0;
}

/* ---- Wrong values ---- */

static void assert_document_refused(const char *field, const char *value, const char *why) {
    import_report report;
    world_import_report(w, slice_of(arena_printf(&lasting, "{\"id\":\"bad\",\"%s\":%s}\n", field, value)), &report);
    if (report.failed != 1) fail_msg("%s: %s was taken", field, value);
    const char *told = arena_strndup(&lasting, report.problems[0].message.data, report.problems[0].message.size);
    if (!strstr(told, why)) fail_msg("%s: expected \"%s\" in \"%s\"", value, why, told);
    arena_release(&report.memory);
}

static void wrong_vectors_of_documents_are_refused(void **state) {
    (void)state;
    static const char *const bad[][3] = {
        {"place", "[1,2]", "an array of 3 numbers, got 2"},   {"place", "[1,2,3,4]", "an array of 3 numbers, got 4"},
        {"place", "[]", "an array of 3 numbers"},             {"place", "[[1,2,3]]", "an array of 3 numbers"},
        {"place", "[1,\"2\",3]", "an array of 3 numbers"},    {"place", "[1,true,3]", "an array of 3 numbers"},
        {"place", "{\"x\":1}", "an array of 3 numbers"},      {"place", "7", "an array of 3 numbers"},
        {"place", "[1,1e39,3]", "an array of 3 numbers"},     {"place", "[1,-1e400,3]", ""},
        {"place", "[1,NaN,3]", ""},                           {"place", "[1,Infinity,3]", ""},
        {"place", "[0,0,0]", "no direction"},                 {"place", "[0,-0.0,1e-60]", "no direction"},
        {"place", "[1e-25,0,1e-25]", "no direction"},         {"place", "[1e30,1,1]", "too long"},
        {"colour", "[2e38,2e38]", "too long"},                {"taste", "[-1e25,1]", "too long"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_document_refused(bad[i][0], bad[i][1], bad[i][2]);
    assert_ok(settle());
    assert_int_equal(vectors_of("place") + vectors_of("colour") + vectors_of("taste"), 0);
    /* Zero is a place, if not a direction; long vectors are fine as long as their squares are. */
    world_import(w, "{\"id\":\"zero\",\"colour\":[0,0],\"taste\":[0,0]}\n{\"id\":\"far\",\"place\":[1e15,0,1],\"colour\":[-1e15,0]}\n");
    assert_nearest("colour", "[0.1,0]", "zero");
    assert_nearest("place", "[2,0,0]", "far");
}

static void wrong_vectors_of_requests_are_refused(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"\"vector\":[1,2]", "has 3 dimensions, got 2"},
        {"\"vector\":[1,2,3],\"vector_field\":\"colour\"", "has 2 dimensions, got 3"},
        {"\"vector\":[],\"vector_field\":\"colour\"", "has 2 dimensions, got 0"},
        {"\"vector\":[0,0,0]", "no direction"},
        {"\"vector\":[1e-60,0,0]", "no direction"},
        {"\"vector\":\"[1,2,3]\"", "expected an array of numbers"},
        {"\"vector\":{\"a\":1}", "expected an array of numbers"},
        {"\"vector\":[1,\"2\",3]", "32-bit"},
        {"\"vector\":[1,null,3]", "32-bit"},
        {"\"vector\":[1,1e300,3]", "32-bit"},
        {"\"vector\":[1,2,3],\"vector_field\":\"title\"", "no vector field \"title\""},
        {"\"vector\":[1,2,3],\"vector_field\":\"nothing\"", "no vector field \"nothing\""},
        {"\"vector\":[1,2,3],\"vector_field\":7", "vector_field"},
        {"\"like\":7", "like"},
        {"\"like\":[\"a\"]", "like"},
        {"\"like\":\"unheard of\"", "no document \"unheard of\""}};
    world_import(w, "{\"id\":\"one\",\"title\":\"word\",\"place\":[1,2,3]}\n");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const json_value *answer;
        base_error error = {0};
        forage_status status = world_try(w, arena_printf(&lasting, "{%s}", bad[i][0]), &answer, &error);
        if (!status || !strstr(error.message, bad[i][1])) fail_msg("%s: expected \"%s\" in \"%s\"", bad[i][0], bad[i][1], error.message);
    }
    assert_string_equal(found("\"query\":\"word\",\"vector\":null"), "one");
    assert_nearest("place", "[3e38,-3e38,3e38]", "one"); /* a direction, however long */
}

/* ---- Metrics and fields ---- */

static void each_field_has_its_metric(void **state) {
    (void)state;
    world_import(w, "{\"id\":\"near\",\"place\":[1,1,0],\"colour\":[1,1],\"taste\":[1,1]}\n"
                    "{\"id\":\"long\",\"place\":[9,10,0],\"colour\":[9,10],\"taste\":[9,10]}\n"
                    "{\"id\":\"other\",\"place\":[0,0,1],\"colour\":[-5,0],\"taste\":[-1,0]}\n"
                    "{\"id\":\"none\",\"title\":\"nothing\"}\n");
    assert_int_equal(vectors_of("place"), 3);
    assert_nearest("place", "[9,10.1,0]", "long"); /* the angle */
    assert_nearest("place", "[2,2.01,0]", "near");
    assert_nearest("colour", "[1.2,1]", "near"); /* the way between */
    assert_nearest("colour", "[7,7]", "long");
    assert_nearest("taste", "[1,1]", "long");   /* the product */
    assert_nearest("taste", "[-1,-1]", "other");
    /* Without a field's name the first that takes vectors. */
    assert_non_null(strstr(found("\"vector\":[2,2.01,0]"), "near"));
    /* Like a document: by all of its vectors. */
    world_import(w, "{\"id\":\"twin\",\"colour\":[-5,0.1]}\n");
    assert_non_null(strstr(found("\"like\":\"twin\""), "other"));
    assert_null(strstr(found("\"like\":\"twin\""), "none"));
}

/* ---- Later ---- */

static void a_field_that_comes_later_is_filled(void **state) {
    (void)state;
    buffer lines = {0};
    for (int i = 0; i < 3000; i++)
        buffer_printf(&lines, "{\"id\":\"d%d\",\"title\":\"number\"%s%d,%d]}\n", i, ",\"later\":[", i + 1, 3000 - i);
    world_import(w, buffer_text(&lines));
    buffer_clear(&lines);
    world_schema(w, "{\"fields\":{\"later\":{\"type\":\"vector\",\"dimensions\":2}}}");
    for (int i = 0; i < 200; i++) /* while they are made: others, again, and gone */
        buffer_printf(&lines, "{\"id\":\"d%d\",\"title\":\"number\",\"later\":[-1,%d]}\n", i, i + 1);
    world_import(w, buffer_text(&lines));
    for (int i = 100; i < 300; i++) {
        char id[16];
        snprintf(id, sizeof id, "d%d", i);
        assert_ok(collection_delete(w->collection, slice_of(id), NULL));
    }
    world_import(w, "{\"id\":\"d150\",\"title\":\"number\",\"later\":[-9,1]}\n{\"id\":\"d2999\",\"title\":\"number\"}\n");
    assert_ok(settle());
    assert_int_equal(vectors_of("later"), 3000 - 200 + 1 - 1);
    assert_nearest("later", "[-9,1.001]", "d150");
    assert_nearest("later", "[-1,50.01]", "d49");
    assert_non_null(strstr(nearest("later", "[1501,1500]", UINT32_MAX, 20), "d1500"));
    assert_null(strstr(nearest("later", "[3000,1]", UINT32_MAX, 20), "d2999"));
    buffer_release(&lines);
}

typedef struct writer {
    world *w;
    int round;
} writer;

static void *write_some(void *argument) {
    writer *me = argument;
    for (int i = 0; i < 60; i++) {
        char line[128];
        import_report report = {0};
        snprintf(line, sizeof line, "{\"id\":\"w%d\",\"place\":[%d,%d,1]}\n", i, i + 1, me->round);
        records_reader *reader = records_open_memory(slice_of(line), NULL);
        arena_init(&report.memory, 0);
        if (collection_import(me->w->collection, reader, 1, &report, NULL) || report.failed) abort();
        records_close(reader);
        arena_release(&report.memory);
        if (i % 3 == 0) {
            snprintf(line, sizeof line, "w%d", i / 2);
            collection_delete(me->w->collection, slice_of(line), NULL);
        }
    }
    return NULL;
}

/* Two writers, who take turns at the same documents, and somebody who settles: at last the index says what the store says. */
static void writers_side_by_side(void **state) {
    (void)state;
    writer writers[2] = {{w, 1}, {w, 2}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(threads + i, NULL, write_some, writers + i), 0);
    for (int i = 0; i < 5; i++) assert_ok(settle());
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    assert_ok(settle());
    size_t stored = 0;
    for (int i = 0; i < 60; i++) {
        store_txn *t;
        uint32_t number;
        char id[16];
        snprintf(id, sizeof id, "w%d", i);
        assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
        bool there = collection_number_of(t, slice_of(id), &number);
        store_read_end(t);
        stored += there;
        if (!there) continue;
        assert_true(strncmp(nearest("place", NULL, number, 3), "w", 1) == 0); /* it has a vector, and others are like it */
    }
    assert_int_equal(vectors_of("place"), stored);
}

/* ---- Files ---- */

static const char *image_of(const char *start) {
    char **names;
    size_t n;
    const char *folder = path_join(&lasting, collection_folder(w->collection), "vectors");
    assert_ok(os_list(folder, &lasting, &names, &n, NULL));
    for (size_t i = 0; i < n; i++) {
        size_t size = strlen(names[i]);
        if (size > 6 && strcmp(names[i] + size - 6, ".dense") == 0 && strncmp(names[i], start, strlen(start)) == 0)
            return path_join(&lasting, folder, names[i]);
    }
    fail_msg("no image %s… in %s", start, folder);
    return NULL;
}

/* Missing, cut off, flipped, another collection's: it is made anew, and no search is wrong meanwhile or after. */
static void an_image_that_is_lost_is_made_anew(void **state) {
    (void)state;
    buffer lines = {0}, image = {0};
    for (int i = 0; i < 500; i++) buffer_printf(&lines, "{\"id\":\"d%d\",\"place\":[%d,%d,1]}\n", i, i, 500 - i);
    world_import(w, buffer_text(&lines));
    buffer_release(&lines);
    assert_ok(settle());
    log_set_level(LOG_SILENT);
    for (int damage = 0; damage < 5; damage++) {
        world_shut(w);
        world_open(w);
        const char *path = image_of("1-");
        world_shut(w);
        buffer_clear(&image);
        assert_ok(os_read_file(path, 0, &image, NULL));
        if (damage == 0) assert_ok(os_remove_file(path, NULL));
        else if (damage == 1) assert_ok(os_write_file(path, image.data, image.size / 2, NULL));
        else if (damage == 2) assert_ok(os_write_file(path, "", 0, NULL));
        else if (damage == 3) image.data[image.size - 100] ^= 1, assert_ok(os_write_file(path, image.data, image.size, NULL));
        else assert_ok(os_write_file(path, "another program's file, of whatever kind it may be", 50, NULL));
        world_open(w);
        assert_ok(settle());
        assert_int_equal(vectors_of("place"), 500);
        assert_nearest("place", "[250,250,1]", "d250");
    }
    log_set_level(LOG_WARN);
    buffer_release(&image);
}

/* An image that is older than the store: of before documents came, changed and went. */
static void an_old_image_catches_up(void **state) {
    (void)state;
    world_import(w, "{\"id\":\"a\",\"place\":[1,0,0]}\n{\"id\":\"b\",\"place\":[0,1,0]}\n{\"id\":\"c\",\"place\":[0,0,1]}\n");
    world_reopen(w);
    const char *path = image_of("1-");
    buffer old = {0};
    assert_ok(os_read_file(path, 0, &old, NULL));
    world_import(w, "{\"id\":\"a\",\"place\":[-1,0,0]}\n{\"id\":\"d\",\"place\":[1,0.1,0]}\n{\"id\":\"b\",\"title\":\"without\"}\n");
    assert_ok(collection_delete(w->collection, SLICE("c"), NULL));
    world_shut(w);
    assert_ok(os_write_file(path, old.data, old.size, NULL));
    world_open(w);
    assert_ok(settle());
    assert_int_equal(vectors_of("place"), 2);
    assert_nearest("place", "[1,0,0]", "d");
    assert_nearest("place", "[-1,0,0]", "a");
    assert_null(strstr(found("\"vector\":[0,0,1]"), "c"));
    buffer_release(&old);
}

/* Whoever only reads has the vectors too, makes what the image lacks for itself, and writes nothing. */
static void a_reader_has_them_too(void **state) {
    (void)state;
    world_import(w, "{\"id\":\"a\",\"title\":\"word\",\"place\":[1,0,0]}\n{\"id\":\"b\",\"place\":[0,1,0]}\n");
    world_reopen(w);
    const char *path = image_of("1-");
    for (int lost = 0; lost < 2; lost++) {
        base_error error = {0};
        if (lost) assert_ok(os_remove_file(path, NULL));
        world reader = *w;
        collection_options options = {.no_sync = true, .clock = w->clock, .read_only = true};
        world_shut(w);
        if (lost) assert_ok(os_remove_file(path, NULL));
        if (collection_open(w->folder, "world", &options, &reader.collection, &error)) fail_msg("%s", error.message);
        if (funnel_open(reader.collection, w->pool, 7, &reader.funnel, &error)) fail_msg("%s", error.message);
        assert_ok(vectors_settle(funnel_vectors(reader.funnel), &error));
        assert_int_equal(vectors_train(funnel_vectors(reader.funnel), &error), FORAGE_E_READ_ONLY);
        const json_value *answer = world_search(&reader, "{\"vector\":[0.1,1,0],\"policy\":\"all\",\"log\":false}");
        assert_true(strncmp(world_ids(w, answer), "b", 1) == 0);
        funnel_close(reader.funnel);
        collection_close(reader.collection);
        assert_true(os_exists(path) == !lost);
        world_open(w);
    }
}

#define ISOLATED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ISOLATED(wrong_vectors_of_documents_are_refused), ISOLATED(wrong_vectors_of_requests_are_refused),
        ISOLATED(each_field_has_its_metric),              ISOLATED(a_field_that_comes_later_is_filled),
        ISOLATED(writers_side_by_side),                   ISOLATED(an_image_that_is_lost_is_made_anew),
        ISOLATED(an_old_image_catches_up),                ISOLATED(a_reader_has_them_too),
    };
    return cmocka_run_group_tests_name("vectors_documents", tests, NULL, NULL);
}
