/* The catalogue's own encoder: what it learns, that it says the same again, and that a damaged file is noticed. */
#include "testing.h"

#include "base/random.h"
#include "encode/catalogue.h"
#include "os/file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static encoder *learn(uint64_t seed, bool behaviour, bool (*progress)(void *, double), forage_status *status) {
    static const char *const worlds[2][8] = {{"car", "engine", "wheel", "road", "brake", "driver", "fuel", "gear"},
                                             {"soup", "onion", "pepper", "kitchen", "spoon", "cook", "salt", "stew"}};
    catalogue_options options = {.dimensions = 4, .language = TEXT_EN, .seed = seed, .progress = progress};
    catalogue_trainer *t = catalogue_trainer_create(&options);
    random_source r;
    buffer text = {0};
    random_seed(&r, 3);
    for (int i = 0; i < 200; i++) {
        buffer_clear(&text);
        /* "automobile" has the company of "car", and never stands beside it. */
        buffer_printf(&text, "%s\n", i % 2 ? "dish" : i % 4 ? "automobile" : "car");
        for (int n = 0; n < 4; n++) buffer_printf(&text, "%s ", worlds[i % 2][1 + random_below(&r, 7)]);
        catalogue_trainer_document(t, (slice){text.data, text.size});
        if (behaviour && i % 2 == 0) catalogue_trainer_more(t, SLICE("vroom"), 1);
    }
    encoder *e = NULL;
    *status = catalogue_train(t, &e, NULL);
    catalogue_trainer_destroy(t);
    buffer_release(&text);
    return e;
}

static void encode(encoder *e, encode_side side, const char *text, float v[8]) {
    slice s = slice_of(text);
    assert_int_equal(encoder_encode(e, side, &s, 1, INT64_MAX, v, NULL), FORAGE_OK);
}

static float alike(encoder *e, const char *query, const char *document) {
    float q[8], d[8], sum = 0;
    encode(e, ENCODE_QUERY, query, q);
    encode(e, ENCODE_DOCUMENT, document, d);
    for (int i = 0; i < 4; i++) sum += q[i] * d[i];
    return sum;
}

static void words_of_the_same_company_are_near(void **state) {
    (void)state;
    forage_status status;
    encoder *e = learn(1, false, NULL, &status);
    assert_int_equal(status, FORAGE_OK);
    assert_true(alike(e, "automobile", "road and fuel") > alike(e, "automobile", "onion and salt") + 0.3f);
    assert_true(alike(e, "engine", "fuel and brake") > alike(e, "engine", "salt and pepper") + 0.3f);
    assert_true(alike(e, "enginee", "engine") > alike(e, "enginee", "onion") + 0.3f); /* misspelt */
    float v[8], length = 0;
    encode(e, ENCODE_QUERY, "engine wheel", v);
    for (int i = 0; i < 4; i++) length += v[i] * v[i];
    assert_float_equal(length, 1, 1e-4);
    encode(e, ENCODE_DOCUMENT, "", v);
    for (int i = 0; i < 4; i++) assert_true(v[i] == 0);
    encoder_destroy(e);
}

static void what_people_asked_is_learned(void **state) {
    (void)state;
    forage_status status;
    encoder *e = learn(1, true, NULL, &status);
    assert_true(alike(e, "vroom", "wheel brake") > alike(e, "vroom", "spoon cook") + 0.5f);
    encoder_destroy(e);
}

static bool never(void *context, double done) { return (void)context, (void)done, false; }

static void a_seed_decides(void **state) {
    (void)state;
    forage_status status;
    encoder *a = learn(1, false, NULL, &status), *b = learn(1, false, NULL, &status), *c = learn(1, true, NULL, &status);
    assert_true(a->version == b->version && a->version != c->version && a->version != 0);
    encoder_destroy(a);
    encoder_destroy(b);
    encoder_destroy(c);
    learn(1, false, never, &status);
    assert_int_equal(status, FORAGE_E_CLOSED);
    catalogue_trainer *t = catalogue_trainer_create(&(catalogue_options){.dimensions = 8});
    encoder *none;
    catalogue_trainer_document(t, SLICE("alone"));
    assert_int_equal(catalogue_train(t, &none, NULL), FORAGE_E_INVALID);
    catalogue_trainer_destroy(t);
}

static void a_file_is_whole_or_refused(void **state) {
    (void)state;
    char path[64];
    forage_status status;
    encoder *e = learn(1, false, NULL, &status), *back;
    buffer file = {0};
    snprintf(path, sizeof path, "/tmp/forage-catalogue-%ld", (long)getpid());
    assert_int_equal(catalogue_open(path, &back, NULL), FORAGE_E_NOT_FOUND);
    assert_int_equal(catalogue_save(e, path, NULL), FORAGE_OK);
    assert_int_equal(catalogue_open(path, &back, NULL), FORAGE_OK);
    assert_true(back->version == e->version && back->dimensions == 4);
    assert_true(alike(back, "engine", "fuel") == alike(e, "engine", "fuel"));
    encoder_destroy(back);
    assert_int_equal(os_read_file(path, 0, &file, NULL), FORAGE_OK);
    for (size_t n = 0; n < file.size; n += 1000) assert_int_equal(catalogue_read((slice){file.data, n}, &back, NULL), FORAGE_E_CORRUPT);
    for (size_t i = 0; i < file.size; i += 997) {
        file.data[i] ^= 4;
        assert_int_equal(catalogue_read((slice){file.data, file.size}, &back, NULL), FORAGE_E_CORRUPT);
        file.data[i] ^= 4;
    }
    buffer_release(&file);
    encoder_destroy(e);
    assert_int_equal(os_remove_file(path, NULL), FORAGE_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(words_of_the_same_company_are_near), cmocka_unit_test(what_people_asked_is_learned),
                                       cmocka_unit_test(a_seed_decides), cmocka_unit_test(a_file_is_whole_or_refused)};
    return cmocka_run_group_tests_name("catalogue", tests, NULL, NULL);
}
