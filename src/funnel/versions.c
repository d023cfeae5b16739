/* Versions of what is learned: kept from time to time and by name, and gone back to.
 *
 * A row under STORE_MODELS: "version:", be64 number, be64 sequence, the name. Its value: u8 format; i64 time; the strings of
 * funnel_write_learners; u64 hash64 (seed 0) of all bytes before it. */
#include "funnel/answer.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define FORMAT 1
#define PREFIX "version:"
#define PREFIX_SIZE 8
#define KEY_SIZE (PREFIX_SIZE + 16) /* and the name */
#define MOST_ROWS 4096              /* that are looked at: damage or a later program may have left more than are kept */

funnel_learning funnel_learned(const funnel *f) {
    return (funnel_learning){policy_updates(f->learned), ranker_updates(f->ranker), policy_price(f->learned)};
}

/* ---- Rows ---- */

static slice key_of(const funnel_version *v, char key[KEY_SIZE + FUNNEL_VERSION_NAME]) {
    size_t name = strlen(v->name);
    memcpy(key, PREFIX, PREFIX_SIZE);
    store_be64(key + PREFIX_SIZE, v->number);
    store_be64(key + PREFIX_SIZE + 8, v->sequence);
    memcpy(key + KEY_SIZE, v->name, name);
    return (slice){key, KEY_SIZE + name};
}

static bool is_version(slice key) { return key.size >= PREFIX_SIZE && memcmp(key.data, PREFIX, PREFIX_SIZE) == 0; }

static bool read_head(slice key, slice value, funnel_version *out) {
    if (key.size < KEY_SIZE || key.size > KEY_SIZE + FUNNEL_VERSION_NAME || value.size < 1 + 8 + 8) return false;
    *out = (funnel_version){.number = load_be64(key.data + PREFIX_SIZE), .sequence = load_be64(key.data + PREFIX_SIZE + 8),
                            .time = (int64_t)load_le64(value.data + 1)};
    memcpy(out->name, key.data + KEY_SIZE, key.size - KEY_SIZE);
    return true;
}

static int latest_first(const void *x, const void *y) {
    const funnel_version *a = x, *b = y;
    if (a->sequence != b->sequence) return a->sequence < b->sequence ? 1 : -1;
    if (a->time != b->time) return a->time < b->time ? 1 : -1;
    if (a->number != b->number) return a->number < b->number ? 1 : -1;
    return strcmp(a->name, b->name);
}

static forage_status list_versions(store_txn *t, arena *a, funnel_version **out, size_t *n, base_error *error) {
    store_cursor *cursor;
    slice key, value;
    size_t capacity = 0, found = 0;
    funnel_version *list = NULL, one;
    forage_status status = store_cursor_open(t, STORE_MODELS, SLICE(PREFIX), &cursor, error);
    if (status) return status;
    while (found < MOST_ROWS && store_cursor_next(cursor, &key, &value) && is_version(key)) {
        if (!read_head(key, value, &one)) continue;
        list = mem_grow(list, &capacity, found + 1, sizeof *list);
        list[found++] = one;
    }
    store_cursor_close(cursor);
    if (found) qsort(list, found, sizeof *list, latest_first);
    *out = arena_alloc(a, (found + 1) * sizeof **out);
    if (found) memcpy(*out, list, found * sizeof **out);
    *n = found;
    free(list);
    return FORAGE_OK;
}

forage_status funnel_versions(funnel *f, arena *a, funnel_version **out, size_t *n, base_error *error) {
    store_txn *t;
    forage_status status = store_read_begin(collection_store(f->collection), &t, error);
    if (status) return status;
    status = list_versions(t, a, out, n, error);
    store_read_end(t);
    return status;
}

/* ---- Keeping ---- */

static forage_status put_version(funnel *f, store_txn *t, const funnel_version *v, base_error *error) {
    char key[KEY_SIZE + FUNNEL_VERSION_NAME];
    buffer value = {0};
    funnel_learners own = funnel_own_learners(f);
    put_u8(&value, FORMAT);
    put_u64(&value, (uint64_t)v->time);
    funnel_write_learners(f, &own, &value);
    put_u64(&value, hash64(value.data, value.size, 0));
    forage_status status = store_put(t, STORE_MODELS, key_of(v, key), (slice){value.data, value.size}, error);
    buffer_release(&value);
    return status;
}

