/* Predicted queries: the table, the catalogue's phrases, borrowing, translation, and the routes. */
#include "world.h"

#include "base/bytes.h"
#include "forage.h"
#include "memory/predict_borrow.h"
#include "memory/query_memory.h"

/* ---- The table ---- */

typedef struct putting {
    uint32_t document;
    predict_source source;
    const predict_entry *list;
    size_t n;
    bool replace;
    size_t kept;
} putting;

static forage_status put_apply(store_txn *t, void *self, base_error *error) {
    putting *p = self;
    return predict_store(t, p->document, p->source, p->list, p->n, p->replace, &p->kept, error);
}

static size_t put(store *s, uint32_t document, predict_source source, const predict_entry *list, size_t n, bool replace) {
    putting p = {document, source, list, n, replace, 0};
    store_job job = {put_apply, NULL, &p};
    assert_ok(store_write(s, &job, NULL));
    return p.kept;
}

static store *open_store(char folder[600]) {
    store *s = NULL;
    snprintf(folder, 600, "%s", testing_folder());
    assert_ok(store_open(folder, &(store_options){.no_sync = true}, &s, NULL));
    return s;
}

static void close_store(store *s, const char *folder) {
    store_close(s);
    assert_ok(os_remove_tree(folder, NULL));
}

static void test_table(void **state) {
    (void)state;
    char folder[600];
    store *s = open_store(folder);
    arena a;
    store_txn *t;
    prediction *list;
    arena_init(&a, 0);
    const predict_entry made[] = {{SLICE("fantasy books"), 0.3f}, {SLICE("dune"), 0.9f}, {SLICE(""), 0.5f}, {SLICE("bad"), 2},
                                  {SLICE("worse"), NAN}};
    const predict_entry given[] = {{SLICE("fantasy books"), 0.7f}, {SLICE("sand"), 0.2f}};
    const predict_entry other[] = {{SLICE("fantasy books"), 0.5f}};
    assert_int_equal(put(s, 7, PREDICT_CATALOGUE, made, 5, true), 2);
    assert_int_equal(put(s, 7, PREDICT_IMPORTED, given, 2, false), 3);
    assert_int_equal(put(s, 8, PREDICT_BORROWED, other, 1, true), 1);
    assert_ok(store_read_begin(s, &t, NULL));
    assert_int_equal(predict_of_document(t, 7, &a, &list), 3);
    assert_true(slice_is(list[0].query, "dune") && slice_is(list[1].query, "fantasy books"));
    assert_true(list[1].source == PREDICT_IMPORTED && list[1].score == 0.7f && list[1].scores[PREDICT_CATALOGUE] == 0.3f);
    hash128 key = memory_key(SLICE("fantasy books"));
    assert_int_equal(predict_of_query(t, key, 100, &a, &list), 2);
    assert_true(list[0].document == 7 && list[0].score == 0.7f && list[1].document == 8);
    assert_int_equal(predict_of_query(t, key, 1, &a, &list), 1);
    assert_true(predict_of_pair(t, key, 8) == 0.5f && predict_of_pair(t, key, 9) == 0);
    predict_counts counts = predict_count(t);
    assert_true(counts.documents == 2 && counts.pairs == 4 && counts.of_source[PREDICT_CATALOGUE] == 2);
    store_read_end(t);
    /* Replacing takes away what the source no longer says, and leaves the other sources' scores. */
    assert_int_equal(put(s, 7, PREDICT_CATALOGUE, given + 1, 1, true), 2);
    assert_ok(store_read_begin(s, &t, NULL));
    assert_true(predict_of_pair(t, memory_key(SLICE("dune")), 7) == 0);
    assert_true(predict_of_pair(t, key, 7) == 0.7f);
    assert_int_equal(predict_of_query(t, memory_key(SLICE("dune")), 9, &a, &list), 0);
    store_read_end(t);
    arena_release(&a);
    close_store(s, folder);
}

