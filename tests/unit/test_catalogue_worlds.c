/* The catalogue's own encoder in planted worlds, at the edges of what a catalogue can be, and on files that somebody else made. */
#include "testing.h"

#include "base/random.h"
#include "encode/catalogue_model.h"
#include "os/file.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

static catalogue_trainer *trainer(uint32_t dimensions, text_language language, uint64_t seed) {
    return catalogue_trainer_create(&(catalogue_options){.dimensions = dimensions, .language = language, .seed = seed});
}

static void learn(catalogue_trainer *t, const char *text) { catalogue_trainer_document(t, slice_of(text)); }

static encoder *trained(catalogue_trainer *t) {
    encoder *e = NULL;
    base_error error = {0};
    if (catalogue_train(t, &e, &error)) fail_msg("%s", error.message);
    catalogue_trainer_destroy(t);
    return e;
}

static float alike(encoder *e, const char *query, const char *document) {
    float q[CATALOGUE_MOST_DIMENSIONS], d[CATALOGUE_MOST_DIMENSIONS], sum = 0;
    slice a = slice_of(query), b = slice_of(document);
    assert_ok(encoder_encode(e, ENCODE_QUERY, &a, 1, INT64_MAX, q, NULL));
    assert_ok(encoder_encode(e, ENCODE_DOCUMENT, &b, 1, INT64_MAX, d, NULL));
    for (uint32_t i = 0; i < e->dimensions; i++) sum += q[i] * d[i];
    return sum;
}

/* ---- Planted worlds ---- */

enum { TOPICS = 12, WORDS = 10 };

/* Word j of a topic in a vocabulary; those of 'z' have no n-gram of the others. */
static const char *word(char vocabulary, int topic, int j) {
    static _Thread_local char room[8][32];
    static _Thread_local int next;
    char *out = room[next++ % 8];
    if (vocabulary == 'z') snprintf(out, sizeof room[0], "z%c%cy%c", 'n' + topic, 'z' - topic, 'k' + j);
    else snprintf(out, sizeof room[0], "%c%c%cx%d", vocabulary, 'a' + topic, 'a' + topic * 7 % 12, j);
    return out;
}

static void company(buffer *text, char vocabulary, int topic, int n, random_source *r) {
    for (int i = 0; i < n; i++) buffer_printf(text, " %s", word(vocabulary, topic, (int)random_below(r, WORDS)));
}

/* In each topic two words mean the same: no document has both, but both stand among the topic's other words. Each finds the other
 * before any of the other topics' 22. There are as many directions as topics: more would tell the two words apart. */
static void synonyms_are_known_by_their_company(void **state) {
    (void)state;
    catalogue_trainer *t = trainer(TOPICS, TEXT_EN, 1);
    buffer text = {0};
    random_source r;
    random_seed(&r, 4);
    for (int i = 0; i < 1200; i++) {
        int topic = i % TOPICS;
        buffer_clear(&text);
        buffer_printf(&text, "%s", word(i / TOPICS % 2 ? 'p' : 'q', topic, 99));
        company(&text, 'w', topic, 5, &r);
        company(&text, 'w', (int)random_below(&r, TOPICS), 1, &r); /* noise */
        learn(t, buffer_text(&text));
    }
    encoder *e = trained(t);
    for (int i = 0; i < TOPICS; i++) {
        char own[32];
        snprintf(own, sizeof own, "%s", word('p', i, 99));
        float same = alike(e, own, word('q', i, 99));
        assert_true(same > 0.8f);
        for (int j = 0; j < TOPICS; j++)
            if (j != i) assert_true(alike(e, own, word('q', j, 99)) < same - 0.3f && alike(e, own, word('p', j, 99)) < same - 0.3f);
    }
    encoder_destroy(e);
    buffer_release(&text);
}

