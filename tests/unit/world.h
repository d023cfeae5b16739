/* A collection with its funnel in a temporary folder, and short ways to ask it, for the tests of what works on
 * documents. */
#ifndef WORLD_H
#define WORLD_H

#include "testing.h"

#include "base/log.h"
#include "base/random.h"
#include "collection/document.h"
#include "collection/filter_json.h"
#include "funnel/answer.h"
#include "os/file.h"

#include <math.h>

/* ---- JSON ---- */

static inline json_value *parse(arena *a, const char *text) {
    json_value *json = NULL;
    base_error error = {0};
    if (json_read(a, slice_of(text), &json, &error)) fail_msg("%s in %s", error.message, text);
    return json;
}

/* The value at "hits.0.document.title"; NULL when there is none. */
static inline const json_value *at(const json_value *v, const char *path) {
    while (v && *path) {
        size_t size = strcspn(path, ".");
        slice key = {path, size};
        const json_value *child = v->first;
        if (v->type == JSON_ARRAY)
            for (long i = strtol(path, NULL, 10); child && i > 0; i--) child = child->next;
        else
            while (child && !slice_equal(child->key, key)) child = child->next;
        v = child;
        path += size + (path[size] == '.');
    }
    return v;
}

/* The string there, NUL-terminated, until sixteen further calls of this thread; a number as it is written. */
static inline const char *text_at(const json_value *v, const char *path) {
    static _Thread_local char room[16][2048];
    static _Thread_local unsigned next;
    v = at(v, path);
    if (!v || (v->type != JSON_STRING && v->type != JSON_NUMBER)) return "(nothing)";
    char *out = room[next++ % 16];
    snprintf(out, sizeof room[0], "%.*s", (int)v->text.size, v->text.data);
    return out;
}

static inline double number_at(const json_value *v, const char *path) {
    v = at(v, path);
    return v && v->type == JSON_NUMBER ? v->number : NAN;
}

static inline bool true_at(const json_value *v, const char *path) {
    v = at(v, path);
    return v && v->type == JSON_BOOL && v->boolean;
}

static inline size_t count_at(const json_value *v, const char *path) {
    v = at(v, path);
    return v ? v->count : 0;
}

/* The first element of an array whose member `key` is `value`. */
static inline const json_value *named(const json_value *array, const char *key, const char *value) {
    for (const json_value *v = array ? array->first : NULL; v; v = v->next)
        if (strcmp(text_at(v, key), value) == 0) return v;
    return NULL;
}

/* ---- The world ---- */

typedef struct world {
    char folder[600];
    arena memory; /* what was asked and answered; grows until the world ends */
    os_clock clock;
    int64_t ahead; /* microseconds that the world's clock is ahead of the system's */
    int64_t fixed; /* what it shows instead, when not 0 */
    os_pool *pool;
    collection *collection;
    funnel *funnel;
} world;

static inline int64_t world_wall(void *self) {
    const world *w = self;
    return w->fixed ? w->fixed : clock_wall(&os_clock_system) + w->ahead;
}
static inline int64_t world_monotonic(void *self) { return (void)self, clock_monotonic(&os_clock_system); }

static inline void world_open(world *w) {
    base_error error = {0};
    collection_options options = {.no_sync = true, .clock = w->clock};
    if (collection_open(w->folder, "world", &options, &w->collection, &error)) fail_msg("%s", error.message);
    if (funnel_open(w->collection, w->pool, 7, &w->funnel, &error)) fail_msg("%s", error.message);
}

static inline void world_shut(world *w) {
    funnel_close(w->funnel);
    collection_close(w->collection);
    w->funnel = NULL;
    w->collection = NULL;
}

static inline world *world_begin(void) {
    world *w = mem_zalloc(1, sizeof *w);
    snprintf(w->folder, sizeof w->folder, "%s", testing_folder());
    arena_init(&w->memory, 1 << 20);
    w->clock = (os_clock){world_wall, world_monotonic, w};
    w->pool = os_pool_create(2, 64);
    world_open(w);
    return w;
}

static inline void world_end(world *w) {
    world_shut(w);
    os_pool_destroy(w->pool);
    arena_release(&w->memory);
    assert_ok(os_remove_tree(w->folder, NULL));
    free(w);
}

static inline void world_reopen(world *w) {
    world_shut(w);
    world_open(w);
}

static inline void world_schema(world *w, const char *json) {
    base_error error = {0};
    if (collection_extend_schema(w->collection, parse(&w->memory, json), &error)) fail_msg("%s", error.message);
}

/* Imports records; the report's problems live in it until import_report_release. */
static inline void world_import_report(world *w, slice bytes, import_report *report) {
    base_error error = {0};
    *report = (import_report){0};
    arena_init(&report->memory, 0);
    records_reader *reader = records_open_memory(bytes, NULL);
    if (collection_import(w->collection, reader, 1, report, &error)) fail_msg("%s", error.message);
    records_close(reader);
}