static void test_table_is_bounded(void **state) {
    (void)state;
    char folder[600];
    store *s = open_store(folder);
    arena a;
    store_txn *t;
    prediction *list;
    arena_init(&a, 0);
    predict_entry many[200];
    for (int i = 0; i < 200; i++)
        many[i] = (predict_entry){slice_of(arena_printf(&a, "query %d", i)), (float)(i + 1) / 200};
    assert_int_equal(put(s, 1, PREDICT_IMPORTED, many, 200, false), PREDICT_MAX_QUERIES);
    assert_int_equal(put(s, 1, PREDICT_IMPORTED, many, 200, false), PREDICT_MAX_QUERIES);
    assert_ok(store_read_begin(s, &t, NULL));
    assert_int_equal(predict_of_document(t, 1, &a, &list), PREDICT_MAX_QUERIES);
    assert_true(slice_is(list[0].query, "query 199") && list[PREDICT_MAX_QUERIES - 1].score > 0.67f);
    assert_int_equal(store_count(t, STORE_PREDICTIONS), 2 * PREDICT_MAX_QUERIES);
    store_read_end(t);
    predict_entry longest = {slice_of(arena_printf(&a, "%0*d", PREDICT_MAX_TEXT + 1, 1)), 1};
    assert_int_equal(put(s, 2, PREDICT_IMPORTED, &longest, 1, false), 0);
    arena_release(&a);
    close_store(s, folder);
}

typedef struct dropping {
    predict_source source;
    uint32_t document, from;
    bool done;
} dropping;

static forage_status drop_apply(store_txn *t, void *self, base_error *error) {
    dropping *d = self;
    d->document = d->from;
    return predict_drop(t, d->source, &d->document, &d->done, error);
}

static void drop(store *s, predict_source source) {
    dropping d = {.source = source};
    while (!d.done) {
        store_job job = {drop_apply, NULL, &d};
        assert_ok(store_write(s, &job, NULL));
        d.from = d.document;
    }
}

static void test_dropping(void **state) {
    (void)state;
    char folder[600];
    store *s = open_store(folder);
    store_txn *t;
    const predict_entry one[] = {{SLICE("dune"), 0.9f}, {SLICE("sand"), 0.4f}};
    for (uint32_t d = 0; d < 3000; d++) put(s, d, d % 2 ? PREDICT_CATALOGUE : PREDICT_IMPORTED, one, 1 + d % 2, true);
    put(s, UINT32_MAX, PREDICT_CATALOGUE, one, 1, true);
    drop(s, PREDICT_CATALOGUE);
    assert_ok(store_read_begin(s, &t, NULL));
    predict_counts counts = predict_count(t);
    assert_true(counts.pairs == 1500 && counts.of_source[PREDICT_CATALOGUE] == 0);
    store_read_end(t);
    drop(s, PREDICT_SOURCES);
    assert_ok(store_read_begin(s, &t, NULL));
    assert_int_equal(store_count(t, STORE_PREDICTIONS), 0);
    store_read_end(t);
    close_store(s, folder);
}

/* ---- The catalogue ---- */

static float score_of(const predict_entry *list, size_t n, const char *query) {
    for (size_t i = 0; i < n; i++)
        if (slice_is(list[i].query, query)) return list[i].score;
    return 0;
}

