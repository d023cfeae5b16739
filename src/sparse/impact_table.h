/* What a posting's impact follows from, so that it needs not be stored: how often the term is in each text field (a code),
 * and how long these fields are (the place's class). impact = rows[code << shift | class].
 *
 * A segment has at most 256 of each. Lengths that are too many to have a class each share one with their like: then
 * a class's lengths are the means of its places'. Codes are given out in the order of their first use, so that the
 * frequent ones are small; when there is none left, a posting takes the code with the nearest impact. */
#ifndef SPARSE_IMPACT_TABLE_H
#define SPARSE_IMPACT_TABLE_H

#include "sparse/segment_write.h"

#define IMPACT_CODES 256u

typedef struct impact_table {
    uint32_t n_text;
    float k1;
    uint8_t *classes;    /* per place */
    bool lengths;        /* a class is the length of the one text field */
    uint32_t n_classes;  /* 1 … 256 */
    unsigned shift;      /* n_classes <= 1 << shift */
    float *norms;        /* n_text of each class: w_f / (1 − b + b × len / avg) */
    uint32_t n_codes;
    uint32_t *frequencies; /* n_text of each code */
    uint32_t totals[IMPACT_CODES]; /* their sums */
    uint8_t *rows;
    uint16_t slots[2 * IMPACT_CODES]; /* a hash table: code + 1, or 0 */
} impact_table;

void impact_table_create(impact_table *t, const sparse_config *config, const segment_columns *columns,
                         const sparse_statistics *statistics);
void impact_table_destroy(impact_table *t);

/* The code of a posting at `place`, whose term is frequencies[o] times in text field o. *exact: the code says the same. */
uint32_t impact_table_code(impact_table *t, uint32_t place, const uint32_t *frequencies, bool *exact);
static inline uint8_t impact_table_impact(const impact_table *t, uint32_t place, uint32_t code) {
    return t->rows[code << t->shift | t->classes[place]];
}
/* The impact without a code, for a term's only posting. */
uint8_t impact_table_exact(const impact_table *t, uint32_t place, const uint32_t *frequencies);

/* saturation = x / (k1 + x) of the weighted frequency x, rounded to the nearest of 255 equal steps, at least 1. */
uint8_t impact_quantise(float x, float k1);

#endif
