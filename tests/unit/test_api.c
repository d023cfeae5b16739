/* forage_call: every route, what it refuses, how paths and pages work, and that the description tells the truth. */
#include "calling.h"

#include "api/engine.h"

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

#define CALL(method, target, body) call(c.db, method, target, body)
#define FAILS(method, target, body, status, code) assert_fails(c.db, method, target, body, status, code)
#define OK(method, target, body) call_ok(c.db, method, target, body)

static const char *const books =
    "{\"id\":\"b1\",\"type\":\"book\",\"title\":\"The Hunger Games\",\"year\":2008,\"genre\":[\"Drama\"]}\n"
    "{\"id\":\"b2\",\"type\":\"book\",\"title\":\"Catching Fire\",\"year\":2009}\n"
    "{\"id\":\"b3\",\"type\":\"book\",\"title\":\"Goblet of Fire\",\"year\":2000}\n";

static void add_books(void) {
    OK("PUT", "/collections/books",
       "{\"fields\":{\"title\":{\"type\":\"text\"},\"year\":{\"type\":\"number\"},\"genre\":{\"type\":\"keyword\"}}}");
    OK("POST", "/collections/books/documents", books);
}

/* ---- Routes ---- */

/* Trees over one feature, as LightGBM writes them. */
static const char *const small_model =
    "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=0\nobjective=lambdarank\n"
    "feature_names=popularity\nfeature_infos=[0:1]\ntree_sizes=300\n\nTree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\n"
    "split_gain=1\nthreshold=0.5\ndecision_type=2\nleft_child=-1\nright_child=-2\nleaf_value=-0.5 0.5\nleaf_weight=5 5\n"
    "leaf_count=5 5\ninternal_value=0\ninternal_weight=10\ninternal_count=10\nis_linear=0\nshrinkage=1\n\n\nend of trees\n";

#define AN_EXPERIMENT "{\"name\":\"e\",\"a\":\"linear\",\"b\":\"rrf\"}"

static const char *const bodies[][2] = {
    {"PUT /collections/{collection}", "{}"},
    {"POST /collections/{collection}/documents", "{\"id\":\"b1\",\"title\":\"x\"}"},
    {"POST /collections/{collection}/search", "{\"query\":\"fire\"}"},
    {"POST /collections/{collection}/events",
     "[{\"query_id\":\"q\",\"action_name\":\"click\",\"event_attributes\":{\"object\":{\"object_id\":\"b2\"}}}]"},
    {"POST /collections/{collection}/evaluate",
     "{\"queries\":[{\"id\":1,\"query\":\"fire\"}],\"judgments\":[{\"query\":1,\"document\":\"b2\"}]}"},
    {"POST /collections/{collection}/policy", "{\"relearn\":true}"},
    {"POST /collections/{collection}/experiment", AN_EXPERIMENT},
    {"POST /collections/{collection}/similar", "{\"id\":\"b1\"}"},
    {"POST /collections/{collection}/rank", "{\"query\":\"fire\",\"candidates\":[\"b1\",{\"id\":\"x\",\"features\":{}}]}"},
};

/* What a route needs to be there before, and the id in its path. */
static void prepare(const char *route, char *id) {
    strcpy(id, "b1");
    if (strstr(route, "/experiment")) {
        (void)call_status(c.db, "DELETE", "/collections/books/experiment", NULL);
        if (!strstr(route, "POST")) OK("POST", "/collections/books/experiment", AN_EXPERIMENT);
    }
    if (!strstr(route, "/models")) return;
    char target[100];
    answer a = CALL("POST", "/collections/books/models", small_model);
    assert_int_equal(a.status, 201);
    snprintf(id, 20, "%.0f", number_at(a.json, "model"));
    answer_release(&a);
    OK("POST", "/collections/books/models/0/shadow", NULL);
    OK("POST", "/collections/books/models/0/activate", NULL);
    snprintf(target, sizeof target, "/collections/books/models/%s/activate", id);
    if (strstr(route, "/rollback")) OK("POST", target, NULL);
}

/* Those that do not answer 200. A training of nothing has ended by the time it could be stopped. */
static int status_of(const char *route) {
    static const struct {
        const char *route;
        int status;
    } others[] = {{"POST /collections/{collection}/models", 201},
                  {"POST /collections/{collection}/experiment", 201},
                  {"POST /collections/{collection}/train", 202},
                  {"DELETE /collections/{collection}/train", 404}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(others[i].route, route) == 0) return others[i].status;
    return 200;
}

