#include "train/train_rows.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "feedback/record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_EVENTS ((size_t)8 << 20) /* the latest; 24 bytes each */

/* ---- Events ---- */

typedef struct earned {
    uint64_t impression;
    uint32_t hit;
    float credit;
} earned;

typedef struct events {
    earned *list;
    size_t n, capacity;
} events;

static int by_impression(const void *x, const void *y) {
    const earned *a = x, *b = y;
    if (a->impression != b->impression) return a->impression < b->impression ? -1 : 1;
    return (a->hit > b->hit) - (a->hit < b->hit);
}

/* One entry per impression and hit; those of the latest impressions when there are too many. */
static void settle(events *e) {
    if (e->n) qsort(e->list, e->n, sizeof *e->list, by_impression);
    size_t kept = 0;
    for (size_t i = 0; i < e->n; i++) {
        earned *last = kept ? &e->list[kept - 1] : NULL;
        if (last && last->impression == e->list[i].impression && last->hit == e->list[i].hit) last->credit += e->list[i].credit;
        else e->list[kept++] = e->list[i];
    }
    e->n = kept;
    if (kept <= MOST_EVENTS / 2) return;
    memmove(e->list, e->list + kept - MOST_EVENTS / 2, MOST_EVENTS / 2 * sizeof *e->list);
    e->n = MOST_EVENTS / 2;
}

/* ---- Reading ---- */

typedef struct reading {
    funnel *funnel;
    const train_settings *settings;
    train_rows *out;
    events events;
    size_t at;                  /* of the events, while searches are read */
    uint64_t last;              /* sequence of the log's end */
    bool (*each)(void *, double);
    void *self;
    bool stopped;
    char shadow[32];            /* the ranker that is the shadow now; what others scored is not its account */
    arena scratch;
    size_t rows_capacity, map_capacity, groups_capacity, most_rows;
    uint64_t from;              /* impressions before it are left out */
    /* the map of a feature set's columns to those of today: place + 1, or 0 */
    uint32_t set, set_n;
    bool set_known;
    uint32_t *map;
} reading;

static void note_event(reading *r, slice record) {
    record_event e;
    if (record_read_event(record, &e) || !(e.credit > 0)) return;
    r->out->events++;
    if (r->events.n == MOST_EVENTS) settle(&r->events);
    r->events.list = mem_grow(r->events.list, &r->events.capacity, r->events.n + 1, sizeof *r->events.list);
    r->events.list[r->events.n++] = (earned){e.impression, e.hit, e.credit};
}

/* Columns of another feature set by their names. */
static bool map_columns(reading *r, const record_impression *i) {
    if (r->set == i->feature_set && r->set_n == i->n_features && r->map) return r->set_known;
    arena a;
    arena_init(&a, 0);
    const char *const *names = funnel_column_names(r->funnel, i->feature_set, i->n_features, &a);
    r->set = i->feature_set;
    r->set_n = i->n_features;
    r->set_known = names != NULL;
    r->map = mem_grow(r->map, &r->map_capacity, (size_t)i->n_features + 1, sizeof *r->map);
    for (uint32_t f = 0; names && f < i->n_features; f++) {
        r->map[f] = 0;
        for (uint32_t c = 0; c < r->out->n_features && !r->map[f]; c++)
            if (strcmp(names[f], r->out->names[c]) == 0) r->map[f] = c + 1;
    }
    arena_release(&a);
    return r->set_known;
}

static void make_room(reading *r, size_t rows) {
    train_rows *t = r->out;
    if (rows > r->rows_capacity) {
        size_t capacity = r->rows_capacity ? r->rows_capacity * 2 : 4096;
        while (capacity < rows) capacity *= 2;
        t->x = mem_realloc(t->x, capacity * t->n_features * sizeof *t->x);
        t->label = mem_realloc(t->label, capacity * sizeof *t->label);
        t->position = mem_realloc(t->position, capacity * sizeof *t->position);
        t->shadow = mem_realloc(t->shadow, capacity * sizeof *t->shadow);
        r->rows_capacity = capacity;
    }
    if (t->n_groups + 2 > r->groups_capacity) {
        size_t capacity = r->groups_capacity ? r->groups_capacity * 2 : 1024;
        t->first = mem_realloc(t->first, (capacity + 1) * sizeof *t->first);
        t->group_weight = mem_realloc(t->group_weight, capacity * sizeof *t->group_weight);
        t->time = mem_realloc(t->time, capacity * sizeof *t->time);
        t->user = mem_realloc(t->user, capacity * sizeof *t->user);
        t->sequence = mem_realloc(t->sequence, capacity * sizeof *t->sequence);
        r->groups_capacity = capacity;
    }
}

