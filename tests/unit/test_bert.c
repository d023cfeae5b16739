/* BERT: a tiny model's vectors, sparse weights and scores of pairs as tests/golden/bert/make.py computed them in double; damaged
 * folders; deadlines; threads; the cache of query vectors. */
#include "testing.h"

#include "encode/bert.h"
#include "encode/vector_cache.h"
#include "os/clock.h"
#include "os/file.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

enum { D = 16, VOCABULARY = 30, TEXTS = 6 };

typedef struct expected {
    buffer texts_file;
    slice texts[TEXTS];
    float vectors[TEXTS][D], firsts[TEXTS][D], weights[TEXTS][VOCABULARY], pairs[TEXTS];
} expected;

static const char *const files[] = {"config.json", "vocab.txt", "model.safetensors"};

static const char *golden_path(const char *name) {
    static char path[1024];
    const char *source = getenv("FORAGE_SOURCE");
    snprintf(path, sizeof path, "%s/tests/golden/bert/%s", source ? source : ".", name);
    return path;
}

static void read_numbers(char **at, const char *name, float *out, size_t n) {
    assert_memory_equal(*at, name, strlen(name));
    *at += strlen(name);
    for (size_t i = 0; i < n; i++) out[i] = strtof(*at, at);
    (*at)++;
}

static expected *load(void) {
    expected *e = mem_zalloc(1, sizeof *e);
    buffer numbers = {0};
    assert_ok(os_read_file(golden_path("texts.txt"), 0, &e->texts_file, NULL));
    assert_ok(os_read_file(golden_path("expected.txt"), 0, &numbers, NULL));
    char *text = buffer_text(&e->texts_file), *at = buffer_text(&numbers);
    for (size_t i = 0; i < TEXTS; i++) {
        char *end = strchr(text, '\n');
        e->texts[i] = (slice){text, (size_t)(end - text)};
        text = end + 1;
        read_numbers(&at, "vector", e->vectors[i], D);
        read_numbers(&at, "first", e->firsts[i], D);
        read_numbers(&at, "sparse", e->weights[i], VOCABULARY);
        read_numbers(&at, "pair", &e->pairs[i], 1);
    }
    buffer_release(&numbers);
    return e;
}

static void unload(expected *e) {
    buffer_release(&e->texts_file);
    free(e);
}

static bert_model *open_model(bert_head head, bert_precision precision, bert_backend backend) {
    bert_options o = {.head = head, .precision = precision, .backend = backend, .threads = 3};
    bert_model *m = NULL;
    base_error error = {0};
    if (bert_model_open(golden_path(""), &o, &m, &error)) fail_msg("%s", error.message);
    return m;
}

static const struct {
    bert_precision precision;
    bert_backend backend;
    float tolerance, least_cosine;
} ways[] = {{BERT_FP32, BERT_BACKEND_OWN, 2e-5f, 0.999999f}, {BERT_FP32, BERT_BACKEND_ONEDNN, 2e-5f, 0.999999f},
            {BERT_INT8, BERT_BACKEND_OWN, 0.2f, 0.99f}, {BERT_INT8, BERT_BACKEND_ONEDNN, 0.2f, 0.99f}};
enum { WAYS = sizeof ways / sizeof *ways };

static float cosine(const float *x, const float *y) {
    float dot = 0, xx = 0, yy = 0;
    for (size_t i = 0; i < D; i++) dot += x[i] * y[i], xx += x[i] * x[i], yy += y[i] * y[i];
    return dot / sqrtf(xx * yy);
}

/* ---- Answers ---- */

static void vectors_are_the_reference(void **state) {
    (void)state;
    expected *e = load();
    for (size_t w = 0; w < WAYS; w++) {
        bert_model *m = open_model(BERT_ENCODER, ways[w].precision, ways[w].backend);
        float out[TEXTS][D];
        for (int side = 0; side < 2; side++) {
            assert_ok(bert_encode(m, side ? ENCODE_DOCUMENT : ENCODE_QUERY, e->texts, TEXTS, INT64_MAX, *out, NULL));
            for (size_t i = 0; i < TEXTS; i++) {
                assert_true(cosine(out[i], e->vectors[i]) >= ways[w].least_cosine);
                float length = 0;
                for (size_t j = 0; j < D; j++) length += out[i][j] * out[i][j];
                assert_true(fabsf(length - 1) < 1e-5f);
            }
        }
        bert_model_close(m);
    }
    unload(e);
}