/* "GET /collections/{collection}/documents/{id}" with names filled in. */
static void fill_route(const char *route, const char *id, char *method, char *target) {
    const char *space = strchr(route, ' ');
    snprintf(method, 16, "%.*s", (int)(space - route), route);
    for (const char *p = space + 1; *p;) {
        const char *name = *p == '{' ? (p[1] == 'c' ? "books" : id) : NULL;
        if (!name) *target++ = *p++;
        else {
            strcpy(target, name);
            target += strlen(name);
            p = strchr(p, '}') + 1;
        }
    }
    *target = '\0';
}

static void every_route_answers(void **state) {
    (void)state;
    size_t n = 0;
    for (const char *const *route = forage_routes(); *route; route++, n++) {
        char method[16], target[200], id[20];
        const char *body = strcmp(*route, "POST /collections/{collection}/models") == 0 ? small_model : NULL;
        add_books(); /* some routes remove them */
        OK("POST", "/collections/books/search",
           "{\"query\":\"fire\",\"query_id\":\"q\",\"policy\":\"all\",\"timeout_ms\":60000,\"user\":\"b1\"}");
        for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
            if (strcmp(bodies[i][0], *route) == 0) body = bodies[i][1];
        if (strstr(*route, "DELETE /collections/{collection}/train")) /* the one before is over */
            while (call_status(c.db, "DELETE", "/collections/books/train", NULL) == 200) continue;
        prepare(*route, id);
        fill_route(*route, id, method, target);
        answer a = CALL(method, target, body);
        if (a.status != status_of(*route)) fail_msg("%s: %d %s", *route, a.status, a.response.body);
        assert_true(a.response.body_size == strlen(a.response.body));
        assert_true(a.json || strcmp(a.response.content_type, "application/json") != 0);
        answer_release(&a);
        assert_int_equal(call_status(c.db, "PATCH", target, NULL), 405);
    }
    assert_int_equal(n, 56);
}

static bool is_route(const char *text) {
    for (const char *const *route = forage_routes(); *route; route++)
        if (strcmp(*route, text) == 0) return true;
    return strcmp(text, "GET /health/live") == 0 || strcmp(text, "GET /health/ready") == 0; /* HTTP only */
}

static void the_description_tells_the_truth(void **state) {
    (void)state;
    static const char *const methods[] = {"get", "put", "post", "delete", "patch", "head", "options"};
    answer a = CALL("GET", "/openapi.json", NULL);
    size_t described = 0, routes = 0;
    assert_int_equal(strncmp(text_at(a.json, "openapi"), "3.1", 3), 0);
    for (const json_value *path = json_get(a.json, "paths")->first; path; path = path->next)
        for (const json_value *operation = path->first; operation; operation = operation->next) {
            char text[300];
            size_t m = 0;
            while (m < 7 && !slice_is(operation->key, methods[m])) m++;
            if (m == 7) continue; /* "parameters", "summary" */
            snprintf(text, sizeof text, "%s %.*s", methods[m], (int)path->key.size, path->key.data);
            for (char *p = text; *p != ' '; p++) *p = (char)(*p - 'a' + 'A');
            if (!is_route(text)) fail_msg("%s is described but not there", text);
            assert_non_null(json_get(operation, "responses"));
            described++;
        }
    while (forage_routes()[routes]) routes++;
    assert_int_equal(described, routes + 2);
    answer_release(&a);
}

static void what_is_not_there_is_told_apart(void **state) {
    (void)state;
    add_books();
    FAILS("GET", "/", NULL, 404, "route_not_found");
    FAILS("GET", "/nothing", NULL, 404, "route_not_found");
    FAILS("GET", "/collections/books/nothing", NULL, 404, "route_not_found");
    FAILS("GET", "/collections//search", NULL, 404, "route_not_found");
    FAILS("GET", "/collections/books/documents/a/b", NULL, 404, "route_not_found");
    FAILS("GET", "collections", NULL, 404, "route_not_found");
    FAILS("GET", "", NULL, 404, "route_not_found");
    FAILS("POST", "/collections", NULL, 405, "method_not_allowed");
    FAILS("get", "/collections", NULL, 405, "method_not_allowed");
    FAILS("DELETE", "/collections/books/search", NULL, 405, "method_not_allowed");
    FAILS("GET", "/collections/films", NULL, 404, "collection_not_found");
    FAILS("POST", "/collections/films/search", "{}", 404, "collection_not_found");
    FAILS("DELETE", "/collections/films", NULL, 404, "collection_not_found");
    FAILS("GET", "/collections/books/documents/b9", NULL, 404, "document_not_found");
    FAILS("DELETE", "/collections/books/documents/b9", NULL, 404, "document_not_found");
    assert_int_equal(call_status(c.db, "GET", "/collections/", NULL), 200);
    assert_int_equal(call_status(c.db, "GET", "/collections/books/?x=1&&=2&y", NULL), 200);
    forage_response r;
    forage_call(c.db, &(forage_request){0}, &r);
    assert_int_equal(r.status, 400);
    forage_response_release(&r);
}

