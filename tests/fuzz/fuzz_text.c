/* Any bytes through analysis, normal forms, detection and understanding. The fast path must agree with ICU. The first
 * byte chooses the language. */
#include "text/analyze.h"
#include "understand/understand.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
    if (!holds) abort();
}

static void check_tokens(text_analyzer *fast, text_analyzer *icu, slice text, text_language language) {
    text_tokens a = text_analyze(fast, text, language, 0), b = text_analyze(icu, text, language, 0);
    check(a.count == b.count);
    for (size_t i = 0; i < a.count; i++) {
        const text_token *t = &a.tokens[i];
        check(t->start < t->end && t->end <= text.size && t->position == i);
        check(t->start == b.tokens[i].start && t->end == b.tokens[i].end && t->stopword == b.tokens[i].stopword);
        check(slice_equal(t->term, b.tokens[i].term) && slice_equal(t->folded, b.tokens[i].folded));
        check(t->folded.size > 0 && t->folded.size <= 64 && t->term.size > 0 && t->term.size <= 64);
        check(text_valid_utf8(t->folded, NULL) && text_valid_utf8(t->term, NULL));
        if (i) check(a.tokens[i - 1].end <= t->start);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static text_analyzer *fast, *icu;
    static arena memory;
    if (!fast) {
        fast = text_analyzer_create();
        icu = text_analyzer_create();
        text_analyzer_force_icu(icu, true);
        arena_init(&memory, 0);
    }
    if (size == 0) return 0;
    text_language language = (text_language)(data[0] % TEXT_LANGUAGES);
    slice text = {(const char *)data + 1, size - 1};
    check_tokens(fast, icu, text, language);

    buffer key = {0}, again = {0};
    text_normalize_keyword(fast, text, &key);
    check(text_valid_utf8((slice){key.data, key.size}, NULL));
    text_normalize_query(fast, text, &key);
    text_normalize_query(icu, text, &again);
    check(slice_equal((slice){key.data, key.size}, (slice){again.data, again.size}));
    buffer_release(&key);
    buffer_release(&again);

    understand_type types[] = {{SLICE("book"), 3}, {SLICE("tv show"), 1}, {text, 2}};
    understand_options options = {.default_language = language, .types = types, .n_types = 3};
    understand_query q;
    arena_reset(&memory);
    understand_analyze(fast, text, &options, &memory, &q);
    check(q.n_interpretations >= 1 && q.interpretations[0].likelihood > .19);
    return 0;
}
