/* The strategies of behaviour on the Last.fm replay, each alone: tags are queries, tagged artists what was chosen, listens the
 * profiles from the start. Events are taught in the order of time; in the second half every seventh row whose (user, artist)
 * pair is new is asked about before it is taught. Prints recall@100 and nDCG@10 of the wanted artist.
 *
 *     lastfm_behaviour FOLDER-OF-LASTFM-2K */
#include "base/bytes.h"
#include "os/file.h"
#include "retrieve/strategy.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DEPTH 100
#define HALF_LIFE (3650 * DECAY_DAY)
#define JOB 512

typedef struct row {
    uint32_t user, artist, tag;
    int64_t time;
    size_t line;
} row;

typedef struct chosen { /* the plain memory of a tag: how often each artist got it */
    memory_row *rows;
    size_t n, capacity;
} chosen;

typedef struct replay {
    collection *c;
    behaviour *b;
    uint32_t *number; /* of an artist id */
    uint32_t artists, tags;
    row *rows, *listens;
    size_t n_rows, n_listens;
    chosen *memory; /* by tag */
} replay;

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

/* ---- The files ---- */

static buffer read_whole(const char *folder, const char *name) {
    char path[1024];
    buffer out = {0};
    base_error error = {0};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (os_read_file(path, 0, &out, &error)) fail(error.message);
    buffer_text(&out);
    return out;
}

/* Reads up to `n` whole numbers of each line after the first. */
static size_t read_numbers(const char *folder, const char *name, size_t n, long **out) {
    buffer text = read_whole(folder, name);
    size_t lines = 0, capacity = 0;
    long *values = NULL;
    for (char *at = strchr(text.data, '\n'); at && at[1]; at = strchr(at, '\n')) {
        values = mem_grow(values, &capacity, (lines + 1) * n, sizeof *values);
        at++;
        for (size_t i = 0; i < n; i++) values[lines * n + i] = strtol(at, &at, 10);
        lines++;
    }
    buffer_release(&text);
    *out = values;
    return lines;
}

static int by_time(const void *x, const void *y) {
    const row *a = x, *b = y;
    if (a->time != b->time) return a->time < b->time ? -1 : 1;
    return (a->line > b->line) - (a->line < b->line);
}

static void read_rows(replay *r, const char *folder) {
    long *v;
    size_t n = read_numbers(folder, "user_taggedartists.dat", 6, &v);
    r->rows = mem_alloc(n * sizeof *r->rows);
    for (size_t i = 0; i < n; i++) {
        const long *l = v + i * 6;
        if (l[5] < 2005 || l[5] > 2011) continue;
        struct tm day = {.tm_mday = (int)l[3], .tm_mon = (int)l[4] - 1, .tm_year = (int)l[5] - 1900};
        r->rows[r->n_rows++] = (row){(uint32_t)l[0], (uint32_t)l[1], (uint32_t)l[2], (int64_t)timegm(&day) * 1000000, i};
        if (l[1] >= r->artists) r->artists = (uint32_t)l[1] + 1;
        if (l[2] >= r->tags) r->tags = (uint32_t)l[2] + 1;
    }
    free(v);
    qsort(r->rows, r->n_rows, sizeof *r->rows, by_time);
    n = read_numbers(folder, "user_artists.dat", 3, &v);
    r->listens = mem_alloc(n * sizeof *r->listens);
    for (size_t i = 0; i < n; i++) {
        r->listens[r->n_listens++] = (row){(uint32_t)v[i * 3], (uint32_t)v[i * 3 + 1], (uint32_t)v[i * 3 + 2], 0, i};
        if (v[i * 3 + 1] >= r->artists) r->artists = (uint32_t)v[i * 3 + 1] + 1;
    }
    free(v);
}

static void import_artists(replay *r) {
    buffer lines = {0};
    for (uint32_t i = 0; i < r->artists; i++) buffer_printf(&lines, "{\"id\":\"%u\"}\n", i);
    import_report report = {0};
    base_error error = {0};
    arena_init(&report.memory, 0);
    records_reader *reader = records_open_memory((slice){lines.data, lines.size}, NULL);
    if (collection_import(r->c, reader, 1, &report, &error) || report.failed) fail(error.message);
    records_close(reader);
    arena_release(&report.memory);
    buffer_release(&lines);
    store_txn *t;
    r->number = mem_zalloc(r->artists, sizeof *r->number);
    if (store_read_begin(collection_store(r->c), &t, &error)) fail(error.message);
    for (uint32_t i = 0; i < r->artists; i++) {
        char id[16];
        snprintf(id, sizeof id, "%u", i);
        if (!collection_number_of(t, slice_of(id), &r->number[i])) fail("an artist has no number");
    }
    store_read_end(t);
}

/* ---- Teaching ---- */

