/* The registry of trained rankers: its rows, and who serves. */
#include "base/bytes.h"
#include "base/hash.h"
#include "funnel/answer.h"
#include "funnel/models_rows.h"
#include "rank/forest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT 1
#define PREFIX "model:"
#define PREFIX_SIZE 6
#define KEY_SIZE (PREFIX_SIZE + 8)
#define STATE "models"

/* ---- Rows ---- */

static slice key_of(uint64_t number, char key[KEY_SIZE]) {
    memcpy(key, PREFIX, PREFIX_SIZE);
    store_be64(key + PREFIX_SIZE, number);
    return (slice){key, KEY_SIZE};
}

forage_status models_read_state(store_txn *t, models_state *out, base_error *error) {
    slice bytes;
    models_state s = {.next = 1};
    forage_status status = store_get(t, STORE_MODELS, SLICE(STATE), &bytes);
    if (status == FORAGE_E_NOT_FOUND) {
        *out = s;
        return FORAGE_OK;
    }
    if (status) return error_set(error, status, "the registry of models cannot be read");
    byte_reader in = byte_reader_of(bytes.data, bytes.size);
    uint8_t format = read_u8(&in);
    if (!in.failed && format > FORMAT)
        return error_set(error, FORAGE_E_VERSION, "the registry of models has format %u, this program reads %u", format, FORMAT);
    s.next = read_u64(&in);
    s.active = read_u64(&in);
    s.shadow = read_u64(&in);
    s.n_before = read_u8(&in);
    for (uint32_t i = 0; i < s.n_before && i < MODELS_BEFORE; i++) s.before[i] = read_u64(&in);
    if (in.failed || format == 0 || s.n_before > MODELS_BEFORE || s.next == 0 || s.active >= s.next || s.shadow >= s.next)
        return error_set(error, FORAGE_E_CORRUPT, "the registry of models is damaged");
    *out = s;
    return FORAGE_OK;
}

forage_status models_write_state(store_txn *t, const models_state *state, base_error *error) {
    buffer bytes = {0};
    put_u8(&bytes, FORMAT);
    put_u64(&bytes, state->next);
    put_u64(&bytes, state->active);
    put_u64(&bytes, state->shadow);
    put_u8(&bytes, (uint8_t)state->n_before);
    for (uint32_t i = 0; i < state->n_before; i++) put_u64(&bytes, state->before[i]);
    forage_status status = store_put(t, STORE_MODELS, SLICE(STATE), (slice){bytes.data, bytes.size}, error);
    buffer_release(&bytes);
    return status;
}

static forage_status write_row(store_txn *t, const funnel_model *m, base_error *error) {
    char key[KEY_SIZE];
    buffer value = {0};
    put_u8(&value, FORMAT);
    put_u64(&value, (uint64_t)m->time);
    put_u8(&value, (uint8_t)m->kind);
    put_string(&value, m->name);
    put_string(&value, m->map);
    put_string(&value, m->report);
    put_string(&value, m->bytes);
    put_u64(&value, hash64(value.data, value.size, 0));
    forage_status status = store_put(t, STORE_MODELS, key_of(m->number, key), (slice){value.data, value.size}, error);
    buffer_release(&value);
    return status;
}

#define LEAST_ROW (1 + 8 + 1 + 4 + 8) /* all strings empty */

/* Slices point into the value. */
static forage_status parse_row(uint64_t number, slice value, funnel_model *out, base_error *error) {
    if (value.size < LEAST_ROW || load_le64(value.data + value.size - 8) != hash64(value.data, value.size - 8, 0))
        return error_set(error, FORAGE_E_CORRUPT, "model %llu is damaged", (unsigned long long)number);
    byte_reader in = byte_reader_of(value.data, value.size - 8);
    uint8_t format = read_u8(&in);
    if (format > FORMAT)
        return error_set(error, FORAGE_E_VERSION, "model %llu has format %u, this program reads %u", (unsigned long long)number, format,
                         FORMAT);
    funnel_model m = {.number = number, .time = (int64_t)read_u64(&in)};
    m.kind = (funnel_model_kind)read_u8(&in);
    m.name = read_string(&in);
    m.map = read_string(&in);
    m.report = read_string(&in);
    m.bytes = read_string(&in);
    if (in.failed || read_left(&in) || (m.kind != FUNNEL_MODEL_LINEAR && m.kind != FUNNEL_MODEL_TREES))
        return error_set(error, FORAGE_E_CORRUPT, "model %llu is damaged", (unsigned long long)number);
    *out = m;
    return FORAGE_OK;
}