static void names_of_collections_are_plain(void **state) {
    (void)state;
    static const char *const bad[] = {"-a",
                                      "_a",
                                      "A",
                                      "a.b",
                                      "..",
                                      "%2e%2e",
                                      "a%2Fb",
                                      "a%00b",
                                      "\xC3\xA4",
                                      "a%20b",
                                      "a2345678901234567890123456789012345678901234567890123456789012345"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char target[200];
        snprintf(target, sizeof target, "/collections/%s", bad[i]);
        FAILS("PUT", target, NULL, 400, "invalid_request");
    }
    OK("PUT", "/collections/a234567890123456789012345678901234567890123456789012345678901234", NULL);
    OK("PUT", "/collections/0-_9", NULL);
    answer a = CALL("GET", "/collections", NULL);
    assert_int_equal(count_at(a.json, "collections"), 2);
    assert_string_equal(text_at(a.json, "collections.0.name"), "0-_9");
    assert_float_equal(number_at(a.json, "collections.0.documents"), 0, 0);
    answer_release(&a);
}

/* ---- Collections and documents ---- */

static void a_collection_is_created_once_and_then_extended(void **state) {
    (void)state;
    assert_int_equal(call_status(c.db, "PUT", "/collections/books", "{\"fields\":{\"title\":{\"type\":\"text\"}}}"),
                     201);
    assert_int_equal(call_status(c.db, "PUT", "/collections/books", "{\"fields\":{\"year\":{\"type\":\"number\"}}}"),
                     200);
    answer a = CALL("GET", "/collections/books", NULL);
    assert_string_equal(text_at(a.json, "name"), "books");
    assert_string_equal(text_at(a.json, "schema.fields.title.type"), "text");
    assert_string_equal(text_at(a.json, "schema.fields.year.type"), "number");
    answer_release(&a);
    OK("DELETE", "/collections/books", NULL);
    FAILS("GET", "/collections/books", NULL, 404, "collection_not_found");
    assert_int_equal(call_status(c.db, "PUT", "/collections/books", ""), 201);
}

static void what_is_refused_makes_nothing(void **state) {
    (void)state;
    FAILS("PUT", "/collections/books", "{\"fields\":{\"title\":{\"type\":\"string\"}}}", 400, "invalid_schema");
    FAILS("PUT", "/collections/books", "{\"fields\":", 400, "invalid_json");
    FAILS("PUT", "/collections/books", "[]", 400, "invalid_schema");
    FAILS("POST", "/collections/books/documents?format=xml", "{\"id\":1}", 400, "invalid_request");
    FAILS("POST", "/collections/books/documents?first_line=0", "{\"id\":1}", 400, "invalid_request");
    answer a = CALL("GET", "/collections", NULL);
    assert_int_equal(count_at(a.json, "collections"), 0);
    answer_release(&a);
}

static void documents_come_in_by_type_or_name_of_format(void **state) {
    (void)state;
    static const char *const ways[][3] = {
        {"", "text/csv", "id,title\n1,fox\n2,hen\n"},
        {"", "text/csv; charset=utf-8", "id,title\n1,fox\n2,hen\n"},
        {"", "text/tab-separated-values", "id\ttitle\n1\tfox\n2\then\n"},
        {"", "application/x-ndjson", "{\"id\":1}\n{\"id\":2}\n"},
        {"", "application/json", "[{\"id\":1},{\"id\":2}]"},
        {"", "application/x-www-form-urlencoded",
         "[{\"id\":1},{\"id\":2}]"}, /* what curl says when nobody says anything */
        {"", NULL, "{\"id\":1}\n{\"id\":2}\n"},
        {"?format=tsv", "application/json", "id\ttitle\n1\tfox\n2\then\n"},
        {"?format=json", NULL, "{\"id\":1} {\"id\":2}"},
    };
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        char target[100];
        snprintf(target, sizeof target, "/collections/c%zu/documents%s", i, ways[i][0]);
        answer a = call_bytes(c.db, "POST", target, ways[i][1], ways[i][2], strlen(ways[i][2]));
        if (number_at(a.json, "indexed") != 2) fail_msg("%s %s: %s", target, ways[i][1], a.response.body);
        assert_true(true_at(a.json, "schema_inferred") || i >= 3);
        answer_release(&a);
    }
}