static void test_catalogue(void **state) {
    (void)state;
    arena a;
    predict_entry *list;
    text_analyzer *analyzer = text_analyzer_create();
    arena_init(&a, 0);
    const predict_fact facts[] = {
        {PREDICT_TITLE, SLICE("The Graveyard Book: A Novel"), {0}, 0}, {PREDICT_ALIAS, SLICE("Das Graveyard-Buch"), {0}, 0},
        {PREDICT_TYPE, SLICE("book"), {0}, 5000}, {PREDICT_KEYWORD, SLICE("Fantasy"), {0}, 400},
        {PREDICT_YEAR, SLICE("2008"), {0}, 200}, {PREDICT_REFERENCE, SLICE("Neil Gaiman"), {0}, 12},
        {PREDICT_TEXT, SLICE("a boy raised by ghosts"), {0}, 0}, {PREDICT_KEYWORD, SLICE("0060530928"), {0}, 1},
    };
    predict_description d = {1, 10000, TEXT_EN, facts, 8};
    size_t n = predict_from_catalogue(&d, analyzer, &a, &list);
    assert_true(n > 10 && n <= PREDICT_MAX_QUERIES);
    for (size_t i = 1; i < n; i++) {
        assert_true(list[i].score <= list[i - 1].score && list[i].score > 0 && list[i].score <= 1);
        for (size_t j = 0; j < i; j++) assert_false(slice_equal(list[i].query, list[j].query));
    }
    assert_true(slice_is(list[0].query, "the graveyard book a novel"));
    assert_true(score_of(list, n, "the graveyard book") > 0.6f);
    assert_true(score_of(list, n, "das graveyard buch") > 0.6f);
    assert_true(score_of(list, n, "the graveyard book neil gaiman") > 0);
    assert_true(score_of(list, n, "0060530928") > 0);
    assert_true(score_of(list, n, "2008 0060530928 books") == 0); /* a part number needs no company */
    float both = score_of(list, n, "2008 fantasy books by neil gaiman"), one = score_of(list, n, "fantasy books");
    assert_true(both > 0.4f && one < both);
    assert_true(score_of(list, n, "neil gaiman books") > one);
    assert_true(score_of(list, n, "2008") == 0); /* fits too many */
    d.n_facts = 0;
    assert_int_equal(predict_from_catalogue(&d, analyzer, &a, &list), 0);
    arena_release(&a);
    text_analyzer_destroy(analyzer);
}

/* ---- Translation ---- */

/* Documents of two words each; every document word means one query word, and some queries have noise that no word
 * explains. */
static translation *planted(unsigned pairs, double noise) {
    translation *m = translation_create();
    random_source random;
    random_seed(&random, 3);
    for (unsigned i = 0; i < pairs; i++) {
        char text[4][16];
        uint64_t one = random_below(&random, 20), two = random_below(&random, 20);
        snprintf(text[0], 16, "d%d", (int)one);
        snprintf(text[1], 16, "d%d", (int)two);
        snprintf(text[2], 16, "q%d", (int)one);
        snprintf(text[3], 16, random_double(&random) < noise ? "noise" : "q%d", (int)two);
        slice document[] = {slice_of(text[0]), slice_of(text[1])}, query[] = {slice_of(text[2]), slice_of(text[3])};
        translation_add(m, query, 2, document, 2, 1);
    }
    translation_train(m, 10);
    return m;
}

static void test_translation_recovers_a_table(void **state) {
    (void)state;
    translation *m = planted(2000, 0.2);
    for (int i = 0; i < 20; i++) {
        char d[16], q[16], other[16];
        snprintf(d, 16, "d%d", i);
        snprintf(q, 16, "q%d", i);
        snprintf(other, 16, "q%d", (i + 1) % 20);
        assert_true(translation_probability(m, slice_of(q), slice_of(d)) > 0.85f);
        assert_true(translation_probability(m, slice_of(other), slice_of(d)) < 0.05f);
    }
    assert_true(translation_probability(m, SLICE("noise"), SLICE("")) > 0.4f); /* the null word's */
    slice document[] = {SLICE("d3"), SLICE("d4"), SLICE("never seen")};
    slice right[] = {SLICE("q3"), SLICE("q4")}, wrong[] = {SLICE("q9")}, unknown[] = {SLICE("zzz")};
    assert_true(translation_lift(m, right, 2, document, 3) > 2 * translation_lift(m, wrong, 1, document, 3));
    assert_true(translation_lift(m, unknown, 1, document, 3) == 0);
    assert_true(translation_lift(m, right, 0, document, 3) == 0);
    float sum = 0;
    for (int i = 0; i < 20; i++) {
        char q[16];
        snprintf(q, 16, "q%d", i);
        sum += translation_likelihood(m, slice_of(q), document, 2);
    }
    sum += translation_likelihood(m, SLICE("noise"), document, 2);
    assert_float_equal(sum, 1, 0.02); /* a distribution, but for the least likely that were left out */
    arena a;
    translated *list;
    arena_init(&a, 0);
    assert_int_equal(translation_expand(m, document, 3, 2, &a, &list), 2);
    assert_true((slice_is(list[0].term, "q3") && slice_is(list[1].term, "q4")) ||
                (slice_is(list[0].term, "q4") && slice_is(list[1].term, "q3")));
    arena_release(&a);
    translation_destroy(m);
}

