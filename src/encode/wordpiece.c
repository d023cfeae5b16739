/* Cleaning, splitting and pieces, as BERT does (Devlin et al. 2019): characters that say nothing are dropped, ideographs and
 * punctuation stand alone, and each word is cut from its start into the longest pieces that the vocabulary has. */
#include "encode/wordpiece.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "format/json.h"
#include "os/file.h"
#include "text/icu.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

#define MOST_TOKENS 4000000u
#define MOST_FILE ((size_t)256 << 20)
#define MOST_CHARACTERS 100 /* of a word; longer ones are unknown */
#define MOST_ADDED 4096u   /* tokens beside the vocabulary's pieces */
#define NONE UINT32_MAX

/* A token that is looked for in the text as it stands, before words are cut out of it, such as [MASK]. */
typedef struct added_token {
    slice text;
    uint32_t id;
    bool alone;   /* not inside a word */
    bool folded;  /* ASCII letters of either case */
} added_token;

struct wordpiece {
    arena memory;
    slice *tokens; /* by id; empty: there is no such id */
    bool *special;
    uint32_t size;
    uint32_t *slots; /* id + 1, by hash of the text; a mask's worth */
    uint64_t mask;
    slice continuing; /* before a piece that does not begin a word: "##" */
    uint32_t unknown, first, separator;
    added_token *added; /* by first byte, in lower case when folded; longer ones first */
    size_t n_added, added_capacity;
    uint32_t added_from[257]; /* by first byte of the text */
    bool lower, strip, ideographs, clean;
};

/* ---- The vocabulary ---- */

static uint32_t find(const wordpiece *w, slice text) {
    for (uint64_t at = hash64(text.data, text.size, 0) & w->mask; w->slots[at]; at = (at + 1) & w->mask)
        if (slice_equal(w->tokens[w->slots[at] - 1], text)) return w->slots[at] - 1;
    return NONE;
}

static unsigned char fold(char c) { return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c); }

static void add(wordpiece *w, added_token t) {
    if (w->n_added > MOST_ADDED) return; /* one too many is enough to know */
    for (size_t i = 0; i < w->n_added; i++)
        if (slice_equal(w->added[i].text, t.text)) return;
    w->added = mem_grow(w->added, &w->added_capacity, w->n_added + 1, sizeof *w->added);
    w->added[w->n_added++] = t;
}

/* Where both may stand the longer one does. */
static int by_first_byte(const void *x, const void *y) {
    const added_token *a = x, *b = y;
    const unsigned char first = fold(a->text.data[0]), other = fold(b->text.data[0]);
    if (first != other) return first < other ? -1 : 1;
    if (a->text.size != b->text.size) return a->text.size > b->text.size ? -1 : 1;
    return slice_compare(a->text, b->text);
}

static void order_added(wordpiece *w) {
    if (w->n_added) qsort(w->added, w->n_added, sizeof *w->added, by_first_byte);
    for (size_t byte = 0, at = 0; byte <= 256; byte++) {
        while (at < w->n_added && fold(w->added[at].text.data[0]) < byte) at++;
        w->added_from[byte] = (uint32_t)at;
    }
}

static forage_status index_tokens(wordpiece *w, const char *path, base_error *error) {
    uint64_t slots = 64;
    while (slots < (uint64_t)w->size * 2) slots *= 2;
    w->slots = mem_zalloc(slots, sizeof *w->slots);
    w->mask = slots - 1;
    for (uint32_t id = 0; id < w->size; id++) {
        slice text = w->tokens[id];
        if (!text.size) continue;
        uint64_t at = hash64(text.data, text.size, 0) & w->mask;
        while (w->slots[at] && !slice_equal(w->tokens[w->slots[at] - 1], text)) at = (at + 1) & w->mask;
        w->slots[at] = id + 1; /* of two with the same text the last counts, as in the reference */
    }
    w->unknown = find(w, SLICE("[UNK]"));
    w->first = find(w, SLICE("[CLS]"));
    w->separator = find(w, SLICE("[SEP]"));
    if (w->unknown == NONE || w->first == NONE || w->separator == NONE)
        return error_set(error, FORAGE_E_INVALID, "%s: the vocabulary lacks [UNK], [CLS] or [SEP]: it is not one of BERT's", path);
    static const char *const special[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
        uint32_t id = find(w, slice_of(special[i]));
        if (id == NONE) continue;
        w->special[id] = true;
        add(w, (added_token){.text = w->tokens[id], .id = id});
    }
    if (w->n_added > MOST_ADDED)
        return error_set(error, FORAGE_E_INVALID, "%s: more than %u added tokens", path, MOST_ADDED);
    order_added(w);
    return FORAGE_OK;
}