/* Documents in one language, queries in another: what people chose after them is all that joins the two. */
static void clicks_join_two_vocabularies(void **state) {
    (void)state;
    for (int clicks = 0; clicks < 2; clicks++) {
        catalogue_trainer *t = trainer(TOPICS, TEXT_EN, 1);
        buffer text = {0};
        random_source r;
        random_seed(&r, 5);
        for (int i = 0; i < 1200; i++) {
            int topic = i % TOPICS;
            buffer_clear(&text);
            company(&text, 'w', topic, 6, &r);
            learn(t, buffer_text(&text));
            if (!clicks || i % 5) continue; /* a fifth has been chosen at all */
            buffer_clear(&text);
            company(&text, 'z', topic, 2, &r);
            catalogue_trainer_more(t, slice_of(buffer_text(&text)), 1 + (float)random_double(&r));
        }
        encoder *e = trained(t);
        int right = 0;
        for (int i = 0; i < TOPICS; i++) {
            int best = -1;
            float most = -2;
            for (int j = 0; j < TOPICS; j++) {
                char document[80];
                snprintf(document, sizeof document, "%s %s", word('w', j, 1), word('w', j, 2));
                float s = alike(e, word('z', i, 3), document);
                if (s > most) most = s, best = j;
            }
            right += best == i;
        }
        assert_true(clicks ? right >= TOPICS - 1 : right < TOPICS / 2); /* nobody knows without them */
        encoder_destroy(e);
        buffer_release(&text);
    }
}

/* Two halves of a topic have no word in common; that their documents refer to the same, or are chosen by the same people, is all. */
static void ties_join_what_has_no_word_in_common(void **state) {
    (void)state;
    float joined[2];
    for (int ties = 0; ties < 2; ties++) {
        catalogue_trainer *t = trainer(8, TEXT_EN, 1);
        buffer text = {0};
        random_source r;
        random_seed(&r, 6);
        for (int i = 0; i < 800; i++) {
            int topic = i % 8;
            buffer_clear(&text);
            company(&text, i / 8 % 2 ? 'l' : 'm', topic, 5, &r);
            learn(t, buffer_text(&text));
            for (uint64_t k = 0; ties && k < 3; k++) catalogue_trainer_tie(t, 1000 + (uint64_t)topic * 10 + random_below(&r, 5), 2);
        }
        encoder *e = trained(t);
        joined[ties] = 0;
        for (int i = 0; i < 8; i++) {
            float own = alike(e, word('l', i, 1), word('m', i, 2)), other = alike(e, word('l', i, 1), word('m', (i + 1) % 8, 2));
            joined[ties] += (own - other) / 8;
        }
        encoder_destroy(e);
        buffer_release(&text);
    }
    assert_true(fabsf(joined[0]) < 0.2f);
    assert_true(joined[1] > 0.8f);
}

/* ---- The same again ---- */

typedef struct lesson {
    buffer file;
    char path[600];
} lesson;

static void *learn_and_save(void *argument) {
    lesson *l = argument;
    catalogue_trainer *t = trainer(8, TEXT_EN, 42);
    buffer text = {0};
    random_source r;
    random_seed(&r, 8);
    for (int i = 0; i < 400; i++) {
        buffer_clear(&text);
        company(&text, 'w', i % TOPICS, 6, &r);
        catalogue_trainer_document(t, slice_of(buffer_text(&text)));
        catalogue_trainer_tie(t, (uint64_t)i % 20, 1);
    }
    encoder *e = NULL;
    if (catalogue_train(t, &e, NULL) || catalogue_save(e, l->path, NULL) || os_read_file(l->path, 0, &l->file, NULL)) abort();
    encoder_destroy(e);
    catalogue_trainer_destroy(t);
    buffer_release(&text);
    return NULL;
}

