#include "dense/dense.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
struct dense_index { dense_config c; pthread_mutex_t m; size_t n, cap; uint32_t *doc; uint64_t *ver; float *vec; };
forage_status dense_index_create(const char *f, const dense_config *c, dense_index **out, base_error *e) { (void)f;(void)e; dense_index *i = mem_zalloc(1, sizeof *i); i->c = *c; pthread_mutex_init(&i->m, NULL); *out = i; return FORAGE_OK; }
forage_status dense_index_open(const char *f, const char *p, const dense_config *c, dense_index **out, base_error *e) { (void)f;(void)c;(void)out; return error_set(e, FORAGE_E_NOT_FOUND, "%s", p); }
forage_status dense_index_save(dense_index *i, const char *p, base_error *e) { (void)i;(void)p;(void)e; return FORAGE_OK; }
void dense_index_close(dense_index *i) { if (!i) return; free(i->doc); free(i->ver); free(i->vec); free(i); }
static size_t at(dense_index *i, uint32_t d) { for (size_t k = 0; k < i->n; k++) if (i->doc[k] == d) return k; return i->n; }
forage_status dense_index_add(dense_index *i, uint32_t d, uint64_t v, const float *x, base_error *e) { (void)e; pthread_mutex_lock(&i->m); size_t k = at(i, d); if (k == i->n) { if (i->n == i->cap) { i->cap = i->cap ? i->cap * 2 : 16; i->doc = realloc(i->doc, i->cap * 4); i->ver = realloc(i->ver, i->cap * 8); i->vec = realloc(i->vec, i->cap * 4 * i->c.dimensions); } i->n++; } i->doc[k] = d; i->ver[k] = v; memcpy(i->vec + k * i->c.dimensions, x, 4 * i->c.dimensions); pthread_mutex_unlock(&i->m); return FORAGE_OK; }
void dense_index_remove(dense_index *i, uint32_t d) { pthread_mutex_lock(&i->m); size_t k = at(i, d); if (k < i->n) { i->n--; i->doc[k] = i->doc[i->n]; i->ver[k] = i->ver[i->n]; memcpy(i->vec + k * i->c.dimensions, i->vec + i->n * i->c.dimensions, 4 * i->c.dimensions); } pthread_mutex_unlock(&i->m); }
bool dense_index_version(dense_index *i, uint32_t d, uint64_t *v) { pthread_mutex_lock(&i->m); size_t k = at(i, d); bool y = k < i->n; if (y) *v = i->ver[k]; pthread_mutex_unlock(&i->m); return y; }
bool dense_index_vector(dense_index *i, uint32_t d, float *o) { pthread_mutex_lock(&i->m); size_t k = at(i, d); bool y = k < i->n; if (y) memcpy(o, i->vec + k * i->c.dimensions, 4 * i->c.dimensions); pthread_mutex_unlock(&i->m); return y; }
size_t dense_index_documents(dense_index *i, arena *a, uint32_t **d, uint64_t **v) { pthread_mutex_lock(&i->m); *d = arena_alloc(a, i->n * 4 + 4); *v = arena_alloc(a, i->n * 8 + 8); memcpy(*d, i->doc, i->n * 4); memcpy(*v, i->ver, i->n * 8); size_t n = i->n; pthread_mutex_unlock(&i->m); return n; }
static int cmp(const void *x, const void *y) { const dense_hit *a = x, *b = y; return a->distance < b->distance ? -1 : a->distance > b->distance ? 1 : a->document < b->document ? -1 : 1; }
size_t dense_search(dense_index *i, const float *q, uint32_t k, uint32_t ef, const dense_filter *f, arena *a, dense_hit *h) { (void)ef; pthread_mutex_lock(&i->m); dense_hit *all = arena_alloc(a, (i->n + 1) * sizeof *all); size_t n = 0; for (size_t j = 0; j < i->n; j++) { uint32_t d = i->doc[j]; if (f && (d >= f->n_documents || !(f->bits[d / 64] >> d % 64 & 1))) continue; all[n++] = (dense_hit){d, dense_exact(i->c.metric, q, i->vec + j * i->c.dimensions, i->c.dimensions)}; } pthread_mutex_unlock(&i->m); qsort(all, n, sizeof *all, cmp); if (n > k) n = k; memcpy(h, all, n * sizeof *h); return n; }
void dense_index_describe(dense_index *i, dense_info *o) { *o = (dense_info){.documents = (uint32_t)i->n, .memory = i->n * 4 * i->c.dimensions}; }