static void test_translation_bytes(void **state) {
    (void)state;
    translation *m = planted(300, 0.1), *back = NULL;
    buffer bytes = {0}, again = {0};
    translation_save(m, &bytes);
    assert_ok(translation_load((slice){bytes.data, bytes.size}, &back, NULL));
    assert_true(translation_probability(back, SLICE("q5"), SLICE("d5")) == translation_probability(m, SLICE("q5"), SLICE("d5")));
    translation_save(back, &again);
    assert_true(slice_equal((slice){bytes.data, bytes.size}, (slice){again.data, again.size}));
    translation_destroy(back);
    base_error error;
    for (size_t size = 0; size < bytes.size; size += 7)
        assert_int_equal(translation_load((slice){bytes.data, size}, &back, &error), FORAGE_E_CORRUPT);
    for (size_t at = 0; at < bytes.size; at += 11) {
        bytes.data[at] ^= 0x40;
        assert_true(translation_load((slice){bytes.data, bytes.size}, &back, &error) != FORAGE_OK);
        bytes.data[at] ^= 0x40;
    }
    bytes.data[4] = 99; /* a newer format, well formed */
    store_le64(bytes.data + bytes.size - 8, hash64(bytes.data, bytes.size - 8, 0));
    assert_int_equal(translation_load((slice){bytes.data, bytes.size}, &back, &error), FORAGE_E_VERSION);
    buffer_release(&bytes);
    buffer_release(&again);
    translation_destroy(m);
    m = translation_create();
    translation_train(m, 5); /* nothing was taught */
    slice word = SLICE("x");
    assert_true(translation_lift(m, &word, 1, &word, 1) == 0);
    translation_save(m, &bytes);
    assert_ok(translation_load((slice){bytes.data, bytes.size}, &back, NULL));
    translation_destroy(back);
    translation_destroy(m);
    buffer_release(&bytes);
}

/* ---- Through the routes ---- */

static char data[600];
static forage *db;
static arena answers;

static const json_value *call(const char *method, const char *target, const char *body, int expected) {
    forage_request request = {.method = method, .target = target, .body = body, .body_size = body ? strlen(body) : 0};
    forage_response response;
    forage_call(db, &request, &response);
    if (response.status != expected) fail_msg("%s %s: %d %s", method, target, response.status, response.body);
    const json_value *answer = parse(&answers, response.body_size ? response.body : "null");
    forage_response_release(&response);
    return answer;
}

static void open_engine(void) {
    snprintf(data, sizeof data, "%s", testing_folder());
    arena_init(&answers, 1 << 20);
    assert_ok(forage_open(data, &(forage_options){.no_sync = true, .threads = 2, .seed = 5}, &db, NULL));
}

static void close_engine(void) {
    forage_close(db);
    arena_release(&answers);
    assert_ok(os_remove_tree(data, NULL));
}

