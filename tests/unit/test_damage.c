/* An index file with one wrong byte, or cut anywhere, is noticed when the collection is opened, built anew from the documents,
 * and answers as it did before; and one that has seen many changes answers as one built anew.
 *
 * FORAGE_DAMAGE=all tries every byte and every length, and takes minutes; without it, a sample of both. */
#include "world.h"

#include "sparse/search.h"

enum { DOCUMENTS = 24, HEADER = 16 /* magic, version, number of sections */, BYTES = 45, LENGTHS = 15, MOST_HITS = DOCUMENTS };

typedef struct damaged_world {
    world *w;
    sparse_config config;
    char kept[700];    /* a copy of the folder as it was */
    char path[800];    /* of the index file */
    buffer file;       /* its bytes as they were */
    char *before;      /* what searches find */
    arena lasting;
} damaged_world;

/* ---- What searches find ---- */

static void search(const sparse_snapshot *s, const sparse_eligible *e, const char *const *words, size_t n, const sparse_phrase *phrase,
                   arena *a, buffer *out) {
    sparse_query_term terms[3];
    sparse_hit hits[MOST_HITS];
    for (size_t i = 0; i < n; i++)
        terms[i] = (sparse_query_term){.key = sparse_text_key(a, slice_of(words[i])), .weight = 1};
    sparse_query query = {.terms = terms, .n_terms = n, .text_weight = 1, .prior_weight = 0.5f, .phrases = phrase,
                          .n_phrases = phrase ? 1 : 0};
    size_t found = sparse_search(e, &query, MOST_HITS, a, hits, NULL);
    for (size_t i = 0; i < found; i++) {
        slice *values;
        size_t n_values = sparse_keywords_of(s, hits[i].document, 1, a, &values);
        buffer_printf(out, "%u %a %g", hits[i].document, (double)hits[i].score, sparse_number_of(s, hits[i].document, 2));
        for (size_t v = 0; v < n_values; v++) buffer_printf(out, " %.*s", SLICE_ARG(values[v]));
        buffer_printf(out, "\n");
    }
    buffer_printf(out, "%zu\n", found);
}

/* Everything that the index can say, in one text. */
static char *answers(world *w, arena *a) {
    static const char *const questions[][3] = {{"red"}, {"fox", "hen"}, {"red", "fox", "hill"}, {"rare7"}, {"nothing"}};
    static const char *const counted[] = {"red", "fox", "hill"};
    static const sparse_phrase phrase = {.n = 2}, near = {.n = 2, .slop = 3, .any_order = true};
    const sparse_snapshot *s = collection_acquire(w->collection);
    buffer out = {0};
    for (int filtered = 0; filtered < 2; filtered++) {
        slice value = SLICE("birds");
        sparse_filter filter = {.kind = SPARSE_FILTER_VALUES, .field = 1, .n_values = 1, .values = &value};
        sparse_eligible e;
        sparse_eligible_compute(s, filtered ? &filter : NULL, a, &e);
        for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
            size_t n = 0;
            while (n < 3 && questions[i][n]) n++;
            search(s, &e, questions[i], n, NULL, a, &out);
            if (n > 1) search(s, &e, questions[i], n, &phrase, a, &out);
            if (n > 1) search(s, &e, questions[i], n, &near, a, &out);
        }
        sparse_facet_value facets[10];
        size_t n = sparse_facet_keyword(&e, 1, 10, a, facets);
        for (size_t i = 0; i < n; i++)
            buffer_printf(&out, "%.*s %llu\n", SLICE_ARG(facets[i].value), (unsigned long long)facets[i].count);
        sparse_hit popular[MOST_HITS];
        n = sparse_top_popular(&e, MOST_HITS, a, popular);
        for (size_t i = 0; i < n; i++) buffer_printf(&out, "%u %a\n", popular[i].document, (double)popular[i].score);
    }
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++) {
        slice key = sparse_text_key(a, slice_of(counted[i]));
        buffer_printf(&out, "%llu\n", (unsigned long long)sparse_document_frequency(s, key));
    }
    collection_release(w->collection, s);
    char *text = arena_strndup(a, out.data, out.size);
    buffer_release(&out);
    return text;
}