/* Too many rows after all: the earlier half of the searches goes. */
static void drop_earlier_half(train_rows *t) {
    size_t gone = t->n_groups / 2, rows = t->first[gone];
    t->n_rows -= rows;
    t->n_groups -= gone;
    t->left_out += gone;
    memmove(t->x, t->x + rows * t->n_features, t->n_rows * t->n_features * sizeof *t->x);
    memmove(t->label, t->label + rows, t->n_rows * sizeof *t->label);
    memmove(t->position, t->position + rows, t->n_rows * sizeof *t->position);
    memmove(t->shadow, t->shadow + rows, t->n_rows * sizeof *t->shadow);
    memmove(t->time, t->time + gone, t->n_groups * sizeof *t->time);
    memmove(t->user, t->user + gone, t->n_groups * sizeof *t->user);
    memmove(t->sequence, t->sequence + gone, t->n_groups * sizeof *t->sequence);
    for (size_t g = 0; g <= t->n_groups; g++) t->first[g] = t->first[g + gone] - rows;
}

static void put_row(reading *r, const record_impression *i, const record_hit *hit, uint32_t position, float label) {
    train_rows *t = r->out;
    float *x = t->x + t->n_rows * t->n_features;
    for (uint32_t c = 0; c < t->n_features; c++) x[c] = NAN;
    for (uint32_t f = 0; f < i->n_features; f++)
        if (r->map[f] && isfinite(hit->features[f])) x[r->map[f] - 1] = hit->features[f];
    t->label[t->n_rows] = label;
    t->position[t->n_rows] = position;
    t->shadow[t->n_rows] = slice_is(i->shadow, r->shadow) ? (float)hit->shadow : 0;
    t->n_rows++;
}

static uint64_t who(const record_impression *i) {
    slice id = i->user.size ? i->user : i->session;
    return id.size ? hash64(id.data, id.size, i->user.size ? 1 : 2) | 1 : 0;
}

/* What every hit of a page earned, from the events in step with the log. False: nothing. */
static bool credits_of(reading *r, uint64_t sequence, uint32_t n, float *credit) {
    bool any = false;
    memset(credit, 0, n * sizeof *credit);
    while (r->at < r->events.n && r->events.list[r->at].impression < sequence) r->at++;
    for (; r->at < r->events.n && r->events.list[r->at].impression == sequence; r->at++) {
        const earned *e = &r->events.list[r->at];
        if (e->hit >= n) continue;
        credit[e->hit] += e->credit;
        any = true;
    }
    return any;
}

static void note_looks(const reading *r, const record_impression *i, const float *credit) {
    for (uint32_t h = 0; h < i->n_hits && i->offset + h < TRAIN_RANKS; h++) {
        examination_observation o = {.key = examination_key(i->memory_key, i->hits[h].document), .rank = i->offset + h + 1,
                                     .shown = 1, .clicks = credit[h] > 0};
        examination_add(r->out->looked, &o);
    }
}

static void note_search(reading *r, uint64_t sequence, slice record) {
    train_rows *t = r->out;
    record_impression i;
    if (record_read_impression(record, &r->scratch, &i) || i.time < r->settings->since) return;
    t->searches++;
    float *credit = arena_alloc(&r->scratch, (i.n_hits + 1) * sizeof *credit);
    bool any = credits_of(r, sequence, i.n_hits, credit);
    note_looks(r, &i, credit);
    if (!any || sequence < r->from) {
        t->left_out += any;
        return;
    }
    if (!i.n_features || !map_columns(r, &i)) {
        t->without_features++;
        return;
    }
    uint32_t n = i.n_hits + i.n_unshown;
    if (n < 2) return;
    if (t->n_rows + n > r->most_rows && t->n_groups > 1) drop_earlier_half(t);
    make_room(r, t->n_rows + n);
    t->first[t->n_groups] = t->n_rows;
    t->time[t->n_groups] = i.time;
    t->user[t->n_groups] = who(&i);
    t->sequence[t->n_groups] = sequence;
    for (uint32_t h = 0; h < i.n_hits; h++) put_row(r, &i, &i.hits[h], i.offset + h + 1, credit[h]);
    for (uint32_t h = 0; h < i.n_unshown; h++) put_row(r, &i, &i.unshown[h], 0, 0);
    t->first[++t->n_groups] = t->n_rows;
}

#define BATCH 4096 /* records read in one transaction, so that the store's old pages are given back */

/* Goes through the log in small read transactions, whatever is written meanwhile; up to `last`. */
static forage_status each_record(reading *r, bool searches, double from_share, double to_share, base_error *error) {
    uint64_t next = 1;
    bool more = true;
    while (more && !r->stopped) {
        store_txn *t;
        store_cursor *cursor;
        uint8_t key_bytes[8];
        slice key, value;
        forage_status status = store_read_begin(collection_store(funnel_collection(r->funnel)), &t, error);
        if (status) return status;
        store_be64(key_bytes, next);
        status = store_cursor_open(t, STORE_LOG, (slice){(const char *)key_bytes, 8}, &cursor, error);
        more = false;
        for (uint32_t n = 0; !status && store_cursor_next(cursor, &key, &value) && key.size == 8;) {
            uint64_t sequence = load_be64(key.data);
            record_kind kind;
            if (sequence > r->last) break;
            next = sequence + 1;
            arena_reset(&r->scratch);
            if (!record_kind_of(value, &kind)) {
                if (kind == RECORD_EVENT && !searches) note_event(r, value);
                if (kind == RECORD_IMPRESSION && searches) note_search(r, sequence, value);
            }
            more = ++n == BATCH;
            if (more) break;
        }
        if (!status) store_cursor_close(cursor);
        store_read_end(t);
        if (status) return status;
        double share = from_share + (to_share - from_share) * (r->last ? (double)(next - 1) / (double)r->last : 1);
        if (r->each && !r->each(r->self, share)) r->stopped = true;
    }
    return FORAGE_OK;
}

