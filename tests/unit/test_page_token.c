/* Page tokens: what goes in comes out, and nothing else comes out. */
#include "testing.h"

#include "base/bytes.h"
#include "base/random.h"
#include "rank/page_token.h"

static arena scratch;

static int set_up(void **state) {
    (void)state;
    arena_init(&scratch, 0);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    arena_release(&scratch);
    return 0;
}

static slice text_of(const buffer *b) { return (slice){b->data, b->size}; }

static void assert_same(const page_token *x, const page_token *y) {
    assert_true(x->generation == y->generation && x->sequence == y->sequence && x->seed == y->seed);
    assert_true(x->model == y->model && x->request == y->request && x->total == y->total && x->offset == y->offset);
    assert_int_equal(x->n_documents, y->n_documents);
    if (x->n_documents) assert_memory_equal(x->documents, y->documents, x->n_documents * sizeof *x->documents);
}

static void tokens_come_back(void **state) {
    (void)state;
    static uint32_t documents[PAGE_TOKEN_DOCUMENTS];
    random_source random;
    random_seed(&random, 7);
    size_t longest = 0;
    for (int trial = 0; trial < 300; trial++) {
        uint32_t n = (uint32_t)random_below(&random, trial < 290 ? 50 : PAGE_TOKEN_DOCUMENTS + 1);
        if (trial == 299) n = PAGE_TOKEN_DOCUMENTS;
        for (uint32_t i = 0; i < n; i++) /* each once, anywhere, far apart in the last ones */
            documents[i] = trial % 2 ? (i % 2 ? UINT32_MAX - i : i) : i * 4000000 + (uint32_t)random_below(&random, 4000000);
        page_token in = {random_u64(&random), random_below(&random, 1000), random_u64(&random), random_below(&random, 9),
                         random_u64(&random), n, n / 2, n, documents}, out = {0};
        buffer text = {0};
        assert_ok(page_token_encode(&in, 99, &text, NULL));
        assert_true(text.size <= PAGE_TOKEN_TEXT);
        longest = text.size > longest ? text.size : longest;
        for (size_t i = 0; i < text.size; i++) /* nothing that a URL would escape */
            assert_true(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", text.data[i]) && text.data[i]);
        assert_ok(page_token_decode(text_of(&text), 99, &scratch, &out, NULL));
        assert_same(&in, &out);
        buffer_release(&text);
        arena_reset(&scratch);
    }
    print_message("longest token: %zu characters\n", longest);
}

/* Any one character changed, added or taken away is noticed, and so is the key of another server. */
static void changes_are_noticed(void **state) {
    (void)state;
    uint32_t documents[] = {5, 3, 800, 4, 1u << 31};
    page_token in = {3, 17, 42, 7, 0xABCDEF, 5, 2, 5, documents}, out = {.seed = 1};
    buffer text = {0};
    base_error error;
    assert_ok(page_token_encode(&in, 1, &text, NULL));
    for (size_t i = 0; i < text.size; i++) {
        char old = text.data[i];
        for (const char *c = "Ab9_-\n=+/ \xc3"; *c; c++) {
            if (*c == old) continue;
            text.data[i] = *c;
            assert_int_equal(page_token_decode(text_of(&text), 1, &scratch, &out, &error), FORAGE_E_INVALID);
            assert_non_null(strstr(error.message, "page token"));
        }
        text.data[i] = old;
        assert_int_equal(page_token_decode((slice){text.data, i}, 1, &scratch, &out, &error), FORAGE_E_INVALID);
        arena_reset(&scratch);
    }
    assert_int_equal(page_token_decode(text_of(&text), 2, &scratch, &out, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "not of this server"));
    buffer_putc(&text, 'A');
    assert_int_equal(page_token_decode(text_of(&text), 1, &scratch, &out, &error), FORAGE_E_INVALID);
    assert_true(out.seed == 1); /* untouched */
    buffer_release(&text);
}

static void limits_hold(void **state) {
    (void)state;
    static uint32_t documents[PAGE_TOKEN_DOCUMENTS + 1];
    page_token in = {.n_documents = PAGE_TOKEN_DOCUMENTS + 1, .documents = documents}, out;
    buffer text = {0};
    base_error error;
    assert_int_equal(page_token_encode(&in, 0, &text, &error), FORAGE_E_INVALID);
    assert_int_equal(text.size, 0);
    in.n_documents = 2; /* the same one twice: no ranking says so */
    assert_ok(page_token_encode(&in, 0, &text, NULL));
    assert_int_equal(page_token_decode(text_of(&text), 0, &scratch, &out, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "twice"));
    buffer_clear(&text);
    for (int i = 0; i < PAGE_TOKEN_TEXT + 4; i++) buffer_putc(&text, 'A');
    assert_int_equal(page_token_decode(text_of(&text), 0, &scratch, &out, &error), FORAGE_E_INVALID);
    assert_int_equal(page_token_decode((slice){NULL, 0}, 0, &scratch, &out, &error), FORAGE_E_INVALID);
    in = (page_token){UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT32_MAX, 0, NULL};
    buffer_clear(&text);
    assert_ok(page_token_encode(&in, UINT64_MAX, &text, NULL));
    assert_ok(page_token_decode(text_of(&text), UINT64_MAX, &scratch, &out, &error));
    assert_same(&in, &out);
    buffer_release(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_come_back),
        cmocka_unit_test(changes_are_noticed),
        cmocka_unit_test(limits_hold),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