static void make_room(wordpiece *w, uint32_t size) {
    w->size = size;
    w->tokens = mem_zalloc((size_t)size + 1, sizeof *w->tokens);
    w->special = mem_zalloc((size_t)size + 1, sizeof *w->special);
}

static forage_status read_lines(wordpiece *w, slice text, const char *path, base_error *error) {
    size_t n = 0;
    for (size_t i = 0; i < text.size; i++) n += text.data[i] == '\n';
    n += text.size && text.data[text.size - 1] != '\n';
    if (!n || n > MOST_TOKENS) return error_set(error, FORAGE_E_INVALID, "%s: %zu tokens are no vocabulary", path, n);
    make_room(w, (uint32_t)n);
    for (uint32_t id = 0; id < w->size; id++) {
        const char *end = memchr(text.data, '\n', text.size);
        size_t size = end ? (size_t)(end - text.data) : text.size, used = size;
        if (used && text.data[used - 1] == '\r') used--;
        w->tokens[id] = arena_slice(&w->memory, (slice){text.data, used});
        size += end != NULL;
        text = (slice){text.data + size, text.size - size};
    }
    return FORAGE_OK;
}

static bool id_of(const json_value *v, uint32_t *out) {
    if (!v || v->type != JSON_NUMBER || !v->integral || v->integer < 0 || v->integer >= MOST_TOKENS) return false;
    *out = (uint32_t)v->integer;
    return true;
}

/* Of "normalizer"; null: as it was. */
static void read_flag(const json_value *json, const char *key, bool *out) {
    const json_value *v = json_get(json, key);
    if (v && v->type == JSON_BOOL) *out = v->boolean;
}

static void read_rules(wordpiece *w, const json_value *json, const char *lower, const char *ideographs) {
    read_flag(json, lower, &w->lower);
    if (json_get(json, lower)) w->strip = w->lower; /* unless something else is said */
    read_flag(json, "strip_accents", &w->strip);
    read_flag(json, ideographs, &w->ideographs);
    read_flag(json, "clean_text", &w->clean);
}

static void read_added(wordpiece *w, const json_value *json) {
    added_token t = {0};
    if (!id_of(json_get(json, "id"), &t.id) || json_member_string(json, "content", &t.text, NULL) || !t.text.size) return;
    w->tokens[t.id] = t.text;
    read_flag(json, "special", &w->special[t.id]);
    t.folded = !w->special[t.id];
    read_flag(json, "normalized", &t.folded);
    read_flag(json, "single_word", &t.alone);
    add(w, t);
}

static forage_status read_json(wordpiece *w, slice text, const char *path, base_error *error) {
    json_value *json;
    base_error why = {0};
    if (json_read(&w->memory, text, &json, &why)) return error_set(error, FORAGE_E_JSON, "%s: %s", path, why.message);
    const json_value *model = json_get(json, "model"), *vocabulary = json_get(model, "vocab"), *added = json_get(json, "added_tokens");
    slice type = {0}, continuing = {0};
    json_member_string(model, "type", &type, NULL);
    if (!vocabulary || vocabulary->type != JSON_OBJECT || (type.size && !slice_is(type, "WordPiece")))
        return error_set(error, FORAGE_E_INVALID, "%s: expected a WordPiece model with a \"vocab\" object, as BERT's are", path);
    uint32_t id, most = 0;
    for (const json_value *v = vocabulary->first; v; v = v->next) {
        if (!id_of(v, &id)) return error_set(error, FORAGE_E_INVALID, "%s: token \"%.*s\" has no id", path, SLICE_ARG(v->key));
        if (id >= most) most = id + 1;
    }
    for (const json_value *v = added ? added->first : NULL; v; v = v->next)
        if (id_of(json_get(v, "id"), &id) && id >= most) most = id + 1;
    const size_t listed = vocabulary->count + (added ? added->count : 0);
    if (most > 2 * listed + 1000) /* a small file must not ask for a large room */
        return error_set(error, FORAGE_E_INVALID, "%s: %zu tokens with ids up to %u are no vocabulary", path, listed, most - 1);
    make_room(w, most);
    for (const json_value *v = vocabulary->first; v; v = v->next)
        if (id_of(v, &id)) w->tokens[id] = v->key;
    for (const json_value *v = added ? added->first : NULL; v; v = v->next) read_added(w, v);
    if (!json_member_string(model, "continuing_subword_prefix", &continuing, NULL) && continuing.data) w->continuing = continuing;
    const json_value *rules = json_get(json, "normalizer");
    if (rules && rules->type == JSON_OBJECT) read_rules(w, rules, "lowercase", "handle_chinese_chars");
    return FORAGE_OK;
}

