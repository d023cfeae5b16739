/* The memory: beliefs, decay, positions, caps, neighbours, segments, and what they cost. */
#include "testing.h"

#include "base/bytes.h"
#include "base/random.h"
#include "memory/predict.h"
#include "memory/query_memory.h"
#include "memory/query_memory_row.h"
#include "os/clock.h"
#include "os/file.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#define DAY ((int64_t)86400 * 1000000)
#define NOW (20000 * DAY)

/* ---- A memory in a folder of its own, and short ways to teach and ask it ---- */

typedef struct world {
    char folder[600];
    store *store;
    query_memory *memory;
    memory_settings settings;
    text_analyzer *analyzer; /* of the asking side */
    arena a;
} world;

static world *begin(const memory_settings *settings) {
    world *w = mem_zalloc(1, sizeof *w);
    snprintf(w->folder, sizeof w->folder, "%s", testing_folder());
    w->settings = settings ? *settings : memory_default_settings;
    assert_ok(store_open(w->folder, &(store_options){.no_sync = true}, &w->store, NULL));
    assert_ok(query_memory_open(w->store, &w->settings, &w->memory, NULL));
    w->analyzer = text_analyzer_create();
    arena_init(&w->a, 0);
    return w;
}

static void end(world *w) {
    query_memory_close(w->memory);
    store_close(w->store);
    text_analyzer_destroy(w->analyzer);
    arena_release(&w->a);
    assert_ok(os_remove_tree(w->folder, NULL));
    free(w);
}

static void reopen(world *w) {
    query_memory_close(w->memory);
    assert_ok(query_memory_open(w->store, &w->settings, &w->memory, NULL));
}

static slice normalized(text_analyzer *analyzer, arena *a, const char *query) {
    buffer out = {0};
    text_normalize_query(analyzer, slice_of(query), &out);
    slice copy = arena_slice(a, (slice){out.data, out.size});
    buffer_release(&out);
    return copy;
}

/* One search that showed `n` documents from rank `offset` + 1 on, and perhaps a click. */
typedef struct page {
    const char *query, *user, *context;
    uint32_t documents[10];
    uint32_t n, offset;
    int64_t time;
    uint32_t clicked; /* document, 0: none */
    float credit;
    bool not_shown;   /* only the click is taught */
    uint64_t sequence; /* of the impression; 0: the next */
    bool again;       /* the document has earned from this impression before */
} page;

typedef struct teaching {
    world *w;
    const page *pages;
    size_t n;
    memory_changes changes;
    text_analyzer *analyzer;
} teaching;

static forage_status teach_apply(store_txn *t, void *self, base_error *error) {
    teaching *j = self;
    static atomic_uint searches = 1000;
    forage_status status = FORAGE_OK;
    arena a;
    arena_init(&a, 0);
    memory_changes_reset(&j->changes);
    for (size_t i = 0; !status && i < j->n; i++) {
        const page *p = &j->pages[i];
        record_hit hits[10] = {0};
        char id[32];
        uint64_t sequence = p->sequence ? p->sequence : atomic_fetch_add(&searches, 1);
        snprintf(id, sizeof id, "q%u", (unsigned)sequence);
        for (uint32_t h = 0; h < p->n; h++) hits[h].document = p->documents[h];
        record_impression r = {.time = p->time ? p->time : NOW, .query_id = slice_of(id), .query = slice_of(p->query),
                               .memory_key = memory_key(normalized(j->analyzer, &a, p->query)),
                               .language = SLICE("en"), .user = slice_of(p->user), .context = slice_of(p->context),
                               .offset = p->offset, .n_hits = p->n, .hits = hits};
        if (!p->not_shown) status = query_memory_shown(j->w->memory, t, &j->changes, &r, sequence, error);
        if (status || !p->clicked) continue;
        uint32_t hit = 0;
        while (hit < p->n && p->documents[hit] != p->clicked) hit++;
        record_event e = {.time = r.time, .document = p->clicked, .impression = sequence, .hit = hit,
                          .credit = p->credit != 0 ? p->credit : 1};
        status = query_memory_earned(j->w->memory, t, &j->changes, &r, &e, !p->again, error);
    }
    arena_release(&a);
    return status;
}

static void teach_committed(void *self, forage_status status) {
    teaching *j = self;
    if (!status) query_memory_publish(j->w->memory, &j->changes);
}

static void teach(world *w, const page *pages, size_t n) {
    teaching j = {.w = w, .pages = pages, .n = n, .analyzer = text_analyzer_create()};
    store_job job = {teach_apply, teach_committed, &j};
    assert_ok(store_write(w->store, &job, NULL));
    memory_changes_release(&j.changes);
    text_analyzer_destroy(j.analyzer);
}

