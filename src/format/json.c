/* The reader: yajl finds the tokens, the callbacks build the tree, and the checks that yajl does not make are made
 * here.
 *
 * The text is copied into the arena once, so that strings without escapes need no copy of their own. yajl's own memory
 * comes from the arena too: reading allocates nothing else. */
#include "format/json.h"

#include "base/hash.h"
#include "base/random.h"
#include "format/json_impl.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

enum { LINEAR_KEYS = 32, FIRST_SLOTS = 128 };

typedef struct slot {
    uint64_t hash;
    const json_value *member;
} slot;

/* An array or object that is being read. */
typedef struct frame {
    json_value *container, *last;
    uint64_t key_bits; /* one for each key: a key whose bit is clear is new, without a look at the others */
    slot *slots; /* of an object with more than LINEAR_KEYS members: an open hash table of its keys */
    size_t capacity;
} frame;

typedef struct reader {
    arena *a;
    yajl_handle handle;
    const char *text;
    size_t size, skipped; /* bytes of the byte order mark, so that offsets count from the caller's first byte */
    json_value *root;
    slice key;
    size_t count; /* of values so far */
    int depth;
    frame frames[JSON_MAX_DEPTH];
    base_error *error;
    forage_status status;
} reader;

/* --- yajl's memory: a size before each piece, for realloc; nothing is freed before the arena is --- */

static void *take(void *a, size_t size) {
    char *p = arena_alloc(a, size + 16);
    memcpy(p, &size, sizeof size);
    return p + 16;
}

static void *take_again(void *a, void *old, size_t size) {
    size_t had = 0;
    if (old) memcpy(&had, (char *)old - 16, sizeof had);
    if (size <= had) return old;
    void *p = take(a, size);
    if (had) memcpy(p, old, had);
    return p;
}

static void take_nothing(void *a, void *p) {
    (void)a;
    (void)p;
}

/* --- Numbers: as in the C locale, whatever locale the program runs in --- */

static locale_t c_locale;
static uint64_t key_seed; /* unknown to whoever sends keys that are made to collide */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void prepare(void) {
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    key_seed = random_entropy();
}

static const double powers_of_ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* Digits that fit a double's 53 bits over an exact power of ten round once: that is the right result. Returns false
 * when the number needs more care. */
static bool short_number(slice text, double *number, int64_t *integer, bool *integral) {
    const char *p = text.data, *end = p + text.size;
    bool negative = *p == '-';
    if (negative) p++;
    uint64_t digits = 0;
    int fraction = 0;
    if (end - p > 17) return false;
    for (; p < end && *p >= '0' && *p <= '9'; p++) digits = digits * 10 + (uint64_t)(*p - '0');
    *integral = p == end;
    if (p < end && *p == '.')
        for (p++; p < end && *p >= '0' && *p <= '9'; p++, fraction++) digits = digits * 10 + (uint64_t)(*p - '0');
    if (p < end || digits > (uint64_t)1 << 53) return false;
    double value = (double)digits / powers_of_ten[fraction];
    *number = negative ? -value : value;
    *integer = negative ? -(int64_t)digits : (int64_t)digits;
    return true;
}

static bool all_digits(slice text) {
    for (size_t i = text.data[0] == '-'; i < text.size; i++)
        if (text.data[i] < '0' || text.data[i] > '9') return false;
    return true;
}

/* False when it is beyond a double. `text` is followed by a byte that is no part of a number. */
static bool read_number(slice text, json_value *v) {
    if (short_number(text, &v->number, &v->integer, &v->integral)) return true;
    v->integral = false;
    v->number = strtod_l(text.data, NULL, c_locale);
    if (!isfinite(v->number)) return false;
    /* At most 19 digits: the 2^63 that the comparisons leave out only fits as a negative number. */
    if (text.size <= 20 && all_digits(text) && v->number >= -0x1p63 && v->number <= 0x1p63) {
        bool negative = text.data[0] == '-';
        uint64_t digits = 0;
        for (size_t i = negative; i < text.size; i++) digits = digits * 10 + (uint64_t)(text.data[i] - '0');
        v->integral = digits <= (uint64_t)INT64_MAX + negative;
        v->integer = !v->integral ? 0 : negative ? (int64_t)(0 - digits) : (int64_t)digits;
    }
    return true;
}

/* --- Building the tree --- */

static int refuse(reader *r, const char *what) {
    size_t at = yajl_get_bytes_consumed(r->handle) + r->skipped;
    r->status = error_set(r->error, FORAGE_E_JSON, "byte %zu: %s", at, what);
    return 0;
}

