/* The registry of trained rankers: kept, served, rolled back; damaged and foreign ones; what their scores are made of. */
#include "ranked_world.h"

#include "funnel/models_rows.h"
#include "rank/forest.h"

static const char *const catalogue =
    "{\"id\":\"a\",\"title\":\"red stone\",\"price\":1}\n{\"id\":\"b\",\"title\":\"red stone wall\",\"price\":9}\n"
    "{\"id\":\"c\",\"title\":\"blue stone\",\"price\":5}\n{\"id\":\"d\",\"title\":\"stone\"}\n";

static world *w;

static int begin(void **state) {
    (void)state;
    w = world_begin();
    world_schema(w, "{\"fields\":{\"title\":{\"type\":\"text\"},\"price\":{\"type\":\"number\"}},\"rewards\":{\"click\":1}}");
    world_import(w, catalogue);
    return 0;
}

static int end(void **state) {
    (void)state;
    ranked_end(w);
    return 0;
}

#define STONE "{\"query\":\"stone\",\"policy\":\"all\"}"

static const json_value *by(const char *name) {
    return world_search(w, arena_printf(&w->memory, "{\"query\":\"stone\",\"policy\":\"all\",\"ranker\":\"%s\",\"explain\":true}", name));
}

static const char *serving(void) { return text_at(world_search(w, STONE), "ranker.name"); }

static size_t list(funnel_model **out) {
    size_t n;
    assert_ok(funnel_models(w->funnel, &w->memory, out, &n, NULL));
    return n;
}

/* ---- The registry ---- */

static void versions_are_kept_served_and_rolled_back(void **state) {
    (void)state;
    funnel_model *models;
    uint64_t number;
    base_error error = {0};
    assert_int_equal(list(&models), 0);
    assert_string_equal(serving(), "linear");
    assert_int_equal(funnel_model_rollback(w->funnel, &number, &error), FORAGE_E_NOT_FOUND);
    uint64_t dear = add_linear(w, "field.price", 1), cheap = add_linear(w, "field.price", -1);
    assert_int_equal(dear, 1);
    assert_int_equal(cheap, 2);
    assert_string_equal(serving(), "linear"); /* nothing serves by being there */
    assert_ok(funnel_model_activate(w->funnel, dear, NULL));
    assert_string_equal(serving(), "model:1");
    assert_string_equal(world_ids(w, world_search(w, STONE)), "b c a d");
    assert_ok(funnel_model_activate(w->funnel, cheap, NULL));
    assert_string_equal(world_ids(w, world_search(w, STONE)), "d a c b"); /* d adds nothing */
    assert_int_equal(list(&models), 2);
    assert_true(models[0].number == cheap && models[0].active && !models[1].active && slice_is(models[0].name, "by hand"));
    world_reopen(w);
    assert_string_equal(serving(), "model:2");
    assert_ok(funnel_model_rollback(w->funnel, &number, NULL));
    assert_int_equal(number, dear);
    assert_string_equal(serving(), "model:1");
    assert_ok(funnel_model_rollback(w->funnel, &number, NULL));
    assert_int_equal(number, 0);
    assert_string_equal(serving(), "linear");
    assert_int_equal(funnel_model_rollback(w->funnel, &number, NULL), FORAGE_E_NOT_FOUND);
    assert_ok(funnel_model_activate(w->funnel, dear, NULL));
    assert_ok(funnel_model_activate(w->funnel, 0, NULL));
    assert_string_equal(serving(), "linear");
    assert_int_equal(funnel_model_activate(w->funnel, 99, &error), FORAGE_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "99"));
}