static const char books[] =
    "{\"id\":\"a1\",\"type\":\"author\",\"title\":\"Frank Herbert\"}\n"
    "{\"id\":\"b1\",\"type\":\"book\",\"title\":\"Dune\",\"genre\":[\"Science Fiction\"],\"year\":1965,\"author\":\"a1\"}\n"
    "{\"id\":\"b2\",\"type\":\"book\",\"title\":\"Solaris\",\"genre\":[\"Science Fiction\"],\"year\":1961}\n"
    "{\"id\":\"b3\",\"type\":\"book\",\"title\":\"Emma\",\"genre\":[\"Romance\"],\"year\":1815}\n";

static void make_books(void) {
    call("PUT", "/collections/c",
         "{\"fields\":{\"title\":{\"type\":\"text\"},\"genre\":{\"type\":\"keyword\"},\"year\":{\"type\":\"number\"},"
         "\"author\":{\"type\":\"reference\"},\"type\":{\"type\":\"keyword\"}}}", 201);
    call("POST", "/collections/c/documents?format=ndjson", books, 200);
}

static void test_routes(void **state) {
    (void)state;
    open_engine();
    make_books();
    const json_value *v = call("POST", "/collections/c/predictions/build", "{\"per_document\":64}", 200);
    assert_true(number_at(v, "documents") == 4 && number_at(v, "predictions") > 20 && at(v, "next")->type == JSON_NULL);
    v = call("GET", "/collections/c/documents/b1/predictions?limit=64", NULL, 200);
    assert_non_null(named(at(v, "predictions"), "query", "dune"));
    assert_non_null(named(at(v, "predictions"), "query", "science fiction books by frank herbert"));
    assert_non_null(named(at(v, "predictions"), "query", "dune frank herbert"));
    v = call("POST", "/collections/c/predictions",
             "document\tquery\tscore\n"
             "b1\tdesert planet\t0.8\n"
             "b1\tsand worms\n"
             "nobody\tx\t0.5\n"
             "b2\thot\t7\n"
             "b2\tcold\tmany\n"
             "b2 no tabs\n"
             "b2\t!!!\t0.5\n"
             "{\"id\":\"b3\",\"predicted_queries\":[\"match making\",5,\"ladies\"],\"scores\":[0.9,0.9,0.3]}\n"
             "{\"document\":\"b3\",\"query\":\"irony\"}\n"
             "{\"document\":\"b3\",\"query\":\"irony\",\"score\":\"high\"}\n"
             "{\"document\":\"b3\"\n"
             "{\"document\":\"b3\"}\n"
             "\xff\xfe\tq\n", 200);
    assert_true(number_at(v, "stored") == 5);
    assert_true(number_at(v, "failed") == 10 && number_at(v, "received") == 15);
    assert_int_equal(count_at(v, "errors"), 10);
    assert_true(number_at(v, "errors.0.line") == 4);
    v = call("GET", "/collections/c/predictions", NULL, 200);
    assert_true(number_at(v, "sources.imported") == 5 && number_at(v, "documents") == 4);
    v = call("GET", "/collections/c/documents/b1/predictions?suggest=true", NULL, 200);
    assert_true(count_at(v, "suggestions.catalogue") > 3 && count_at(v, "suggestions.borrowed") == 0);
    v = call("DELETE", "/collections/c/predictions?source=catalogue", NULL, 200);
    assert_true(number_at(v, "sources.catalogue") == 0 && number_at(v, "sources.imported") == 5);
    v = call("DELETE", "/collections/c/predictions", NULL, 200);
    assert_true(number_at(v, "predictions") == 0);
    call("GET", "/collections/c/documents/zzz/predictions", NULL, 404);
    call("GET", "/collections/c/documents/b1/predictions?limit=x", NULL, 400);
    call("DELETE", "/collections/c/predictions?source=oracle", NULL, 400);
    call("POST", "/collections/c/predictions/build", "{\"sources\":[\"imported\"]}", 400);
    call("POST", "/collections/c/predictions/build", "{\"sources\":[]}", 400);
    call("POST", "/collections/c/predictions/build", "{\"documents\":0}", 400);
    call("POST", "/collections/c/predictions/train", "{\"rounds\":3}", 400);
    call("POST", "/collections/c/predictions/evaluate", "[", 400);
    call("POST", "/collections/nobody/predictions/train", NULL, 404);
    v = call("POST", "/collections/c/predictions/train", NULL, 200);
    assert_true(number_at(v, "pairs") == 0);
    v = call("POST", "/collections/c/predictions/evaluate", NULL, 200);
    assert_true(number_at(v, "pairs") == 0);
    close_engine();
}