typedef struct lesson {
    replay *r;
    const row *rows;
    size_t n;
    bool listens;
    int64_t now;
    behaviour_change *changes;
} lesson;

static size_t best_of_tag(const replay *r, uint32_t tag, uint32_t *out) {
    const chosen *m = &r->memory[tag];
    size_t n = 0;
    for (; n < m->n && n < BEHAVIOUR_CHOSEN; n++) out[n] = m->rows[n].document;
    return n;
}

static forage_status teach_apply(store_txn *t, void *self, base_error *error) {
    lesson *l = self;
    forage_status status = FORAGE_OK;
    for (size_t i = 0; !status && i < l->n; i++) {
        const row *x = &l->rows[i];
        char user[16];
        uint32_t chosen_too[BEHAVIOUR_CHOSEN];
        snprintf(user, sizeof user, "%u", x->user);
        behaviour_event e = {.user = slice_of(user), .document = l->r->number[x->artist], .credit = 1,
                             .time = l->listens ? l->now : x->time, .now = l->listens ? l->now : x->time};
        if (l->listens) e.taught = true, e.credit = (float)(log2(1 + x->tag) / 16); /* x->tag: plays */
        else e.chosen = chosen_too, e.n_chosen = best_of_tag(l->r, x->tag, chosen_too);
        status = behaviour_record(l->r->b, t, &e, &l->changes[i], error);
    }
    return status;
}

static void teach_committed(void *self, forage_status status) {
    lesson *l = self;
    for (size_t i = 0; !status && i < l->n; i++) behaviour_committed(l->r->b, &l->changes[i]);
}

static void remember(replay *r, const row *x) {
    chosen *m = &r->memory[x->tag];
    uint32_t document = r->number[x->artist];
    size_t i = 0;
    while (i < m->n && m->rows[i].document != document) i++;
    if (i == m->n) {
        m->rows = mem_grow(m->rows, &m->capacity, m->n + 1, sizeof *m->rows);
        m->rows[m->n++] = (memory_row){.document = document};
    }
    memory_row own = m->rows[i];
    own.rewards += 1;
    own.mean = own.rewards / (own.rewards + 5);
    for (; i > 0 && m->rows[i - 1].rewards <= own.rewards; i--) m->rows[i] = m->rows[i - 1];
    m->rows[i] = own;
}

static void teach(replay *r, const row *rows, size_t n, bool listens, int64_t now) {
    behaviour_change *changes = mem_alloc(JOB * sizeof *changes);
    for (size_t i = 0; i < n; i += JOB) {
        lesson l = {r, rows + i, n - i < JOB ? n - i : JOB, listens, now, changes};
        store_job job = {teach_apply, teach_committed, &l};
        base_error error = {0};
        if (store_write(collection_store(r->c), &job, &error)) fail(error.message);
        for (size_t k = 0; k < l.n && !listens; k++) remember(r, &l.rows[k]);
    }
    free(changes);
}

/* ---- Asking ---- */

typedef struct tally {
    const char *name;
    double recall, ndcg, micros;
    size_t found;
} tally;

enum { OWN, PERSONAL, PERSONAL_QUERY, POPULAR, RELATED, MEMORY, N_TALLIES };

static void count(tally *t, const sparse_hit *hits, size_t n, uint32_t wanted) {
    t->found += n;
    for (size_t i = 0; i < n && i < DEPTH; i++)
        if (hits[i].document == wanted) {
            t->recall++;
            if (i < 10) t->ndcg += 1 / log2(2 + (double)i);
        }
}

static void ask(tally *t, const retrieve_strategy *s, const retrieve_request *r, uint32_t wanted, arena *a) {
    sparse_hit hits[DEPTH];
    bool late = false;
    int64_t start = clock_monotonic(&os_clock_system);
    size_t n = s->available(r) ? s->run(r, DEPTH, a, hits, &late) : 0;
    t->micros += (double)(clock_monotonic(&os_clock_system) - start);
    count(t, hits, n, wanted);
}