static void click(world *w, const char *query, uint32_t document, int times) {
    for (int i = 0; i < times; i++) {
        char user[16];
        snprintf(user, sizeof user, "u%d", i);
        teach(w, &(page){.query = query, .user = user, .documents = {document}, .n = 1, .clicked = document}, 1);
    }
}

static size_t ask_most(world *w, const char *query, const char *context, int64_t now, size_t most, memory_row **rows) {
    store_txn *t;
    memory_segment segments[SEGMENTS_MAX];
    size_t n_segments = segments_read(&w->settings.segments, slice_of(context), &w->a, segments);
    memory_question q = {.normalized = normalized(w->analyzer, &w->a, query), .language = TEXT_EN, .now = now,
                         .analyzer = w->analyzer, .segments = segments, .n_segments = n_segments};
    assert_ok(store_read_begin(w->store, &t, NULL));
    size_t n = query_memory_ask(w->memory, t, &q, most, &w->a, rows);
    store_read_end(t);
    return n;
}

static size_t ask_at(world *w, const char *query, const char *context, int64_t now, memory_row **rows) {
    return ask_most(w, query, context, now, 100, rows);
}

static size_t ask(world *w, const char *query, memory_row **rows) { return ask_at(w, query, NULL, NOW, rows); }

/* The row of a document in the answer; a zero row when it is not there. */
static memory_row row_of(world *w, const char *query, uint32_t document) {
    memory_row *rows;
    size_t n = ask(w, query, &rows);
    for (size_t i = 0; i < n; i++)
        if (rows[i].document == document) return rows[i];
    return (memory_row){0};
}

/* ---- Beliefs ---- */

static void test_belief_rises_and_sinks(void **state) {
    (void)state;
    world *w = begin(NULL);
    memory_row *rows;
    assert_int_equal(ask(w, "dune", &rows), 0);
    click(w, "Dune!", 7, 1);
    memory_row first = row_of(w, "dune", 7);
    assert_float_equal(first.mean, (0.1 * 2 + 1) / (2 + 1), 1e-5);
    assert_float_equal(first.impressions, 1, 1e-5);
    assert_int_equal(first.way, MEMORY_SAME);
    click(w, "dune", 8, 3);
    assert_int_equal(ask(w, "DUNE", &rows), 2);
    assert_int_equal(rows[0].document, 8);
    for (int i = 0; i < 4; i++) { /* shown on top to different people, and passed over */
        char user[16];
        snprintf(user, sizeof user, "v%d", i);
        teach(w, &(page){.query = "dune", .user = user, .documents = {8, 7, 99}, .n = 3}, 1);
    }
    assert_true(row_of(w, "dune", 8).mean < 0.52);
    assert_float_equal(row_of(w, "dune", 8).impressions, 3 + 4, 1e-4);
    assert_float_equal(row_of(w, "dune", 7).impressions, 1 + 4 * 0.5, 1e-4);
    assert_int_equal(row_of(w, "dune", 99).document, 0); /* nobody ever chose it */
    end(w);
}

static void test_far_positions_lose_little(void **state) {
    (void)state;
    world *w = begin(NULL);
    click(w, "dune", 1, 1);
    click(w, "dune", 2, 1);
    for (int i = 0; i < 20; i++) {
        teach(w, &(page){.query = "dune", .documents = {1}, .n = 1}, 1);
        teach(w, &(page){.query = "dune", .documents = {2}, .n = 1, .offset = 29}, 1);
    }
    memory_row *rows;
    assert_int_equal(ask(w, "dune", &rows), 2);
    assert_int_equal(rows[0].document, 2);
    assert_float_equal(rows[0].impressions, 1 + 20.0 / 30, 0.05);
    /* Who clicks at rank 30 has looked there: it counts as one impression, not as a thirtieth. */
    teach(w, &(page){.query = "dune", .documents = {2}, .n = 1, .offset = 29, .clicked = 2}, 1);
    assert_float_equal(row_of(w, "dune", 2).impressions, 2 + 20.0 / 30, 0.05);
    assert_float_equal(row_of(w, "dune", 2).rewards, 2, 1e-4);
    end(w);
}

static void test_examination_curve(void **state) {
    (void)state;
    world *w = begin(NULL);
    assert_float_equal(query_memory_examination(w->memory, 1), 1, 1e-6);
    assert_float_equal(query_memory_examination(w->memory, 10), 0.1, 1e-6);
    assert_float_equal(query_memory_examination(w->memory, 128), 1.0 / 128, 1e-6);
    assert_true(query_memory_examination(w->memory, UINT32_MAX) > 0);
    const float estimated[] = {0.9f, 0.6f, NAN, 7};
    query_memory_set_examination(w->memory, estimated, 4);
    assert_float_equal(query_memory_examination(w->memory, 2), 0.6, 1e-6);
    for (uint32_t r = 1; r < 300; r++) {
        float chance = query_memory_examination(w->memory, r);
        assert_true(chance > 0 && chance <= 1);
    }
    end(w);
}