static forage_status find_end(reading *r, base_error *error) {
    store_txn *t;
    slice last;
    forage_status status = store_read_begin(collection_store(funnel_collection(r->funnel)), &t, error);
    if (status) return status;
    r->last = store_last_key(t, STORE_LOG, &last) == FORAGE_OK && last.size == 8 ? load_be64(last.data) : 0;
    store_read_end(t);
    return FORAGE_OK;
}

/* The first impression that is kept: as many of the latest as fit, by the rows that a page with feedback has at most on average. */
static uint64_t first_that_fits(const reading *r) {
    size_t pages = r->most_rows / 8, seen = 0; /* the fewest rows that a page has as a rule; what is too much is dropped later */
    uint64_t last = 0;
    for (size_t i = r->events.n; i-- > 0;) {
        if (r->events.list[i].impression == last) continue;
        last = r->events.list[i].impression;
        if (++seen > pages) return last + 1;
    }
    return 0;
}

/* A user with more searches than the cap counts for the cap, all together. */
static void cap_users(train_rows *t, double cap) {
    size_t slots = 16;
    while (slots < 2 * t->n_groups) slots *= 2;
    uint64_t *keys = mem_zalloc(slots, sizeof *keys);
    uint32_t *counts = mem_zalloc(slots, sizeof *counts);
    for (int pass = 0; pass < 2; pass++)
        for (size_t g = 0; g < t->n_groups; g++) {
            size_t at = t->user[g] >> 7 & (slots - 1);
            while (keys[at] && keys[at] != t->user[g]) at = (at + 1) & (slots - 1);
            if (pass == 0 && t->user[g]) {
                keys[at] = t->user[g];
                counts[at]++;
            }
            if (pass == 1) t->group_weight[g] = t->user[g] && counts[at] > cap ? (float)(cap / counts[at]) : 1;
        }
    free(counts);
    free(keys);
}

static void copy_names(reading *r) {
    uint32_t n;
    const char *const *names = funnel_columns_now(r->funnel, &n);
    const char **copy = arena_alloc(&r->out->memory, (n + 1) * sizeof *copy);
    for (uint32_t i = 0; i < n; i++) copy[i] = arena_strndup(&r->out->memory, names[i], strlen(names[i]));
    r->out->names = copy;
    r->out->n_features = n;
}

forage_status train_rows_read(funnel *f, const train_settings *settings, bool (*each)(void *self, double share), void *self,
                              train_rows *out, base_error *error) {
    reading r = {.funnel = f, .settings = settings, .out = out, .each = each, .self = self};
    examination_config config;
    *out = (train_rows){0};
    arena_init(&out->memory, 0);
    arena_init(&r.scratch, 0);
    copy_names(&r);
    snprintf(r.shadow, sizeof r.shadow, "model:%llu", (unsigned long long)funnel_shadow_model(f));
    r.most_rows = settings->memory / ((out->n_features + 6) * sizeof(float) * 2) + 1; /* growth doubles; the trainer keeps bins */
    examination_config_default(&config);
    config.n_ranks = TRAIN_RANKS;
    config.monotone = true;
    forage_status status = examination_create(&config, &out->looked, error);
    if (!status) status = find_end(&r, error);
    if (!status) status = each_record(&r, false, 0, .4, error);
    settle(&r.events);
    r.from = first_that_fits(&r);
    make_room(&r, 1);
    out->first[0] = 0;
    if (!status) status = each_record(&r, true, .4, 1, error);
    if (!status) cap_users(out, settings->user_cap);
    arena_release(&r.scratch);
    free(r.events.list);
    free(r.map);
    if (status) train_rows_release(out);
    return status;
}

void train_rows_release(train_rows *r) {
    free(r->x);
    free(r->label);
    free(r->position);
    free(r->shadow);
    free(r->first);
    free(r->group_weight);
    free(r->time);
    free(r->user);
    free(r->sequence);
    examination_destroy(r->looked);
    arena_release(&r->memory);
    *r = (train_rows){0};
}

void train_rows_view(const train_rows *r, size_t from, size_t end, const float *weight, size_t *first, rank_rows *out) {
    size_t base = r->first[from];
    for (size_t g = from; g <= end; g++) first[g - from] = r->first[g] - base;
    *out = (rank_rows){.n_features = r->n_features, .n_rows = r->first[end] - base, .n_groups = end - from,
                       .x = r->x + base * r->n_features, .label = r->label + base, .first = first,
                       .weight = weight ? weight + base : NULL, .position = r->position + base,
                       .group_weight = r->group_weight + from, .time = r->time + from};
}
