/* Classes from lengths, codes from frequencies. BM25F (Zaragoza et al. 2004, Robertson & Zaragoza 2009, eq. 3.20). */
#include "sparse/impact_table.h"

#include "base/hash.h"

#include <math.h>
#include <stdlib.h>

enum { SLOTS = 2 * IMPACT_CODES, KNOWN = 1024 };
#define NO_CLASS 256u

uint8_t impact_quantise(float x, float k1) {
    float saturation = x / (k1 + x);
    if (!(saturation * 255.0f > 1.0f)) return 1; /* not a number, too */
    return saturation >= 1.0f ? 255 : (uint8_t)(saturation * 255.0f + 0.5f);
}

/* ---- classes ---- */

typedef struct field_norm {
    const uint32_t *lengths;
    float weight, b, average;
} field_norm;

static float norm_of(const field_norm *f, float length) { return f->weight / (1.0f - f->b + f->b * length / f->average); }

typedef struct class_set {
    const field_norm *fields;
    uint32_t n_text, n;
    uint64_t keys[SLOTS];
    uint16_t slots[SLOTS]; /* class + 1, or 0 */
    int32_t *steps[SPARSE_MAX_FIELDS]; /* of lengths below KNOWN; NULL: lengths are taken as they are */
    float per_octave;
} class_set;

/* Norms within one step of each other are alike. */
static int32_t step_of(const class_set *c, uint32_t field, uint32_t length) {
    const field_norm *f = &c->fields[field];
    if (c->per_octave == 0) return (int32_t)length;
    if (length < KNOWN) return c->steps[field][length];
    return (int32_t)floorf(log2f(norm_of(f, (float)length) / f->weight) * c->per_octave);
}

static void set_steps(class_set *c, float per_octave) {
    c->per_octave = per_octave;
    c->n = 0;
    memset(c->slots, 0, sizeof c->slots);
    for (uint32_t f = 0; f < c->n_text && per_octave > 0; f++) {
        if (!c->steps[f]) c->steps[f] = mem_alloc(KNOWN * sizeof **c->steps);
        for (uint32_t i = 0; i < KNOWN; i++) {
            float norm = norm_of(&c->fields[f], (float)i) / c->fields[f].weight;
            c->steps[f][i] = (int32_t)floorf(log2f(norm) * per_octave);
        }
    }
}

/* NO_CLASS: it would be one too many. A field that a place does not have is of no length in particular. */
static uint32_t class_of(class_set *c, uint32_t place) {
    uint64_t key = 0;
    for (uint32_t f = 0; f < c->n_text; f++) {
        uint32_t length = c->fields[f].lengths[place];
        uint32_t step = length ? (uint32_t)step_of(c, f, length) : UINT32_MAX;
        key = (key ^ step) * 0x9e3779b97f4a7c15u;
        key ^= key >> 29;
    }
    size_t at = (size_t)(key * 0xbf58476d1ce4e5b9u >> 40) % SLOTS;
    while (c->slots[at] && c->keys[at] != key) at = (at + 1) % SLOTS;
    if (c->slots[at]) return c->slots[at] - 1u;
    if (c->n == NO_CLASS) return NO_CLASS;
    c->keys[at] = key;
    c->slots[at] = (uint16_t)++c->n;
    return c->n - 1;
}

static bool classify(class_set *c, uint32_t count, uint8_t *classes) {
    for (uint32_t p = 0; p < count; p++) {
        uint32_t class = class_of(c, p);
        if (class == NO_CLASS) return false;
        classes[p] = (uint8_t)class;
    }
    return true;
}

/* The norms of the mean length of each class, over those places that have the field. */
static void mean_norms(impact_table *t, const field_norm *fields, uint32_t count) {
    double *sums = mem_zalloc(t->n_classes, sizeof *sums);
    uint32_t *having = mem_zalloc(t->n_classes, sizeof *having);
    for (uint32_t f = 0; f < t->n_text; f++) {
        memset(sums, 0, t->n_classes * sizeof *sums);
        memset(having, 0, t->n_classes * sizeof *having);
        for (uint32_t p = 0; p < count; p++) {
            sums[t->classes[p]] += fields[f].lengths[p];
            having[t->classes[p]] += fields[f].lengths[p] > 0;
        }
        for (uint32_t c = 0; c < t->n_classes; c++)
            t->norms[c * t->n_text + f] = norm_of(&fields[f], having[c] ? (float)(sums[c] / having[c]) : 0);
    }
    free(having);
    free(sums);
}

static bool short_lengths(const uint32_t *lengths, uint32_t count, uint32_t *most) {
    *most = 0;
    for (uint32_t p = 0; p < count; p++) *most = lengths[p] > *most ? lengths[p] : *most;
    return *most < 256;
}