static void test_decay(void **state) {
    (void)state;
    memory_settings settings = memory_default_settings;
    settings.half_life = 10 * DAY;
    world *w = begin(&settings);
    memory_row *rows;
    click(w, "dune", 1, 4);
    assert_int_equal(ask_at(w, "dune", NULL, NOW + 10 * DAY, &rows), 1);
    assert_float_equal(rows[0].rewards, 2, 1e-3);
    assert_int_equal(ask_at(w, "dune", NULL, NOW + 1000 * DAY, &rows), 1);
    assert_float_equal(rows[0].mean, MEMORY_PRIOR_MEAN, 1e-3);
    assert_int_equal(ask_at(w, "dune", NULL, NOW - 1000 * DAY, &rows), 1); /* the clock jumped back */
    assert_float_equal(rows[0].rewards, 4, 1e-3);
    /* What comes late counts as if it had decayed already. */
    teach(w, &(page){.query = "dune", .user = "late", .documents = {1}, .n = 1, .clicked = 1, .time = NOW - 10 * DAY}, 1);
    assert_float_equal(row_of(w, "dune", 1).rewards, 4.5, 1e-3);
    /* New evidence beats old. */
    teach(w, &(page){.query = "dune", .user = "a", .documents = {2}, .n = 1, .clicked = 2, .time = NOW + 50 * DAY}, 1);
    assert_int_equal(ask_at(w, "dune", NULL, NOW + 50 * DAY, &rows), 2);
    assert_int_equal(rows[0].document, 2);
    end(w);
}

static void test_no_decay(void **state) {
    (void)state;
    memory_settings settings = memory_default_settings;
    settings.half_life = 0;
    world *w = begin(&settings);
    memory_row *rows;
    click(w, "dune", 1, 4);
    assert_int_equal(ask_at(w, "dune", NULL, INT64_MAX, &rows), 1);
    assert_float_equal(rows[0].rewards, 4, 1e-4);
    end(w);
}

/* ---- Late credit ---- */

static void earn_from(world *w, uint64_t impression, float credit, bool again, const char *context) {
    char user[32];
    snprintf(user, sizeof user, "of %d", (int)impression);
    teach(w, &(page){.query = "late", .user = user, .context = context, .documents = {4}, .n = 1, .clicked = 4,
                     .credit = credit, .not_shown = true, .sequence = impression, .again = again}, 1);
}

/* Clicks that are sent the next day belong to impressions that nobody counted when they were shown. */
static void test_a_late_credit_counts_its_own_impression(void **state) {
    (void)state;
    world *w = begin(NULL);
    earn_from(w, 10, 0.5f, false, NULL);
    for (uint64_t impression = 1; impression < 10; impression++) earn_from(w, impression, 0.5f, false, NULL);
    assert_float_equal(row_of(w, "late", 4).impressions, 10, 1e-5);
    assert_float_equal(row_of(w, "late", 4).rewards, 5, 1e-5);
    end(w);
}

/* Events may come in another order than the searches: a showing before the row was made is counted when it pays. */
static void test_earlier_showings_count_once_they_pay(void **state) {
    (void)state;
    world *w = begin(NULL);
    earn_from(w, 20, 0.5f, false, NULL);
    earn_from(w, 20, 0.5f, true, NULL); /* more from the same showing */
    assert_float_equal(row_of(w, "late", 4).impressions, 1, 1e-6);
    reopen(w); /* the row itself remembers when it began */
    earn_from(w, 12, 0.5f, false, NULL); /* shown before that, chosen after it */
    earn_from(w, 12, 0.25f, true, NULL);
    assert_float_equal(row_of(w, "late", 4).impressions, 2, 1e-6);
    assert_float_equal(row_of(w, "late", 4).rewards, 1.75, 1e-6);
    earn_from(w, 30, 0.5f, false, NULL); /* a later showing was counted when it was shown */
    assert_float_equal(row_of(w, "late", 4).impressions, 2, 1e-6);
    end(w);
}