/* do_lower_case and its like, where there is such a file; a damaged one is an error. They go before what tokenizer.json says, as in the
 * reference. */
static forage_status read_settings(wordpiece *w, const char *path, base_error *error) {
    if (!os_exists(path)) return FORAGE_OK;
    buffer file = {0};
    json_value *json;
    base_error why = {0};
    forage_status status = os_read_file(path, MOST_FILE, &file, error);
    if (!status && json_read(&w->memory, (slice){file.data, file.size}, &json, &why))
        status = error_set(error, FORAGE_E_JSON, "%s: %s", path, why.message);
    if (!status) read_rules(w, json, "do_lower_case", "tokenize_chinese_chars");
    buffer_release(&file);
    return status;
}

forage_status wordpiece_open(const char *folder, wordpiece **out, base_error *error) {
    wordpiece *w = mem_zalloc(1, sizeof *w);
    buffer file = {0};
    arena_init(&w->memory, 1 << 16);
    w->lower = w->strip = w->ideographs = w->clean = true;
    w->continuing = SLICE("##");
    const char *all = path_join(&w->memory, folder, "tokenizer.json"), *lines = path_join(&w->memory, folder, "vocab.txt");
    bool json = os_exists(all);
    forage_status status = FORAGE_OK;
    if (!json && !os_exists(lines))
        status = error_set(error, FORAGE_E_NOT_FOUND, "%s: there is no tokenizer.json and no vocab.txt", folder);
    if (!status) status = os_read_file(json ? all : lines, MOST_FILE, &file, error);
    slice text = {file.data, file.size};
    if (!status) status = json ? read_json(w, text, all, error) : read_lines(w, text, lines, error);
    if (!status) status = read_settings(w, path_join(&w->memory, folder, "tokenizer_config.json"), error);
    if (!status) status = index_tokens(w, json ? all : lines, error);
    buffer_release(&file);
    if (status) {
        wordpiece_close(w);
        return status;
    }
    *out = w;
    return FORAGE_OK;
}

void wordpiece_close(wordpiece *w) {
    if (!w) return;
    free(w->tokens);
    free(w->special);
    free(w->slots);
    free(w->added);
    arena_release(&w->memory);
    free(w);
}

uint32_t wordpiece_size(const wordpiece *w) { return w->size; }
slice wordpiece_token(const wordpiece *w, uint32_t id) { return id < w->size ? w->tokens[id] : (slice){0}; }
bool wordpiece_is_special(const wordpiece *w, uint32_t id) { return id < w->size && w->special[id]; }

/* ---- Cutting ---- */

typedef struct cutting {
    const wordpiece *w;
    uint32_t *ids;
    uint32_t n, most;
    char word[4 * MOST_CHARACTERS]; /* of the word at hand */
    uint32_t starts[MOST_CHARACTERS + 1], characters;
    size_t size;
    bool too_long;
} cutting;

static void give(cutting *c, uint32_t id) {
    if (c->n < c->most) c->ids[c->n++] = id;
}

static uint32_t find_piece(const cutting *c, size_t from, size_t end) {
    char text[4 * MOST_CHARACTERS + 64];
    size_t prefix = from ? c->w->continuing.size : 0;
    if (prefix > 64) return NONE;
    if (prefix) memcpy(text, c->w->continuing.data, prefix);
    memcpy(text + prefix, c->word + from, end - from);
    return find(c->w, (slice){text, prefix + end - from});
}

static void end_word(cutting *c) {
    uint32_t before = c->n, from = 0;
    bool known = !c->too_long;
    if (!c->characters && !c->too_long) return;
    c->starts[c->characters] = (uint32_t)c->size;
    while (known && from < c->characters) {
        uint32_t end = c->characters, id = NONE;
        while (end > from && (id = find_piece(c, c->starts[from], c->starts[end])) == NONE) end--;
        known = id != NONE;
        if (known) give(c, id);
        from = end;
    }
    if (!known) { /* a word with one unknown part is unknown as a whole */
        c->n = before;
        give(c, c->w->unknown);
    }
    c->characters = 0;
    c->size = 0;
    c->too_long = false;
}

static void add_character(cutting *c, uint32_t character) {
    if (c->characters == MOST_CHARACTERS) {
        c->too_long = true;
        return;
    }
    c->starts[c->characters++] = (uint32_t)c->size;
    c->size += text_encode(character, c->word + c->size);
}

