/* The sparse engine on one thread, over a file of tokens (one document a line, tokens separated by one space):
 *
 *     sparse_driver index TOKENS IMAGE                 builds one segment; prints a JSON object: documents, cpu_s, wall_s, bytes
 *     sparse_driver search IMAGE QUERIES MODES RUNS    prints a JSON object per query and mode, then one of the process
 *     sparse_driver check IMAGE QUERIES                prints {"checked", "different"}: against exhaustive scoring
 *     sparse_driver once IMAGE QUERIES MODES           warms, then calls sparse_driver_pass once, for callgrind
 *
 * A line of QUERIES is "CLASS word word …", CLASS being union, intersection or phrase. MODES are numbers with commas
 * between them: 10 asks for the 10 best, 0 for the number of matches. A query's time is the best of RUNS, after a pass that
 * warms. */
#include "base/memory.h"
#include "os/file.h"
#include "sparse/builder.h"
#include "sparse/merge.h"
#include "sparse/search.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_WORDS = 16, MOST_QUERIES = 2000, MOST_BATCHES = 256, MOST_HITS = 10000, MOST_MODES = 8 };
#define BATCH_BYTES ((size_t)512 << 20) /* what the peers' writers may hold too */

typedef enum question_class { UNION, INTERSECTION, PHRASE, CLASSES } question_class;
static const char *const class_names[CLASSES] = {"union", "intersection", "phrase"};

typedef struct question {
    question_class class;
    size_t n_terms;
    sparse_query_term terms[MOST_WORDS];
} question;

typedef struct opened {
    os_map map;
    sparse_config config;
    sparse_part part;
    sparse_snapshot snapshot;
    sparse_segment *segment;
    sparse_eligible all;
    arena memory, scratch;
    sparse_hit *hits;
    question *questions;
    size_t n_questions;
} opened;

void sparse_driver_pass(opened *o, const size_t *modes, size_t n_modes);

static _Noreturn void fail(const char *what, const char *which) {
    fprintf(stderr, "sparse_driver: %s%s%s\n", what, *which ? ": " : "", which);
    exit(1);
}

static int64_t nanoseconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* One text field; k1 and b as a collection has them by default. */
static sparse_config the_config(void) {
    sparse_config c = {.n_fields = 1, .k1 = 0.9f, .b = 0.4f, .popularity = -1, .type = -1};
    c.fields[0] = (sparse_field){"body", SPARSE_TEXT, 1};
    return c;
}

/* ---- index ---- */

typedef struct batches {
    buffer images[MOST_BATCHES];
    size_t n;
    uint32_t documents, room;
    uint32_t *numbers;
    uint64_t *versions;
    sparse_statistics statistics;
} batches;

static void finish_batch(batches *b, sparse_builder *builder) {
    uint32_t n = sparse_builder_count(builder);
    if (n == 0) return;
    if (b->n == MOST_BATCHES) fail("too many batches", "");
    if (n > b->room) {
        b->room = n;
        b->numbers = mem_realloc(b->numbers, n * sizeof *b->numbers);
        b->versions = mem_realloc(b->versions, n * sizeof *b->versions);
    }
    for (uint32_t i = 0; i < n; i++) {
        b->numbers[i] = b->documents + i;
        b->versions[i] = 1; /* the peers keep none */
    }
    b->documents += n;
    sparse_statistics more;
    sparse_builder_statistics(builder, &more);
    sparse_statistics_add(&b->statistics, &more);
    sparse_builder_finish(builder, b->numbers, b->versions, &b->statistics, &b->images[b->n++]);
    sparse_builder_reset(builder);
}

static void add_line(sparse_builder *builder, const char *line, size_t size) {
    sparse_builder_begin(builder);
    for (const char *p = line, *end = line + size; p < end;) {
        const char *space = memchr(p, ' ', (size_t)(end - p));
        if (!space) space = end;
        if (space > p) sparse_builder_term(builder, 0, (slice){p, (size_t)(space - p)});
        p = space + 1;
    }
}

static void read_tokens(const char *path, const sparse_config *config, batches *b) {
    FILE *file = fopen(path, "r");
    if (!file) fail("cannot be opened", path);
    sparse_builder *builder = sparse_builder_create(config);
    char *line = NULL;
    size_t room = 0;
    for (ssize_t size; (size = getline(&line, &room, file)) >= 0;) {
        add_line(builder, line, strcspn(line, "\n"));
        if (sparse_builder_bytes(builder) >= BATCH_BYTES) finish_batch(b, builder);
    }
    finish_batch(b, builder);
    free(line);
    fclose(file);
    sparse_builder_destroy(builder);
}

static void merge_batches(batches *b, const sparse_config *config, buffer *out) {
    sparse_merge_input inputs[MOST_BATCHES] = {0};
    sparse_segment *segments[MOST_BATCHES] = {0};
    base_error error;
    for (size_t i = 0; i < b->n; i++) {
        slice image = {b->images[i].data, b->images[i].size};
        if (sparse_segment_open(image, &segments[i], &error) != FORAGE_OK) fail("a segment", error.message);
        inputs[i].segment = segments[i];
    }
    sparse_merge(inputs, b->n, NULL, config, &b->statistics, out);
    for (size_t i = 0; i < b->n; i++) {
        sparse_segment_close(segments[i]);
        buffer_release(&b->images[i]);
    }
}

