/* A data folder: opened, locked, refused; the typed calls; collections removed while in use; many threads at once; and
 * the ranking before anybody has clicked. */
#include "calling.h"

#include <pthread.h>
#include <stdatomic.h>

static caller c;

static int set_up(void **state) {
    (void)state;
    caller_begin(&c);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    caller_end(&c);
    return 0;
}

static const char *const books = "{\"id\":\"b1\",\"type\":\"book\",\"title\":\"The Hunger Games\",\"year\":2008}\n"
                                 "{\"id\":\"b2\",\"type\":\"book\",\"title\":\"Catching Fire\",\"year\":2009}\n"
                                 "{\"id\":\"b3\",\"title\":\"Goblet of Fire\",\"year\":2000}\n";

/* ---- The folder ---- */

static void one_writer_at_a_time(void **state) {
    (void)state;
    forage *other = NULL;
    forage_error error = {0};
    forage_collection *handle;
    assert_ok(forage_collection_open(c.db, "books", FORAGE_CREATE, &handle, NULL));
    forage_status status = forage_open(c.folder, NULL, &other, &error);
    assert_int_equal(status, FORAGE_E_LOCKED);
    assert_null(other);
    assert_true(error.message[0]);
}

static void folders_that_cannot_be_opened_say_why(void **state) {
    (void)state;
    static const struct {
        const char *text;
        forage_status status;
    } rows[] = {{"{\"format\": 99}", FORAGE_E_VERSION},
                {"", FORAGE_E_CORRUPT},
                {"{}", FORAGE_E_CORRUPT},
                {"[1]", FORAGE_E_CORRUPT},
                {"{\"format\": \"1\"}", FORAGE_E_CORRUPT},
                {"{\"format\": 0}", FORAGE_E_CORRUPT}};
    forage_error error = {0};
    forage *other = NULL;
    arena a;
    arena_init(&a, 0);
    char *folder = path_join(&a, c.folder, "elsewhere"), *path = path_join(&a, folder, "forage.json");
    assert_ok(os_make_folders(folder, NULL));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_ok(os_write_file(path, rows[i].text, strlen(rows[i].text), NULL));
        assert_int_equal(forage_open(folder, NULL, &other, &error), rows[i].status);
        assert_non_null(strstr(error.message, folder));
    }
    forage_options reading = {.read_only = true};
    assert_int_equal(forage_open(path_join(&a, c.folder, "nowhere"), &reading, &other, &error), FORAGE_E_NOT_FOUND);
    assert_ok(os_remove_file(path, NULL));
    assert_int_equal(forage_open(folder, &reading, &other, &error), FORAGE_E_NOT_FOUND);
    assert_int_equal(forage_open("", NULL, &other, &error), FORAGE_E_INVALID);
    assert_int_equal(forage_open(NULL, NULL, &other, NULL), FORAGE_E_INVALID);
    assert_null(other);
    arena_release(&a);
}

static void a_read_only_folder_answers_and_takes_nothing(void **state) {
    (void)state;
    call_ok(c.db, "POST", "/collections/books/documents", books);
    forage_close(c.db);
    caller_open(&c, true);
    answer a = call(c.db, "POST", "/collections/books/search",
                    "{\"query\":\"fire\",\"policy\":\"all\",\"timeout_ms\":60000}");
    assert_int_equal(count_at(a.json, "hits"), 2);
    assert_int_equal(at(a.json, "query_id")->type, JSON_NULL);
    answer_release(&a);
    call_ok(c.db, "GET", "/collections", NULL);
    call_ok(c.db, "GET", "/collections/books/stats", NULL);
    call_ok(c.db, "POST", "/collections/books/check", NULL);
    assert_fails(c.db, "PUT", "/collections/films", "{}", 403, "read_only");
    assert_fails(c.db, "PUT", "/collections/books", "{\"fields\":{\"a\":{\"type\":\"text\"}}}", 403, "read_only");
    assert_fails(c.db, "POST", "/collections/books/documents", books, 403, "read_only");
    assert_fails(c.db, "DELETE", "/collections/books/documents/b1", NULL, 403, "read_only");
    assert_fails(c.db, "DELETE", "/collections/books", NULL, 403, "read_only");
    assert_fails(c.db, "POST", "/collections/books/optimize", NULL, 403, "read_only");
    assert_fails(c.db, "POST", "/collections/books/policy", "{\"relearn\":true}", 403, "read_only");
    assert_fails(
        c.db, "POST", "/collections/books/events",
        "{\"query_id\":\"q\",\"action_name\":\"click\",\"event_attributes\":{\"object\":{\"object_id\":\"b1\"}}}", 403,
        "read_only");
    assert_fails(c.db, "GET", "/collections/films", NULL, 404, "collection_not_found");
}