/* ---- What was predicted is found ---- */

static double total(const char *query) {
    char body[200];
    snprintf(body, sizeof body, "{\"query\":\"%s\"}", query);
    const json_value *v = call("POST", "/collections/c/search", body, 200);
    return count_at(v, "hits");
}

static bool finds(const char *query, const char *id) {
    char body[200];
    snprintf(body, sizeof body, "{\"query\":\"%s\"}", query);
    const json_value *v = call("POST", "/collections/c/search", body, 200);
    return named(at(v, "hits"), "id", id) != NULL;
}

static void test_predicted_is_found(void **state) {
    (void)state;
    open_engine();
    make_books();
    assert_true(total("desert planet") == 0);
    call("POST", "/collections/c/predictions", "b1\tdesert planet\t0.9\nb2\tocean mind\t0.9\n", 200);
    assert_true(finds("Desert planet!", "b1") && total("desert planet") == 1);
    assert_true(finds("a planet with a desert", "b1")); /* its words lend */
    assert_true(finds("dessert planet", "b1"));         /* so does its spelling */
    assert_true(finds("ocean mind", "b2"));
    call("DELETE", "/collections/c/predictions?source=imported", NULL, 200);
    assert_true(total("desert planet") == 0 && total("a planet with a desert") == 0);
    call("POST", "/collections/c/predictions/build", "{\"sources\":[\"catalogue\"]}", 200);
    assert_true(finds("1965 science fiction by frank herbert", "b1"));
    forage_close(db); /* predictions are there after a restart */
    assert_ok(forage_open(data, &(forage_options){.no_sync = true, .threads = 2, .seed = 5}, &db, NULL));
    call("POST", "/collections/c/predictions", "b3\tmatch making\n", 200);
    assert_true(finds("match making", "b3"));
    close_engine();
}

/* ---- Bad files ---- */

static const json_value *import(const buffer *file, int expected) {
    forage_request request = {.method = "POST", .target = "/collections/c/predictions", .body = file->data,
                              .body_size = file->size};
    forage_response response;
    forage_call(db, &request, &response);
    assert_int_equal(response.status, expected);
    const json_value *answer = parse(&answers, response.body);
    forage_response_release(&response);
    return answer;
}