/* yajl points into the text, except for what it had to unescape into a buffer of its own. */
static slice keep(reader *r, const char *data, size_t size) {
    if (data >= r->text && data <= r->text + r->size) return (slice){data, size};
    return arena_slice(r->a, (slice){data, size});
}

/* NULL when there are too many. */
static json_value *add(reader *r, json_type type) {
    if (r->count++ == JSON_MAX_VALUES) {
        refuse(r, "more than 4,000,000 values");
        return NULL;
    }
    json_value *v = arena_alloc(r->a, sizeof *v);
    *v = (json_value){.type = type};
    if (r->depth == 0) {
        r->root = v;
        return v;
    }
    frame *f = &r->frames[r->depth - 1];
    v->key = r->key;
    if (f->last) f->last->next = v;
    else f->container->first = v;
    f->last = v;
    f->container->count++;
    return v;
}

static int on_null(void *self) { return add(self, JSON_NULL) != NULL; }

static int on_boolean(void *self, int value) {
    json_value *v = add(self, JSON_BOOL);
    if (v) v->boolean = value != 0;
    return v != NULL;
}

static int on_number(void *self, const char *text, size_t size) {
    reader *r = self;
    json_value *v = add(r, JSON_NUMBER);
    if (!v) return 0;
    v->text = keep(r, text, size);
    return read_number(v->text, v) ? 1 : refuse(r, "the number is larger than a double can hold");
}

static int on_string(void *self, const unsigned char *text, size_t size) {
    reader *r = self;
    json_value *v = add(r, JSON_STRING);
    if (v) v->text = keep(r, (const char *)text, size);
    return v != NULL;
}

static int open_container(reader *r, json_type type) {
    if (r->depth == JSON_MAX_DEPTH) return refuse(r, "nested deeper than 64 levels");
    json_value *v = add(r, type);
    if (!v) return 0;
    r->frames[r->depth++] = (frame){.container = v};
    r->key = (slice){0};
    return 1;
}

static int on_start_object(void *self) { return open_container(self, JSON_OBJECT); }
static int on_start_array(void *self) { return open_container(self, JSON_ARRAY); }

static int on_end(void *self) {
    reader *r = self;
    r->depth--;
    r->key = (slice){0};
    return 1;
}

static void insert(frame *f, uint64_t hash, const json_value *member) {
    size_t i = hash & (f->capacity - 1);
    while (f->slots[i].member) i = (i + 1) & (f->capacity - 1);
    f->slots[i] = (slot){hash, member};
}

/* The table lags one member behind: the newest has its key, but it was not a value yet when the key was checked. */
static void index_members(reader *r, frame *f) {
    size_t count = f->container->count;
    if (count * 2 > f->capacity) {
        f->capacity = f->capacity ? f->capacity * 2 : FIRST_SLOTS;
        f->slots = arena_zalloc(r->a, f->capacity, sizeof *f->slots);
        for (const json_value *m = f->container->first; m; m = m->next)
            insert(f, hash64(m->key.data, m->key.size, key_seed), m);
        return;
    }
    insert(f, hash64(f->last->key.data, f->last->key.size, key_seed), f->last);
}

static uint64_t key_bit(slice key) {
    unsigned mixed = (unsigned)key.size;
    if (key.size) mixed += 5 * (unsigned char)key.data[0] + 11 * (unsigned char)key.data[key.size - 1];
    return (uint64_t)1 << (mixed & 63);
}

static bool is_duplicate(reader *r, slice key) {
    frame *f = &r->frames[r->depth - 1];
    if (f->container->count <= LINEAR_KEYS) {
        uint64_t bit = key_bit(key);
        bool is_new = !(f->key_bits & bit);
        f->key_bits |= bit;
        if (is_new) return false;
        for (const json_value *m = f->container->first; m; m = m->next)
            if (slice_equal(m->key, key)) return true;
        return false;
    }
    index_members(r, f);
    uint64_t hash = hash64(key.data, key.size, key_seed);
    for (size_t i = hash & (f->capacity - 1); f->slots[i].member; i = (i + 1) & (f->capacity - 1))
        if (f->slots[i].hash == hash && slice_equal(f->slots[i].member->key, key)) return true;
    return false;
}

static int on_key(void *self, const unsigned char *text, size_t size) {
    reader *r = self;
    if (memchr(text, 0, size)) return refuse(r, "a key contains a NUL character");
    r->key = keep(r, (const char *)text, size);
    if (!is_duplicate(r, r->key)) return 1;
    json_value quoted = {.type = JSON_STRING, .text = r->key};
    return refuse(r, arena_printf(r->a, "the key %s is twice in an object", json_quote(r->a, &quoted)));
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_start_object,
    .yajl_map_key = on_key,
    .yajl_end_map = on_end,
    .yajl_start_array = on_start_array,
    .yajl_end_array = on_end,
};