static void refused_documents_are_reported_by_line(void **state) {
    (void)state;
    buffer body = {0};
    OK("PUT", "/collections/books", "{\"fields\":{\"title\":{\"type\":\"text\"},\"year\":{\"type\":\"number\"}}}");
    for (int i = 1; i <= 20; i++)
        buffer_printf(&body, "{\"id\":\"b%d\",\"title\":\"book\",\"year\":%s}\n", i, i == 17 ? "\"nineteen\"" : "1999");
    answer a = CALL("POST", "/collections/books/documents", buffer_text(&body));
    assert_int_equal(a.status, 200);
    assert_float_equal(number_at(a.json, "received"), 20, 0);
    assert_float_equal(number_at(a.json, "indexed"), 19, 0);
    assert_float_equal(number_at(a.json, "failed"), 1, 0);
    assert_float_equal(number_at(a.json, "errors.0.line"), 17, 0);
    assert_string_equal(text_at(a.json, "errors.0.id"), "b17");
    assert_string_equal(text_at(a.json, "errors.0.field"), "year");
    assert_string_equal(text_at(a.json, "errors.0.message"),
                        "line 17, field \"year\": expected a number, got \"nineteen\"");
    answer_release(&a);
    a = CALL("POST", "/collections/books/documents?first_line=1001", buffer_text(&body));
    assert_string_equal(text_at(a.json, "errors.0.message"),
                        "line 1017, field \"year\": expected a number, got \"nineteen\"");
    answer_release(&a);
    a = CALL("GET", "/collections/books", NULL);
    assert_float_equal(number_at(a.json, "documents"), 19, 0);
    answer_release(&a);
    FAILS("POST", "/collections/books/documents", "[{\"id\":\"b90\"},{\"id\":", 400, "invalid_json");
    buffer_release(&body);
}

static void ids_are_decoded_from_the_path(void **state) {
    (void)state;
    OK("POST", "/collections/books/documents",
       "[{\"id\":\"a/b\"},{\"id\":\"a b+c\"},{\"id\":\"\xC3\xBC\"},{\"id\":\"50%\"},{\"id\":\"%2F\"},{\"id\":7}]");
    static const char *const ways[][2] = {{"a%2Fb", "a/b"},       {"a%2fb", "a/b"},         {"a%20b+c", "a b+c"},
                                          {"%C3%BC", "\xC3\xBC"}, {"\xC3\xBC", "\xC3\xBC"}, {"50%", "50%"},
                                          {"50%25", "50%"},       {"%252F", "%2F"},         {"7", "7"}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        char target[100];
        snprintf(target, sizeof target, "/collections/books/documents/%s?pretty", ways[i][0]);
        answer a = CALL("GET", target, NULL);
        assert_int_equal(a.status, 200);
        assert_string_equal(text_at(a.json, "id"), ways[i][1]);
        answer_release(&a);
    }
    FAILS("GET", "/collections/books/documents/a%00", NULL, 404, "document_not_found");
    OK("DELETE", "/collections/books/documents/a%2Fb", NULL);
    FAILS("GET", "/collections/books/documents/a%2Fb", NULL, 404, "document_not_found");
}

/* ---- Pages ---- */

static void pages_hold_everything_once_in_order(void **state) {
    (void)state;
    buffer body = {0};
    for (int i = 0; i < 50; i++) buffer_printf(&body, "{\"id\":%d,\"title\":\"t\"}\n", i);
    OK("POST", "/collections/books/documents", buffer_text(&body));
    OK("DELETE", "/collections/books/documents/13", NULL);
    OK("DELETE", "/collections/books/documents/49", NULL);
    static const int limits[] = {1, 7, 48, 1000};
    for (size_t i = 0; i < 4; i++) {
        char after[256] = "", target[400];
        int pages = 0, last = -1, n = 0;
        do {
            snprintf(target, sizeof target, "/collections/books/documents?limit=%d%s%s", limits[i],
                     after[0] ? "&after=" : "", after);
            answer a = CALL("GET", target, NULL);
            assert_string_equal(a.response.content_type, "application/x-ndjson");
            for (const char *line = a.response.body; *line; line = strchr(line, '\n') + 1) {
                int id = atoi(strstr(line, "\"id\":") + 5);
                assert_true(id > last);
                last = id;
                n++;
            }
            snprintf(after, sizeof after, "%s", a.response.next);
            answer_release(&a);
            pages++;
        } while (after[0]);
        assert_int_equal(n, 48);
        assert_int_equal(pages, (48 + limits[i] - 1) / limits[i]);
    }
    answer a = CALL("GET", "/collections/books/documents?after=4294967295", NULL);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.response.body_size, 0);
    answer_release(&a);
    FAILS("GET", "/collections/books/documents?limit=0", NULL, 400, "invalid_request");
    FAILS("GET", "/collections/books/documents?limit=ten", NULL, 400, "invalid_request");
    FAILS("GET", "/collections/books/documents?after=-2", NULL, 400, "invalid_request");
    FAILS("GET", "/collections/books/documents?after=99999999999999999999", NULL, 400, "invalid_request");
    buffer_release(&body);
}

