/* Scores rows with a forest, and times it. ROWS is a file of float32, row-major, F to a row; NaN: no value.
 *
 *     forest_driver score MODEL ROWS F BACKEND OUT       margins as float32; BACKEND as in forest_use, "-" for the best
 *     forest_driver speed MODEL ROWS F BATCH BACKEND     µs a row, all rows in requests of BATCH; then what the forest is
 *     forest_driver xgboost MODEL ROWS F BATCH           the same by the XGBoost library that Forage is linked with
 *     forest_driver read MODEL                           ms to read it, to load it from Forage's own bytes, sizes of both
 *
 * Times are processor time of one thread, the best of fifteen runs over all rows after one to warm up. */
#include "rank/forest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xgboost/c_api.h>

enum { RUNS = 15 };

typedef struct rows {
    float *x;
    size_t n, F;
} rows;

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "forest_driver: %s\n", what);
    exit(1);
}

static buffer read_file(const char *path) {
    buffer b = {0};
    FILE *file = fopen(path, "rb");
    if (!file) fail(path);
    for (size_t got; (got = fread(buffer_reserve(&b, 1 << 20), 1, 1 << 20, file));) b.size += got;
    fclose(file);
    return b;
}

static rows read_rows(const char *path, const char *F) {
    buffer b = read_file(path);
    rows r = {.x = (float *)(void *)b.data, .F = strtoul(F, NULL, 10)};
    if (!r.F || b.size % (4 * r.F)) fail("the rows have another length");
    r.n = b.size / (4 * r.F);
    return r;
}

static forest *read_forest(const char *path) {
    buffer b = read_file(path);
    base_error error;
    forest *f = NULL;
    if (forest_read((slice){b.data, b.size}, &f, &error)) fail(error.message);
    buffer_release(&b);
    return f;
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void use(const char *backend) {
    base_error error;
    if (strcmp(backend, "-") != 0 && forest_use(backend, &error)) fail(error.message);
}

static void score_all(const forest *f, rows r, size_t batch, arena *scratch, float *scores) {
    for (size_t first = 0; first < r.n; first += batch) {
        arena_reset(scratch);
        forest_score(f, r.x + first * r.F, r.n - first < batch ? r.n - first : batch, r.F, scratch, scores + first);
    }
}

static void score(char **argument) {
    forest *f = read_forest(argument[0]);
    rows r = read_rows(argument[1], argument[2]);
    use(argument[3]);
    arena scratch;
    arena_init(&scratch, 0);
    float *scores = mem_alloc(r.n * sizeof *scores);
    score_all(f, r, r.n, &scratch, scores);
    FILE *out = fopen(argument[4], "wb");
    if (!out || fwrite(scores, sizeof *scores, r.n, out) != r.n || fclose(out)) fail("the scores cannot be written");
    free(scores);
    arena_release(&scratch);
    forest_destroy(f);
}

static void speed(char **argument) {
    forest *f = read_forest(argument[0]);
    rows r = read_rows(argument[1], argument[2]);
    size_t batch = strtoul(argument[3], NULL, 10);
    double best = INFINITY;
    use(argument[4]);
    arena scratch;
    arena_init(&scratch, 0);
    float *scores = mem_alloc(r.n * sizeof *scores);
    for (int run = 0; run <= RUNS; run++) {
        double start = seconds();
        score_all(f, r, batch, &scratch, scores);
        if (run) best = fmin(best, seconds() - start);
    }
    forest_shape shape = forest_describe(f);
    printf("%s\t%.4f\t%u trees, %zu nodes, up to %u leaves, depth %u, %zu KiB of scratch\n", forest_backend_name(),
           best * 1e6 / (double)r.n, shape.n_trees, shape.n_nodes, shape.n_leaves_max, shape.depth,
           forest_scratch_bytes(f) / 1024);
    free(scores);
    arena_release(&scratch);
    forest_destroy(f);
}

/* ---- XGBoost ---- */

static void check(int failed) {
    if (failed) fail(XGBGetLastError());
}

/* In place: without making a matrix first, the quickest way that its interface has. */
static void predict(BoosterHandle booster, rows r, size_t first, size_t n, DMatrixHandle proxy) {
    char array[256];
    const bst_ulong *shape;
    bst_ulong dims;
    const float *result;
    snprintf(array, sizeof array, "{\"data\": [%zu, true], \"shape\": [%zu, %zu], \"typestr\": \"<f4\", \"version\": 3}",
             (size_t)(r.x + first * r.F), n, r.F);
    check(XGBoosterPredictFromDense(booster, array,
                                    "{\"type\": 1, \"training\": false, \"iteration_begin\": 0, \"iteration_end\": 0, "
                                    "\"strict_shape\": false, \"cache_id\": 0, \"missing\": NaN}",
                                    proxy, &shape, &dims, &result));
}

static void time_xgboost(char **argument) {
    rows r = read_rows(argument[1], argument[2]);
    size_t batch = strtoul(argument[3], NULL, 10);
    BoosterHandle booster;
    double best = INFINITY;
    int major, minor, patch;
    check(XGBoosterCreate(NULL, 0, &booster));
    check(XGBoosterLoadModel(booster, argument[0]));
    check(XGBoosterSetParam(booster, "nthread", "1"));
    for (int run = 0; run <= RUNS; run++) {
        double start = seconds();
        for (size_t first = 0; first < r.n; first += batch)
            predict(booster, r, first, r.n - first < batch ? r.n - first : batch, NULL);
        if (run) best = fmin(best, seconds() - start);
    }
    XGBoostVersion(&major, &minor, &patch);
    printf("%d.%d.%d\t%.4f\n", major, minor, patch, best * 1e6 / (double)r.n);
    check(XGBoosterFree(booster));
}

static void read_speed(const char *path) {
    buffer file = read_file(path), own = {0};
    forest *f = NULL;
    base_error error;
    double start = seconds();
    if (forest_read((slice){file.data, file.size}, &f, &error)) fail(error.message);
    double read = seconds() - start;
    forest_save(f, &own);
    forest_destroy(f);
    start = seconds();
    if (forest_load((slice){own.data, own.size}, &f, &error)) fail(error.message);
    printf("%.1f\t%.1f\t%zu\t%zu\n", read * 1e3, (seconds() - start) * 1e3, file.size, own.size);
    forest_destroy(f);
    buffer_release(&file);
    buffer_release(&own);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (argc == 7 && strcmp(what, "score") == 0) score(argv + 2);
    else if (argc == 7 && strcmp(what, "speed") == 0) speed(argv + 2);
    else if (argc == 6 && strcmp(what, "xgboost") == 0) time_xgboost(argv + 2);
    else if (argc == 3 && strcmp(what, "read") == 0) read_speed(argv[2]);
    else fail("score MODEL ROWS F BACKEND OUT, speed MODEL ROWS F BATCH BACKEND, xgboost MODEL ROWS F BATCH, or read MODEL");
    return 0;
}