static void a_model_is_asked_for_by_number(void **state) {
    (void)state;
    const json_value *answer;
    base_error error;
    uint64_t dear = add_linear(w, "field.price", 1);
    assert_string_equal(world_ids(w, by("model:1")), "b c a d");
    assert_int_equal(world_try(w, "{\"query\":\"stone\",\"ranker\":\"model\"}", &answer, &error), FORAGE_E_INVALID); /* none serves */
    assert_int_equal(world_try(w, "{\"query\":\"stone\",\"ranker\":\"model:7\"}", &answer, &error), FORAGE_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "\"ranker\""));
    assert_int_equal(world_try(w, "{\"query\":\"stone\",\"ranker\":\"model:x\"}", &answer, &error), FORAGE_E_INVALID);
    assert_ok(funnel_model_remove(w->funnel, dear, NULL));
    assert_int_equal(world_try(w, "{\"query\":\"stone\",\"ranker\":\"model:1\"}", &answer, &error), FORAGE_E_NOT_FOUND);
}

static void what_is_in_use_is_not_removed(void **state) {
    (void)state;
    uint64_t number, first = add_linear(w, "field.price", 1), second = add_linear(w, "field.price", -1);
    assert_ok(funnel_model_activate(w->funnel, first, NULL));
    assert_ok(funnel_model_shadow(w->funnel, second, NULL));
    assert_int_equal(funnel_model_remove(w->funnel, first, NULL), FORAGE_E_INVALID);
    assert_int_equal(funnel_model_remove(w->funnel, second, NULL), FORAGE_E_INVALID);
    assert_int_equal(funnel_model_shadow(w->funnel, first, NULL), FORAGE_E_INVALID);
    assert_int_equal(funnel_model_shadow(w->funnel, 9, NULL), FORAGE_E_NOT_FOUND);
    assert_ok(funnel_model_activate(w->funnel, second, NULL)); /* the shadow comes forward */
    assert_int_equal(funnel_shadow_model(w->funnel), 0);
    assert_ok(funnel_model_shadow(w->funnel, first, NULL));
    assert_ok(funnel_model_rollback(w->funnel, &number, NULL));
    assert_int_equal(number, first);
    assert_int_equal(funnel_shadow_model(w->funnel), 0);
    assert_ok(funnel_model_remove(w->funnel, second, NULL));
    assert_ok(funnel_model_rollback(w->funnel, &number, NULL)); /* passes over what is gone */
    assert_int_equal(number, 0);
    assert_int_equal(add_linear(w, "field.price", 2), 3); /* numbers are not given twice */
}

static void a_shadow_scores_and_does_not_serve(void **state) {
    (void)state;
    uint64_t dear = add_linear(w, "field.price", 1);
    const char *before = world_ids(w, world_search(w, STONE));
    assert_ok(funnel_model_shadow(w->funnel, dear, NULL));
    assert_string_equal(world_ids(w, world_search(w, STONE)), before);
    record_impression r = world_last_impression(w);
    assert_true(slice_is(r.shadow, "model:1") && slice_is(r.ranker, "linear"));
    static const struct {
        const char *id;
        uint32_t rank;
    } expected[] = {{"b", 1}, {"c", 2}, {"a", 3}, {"d", 4}};
    for (uint32_t i = 0; i < r.n_hits; i++)
        for (int k = 0; k < 4; k++)
            if (r.hits[i].document == number_of_id(w, expected[k].id)) assert_int_equal(r.hits[i].shadow, expected[k].rank);
    world_reopen(w);
    assert_int_equal(funnel_shadow_model(w->funnel), dear);
}

static void only_so_many_are_kept(void **state) {
    (void)state;
    funnel_model *models;
    uint64_t first = add_linear(w, "field.price", 1), second = add_linear(w, "field.price", 1);
    assert_ok(funnel_model_activate(w->funnel, first, NULL));
    for (int i = 0; i < FUNNEL_MOST_MODELS + 5; i++) add_linear(w, "field.price", 1);
    size_t n = list(&models);
    assert_true(n <= FUNNEL_MOST_MODELS && n > FUNNEL_MOST_MODELS - 4);
    assert_int_equal(models[n - 1].number, first); /* it serves */
    for (size_t i = 0; i < n; i++) assert_true(models[i].number != second);
}

/* ---- What is wrong with them ---- */

/* Puts other bytes under a key of the store. */
typedef struct put_job {
    slice key, value;
} put_job;

