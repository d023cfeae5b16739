/* Images of the dense index: cut off, flipped, made by somebody else, a full disk, a process that is killed while it writes. */
#include "dense_world.h"

#include "dense/dense_impl.h"
#include "os/file.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { N = 1200, D = 6, K = 5, QUERIES = 20 };

static const dense_config config = {.dimensions = D, .metric = DENSE_COSINE, .code = DENSE_INT8, .M = 8, .ef_construction = 40,
                                    .graph_at = 300, .seed = 2};
static float rows[N * D];
static char folder[512], path[600];

static int set_up(void **state) {
    (void)state;
    dense_clusters(rows, N, D, 20, 0.4f, 8);
    snprintf(folder, sizeof folder, "%s", testing_folder());
    snprintf(path, sizeof path, "%s/image", folder);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    assert_ok(os_remove_tree(folder, NULL));
    return 0;
}

static dense_index *filled(size_t n) {
    dense_index *index = dense_empty(&config);
    dense_put(index, 0, n, rows, 1);
    for (uint32_t i = 0; i < n; i += 10) dense_index_remove(index, i);
    return index;
}

/* The bytes of a saved image of n vectors. */
static buffer image_of(size_t n) {
    buffer bytes = {0};
    dense_index *index = filled(n);
    assert_ok(dense_index_save(index, path, NULL));
    assert_ok(os_read_file(path, 0, &bytes, NULL));
    dense_index_close(index);
    return bytes;
}

static forage_status open_bytes(const char *bytes, size_t size, dense_index **out, base_error *error) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    return dense_index_open(NULL, path, &config, out, error);
}

/* The same documents and vectors, and the same answers. */
static void assert_same(dense_index *a, dense_index *b) {
    arena memory;
    uint32_t *documents[2];
    uint64_t *versions[2];
    dense_hit hits[2][K];
    arena_init(&memory, 0);
    size_t n = dense_index_documents(a, &memory, &documents[0], &versions[0]);
    assert_int_equal(dense_index_documents(b, &memory, &documents[1], &versions[1]), n);
    assert_memory_equal(documents[0], documents[1], n * sizeof **documents);
    assert_memory_equal(versions[0], versions[1], n * sizeof **versions);
    for (size_t q = 0; q < QUERIES; q++) {
        size_t m = dense_search(a, rows + q * D, K, 20, NULL, &memory, hits[0]);
        assert_int_equal(dense_search(b, rows + q * D, K, 20, NULL, &memory, hits[1]), m);
        for (size_t i = 0; i < m; i++) {
            assert_int_equal(hits[0][i].document, hits[1][i].document);
            assert_true(hits[0][i].distance == hits[1][i].distance);
        }
    }
    arena_release(&memory);
}

/* ---- Damage ---- */

static void any_cut_and_any_flip_is_noticed(void **state) {
    (void)state;
    buffer image = image_of(N);
    dense_index *index = NULL, *whole = filled(N);
    base_error error = {0};
    random_source r;
    random_seed(&r, 1);
    for (size_t size = 0; size < image.size; size += 1000) {
        assert_int_equal(open_bytes(image.data, size, &index, &error), FORAGE_E_CORRUPT);
        assert_non_null(strstr(error.message, path));
    }
    for (size_t size = image.size - 1; size + 20 > image.size; size--)
        assert_int_equal(open_bytes(image.data, size, &index, &error), FORAGE_E_CORRUPT);
    for (int i = 0; i < 300; i++) {
        size_t at = i < 200 ? (size_t)i : random_below(&r, image.size); /* the header's bytes, and some of the others */
        char bit = (char)(1u << random_below(&r, 8));
        image.data[at] ^= bit;
        assert_int_equal(open_bytes(image.data, image.size, &index, &error), FORAGE_E_CORRUPT);
        image.data[at] ^= bit;
    }
    buffer_putc(&image, 'x');
    assert_int_equal(open_bytes(image.data, image.size, &index, &error), FORAGE_E_CORRUPT);
    assert_null(index);
    assert_ok(open_bytes(image.data, image.size - 1, &index, &error));
    dense_sound(index);
    assert_same(whole, index);
    dense_index_close(index);
    dense_index_close(whole);
    buffer_release(&image);
}