static void make_classes(impact_table *t, const field_norm *fields, uint32_t count) {
    uint32_t most = 0;
    t->n_classes = 1;
    if (t->n_text == 1 && short_lengths(fields[0].lengths, count, &most)) {
        t->lengths = true;
        for (uint32_t p = 0; p < count; p++) t->classes[p] = (uint8_t)fields[0].lengths[p];
        t->n_classes = most + 1;
    } else if (count > 0 && t->n_text > 0) {
        static const float per_octave[] = {0, 24, 16, 12, 8, 6, 4, 3, 2, 1, .5f, .25f, .01f};
        class_set *c = mem_zalloc(1, sizeof *c);
        c->fields = fields;
        c->n_text = t->n_text;
        bool fits = false;
        for (size_t i = 0; !fits && i < sizeof per_octave / sizeof *per_octave; i++) {
            set_steps(c, per_octave[i]);
            fits = classify(c, count, t->classes);
        }
        if (!fits) memset(t->classes, 0, count); /* more than eight fields, each there and not there */
        t->n_classes = fits ? c->n : 1;
        for (uint32_t f = 0; f < t->n_text; f++) free(c->steps[f]);
        free(c);
    }
    while (t->n_classes > 1u << t->shift) t->shift++;
    t->norms = mem_zalloc((size_t)t->n_classes * (t->n_text ? t->n_text : 1), sizeof *t->norms);
    if (t->lengths) {
        for (uint32_t c = 0; c < t->n_classes; c++) t->norms[c] = norm_of(&fields[0], (float)c);
    } else {
        mean_norms(t, fields, count);
    }
}

/* ---- codes ---- */

void impact_table_create(impact_table *t, const sparse_config *config, const segment_columns *columns,
                         const sparse_statistics *statistics) {
    *t = (impact_table){.k1 = config->k1};
    field_norm fields[SPARSE_MAX_FIELDS];
    for (uint32_t f = 0; f < config->n_fields; f++) {
        if (config->fields[f].kind != SPARSE_TEXT) continue;
        double length = (double)statistics->length[f], having = (double)statistics->having[f];
        fields[t->n_text++] = (field_norm){.lengths = columns->lengths[f],
                                           .weight = config->fields[f].weight,
                                           .b = config->b,
                                           .average = length > 0 && having > 0 ? (float)(length / having) : 1.0f};
    }
    t->classes = mem_zalloc((size_t)columns->count + 1, 1);
    make_classes(t, fields, columns->count);
    t->frequencies = mem_alloc((size_t)IMPACT_CODES * (t->n_text ? t->n_text : 1) * sizeof *t->frequencies);
    t->rows = mem_zalloc((size_t)IMPACT_CODES << t->shift, 1);
}

void impact_table_destroy(impact_table *t) {
    free(t->classes);
    free(t->norms);
    free(t->frequencies);
    free(t->rows);
    *t = (impact_table){0};
}

static float weigh(const impact_table *t, uint32_t class, const uint32_t *frequencies) {
    const float *norms = t->norms + (size_t)class * t->n_text;
    float x = 0;
    for (uint32_t f = 0; f < t->n_text; f++) x += norms[f] * (float)frequencies[f];
    return x;
}

uint8_t impact_table_exact(const impact_table *t, uint32_t place, const uint32_t *frequencies) {
    return impact_quantise(weigh(t, t->classes[place], frequencies), t->k1);
}

static uint32_t nearest(const impact_table *t, uint32_t class, const uint32_t *frequencies) {
    float wanted = weigh(t, class, frequencies), least = INFINITY;
    uint32_t best = 0;
    for (uint32_t c = 0; c < t->n_codes; c++) {
        float away = fabsf(weigh(t, class, t->frequencies + (size_t)c * t->n_text) - wanted);
        if (away < least) least = away, best = c;
    }
    return best;
}

uint32_t impact_table_code(impact_table *t, uint32_t place, const uint32_t *frequencies, bool *exact) {
    size_t size = t->n_text * sizeof *frequencies;
    uint32_t hash = 0;
    for (uint32_t f = 0; f < t->n_text; f++) hash = (hash ^ frequencies[f]) * 0x9e3779b1u;
    size_t at = (hash ^ hash >> 15) % SLOTS;
    *exact = true;
    for (; t->slots[at]; at = (at + 1) % SLOTS) {
        uint32_t code = t->slots[at] - 1u;
        if (memcmp(t->frequencies + (size_t)code * t->n_text, frequencies, size) == 0) return code;
    }
    if (t->n_codes == IMPACT_CODES) {
        *exact = false;
        return nearest(t, t->classes[place], frequencies);
    }
    uint32_t code = t->n_codes++;
    memcpy(t->frequencies + (size_t)code * t->n_text, frequencies, size);
    for (uint32_t f = 0; f < t->n_text; f++) t->totals[code] += frequencies[f];
    for (uint32_t c = 0; c < t->n_classes; c++)
        t->rows[code << t->shift | c] = impact_quantise(weigh(t, c, frequencies), t->k1);
    t->slots[at] = (uint16_t)(code + 1);
    return code;
}