static void what_a_crashed_removal_left_is_cleared_away(void **state) {
    (void)state;
    arena a;
    arena_init(&a, 0);
    char *left = path_join(&a, c.folder, "collections/.removed-books");
    assert_ok(os_make_folders(path_join(&a, left, "segments"), NULL));
    forage_close(c.db);
    caller_open(&c, false);
    assert_false(os_exists(left));
    arena_release(&a);
}

/* ---- The typed calls ---- */

static forage_collection *typed_books(void) {
    static const char declared[] = "{\"fields\":{\"title\":{\"type\":\"text\"},\"year\":{\"type\":\"number\"}}}";
    forage_collection *handle;
    forage_import_report report;
    assert_ok(forage_collection_open(c.db, "books", FORAGE_CREATE, &handle, NULL));
    assert_ok(forage_collection_set_schema(handle, declared, sizeof declared - 1, NULL));
    assert_ok(forage_import(handle, books, strlen(books), NULL, &report, NULL));
    assert_int_equal(report.indexed, 3);
    assert_string_equal(report.first_error, "");
    return handle;
}

static void typed_collections_and_documents(void **state) {
    (void)state;
    static const char lines[] = "id,title,year\nx,bad,nineteen\n";
    forage_collection *handle, *same;
    forage_error error = {0};
    forage_import_report report;
    char *json = NULL;
    assert_int_equal(forage_collection_open(c.db, "books", FORAGE_EXISTING, &same, &error), FORAGE_E_NO_COLLECTION);
    assert_int_equal(forage_collection_open(c.db, NULL, FORAGE_CREATE, &same, &error), FORAGE_E_INVALID);
    handle = typed_books();
    assert_ok(forage_collection_open(c.db, "books", FORAGE_EXISTING, &same, &error));
    assert_ptr_equal(handle, same);
    assert_int_equal(forage_collection_set_schema(handle, "{", 1, &error), FORAGE_E_JSON);
    assert_ok(forage_import(handle, lines, sizeof lines - 1, "csv", &report, &error));
    assert_int_equal(report.failed, 1);
    assert_string_equal(report.first_error, "line 2, field \"year\": expected a number, got \"nineteen\"");
    assert_int_equal(forage_import(handle, lines, 1, "xml", &report, &error), FORAGE_E_INVALID);
    assert_int_equal(forage_import_file(handle, "/nowhere/at/all", NULL, &report, &error), FORAGE_E_NOT_FOUND);
    assert_ok(forage_document_get(handle, "b1", &json, &error));
    assert_string_equal(json, "{\"id\":\"b1\",\"type\":\"book\",\"title\":\"The Hunger Games\",\"year\":2008}");
    forage_free(json);
    assert_ok(forage_document_delete(handle, "b1", &error));
    assert_int_equal(forage_document_get(handle, "b1", &json, &error), FORAGE_E_NO_DOCUMENT);
    assert_int_equal(forage_document_delete(handle, "b1", NULL), FORAGE_E_NO_DOCUMENT);
    assert_ok(forage_collection_drop(c.db, "books", &error));
    assert_int_equal(forage_collection_drop(c.db, "books", &error), FORAGE_E_NO_COLLECTION);
}