static void first_tokens_are_the_reference(void **state) {
    (void)state;
    expected *e = load();
    for (size_t w = 0; w < WAYS; w++) {
        bert_options o = {.precision = ways[w].precision, .backend = ways[w].backend, .pooling = BERT_POOL_CLS, .threads = 1};
        bert_model *m;
        float out[TEXTS][D];
        assert_ok(bert_model_open(golden_path(""), &o, &m, NULL));
        assert_ok(bert_encode(m, ENCODE_DOCUMENT, e->texts, TEXTS, INT64_MAX, *out, NULL));
        for (size_t i = 0; i < TEXTS; i++) assert_true(cosine(out[i], e->firsts[i]) >= ways[w].least_cosine);
        bert_model_close(m);
    }
    unload(e);
}

static void sparse_weights_are_the_reference(void **state) {
    (void)state;
    expected *e = load();
    arena a;
    arena_init(&a, 0);
    for (size_t w = 0; w < WAYS; w++) {
        bert_model *m = open_model(BERT_SPARSE, ways[w].precision, ways[w].backend);
        bert_weights out[TEXTS];
        assert_ok(bert_sparse_encode(m, ENCODE_DOCUMENT, e->texts, TEXTS, UINT32_MAX, 0, INT64_MAX, &a, out, NULL));
        for (size_t i = 0; i < TEXTS; i++) {
            float found[VOCABULARY] = {0};
            for (uint32_t j = 0; j < out[i].n; j++) {
                found[out[i].list[j].token] = out[i].list[j].weight;
                if (j) assert_true(out[i].list[j].weight <= out[i].list[j - 1].weight);
            }
            for (size_t t = 0; t < VOCABULARY; t++) assert_true(fabsf(found[t] - e->weights[i][t]) <= ways[w].tolerance);
        }
        const bert_weights all = out[0];
        bert_weights few;
        assert_ok(bert_sparse_encode(m, ENCODE_QUERY, e->texts, 1, 3, 0.01f, INT64_MAX, &a, &few, NULL));
        assert_int_equal(few.n, 3);
        for (uint32_t j = 0; j < few.n; j++) assert_int_equal(few.list[j].token, all.list[j].token);
        assert_true(slice_is(bert_token_text(m, 9), "##s"));
        bert_model_close(m);
    }
    arena_release(&a);
    unload(e);
}

static void pairs_are_the_reference(void **state) {
    (void)state;
    expected *e = load();
    for (size_t w = 0; w < WAYS; w++) {
        bert_model *m = open_model(BERT_PAIRS, ways[w].precision, ways[w].backend);
        float scores[TEXTS];
        size_t scored;
        base_error error = {0};
        assert_ok(bert_score_pairs(m, e->texts[0], e->texts, TEXTS, INT64_MAX, scores, &scored, NULL));
        assert_int_equal(scored, TEXTS);
        for (size_t i = 0; i < TEXTS; i++) assert_true(fabsf(scores[i] - e->pairs[i]) <= ways[w].tolerance);
        assert_int_equal(bert_score_pairs(m, e->texts[0], e->texts, TEXTS, 0, scores, &scored, &error), FORAGE_E_TIMEOUT);
        assert_int_equal(scored, 0);
        bert_model_close(m);
    }
    unload(e);
}

static void empty_texts_are_zero_and_prefixes_count(void **state) {
    (void)state;
    bert_options o = {.query_prefix = SLICE("red "), .threads = 1};
    bert_model *plain = open_model(BERT_ENCODER, BERT_FP32, BERT_BACKEND_BEST), *m;
    slice texts[3] = {SLICE(""), SLICE("running shoes"), SLICE(" \t")}, whole = SLICE("red running shoes");
    float out[3][D], same[D];
    assert_ok(bert_model_open(golden_path(""), &o, &m, NULL));
    assert_ok(bert_encode(m, ENCODE_QUERY, texts, 3, INT64_MAX, *out, NULL));
    assert_ok(bert_encode(plain, ENCODE_QUERY, &whole, 1, INT64_MAX, same, NULL));
    for (size_t i = 0; i < D; i++) {
        assert_true(out[0][i] == 0 && out[2][i] == 0);
        assert_true(fabsf(out[1][i] - same[i]) < 1e-6f);
    }
    assert_true(bert_model_describe(m).version != bert_model_describe(plain).version);
    assert_int_equal(bert_encode(m, ENCODE_DOCUMENT, texts, 3, 0, *out, NULL), FORAGE_E_TIMEOUT);
    bert_model_close(m);
    bert_model_close(plain);
}

/* ---- Threads ---- */

typedef struct asking {
    bert_model *m;
    const expected *e;
    atomic_int wrong;
} asking;

