/* Merging into files: the same bytes as in memory, nothing left after a failure, an order that puts like beside like. */
#include "sparse_model.h"

#include "os/file.h"
#include "sparse/merge.h"

#include <signal.h>
#include <sys/resource.h>

enum { PARTS = 3, EACH = 3000, N = PARTS * EACH };

typedef struct world {
    buffer images[PARTS];
    sparse_segment *segments[PARTS];
    sparse_merge_input inputs[PARTS];
    sparse_statistics statistics;
    char folder[512], path[600];
} world;

static void open_parts(world *w) {
    for (int i = 0; i < PARTS; i++) {
        assert_ok(sparse_segment_open((slice){w->images[i].data, w->images[i].size}, &w->segments[i], NULL));
        w->inputs[i] = (sparse_merge_input){w->segments[i], NULL};
    }
}

static world *new_world(void) {
    world *w = mem_zalloc(1, sizeof *w);
    model_document *d = mem_zalloc(N, sizeof *d);
    random_source r;
    random_seed(&r, 21);
    for (uint32_t i = 0; i < N; i++) d[i] = model_make(&r, i * 7 % N, i);
    model_statistics(d, N, &w->statistics);
    for (int i = 0; i < PARTS; i++) model_image(d + i * EACH, EACH, &w->statistics, &w->images[i]);
    free(d);
    open_parts(w);
    snprintf(w->folder, sizeof w->folder, "%s", testing_folder());
    snprintf(w->path, sizeof w->path, "%s/merged.seg", w->folder);
    return w;
}

static void end_world(world *w) {
    for (int i = 0; i < PARTS; i++) {
        sparse_segment_close(w->segments[i]);
        buffer_release(&w->images[i]);
    }
    assert_ok(os_remove_tree(w->folder, NULL));
    free(w);
}

static size_t count_files(const world *w) {
    arena a;
    char **names;
    size_t n;
    arena_init(&a, 0);
    assert_ok(os_list(w->folder, &a, &names, &n, NULL));
    arena_release(&a);
    return n;
}

static forage_status merge(const world *w, const uint32_t *order, const sparse_work *work, base_error *error) {
    return sparse_merge_to_file(w->inputs, PARTS, order, &model_config, &w->statistics, w->path, work, error);
}

static bool always(void *context, uint64_t written) {
    *(uint64_t *)context += written;
    return true;
}