static void typed_searches_and_events(void **state) {
    (void)state;
    forage_collection *handle = typed_books();
    forage_error error = {0};
    forage_results *results;
    bool duplicate = true;
    forage_search_request request = {.query = "fire",
                                     .limit = 5,
                                     .filter = "{\"year\":{\"gte\":2009}}",
                                     .user = "u",
                                     .options = "{\"policy\":\"all\",\"facets\":[\"type\"],\"timeout_ms\":60000}"};
    assert_ok(forage_search(handle, &request, &results, &error));
    assert_int_equal(forage_results_count(results), 1);
    forage_hit hit = forage_results_hit(results, 0);
    assert_string_equal(hit.id, "b2");
    assert_string_equal(hit.type, "book");
    assert_int_equal(strncmp(hit.strategies, "lexical", 7), 0);
    assert_non_null(strstr(hit.document, "Catching Fire"));
    assert_non_null(strstr(forage_results_json(results), "\"facets\""));
    assert_null(forage_results_hit(results, 1).id);
    forage_event event = {
        .query_id = forage_results_query_id(results), .action = "click", .document = hit.id, .event_id = "e"};
    assert_ok(forage_record_event(handle, &event, &duplicate, &error));
    assert_false(duplicate);
    assert_ok(forage_record_event(handle, &event, &duplicate, &error));
    assert_true(duplicate);
    event.event_id = NULL;
    event.query_id = "nobody";
    assert_int_equal(forage_record_event(handle, &event, NULL, &error), FORAGE_E_NO_QUERY);
    event.action = NULL;
    assert_int_equal(forage_record_event(handle, &event, NULL, &error), FORAGE_E_EVENT);
    assert_ok(forage_collection_drop(c.db, "books", &error));
    assert_string_equal(hit.id, "b2"); /* results need nobody */
    forage_results_free(results);
    forage_results_free(NULL);
}

static void typed_searches_have_the_same_limits(void **state) {
    (void)state;
    static const forage_search_request wrong[] = {{.limit = 1001},
                                                  {.offset = 10001},
                                                  {.offset = 9999, .limit = 2},
                                                  {.limit = UINT32_MAX, .offset = UINT32_MAX},
                                                  {.filter = "{"},
                                                  {.filter = "{\"nothing\":1}"},
                                                  {.options = "[]"},
                                                  {.options = "{\"limt\":1}"},
                                                  {.query = "\xC3\x28"}};
    forage_collection *handle;
    forage_results *results = NULL;
    assert_ok(forage_collection_open(c.db, "books", FORAGE_CREATE, &handle, NULL));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        forage_error error = {0};
        assert_int_not_equal(forage_search(handle, &wrong[i], &results, &error), FORAGE_OK);
        assert_null(results);
        assert_true(error.message[0]);
        assert_int_not_equal(forage_search(handle, &wrong[i], &results, NULL), FORAGE_OK);
    }
    assert_ok(forage_search(handle, &(forage_search_request){0}, &results, NULL));
    assert_int_equal(forage_results_count(results), 0);
    forage_results_free(results);
}

/* ---- Removing what is in use ---- */

static atomic_bool stop;
static atomic_int surprises;

typedef struct user {
    const char *method, *target, *body;
    int rounds;
} user;

/* Calls again and again; only success and "not there" are expected. */
static void *use(void *argument) {
    const user *u = argument;
    for (int i = 0; u->rounds ? i < u->rounds : !stop; i++) {
        answer a = call(c.db, u->method, u->target, u->body);
        if (a.status != 200 && a.status != 201 && a.status != 404) {
            print_error("%s %s: %d %s\n", u->method, u->target, a.status, a.response.body);
            surprises++;
        }
        answer_release(&a);
    }
    return NULL;
}