/* Alone, again, and beside another that trains at the same time: the same bytes. */
static void a_seed_gives_the_same_bytes(void **state) {
    (void)state;
    static lesson lessons[4];
    pthread_t threads[2];
    const char *folder = testing_folder();
    for (int i = 0; i < 4; i++) snprintf(lessons[i].path, sizeof lessons[i].path, "%s/%d", folder, i);
    learn_and_save(&lessons[0]);
    learn_and_save(&lessons[1]);
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(threads + i, NULL, learn_and_save, &lessons[2 + i]), 0);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    for (int i = 1; i < 4; i++) {
        assert_int_equal(lessons[i].file.size, lessons[0].file.size);
        assert_memory_equal(lessons[i].file.data, lessons[0].file.data, lessons[0].file.size);
    }
    for (int i = 0; i < 4; i++) buffer_release(&lessons[i].file);
    assert_ok(os_remove_tree(folder, NULL));
}

/* ---- Edges ---- */

static void assert_nothing_to_learn(catalogue_trainer *t) {
    encoder *e = NULL;
    base_error error = {0};
    assert_int_equal(catalogue_train(t, &e, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "too few"));
    assert_null(e);
    catalogue_trainer_destroy(t);
}

static void catalogues_with_nothing_to_learn(void **state) {
    (void)state;
    assert_nothing_to_learn(trainer(8, TEXT_EN, 1)); /* empty */
    catalogue_trainer *t = trainer(8, TEXT_EN, 1);
    catalogue_trainer_more(t, SLICE("before any document"), 1); /* is nothing's */
    catalogue_trainer_tie(t, 7, 1);
    learn(t, "one alone");
    assert_int_equal(catalogue_trainer_documents(t), 1);
    assert_nothing_to_learn(t);
    t = trainer(8, TEXT_EN, 1);
    for (int i = 0; i < 100; i++) learn(t, i % 2 ? "" : " \n\t ...!\n");
    assert_nothing_to_learn(t); /* no text */
    t = trainer(8, TEXT_EN, 1);
    for (int i = 0; i < 100; i++) learn(t, "the same");
    assert_nothing_to_learn(t); /* one word */
    t = trainer(8, TEXT_EN, 1);
    char text[16];
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "w%d", i);
        learn(t, text);
    }
    assert_nothing_to_learn(t); /* no word twice */
}

static void assert_unit_or_nothing(encoder *e, slice text) {
    float v[CATALOGUE_MOST_DIMENSIONS], square = 0;
    assert_ok(encoder_encode(e, ENCODE_DOCUMENT, &text, 1, INT64_MAX, v, NULL));
    for (uint32_t d = 0; d < e->dimensions; d++) square += v[d] * v[d];
    assert_true(square == 0 || fabsf(square - 1) < 1e-3f);
}

/* All alike, fewer words than dimensions, documents without text among others: what can be learned is. */
static void catalogues_with_little_to_learn(void **state) {
    (void)state;
    catalogue_trainer *t = trainer(64, TEXT_EN, 1);
    for (int i = 0; i < 60; i++) learn(t, i % 3 == 0 ? "" : i % 3 == 1 ? "apple pear" : "hammer nail");
    encoder *e = trained(t);
    assert_int_equal(catalogue_terms(e), 4);
    assert_true(alike(e, "apple", "pear") > 0.9f && alike(e, "apple", "nail") < 0.1f);
    assert_unit_or_nothing(e, SLICE(""));
    encoder_destroy(e);
    t = trainer(8, TEXT_EN, 1);
    for (int i = 0; i < 40; i++) learn(t, "two words");
    e = trained(t);
    assert_unit_or_nothing(e, SLICE("two words"));
    assert_unit_or_nothing(e, SLICE("entirely different"));
    encoder_destroy(e);
}