static forage_status put_apply(store_txn *t, void *self, base_error *error) {
    put_job *p = self;
    return p->value.size ? store_put(t, STORE_MODELS, p->key, p->value, error) : store_delete(t, STORE_MODELS, p->key, error);
}

static void put_row(slice key, slice value) {
    put_job p = {key, value};
    store_job job = {put_apply, NULL, &p};
    assert_ok(store_write(collection_store(w->collection), &job, NULL));
}

static slice key_of_model(uint64_t number) {
    char *key = arena_alloc(&w->memory, 14);
    memcpy(key, "model:", 6);
    store_be64(key + 6, number);
    return (slice){key, 14};
}

static slice row_of_model(uint64_t number) {
    store_txn *t;
    slice value;
    assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
    assert_ok(store_get(t, STORE_MODELS, key_of_model(number), &value));
    value = arena_slice(&w->memory, value);
    store_read_end(t);
    return value;
}

static void a_model_that_is_gone_leaves_the_linear_ranker(void **state) {
    (void)state;
    uint64_t dear = add_linear(w, "field.price", 1);
    const char *linear = world_ids(w, world_search(w, STONE));
    assert_ok(funnel_model_activate(w->funnel, dear, NULL));
    put_row(key_of_model(dear), (slice){0});
    world_reopen(w);
    FILE *lines = tmpfile();
    int terminal = dup(STDERR_FILENO);
    dup2(fileno(lines), STDERR_FILENO);
    const char *first = serving(), *then = world_ids(w, world_search(w, STONE)), *last = serving();
    dup2(terminal, STDERR_FILENO);
    close(terminal);
    assert_string_equal(first, "linear");
    assert_string_equal(then, linear);
    assert_string_equal(last, "linear");
    int said = 0;
    char line[512];
    rewind(lines);
    while (fgets(line, sizeof line, lines)) said += strstr(line, "cannot be used") != NULL;
    fclose(lines);
    assert_int_equal(said, 1);
}

/* Every byte flipped and every length cut: an error or, where nothing of it is looked at, the same model; never a crash. */
static void damaged_rows_are_told_and_the_others_go_on(void **state) {
    (void)state;
    arena a;
    funnel_model m, *models;
    stump one = {"field.price", 4, -1, 1};
    uint64_t good = add_linear(w, "field.price", 1), bad = add_stumps(w, &one, 1, true, "");
    slice row = row_of_model(bad);
    arena_init(&a, 0);
    for (size_t i = 0; i < row.size; i += 1 + row.size / 97) {
        char *copy = arena_strndup(&w->memory, row.data, row.size);
        copy[i] ^= 0x41;
        put_row(key_of_model(bad), (slice){copy, row.size});
        assert_int_equal(funnel_model_get(w->funnel, bad, &a, &m, NULL), FORAGE_E_CORRUPT);
        put_row(key_of_model(bad), (slice){row.data, i ? i : 1});
        assert_int_equal(funnel_model_get(w->funnel, bad, &a, &m, NULL), FORAGE_E_CORRUPT);
    }
    arena_release(&a);
    assert_int_equal(list(&models), 1);
    assert_int_equal(models[0].number, good);
    assert_ok(funnel_model_activate(w->funnel, bad, NULL)); /* it is there; what it is shows when it is loaded */
    assert_string_equal(serving(), "linear");
}

static void a_damaged_registry_is_an_error(void **state) {
    (void)state;
    static const char *const rows[] = {"\1", "\0\1\0\0\0\0\0\0\0", "\1\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"};
    static const size_t sizes[] = {1, 9, 26};
    models_state s;
    base_error error;
    for (int i = 0; i < 3; i++) {
        store_txn *t;
        put_row(SLICE("models"), (slice){rows[i], sizes[i]});
        assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
        assert_int_equal(models_read_state(t, &s, &error), FORAGE_E_CORRUPT);
        store_read_end(t);
    }
    put_row(SLICE("models"), SLICE("\2whatever"));
    store_txn *t;
    assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
    assert_int_equal(models_read_state(t, &s, &error), FORAGE_E_VERSION);
    store_read_end(t);
    put_row(SLICE("models"), (slice){0});
}