static void *ask(void *argument) {
    asking *q = argument;
    enum { N = 60 };
    slice texts[N];
    float(*out)[D] = mem_alloc(N * sizeof *out);
    for (size_t i = 0; i < N; i++) texts[i] = q->e->texts[i % TEXTS];
    for (int round = 0; round < 5; round++) {
        if (bert_encode(q->m, round % 2 ? ENCODE_QUERY : ENCODE_DOCUMENT, texts, N, INT64_MAX, *out, NULL)) q->wrong++;
        for (size_t i = 0; i < N; i++)
            if (!(cosine(out[i], q->e->vectors[i % TEXTS]) > 0.99f)) q->wrong++;
    }
    free(out);
    return NULL;
}

static void many_threads_get_the_same(void **state) {
    (void)state;
    expected *e = load();
    for (size_t w = 0; w < WAYS; w++) {
        asking q = {.m = open_model(BERT_ENCODER, ways[w].precision, ways[w].backend), .e = e};
        pthread_t threads[3];
        for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, ask, &q);
        for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
        assert_int_equal(q.wrong, 0);
        bert_model_close(q.m);
    }
    unload(e);
}

/* ---- Damage ---- */

typedef struct folder {
    char path[512];
    buffer files[3];
} folder;

static void begin_folder(folder *f) {
    *f = (folder){0};
    snprintf(f->path, sizeof f->path, "%s", testing_folder());
    for (size_t i = 0; i < 3; i++) assert_ok(os_read_file(golden_path(files[i]), 0, &f->files[i], NULL));
}

static void write_file(const folder *f, size_t i, const char *data, size_t size) {
    char path[700];
    snprintf(path, sizeof path, "%s/%s", f->path, files[i]);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, size, out), size);
    fclose(out);
}

static void write_all(const folder *f) {
    for (size_t i = 0; i < 3; i++) write_file(f, i, f->files[i].data, f->files[i].size);
}

static void end_folder(folder *f) {
    for (size_t i = 0; i < 3; i++) buffer_release(&f->files[i]);
    assert_ok(os_remove_tree(f->path, NULL));
}

/* Opening fails, and the message has both pieces. */
static void refuses(const folder *f, bert_head head, const char *says, const char *also) {
    bert_options o = {.head = head, .threads = 1};
    bert_model *m = NULL;
    base_error error = {0};
    assert_true(bert_model_open(f->path, &o, &m, &error) < 0);
    assert_null(m);
    if (!strstr(error.message, says) || !strstr(error.message, also))
        fail_msg("\"%s\" lacks \"%s\" or \"%s\"", error.message, says, also);
}

/* The file with each `from` become `to` of the same length. */
static void replace(const folder *f, size_t i, const char *from, const char *to) {
    buffer copy = {0};
    size_t size = strlen(from), found = 0;
    assert_int_equal(size, strlen(to));
    buffer_append(&copy, f->files[i].data, f->files[i].size);
    for (size_t at = 0; at + size <= copy.size; at++) {
        if (memcmp(copy.data + at, from, size) != 0) continue;
        memcpy(copy.data + at, to, size);
        found++;
    }
    assert_true(found > 0);
    write_file(f, i, copy.data, copy.size);
    buffer_release(&copy);
}