static void a_hundred_thousand_words(void **state) {
    (void)state;
    enum { TOKENS = 100000, EACH = 50 };
    catalogue_options options = {.dimensions = 2, .most_terms = 5000, .language = TEXT_EN, .seed = 1};
    catalogue_trainer *t = catalogue_trainer_create(&options);
    buffer text = {0};
    for (int from = 0; from < TOKENS; from += EACH)
        for (int twice = 0; twice < (from < TOKENS / 2 ? 2 : 1); twice++) { /* half of them stand in two documents */
            buffer_clear(&text);
            for (int i = 0; i < EACH; i++) buffer_printf(&text, "t%dq ", from + i);
            learn(t, buffer_text(&text));
        }
    buffer_clear(&text);
    for (int i = 0; i < TOKENS; i++) buffer_printf(&text, "t%dq ", i); /* and all of them in one */
    learn(t, buffer_text(&text));
    encoder *e = trained(t);
    assert_int_equal(catalogue_terms(e), 5000);
    assert_unit_or_nothing(e, slice_of(buffer_text(&text)));
    assert_unit_or_nothing(e, SLICE("t7q t8q unknown"));
    buffer_clear(&text);
    for (int i = 0; i < 300000; i++) buffer_putc(&text, (char)('a' + i % 26)); /* one word */
    assert_unit_or_nothing(e, slice_of(buffer_text(&text)));
    encoder_destroy(e);
    buffer_release(&text);
}

/* ---- Files ---- */

static void seal(buffer *file) {
    uint64_t sum = hash64(file->data, file->size - 8, CATALOGUE_SEED);
    memcpy(file->data + file->size - 8, &sum, 8);
}

/* Cut at every thousandth byte and sealed again, and flipped and sealed again: refused, or an encoder like any other. */
static void forged_files_are_refused_or_safe(void **state) {
    (void)state;
    lesson l = {0};
    const char *folder = testing_folder();
    snprintf(l.path, sizeof l.path, "%s/model", folder);
    learn_and_save(&l);
    buffer forged = {0};
    encoder *e;
    base_error error = {0};
    size_t taken = 0;
    random_source r;
    random_seed(&r, 3);
    for (size_t size = 8; size < l.file.size; size += 1000) {
        buffer_clear(&forged);
        buffer_append(&forged, l.file.data, size);
        assert_int_equal(catalogue_read((slice){forged.data, forged.size}, &e, &error), FORAGE_E_CORRUPT);
        seal(&forged);
        assert_int_equal(catalogue_read((slice){forged.data, forged.size}, &e, &error), FORAGE_E_CORRUPT);
        assert_ok(os_write_file(l.path, forged.data, size < 4000 ? forged.size : 100, NULL));
        if (size < 4000) assert_int_equal(catalogue_open(l.path, &e, &error), FORAGE_E_CORRUPT);
    }
    for (int i = 0; i < 400; i++) {
        buffer_clear(&forged);
        buffer_append(&forged, l.file.data, l.file.size);
        size_t at = i < 100 ? (size_t)i % 16 : random_below(&r, i < 300 ? 3000 : l.file.size - 8);
        forged.data[at] ^= (char)(1u << random_below(&r, 8));
        seal(&forged);
        if (catalogue_read((slice){forged.data, forged.size}, &e, NULL)) continue;
        taken++;
        assert_unit_or_nothing(e, SLICE("waax1 wbhx2\nwaax3"));
        encoder_destroy(e);
    }
    assert_true(taken > 100 && taken < 350);
    assert_int_equal(catalogue_read((slice){NULL, 0}, &e, NULL), FORAGE_E_CORRUPT);
    buffer_release(&forged);
    buffer_release(&l.file);
    assert_ok(os_remove_tree(folder, NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(synonyms_are_known_by_their_company), cmocka_unit_test(clicks_join_two_vocabularies),
        cmocka_unit_test(ties_join_what_has_no_word_in_common), cmocka_unit_test(a_seed_gives_the_same_bytes),
        cmocka_unit_test(catalogues_with_nothing_to_learn),    cmocka_unit_test(catalogues_with_little_to_learn),
        cmocka_unit_test(a_hundred_thousand_words),            cmocka_unit_test(forged_files_are_refused_or_safe),
    };
    return cmocka_run_group_tests_name("catalogue_worlds", tests, NULL, NULL);
}