/* --- What yajl lets pass --- */

/* Valid UTF-8, and none of the two control characters that yajl takes for spaces. */
static forage_status check_bytes(slice text, base_error *error) {
    const uint8_t *start = (const uint8_t *)text.data, *p = start, *end = start + text.size;
    while (p < end) {
        if (end - p >= 8) {
            uint64_t v = eight_bytes(p);
            if (!((v & EACH_BYTE(0x80)) | any_equal(v, '\v') | any_equal(v, '\f'))) {
                p += 8;
                continue;
            }
        }
        if (*p < 0x80) {
            if (*p == '\v' || *p == '\f')
                return error_set(error, FORAGE_E_JSON, "byte %zu: a control character", (size_t)(p - start));
            p++;
            continue;
        }
        size_t size = utf8_sequence(p, end);
        if (!size) return error_set(error, FORAGE_E_JSON, "byte %zu: not valid UTF-8", (size_t)(p - start));
        p += size;
    }
    return FORAGE_OK;
}

static unsigned hex4(const char *p) {
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        unsigned c = (unsigned char)p[i];
        value = value << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
}

/* yajl turns half a surrogate pair into a question mark. The text is known to be JSON here, so every backslash begins
 * an escape inside a string. */
static forage_status check_surrogates(const reader *r) {
    const char *end = r->text + r->size;
    for (const char *p = r->text; (p = memchr(p, '\\', (size_t)(end - p)));) {
        if (p[1] != 'u') {
            p += 2;
            continue;
        }
        unsigned unit = hex4(p + 2);
        bool pair = unit >= 0xD800 && unit < 0xDC00 && p[6] == '\\' && p[7] == 'u' && (hex4(p + 8) & 0xFC00) == 0xDC00;
        if ((unit & 0xF800) == 0xD800 && !pair)
            return error_set(r->error, FORAGE_E_JSON, "byte %zu: half a surrogate pair",
                             (size_t)(p - r->text) + r->skipped);
        p += pair ? 12 : 6;
    }
    return FORAGE_OK;
}

/* yajl's own words come with a prefix and a line end. */
static forage_status syntax_error(reader *r) {
    const char *words = (const char *)yajl_get_error(r->handle, 0, NULL, 0);
    const char *colon = strstr(words, "error: ");
    if (colon) words = colon + strlen("error: ");
    size_t size = strcspn(words, "\n");
    if (size == strlen("premature EOF") && strncmp(words, "premature EOF", size) == 0) {
        const char *what = r->root ? "the text ends too early" : "there is no value";
        return error_set(r->error, FORAGE_E_JSON, "byte %zu: %s", r->size + r->skipped, what);
    }
    size_t at = yajl_get_bytes_consumed(r->handle) + r->skipped;
    if (at >= r->size + r->skipped && strncmp(words, "invalid character inside string", 31) == 0)
        return error_set(r->error, FORAGE_E_JSON, "byte %zu: the text ends inside a string", at);
    return error_set(r->error, FORAGE_E_JSON, "byte %zu: %.*s", at, (int)size, words);
}

forage_status json_read(arena *a, slice text, json_value **out, base_error *error) {
    pthread_once(&once, prepare);
    if (text.size == 0) text = SLICE("");
    forage_status status = check_bytes(text, error);
    if (status) return status;
    reader r = {.a = a, .error = error};
    r.skipped = text.size >= 3 && memcmp(text.data, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    r.size = text.size - r.skipped;
    char *copy = arena_alloc(a, r.size + 1);
    if (r.size) memcpy(copy, text.data + r.skipped, r.size);
    copy[r.size] = '\n'; /* so that a number at the end has its end in the text */
    r.text = copy;

    yajl_alloc_funcs memory = {take, take_again, take_nothing, a};
    r.handle = yajl_alloc(&callbacks, &memory, &r); /* lives in the arena: there is nothing to free */
    yajl_config(r.handle, yajl_dont_validate_strings, 1);
    yajl_status parsed = yajl_parse(r.handle, (const unsigned char *)copy, r.size + 1);
    if (parsed == yajl_status_ok) parsed = yajl_complete_parse(r.handle);
    if (parsed != yajl_status_ok) return r.status ? r.status : syntax_error(&r);
    status = check_surrogates(&r);
    if (status) return status;
    *out = r.root;
    return FORAGE_OK;
}