/* The row of a segment may begin later than everybody's. */
static void test_segments_count_what_they_did_not_see(void **state) {
    (void)state;
    world *w = begin(NULL);
    memory_row *rows;
    earn_from(w, 10, 1, false, NULL);
    for (uint64_t impression = 20; impression < 24; impression++)
        teach(w, &(page){.query = "late", .user = "a", .context = "{\"country\":\"AT\"}", .documents = {4}, .n = 1,
                         .sequence = impression}, 1);
    earn_from(w, 23, 0.5f, false, "{\"country\":\"AT\"}");
    memory_row all = row_of(w, "late", 4);
    assert_int_equal(ask_at(w, "late", "{\"country\":\"AT\"}", NOW, &rows), 1);
    /* One looked, who found it worth a half: reward 0.5, half a miss, over the belief of all. */
    assert_float_equal(rows[0].mean, (4 * all.mean + 0.5) / 5, 1e-5);
    end(w);
}

/* ---- Limits ---- */

static void test_rows_beyond_the_limit_are_not_read(void **state) {
    (void)state;
    world *w = begin(NULL);
    memory_row *rows;
    size_t n = MEMORY_MAX_ROWS + 100;
    page *pages = mem_zalloc(n, sizeof *pages);
    for (uint32_t i = 0; i < n; i++)
        pages[i] = (page){.query = "popular query", .documents = {i + 1}, .n = 1, .clicked = i + 1,
                          .credit = (float)(i % 97 + 1) / 97};
    teach(w, pages, n);
    assert_int_equal(ask_most(w, "popular query", NULL, NOW, 2 * n, &rows), MEMORY_MAX_ROWS);
    for (size_t i = 1; i < MEMORY_MAX_ROWS; i++)
        assert_true(rows[i - 1].mean > rows[i].mean ||
                    (rows[i - 1].mean == rows[i].mean && rows[i - 1].document < rows[i].document));
    free(pages);
    end(w);
}

/* ---- Caps ---- */

static void test_nobody_owns_a_row(void **state) {
    (void)state;
    world *w = begin(NULL);
    page pages[1000];
    for (int i = 0; i < 1000; i++)
        pages[i] = (page){.query = "dune", .user = "spammer", .documents = {666}, .n = 1, .clicked = 666};
    for (int i = 0; i < 20; i++) teach(w, pages, 1000);
    memory_row spam = row_of(w, "dune", 666);
    assert_true(spam.rewards <= 2.01f && spam.impressions <= 4.1f);
    click(w, "dune", 1, 5); /* five people beat one with 20,000 clicks */
    memory_row *rows;
    assert_int_equal(ask(w, "dune", &rows), 2);
    assert_int_equal(rows[0].document, 1);
    /* Nor can one make others' favourite sink by looking and not clicking. */
    for (int i = 0; i < 1000; i++) pages[i] = (page){.query = "dune", .user = "spammer", .documents = {1}, .n = 1};
    float before = rows[0].mean;
    teach(w, pages, 1000);
    assert_true(row_of(w, "dune", 1).mean > before - 0.25f);
    end(w);
}

static void test_cells(void **state) {
    (void)state;
    uint16_t cells[MEMORY_CELLS] = {0};
    float sum = 0, honest = 0;
    for (int i = 0; i < 1000000; i++) sum += memory_cells_take(cells, 3, 0.2f);
    assert_true(sum > 1.9f && sum < 2.1f);
    random_source random;
    random_seed(&random, 5);
    for (int i = 0; i < 200000; i++) honest += memory_cells_take(cells, random_u64(&random), 1);
    assert_true(honest > 195000);
    for (int i = 0; i < 1000000; i++) sum += memory_cells_take(cells, 3, 1);
    assert_true(sum < 0.2f * honest);
    assert_true(memory_cells_take(cells, 4, NAN) == 0 && memory_cells_take(cells, 4, -1) == 0);
    assert_true(memory_cells_take(cells, 4, 0.001f) <= 0.001f);
}

/* ---- Rows ---- */

static void test_rows_of_earlier_builds(void **state) {
    (void)state;
    uint8_t old[24], bytes[MEMORY_COUNTS_SIZE + 8] = {0};
    float impressions = 3, rewards = 2;
    memory_counts c, back;
    memcpy(old, &impressions, 4);
    memcpy(old + 4, &rewards, 4);
    store_le64(old + 8, 77);
    assert_true(memory_counts_read((slice){(const char *)old, 16}, &c));
    assert_true(c.impressions == 3 && c.rewards == 2 && c.time == 77 && c.born == 0 && !c.capped);
    store_le64(old + 16, 1234);
    assert_true(memory_counts_read((slice){(const char *)old, 24}, &c));
    assert_true(c.impressions == 3 && c.rewards == 2 && c.time == 77 && c.born == 1234 && !c.capped);
    assert_false(memory_counts_read((slice){(const char *)old, 23}, &c));
    memory_counts_cap(&c, DAY);
    c.shown = 5;
    c.reward_cells[15] = 9;
    size_t size = memory_counts_write(&c, bytes);
    assert_true(memory_counts_read((slice){(const char *)bytes, size}, &back));
    assert_true(back.shown == 5 && back.capped && back.reward_cells[15] == 9 && back.rewards == 2 && back.born == 1234);
    assert_true(memory_counts_read((slice){(const char *)bytes, size + 8}, &back)); /* a later format's row */
    assert_false(memory_counts_read((slice){(const char *)bytes, size - 1}, &back));
    assert_false(memory_counts_read((slice){(const char *)bytes, 0}, &back));
    float bad = NAN;
    memcpy(old + 4, &bad, 4);
    assert_true(memory_counts_read((slice){(const char *)old, 16}, &c) && c.rewards == 0);
}