/* A schema that has lost a column that a model was trained with: there it is missing in every row. */
static void a_column_that_is_gone_is_missing(void **state) {
    (void)state;
    stump two[] = {{"field.price", 4, -1, 1}, {"title.length", 1.2, 0, .25}};
    uint64_t trees = add_stumps(w, two, 2, true, "");
    assert_string_equal(world_ids(w, by(arena_printf(&w->memory, "model:%d", (int)trees))), "b c a d");
    world_schema(w, "{\"ranking\":{\"features\":[]}}");
    assert_string_equal(world_ids(w, by(arena_printf(&w->memory, "model:%d", (int)trees))), "b a c d"); /* by length; equals by document */
    buffer file = {0}, bytes = {0};
    base_error error = {0};
    write_stumps(two, 2, true, &file);
    assert_int_equal(funnel_model_import(w->funnel, (slice){file.data, file.size}, SLICE(""), false, &bytes, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "field.price"));
    assert_int_equal(bytes.size, 0);
    assert_ok(funnel_model_import(w->funnel, (slice){file.data, file.size}, SLICE(""), true, &bytes, NULL));
    assert_true(bytes.size > 0);
    buffer_release(&file);
    buffer_release(&bytes);
}

static void import_maps_names_and_refuses_what_it_cannot_read(void **state) {
    (void)state;
    buffer file = {0}, bytes = {0};
    base_error error = {0};
    stump theirs[] = {{"their_price", 4, -1, 1}};
    write_stumps(theirs, 1, true, &file);
    slice whole = {file.data, file.size};
    assert_int_equal(funnel_model_import(w->funnel, whole, SLICE(""), false, &bytes, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "their_price"));
    assert_int_equal(funnel_model_import(w->funnel, whole, SLICE("their_price\tfield.nothing"), false, &bytes, &error), FORAGE_E_INVALID);
    assert_int_equal(funnel_model_import(w->funnel, whole, SLICE("{\"their_price\":7}"), false, &bytes, &error), FORAGE_E_INVALID);
    for (size_t n = 0; n + 20 < whole.size; n += 11)
        assert_true(funnel_model_import(w->funnel, (slice){whole.data, n}, SLICE("their_price\tfield.price"), false, &bytes, NULL) < 0);
    assert_int_equal(bytes.size, 0);
    uint64_t number = add_stumps(w, theirs, 1, true, "{\"their_price\":\"field.price\"}");
    assert_string_equal(world_ids(w, by(arena_printf(&w->memory, "model:%d", (int)number))), "b c a d");
    buffer_release(&file);
    buffer_release(&bytes);
}