static void removing_waits_for_those_who_use_it(void **state) {
    (void)state;
    user users[] = {
        {"DELETE", "/collections/books", NULL, 25},
        {"DELETE", "/collections/books", NULL, 25},
        {"POST", "/collections/books/documents", books, 0},
        {"POST", "/collections/books/search", "{\"query\":\"fire\"}", 0},
        {"GET", "/metrics", NULL, 0},
        {"GET", "/collections", NULL, 0},
    };
    enum { N = sizeof users / sizeof users[0] };
    pthread_t threads[N];
    stop = false;
    surprises = 0;
    for (int i = 0; i < N; i++) assert_int_equal(pthread_create(&threads[i], NULL, use, &users[i]), 0);
    for (int i = 0; i < N; i++) {
        if (i == 2) stop = true;
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(surprises, 0);
    call_ok(c.db, "POST", "/collections/books/documents", books);
    answer a = call(c.db, "POST", "/collections/books/check", NULL);
    assert_true(true_at(a.json, "ok"));
    answer_release(&a);
}

/* ---- Many at once ---- */

static atomic_int accepted;

static void *search_many(void *argument) {
    static const char *const requests[] = {"{\"query\":\"fire word3\",\"explain\":true}",
                                           "{\"query\":\"word7 word8\",\"facets\":[\"genre\",\"year\"]}",
                                           "{\"query\":\"\"}",
                                           "{\"query\":\"hunger\",\"filter\":{\"year\":{\"gte\":1950}}}",
                                           "{\"query\":\"wo\",\"prefix\":true,\"ranker\":\"rrf\"}",
                                           "{\"query\":\"fire\",\"policy\":\"all\",\"limit\":100}",
                                           "{\"query\":\"word1\",\"timeout_ms\":1}"};
    const int *seed = argument;
    for (int i = 0; i < 120; i++) {
        answer a = call(c.db, "POST", "/collections/books/search", requests[(i + *seed) % 7]);
        if (a.status != 200) surprises++;
        answer_release(&a);
    }
    return NULL;
}

static void *import_many(void *argument) {
    (void)argument;
    for (int round = 0; round < 25; round++) {
        buffer lines = {0};
        for (int i = 0; i < 40; i++)
            buffer_printf(
                &lines,
                "{\"id\":\"d%d\",\"title\":\"fire word%d word%d\",\"year\":%d,\"genre\":\"g%d\",\"popularity\":%d}\n",
                (round * 17 + i) % 500, i % 9, round % 9, 1900 + i, i % 3, i);
        answer a = call(c.db, "POST", "/collections/books/documents", buffer_text(&lines));
        if (a.status != 200 || number_at(a.json, "failed") > 0) surprises++;
        answer_release(&a);
        buffer_release(&lines);
    }
    return NULL;
}

static void *click_many(void *argument) {
    (void)argument;
    for (int i = 0; i < 60; i++) {
        answer a = call(c.db, "POST", "/collections/books/search",
                        "{\"query\":\"fire\",\"policy\":\"fixed\",\"timeout_ms\":60000}");
        arena memory;
        arena_init(&memory, 0);
        const char *event = arena_printf(
            &memory,
            "{\"query_id\":\"%s\",\"action_name\":\"click\",\"event_attributes\":{\"object\":{"
            "\"object_id\":\"%s\"}}}",
            text_at(a.json, "query_id"), text_at(a.json, "hits.0.id"));
        answer b = call(c.db, "POST", "/collections/books/events", event);
        accepted += (int)number_at(b.json, "accepted");
        if (b.status != 200) surprises++;
        arena_release(&memory);
        answer_release(&a);
        answer_release(&b);
    }
    return NULL;
}

static void searches_imports_and_events_go_side_by_side(void **state) {
    (void)state;
    int seeds[4] = {0, 1, 2, 3};
    pthread_t threads[6];
    stop = false;
    surprises = accepted = 0;
    call_ok(c.db, "POST", "/collections/books/documents",
            "{\"id\":\"d0\",\"type\":\"book\",\"title\":\"fire\",\"year\":1999,\"genre\":\"g\",\"popularity\":3}");
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, search_many, &seeds[i]), 0);
    assert_int_equal(pthread_create(&threads[4], NULL, import_many, NULL), 0);
    assert_int_equal(pthread_create(&threads[5], NULL, click_many, NULL), 0);
    for (int i = 0; i < 6; i++) pthread_join(threads[i], NULL);
    assert_int_equal(surprises, 0);
    assert_int_equal(accepted, 60);
    forage_close(c.db);
    caller_open(&c, false);
    answer a = call(c.db, "GET", "/collections/books/stats", NULL);
    assert_float_equal(number_at(a.json, "events"), 60, 0);
    assert_float_equal(number_at(a.json, "impressions"), 4 * 120 + 60, 0);
    assert_float_equal(number_at(a.json, "documents"), 448, 0);
    answer_release(&a);
    a = call(c.db, "POST", "/collections/books/check", NULL);
    assert_true(true_at(a.json, "ok"));
    answer_release(&a);
}