static forage_status drop_version(store_txn *t, const funnel_version *v, base_error *error) {
    char key[KEY_SIZE + FUNNEL_VERSION_NAME];
    return store_delete(t, STORE_MODELS, key_of(v, key), error);
}

static bool same_row(const funnel_version *a, const funnel_version *b) {
    return a->number == b->number && a->sequence == b->sequence && strcmp(a->name, b->name) == 0;
}

/* What the new one takes the place of: its name's last holder; or the oldest without a name, when there are enough. */
static forage_status make_room(store_txn *t, const funnel_version *v, const funnel_version *list, size_t n, base_error *error) {
    forage_status status = FORAGE_OK;
    size_t nameless = 1;
    for (size_t i = 0; !status && i < n; i++) {
        if (same_row(&list[i], v) || strcmp(list[i].name, v->name) != 0) continue;
        if (v->name[0] || ++nameless > FUNNEL_KEPT) status = drop_version(t, &list[i], error);
    }
    return status;
}

forage_status funnel_keep_own(funnel *f, store_txn *t, slice name, funnel_version *out, base_error *error) {
    funnel_version v = {.number = policy_updates(f->learned), .sequence = f->learned_sequence,
                        .time = clock_wall(collection_clock(f->collection))};
    funnel_version *list;
    size_t n, named = 0;
    arena a;
    if (name.size) memcpy(v.name, name.data, name.size);
    arena_init(&a, 0);
    forage_status status = list_versions(t, &a, &list, &n, error);
    for (size_t i = 0; !status && i < n; i++) named += list[i].name[0] && strcmp(list[i].name, v.name) != 0;
    if (!status && name.size && named >= FUNNEL_MOST_NAMED)
        status = error_set(error, FORAGE_E_INVALID, "%d versions have a name, which is as many as are kept; use one of their "
                           "names again", FUNNEL_MOST_NAMED);
    if (!status) status = make_room(t, &v, list, n, error);
    if (!status) status = put_version(f, t, &v, error);
    arena_release(&a);
    if (!status && out) *out = v;
    return status;
}

#define FIRST_KEPT 64    /* decisions */
#define EVERY 20000

/* The last count at which a version is due: a power of two, or a multiple of EVERY. */
static uint64_t due_at(uint64_t updates) {
    uint64_t power = FIRST_KEPT, multiple = updates - updates % EVERY;
    while (power <= updates / 2) power *= 2;
    return power > multiple ? power : multiple;
}

forage_status funnel_keep_sometimes(funnel *f, store_txn *t, base_error *error) {
    uint64_t updates = policy_updates(f->learned), turned = f->line.n ? f->line.turns[f->line.n - 1].sequence : 0;
    funnel_version *list;
    size_t n;
    arena a;
    bool there = false;
    if (updates < FIRST_KEPT) return FORAGE_OK;
    arena_init(&a, 0);
    forage_status status = list_versions(t, &a, &list, &n, error);
    for (size_t i = 0; !status && i < n; i++)
        there = there || (list[i].number >= due_at(updates) && list[i].number <= updates && list[i].sequence > turned);
    arena_release(&a);
    return status || there ? status : funnel_keep_own(f, t, (slice){0}, NULL, error);
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_number(slice text) {
    size_t digits = 0;
    while (digits < text.size && is_digit(text.data[digits])) digits++;
    return digits == text.size && digits > 0;
}

static bool is_name(slice text) {
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        bool fine = is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == '_';
        if (!fine) return false;
    }
    return text.size > 0 && text.size <= FUNNEL_VERSION_NAME && !is_number(text);
}

typedef struct keeping {
    funnel *funnel;
    slice name;
    funnel_version kept;
} keeping;

static forage_status keep_apply(store_txn *t, void *self, base_error *error) {
    keeping *k = self;
    return funnel_keep_own(k->funnel, t, k->name, &k->kept, error);
}