static void linear_bytes_are_read_or_refused(void **state) {
    (void)state;
    const columns_list *columns = funnel_columns(w->funnel, collection_schema(w->collection));
    const char *const names[] = {"field.price", "title.length", "of another schema"};
    const float weight[] = {2, 0, 5}, center[] = {3, 1, 1};
    buffer bytes = {0};
    loaded_model *one = NULL;
    funnel_linear_bytes(names, weight, center, 3, &bytes);
    for (size_t n = 0; n < bytes.size; n++) {
        funnel_model m = {.number = 1, .kind = FUNNEL_MODEL_LINEAR, .bytes = {bytes.data, n}};
        assert_int_equal(model_load(&m, columns, &one, NULL), FORAGE_E_CORRUPT);
    }
    funnel_model m = {.number = 1, .kind = FUNNEL_MODEL_LINEAR, .bytes = {bytes.data, bytes.size},
        .report = SLICE("{\"calibration\":{\"slope\":2,\"intercept\":-1}}")};
    assert_ok(model_load(&m, columns, &one, NULL));
    float *x = mem_alloc(columns->n * sizeof *x), score;
    for (uint32_t i = 0; i < columns->n; i++) x[i] = NAN;
    model_score(one, x, 1, columns->n, &w->memory, &score);
    assert_float_equal(score, 0, 0);
    x[columns_find(columns, SLICE("field.price"))] = 10;
    model_score(one, x, 1, columns->n, &w->memory, &score);
    assert_float_equal(score, 14, 1e-6);
    assert_float_equal(model_calibration(one).slope, 2, 0);
    models_release(one);
    free(x);
    buffer_clear(&bytes);
    funnel_linear_bytes(names, weight, center, 0, &bytes); /* a model without weights is one */
    m = (funnel_model){.kind = FUNNEL_MODEL_LINEAR, .bytes = {bytes.data, bytes.size}};
    uint64_t number;
    assert_ok(funnel_model_add(w->funnel, &m, &number, NULL));
    assert_ok(funnel_model_get(w->funnel, number, &w->memory, &m, NULL));
    assert_string_equal(world_ids(w, by(arena_printf(&w->memory, "model:%d", (int)number))), "a b c d");
    buffer_release(&bytes);
    char name[FUNNEL_MODEL_NAME + 2];
    memset(name, 'n', sizeof name);
    m = (funnel_model){.kind = FUNNEL_MODEL_LINEAR, .name = {name, FUNNEL_MODEL_NAME + 1}};
    assert_int_equal(funnel_model_add(w->funnel, &m, &number, NULL), FORAGE_E_INVALID);
}

/* ---- Scores ---- */

static const stump several[] = {{"field.price", 4, -1, 1}, {"title.length", 1.2, 0, .25}, {"lexical.rank", 1.5, .5, -.5},
                                {"words.coverage", .5, -2, .125}};

/* What the funnel serves is what the forest says of the rows that were logged. */
static void scores_are_the_forests_on_the_logged_rows(void **state) {
    (void)state;
    uint64_t number = add_stumps(w, several, 4, true, "");
    assert_ok(funnel_model_activate(w->funnel, number, NULL));
    world_search(w, STONE);
    record_impression r = world_last_impression(w);
    const char *const *names = funnel_column_names(w->funnel, r.feature_set, r.n_features, &w->memory);
    assert_non_null(names);
    funnel_model m;
    forest *trees;
    assert_ok(funnel_model_get(w->funnel, number, &w->memory, &m, NULL));
    assert_ok(forest_load(m.bytes, &trees, NULL));
    slice *columns = arena_alloc(&w->memory, r.n_features * sizeof *columns);
    for (uint32_t i = 0; i < r.n_features; i++) columns[i] = slice_of(names[i]);
    assert_ok(forest_map_features(trees, columns, r.n_features, SLICE(""), false, NULL));
    assert_int_equal(r.n_hits, 4);
    for (uint32_t i = 0; i < r.n_hits; i++) {
        float score, again;
        forest_score(trees, r.hits[i].features, 1, r.n_features, &w->memory, &score);
        assert_true(score == r.hits[i].score);
        assert_ok(funnel_model_score(w->funnel, number, names, r.n_features, r.hits[i].features, 1, &again, NULL));
        assert_true(again == score);
    }
    forest_destroy(trees);
}

static void assert_parts_sum(const json_value *answer, const char *method) {
    size_t n = 0;
    for (const json_value *hit = at(answer, "hits.0"); hit; hit = hit->next, n++) {
        double sum = number_at(hit, "explain.bias");
        for (const json_value *f = at(hit, "explain.features.0"); f; f = f->next) sum += number_at(f, "contribution");
        assert_string_equal(text_at(hit, "explain.method"), method);
        if (!(fabs(sum - number_at(hit, "score")) < 1e-5)) fail_msg("contributions sum to %g, the score is %g", sum,
            number_at(hit, "score"));
    }
    assert_int_equal(n, 4);
}

