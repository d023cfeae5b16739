/* Compiled twice: as plain C, and for AVX2 with FMA (meson.build), where BERT_OPS names the other table. Loops are written so that
 * the compiler can vectorise them: no calls, sums that may be reordered (-fassociative-math). */
#include "encode/bert_ops.h"

#include <math.h>
#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#ifndef BERT_OPS
#define BERT_OPS bert_ops_plain
#define BERT_OPS_NAME "plain"
#else
#define BERT_OPS_NAME "avx2"
#endif

#define INLINE static inline __attribute__((always_inline))

/* ---- Functions of one number ---- */

/* e^x, relative error below 1e-6 (Cody & Waite: 2^i × e^f with |f| ≤ ln 2 / 2, e^f by its series). */
INLINE float exponential(float x) {
    x = x < -87.0f ? -87.0f : x > 87.0f ? 87.0f : x;
    float t = x * 1.44269504f;
    int32_t i = (int32_t)(t + __builtin_copysignf(0.5f, t));
    float f = (x - (float)i * 0.693359375f) + (float)i * 2.12194440e-4f;
    float p = 1.0f + f * (1.0f + f * (0.5f + f * (0.16666667f + f * (0.041666667f + f * (0.0083333333f + f * 0.0013888889f)))));
    union { int32_t i; float f; } two = {(i + 127) << 23};
    return p * two.f;
}

/* Abramowitz & Stegun 7.1.26: absolute error below 1.5e-7 + rounding. */
INLINE float error_function(float x) {
    float a = __builtin_fabsf(x);
    float t = 1.0f / (1.0f + 0.3275911f * a);
    float p = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    return __builtin_copysignf(1.0f - p * exponential(-a * a), x);
}

INLINE float hyperbolic_tangent(float x) { return 1.0f - 2.0f / (exponential(2.0f * x) + 1.0f); }

static void activate(bert_activation which, float *x, size_t n) {
    switch (which) {
    case BERT_GELU:
        for (size_t i = 0; i < n; i++) x[i] = 0.5f * x[i] * (1.0f + error_function(x[i] * 0.70710678f));
        break;
    case BERT_GELU_TANH:
        for (size_t i = 0; i < n; i++)
            x[i] = 0.5f * x[i] * (1.0f + hyperbolic_tangent(0.79788456f * (x[i] + 0.044715f * x[i] * x[i] * x[i])));
        break;
    case BERT_RELU:
        for (size_t i = 0; i < n; i++) x[i] = x[i] > 0 ? x[i] : 0;
        break;
    case BERT_TANH:
        for (size_t i = 0; i < n; i++) x[i] = hyperbolic_tangent(x[i]);
        break;
    }
}

/* ---- Rows ---- */