/* ---- Neighbours ---- */

static void test_words_lend(void **state) {
    (void)state;
    world *w = begin(NULL);
    memory_row *rows;
    click(w, "science fiction books", 1, 3);
    click(w, "romance books", 2, 3);
    click(w, "cooking", 3, 3);
    assert_true(ask(w, "books of science fiction", &rows) >= 2);
    assert_int_equal(rows[0].document, 1);
    assert_int_equal(rows[0].way, MEMORY_WORDS);
    assert_true(rows[0].lent > 0 && rows[0].rewards == 0);
    assert_true(row_of(w, "books of science fiction", 2).mean < rows[0].mean);
    assert_int_equal(row_of(w, "books of science fiction", 3).document, 0);
    /* What the same query says is worth more. */
    click(w, "books of science fiction", 9, 3);
    assert_int_equal(ask(w, "books of science fiction", &rows), 3);
    assert_int_equal(rows[0].document, 9);
    assert_int_equal(rows[0].way, MEMORY_SAME);
    end(w);
}

static void test_letters_lend(void **state) {
    (void)state;
    world *w = begin(NULL);
    memory_row *rows;
    click(w, "metallica", 1, 3);
    click(w, "madonna", 2, 3);
    assert_int_equal(ask(w, "metalica", &rows), 1);
    assert_int_equal(rows[0].document, 1);
    assert_int_equal(rows[0].way, MEMORY_LETTERS);
    assert_int_equal(ask(w, "xylophon", &rows), 0);
    assert_int_equal(ask(w, "", &rows), 0);
    assert_int_equal(ask(w, "\xff\xfe !!", &rows), 0);
    end(w);
}

static void test_many_neighbours_do_not_drown(void **state) {
    (void)state;
    memory_settings settings = memory_default_settings;
    world *w = begin(&settings);
    for (int i = 0; i < 40; i++) {
        char query[32];
        snprintf(query, sizeof query, "rock band %d", i);
        click(w, query, 500, 4);
    }
    click(w, "rock band", 1, 12);
    memory_row *rows;
    assert_true(ask(w, "rock band", &rows) >= 2);
    assert_int_equal(rows[0].document, 1);
    assert_true(row_of(w, "rock band", 500).lent <= settings.lent_most * 1.001f);
    end(w);
}

static bool same_rows(const memory_row *a, size_t n_a, const memory_row *b, size_t n_b) {
    if (n_a != n_b) return false;
    for (size_t i = 0; i < n_a; i++)
        if (a[i].document != b[i].document || fabsf(a[i].mean - b[i].mean) > 1e-6f || a[i].way != b[i].way) return false;
    return true;
}

static void make_query(random_source *random, char *out, size_t size) {
    static const char *const words[] = {"rock", "indie", "jazz", "female", "vocal", "live", "eighties", "metal",
                                        "german", "folk", "acoustic", "party"};
    int n = snprintf(out, size, "%s", words[random_below(random, 12)]);
    for (uint64_t more = random_below(random, 3); more > 0; more--)
        n += snprintf(out + n, size - (size_t)n, " %s", words[random_below(random, 12)]);
}

static void test_reopened_is_the_same(void **state) {
    (void)state;
    world *w = begin(NULL);
    random_source random;
    random_seed(&random, 11);
    static char queries[400][64];
    page pages[400];
    for (int i = 0; i < 400; i++) {
        make_query(&random, queries[i], sizeof queries[i]);
        uint32_t document = 1 + (uint32_t)random_below(&random, 60);
        pages[i] = (page){.query = queries[i], .documents = {document}, .n = 1, .clicked = document,
                          .time = NOW - (int64_t)random_below(&random, 100) * DAY};
    }
    for (int i = 0; i < 400; i += 20) teach(w, pages + i, 20);
    memory_row *before[40], *after[40];
    size_t n_before[40];
    for (int i = 0; i < 40; i++) n_before[i] = ask(w, queries[i * 7], &before[i]);
    reopen(w);
    for (int i = 0; i < 40; i++) {
        size_t n = ask(w, queries[i * 7], &after[i]);
        assert_true(same_rows(before[i], n_before[i], after[i], n));
    }
    size_t queries_then = query_memory_describe(w->memory).queries;
    assert_ok(query_memory_refresh(w->memory, NULL));
    assert_int_equal(query_memory_describe(w->memory).queries, queries_then);
    assert_true(same_rows(before[3], n_before[3], after[3], ask(w, queries[21], &after[3])));
    end(w);
}