static void test_bad_files(void **state) {
    (void)state;
    open_engine();
    make_books();
    buffer file = {0};
    buffer_puts(&file, "\xef\xbb\xbf""b1\tdesert\t1\r\n"                     /* a byte order mark, another line end */
                       "b1\tx\tnan\nb1\tx\tNaN\nb1\tx\tinf\nb1\tx\t-0.5\nb1\tx\t0x1p-3\nb1\tx\t1e-400\n"
                       "b1\t\xc3\x28\t0.5\n"                              /* not UTF-8 */
                       "{\"id\":\"b1\",\"query\":\"x\",\"score\":NaN}\n"
                       "{\"id\":\"b1\",\"query\":\"x\",\"score\":\n");    /* cut */
    const json_value *v = import(&file, 200);
    assert_true(number_at(v, "stored") == 1 && number_at(v, "failed") == 9 && number_at(v, "received") == 10);
    file.size = 0;
    const size_t long_line = (size_t)10 << 20;
    for (int way = 0; way < 4; way++) { /* a document, a query, a score and a JSON text of ten megabytes */
        buffer_puts(&file, way == 0 ? "" : way == 1 ? "b1\t" : way == 2 ? "b1\tx\t" : "{\"id\":\"b1\",\"query\":\"");
        buffer_reserve(&file, long_line);
        memset(file.data + file.size, '5', long_line);
        file.size += long_line;
        buffer_puts(&file, way == 0 ? "\tx\n" : way == 3 ? "\"}\n" : "\n");
    }
    buffer_puts(&file, "b2\tcut off\t0.");
    v = import(&file, 200);
    assert_true(number_at(v, "failed") == 5 && number_at(v, "received") == 5);
    for (int i = 0; i < 5; i++) {
        char path[32];
        snprintf(path, sizeof path, "errors.%d.message", i);
        assert_true(strlen(text_at(v, path)) > 10 && strlen(text_at(v, path)) < 300);
    }
    file.size = 0;
    for (int i = 0; i < 1000; i++) buffer_puts(&file, "nobody\twords\t0.5\n");
    v = import(&file, 200);
    assert_true(number_at(v, "failed") == 1000 && count_at(v, "errors") == 100);
    file.size = 0;
    assert_true(number_at(import(&file, 200), "received") == 0);
    buffer_release(&file);
    close_engine();
}

static void test_build_goes_on(void **state) {
    (void)state;
    open_engine();
    make_books();
    int64_t from = 0, documents = 0, rounds = 0;
    for (;; rounds++) {
        char body[128];
        snprintf(body, sizeof body, "{\"documents\":3,\"from\":%lld,\"sources\":[\"catalogue\"]}", (long long)from);
        const json_value *v = call("POST", "/collections/c/predictions/build", body, 200);
        documents += (int64_t)number_at(v, "documents");
        if (at(v, "next")->type == JSON_NULL) break;
        from = (int64_t)number_at(v, "next");
    }
    assert_int_equal(documents, 4);
    assert_int_equal(rounds, 1);
    close_engine();
}

/* ---- Learned from behaviour ---- */

/* Documents of two kinds of music; people ask for them by words that no document has. */
typedef struct lesson {
    query_memory *memory;
    const char *query;
    uint32_t document;
    memory_changes changes;
} lesson;

static forage_status lesson_apply(store_txn *t, void *self, base_error *error) {
    lesson *l = self;
    static unsigned searches;
    char id[24];
    snprintf(id, sizeof id, "s%u", searches++);
    memory_changes_reset(&l->changes);
    record_hit hit = {.document = l->document};
    record_impression r = {.time = 1, .query_id = slice_of(id), .query = slice_of(l->query), .n_hits = 1, .hits = &hit,
                           .memory_key = memory_key(slice_of(l->query))};
    record_event e = {.time = 1, .document = l->document, .credit = 1};
    return query_memory_earned(l->memory, t, &l->changes, &r, &e, true, error);
}

static void learn(world *w, query_memory *m, const char *query, const char *id) {
    store_txn *t;
    lesson l = {.memory = m, .query = query};
    assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
    assert_true(collection_number_of(t, slice_of(id), &l.document));
    store_read_end(t);
    store_job job = {lesson_apply, NULL, &l};
    assert_ok(store_write(collection_store(w->collection), &job, NULL));
    memory_changes_release(&l.changes);
}

static size_t describe_by_title(void *self, uint32_t document, arena *a, slice **terms) {
    world *w = self;
    store_txn *t;
    collection_document d;
    json_value *json;
    slice title;
    assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
    assert_ok(collection_document_by_number(t, document, &d));
    assert_ok(json_read(a, arena_slice(a, d.source), &json, NULL));
    store_read_end(t);
    assert_ok(json_member_string(json, "title", &title, NULL));
    predict_fact fact = {PREDICT_TITLE, title, {0}, 0};
    predict_description description = {document, 10, TEXT_EN, &fact, 1};
    text_analyzer *analyzer = text_analyzer_create();
    size_t n = predict_terms(&description, analyzer, 32, a, terms);
    text_analyzer_destroy(analyzer);
    return n;
}