forage_status models_read_row(store_txn *t, uint64_t number, arena *a, funnel_model *out, base_error *error) {
    char key[KEY_SIZE];
    slice value;
    if (!number || store_get(t, STORE_MODELS, key_of(number, key), &value))
        return error_set(error, FORAGE_E_NOT_FOUND, "there is no model %llu", (unsigned long long)number);
    return parse_row(number, arena_slice(a, value), out, error);
}

/* ---- Looking ---- */

static int latest_first(const void *x, const void *y) {
    const funnel_model *a = x, *b = y;
    return a->number < b->number ? 1 : a->number > b->number ? -1 : 0;
}

static forage_status list_models(store_txn *t, arena *a, funnel_model **out, size_t *n, base_error *error) {
    store_cursor *cursor;
    slice key, value;
    funnel_model *list = arena_alloc(a, FUNNEL_MOST_MODELS * 2 * sizeof *list);
    size_t found = 0;
    forage_status status = store_cursor_open(t, STORE_MODELS, SLICE(PREFIX), &cursor, error);
    if (status) return status;
    while (found < FUNNEL_MOST_MODELS * 2 && store_cursor_next(cursor, &key, &value) && slice_starts(key, PREFIX)) {
        funnel_model m;
        if (key.size != KEY_SIZE || parse_row(load_be64(key.data + PREFIX_SIZE), value, &m, NULL)) continue;
        m.name = arena_slice(a, m.name);
        m.map = arena_slice(a, m.map);
        m.report = arena_slice(a, m.report);
        m.bytes = (slice){0};
        list[found++] = m;
    }
    store_cursor_close(cursor);
    if (found) qsort(list, found, sizeof *list, latest_first);
    *out = list;
    *n = found;
    return FORAGE_OK;
}

forage_status funnel_models(funnel *f, arena *a, funnel_model **out, size_t *n, base_error *error) {
    store_txn *t;
    forage_status status = store_read_begin(collection_store(f->collection), &t, error);
    if (status) return status;
    status = list_models(t, a, out, n, error);
    models_state state = models_get_state(f->models);
    for (size_t i = 0; !status && i < *n; i++) {
        (*out)[i].active = (*out)[i].number == state.active;
        (*out)[i].shadow = (*out)[i].number == state.shadow;
    }
    store_read_end(t);
    return status;
}

forage_status funnel_model_get(funnel *f, uint64_t number, arena *a, funnel_model *out, base_error *error) {
    store_txn *t;
    forage_status status = store_read_begin(collection_store(f->collection), &t, error);
    if (status) return status;
    status = models_read_row(t, number, a, out, error);
    store_read_end(t);
    models_state state = models_get_state(f->models);
    if (!status) out->active = number == state.active;
    if (!status) out->shadow = number == state.shadow;
    return status;
}

/* ---- Changing ---- */

typedef struct change {
    funnel *funnel;
    models_state state;
    forage_status (*what)(struct change *c, store_txn *t, base_error *error);
    funnel_model model;
    uint64_t number;
} change;

static forage_status change_apply(store_txn *t, void *self, base_error *error) {
    change *c = self;
    forage_status status = models_read_state(t, &c->state, error);
    if (!status) status = c->what(c, t, error);
    return status ? status : models_write_state(t, &c->state, error);
}

static void change_committed(void *self, forage_status status) {
    change *c = self;
    if (!status) models_set_state(c->funnel->models, &c->state);
}

static forage_status apply_change(change *c, base_error *error) {
    store_job job = {change_apply, change_committed, c};
    return store_write(collection_store(c->funnel->collection), &job, error);
}

static bool is_there(store_txn *t, uint64_t number) {
    char key[KEY_SIZE];
    slice value;
    return number && store_get(t, STORE_MODELS, key_of(number, key), &value) == FORAGE_OK;
}

/* Makes room: the oldest that nobody uses goes. */
static forage_status drop_oldest(change *c, store_txn *t, base_error *error) {
    arena a;
    funnel_model *list;
    size_t n, kept = 0;
    char key[KEY_SIZE];
    arena_init(&a, 0);
    forage_status status = list_models(t, &a, &list, &n, error);
    for (size_t i = 0; !status && i < n; i++) {
        bool used = list[i].number == c->state.active || list[i].number == c->state.shadow;
        if (used || ++kept < FUNNEL_MOST_MODELS - 2) continue;
        status = store_delete(t, STORE_MODELS, key_of(list[i].number, key), error);
    }
    arena_release(&a);
    return status;
}