static void contributions_sum_to_the_score(void **state) {
    (void)state;
    add_stumps(w, several, 4, true, "");
    add_linear(w, "field.price", .3f);
    assert_parts_sum(by("model:1"), "tree_shap");
    assert_parts_sum(by("model:2"), "linear");
    assert_parts_sum(by("linear"), "linear");
    assert_string_equal(text_at(by("rrf"), "hits.0.explain.method"), "(nothing)");
}

/* Files without cover cannot be explained; the search answers all the same. */
static void a_model_without_cover_is_not_explained(void **state) {
    (void)state;
    add_stumps(w, several, 4, false, "");
    const json_value *a = by("model:1");
    assert_int_equal(count_at(a, "hits"), 4);
    assert_string_equal(text_at(a, "hits.0.explain.method"), "(nothing)");
    assert_true(count_at(a, "hits.0.explain.features") > 0);
    assert_null(at(a, "hits.0.explain.features.0.contribution"));
}

static void importance_is_told_by_our_names(void **state) {
    (void)state;
    stump theirs[] = {{"p", 4, -1, 1}, {"title.length", 1.2, 0, .25}};
    uint64_t trees = add_stumps(w, theirs, 2, true, "p\tfield.price\n"), linear = add_linear(w, "title.length", -3);
    funnel_model m;
    buffer text = {0};
    json_writer writer = json_writer_of(&text);
    assert_ok(funnel_model_get(w->funnel, trees, &w->memory, &m, NULL));
    assert_ok(funnel_model_importance(&m, &writer, NULL));
    const json_value *list_ = parse(&w->memory, buffer_text(&text));
    assert_int_equal(list_->count, 2);
    assert_string_equal(text_at(list_, "0.feature"), "field.price");
    assert_float_equal(number_at(list_, "0.splits"), 1, 0);
    buffer_clear(&text);
    writer = json_writer_of(&text);
    assert_ok(funnel_model_get(w->funnel, linear, &w->memory, &m, NULL));
    assert_ok(funnel_model_importance(&m, &writer, NULL));
    list_ = parse(&w->memory, buffer_text(&text));
    assert_string_equal(text_at(list_, "0.feature"), "title.length");
    assert_float_equal(number_at(list_, "0.weight"), -3, 0);
    buffer_release(&text);
}

/* Versions that come and go while others search: each search has one whole model. */
static void *search_on(void *self) {
    (void)self;
    for (int i = 0; i < 60; i++) {
        funnel_request r;
        funnel_answer *a;
        funnel_request_default(&r);
        r.query = SLICE("stone");
        r.timeout_ms = 60000;
        r.log = i % 2;
        if (funnel_search(w->funnel, &r, &a, NULL)) return "a search failed";
        funnel_answer_release(a);
    }
    return NULL;
}

static void models_change_under_searches(void **state) {
    (void)state;
    pthread_t threads[2];
    void *failed;
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, search_on, NULL);
    for (int i = 0; i < 10; i++) {
        uint64_t number = i % 2 ? add_linear(w, "field.price", 1) : add_stumps(w, several, 4, true, ""), before;
        assert_ok(funnel_model_shadow(w->funnel, number, NULL));
        assert_ok(funnel_model_activate(w->funnel, number, NULL));
        if (i % 3 == 2) {
            assert_ok(funnel_model_rollback(w->funnel, &before, NULL));
            assert_ok(funnel_model_remove(w->funnel, number, NULL));
        }
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(versions_are_kept_served_and_rolled_back), T(a_model_is_asked_for_by_number), T(what_is_in_use_is_not_removed),
        T(a_shadow_scores_and_does_not_serve), T(only_so_many_are_kept), T(a_model_that_is_gone_leaves_the_linear_ranker),
        T(damaged_rows_are_told_and_the_others_go_on), T(a_damaged_registry_is_an_error), T(a_column_that_is_gone_is_missing),
        T(import_maps_names_and_refuses_what_it_cannot_read), T(linear_bytes_are_read_or_refused),
        T(scores_are_the_forests_on_the_logged_rows), T(contributions_sum_to_the_score),
        T(a_model_without_cover_is_not_explained), T(importance_is_told_by_our_names), T(models_change_under_searches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