/* ---- The world ---- */

static void find_file(damaged_world *d) {
    char **names;
    size_t n;
    char *segments = path_join(&d->lasting, d->w->folder, "segments");
    assert_ok(os_list(segments, &d->lasting, &names, &n, NULL));
    assert_int_equal(n, 1);
    snprintf(d->path, sizeof d->path, "%s", path_join(&d->lasting, segments, names[0]));
    assert_ok(os_read_file(d->path, 0, &d->file, NULL));
}

static int begin(void **state) {
    damaged_world *d = mem_zalloc(1, sizeof *d);
    arena_init(&d->lasting, 0);
    d->w = world_begin();
    world_schema(d->w, "{\"fields\":{\"title\":{\"type\":\"text\",\"weight\":2},\"genre\":{\"type\":\"keyword\"},"
                       "\"year\":{\"type\":\"number\"},\"body\":{\"type\":\"text\"}},\"popularity\":\"popularity\"}");
    buffer lines = {0};
    for (int i = 0; i < DOCUMENTS; i++) {
        buffer_printf(&lines, "{\"id\":%d,\"title\":\"%s fox\",\"genre\":[\"%s\",\"all\"],\"body\":[\"red hen %s\",\"hill rare%d\"]", i,
                      i % 3 ? "red" : "grey", i % 2 ? "birds" : "beasts", i % 5 ? "fox hill" : "", i);
        if (i % 4) buffer_printf(&lines, ",\"year\":%d,\"popularity\":%d", 1990 + i, i * i);
        buffer_printf(&lines, "}\n");
    }
    world_import(d->w, buffer_text(&lines));
    buffer_release(&lines);
    assert_ok(sparse_index_flush(collection_index(d->w->collection), NULL));
    const sparse_snapshot *s = collection_acquire(d->w->collection);
    assert_int_equal(s->n_parts, 1);
    assert_string_equal(s->config->fields[1].name, "genre");
    sparse_config_copy(s->config, &d->lasting, &d->config);
    collection_release(d->w->collection, s);
    d->before = answers(d->w, &d->lasting);
    assert_non_null(strstr(d->before, "birds"));
    world_shut(d->w);
    snprintf(d->kept, sizeof d->kept, "%s-kept", d->w->folder);
    world_copy(d->w->folder, d->kept);
    find_file(d);
    log_set_level(LOG_SILENT);
    *state = d;
    return 0;
}

static int end(void **state) {
    damaged_world *d = *state;
    log_set_level(LOG_WARN);
    world_open(d->w);
    world_end(d->w);
    assert_ok(os_remove_tree(d->kept, NULL));
    buffer_release(&d->file);
    arena_release(&d->lasting);
    free(d);
    return 0;
}

static bool damage_is_seen(const damaged_world *d) {
    store *s;
    sparse_index *index;
    bool damaged;
    store_options options = {.read_only = true};
    char segments[700];
    snprintf(segments, sizeof segments, "%s/segments", d->w->folder);
    assert_ok(store_open(d->w->folder, &options, &s, NULL));
    assert_ok(sparse_index_open(segments, s, &d->config, &index, &damaged, NULL));
    sparse_index_close(index);
    store_close(s);
    return damaged;
}

