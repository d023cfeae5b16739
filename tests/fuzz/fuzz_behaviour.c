/* Hostile bytes where behaviour keeps its own. The first byte chooses: a profile's bytes; a row of the graph; a row of the
 * trends; and the same three in a store, read and then changed by an engagement. Whatever they are, weights stay finite, lists
 * stay within their bounds and in order, and what is written is read again. */
#include "base/bytes.h"
#include "memory/behaviour.h"
#include "os/file.h"

#include <stdlib.h>
#include <unistd.h>

#define NOW ((int64_t)1700000000 * 1000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds) abort();
}

static void require_sound(const profile *p) {
    require(p->n_items <= PROFILE_ITEMS && p->n_attributes <= PROFILE_ATTRIBUTES && p->n_segments <= PROFILE_SEGMENTS);
    for (uint32_t i = 0; i < p->n_items; i++) require(p->items[i].weight >= 0 && p->items[i].weight <= PROFILE_ITEM_CAP);
    for (uint32_t i = 0; i < p->n_attributes; i++)
        require(p->attributes[i].weight >= 0 && p->attributes[i].weight <= PROFILE_ITEM_CAP);
    require(p->spent >= 0 && p->spent <= PROFILE_ALLOWANCE + 1);
}

static void try_profile(slice bytes) {
    static profile p, back;
    buffer out = {0};
    if (!profile_decode(bytes, &p)) {
        require(p.n_items == 0 && p.n_attributes == 0 && p.n_segments == 0);
        return;
    }
    require_sound(&p);
    for (uint32_t i = 0; i < 3; i++) {
        profile_attribute genre = {i, SLICE("fantasy"), 0};
        profile_engagement e = {.document = i, .credit = 1, .origin = PROFILE_CHOSEN, .time = NOW - (int64_t)i * DECAY_DAY, .now = NOW,
                                .half_life = DECAY_HALF_LIFE, .attributes = &genre, .n_attributes = 1};
        float voice = profile_engage(&p, &e);
        require(voice >= 0 && voice <= 1);
        require_sound(&p);
    }
    profile_encode(&p, &out);
    require(profile_decode((slice){out.data, out.size}, &back));
    buffer_release(&out);
}

/* ---- Rows in a store ---- */

static char folder[] = "/tmp/forage-fuzz-XXXXXX";
static store *rows;

static void remove_folder(void) {
    store_close(rows);
    os_remove_tree(folder, NULL);
}

static void open_rows(void) {
    if (rows) return;
    require(mkdtemp(folder) != NULL);
    require(store_open(folder, &(store_options){.no_sync = true}, &rows, NULL) == FORAGE_OK);
    atexit(remove_folder);
}

typedef struct trial {
    store_table table;
    slice key, value;
    behaviour *b;
    behaviour_change change;
} trial;

static forage_status put(store_txn *t, void *self, base_error *error) {
    const trial *x = self;
    return x->value.data ? store_put(t, x->table, x->key, x->value, error) : store_delete(t, x->table, x->key, error);
}

static forage_status engage(store_txn *t, void *self, base_error *error) {
    trial *x = self;
    behaviour_event e = {.user = SLICE("anna"), .document = 1, .credit = 1, .time = NOW, .now = NOW, .type = SLICE("book")};
    return behaviour_record(x->b, t, &e, &x->change, error);
}

static void engaged(void *self, forage_status status) {
    trial *x = self;
    require(status == FORAGE_OK);
    behaviour_committed(x->b, &x->change);
}

static void look(const trial *x) {
    static trend_document top[TREND_TOP];
    graph_edge near[GRAPH_DEGREE], seed = {1, 1};
    store_txn *t;
    arena a;
    arena_init(&a, 0);
    require(store_read_begin(rows, &t, NULL) == FORAGE_OK);
    size_t n = trend_top(behaviour_trends(x->b), TREND_EVERYONE, NOW, TREND_TOP, top);
    for (size_t i = 0; i < n; i++) require(isfinite(top[i].weight) && top[i].weight >= 0);
    trend_belief belief = {.document = 1};
    trend_believe(behaviour_trends(x->b), NOW, &belief, 1);
    require(belief.mean >= 0 && belief.mean <= 1 && isfinite(belief.deviation));
    n = graph_neighbours(t, behaviour_trends(x->b), 1, NOW, DECAY_HALF_LIFE, near);
    for (size_t i = 0; i < n; i++) require(isfinite(near[i].weight) && near[i].weight >= 0);
    n = graph_walk(t, behaviour_trends(x->b), &seed, 1, NOW, DECAY_HALF_LIFE, GRAPH_DEGREE, &a, near);
    for (size_t i = 0; i < n; i++) require(near[i].weight > 0 && near[i].weight <= 1.001f);
    store_read_end(t);
    arena_release(&a);
}

static void try_row(store_table table, slice key, slice value) {
    store_txn *t;
    trial x = {.table = table, .key = key, .value = value};
    open_rows();
    require(store_write(rows, &(store_job){put, NULL, &x}, NULL) == FORAGE_OK);
    require(store_read_begin(rows, &t, NULL) == FORAGE_OK);
    require(behaviour_open(t, 0, &x.b, NULL) == FORAGE_OK);
    store_read_end(t);
    look(&x);
    require(store_write(rows, &(store_job){engage, engaged, &x}, NULL) == FORAGE_OK);
    look(&x);
    behaviour_close(x.b);
    x.value = (slice){0};
    require(store_write(rows, &(store_job){put, NULL, &x}, NULL) == FORAGE_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    hash128 anna;
    if (size < 2) return 0;
    slice bytes = {(const char *)data + 1, size - 1};
    switch (data[0] % 4) {
    case 0: try_profile(bytes); break;
    case 1:
        profile_key(SLICE("anna"), (slice){0}, &anna);
        try_row(STORE_PROFILES, (slice){(const char *)anna.bytes, sizeof anna.bytes}, bytes);
        break;
    case 2: try_row(STORE_GRAPH, (slice){"\0\0\0\1", 4}, bytes); break;
    default: /* group and document, then the row */
        if (bytes.size > 12) try_row(STORE_TRENDS, (slice){bytes.data, 12}, (slice){bytes.data + 12, bytes.size - 12});
        break;
    }
    return 0;
}