static void a_file_has_the_bytes_that_memory_has(void **state) {
    (void)state;
    world *w = new_world();
    random_source r;
    random_seed(&r, 22);
    uint32_t *order = mem_alloc(N * sizeof *order);
    for (uint32_t i = 0; i < N; i++) {
        uint32_t j = (uint32_t)random_below(&r, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    for (int ordered = 0; ordered < 2; ordered++) {
        buffer memory = {0}, file = {0};
        uint64_t written = 0;
        sparse_merge(w->inputs, PARTS, ordered ? order : NULL, &model_config, &w->statistics, &memory);
        assert_ok(merge(w, ordered ? order : NULL, &(sparse_work){always, &written}, NULL));
        assert_ok(os_read_file(w->path, 0, &file, NULL));
        assert_int_equal(file.size, memory.size);
        assert_memory_equal(file.data, memory.data, memory.size);
        assert_true(written > memory.size); /* also what left memory for a while: there was enough for that */
        assert_int_equal(count_files(w), 1);
        buffer_release(&memory);
        buffer_release(&file);
    }
    free(order);
    end_world(w);
}

/* As a disk that is full at that byte of any file. */
static forage_status merge_below(const world *w, size_t limit, base_error *error) {
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){limit, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    forage_status status = merge(w, NULL, NULL, error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    return status;
}

static void a_write_that_fails_leaves_nothing(void **state) {
    (void)state;
    world *w = new_world();
    buffer image = {0};
    sparse_merge(w->inputs, PARTS, NULL, &model_config, &w->statistics, &image);
    for (size_t limit = 0; limit < image.size; limit += image.size / 11) {
        base_error error = {0};
        assert_int_equal(merge_below(w, limit, &error), FORAGE_E_IO);
        assert_non_null(strstr(error.message, w->path));
        assert_int_equal(count_files(w), 0);
    }
    assert_int_equal(merge_below(w, image.size - 1, NULL), FORAGE_E_IO);
    assert_int_equal(count_files(w), 0);
    assert_ok(merge_below(w, image.size, NULL));
    assert_int_equal(count_files(w), 1);
    buffer_release(&image);
    end_world(w);
}

static bool a_few_times(void *context, uint64_t written) {
    (void)written;
    int *left = context;
    return (*left)-- > 0;
}

static void work_that_is_ended_leaves_nothing(void **state) {
    (void)state;
    world *w = new_world();
    uint32_t *order = mem_zalloc(N, sizeof *order);
    int calls = 0;
    for (int times = 0, step = 1; calls == 0; times += step, step *= 2) {
        int left = times;
        forage_status status = merge(w, NULL, &(sparse_work){a_few_times, &left}, NULL);
        if (status == FORAGE_OK) calls = times;
        else assert_int_equal(status, FORAGE_E_CLOSED);
        assert_int_equal(count_files(w), status == FORAGE_OK);
    }
    assert_true(calls > 10);
    for (int times = 0; times < 3; times++) {
        int left = times;
        assert_int_equal(sparse_merge_order(w->inputs, PARTS, &model_config, 0, &(sparse_work){a_few_times, &left}, order),
                         FORAGE_E_CLOSED);
    }
    assert_int_equal(sparse_merge_order(w->inputs, PARTS, &model_config, 10000, NULL, order), FORAGE_E_TOO_LARGE);
    free(order);
    end_world(w);
}

/* Documents of a few topics, in turn, each with words of its topic, or with no word but a brand of its topic. */
enum { TOPICS = 8, TOPIC_WORDS = 30 };

static void make_topics(world *w, bool words) {
    random_source r;
    random_seed(&r, 23);
    for (uint32_t part = 0; part < PARTS; part++) {
        sparse_builder *b = sparse_builder_create(&model_config);
        uint32_t *documents = mem_alloc(EACH * sizeof *documents);
        uint64_t *versions = mem_zalloc(EACH, sizeof *versions);
        char room[32];
        for (uint32_t i = 0; i < EACH; i++) {
            documents[i] = part * EACH + i;
            uint32_t topic = documents[i] % TOPICS;
            sparse_builder_begin(b);
            for (int j = 0; j < 8 && words; j++)
                sparse_builder_term(b, MODEL_BODY,
                                    model_word(topic * TOPIC_WORDS + (uint32_t)random_below(&r, TOPIC_WORDS), room));
            if (!words) sparse_builder_keyword(b, MODEL_BRAND, model_brand(topic, room));
            sparse_builder_number(b, MODEL_PLAYS, (double)random_below(&r, 1000));
        }
        sparse_statistics own;
        sparse_builder_statistics(b, &own);
        sparse_statistics_add(&w->statistics, &own);
        sparse_builder_finish(b, documents, versions, &own, &w->images[part]);
        sparse_builder_destroy(b);
        free(documents);
        free(versions);
    }
}

static void like_documents_come_to_lie_beside_each_other(void **state) {
    (void)state;
    for (int words = 0; words < 2; words++) {
        world w = {0};
        make_topics(&w, words);
        open_parts(&w);
        uint32_t *order = mem_alloc(N * sizeof *order), *again = mem_alloc(N * sizeof *again);
        uint32_t *documents = mem_alloc(N * sizeof *documents);
        memset(documents, 0xff, N * sizeof *documents);
        assert_ok(sparse_merge_order(w.inputs, PARTS, &model_config, 0, NULL, order));
        assert_ok(sparse_merge_order(w.inputs, PARTS, &model_config, 1 << 30, NULL, again));
        assert_memory_equal(order, again, N * sizeof *order);
        for (uint32_t i = 0; i < N; i++) {
            assert_true(order[i] < N && documents[order[i]] == UINT32_MAX); /* a permutation */
            documents[order[i]] = i;
        }
        uint32_t same = 0;
        for (uint32_t p = 1; p < N; p++) same += documents[p] % TOPICS == documents[p - 1] % TOPICS;
        assert_true(same > N * 9 / 10); /* of N/TOPICS by chance, of none as they came */

        buffer image = {0};
        sparse_segment *s;
        sparse_merge(w.inputs, PARTS, order, &model_config, &w.statistics, &image);
        assert_ok(sparse_segment_open((slice){image.data, image.size}, &s, NULL));
        assert_ok(sparse_segment_validate(s, NULL));
        assert_false(sparse_segment_ascends(s));
        for (uint32_t d = 0; d < N; d++) {
            uint32_t place;
            assert_true(sparse_segment_find(s, d, &place));
            assert_int_equal(place, order[d]);
        }
        sparse_segment_close(s);
        buffer_release(&image);
        for (int i = 0; i < PARTS; i++) {
            sparse_segment_close(w.segments[i]);
            buffer_release(&w.images[i]);
        }
        free(order);
        free(again);
        free(documents);
    }
}

int main(void) {
    signal(SIGXFSZ, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_has_the_bytes_that_memory_has),
        cmocka_unit_test(a_write_that_fails_leaves_nothing),
        cmocka_unit_test(work_that_is_ended_leaves_nothing),
        cmocka_unit_test(like_documents_come_to_lie_beside_each_other),
    };
    return cmocka_run_group_tests_name("sparse_merge", tests, NULL, NULL);
}
