/* Linear layers: both tables of inner loops against sums in double, for every number of rows that has a path of its own, and for weights
 * that fill the 16 bits in which AVX2 adds. */
#include "testing.h"

#include "base/random.h"
#include "encode/bert_matmul.h"

#include <math.h>

enum { MOST_ROWS = 19, MOST_N = 50, MOST_K = 75 };

typedef struct layer {
    uint32_t n, k;
    float weights[MOST_N * MOST_K], bias[MOST_N], in[MOST_ROWS * MOST_K];
} layer;

static const bert_ops *tables[2];
static unsigned n_tables;

static int choose_tables(void **state) {
    (void)state;
    tables[n_tables++] = &bert_ops_plain;
    if (bert_ops_best() != &bert_ops_plain) tables[n_tables++] = bert_ops_best();
    return 0;
}

static void fill(float *x, size_t n, random_source *random) {
    for (size_t i = 0; i < n; i++) x[i] = (float)(2 * random_double(random) - 1);
}

static layer *new_layer(uint32_t n, uint32_t k, random_source *random) {
    layer *l = mem_zalloc(1, sizeof *l);
    l->n = n;
    l->k = k;
    fill(l->weights, (size_t)n * k, random);
    fill(l->bias, n, random);
    fill(l->in, (size_t)MOST_ROWS * k, random);
    return l;
}

/* `share`: of the sum of absolute products that may be lost. */
static void assert_products(const layer *l, const bert_linear *linear, const bert_ops *ops, size_t rows, double share) {
    bert_room room = {0};
    float out[MOST_ROWS * MOST_N];
    bert_linear_run(linear, ops, &room, l->in, rows, out);
    for (size_t r = 0; r < rows; r++) {
        for (uint32_t o = 0; o < l->n; o++) {
            double sum = l->bias[o], size = 1;
            for (uint32_t i = 0; i < l->k; i++) {
                const double product = (double)l->in[r * l->k + i] * l->weights[o * l->k + i];
                sum += product;
                size += fabs(product);
            }
            const double found = out[r * l->n + o];
            if (!(fabs(found - sum) <= share * size))
                fail_msg("%s, %u × %u, row %zu of %zu, output %u: %g, not %g", ops->name, l->n, l->k, r, rows, o, found, sum);
        }
    }
    bert_room_release(&room);
}

static void assert_layer(const layer *l, bert_precision precision, double share) {
    for (int onednn = 0; onednn < 2; onednn++) {
        bert_linear linear;
        bert_linear_init(&linear, l->weights, l->bias, l->n, l->k, precision, onednn);
        for (unsigned t = 0; t < n_tables; t++)
            for (size_t rows = 1; rows <= MOST_ROWS; rows++) assert_products(l, &linear, tables[t], rows, share);
        bert_linear_release(&linear);
    }
}

static const uint32_t shapes[][2] = {{1, 1}, {2, 3}, {16, 8}, {17, 9}, {50, 64}, {33, 75}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void floats_are_multiplied(void **state) {
    (void)state;
    random_source random;
    random_seed(&random, 1);
    for (size_t i = 0; i < SHAPES; i++) {
        layer *l = new_layer(shapes[i][0], shapes[i][1], &random);
        assert_layer(l, BERT_FP32, 1e-5);
        free(l);
    }
}

static void codes_are_multiplied(void **state) {
    (void)state;
    random_source random;
    random_seed(&random, 2);
    for (size_t i = 0; i < SHAPES; i++) {
        layer *l = new_layer(shapes[i][0], shapes[i][1], &random);
        assert_layer(l, BERT_INT8, 0.02);
        free(l);
    }
}

/* Inputs at the end of their codes, weights of one sign, equal or one of a group alone: the largest sums that there can be. */
static void the_largest_sums_fit(void **state) {
    (void)state;
    random_source random;
    random_seed(&random, 3);
    for (uint32_t kind = 0; kind < 6; kind++) {
        layer *l = new_layer(20, 64, &random);
        for (size_t i = 0; i < (size_t)l->n * l->k; i++) {
            const float size = kind % 3 == 0 ? 1 : kind % 3 == 1 ? (float)(i % 4 == 0) : 1 + l->weights[i] / 4;
            l->weights[i] = kind < 3 ? size : -size;
        }
        for (size_t i = 0; i < (size_t)MOST_ROWS * l->k; i++) l->in[i] = i / l->k % 2 ? 1 : i % l->k < 2 ? -1 : 1;
        assert_layer(l, BERT_INT8, 0.02);
        free(l);
    }
}

static void moved_weights_are_the_same(void **state) {
    (void)state;
    random_source random;
    random_seed(&random, 4);
    layer *l = new_layer(33, 75, &random);
    for (int precision = 0; precision < 2; precision++) {
        bert_linear linear, none = {0};
        bert_linear_init(&linear, l->weights, l->bias, l->n, l->k, precision ? BERT_INT8 : BERT_FP32, false);
        const size_t bytes = bert_linear_bytes(&linear);
        assert_true(bytes % 64 == 0 && bert_linear_bytes(&none) == 0);
        void *place = aligned_alloc(64, bytes);
        bert_linear_move(&linear, place);
        bert_linear_move(&none, place);
        for (unsigned t = 0; t < n_tables; t++) assert_products(l, &linear, tables[t], 5, precision ? 0.02 : 1e-5);
        bert_linear_release(&linear);
        free(place);
    }
    free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floats_are_multiplied),
        cmocka_unit_test(codes_are_multiplied),
        cmocka_unit_test(the_largest_sums_fit),
        cmocka_unit_test(moved_weights_are_the_same),
    };
    return cmocka_run_group_tests(tests, choose_tables, NULL);
}