static forage_status add_model(change *c, store_txn *t, base_error *error) {
    forage_status status = drop_oldest(c, t, error);
    c->model.number = c->number = c->state.next++;
    return status ? status : write_row(t, &c->model, error);
}

forage_status funnel_model_add(funnel *f, const funnel_model *draft, uint64_t *number, base_error *error) {
    change c = {.funnel = f, .what = add_model, .model = *draft};
    if (draft->bytes.size > FUNNEL_MODEL_BYTES)
        return error_set(error, FORAGE_E_TOO_LARGE, "the model has %zu bytes; at most %u are kept", draft->bytes.size, FUNNEL_MODEL_BYTES);
    if (draft->name.size > FUNNEL_MODEL_NAME)
        return error_set(error, FORAGE_E_INVALID, "a model's name has at most %d bytes", FUNNEL_MODEL_NAME);
    c.model.time = clock_wall(collection_clock(f->collection));
    forage_status status = apply_change(&c, error);
    if (!status) *number = c.number;
    return status;
}

static void remember_active(models_state *s) {
    if (s->n_before == MODELS_BEFORE) memmove(s->before, s->before + 1, --s->n_before * sizeof *s->before);
    s->before[s->n_before++] = s->active;
}

static forage_status activate(change *c, store_txn *t, base_error *error) {
    if (c->number && !is_there(t, c->number))
        return error_set(error, FORAGE_E_NOT_FOUND, "there is no model %llu", (unsigned long long)c->number);
    if (c->number == c->state.active) return FORAGE_OK;
    remember_active(&c->state);
    c->state.active = c->number;
    if (c->state.shadow == c->number) c->state.shadow = 0;
    return FORAGE_OK;
}

forage_status funnel_model_activate(funnel *f, uint64_t number, base_error *error) {
    change c = {.funnel = f, .what = activate, .number = number};
    return apply_change(&c, error);
}

/* Versions that were removed since are passed over. */
static forage_status roll_back(change *c, store_txn *t, base_error *error) {
    while (c->state.n_before) {
        uint64_t number = c->state.before[--c->state.n_before];
        if (number && !is_there(t, number)) continue;
        c->state.active = c->number = number;
        if (c->state.shadow == number) c->state.shadow = 0;
        return FORAGE_OK;
    }
    return error_set(error, FORAGE_E_NOT_FOUND, "no other ranker served before");
}

forage_status funnel_model_rollback(funnel *f, uint64_t *number, base_error *error) {
    change c = {.funnel = f, .what = roll_back};
    forage_status status = apply_change(&c, error);
    if (!status) *number = c.number;
    return status;
}

static forage_status set_shadow(change *c, store_txn *t, base_error *error) {
    if (c->number && !is_there(t, c->number))
        return error_set(error, FORAGE_E_NOT_FOUND, "there is no model %llu", (unsigned long long)c->number);
    if (c->number && c->number == c->state.active)
        return error_set(error, FORAGE_E_INVALID, "model %llu serves; it cannot be its own shadow", (unsigned long long)c->number);
    c->state.shadow = c->number;
    return FORAGE_OK;
}

forage_status funnel_model_shadow(funnel *f, uint64_t number, base_error *error) {
    change c = {.funnel = f, .what = set_shadow, .number = number};
    return apply_change(&c, error);
}

static forage_status remove_model(change *c, store_txn *t, base_error *error) {
    char key[KEY_SIZE];
    if (!is_there(t, c->number))
        return error_set(error, FORAGE_E_NOT_FOUND, "there is no model %llu", (unsigned long long)c->number);
    if (c->number == c->state.active || c->number == c->state.shadow)
        return error_set(error, FORAGE_E_INVALID, "model %llu %s; activate another one before it is removed",
                         (unsigned long long)c->number, c->number == c->state.active ? "serves" : "is the shadow");
    return store_delete(t, STORE_MODELS, key_of(c->number, key), error);
}

forage_status funnel_model_remove(funnel *f, uint64_t number, base_error *error) {
    change c = {.funnel = f, .what = remove_model, .number = number};
    forage_status status = apply_change(&c, error);
    if (!status) models_forget(f->models, number);
    return status;
}

uint64_t funnel_active_model(funnel *f) { return models_active(f->models); }
uint64_t funnel_shadow_model(funnel *f) { return models_shadow(f->models); }