static void the_log_is_a_list_of_what_happened(void **state) {
    (void)state;
    add_books();
    OK("POST", "/collections/books/search",
       "{\"query\":\"fire\",\"query_id\":\"q1\",\"policy\":\"all\",\"timeout_ms\":60000,\"user\":\"u\"}");
    OK("POST", "/collections/books/events",
       "{\"query_id\":\"q1\",\"action_name\":\"like\",\"event_attributes\":{\"object\":{\"object_id\":\"b2\"}}}");
    answer a = CALL("GET", "/collections/books/log?limit=1", NULL);
    assert_string_equal(text_at(a.json, "kind"), "impression");
    assert_string_equal(text_at(a.json, "query_id"), "q1");
    assert_string_equal(text_at(a.json, "user_query"), "fire");
    assert_string_equal(text_at(a.json, "client_id"), "u");
    assert_int_equal(count_at(a.json, "hits"), 2);
    assert_int_equal(count_at(a.json, "decision.strategies.0.probabilities"), 8);
    assert_float_equal(number_at(a.json, "decision.propensity"), 1, 0);
    char target[300];
    snprintf(target, sizeof target, "/collections/books/log?after=%s", a.response.next);
    answer_release(&a);
    a = CALL("GET", target, NULL);
    assert_string_equal(text_at(a.json, "kind"), "event");
    assert_string_equal(text_at(a.json, "action_name"), "like");
    assert_string_equal(text_at(a.json, "event_attributes.object.object_id"), "b2");
    assert_string_equal(a.response.next, "");
    answer_release(&a);
}

/* ---- Searches and events ---- */