/* Checksums that match prove nothing about who made them: what is taken is safe to use. */
static void a_forged_image_is_refused_or_safe(void **state) {
    (void)state;
    buffer image = image_of(400), forged = {0};
    size_t taken = 0, refused = 0;
    arena a;
    random_source r;
    arena_init(&a, 0);
    random_seed(&r, 2);
    for (int i = 0; i < 600; i++) {
        dense_index *index = NULL;
        dense_hit hits[K];
        buffer_clear(&forged);
        buffer_append(&forged, image.data, image.size);
        size_t at = i < 250 ? (size_t)i : random_below(&r, image.size);
        forged.data[at] ^= (char)(1u << random_below(&r, 8));
        dense_image_seal((uint8_t *)forged.data, forged.size);
        if (open_bytes(forged.data, forged.size, &index, NULL)) {
            refused++;
            continue;
        }
        taken++;
        dense_index_check(index, NULL);
        dense_search(index, rows, K, 20, NULL, &a, hits);
        for (uint32_t d = 0; d < 20; d++) assert_ok(dense_index_add(index, d, UINT64_MAX, rows + d * D, NULL));
        dense_index_remove(index, 3);
        dense_search(index, rows, K, 20, NULL, &a, hits);
        dense_index_close(index);
    }
    assert_true(taken > 100 && refused > 100);
    arena_release(&a);
    buffer_release(&image);
    buffer_release(&forged);
}

/* Places in the header: a level without a node, a node that is none, one of another level. */
static void a_forged_entry_is_refused(void **state) {
    (void)state;
    buffer image = image_of(N);
    static const uint64_t bad[] = {1ull << 32, 5ull << 32, N + 1, UINT64_MAX, 0, 31ull << 32 | 1};
    enum { LINKED = 44, ENTRY = 48 };
    for (int linked = 0; linked < 2; linked++)
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            dense_index *index = NULL;
            if (bad[i] == 0 && !linked) continue; /* as it is before there is a graph */
            memcpy(image.data + LINKED, &(uint32_t){(uint32_t)linked}, 4);
            memcpy(image.data + ENTRY, &bad[i], 8);
            dense_image_seal((uint8_t *)image.data, image.size);
            assert_int_equal(open_bytes(image.data, image.size, &index, NULL), FORAGE_E_CORRUPT);
        }
    buffer_release(&image);
}

static void another_configuration_is_refused(void **state) {
    (void)state;
    buffer image = image_of(400);
    dense_config other[] = {config, config, config, config};
    other[0].dimensions++;
    other[1].metric = DENSE_L2;
    other[2].code = DENSE_FLOAT32;
    other[3].M = 9;
    for (int i = 0; i < 4; i++) {
        dense_index *index = NULL;
        base_error error = {0};
        assert_int_equal(dense_index_open(NULL, path, &other[i], &index, &error), FORAGE_E_CORRUPT);
        assert_non_null(strstr(error.message, "another configuration"));
    }
    buffer_release(&image);
}

static void an_empty_index_is_kept(void **state) {
    (void)state;
    dense_index *index = dense_empty(&config), *again = NULL;
    assert_ok(dense_index_save(index, path, NULL));
    assert_ok(dense_index_open(NULL, path, &config, &again, NULL));
    assert_int_equal(dense_told(again).documents, 0);
    dense_put(again, 0, N, rows, 1);
    assert_true(dense_told(again).graph);
    for (uint32_t i = 0; i < N; i++) dense_index_remove(again, i); /* and one of which all were removed */
    assert_ok(dense_index_save(again, path, NULL));
    dense_index_close(index);
    assert_ok(dense_index_open(folder, path, &config, &index, NULL));
    assert_int_equal(dense_told(index).documents, 0);
    dense_put(index, 0, N, rows, 1);
    dense_sound(index);
    assert_true(dense_recall(index, rows, QUERIES, D, K, 40, NULL) > 0.95);
    dense_index_close(index);
    dense_index_close(again);
}

/* ---- Disks and processes ---- */