/* ---- Before anybody has clicked ---- */

/* A tab-separated file's rows after its first, as JSON objects with these keys. */
static void rows_as_json(const char *path, bool has_header, const char *const *keys, size_t n, buffer *out) {
    buffer text = {0};
    base_error error = {0};
    if (os_read_file(path, 0, &text, &error)) fail_msg("%s", error.message);
    json_writer w = json_writer_of(out);
    json_begin_array(&w);
    char *line = buffer_text(&text);
    if (has_header) line += strcspn(line, "\n") + 1;
    for (; *line; line += strspn(line, "\r\n")) {
        json_begin_object(&w);
        for (size_t i = 0; i < n; i++) {
            size_t size = strcspn(line, i + 1 < n ? "\t" : "\r\n");
            json_key(&w, keys[i]);
            if (strcmp(keys[i], "grade") == 0) json_integer(&w, strtol(line, NULL, 10));
            else json_string(&w, (slice){line, size});
            line += size + (i + 1 < n);
        }
        json_end_object(&w);
    }
    json_end_array(&w);
    buffer_release(&text);
}

static double ndcg(const char *queries, const char *judgments, const char *ranking) {
    buffer body = {0};
    buffer_printf(&body, "{\"metrics\":[\"ndcg@10\"],\"depth\":100,\"ranker\":\"%s\",\"queries\":", ranking);
    buffer_puts(&body, queries);
    buffer_puts(&body, ",\"judgments\":");
    buffer_puts(&body, judgments);
    buffer_putc(&body, '}');
    answer a = call(c.db, "POST", "/collections/test/evaluate", buffer_text(&body));
    if (a.status != 200) fail_msg("%s", a.response.body);
    assert_true(number_at(a.json, "queries") > 50);
    double mean = number_at(a.json, "metrics.0.mean");
    answer_release(&a);
    buffer_release(&body);
    return mean;
}

static void assert_linear_is_no_worse(const char *name, const char *queries, const char *judgments, double least) {
    double linear = ndcg(queries, judgments, "linear"), rrf = ndcg(queries, judgments, "rrf");
    printf("%s: nDCG@10 %.4f linear, %.4f rrf\n", name, linear, rrf);
    assert_true(linear >= rrf);
    assert_true(linear >= least);
}