static void a_search_may_be_an_address(void **state) {
    (void)state;
    add_books();
    answer a = CALL("GET",
                    "/collections/books/search?q=goblet+of%20fire&limit=1&policy=all&facets=genre&explain=true"
                    "&filter=%7B%22year%22%3A%7B%22lt%22%3A2005%7D%7D&seed=3&timeout_ms=60000",
                    NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(text_at(a.json, "query"), "goblet of fire");
    assert_string_equal(text_at(a.json, "hits.0.id"), "b3");
    assert_int_equal(count_at(a.json, "hits"), 1);
    assert_non_null(at(a.json, "hits.0.explain"));
    assert_non_null(at(a.json, "facets.genre"));
    answer_release(&a);
    a = CALL("GET", "/collections/books/search?q=2008", NULL); /* a word, not a number */
    assert_string_equal(text_at(a.json, "query"), "2008");
    answer_release(&a);
    a = CALL("GET", "/collections/books/search", NULL);
    assert_int_equal(a.status, 200);
    answer_release(&a);
    FAILS("GET", "/collections/books/search?limit=many", NULL, 400, "invalid_request");
    FAILS("GET", "/collections/books/search?limt=1", NULL, 400, "invalid_request");
    FAILS("GET", "/collections/books/search?filter=%7B%22gerne%22%3A1%7D", NULL, 400, "invalid_filter");
    FAILS("GET", "/collections/books/search?filter=%7Bbroken", NULL, 400, "invalid_json");
    FAILS("POST", "/collections/books/search", "{\"query\":", 400, "invalid_json");
    FAILS("POST", "/collections/books/search", "{\"limit\":1001}", 400, "invalid_request");
    FAILS("POST", "/collections/books/search", "{\"query\":\"a\",\"query\":\"b\"}", 400, "invalid_json");
    FAILS("POST", "/collections/books/search", "{\"query\":\"\xC3\x28\"}", 400, "invalid_json");
}

#define EVENT(query, action, document)                                                                                 \
    "{\"query_id\":\"" query "\",\"action_name\":\"" action                                                            \
    "\",\"event_attributes\":{\"object\":{\"object_id\":\"" document "\"}}}"

static void assert_events(const char *body, int status, int accepted, int duplicates, size_t rejected) {
    answer a = CALL("POST", "/collections/books/events", body);
    if (a.status != status || number_at(a.json, "accepted") != accepted ||
        number_at(a.json, "duplicates") != duplicates || count_at(a.json, "rejected") != rejected)
        fail_msg("%s: %d %s", body, a.status, a.response.body);
    answer_release(&a);
}

static void events_come_alone_in_arrays_or_as_lines(void **state) {
    (void)state;
    add_books();
    OK("POST", "/collections/books/search",
       "{\"query\":\"fire\",\"query_id\":\"q\",\"policy\":\"all\",\"timeout_ms\":60000}");
    assert_events(EVENT("q", "click", "b2"), 200, 1, 0, 0);
    assert_events("[" EVENT("q", "click", "b2") "," EVENT("q", "like", "b3") "]", 200, 2, 0, 0);
    assert_events(EVENT("q", "click", "b2") "\n\r\n" EVENT("q", "click", "b3") "\r\n", 200, 2, 0, 0);
    assert_events(
        "[{\"event_id\":\"e1\","
        "\"query_id\":\"q\",\"action_name\":\"click\",\"event_attributes\":{\"object\":{\"object_id\":\"b2\"}}}]",
        200, 1, 0, 0);
    assert_events(
        "[{\"event_id\":\"e1\","
        "\"query_id\":\"q\",\"action_name\":\"click\",\"event_attributes\":{\"object\":{\"object_id\":\"b2\"}}}]",
        200, 0, 1, 0);
    assert_events("[" EVENT("q", "click", "b2") "," EVENT("x", "click", "b2") ",7]", 200, 1, 0, 2);
    assert_events(EVENT("x", "click", "b2"), 404, 0, 0, 1);
    assert_events(EVENT("q", "sneeze", "b2"), 400, 0, 0, 1);
    assert_events(EVENT("q", "click", "b1"), 400, 0, 0, 1); /* not shown */
    answer a = CALL("POST", "/collections/books/events",
                    "[" EVENT("q", "click", "b2") "," EVENT("x", "click", "b2") ",{}]");
    assert_float_equal(number_at(a.json, "rejected.0.index"), 1, 0);
    assert_string_equal(text_at(a.json, "rejected.0.code"), "query_not_found");
    assert_string_equal(text_at(a.json, "rejected.1.code"), "invalid_event");
    assert_string_equal(text_at(a.json, "rejected.1.message"), "event: \"query_id\" is missing");
    answer_release(&a);
    FAILS("POST", "/collections/books/events", "", 400, "invalid_event");
    FAILS("POST", "/collections/books/events", "[]", 400, "invalid_event");
    assert_events(EVENT("q", "click", "b2") "\nnonsense\n" EVENT("q", "click", "b3"), 200, 2, 0, 1);
    FAILS("POST", "/collections/books/events", "nonsense", 400, "invalid_json");
    FAILS("POST", "/collections/books/events", "[" EVENT("q", "click", "b2") ",", 400, "invalid_json");
}

/* ---- Evaluation ---- */

static void evaluation_measures_a_run_or_the_engine(void **state) {
    (void)state;
    add_books();
    answer a = CALL(
        "POST", "/collections/books/evaluate",
        "{\"run\":[{\"query\":\"q\",\"document\":\"x\",\"score\":2},{\"query\":\"q\",\"document\":\"y\",\"score\":1}],"
        "\"judgments\":[{\"query\":\"q\",\"document\":\"y\",\"grade\":2}],\"metrics\":[\"ndcg@10\",\"recall@1\","
        "\"mrr\"],\"per_query\":true}");
    assert_int_equal(a.status, 200);
    assert_string_equal(text_at(a.json, "metrics.0.name"), "ndcg@10");
    assert_float_equal(number_at(a.json, "metrics.0.mean"), 0.63093, 1e-5);
    assert_float_equal(number_at(a.json, "metrics.0.values.0"), 0.63093, 1e-5);
    assert_float_equal(number_at(a.json, "metrics.1.mean"), 0, 0);
    assert_float_equal(number_at(a.json, "metrics.2.mean"), 0.5, 0);
    answer_release(&a);
    a = CALL("POST", "/collections/books/evaluate",
             "{\"queries\":[{\"id\":\"q1\",\"query\":\"hunger\"},{\"id\":\"q2\",\"query\":\"unjudged\"}],"
             "\"judgments\":[{\"query\":\"q1\",\"document\":\"b1\"}]}");
    assert_float_equal(number_at(a.json, "queries"), 1, 0);
    assert_float_equal(number_at(named(at(a.json, "metrics"), "name", "ndcg@10"), "mean"), 1, 0);
    assert_int_equal(count_at(a.json, "metrics"), 4);
    answer_release(&a);
    a = CALL("GET", "/collections/books/stats", NULL); /* nothing was logged */
    assert_float_equal(number_at(a.json, "impressions"), 0, 0);
    answer_release(&a);
    FAILS("POST", "/collections/books/evaluate", "{}", 400, "invalid_request");
    FAILS("POST", "/collections/books/evaluate", "{\"run\":[],\"judgments\":[],\"metrics\":[\"beauty@3\"]}", 400,
          "invalid_request");
    FAILS("POST", "/collections/books/evaluate", "{\"run\":[{\"query\":\"q\"}],\"judgments\":[]}", 400,
          "invalid_request");
    FAILS("POST", "/collections/books/evaluate", "{\"queries\":[{\"id\":1,\"query\":\"x\"}],\"judgments\":[7]}", 400,
          "invalid_request");
    FAILS("POST", "/collections/books/evaluate",
          "{\"queries\":[{\"id\":1,\"query\":\"x\"}],\"judgments\":[{\"query\":1,\"document\":2}],\"policy\":\"best\"}",
          400, "invalid_request");
}

/* ---- The policy ---- */

#define POLICY "/collections/books/policy"

static void the_policy_tells_and_takes(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"{}", "got 0 of them"}, {"{\"keep\":\"a\",\"relearn\":true}", "got 2 of them"}, {"{\"forget\":\"a\"}", "forget"},
        {"{\"keep\":7}", "expected a name"}, {"{\"keep\":\"7\"}", "no number"}, {"{\"keep\":\"\"}", "1 to 64"},
        {"{\"rollback\":[]}", "number or the name"}, {"{\"relearn\":false}", "expected true"},
        {"{\"relearn\":{\"since\":\"soon\"}}", "expected a date"}, {"{\"relearn\":{\"until\":\"2026\"}}", "until"}, {"[true]", "object"}};
    add_books();
    OK("POST", "/collections/books/search", "{\"query\":\"fire\",\"query_id\":\"q\",\"policy\":\"regcb\",\"timeout_ms\":60000}");
    OK("POST", "/collections/books/events", EVENT("q", "click", "b2"));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        answer a = CALL("POST", POLICY, bad[i][0]);
        if (a.status != 400 || !strstr(text_at(a.json, "error.message"), bad[i][1])) fail_msg("%s: %s", bad[i][0], a.response.body);
        answer_release(&a);
    }
    FAILS("POST", POLICY, "{\"rollback\":\"nobody\"}", 404, "not_found");
    FAILS("POST", POLICY, "{\"rollback\":-1}", 404, "not_found");
    FAILS("POST", POLICY, "{\"rollback\":1e0}", 404, "not_found");
    OK("POST", POLICY, "{\"keep\":\"one.search\"}");
    OK("POST", POLICY, "{\"rollback\":1}");
    answer a = CALL("POST", POLICY, "{\"relearn\":{}}");
    assert_float_equal(number_at(a.json, "searches"), 1, 0);
    assert_float_equal(number_at(a.json, "events"), 1, 0);
    answer_release(&a);
    OK("PUT", "/collections/books", "{\"policy\":\"all\",\"budget\":{\"p95_ms\":8}}");
    a = CALL("GET", POLICY, NULL);
    assert_string_equal(text_at(a.json, "name"), "all");
    assert_non_null(at(a.json, "learns"));
    assert_false(true_at(a.json, "learns"));
    assert_float_equal(number_at(a.json, "version"), 1, 0);
    assert_float_equal(number_at(a.json, "budget.p95_ms"), 8, 0);
    assert_int_equal(count_at(a.json, "levels"), FUNNEL_LEVELS);
    assert_non_null(named(at(a.json, "versions"), "name", "one.search"));
    answer_release(&a);
}