static void build(const char *tokens, const char *path) {
    sparse_config config = the_config();
    batches b = {0};
    buffer merged = {0};
    base_error error;
    int64_t wall = nanoseconds(CLOCK_MONOTONIC), cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    read_tokens(tokens, &config, &b);
    int64_t built = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    size_t n = b.n;
    if (n == 1) {
        merged = b.images[0];
        b.images[0] = (buffer){0};
    } else {
        merge_batches(&b, &config, &merged);
    }
    int64_t end = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    if (os_write_file(path, merged.data, merged.size, &error) != FORAGE_OK) fail("writing", error.message);
    printf("{\"engine\": \"Forage\", \"documents\": %u, \"cpu_s\": %.3f, \"wall_s\": %.3f, \"merging_s\": %.3f, \"batches\": %zu, "
           "\"bytes\": %zu}\n",
           b.documents, (double)(nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e9,
           (double)(nanoseconds(CLOCK_MONOTONIC) - wall) / 1e9, (double)(end - built) / 1e9, n, merged.size);
    buffer_release(&merged);
    free(b.numbers);
    free(b.versions);
}

/* ---- search ---- */

static void read_question(opened *o, char *line, question *q) {
    char *rest = NULL, *word = strtok_r(line, " ", &rest);
    q->class = 0;
    while (q->class < CLASSES && (!word || strcmp(word, class_names[q->class]) != 0)) q->class++;
    if (q->class == CLASSES) fail("a query of no known class", word ? word : "");
    for (q->n_terms = 0; (word = strtok_r(NULL, " ", &rest)); q->n_terms++) {
        if (q->n_terms == MOST_WORDS) fail("a query is too long", word);
        slice key = sparse_text_key(&o->memory, slice_of(word));
        q->terms[q->n_terms] = (sparse_query_term){.key = key, .weight = 1, .required = q->class != UNION};
    }
}

static void read_questions(opened *o, const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) fail("cannot be opened", path);
    o->questions = arena_zalloc(&o->memory, MOST_QUERIES, sizeof *o->questions);
    char line[4096];
    while (o->n_questions < MOST_QUERIES && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        read_question(o, line, &o->questions[o->n_questions++]);
    }
    fclose(file);
}

static void open_image(opened *o, const char *path, const char *queries) {
    base_error error;
    memset(o, 0, sizeof *o);
    arena_init(&o->memory, 0);
    arena_init(&o->scratch, 0);
    o->config = the_config();
    if (os_map_file(path, &o->map, &error) != FORAGE_OK) fail("the image", error.message);
    slice image = {(const char *)o->map.data, o->map.size};
    if (sparse_segment_open(image, &o->segment, &error) != FORAGE_OK) fail("the image", error.message);
    o->part = (sparse_part){.segment = o->segment, .n_live = sparse_segment_count(o->segment)};
    o->snapshot = (sparse_snapshot){.config = &o->config, .n_parts = 1, .parts = &o->part, .live_documents = o->part.n_live};
    sparse_segment_statistics(o->segment, &o->snapshot.statistics);
    sparse_eligible_compute(&o->snapshot, NULL, &o->memory, &o->all);
    o->hits = arena_alloc(&o->memory, MOST_HITS * sizeof *o->hits);
    read_questions(o, queries);
}

static void close_image(opened *o) {
    sparse_segment_close(o->segment);
    os_unmap(&o->map);
    arena_release(&o->scratch);
    arena_release(&o->memory);
}

/* k = 0: how many there are. */
static size_t answer(opened *o, const question *q, size_t k) {
    const sparse_phrase phrase = {.n = (uint32_t)q->n_terms};
    const sparse_query query = {
        .terms = q->terms, .n_terms = q->n_terms, .phrases = &phrase, .n_phrases = q->class == PHRASE, .text_weight = 1};
    arena_reset(&o->scratch);
    if (k > 0) return sparse_search(&o->all, &query, k, &o->scratch, o->hits, NULL);
    sparse_eligible matching;
    sparse_matching(&o->all, &query, &o->scratch, &matching);
    return matching.count;
}

static size_t read_modes(const char *text, size_t modes[MOST_MODES]) {
    size_t n = 0;
    for (char *end; *text && n < MOST_MODES; text = *end ? end + 1 : end) {
        modes[n] = strtoul(text, &end, 10);
        if (end == text || modes[n] > MOST_HITS) fail("modes are numbers up to 10,000", text);
        n++;
    }
    return n;
}

static void print_answer(opened *o, size_t i, size_t k, int64_t best) {
    size_t n = answer(o, &o->questions[i], k);
    printf("{\"i\": %zu, \"class\": \"%s\", \"k\": %zu, \"ns\": %lld, \"n\": %zu", i, class_names[o->questions[i].class], k,
           (long long)best, n);
    if (k == 10) printf(", \"top\": [");
    for (size_t j = 0; k == 10 && j < n; j++) printf("%s%u", j ? ", " : "", o->hits[j].document);
    printf(k == 10 ? "]}\n" : "}\n");
}