static void the_prior_is_no_worse_than_rank_fusion_on_the_sample(void **state) {
    (void)state;
    static const char *const of_query[] = {"id", "query"}, *const of_judgment[] = {"query", "document", "grade"};
    buffer text = {0}, queries = {0}, judgments = {0};
    forage_collection *handle;
    forage_import_report report;
    assert_ok(os_read_file("examples/media/schema.json", 0, &text, NULL));
    call_ok(c.db, "PUT", "/collections/test", buffer_text(&text));
    assert_ok(forage_collection_open(c.db, "test", FORAGE_EXISTING, &handle, NULL));
    assert_ok(forage_import_file(handle, "examples/media/catalogue.ndjson.zst", NULL, &report, NULL));
    assert_int_equal(report.failed, 0);
    rows_as_json("examples/media/queries.tsv", false, of_query, 2, &queries);
    rows_as_json("examples/media/judgments.tsv", true, of_judgment, 3, &judgments);
    assert_linear_is_no_worse("sample catalogue", buffer_text(&queries), buffer_text(&judgments), 0.5);
    buffer_release(&text);
    buffer_release(&queries);
    buffer_release(&judgments);
}

/* {"_id","text"} lines as [{"id","query"}]. */
static void queries_of_beir(const char *path, buffer *out) {
    buffer text = {0};
    arena a;
    arena_init(&a, 0);
    assert_ok(os_read_file(path, 0, &text, NULL));
    json_writer w = json_writer_of(out);
    json_begin_array(&w);
    for (char *line = buffer_text(&text); *line; line += strspn(line, "\r\n")) {
        json_value *json;
        size_t size = strcspn(line, "\n");
        assert_ok(json_read(&a, (slice){line, size}, &json, NULL));
        json_begin_object(&w);
        json_key(&w, "id");
        json_string(&w, json_get(json, "_id")->text);
        json_key(&w, "query");
        json_string(&w, json_get(json, "text")->text);
        json_end_object(&w);
        line += size;
    }
    json_end_array(&w);
    arena_release(&a);
    buffer_release(&text);
}

static void the_prior_is_no_worse_than_rank_fusion_on_nfcorpus(void **state) {
    (void)state;
    const char *zip = testing_data("beir/nfcorpus.zip");
    if (!zip) skip();
    static const char *const of_judgment[] = {"query", "document", "grade"};
    arena a;
    arena_init(&a, 0);
    if (system(arena_printf(&a, "unzip -q -o '%s' -d '%s/beir' >/dev/null 2>&1", zip, c.folder)) != 0) {
        printf("SKIPPED: unzip is not there\n");
        arena_release(&a);
        skip();
    }
    char *folder = path_join(&a, c.folder, "beir/nfcorpus");
    buffer queries = {0}, judgments = {0};
    forage_collection *handle;
    forage_import_report report;
    assert_ok(forage_collection_open(c.db, "test", FORAGE_CREATE, &handle, NULL));
    assert_ok(forage_import_file(handle, path_join(&a, folder, "corpus.jsonl"), NULL, &report, NULL));
    assert_int_equal(report.indexed, 3633);
    queries_of_beir(path_join(&a, folder, "queries.jsonl"), &queries);
    rows_as_json(path_join(&a, folder, "qrels/test.tsv"), true, of_judgment, 3, &judgments);
    assert_linear_is_no_worse("NFCorpus", buffer_text(&queries), buffer_text(&judgments), 0.318);
    buffer_release(&queries);
    buffer_release(&judgments);
    arena_release(&a);
}

#define ISOLATED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ISOLATED(one_writer_at_a_time),
        ISOLATED(folders_that_cannot_be_opened_say_why),
        ISOLATED(a_read_only_folder_answers_and_takes_nothing),
        ISOLATED(what_a_crashed_removal_left_is_cleared_away),
        ISOLATED(typed_collections_and_documents),
        ISOLATED(typed_searches_and_events),
        ISOLATED(typed_searches_have_the_same_limits),
        ISOLATED(removing_waits_for_those_who_use_it),
        ISOLATED(searches_imports_and_events_go_side_by_side),
        ISOLATED(the_prior_is_no_worse_than_rank_fusion_on_the_sample),
        ISOLATED(the_prior_is_no_worse_than_rank_fusion_on_nfcorpus),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