/* The collection as it was, but for its index file. */
static void try_file(damaged_world *d, const char *bytes, size_t size, const char *what, size_t at) {
    arena a;
    buffer problems = {0};
    assert_ok(os_remove_tree(d->w->folder, NULL));
    world_copy(d->kept, d->w->folder);
    FILE *file = fopen(d->path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    if (!damage_is_seen(d)) fail_msg("%s %zu: not noticed", what, at);

    collection_options options = {.no_sync = true, .clock = d->w->clock};
    assert_ok(collection_open(d->w->folder, "world", &options, &d->w->collection, NULL));
    arena_init(&a, 0);
    if (strcmp(answers(d->w, &a), d->before) != 0) fail_msg("%s %zu: other answers", what, at);
    if (collection_check(d->w->collection, &problems, NULL)) fail_msg("%s %zu: %s", what, at, buffer_text(&problems));
    collection_close(d->w->collection);
    if (damage_is_seen(d)) fail_msg("%s %zu: not mended", what, at);
    arena_release(&a);
    buffer_release(&problems);
}

/* All of n in the thorough mode, else some, evenly and at random, the first and last ones among them. */
static bool is_tried(size_t at, size_t n, size_t some, random_source *r) {
    const char *mode = getenv("FORAGE_DAMAGE");
    if ((mode && strcmp(mode, "all") == 0) || at < HEADER || at + 2 >= n) return true;
    return random_below(r, n) < some;
}

static void every_wrong_byte_is_mended(void **state) {
    damaged_world *d = *state;
    random_source r;
    random_seed(&r, 5);
    for (size_t at = 0; at < d->file.size; at++) {
        if (!is_tried(at, d->file.size, BYTES, &r)) continue;
        char flipped = (char)(1 << random_below(&r, 8));
        if (random_below(&r, 4) == 0) flipped = (char)0xff;
        d->file.data[at] ^= flipped;
        try_file(d, d->file.data, d->file.size, "byte", at);
        d->file.data[at] ^= flipped;
    }
}

static void every_shorter_file_is_mended(void **state) {
    damaged_world *d = *state;
    random_source r;
    random_seed(&r, 6);
    for (size_t size = 0; size < d->file.size; size++)
        if (is_tried(size, d->file.size, LENGTHS, &r)) try_file(d, d->file.data, size, "cut to", size);
}

/* Documents from `first`, one in `step`. */
static void import_round(damaged_world *d, int round, int first, int step) {
    buffer lines = {0};
    for (int i = first; i < DOCUMENTS; i += step) {
        buffer_printf(&lines, "{\"id\":%d,\"title\":\"red fox\",\"genre\":\"birds\",\"body\":\"hill", i);
        for (int n = 0; n < (i * 7 + round * 3) % 40; n++) buffer_printf(&lines, " %s", n % 3 ? "fox" : "hen");
        buffer_printf(&lines, "\"}\n");
    }
    world_import(d->w, buffer_text(&lines));
    buffer_release(&lines);
}

/* What was replaced and removed leaves no trace in the scores once all is in one file. */
static void assert_as_built_anew(damaged_world *d) {
    arena a;
    arena_init(&a, 0);
    assert_ok(sparse_index_optimize(collection_index(d->w->collection), NULL));
    const char *lived = answers(d->w, &a);
    world_shut(d->w);
    assert_ok(os_remove_tree(path_join(&a, d->w->folder, "segments"), NULL));
    assert_ok(os_make_folders(path_join(&a, d->w->folder, "segments"), NULL));
    world_open(d->w);
    assert_ok(sparse_index_optimize(collection_index(d->w->collection), NULL));
    assert_string_equal(answers(d->w, &a), lived);
    world_shut(d->w);
    arena_release(&a);
}

static void an_index_that_has_lived_is_as_one_built_anew(void **state) {
    damaged_world *d = *state;
    world_open(d->w);
    for (int round = 0; round < 12; round++) {
        char id[16];
        import_round(d, round, round, 2 + round % 3);
        snprintf(id, sizeof id, "%d", round * 2);
        assert_ok(collection_delete(d->w->collection, slice_of(id), NULL));
    }
    assert_as_built_anew(d);
}

static void an_index_of_which_all_was_replaced_is_as_one_built_anew(void **state) {
    damaged_world *d = *state;
    world_open(d->w);
    for (int round = 0; round < 3; round++) import_round(d, round, 0, 1);
    assert_as_built_anew(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_wrong_byte_is_mended, begin, end),
        cmocka_unit_test_setup_teardown(every_shorter_file_is_mended, begin, end),
        cmocka_unit_test_setup_teardown(an_index_that_has_lived_is_as_one_built_anew, begin, end),
        cmocka_unit_test_setup_teardown(an_index_of_which_all_was_replaced_is_as_one_built_anew, begin, end),
    };
    return cmocka_run_group_tests_name("damage", tests, NULL, NULL);
}