/* ---- Upkeep ---- */

static forage_status forget_id(store_txn *t, void *self, base_error *error) {
    (void)self;
    return store_delete(t, STORE_IDS, SLICE("b2"), error);
}

static void check_reports_what_is_wrong(void **state) {
    (void)state;
    add_books();
    answer a = CALL("POST", "/collections/books/check", NULL);
    assert_true(true_at(a.json, "ok"));
    assert_int_equal(count_at(a.json, "problems"), 0);
    answer_release(&a);
    forage_collection *books_handle;
    store_job job = {.apply = forget_id};
    assert_ok(forage_collection_open(c.db, "books", FORAGE_EXISTING, &books_handle, NULL));
    assert_ok(store_write(collection_store(books_handle->collection), &job, NULL));
    a = CALL("POST", "/collections/books/check", NULL);
    assert_int_equal(a.status, 200);
    assert_non_null(at(a.json, "ok"));
    assert_false(true_at(a.json, "ok"));
    assert_string_equal(text_at(a.json, "problems.0"), "document \"b2\" (number 1) has no entry in the id table");
    assert_string_equal(text_at(a.json, "problems.1"), "3 documents are stored, 2 ids");
    answer_release(&a);
}

static void stats_and_metrics_count(void **state) {
    (void)state;
    add_books();
    OK("POST", "/collections/books/search",
       "{\"query\":\"fire\",\"query_id\":\"q\",\"policy\":\"all\",\"timeout_ms\":60000}");
    OK("POST", "/collections/books/events", EVENT("q", "click", "b2"));
    OK("POST", "/collections/books/optimize", NULL);
    answer a = CALL("GET", "/collections/books/stats", NULL);
    assert_float_equal(number_at(a.json, "documents"), 3, 0);
    assert_float_equal(number_at(a.json, "segments"), 1, 0);
    assert_float_equal(number_at(a.json, "memory_segments"), 0, 0);
    assert_float_equal(number_at(a.json, "impressions"), 1, 0);
    assert_float_equal(number_at(a.json, "events"), 1, 0);
    assert_float_equal(number_at(a.json, "memory_pairs"), 1, 0);
    assert_float_equal(number_at(a.json, "policy.strategies.0.share"), 1, 0);
    assert_int_equal(count_at(a.json, "ranker.weights"), F_COUNT);
    answer_release(&a);
    a = CALL("GET", "/metrics", NULL);
    assert_int_equal(strncmp(a.response.content_type, "text/plain", 10), 0);
    assert_non_null(strstr(a.response.body, "forage_documents{collection=\"books\"} 3\n"));
    assert_non_null(strstr(a.response.body, "forage_events_total{collection=\"books\"} 1\n"));
    assert_non_null(strstr(a.response.body, "# TYPE forage_strategy_asked_total counter\n"));
    answer_release(&a);
}

