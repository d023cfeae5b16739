/* The layers of BERT (Devlin et al. 2019; Vaswani et al. 2017, section 3) over sequences packed without padding: what works
 * token by token sees one tall matrix, attention sees one sequence at a time. */
#include "encode/bert_model.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum {
    SHORT = 24,      /* tokens: up to here attention in plain loops is as quick as matrix products (encode_tool latency --tokens) */
    SCORE_ROWS = 64, /* of attention at once: bounds the room of long sequences */
};

static float *grow(float *array, size_t *capacity, size_t need) { return mem_grow(array, capacity, need, sizeof *array); }

static size_t element_size(tensor_type type) { return type == TENSOR_F32 ? 4 : type == TENSOR_F64 ? 8 : 2; }

static void embed(const bert_model *m, bert_scratch *s, const wordpiece_tokens *sequences, size_t n) {
    const bert_config *c = &m->config;
    const size_t d = c->dimensions, row_size = d * element_size(m->embeddings.type);
    float *x = s->x;
    for (size_t i = 0; i < n; i++) {
        const wordpiece_tokens *t = &sequences[i];
        for (uint32_t at = 0; at < t->n; at++, x += d) {
            assert(at < c->positions && t->ids[at] < c->vocabulary);
            tensor_view row = m->embeddings;
            row.data = (const char *)m->embeddings.data + t->ids[at] * row_size;
            row.n = d;
            (void)tensor_to_floats(&row, x, NULL); /* its type was asked for when the model was opened */
            m->ops->add_bias(x, 1, d, m->positions + (size_t)at * d);
            if (c->types) m->ops->add_bias(x, 1, d, m->types + (t->types[at] < c->types ? t->types[at] : 0) * d);
        }
    }
    m->ops->layer_norm(s->x, NULL, (size_t)(x - s->x) / d, d, m->embedded_norm.weight, m->embedded_norm.bias, c->epsilon);
}

/* Attention of one long sequence and head, some rows of scores at a time. */
static void attend_long(const bert_model *m, bert_scratch *s, const float *mix, size_t n, size_t d, float *out) {
    const size_t all = m->config.dimensions, stride = 3 * all;
    const float scale = 1.0f / sqrtf((float)d);
    for (size_t first = 0; first < n; first += SCORE_ROWS) {
        const size_t rows = n - first < SCORE_ROWS ? n - first : SCORE_ROWS;
        bert_product(true, rows, n, d, mix + first * stride, stride, mix + all, stride, s->scores, n);
        m->ops->softmax(s->scores, rows, n, scale);
        bert_product(false, rows, d, n, s->scores, n, mix + 2 * all, stride, out + first * all, all);
    }
}

static void attend(const bert_model *m, bert_scratch *s, const wordpiece_tokens *sequences, size_t n) {
    const size_t all = m->config.dimensions, d = all / m->config.heads, stride = 3 * all;
    const float scale = 1.0f / sqrtf((float)d), *mix = s->mix;
    float *out = s->y;
    for (size_t i = 0; i < n; i++) {
        const size_t length = sequences[i].n;
        s->scores = grow(s->scores, &s->scores_capacity, length * SCORE_ROWS);
        for (size_t h = 0; h < all; h += d) {
            if (length > SHORT) attend_long(m, s, mix + h, length, d, out + h);
            else m->ops->attend(mix + h, mix + all + h, mix + 2 * all + h, length, d, stride, scale, s->scores, out + h, all);
        }
        mix += length * stride;
        out += length * all;
    }
}

/* Of states and of what attention made of them only the first token of each sequence stays; returns the rows left. */
static size_t keep_first(bert_scratch *s, const wordpiece_tokens *sequences, size_t n, size_t d) {
    for (size_t i = 0, row = 0; i < n; row += sequences[i++].n) {
        memmove(s->x + i * d, s->x + row * d, d * sizeof *s->x);
        memmove(s->y + i * d, s->y + row * d, d * sizeof *s->y);
    }
    return n;
}

void bert_forward(const bert_model *m, bert_scratch *s, const wordpiece_tokens *sequences, size_t n, bool first_only) {
    const bert_config *c = &m->config;
    const bert_ops *ops = m->ops;
    const size_t d = c->dimensions;
    size_t rows = 0;
    for (size_t i = 0; i < n; i++) rows += sequences[i].n;
    s->x = grow(s->x, &s->x_capacity, rows * d);
    s->y = grow(s->y, &s->y_capacity, rows * d);
    s->mix = grow(s->mix, &s->mix_capacity, rows * 3 * d);
    s->inner = grow(s->inner, &s->inner_capacity, rows * c->inner);
    embed(m, s, sequences, n);
    for (uint32_t i = 0; i < c->layers; i++) {
        const bert_layer *l = &m->layers[i];
        bert_linear_run(&l->mix, ops, &s->room, s->x, rows, s->mix);
        attend(m, s, sequences, n);
        if (first_only && i + 1 == c->layers) rows = keep_first(s, sequences, n, d);
        bert_linear_run(&l->out, ops, &s->room, s->y, rows, s->mix);
        ops->layer_norm(s->x, s->mix, rows, d, l->out_norm.weight, l->out_norm.bias, c->epsilon);
        bert_linear_run(&l->widen, ops, &s->room, s->x, rows, s->inner);
        ops->activate(c->activation, s->inner, rows * c->inner);
        bert_linear_run(&l->narrow, ops, &s->room, s->inner, rows, s->y);
        ops->layer_norm(s->x, s->y, rows, d, l->narrow_norm.weight, l->narrow_norm.bias, c->epsilon);
    }
}

void bert_transform(const bert_model *m, bert_scratch *s, const float *states, size_t rows) {
    const bert_config *c = &m->config;
    s->y = grow(s->y, &s->y_capacity, rows * c->dimensions);
    bert_linear_run(&m->transform, m->ops, &s->room, states, rows, s->y);
    bert_activation which = m->head == BERT_SPARSE ? c->activation : c->distil ? BERT_RELU : BERT_TANH;
    m->ops->activate(which, s->y, rows * c->dimensions);
    if (m->head == BERT_SPARSE)
        m->ops->layer_norm(s->y, NULL, rows, c->dimensions, m->transform_norm.weight, m->transform_norm.bias, c->epsilon);
}