/* Imports records that all fit; returns how many. */
static inline uint64_t world_import(world *w, const char *records) {
    import_report report;
    world_import_report(w, slice_of(records), &report);
    if (report.failed) fail_msg("%s", report.problems[0].message.data);
    uint64_t n = report.indexed;
    arena_release(&report.memory);
    return n;
}

/* The answer to a search request as JSON, or an error. */
static inline forage_status world_try(world *w, const char *request, const json_value **out, base_error *error) {
    funnel_request r;
    funnel_answer *answer = NULL;
    *error = (base_error){0};
    forage_status status = funnel_request_read(parse(&w->memory, request), &r, error);
    /* Unless a test says otherwise: a busy machine changes no result. */
    if (!status && r.timeout_ms == FUNNEL_DEFAULT_TIMEOUT_MS) r.timeout_ms = 60000;
    if (!status) status = funnel_search(w->funnel, &r, &answer, error);
    if (status) return status;
    buffer text = {0};
    json_writer writer = json_writer_of(&text);
    funnel_answer_write(answer, &writer);
    funnel_answer_release(answer);
    *out = parse(&w->memory, buffer_text(&text));
    buffer_release(&text);
    return FORAGE_OK;
}

/* The whole folder as it is right now, without lock files: what a crash would leave. */
static inline void world_copy(const char *from, const char *to) {
    arena a;
    char **names;
    size_t n;
    arena_init(&a, 0);
    assert_ok(os_make_folders(to, NULL));
    assert_ok(os_list(from, &a, &names, &n, NULL));
    for (size_t i = 0; i < n; i++) {
        const char *source = path_join(&a, from, names[i]), *target = path_join(&a, to, names[i]);
        buffer bytes = {0};
        if (strstr(names[i], "lock")) continue;
        if (os_read_file(source, 0, &bytes, NULL)) world_copy(source, target);
        else assert_ok(os_write_file(target, bytes.data, bytes.size, NULL));
        buffer_release(&bytes);
    }
    arena_release(&a);
}

/* Another world whose folder is a copy of this one's, which stays open. */
static inline world *world_crash(world *w) {
    world *other = mem_zalloc(1, sizeof *other);
    store_wait(collection_store(w->collection));
    snprintf(other->folder, sizeof other->folder, "%s", testing_folder());
    world_copy(w->folder, other->folder);
    arena_init(&other->memory, 1 << 20);
    other->clock = (os_clock){world_wall, world_monotonic, other};
    other->ahead = w->ahead;
    other->pool = os_pool_create(2, 64);
    world_open(other);
    return other;
}

static inline const json_value *world_search(world *w, const char *request) {
    const json_value *answer = NULL;
    base_error error;
    if (world_try(w, request, &answer, &error)) fail_msg("%s for %s", error.message, request);
    return answer;
}

/* Searches with the policy "all", without a log: what is there is found. */
static inline const json_value *world_find(world *w, const char *query) {
    return world_search(w, arena_printf(&w->memory, "{\"query\":\"%s\",\"policy\":\"all\",\"log\":false,\"limit\":100}",
                                        query));
}

/* "a b c": the ids of the hits in order. */
static inline const char *world_ids(world *w, const json_value *answer) {
    buffer ids = {0};
    for (const json_value *hit = at(answer, "hits.0"); hit; hit = hit->next)
        buffer_printf(&ids, "%s%s", ids.size ? " " : "", text_at(hit, "id"));
    const char *out = arena_strndup(&w->memory, ids.data ? ids.data : "", ids.size);
    buffer_release(&ids);
    return out;
}

static inline uint64_t world_total(world *w, const char *query) {
    return (uint64_t)number_at(world_find(w, query), "total.value");
}

static inline funnel_event_result world_event(world *w, const feedback_event *event) {
    funnel_event_result result = {0};
    base_error error = {0};
    if (funnel_record(w->funnel, event, 1, &result, &error)) fail_msg("%s", error.message);
    return result;
}

/* The log's newest record, when all that waits has been written. */
static inline slice world_last_record(world *w) {
    store_txn *t;
    slice key, value;
    store_wait(collection_store(w->collection));
    assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
    assert_ok(store_last_key(t, STORE_LOG, &key));
    assert_ok(store_get(t, STORE_LOG, key, &value));
    value = arena_slice(&w->memory, value);
    store_read_end(t);
    return value;
}

/* That record, which must be an impression. */
static inline record_impression world_last_impression(world *w) {
    record_impression r;
    assert_ok(record_read_impression(world_last_record(w), &w->memory, &r));
    return r;
}

/* That record, which must be an event. */
static inline record_event world_last_event(world *w) {
    record_event e;
    assert_ok(record_read_event(world_last_record(w), &e));
    return e;
}

#endif