static void time_mode(opened *o, size_t k, size_t runs) {
    int64_t *best = mem_alloc(o->n_questions * sizeof *best);
    for (size_t i = 0; i < o->n_questions; i++) best[i] = INT64_MAX;
    for (size_t run = 0; run <= runs; run++) {
        for (size_t i = 0; i < o->n_questions; i++) {
            int64_t start = nanoseconds(CLOCK_MONOTONIC);
            answer(o, &o->questions[i], k);
            int64_t took = nanoseconds(CLOCK_MONOTONIC) - start;
            if (run > 0 && took < best[i]) best[i] = took;
        }
    }
    for (size_t i = 0; i < o->n_questions; i++) print_answer(o, i, k, best[i]);
    free(best);
}

/* Bytes of a figure of /proc/self/status, or, with `of`, of that file's mappings in /proc/self/smaps. */
static size_t resident(const char *figure, const char *of) {
    FILE *file = fopen(of ? "/proc/self/smaps" : "/proc/self/status", "r");
    char line[4096];
    size_t sum = 0, kib;
    bool inside = !of;
    while (file && fgets(line, sizeof line, file)) {
        if (of && strchr(line, '-') && strchr(line, '/')) inside = strstr(line, of) != NULL;
        if (inside && strncmp(line, figure, strlen(figure)) == 0 && sscanf(line + strlen(figure), ": %zu", &kib) == 1) {
            sum += kib * 1024;
        }
    }
    if (file) fclose(file);
    return sum;
}

static void search(const char *path, const char *queries, const char *mode_text, size_t runs) {
    size_t modes[MOST_MODES], n_modes = read_modes(mode_text, modes), before = resident("VmRSS", NULL);
    opened o;
    open_image(&o, path, queries);
    for (size_t m = 0; m < n_modes; m++) time_mode(&o, modes[m], runs);
    const char *name = strrchr(path, '/') ? strrchr(path, '/') : path;
    printf("{\"engine\": \"Forage\", \"before\": %zu, \"VmRSS\": %zu, \"RssAnon\": %zu, \"mapped\": %zu, \"image\": %zu}\n", before,
           resident("VmRSS", NULL), resident("RssAnon", NULL), resident("Rss", name), o.map.size);
    close_image(&o);
}

/* ---- check, once ---- */

static void check(const char *path, const char *queries) {
    size_t checked = 0, different = 0;
    opened o;
    open_image(&o, path, queries);
    sparse_hit *all = arena_alloc(&o.memory, MOST_HITS * sizeof *all);
    for (size_t i = 0; i < o.n_questions; i++) {
        const question *q = &o.questions[i];
        sparse_phrase phrase = {.n = (uint32_t)q->n_terms};
        sparse_query query = {.terms = q->terms, .n_terms = q->n_terms, .text_weight = 1};
        if (q->class == PHRASE) query.phrases = &phrase, query.n_phrases = 1;
        static const size_t ks[] = {10, 1000};
        for (size_t j = 0; j < 2; j++) {
            size_t n = answer(&o, q, ks[j]), m = sparse_search_exhaustive(&o.all, &query, ks[j], &o.scratch, all);
            bool same = n == m;
            for (size_t h = 0; same && h < n; h++) {
                same = all[h].document == o.hits[h].document && all[h].score == o.hits[h].score;
            }
            checked++;
            different += !same;
        }
    }
    printf("{\"checked\": %zu, \"different\": %zu}\n", checked, different);
    close_image(&o);
}

/* What callgrind counts (--toggle-collect=sparse_driver_pass). */
__attribute__((noinline)) void sparse_driver_pass(opened *o, const size_t *modes, size_t n_modes) {
    for (size_t m = 0; m < n_modes; m++) {
        for (size_t i = 0; i < o->n_questions; i++) answer(o, &o->questions[i], modes[m]);
    }
}

static void once(const char *path, const char *queries, const char *mode_text) {
    size_t modes[MOST_MODES], n_modes = read_modes(mode_text, modes);
    opened o;
    open_image(&o, path, queries);
    for (size_t m = 0; m < n_modes; m++) {
        for (size_t i = 0; i < o.n_questions; i++) answer(&o, &o.questions[i], modes[m]);
    }
    sparse_driver_pass(&o, modes, n_modes);
    close_image(&o);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (argc == 4 && strcmp(what, "index") == 0) {
        build(argv[2], argv[3]);
    } else if (argc == 6 && strcmp(what, "search") == 0) {
        search(argv[2], argv[3], argv[4], strtoul(argv[5], NULL, 10));
    } else if (argc == 4 && strcmp(what, "check") == 0) {
        check(argv[2], argv[3]);
    } else if (argc == 5 && strcmp(what, "once") == 0) {
        once(argv[2], argv[3], argv[4]);
    } else {
        fail("usage: index TOKENS IMAGE | search IMAGE QUERIES MODES RUNS | check IMAGE QUERIES | once IMAGE QUERIES MODES", "");
    }
    return 0;
}