static void test_bounded(void **state) {
    (void)state;
    memory_settings settings = memory_default_settings;
    settings.most_queries = 100;
    world *w = begin(&settings);
    click(w, "the favourite", 1, 8);
    size_t most = 0;
    page pages[100];
    static char queries[100][32];
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 100; i++) {
            snprintf(queries[i], sizeof queries[i], "query %d of %d", round, i * 7919);
            pages[i] = (page){.query = queries[i], .documents = {5}, .n = 1, .clicked = 5};
        }
        teach(w, pages, 100);
        memory_info info = query_memory_describe(w->memory);
        assert_true(info.queries <= 100);
        if (round == 2) most = info.bytes;
        if (round > 2) assert_true(info.bytes < 2 * most);
    }
    memory_row *rows;
    assert_int_equal(row_of(w, "favourite thing", 1).document, 1); /* what matters most has stayed */
    assert_int_equal(ask(w, queries[5], &rows) > 0, 1);            /* the rows themselves are never dropped */
    assert_int_equal(row_of(w, "query 3 of 7919", 5).way, MEMORY_SAME);
    reopen(w);
    assert_int_equal(query_memory_describe(w->memory).queries, 100);
    assert_int_equal(row_of(w, "favourite thing", 1).document, 1);
    end(w);
}

/* ---- Segments ---- */

static void test_segments(void **state) {
    (void)state;
    world *w = begin(NULL);
    memory_row *rows;
    for (int i = 0; i < 6; i++) {
        char user[16];
        snprintf(user, sizeof user, "u%d", i);
        teach(w, &(page){.query = "football", .user = user, .context = "{\"country\":\"US\"}", .documents = {1},
                         .n = 1, .clicked = 1}, 1);
        if (i < 4)
            teach(w, &(page){.query = "football", .user = user, .context = "{\"country\":\"GB\"}", .documents = {2},
                             .n = 1, .clicked = 2}, 1);
    }
    assert_int_equal(ask_at(w, "football", NULL, NOW, &rows), 2);
    assert_int_equal(rows[0].document, 1); /* most people's choice */
    assert_int_equal(ask_at(w, "football", "{\"country\":\"gb\"}", NOW, &rows), 2);
    assert_int_equal(rows[0].document, 2);
    assert_int_equal(ask_at(w, "football", "{\"country\":\"FR\"}", NOW, &rows), 2); /* nothing known: everybody's */
    assert_int_equal(rows[0].document, 1);
    /* What those people pass over sinks for them, below what others chose. */
    for (int i = 0; i < 8; i++) {
        char user[16];
        snprintf(user, sizeof user, "w%d", i);
        teach(w, &(page){.query = "football", .user = user, .context = "{\"country\":\"GB\"}", .documents = {2}, .n = 1}, 1);
    }
    assert_int_equal(ask_at(w, "football", "{\"country\":\"GB\"}", NOW, &rows), 2);
    assert_int_equal(rows[0].document, 1);
    end(w);
}

static void buy(world *w, const char *user, const char *context, uint32_t document) {
    teach(w, &(page){.query = "boots", .user = user, .context = context, .documents = {document}, .n = 1,
                     .clicked = document}, 1);
}

/* A collection declares other segments while it is used. */
static void test_segments_change(void **state) {
    (void)state;
    world *w = begin(NULL);
    memory_row *rows;
    char names[2][8] = {"device", "age"};
    buy(w, "a", "{\"device\":\"phone\"}", 1);
    query_memory_set_segments(w->memory, &(segment_fields){{names[0], names[1]}, 2});
    w->settings.segments = (segment_fields){{"device", "age"}, 2};
    memset(names, 'x', sizeof names); /* they were copied */
    buy(w, "b", "{\"device\":\"phone\"}", 2);
    buy(w, "c", "{\"age\":30}", 3);
    assert_int_equal(ask_at(w, "boots", "{\"device\":\"phone\"}", NOW, &rows), 3);
    assert_int_equal(rows[0].document, 2); /* nobody counted devices when 1 was bought */
    assert_int_equal(ask_at(w, "boots", "{\"age\":30}", NOW, &rows), 3);
    assert_int_equal(rows[0].document, 3);
    query_memory_set_segments(w->memory, &(segment_fields){.n = 0});
    buy(w, "d", "{\"age\":40}", 1);
    assert_int_equal(ask_at(w, "boots", "{\"age\":40}", NOW, &rows), 3);
    assert_float_equal(rows[0].mean, row_of(w, "boots", 1).mean, 1e-6);
    end(w);
}

