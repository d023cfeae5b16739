#include "understand/understand.h"

#include "understand/interpret.h"

#include <string.h>

static void copy_tokens(text_tokens found, arena *memory, understand_query *q) {
    understand_token *tokens = arena_alloc(memory, found.count * sizeof *tokens);
    q->all_stopwords = found.count > 0;
    for (size_t i = 0; i < found.count; i++) {
        const text_token *t = &found.tokens[i];
        tokens[i] = (understand_token){
            .term = arena_slice(memory, t->term),
            .folded = arena_slice(memory, t->folded),
            .start = t->start,
            .end = t->end,
            .stopword = t->stopword,
        };
        if (!t->stopword) q->all_stopwords = false;
    }
    for (size_t i = 0; i < found.count; i++) tokens[i].used = !tokens[i].stopword || q->all_stopwords;
    q->tokens = tokens;
    q->n_tokens = found.count;
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static slice trim(slice s) {
    while (s.size && is_space(s.data[0])) s.data++, s.size--;
    while (s.size && is_space(s.data[s.size - 1])) s.size--;
    return s;
}

/* One unbroken string that mixes letters and digits, or has six digits and more, or is held together by what names of
 * things are held together by: "WH-1000XM4", "978-0-306-40615-7", "foo_bar", "node.js", "@types/node". */
static bool looks_like_identifier(slice text) {
    size_t letters = 0, digits = 0, joints = 0;
    text = trim(text);
    if (text.size < 2 || text.size > 64) return false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i], before = i ? text.data[i - 1] : ' ';
        bool inner = i > 0 && i + 1 < text.size && before != '.' && text.data[i + 1] != '.';
        if (is_space(c)) return false;
        if ((c | 32) >= 'a' && (c | 32) <= 'z') letters++;
        else if (c >= '0' && c <= '9') digits++;
        else if (c == '_' || c == '/' || c == '@') joints++;
        else if (c == '.' && inner && i > 1 && i + 2 < text.size && text.data[i - 2] != '.' && text.data[i + 2] != '.')
            joints++; /* but not "U.S.A." */
    }
    return (letters && digits) || digits >= 6 || (joints && letters > 1);
}

void understand_analyze(text_analyzer *analyzer, slice text, const understand_options *options, arena *memory,
                        understand_query *out) {
    understand_query q = {0};
    text_language fallback = options->context_language ? options->context_language : options->default_language;
    q.language = text_detect_language(text, fallback, &q.language_confidence);

    text_tokens found = text_analyze(analyzer, text, q.language, UNDERSTAND_MAX_TOKENS + 1);
    if (found.count > UNDERSTAND_MAX_TOKENS) {
        found.count = UNDERSTAND_MAX_TOKENS;
        q.truncated = true;
        text.size = found.tokens[found.count - 1].end;
    }
    q.text = arena_slice(memory, text);
    copy_tokens(found, memory, &q);

    buffer normalized = {0};
    text_normalize_query(analyzer, q.text, &normalized);
    q.normalized = arena_slice(memory, (slice){normalized.data, normalized.size});
    buffer_release(&normalized);

    for (size_t i = 0; i < q.n_tokens; i++)
        for (size_t j = 0; j < q.tokens[i].folded.size; j++)
            if (q.tokens[i].folded.data[j] >= '0' && q.tokens[i].folded.data[j] <= '9') q.has_digits = true;
    q.looks_like_identifier = looks_like_identifier(q.text);
    understand_interpret(analyzer, options, memory, &q);
    *out = q;
}