static void layer_norm(float *x, const float *residual, size_t rows, size_t n, const float *weight, const float *bias,
                       float epsilon) {
    for (size_t r = 0; r < rows; r++, x += n) {
        float sum = 0, squares = 0;
        if (residual) {
            const float *add = residual + r * n;
            for (size_t i = 0; i < n; i++) x[i] += add[i];
        }
        for (size_t i = 0; i < n; i++) sum += x[i];
        const float mean = sum / (float)n;
        for (size_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
        const float scale = 1.0f / sqrtf(squares / (float)n + epsilon);
        for (size_t i = 0; i < n; i++) x[i] = (x[i] - mean) * scale * weight[i] + bias[i];
    }
}

static void add_bias(float *x, size_t rows, size_t n, const float *bias) {
    for (size_t r = 0; r < rows; r++, x += n)
        for (size_t i = 0; i < n; i++) x[i] += bias[i];
}

static void softmax(float *x, size_t rows, size_t n, float scale) {
    for (size_t r = 0; r < rows; r++, x += n) {
        float most = x[0], sum = 0;
        for (size_t i = 1; i < n; i++) most = x[i] > most ? x[i] : most;
        for (size_t i = 0; i < n; i++) {
            x[i] = exponential(scale * (x[i] - most));
            sum += x[i];
        }
        const float share = 1.0f / sum;
        for (size_t i = 0; i < n; i++) x[i] *= share;
    }
}

static void attend(const float *q, const float *k, const float *v, size_t n, size_t d, size_t stride, float scale, float *scores,
                   float *out, size_t out_stride) {
    for (size_t i = 0; i < n; i++) {
        const float *qi = q + i * stride;
        float *row = out + i * out_stride;
        for (size_t j = 0; j < n; j++) {
            const float *kj = k + j * stride;
            float dot = 0;
            for (size_t c = 0; c < d; c++) dot += qi[c] * kj[c];
            scores[j] = dot;
        }
        softmax(scores, 1, n, scale);
        for (size_t c = 0; c < d; c++) row[c] = 0;
        for (size_t j = 0; j < n; j++) {
            const float *vj = v + j * stride, p = scores[j];
            for (size_t c = 0; c < d; c++) row[c] += p * vj[c];
        }
    }
}

static void max_rows(const float *x, size_t rows, size_t n, float *best) {
    for (size_t r = 0; r < rows; r++, x += n)
        for (size_t i = 0; i < n; i++) best[i] = x[i] > best[i] ? x[i] : best[i];
}

/* ---- Products of float32 ---- */

typedef float lanes __attribute__((vector_size(32), aligned(4), may_alias));
typedef float whole __attribute__((vector_size(32)));
enum { LANES = 8, TILE = 6 };

/* Weights come from far away and few rows use them: while a strip is at work the next one is fetched. Of the `tiles` that go through a
 * strip each fetches its part, `step` bytes for every 128 that it reads. */
INLINE const char *part_ahead(const void *weights, size_t strip, size_t tile, size_t tiles) {
    return (const char *)weights + strip + strip / tiles * tile;
}

INLINE void fetch(const char *ahead) {
    __builtin_prefetch(ahead, 0, 2);
    __builtin_prefetch(ahead + 64, 0, 2);
}

/* `tile` rows × one strip: the sums stay in registers, each weight read serves all rows. */
INLINE void tile_f32(const float *in, size_t k, unsigned tile, const float *weights, const char *ahead, size_t step,
                     float (*sums)[BERT_STRIP]) {
    whole low[TILE], high[TILE];
    for (unsigned r = 0; r < tile; r++) low[r] = high[r] = (whole){0};
    for (size_t c = 0; c < k; c++, weights += BERT_STRIP, ahead += step) {
        const whole w0 = *(const lanes *)weights, w1 = *(const lanes *)(weights + LANES);
        __builtin_prefetch(ahead, 0, 2);
        for (unsigned r = 0; r < tile; r++) {
            const float x = in[r * k + c];
            low[r] += x * w0;
            high[r] += x * w1;
        }
    }
    for (unsigned r = 0; r < tile; r++) {
        *(lanes *)sums[r] = low[r];
        *(lanes *)(sums[r] + LANES) = high[r];
    }
}

INLINE void add_rows(float *out, const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = a[i] + b[i];
}

/* Eight rows are two tiles of four: better than one of six and one of two. */
INLINE unsigned tile_of(size_t left) { return left >= TILE && left != 8 ? TILE : left >= 4 ? 4 : (unsigned)left; }

static void multiply_f32(const float *in, size_t rows, size_t k, const float *weights, const float *bias, size_t n, float *out,
                         size_t out_stride) {
    static const float none[BERT_STRIP];
    float sums[TILE][BERT_STRIP];
    const size_t tiles = (rows + TILE - 1) / TILE, step = 64 / tiles;
    for (size_t first = 0; first < n; first += BERT_STRIP, weights += k * BERT_STRIP) {
        for (size_t r = 0, number = 0; r < rows; number++) {
            const unsigned tile = tile_of(rows - r);
            const float *from = in + r * k;
            const char *ahead = part_ahead(weights, k * sizeof sums[0], number, tiles);
            switch (tile) {
            case 6: tile_f32(from, k, 6, weights, ahead, step, sums); break;
            case 4: tile_f32(from, k, 4, weights, ahead, step, sums); break;
            case 3: tile_f32(from, k, 3, weights, ahead, step, sums); break;
            case 2: tile_f32(from, k, 2, weights, ahead, step, sums); break;
            default: tile_f32(from, k, 1, weights, ahead, step, sums); break;
            }
            for (unsigned i = 0; i < tile; i++, r++) {
                float *row = out + r * out_stride + first;
                if (n - first >= BERT_STRIP) add_rows(row, sums[i], bias ? bias + first : none, BERT_STRIP);
                else add_rows(row, sums[i], bias ? bias + first : none, n - first);
            }
        }
    }
}

/* ---- Products of 8-bit integers ---- */

static void quantize(const float *x, size_t rows, size_t n, size_t stride, uint8_t *codes, float *scales, int32_t *zeros) {
    for (size_t r = 0; r < rows; r++, x += n, codes += stride) {
        float least = 0, most = 0; /* 0 has a code of its own */
        for (size_t i = 0; i < n; i++) least = x[i] < least ? x[i] : least;
        for (size_t i = 0; i < n; i++) most = x[i] > most ? x[i] : most;
        const float scale = most > least ? (most - least) / 255.0f : 1.0f, per = 1.0f / scale;
        const float zero = (float)(int32_t)(-least * per + 0.5f);
        for (size_t i = 0; i < n; i++) {
            int32_t code = (int32_t)(x[i] * per + zero + 0.5f);
            codes[i] = (uint8_t)(code < 0 ? 0 : code > 255 ? 255 : code);
        }
        memset(codes + n, 0, stride - n);
        scales[r] = scale;
        zeros[r] = (int32_t)zero;
    }
}

#if defined(__AVX2__)
/* The products of two groups are added in 16 bits, where the codes of the weights leave room for them (bert_ops.h). */
INLINE __m256i eight_products(__m256i sums, __m256i x0, __m256i w0, __m256i x1, __m256i w1) {
    const __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(x0, w0), _mm256_maddubs_epi16(x1, w1));
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

INLINE __m256i same_four(const uint8_t *codes) {
    int32_t four;
    memcpy(&four, codes, sizeof four);
    return _mm256_set1_epi32(four);
}

INLINE void tile_i8(const uint8_t *codes, size_t groups, unsigned tile, const int8_t *weights, const char *ahead, size_t step,
                    int32_t (*sums)[BERT_STRIP]) {
    __m256i low[4], high[4];
    for (unsigned r = 0; r < tile; r++) low[r] = high[r] = _mm256_setzero_si256();
    for (size_t g = 0; g < groups; g += 2, weights += BERT_STRIP * 8, ahead += step) {
        const __m256i w0 = _mm256_loadu_si256((const __m256i *)weights), w1 = _mm256_loadu_si256((const __m256i *)(weights + 32));
        const __m256i w2 = _mm256_loadu_si256((const __m256i *)(weights + 64));
        const __m256i w3 = _mm256_loadu_si256((const __m256i *)(weights + 96));
        fetch(ahead);
        for (unsigned r = 0; r < tile; r++) {
            const __m256i x0 = same_four(codes + (r * groups + g) * 4), x1 = same_four(codes + (r * groups + g) * 4 + 4);
            low[r] = eight_products(low[r], x0, w0, x1, w2);
            high[r] = eight_products(high[r], x0, w1, x1, w3);
        }
    }
    for (unsigned r = 0; r < tile; r++) {
        _mm256_storeu_si256((__m256i *)sums[r], low[r]);
        _mm256_storeu_si256((__m256i *)(sums[r] + 8), high[r]);
    }
}
#else
INLINE void tile_i8(const uint8_t *codes, size_t groups, unsigned tile, const int8_t *weights, const char *ahead, size_t step,
                    int32_t (*sums)[BERT_STRIP]) {
    memset(sums, 0, tile * sizeof *sums);
    for (size_t g = 0; g < groups; g++, weights += BERT_STRIP * 4) {
        if (g % 2) {
            fetch(ahead);
            ahead += step;
        }
        for (unsigned r = 0; r < tile; r++) {
            const uint8_t *x = codes + (r * groups + g) * 4;
            for (unsigned j = 0; j < BERT_STRIP; j++)
                for (unsigned i = 0; i < 4; i++) sums[r][j] += x[i] * weights[j * 4 + i];
        }
    }
}
#endif

INLINE void scale_row(const int32_t *sums, float scale, int32_t zero, size_t n, const float *weight_scales, const int32_t *weight_sums,
                      const float *bias, float *out) {
    for (size_t j = 0; j < n; j++) out[j] = scale * weight_scales[j] * (float)(sums[j] - zero * weight_sums[j]) + bias[j];
}

static void scale_back(const int32_t *sums, const float *scales, const int32_t *zeros, size_t rows, size_t n,
                       const float *weight_scales, const int32_t *weight_sums, const float *bias, float *out, size_t out_stride) {
    for (size_t r = 0; r < rows; r++, sums += n, out += out_stride)
        scale_row(sums, scales[r], zeros[r], n, weight_scales, weight_sums, bias, out);
}

static void multiply_i8(const uint8_t *codes, const float *scales, const int32_t *zeros, size_t rows, size_t groups,
                        const int8_t *weights, const float *weight_scales, const int32_t *weight_sums, const float *bias, size_t n,
                        float *out, size_t out_stride) {
    int32_t sums[4][BERT_STRIP];
    const size_t strip = groups * BERT_STRIP * 4, tiles = (rows + 3) / 4, step = 128 / tiles;
    for (size_t first = 0; first < n; first += BERT_STRIP, weights += strip) {
        for (size_t r = 0, number = 0; r < rows; number++) {
            const unsigned tile = rows - r >= 4 ? 4 : (unsigned)(rows - r);
            const uint8_t *from = codes + r * groups * 4;
            const char *ahead = part_ahead(weights, strip, number, tiles);
            switch (tile) {
            case 4: tile_i8(from, groups, 4, weights, ahead, step, sums); break;
            case 3: tile_i8(from, groups, 3, weights, ahead, step, sums); break;
            case 2: tile_i8(from, groups, 2, weights, ahead, step, sums); break;
            default: tile_i8(from, groups, 1, weights, ahead, step, sums); break;
            }
            for (unsigned i = 0; i < tile; i++, r++) {
                float *row = out + r * out_stride + first;
                if (n - first >= BERT_STRIP)
                    scale_row(sums[i], scales[r], zeros[r], BERT_STRIP, weight_scales + first, weight_sums + first, bias + first, row);
                else scale_row(sums[i], scales[r], zeros[r], n - first, weight_scales + first, weight_sums + first, bias + first, row);
            }
        }
    }
}

const bert_ops BERT_OPS = {
    .name = BERT_OPS_NAME, .layer_norm = layer_norm, .add_bias = add_bias, .activate = activate, .softmax = softmax,
    .attend = attend, .max_rows = max_rows, .multiply_f32 = multiply_f32, .quantize = quantize, .multiply_i8 = multiply_i8,
    .scale_back = scale_back,
};