static void test_segments_of_hostile_contexts(void **state) {
    (void)state;
    arena a;
    memory_segment out[SEGMENTS_MAX], again[SEGMENTS_MAX];
    arena_init(&a, 0);
    const segment_fields fields = {{"language", "country", "age", "member"}, 4};
    assert_int_equal(segments_read(&fields, SLICE("{\"language\":\"de\",\"country\":null,\"age\":30,\"member\":true}"), &a, out), 3);
    assert_int_equal(segments_read(&fields, SLICE("{\"language\":\"DE\"}"), &a, again), 1);
    assert_true(out[0].hash == again[0].hash);
    assert_int_equal(segments_read(&fields, SLICE("{\"language\":[1],\"country\":{},\"age\":\"\"}"), &a, out), 0);
    assert_int_equal(segments_read(&fields, SLICE("{\"language\":"), &a, out), 0);
    assert_int_equal(segments_read(&fields, SLICE(""), &a, out), 0);
    char *long_one = arena_printf(&a, "{\"country\":\"%0300d\"}", 1);
    assert_int_equal(segments_read(&fields, slice_of(long_one), &a, out), 0);
    hash128 key = memory_key(SLICE("x"));
    hash128 one = segments_key(key, &again[0]);
    assert_memory_not_equal(&one, &key, sizeof key);
    arena_release(&a);
}

/* ---- Odd records ---- */

static void test_odd_events(void **state) {
    (void)state;
    world *w = begin(NULL);
    memory_row *rows;
    page odd[] = {
        {.query = "dune", .documents = {1}, .n = 1, .clicked = 1, .credit = NAN},
        {.query = "dune", .documents = {1}, .n = 1, .clicked = 1, .credit = -3},
        {.query = "", .user = "a", .documents = {4}, .n = 1, .clicked = 4},
        {.query = "dune", .user = "b", .context = "{broken", .documents = {2}, .n = 1, .clicked = 2, .credit = 1e30f},
        {.query = "dune", .user = "c", .documents = {3}, .n = 1, .clicked = 3, .time = INT64_MIN + 1},
        {.query = "dune", .user = "c", .documents = {3}, .n = 1, .clicked = 3, .time = INT64_MAX},
    };
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) teach(w, &odd[i], 1);
    size_t n = ask(w, "dune", &rows);
    assert_int_equal(n, 2);
    for (size_t i = 0; i < n; i++) assert_true(rows[i].mean > 0 && rows[i].mean < 1 && isfinite(rows[i].deviation));
    assert_int_equal(ask(w, "", &rows), 1); /* browsing has a memory too, without neighbours */
    reopen(w);
    assert_int_equal(ask(w, "dune", &rows), 2);
    end(w);
}

/* ---- Predictions as priors ---- */

typedef struct predicting {
    world *w;
    uint32_t document;
    predict_entry entry;
} predicting;

static forage_status predict_apply(store_txn *t, void *self, base_error *error) {
    predicting *p = self;
    return predict_store(t, p->document, PREDICT_IMPORTED, &p->entry, 1, false, NULL, error);
}

static void predict_committed(void *self, forage_status status) {
    predicting *p = self;
    if (!status) query_memory_refresh(p->w->memory, NULL);
}

static void predict_query(world *w, uint32_t document, const char *query, float score) {
    predicting p = {.w = w, .document = document, .entry = {slice_of(query), score}};
    store_job job = {predict_apply, predict_committed, &p};
    assert_ok(store_write(w->store, &job, NULL));
}