static bool is_ideograph(uint32_t c) {
    static const uint32_t ranges[][2] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
                                         {0x2B740, 0x2B81F}, {0x2B820, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
    for (size_t i = 0; c >= 0x3400 && i < sizeof ranges / sizeof *ranges; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
    return false;
}

static void take_plain(cutting *c, uint32_t character) {
    if (text_icu_piece(character) == TEXT_PIECE_PUNCTUATION) {
        end_word(c);
        add_character(c, character);
        end_word(c);
    } else {
        add_character(c, character);
    }
}

static void take_character(cutting *c, uint32_t character) {
    const wordpiece *w = c->w;
    if (character < 0x80 && ((character >= 'a' && character <= 'z') || (character >= '0' && character <= '9'))) {
        add_character(c, character);
        return;
    }
    text_piece piece = text_icu_piece(character);
    if (piece == TEXT_PIECE_CONTROL && w->clean) return;
    if (piece == TEXT_PIECE_SPACE) {
        end_word(c);
        return;
    }
    uint32_t parts[18];
    size_t n = 1;
    bool alone = w->ideographs && is_ideograph(character);
    parts[0] = character;
    if (w->strip && character >= 0x80) n = text_icu_decompose(character, parts);
    if (alone) end_word(c);
    for (size_t i = 0; i < n; i++) {
        if (w->strip && parts[i] >= 0x80 && text_icu_piece(parts[i]) == TEXT_PIECE_MARK) continue;
        take_plain(c, w->lower ? text_icu_lower(parts[i]) : parts[i]);
    }
    if (alone) end_word(c);
}

static bool in_word(slice text, size_t at) {
    const unsigned char c = (unsigned char)text.data[at];
    return c >= 0x80 || c == '_' || (c >= '0' && c <= '9') || (fold((char)c) >= 'a' && fold((char)c) <= 'z');
}

static bool stands_at(const wordpiece *w, const added_token *t, slice text, size_t at) {
    const size_t end = at + t->text.size;
    if (t->text.size > text.size - at) return false;
    for (size_t i = 0; i < t->text.size; i++) {
        const char a = text.data[at + i], b = t->text.data[i];
        if (a != b && !(t->folded && w->lower && fold(a) == fold(b))) return false;
    }
    return !t->alone || ((!at || !in_word(text, at - 1)) && (end == text.size || !in_word(text, end)));
}

/* The added token that stands here, or NULL. */
static const added_token *added_at(const wordpiece *w, slice text, size_t at) {
    const unsigned char byte = fold(text.data[at]);
    for (uint32_t i = w->added_from[byte]; i < w->added_from[byte + 1]; i++)
        if (stands_at(w, &w->added[i], text, at)) return &w->added[i];
    return NULL;
}

static uint32_t cut(const wordpiece *w, slice text, uint32_t most, arena *a, uint32_t **ids) {
    cutting c = {.w = w, .most = most};
    size_t room = text.size + 1 < most ? text.size + 1 : most; /* a token takes a byte at least */
    c.ids = *ids = arena_alloc(a, (room + 1) * sizeof *c.ids);
    for (size_t at = 0; at < text.size && c.n < most;) {
        size_t length;
        const added_token *added = added_at(w, text, at);
        if (added) {
            length = added->text.size;
            end_word(&c);
            give(&c, added->id);
        } else {
            take_character(&c, text_decode((const uint8_t *)text.data + at, text.size - at, &length));
        }
        at += length;
    }
    end_word(&c);
    return c.n;
}

wordpiece_tokens wordpiece_encode(const wordpiece *w, slice text, const slice *second, uint32_t most, arena *a) {
    uint32_t marks = second ? 3 : 2, *first_ids, *second_ids = NULL, room = most > marks ? most - marks : 0;
    uint32_t n_first = cut(w, text, room, a, &first_ids), n_second = second ? cut(w, *second, room, a, &second_ids) : 0;
    while (n_first + n_second > room) { /* the longer one gives way */
        if (n_first > n_second) n_first--;
        else n_second--;
    }
    uint32_t total = n_first + n_second + marks, n = 0;
    uint32_t *ids = arena_alloc(a, total * sizeof *ids);
    uint8_t *types = arena_zalloc(a, total, sizeof *types);
    ids[n++] = w->first;
    if (n_first) memcpy(ids + n, first_ids, n_first * sizeof *ids);
    n += n_first;
    ids[n++] = w->separator;
    if (second) {
        memset(types + n, 1, total - n);
        if (n_second) memcpy(ids + n, second_ids, n_second * sizeof *ids);
        n += n_second;
        ids[n++] = w->separator;
    }
    return (wordpiece_tokens){.n = n < most ? n : most, .ids = ids, .types = types};
}