static void damaged_folders_are_refused(void **state) {
    (void)state;
    static const struct { size_t file; const char *from, *to; bert_head head; const char *says, *also; } cases[] = {
        {2, "bert.encoder.layer.1.output.dense.bias", "bert.encoder.layer.1.output.dense.bios", BERT_ENCODER, "output.dense.bias",
         "missing"},
        {2, "cls.predictions.bias", "cls.predictions.bios", BERT_SPARSE, "decoder.bias", "missing"},
        {2, "classifier.weight", "classifier.height", BERT_PAIRS, "classifier.weight", "[1, 16]"},
        {2, "word_embeddings", "ward_embeddings", BERT_ENCODER, "word_embeddings", "missing"},
        {2, "\"shape\":[32,16]", "\"shape\":[16,32]", BERT_ENCODER, "[32, 16]", "[16, 32]"},
        {0, "\"hidden_size\": 16", "\"hidden_size\": 12", BERT_ENCODER, "[30, 12]", "[30, 16]"},
        {0, "\"hidden_size\": 16", "\"hidden_size\": -1", BERT_ENCODER, "config.json", "hidden_size"},
        {0, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 9", BERT_ENCODER, "layer.2.", "missing"},
        {0, "\"num_attention_heads\": 2", "\"num_attention_heads\": 3", BERT_ENCODER, "heads", "16"},
        {0, "\"intermediate_size\": 32", "\"intermediate_size\": 64", BERT_ENCODER, "[64, 16]", "[32, 16]"},
        {0, "\"vocab_size\": 30", "\"vocab_size\": 20", BERT_ENCODER, "vocabulary", "20"},
        {0, "\"model_type\": \"bert\"", "\"model_type\": \"gpt2\"", BERT_ENCODER, "model_type", "gpt2"},
        {0, "\"gelu\"", "\"silu\"", BERT_ENCODER, "hidden_act", "silu"},
    };
    folder f;
    begin_folder(&f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_all(&f);
        replace(&f, cases[i].file, cases[i].from, cases[i].to);
        refuses(&f, cases[i].head, cases[i].says, cases[i].also);
    }
    end_folder(&f);
}

static void values_that_are_no_numbers_are_refused(void **state) {
    (void)state;
    folder f;
    begin_folder(&f);
    write_all(&f);
    buffer *weights = &f.files[2];
    memset(weights->data + weights->size - 64, 0xff, 64); /* not a number, in the last tensor */
    write_all(&f);
    refuses(&f, BERT_SPARSE, "cls.predictions.transform.dense.weight", "finite");
    end_folder(&f);
}

static void truncated_folders_are_refused(void **state) {
    (void)state;
    folder f;
    begin_folder(&f);
    write_all(&f);
    for (size_t size = 0; size < f.files[2].size; size += 1000) {
        write_file(&f, 2, f.files[2].data, size);
        refuses(&f, BERT_ENCODER, "model.safetensors", "");
    }
    write_all(&f);
    for (size_t size = 0; size < f.files[0].size - 2; size += 10) {
        write_file(&f, 0, f.files[0].data, size);
        refuses(&f, BERT_ENCODER, "config.json", "");
    }
    end_folder(&f);
    refuses(&f, BERT_ENCODER, "config.json", "");
}

/* ---- The cache ---- */

static void the_cache_forgets_the_oldest(void **state) {
    (void)state;
    vector_cache *c = vector_cache_create(2, 3);
    char name[8];
    float v[2];
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "q%d", i);
        vector_cache_put(c, 1, ENCODE_QUERY, slice_of(name), (float[2]){(float)i, 0});
        assert_true(vector_cache_get(c, 1, ENCODE_QUERY, SLICE("q0"), v)); /* used all the time: stays */
    }
    assert_false(vector_cache_get(c, 1, ENCODE_QUERY, SLICE("q1"), v));
    assert_false(vector_cache_get(c, 1, ENCODE_QUERY, SLICE("q2"), v));
    assert_true(vector_cache_get(c, 1, ENCODE_QUERY, SLICE("q3"), v));
    assert_true(v[0] == 3);
    assert_false(vector_cache_get(c, 2, ENCODE_QUERY, SLICE("q3"), v));
    assert_false(vector_cache_get(c, 1, ENCODE_DOCUMENT, SLICE("q3"), v));
    assert_int_equal(vector_cache_describe(c).n, 3);
    vector_cache_destroy(c);
}

static void cached_queries_are_the_same(void **state) {
    (void)state;
    expected *e = load();
    bert_options o = {.cached_queries = 4, .threads = 1};
    encoder *x = NULL;
    float first[TEXTS][D], again[TEXTS][D];
    assert_ok(bert_encoder_open(golden_path(""), &o, &x, NULL));
    assert_string_equal(x->class->kind, "bert");
    assert_int_equal(x->dimensions, D);
    assert_ok(encoder_encode(x, ENCODE_QUERY, e->texts, TEXTS, INT64_MAX, *first, NULL));
    assert_ok(encoder_encode(x, ENCODE_QUERY, e->texts, TEXTS, INT64_MAX, *again, NULL));
    assert_memory_equal(first, again, sizeof first);
    assert_true(cosine(first[3], e->vectors[3]) > 0.99999f);
    /* What is remembered is there even when there is no time to encode it. */
    assert_ok(encoder_encode(x, ENCODE_QUERY, &e->texts[TEXTS - 1], 1, 0, *again, NULL));
    encoder_destroy(x);
    unload(e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_are_the_reference),
        cmocka_unit_test(first_tokens_are_the_reference),
        cmocka_unit_test(sparse_weights_are_the_reference),
        cmocka_unit_test(pairs_are_the_reference),
        cmocka_unit_test(empty_texts_are_zero_and_prefixes_count),
        cmocka_unit_test(many_threads_get_the_same),
        cmocka_unit_test(damaged_folders_are_refused),
        cmocka_unit_test(values_that_are_no_numbers_are_refused),
        cmocka_unit_test(truncated_folders_are_refused),
        cmocka_unit_test(the_cache_forgets_the_oldest),
        cmocka_unit_test(cached_queries_are_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