static void test_predictions_are_priors(void **state) {
    (void)state;
    world *w = begin(NULL);
    memory_row *rows;
    predict_query(w, 1, "space opera", 1);
    predict_query(w, 2, "space opera", 0.5f);
    assert_int_equal(ask(w, "space opera", &rows), 2);
    assert_int_equal(rows[0].document, 1);
    assert_int_equal(rows[0].way, MEMORY_PREDICTED);
    assert_float_equal(rows[0].mean, MEMORY_PREDICTED_MEAN, 1e-5);
    assert_float_equal(rows[1].mean, 0.3, 1e-5);
    /* A prediction that is shown and passed over is believed less; what people choose takes its place. */
    for (int i = 0; i < 3; i++)
        teach(w, &(page){.query = "space opera", .documents = {1}, .n = 1}, 1);
    click(w, "space opera", 3, 2);
    assert_true(row_of(w, "space opera", 1).mean < 0.25f);
    ask(w, "space opera", &rows);
    assert_int_equal(rows[0].document, 3);
    /* A predicted query lends to those like it, also after a restart. */
    assert_int_equal(row_of(w, "great space opera", 2).document, 2);
    reopen(w);
    assert_int_equal(row_of(w, "great space opera", 2).document, 2);
    assert_int_equal(row_of(w, "space operas", 2).document, 2);
    end(w);
}

/* ---- Concurrency ---- */

typedef struct reader {
    world *w;
    pthread_t thread;
    unsigned seed;
    atomic_bool *stop;
    atomic_uint *asked;
} reader;

static void *read_all_the_time(void *self) {
    reader *r = self;
    text_analyzer *analyzer = text_analyzer_create();
    random_source random;
    arena a;
    arena_init(&a, 0);
    random_seed(&random, r->seed);
    while (!atomic_load(r->stop)) {
        char query[64];
        store_txn *t;
        memory_row *rows;
        arena_reset(&a);
        make_query(&random, query, sizeof query);
        memory_question q = {.normalized = normalized(analyzer, &a, query), .language = TEXT_EN, .analyzer = analyzer,
                             .now = NOW};
        if (store_read_begin(r->w->store, &t, NULL)) continue;
        size_t n = query_memory_ask(r->w->memory, t, &q, 20, &a, &rows);
        store_read_end(t);
        for (size_t i = 1; i < n; i++)
            if (rows[i].mean > rows[i - 1].mean) abort();
        atomic_fetch_add(r->asked, 1);
    }
    arena_release(&a);
    text_analyzer_destroy(analyzer);
    return NULL;
}

typedef struct refreshing {
    query_memory *memory;
} refreshing;

static forage_status nothing(store_txn *t, void *self, base_error *error) {
    (void)t, (void)self, (void)error;
    return FORAGE_OK;
}

static void refresh_committed(void *self, forage_status status) {
    if (!status) query_memory_refresh(((refreshing *)self)->memory, NULL);
}

static void test_readers_beside_the_writer(void **state) {
    (void)state;
    memory_settings settings = memory_default_settings;
    settings.most_queries = 50; /* queries come and go while they are read */
    world *w = begin(&settings);
    atomic_bool stop = false;
    atomic_uint asked = 0;
    reader readers[3];
    for (unsigned i = 0; i < 3; i++) {
        readers[i] = (reader){.w = w, .seed = i + 1, .stop = &stop, .asked = &asked};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_all_the_time, &readers[i]), 0);
    }
    random_source random;
    random_seed(&random, 99);
    for (int i = 0; i < 200 || atomic_load(&asked) < 50; i++) {
        char query[64];
        make_query(&random, query, sizeof query);
        click(w, query, 1 + (uint32_t)random_below(&random, 30), 1);
        refreshing r = {w->memory};
        store_job job = {nothing, refresh_committed, &r};
        if (i % 50 == 49) assert_ok(store_write(w->store, &job, NULL));
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++) pthread_join(readers[i].thread, NULL);
    end(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_belief_rises_and_sinks),
        cmocka_unit_test(test_far_positions_lose_little),
        cmocka_unit_test(test_examination_curve),
        cmocka_unit_test(test_decay),
        cmocka_unit_test(test_no_decay),
        cmocka_unit_test(test_a_late_credit_counts_its_own_impression),
        cmocka_unit_test(test_earlier_showings_count_once_they_pay),
        cmocka_unit_test(test_segments_count_what_they_did_not_see),
        cmocka_unit_test(test_rows_beyond_the_limit_are_not_read),
        cmocka_unit_test(test_nobody_owns_a_row),
        cmocka_unit_test(test_cells),
        cmocka_unit_test(test_rows_of_earlier_builds),
        cmocka_unit_test(test_words_lend),
        cmocka_unit_test(test_letters_lend),
        cmocka_unit_test(test_many_neighbours_do_not_drown),
        cmocka_unit_test(test_reopened_is_the_same),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_segments),
        cmocka_unit_test(test_segments_change),
        cmocka_unit_test(test_segments_of_hostile_contexts),
        cmocka_unit_test(test_odd_events),
        cmocka_unit_test(test_predictions_are_priors),
        cmocka_unit_test(test_readers_beside_the_writer),
    };
    return cmocka_run_group_tests_name("query memory", tests, NULL, NULL);
}