static void ask_all(replay *r, const sparse_snapshot *snapshot, const row *x, tally *tallies, arena *a) {
    static profile p;
    char user[16];
    hash128 key;
    store_txn *t;
    sparse_hit own[DEPTH];
    sparse_eligible all;
    snprintf(user, sizeof user, "%u", x->user);
    arena_reset(a);
    if (store_read_begin(collection_store(r->c), &t, NULL)) fail("no transaction");
    bool known = profile_key(slice_of(user), (slice){0}, &key) && profile_read(t, &key, &p);
    sparse_eligible_compute(snapshot, NULL, a, &all);
    retrieve_request q = {.collection = r->c, .schema = collection_schema(r->c), .snapshot = snapshot, .eligible = &all,
                          .matching = &all, .behaviour = r->b, .known_user = true, .profile = known ? &p : NULL,
                          .beyond_words = true, .only_new = true, .now = x->time, .clock = &os_clock_system,
                          .deadline = clock_monotonic(&os_clock_system) + 10000000};
    const chosen *m = &r->memory[x->tag];
    uint32_t wanted = r->number[x->artist];
    size_t n = 0;
    for (size_t i = 0; known && i < p.n_items && n < DEPTH; i++)
        if (!(p.items[i].origin & PROFILE_CHOSEN)) own[n++].document = p.items[i].document;
    count(&tallies[OWN], own, n, wanted);
    ask(&tallies[PERSONAL], &retrieve_personal, &q, wanted, a);
    ask(&tallies[POPULAR], &retrieve_popular, &q, wanted, a);
    q.memory = m->rows;
    q.n_memory = m->n < 256 ? m->n : 256;
    ask(&tallies[PERSONAL_QUERY], &retrieve_personal, &q, wanted, a);
    ask(&tallies[RELATED], &retrieve_related, &q, wanted, a);
    ask(&tallies[MEMORY], &retrieve_memory, &q, wanted, a);
    store_read_end(t);
}

static int by_pair(const void *x, const void *y) {
    const row *a = x, *b = y;
    if (a->user != b->user) return a->user < b->user ? -1 : 1;
    if (a->artist != b->artist) return a->artist < b->artist ? -1 : 1;
    return (a->line > b->line) - (a->line < b->line);
}

/* Whether each row is the first of its (user, artist). */
static bool *first_of_pair(const replay *r) {
    row *sorted = mem_alloc(r->n_rows * sizeof *sorted);
    bool *first = mem_zalloc(r->n_rows, sizeof *first);
    memcpy(sorted, r->rows, r->n_rows * sizeof *sorted);
    for (size_t i = 0; i < r->n_rows; i++) sorted[i].line = i;
    qsort(sorted, r->n_rows, sizeof *sorted, by_pair);
    for (size_t i = 0; i < r->n_rows; i++)
        first[sorted[i].line] = i == 0 || sorted[i].user != sorted[i - 1].user || sorted[i].artist != sorted[i - 1].artist;
    free(sorted);
    return first;
}

int main(int argc, char **argv) {
    char folder[] = "/tmp/forage-lastfm-XXXXXX";
    base_error error = {0};
    replay r = {0};
    if (argc != 2) fail("usage: lastfm_behaviour FOLDER-OF-LASTFM-2K");
    if (!mkdtemp(folder)) fail("no temporary folder");
    read_rows(&r, argv[1]);
    collection_options options = {.no_sync = true, .clock = os_clock_system};
    if (collection_open(folder, "lastfm", &options, &r.c, &error)) fail(error.message);
    import_artists(&r);
    store_txn *t;
    if (store_read_begin(collection_store(r.c), &t, &error) || behaviour_open(t, HALF_LIFE, &r.b, &error)) fail(error.message);
    store_read_end(t);
    r.memory = mem_zalloc(r.tags, sizeof *r.memory);
    int64_t start = clock_monotonic(&os_clock_system);
    teach(&r, r.listens, r.n_listens, true, r.rows[0].time);
    int64_t taught = clock_monotonic(&os_clock_system);
    printf("%zu listens taught, %.1f µs each\n", r.n_listens, (double)(taught - start) / (double)r.n_listens);
    tally tallies[N_TALLIES] = {{.name = "own documents"}, {.name = "personal"}, {.name = "personal, of the query's memory"},
                                {.name = "popular"}, {.name = "related"}, {.name = "memory (plain)"}};
    bool *first = first_of_pair(&r);
    const sparse_snapshot *snapshot = collection_acquire(r.c);
    arena a;
    arena_init(&a, 1 << 20);
    size_t half = r.n_rows / 2, asked = 0, done = 0;
    start = clock_monotonic(&os_clock_system);
    teach(&r, r.rows, half, false, 0);
    printf("%zu tags taught, %.1f µs each\n", half, (double)(clock_monotonic(&os_clock_system) - start) / (double)half);
    done = half;
    for (size_t i = half; i < r.n_rows; i += 7) {
        if (!first[i]) continue;
        teach(&r, r.rows + done, i - done, false, 0);
        done = i;
        ask_all(&r, snapshot, &r.rows[i], tallies, &a);
        asked++;
    }
    printf("%zu asked\n%-34s %10s %8s %8s %8s\n", asked, "", "recall@100", "nDCG@10", "found", "µs");
    for (size_t i = 0; i < N_TALLIES; i++)
        printf("%-34s %10.3f %8.3f %8.1f %8.0f\n", tallies[i].name, tallies[i].recall / (double)asked,
               tallies[i].ndcg / (double)asked, (double)tallies[i].found / (double)asked, tallies[i].micros / (double)asked);
    arena_release(&a);
    collection_release(r.c, snapshot);
    behaviour_close(r.b);
    collection_close(r.c);
    os_remove_tree(folder, NULL);
    return 0;
}