static forage_status save_below(dense_index *index, size_t limit, base_error *error) {
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){limit, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    forage_status status = dense_index_save(index, path, error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    return status;
}

static void a_full_disk_leaves_the_old_image(void **state) {
    (void)state;
    buffer old = image_of(400), now = {0};
    dense_index *index = filled(N), *again = NULL;
    arena a;
    char **names;
    size_t n;
    arena_init(&a, 0);
    for (size_t limit = 0; limit < old.size * 2; limit += old.size / 4) {
        base_error error = {0};
        assert_true(save_below(index, limit, &error) < 0);
        assert_non_null(strstr(error.message, path));
        buffer_clear(&now);
        assert_ok(os_read_file(path, 0, &now, NULL));
        assert_int_equal(now.size, old.size);
        assert_memory_equal(now.data, old.data, old.size);
        assert_ok(os_list(folder, &a, &names, &n, NULL));
        assert_int_equal(n, 1); /* nothing half-written stays */
        assert_true(dense_recall(index, rows, QUERIES, D, K, 20, NULL) > 0.95);
        assert_ok(dense_index_add(index, 1, 9 + limit, rows + D, NULL));
    }
    assert_ok(dense_index_save(index, path, NULL));
    assert_ok(dense_index_open(NULL, path, &config, &again, NULL));
    assert_same(index, again);
    dense_index_close(again);
    dense_index_close(index);
    arena_release(&a);
    buffer_release(&old);
    buffer_release(&now);
}

/* Full vectors lie in a file, too: what has no room there is refused, and the rest stays. */
static void a_full_disk_refuses_vectors(void **state) {
    (void)state;
    enum { WIDE = 4096, ROOM = 600 };
    dense_config c = {.dimensions = WIDE, .metric = DENSE_L2};
    dense_index *index = NULL;
    base_error error = {0};
    float *one = mem_zalloc(WIDE, sizeof *one);
    struct rlimit before, small;
    arena a;
    dense_hit hits[2];
    uint32_t n = 0;
    arena_init(&a, 0);
    assert_ok(dense_index_create(folder, &c, &index, NULL));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){6 << 20, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    forage_status status = FORAGE_OK;
    for (; n < ROOM && !status; n++) {
        one[n] = 1;
        status = dense_index_add(index, n, 1, one, &error);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(status < 0 && n > 100 && n < ROOM);
    assert_non_null(strstr(error.message, folder));
    assert_int_equal(dense_told(index).documents, n - 1);
    assert_int_equal(dense_search(index, one, 1, 0, NULL, &a, hits), 1);
    assert_int_equal(hits[0].document, n - 2);
    assert_ok(dense_index_add(index, n, 1, one, &error)); /* there is room again */
    assert_int_equal(dense_search(index, one, 1, 0, NULL, &a, hits), 1);
    assert_int_equal(hits[0].document, n);
    dense_sound(index);
    dense_index_close(index);
    arena_release(&a);
    free(one);
}

static void killed_while_saving(void **state) {
    (void)state;
    dense_index *old = filled(400), *new = filled(N);
    size_t olds = 0, news = 0;
    random_source r;
    random_seed(&r, 3);
    for (int i = 0; i < 30; i++) {
        dense_index *found = NULL;
        assert_ok(dense_index_save(old, path, NULL));
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            dense_index_save(new, path, NULL);
            for (;;) pause();
        }
        usleep((useconds_t)random_below(&r, i % 3 ? 4000 : 40000));
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_ok(dense_index_open(NULL, path, &config, &found, NULL));
        bool is_old = dense_told(found).documents == dense_told(old).documents;
        assert_same(found, is_old ? old : new);
        olds += is_old;
        news += !is_old;
        dense_index_close(found);
    }
    assert_int_equal(olds + news, 30);
    dense_index_close(old);
    dense_index_close(new);
}

#define ISOLATED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    signal(SIGXFSZ, SIG_IGN);
    const struct CMUnitTest tests[] = {
        ISOLATED(any_cut_and_any_flip_is_noticed), ISOLATED(a_forged_image_is_refused_or_safe),
        ISOLATED(a_forged_entry_is_refused),       ISOLATED(another_configuration_is_refused),
        ISOLATED(an_empty_index_is_kept),          ISOLATED(a_full_disk_leaves_the_old_image),
        ISOLATED(a_full_disk_refuses_vectors),     ISOLATED(killed_while_saving),
    };
    return cmocka_run_group_tests_name("dense_image", tests, NULL, NULL);
}
