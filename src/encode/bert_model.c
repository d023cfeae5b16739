#include "encode/bert_model.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "os/file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    MOST_THREADS = 64,
    QUEUE = 1024,
    HUGE_PAGE = 2 << 20,
    CODES = 2, /* how weights become 8 bits: raised when that changes */
};

/* What moves the vectors: the weights, and how they are used. Not the threads, not whose products. */
static forage_status version_of(const char *path, const bert_model *m, uint64_t *out, base_error *error) {
    os_map map = {0};
    buffer b = {0};
    forage_status status = os_map_file(path, &map, error);
    if (status) return status;
    put_u64(&b, hash64(map.data, map.size, 0));
    put_u8(&b, (uint8_t)m->head);
    put_u8(&b, (uint8_t)(m->precision == BERT_INT8 ? CODES : 0));
    put_u8(&b, (uint8_t)m->config.pooling);
    put_u32(&b, m->config.most_tokens);
    put_string(&b, m->config.query_prefix);
    put_string(&b, m->config.document_prefix);
    *out = hash64(b.data, b.size, 0);
    buffer_release(&b);
    os_unmap(&map);
    return FORAGE_OK;
}

static unsigned threads_of(unsigned wanted) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned n = wanted ? wanted : cores > 0 ? (unsigned)cores : 1;
    return n > MOST_THREADS ? MOST_THREADS : n;
}

/* A query reads every weight once, a stream of tens of megabytes: in one piece and in huge pages, which the TLB can hold. */
static void gather_weights(bert_model *m) {
    const uint32_t layers = m->config.layers;
    bert_linear **all = mem_alloc((4 * (size_t)layers + 2) * sizeof *all);
    size_t n = 0, bytes = 0, at = 0;
    for (uint32_t i = 0; i < layers; i++) {
        bert_layer *l = &m->layers[i];
        bert_linear *parts[] = {&l->mix, &l->out, &l->widen, &l->narrow};
        for (size_t j = 0; j < 4; j++) all[n++] = parts[j];
    }
    all[n++] = &m->transform;
    all[n++] = &m->decoder;
    for (size_t i = 0; i < n; i++) bytes += bert_linear_bytes(all[i]);
    bytes = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    m->weights = aligned_alloc(HUGE_PAGE, bytes);
    if (m->weights) madvise(m->weights, bytes, MADV_HUGEPAGE);
    for (size_t i = 0; i < n && m->weights; i++) {
        bert_linear_move(all[i], (char *)m->weights + at);
        at += bert_linear_bytes(all[i]);
    }
    free(all);
}

forage_status bert_model_open(const char *folder, const bert_options *options, bert_model **out, base_error *error) {
    static const bert_options standard = {0};
    const bert_options *o = options ? options : &standard;
    bert_model *m = mem_zalloc(1, sizeof *m);
    forage_status status;
    pthread_mutex_init(&m->lock, NULL);
    arena_init(&m->strings, 0);
    m->head = o->head;
    m->precision = o->precision;
    m->ops = bert_ops_best();
    if ((status = bert_config_read(folder, o, &m->strings, &m->config, error))) goto done;
    if ((status = wordpiece_open(folder, &m->words, error))) goto done;
    if (wordpiece_size(m->words) > m->config.vocabulary) {
        status = error_set(error, FORAGE_E_CORRUPT, "%s: the vocabulary has %u tokens, config.json says %u", folder,
                           wordpiece_size(m->words), m->config.vocabulary);
        goto done;
    }
    const char *path = path_join(&m->strings, folder, "model.safetensors");
    if ((status = safetensors_open(path, &m->file, error))) goto done;
    if ((status = bert_weights_read(m, bert_uses_onednn(o->backend), error))) {
        status = error_prefix(error, "%s", path);
        goto done;
    }
    gather_weights(m);
    if ((status = version_of(path, m, &m->version, error))) goto done;
    m->threads = threads_of(o->threads);
    if (m->threads > 1) m->pool = os_pool_create(m->threads - 1, QUEUE);
    *out = m;
    m = NULL;
done:
    bert_model_close(m);
    return status;
}

static void release_norm(bert_norm *n) {
    free(n->weight);
    free(n->bias);
}

static void release_scratch(bert_scratch *s) {
    bert_room_release(&s->room);
    arena_release(&s->tokens);
    free(s->x);
    free(s->y);
    free(s->mix);
    free(s->inner);
    free(s->scores);
    free(s->best);
    free(s);
}

void bert_model_close(bert_model *m) {
    if (!m) return;
    os_pool_destroy(m->pool);
    for (uint32_t i = 0; i < m->config.layers && m->layers; i++) {
        bert_layer *l = &m->layers[i];
        bert_linear_release(&l->mix);
        bert_linear_release(&l->out);
        bert_linear_release(&l->widen);
        bert_linear_release(&l->narrow);
        release_norm(&l->out_norm);
        release_norm(&l->narrow_norm);
    }
    free(m->layers);
    bert_linear_release(&m->transform);
    bert_linear_release(&m->decoder);
    free(m->weights);
    release_norm(&m->transform_norm);
    release_norm(&m->embedded_norm);
    free(m->positions);
    free(m->types);
    for (bert_scratch *s = m->free, *next; s; s = next) {
        next = s->next;
        release_scratch(s);
    }
    if (m->file) safetensors_close(m->file);
    if (m->words) wordpiece_close(m->words);
    arena_release(&m->strings);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

bert_scratch *bert_scratch_take(bert_model *m) {
    pthread_mutex_lock(&m->lock);
    bert_scratch *s = m->free;
    if (s) m->free = s->next;
    pthread_mutex_unlock(&m->lock);
    if (!s) {
        s = mem_zalloc(1, sizeof *s);
        arena_init(&s->tokens, 0);
    }
    return s;
}

void bert_scratch_give(bert_model *m, bert_scratch *s) {
    arena_reset(&s->tokens);
    pthread_mutex_lock(&m->lock);
    s->next = m->free;
    m->free = s;
    pthread_mutex_unlock(&m->lock);
}

bert_info bert_model_describe(const bert_model *m) {
    const bert_config *c = &m->config;
    return (bert_info){.dimensions = c->dimensions, .layers = c->layers, .heads = c->heads, .inner = c->inner,
                       .vocabulary = c->vocabulary, .most_tokens = c->most_tokens, .version = m->version, .head = m->head,
                       .precision = m->precision, .pooling = c->pooling, .query_prefix = c->query_prefix,
                       .document_prefix = c->document_prefix};
}

slice bert_token_text(const bert_model *m, uint32_t token) { return wordpiece_token(m->words, token); }