#define LONG_WORD "abcdefghijklmnopabcdefghijklmnopabcdefghijklmnopabcdefghijklmnop"

static void assert_terms(const char *query, const char *expected) {
    char target[200];
    snprintf(target, sizeof target, "/collections/books/terms?%s", query);
    answer a = CALL("GET", target, NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.response.body, expected);
    answer_release(&a);
}

#define REST(more) "],\"more\":" more ",\"cut\":false}"
#define TERM(term, documents) "{\"term\":\"" term "\",\"documents\":" documents "}"
#define NEAR(term, documents, edits) "{\"term\":\"" term "\",\"documents\":" documents ",\"edits\":" edits "}"

static void terms_are_found_by_beginning_range_and_spelling(void **state) {
    (void)state;
    add_books();
    OK("POST", "/collections/books/documents", "{\"id\":\"b4\",\"title\":\"Hungry fires\",\"genre\":[\"Dr\u00e1ma\",\"Essay\"]}");
    assert_terms("limit=1", "{\"terms\":[" TERM("fire", "3") REST("true"));
    assert_terms("prefix=HUNG", "{\"terms\":[" TERM("hunger", "1") "," TERM("hungri", "1") REST("false"));
    assert_terms("fuzzy=ifre", "{\"terms\":[" NEAR("fire", "3", "1") REST("false"));
    assert_terms("fuzzy=hungr&edits=2", "{\"terms\":[" NEAR("hunger", "1", "1") "," NEAR("hungri", "1", "1") REST("false"));
    assert_terms("from=g&to=goblet", "{\"terms\":[" TERM("game", "1") REST("false"));
    assert_terms("field=genre", "{\"terms\":[" TERM("drama", "1") "," TERM("dr\u00e1ma", "1") "," TERM("essay", "1") REST("false"));
    assert_terms("field=genre&fuzzy=Drama", "{\"terms\":[" NEAR("drama", "1", "0") "," NEAR("dr\u00e1ma", "1", "1") REST("false"));
    assert_terms("field=genre&from=e", "{\"terms\":[" TERM("essay", "1") REST("false"));
    assert_terms("prefix=zz", "{\"terms\":[" REST("false"));
    FAILS("GET", "/collections/books/terms?prefix=a&fuzzy=b", NULL, 400, "invalid_request");
    FAILS("GET", "/collections/books/terms?fuzzy=b&edits=3", NULL, 400, "invalid_request");
    FAILS("GET", "/collections/books/terms?field=title", NULL, 400, "invalid_request");
    FAILS("GET", "/collections/books/terms?field=year", NULL, 400, "invalid_request");
    FAILS("GET", "/collections/books/terms?field=nothing", NULL, 400, "invalid_request");
    FAILS("GET", "/collections/books/terms?fuzzy=" LONG_WORD, NULL, 400, "invalid_request");
}

#define ISOLATED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ISOLATED(every_route_answers),
        ISOLATED(terms_are_found_by_beginning_range_and_spelling),
        ISOLATED(the_description_tells_the_truth),
        ISOLATED(what_is_not_there_is_told_apart),
        ISOLATED(names_of_collections_are_plain),
        ISOLATED(a_collection_is_created_once_and_then_extended),
        ISOLATED(what_is_refused_makes_nothing),
        ISOLATED(documents_come_in_by_type_or_name_of_format),
        ISOLATED(refused_documents_are_reported_by_line),
        ISOLATED(ids_are_decoded_from_the_path),
        ISOLATED(pages_hold_everything_once_in_order),
        ISOLATED(the_log_is_a_list_of_what_happened),
        ISOLATED(a_search_may_be_an_address),
        ISOLATED(events_come_alone_in_arrays_or_as_lines),
        ISOLATED(evaluation_measures_a_run_or_the_engine),
        ISOLATED(the_policy_tells_and_takes),
        ISOLATED(check_reports_what_is_wrong),
        ISOLATED(stats_and_metrics_count),
    };
    return cmocka_run_group_tests_name("api", tests, NULL, NULL);
}