forage_status funnel_keep_version(funnel *f, slice name, funnel_version *out, base_error *error) {
    keeping k = {.funnel = f, .name = name};
    if (!is_name(name))
        return error_set(error, FORAGE_E_INVALID, "a version's name has 1 to %d letters, digits, dots, dashes and underscores, and is "
                         "no number; got \"%.*s\"", FUNNEL_VERSION_NAME, SLICE_ARG(name));
    store_job job = {keep_apply, NULL, &k};
    pthread_mutex_lock(&f->versions_mutex);
    forage_status status = store_write(collection_store(f->collection), &job, error);
    pthread_mutex_unlock(&f->versions_mutex);
    if (!status) *out = k.kept;
    return status;
}

/* ---- Going back ---- */

typedef struct going_back {
    slice wanted;
    funnel_version found;
} going_back;

/* Digits that are too many for a number are no version's. */
static bool number_of(slice text, uint64_t *out) {
    *out = 0;
    for (size_t i = 0; i < text.size; i++)
        if (__builtin_mul_overflow(*out, 10, out) || __builtin_add_overflow(*out, (uint64_t)(text.data[i] - '0'), out))
            return false;
    return true;
}

static forage_status find(store_txn *t, slice wanted, funnel_version *out, base_error *error) {
    funnel_version *list;
    size_t n, i = 0;
    uint64_t number = 0;
    arena a;
    bool by_number = is_number(wanted), possible = !by_number || number_of(wanted, &number);
    arena_init(&a, 0);
    forage_status status = list_versions(t, &a, &list, &n, error);
    while (!status && i < n && !(by_number ? list[i].number == number : wanted.size && slice_is(wanted, list[i].name))) i++;
    if (!status && (i == n || !possible))
        status = error_set(error, FORAGE_E_NOT_FOUND, "there is no version \"%.*s\"", SLICE_ARG(wanted));
    if (!status) *out = list[i];
    arena_release(&a);
    return status;
}

static forage_status read_version(funnel *f, slice value, const funnel_learners *l, base_error *error) {
    byte_reader in = byte_reader_of(value.data, value.size);
    uint8_t format = read_u8(&in);
    if (!in.failed && format != FORMAT)
        return error_set(error, FORAGE_E_VERSION, "its format is %u, this program reads %u", format, FORMAT);
    if (value.size < 17 || load_le64(value.data + value.size - 8) != hash64(value.data, value.size - 8, 0))
        return error_set(error, FORAGE_E_CORRUPT, "its bytes are damaged");
    read_u64(&in);
    return funnel_read_learners(f, &in, l, error);
}

static forage_status load_version(funnel_swap *s, store_txn *t, base_error *error) {
    going_back *b = (going_back *)s->self;
    char key[KEY_SIZE + FUNNEL_VERSION_NAME];
    slice value;
    base_error why = {0};
    forage_status status = find(t, b->wanted, &b->found, error);
    if (status) return status;
    status = store_get(t, STORE_MODELS, key_of(&b->found, key), &value);
    if (!status) status = read_version(s->funnel, value, s->learners, &why);
    if (status)
        return error_set(error, status, "version %llu cannot be gone back to: %s", (unsigned long long)b->found.number,
                         why.message[0] ? why.message : status_message(status));
    s->reached = s->funnel->learned_sequence;
    return FORAGE_OK;
}

forage_status funnel_roll_back(funnel *f, slice version, funnel_version *out, funnel_version *before, base_error *error) {
    policy_overlap overlap;
    funnel_learners learners;
    going_back b = {.wanted = version};
    funnel_version kept;
    funnel_swap s = {.funnel = f, .learners = &learners, .prepare = load_version, .since = INT64_MIN, .before = &kept, .self = &b};
    forage_status status = funnel_learners_init(f, &overlap, &learners, error);
    if (status) return status;
    pthread_mutex_lock(&f->versions_mutex);
    status = atomic_load(&f->relearning)
                 ? error_set(error, FORAGE_E_OVERLOADED, "the policy is learning again from the log; wait until it is done")
                 : funnel_swap_learners(&s, error);
    pthread_mutex_unlock(&f->versions_mutex);
    funnel_learners_release(&learners);
    if (status) return status;
    *out = b.found;
    *before = kept;
    return FORAGE_OK;
}