static void test_borrowing_and_translating(void **state) {
    (void)state;
    world *w = world_begin();
    world_schema(w, "{\"fields\":{\"title\":{\"type\":\"text\"},\"style\":{\"type\":\"keyword\"}}}");
    for (int i = 0; i < 20; i++) {
        char document[200];
        snprintf(document, sizeof document, "{\"id\":\"%d\",\"title\":\"%s number%d\",\"style\":\"%s\"}", i,
                 i % 2 ? "guitar thunder" : "violin sonata", i, i % 2 ? "metal" : "classic");
        world_import(w, document);
    }
    query_memory *m;
    assert_ok(query_memory_open(collection_store(w->collection), NULL, &m, NULL));
    for (int i = 0; i < 18; i++) { /* 18 and 19 are new */
        char id[8];
        snprintf(id, sizeof id, "%d", i);
        learn(w, m, i % 2 ? "loud music" : "calm music", id);
        if (i < 4) learn(w, m, i % 2 ? "headbanging" : "study", id);
    }
    query_memory_close(m);

    store_txn *t;
    arena a;
    predict_entry *list;
    text_analyzer *analyzer = text_analyzer_create();
    arena_init(&a, 0);
    assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
    const sparse_snapshot *snapshot = collection_acquire(w->collection);
    predict_lenders *lenders = predict_lenders_create(t, snapshot, (predict_split){0}, analyzer);
    assert_int_equal(predict_lenders_documents(lenders), 18);
    predict_description d = {.documents = 20, .language = TEXT_EN, .n_facts = 2};
    assert_true(collection_number_of(t, SLICE("19"), &d.document));
    predict_fact facts[] = {{PREDICT_TITLE, SLICE("guitar thunder number19"), {0}, 0},
                            {PREDICT_KEYWORD, SLICE("metal"), sparse_attribute_key(&a, 1, SLICE("metal")), 10}};
    d.facts = facts;
    size_t n = predict_from_neighbours(lenders, &d, &a, &list);
    assert_true(n >= 1 && slice_is(list[0].query, "loud music"));
    assert_true(list[0].score > 0.2f && list[0].score <= 1);
    assert_true(score_of(list, n, "calm music") < list[0].score / 4);
    /* What is held out cannot be borrowed. */
    predict_split all = {1, 0};
    predict_lenders *empty = predict_lenders_create(t, snapshot, all, analyzer);
    assert_int_equal(predict_lenders_documents(empty), 0);
    assert_int_equal(predict_from_neighbours(empty, &d, &a, &list), 0);
    predict_lenders_destroy(empty);

    translation *model = translation_create();
    predict_teach(lenders, model, describe_by_title, w, 1000);
    assert_int_equal(translation_pairs(model), 22);
    translation_train(model, 8);
    n = predict_from_translation(lenders, model, &d, &a, &list);
    assert_true(n >= 2);
    assert_true(slice_is(list[0].query, "headbanging") || slice_is(list[0].query, "loud music"));
    assert_true(score_of(list, n, "loud music") > 2 * score_of(list, n, "calm music"));
    assert_true(score_of(list, n, "loud music") > 2 * score_of(list, n, "study"));
    translation_destroy(model);
    predict_lenders_destroy(lenders);
    collection_release(w->collection, snapshot);
    store_read_end(t);
    arena_release(&a);
    text_analyzer_destroy(analyzer);
    world_end(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_table_is_bounded),
        cmocka_unit_test(test_dropping),
        cmocka_unit_test(test_catalogue),
        cmocka_unit_test(test_translation_recovers_a_table),
        cmocka_unit_test(test_translation_bytes),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_predicted_is_found),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_build_goes_on),
        cmocka_unit_test(test_borrowing_and_translating),
    };
    return cmocka_run_group_tests_name("predicted queries", tests, NULL, NULL);
}
