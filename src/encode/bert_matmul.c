#include "encode/bert_matmul.h"

#include <dnnl.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 64 }; /* bytes, of the cache */

/* oneDNN of this build divides its work among OpenMP's threads. Ours are the ones that share the work, so it gets one: the
 * setting belongs to the calling thread, and XGBoost in the same thread may want another. */
int omp_get_max_threads(void);
void omp_set_num_threads(int n);

static int take_one_thread(void) {
    int before = omp_get_max_threads();
    if (before != 1) omp_set_num_threads(1);
    return before;
}

static void give_threads_back(int before) {
    if (before != 1) omp_set_num_threads(before);
}

/* ---- Who multiplies ---- */

#if defined(__x86_64__)
static bool has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
static bool has_avx512(void) { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"); }
#else
static bool has_avx2(void) { return false; }
static bool has_avx512(void) { return false; }
#endif

bool bert_uses_onednn(bert_backend wanted) {
    if (wanted != BERT_BACKEND_BEST) return wanted == BERT_BACKEND_ONEDNN;
    return !has_avx2() || has_avx512();
}

const bert_ops *bert_ops_best(void) {
    const char *name = getenv("FORAGE_KERNEL");
#if defined(__x86_64__)
    if (has_avx2() && !(name && strcmp(name, "scalar") == 0)) return &bert_ops_avx2;
#endif
    (void)name;
    return &bert_ops_plain;
}

/* ---- Layers ---- */

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

/* Inputs of 8-bit layers, with those that are always 0. */
static size_t padded(size_t k) { return round_up(k, 8); }

static size_t strip_place(size_t output, size_t input, size_t groups) {
    return ((output / BERT_STRIP * groups + input / 4) * BERT_STRIP + output % BERT_STRIP) * 4 + input % 4;
}

static void keep_floats(bert_linear *l, const float *w) {
    const size_t n = l->n, k = l->k;
    l->weights = mem_zalloc(round_up(n, BERT_STRIP) * k, sizeof *l->weights);
    for (size_t o = 0; o < n; o++) {
        for (size_t i = 0; i < k; i++) {
            size_t at = l->onednn ? i * n + o : (o / BERT_STRIP * k + i) * BERT_STRIP + o % BERT_STRIP;
            l->weights[at] = w[o * k + i];
        }
    }
}

/* AVX2 adds four products in 16 bits (bert_ops.h): 255 × the sum of their codes of one sign must stay below 2^15. So the scale follows
 * the largest such sum, which is not much larger than the largest weight: large neighbours are rare. Rounding may add a half for each
 * of the four beside the half that BERT_CODE_MOST leaves. */
static float scale_of(const float *w, size_t k) {
    float largest = 0;
    for (size_t i = 0; i < k; i += i % 4 ? 6 : 2) { /* 0, 2, 8, 10, … */
        float up = 0, down = 0;
        for (size_t j = 0; j < 4; j++) {
            const size_t at = i + j % 2 + j / 2 * 4;
            const float x = at < k ? w[at] : 0;
            up += x > 0 ? x : 0;
            down += x < 0 ? -x : 0;
        }
        const float more = up > down ? up : down;
        largest = more > largest ? more : largest;
    }
    return largest > 0 ? largest / (BERT_CODE_MOST - 1) : 1;
}

static void keep_codes(bert_linear *l, const float *weights) {
    const size_t n = l->n, k = l->k, kept_k = padded(k);
    l->codes = mem_zalloc(round_up(n, BERT_STRIP) * kept_k, 1);
    l->scales = mem_alloc(n * sizeof *l->scales);
    l->sums = mem_zalloc(n, sizeof *l->sums);
    for (size_t o = 0; o < n; o++) {
        const float *w = weights + o * k;
        const float scale = l->scales[o] = scale_of(w, k);
        for (size_t i = 0; i < k; i++) {
            const float code = w[i] / scale;
            const int32_t whole = (int32_t)(code + (code < 0 ? -0.5f : 0.5f)), most = BERT_CODE_MOST;
            const int8_t kept = (int8_t)(whole > most ? most : whole < -most ? -most : whole);
            l->codes[l->onednn ? o * kept_k + i : strip_place(o, i, kept_k / 4)] = kept;
            l->sums[o] += kept;
        }
    }
}

void bert_linear_init(bert_linear *l, const float *weights, const float *bias, uint32_t n, uint32_t k, bert_precision precision,
                      bool onednn) {
    *l = (bert_linear){.n = n, .k = k, .onednn = onednn};
    l->bias = mem_zalloc(n, sizeof *l->bias);
    if (bias) memcpy(l->bias, bias, n * sizeof *bias);
    if (precision == BERT_INT8) keep_codes(l, weights);
    else keep_floats(l, weights);
}

static size_t bytes_of(const bert_linear *l) {
    const size_t outputs = l->onednn ? l->n : round_up(l->n, BERT_STRIP);
    return l->codes ? outputs * padded(l->k) : outputs * l->k * sizeof *l->weights;
}

size_t bert_linear_bytes(const bert_linear *l) { return round_up(bytes_of(l), LINE); }

void bert_linear_move(bert_linear *l, void *to) {
    void *old = l->codes ? (void *)l->codes : l->weights;
    assert(!l->moved && (uintptr_t)to % LINE == 0);
    if (!old) return;
    memcpy(to, old, bytes_of(l));
    if (l->codes) l->codes = to;
    else l->weights = to;
    l->moved = true;
    free(old);
}

void bert_linear_release(bert_linear *l) {
    if (!l->moved) {
        free(l->weights);
        free(l->codes);
    }
    free(l->scales);
    free(l->sums);
    free(l->bias);
    *l = (bert_linear){0};
}

void bert_room_release(bert_room *room) {
    free(room->codes);
    free(room->scales);
    free(room->zeros);
    free(room->sums);
    *room = (bert_room){0};
}

/* ---- Products ---- */

static void check(dnnl_status_t status) {
    assert(status == dnnl_success); /* sizes are ours, and always valid */
    (void)status;
}

void bert_product(bool transposed, size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float *c,
                  size_t ldc) {
    int threads = take_one_thread();
    check(dnnl_sgemm('N', transposed ? 'T' : 'N', (dnnl_dim_t)m, (dnnl_dim_t)n, (dnnl_dim_t)k, 1.0f, a, (dnnl_dim_t)lda, b,
                     (dnnl_dim_t)ldb, 0.0f, c, (dnnl_dim_t)ldc));
    give_threads_back(threads);
}

static void part_i8(const bert_linear *l, const bert_ops *ops, bert_room *room, const float *in, size_t rows, uint32_t from,
                    uint32_t count, float *out) {
    const size_t kept_k = padded(l->k);
    room->codes = mem_grow(room->codes, &room->codes_capacity, rows * kept_k, sizeof *room->codes);
    room->scales = mem_grow(room->scales, &room->scales_capacity, rows, sizeof *room->scales);
    room->zeros = mem_grow(room->zeros, &room->zeros_capacity, rows, sizeof *room->zeros);
    ops->quantize(in, rows, l->k, kept_k, room->codes, room->scales, room->zeros);
    if (!l->onednn) {
        ops->multiply_i8(room->codes, room->scales, room->zeros, rows, kept_k / 4, l->codes + (size_t)from * kept_k, l->scales + from,
                         l->sums + from, l->bias + from, count, out, count);
        return;
    }
    const int32_t no_offset = 0;
    room->sums = mem_grow(room->sums, &room->sums_capacity, rows * count, sizeof *room->sums);
    int threads = take_one_thread();
    check(dnnl_gemm_u8s8s32('N', 'T', 'F', (dnnl_dim_t)rows, count, (dnnl_dim_t)kept_k, 1.0f, room->codes, (dnnl_dim_t)kept_k, 0,
                            l->codes + (size_t)from * kept_k, (dnnl_dim_t)kept_k, 0, 0.0f, room->sums, count, &no_offset));
    give_threads_back(threads);
    ops->scale_back(room->sums, room->scales, room->zeros, rows, count, l->scales + from, l->sums + from, l->bias + from, out,
                    count);
}

void bert_linear_part(const bert_linear *l, const bert_ops *ops, bert_room *room, const float *in, size_t rows, uint32_t from,
                      uint32_t count, float *out) {
    assert(from % BERT_STRIP == 0 && from + count <= l->n);
    if (!rows || !count) return;
    if (l->codes) {
        part_i8(l, ops, room, in, rows, from, count, out);
    } else if (l->onednn) {
        bert_product(false, rows, count, l->k, in, l->k, l->weights + from, l->n, out, count);
        ops->add_bias(out, rows, count, l->bias + from);
    } else {
        ops->multiply_f32(in, rows, l->k, l->weights + (size_t)from * l->k, l->bias + from, count, out, count);
    }
}
