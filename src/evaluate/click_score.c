/* What a click model expects of a page, and how well that holds. */
#include "evaluate/click_models_internal.h"

#include <math.h>

double click_model_attractiveness(const click_model *m, uint32_t pair) {
    if (m->kind == CLICK_RATE) return 1;
    return pair < m->n_pairs ? m->a[pair] : m->mean_a;
}

double click_model_satisfaction(const click_model *m, uint32_t pair) {
    if (m->kind != CLICK_DBN && m->kind != CLICK_SDBN) return 0;
    return pair < m->n_pairs ? m->s[pair] : m->mean_s;
}

double click_model_continuation(const click_model *m) { return m->gamma; }

double click_model_examination(const click_model *m, uint32_t rank) {
    if ((m->kind != CLICK_PBM && m->kind != CLICK_CURVE) || !rank) return 1;
    return m->p[rank < CLICK_MAX_RANKS ? rank - 1 : CLICK_MAX_RANKS - 1];
}

uint32_t click_model_iterations(const click_model *m) { return m->iterations; }

/* One walk for both: `ever` is the chance that the user comes to this rank, `now` the same given the clicks above. */
static void predict_cascade(const click_model *m, const uint32_t *pair, const uint8_t *clicked, size_t n, double *full,
                            double *conditional) {
    double ever = 1, now = 1;
    for (size_t r = 0; r < n; r++) {
        double a = click_model_attractiveness(m, pair[r]);
        double s = m->kind == CLICK_CASCADE ? 1 : click_model_satisfaction(m, pair[r]);
        if (full) full[r] = click_limit(ever * a);
        if (conditional) conditional[r] = click_limit(now * a);
        ever *= m->gamma * (1 - a * s);
        if (!conditional) continue;
        now = m->gamma * (clicked[r] ? 1 - s : now * (1 - a) / fmax(CLICK_LEAST, 1 - now * a));
    }
}

void click_model_predict(const click_model *m, const uint32_t *pair, const uint8_t *clicked, size_t n, double *full,
                         double *conditional) {
    if (m->kind == CLICK_CASCADE || m->kind == CLICK_DBN || m->kind == CLICK_SDBN) {
        predict_cascade(m, pair, clicked, n, full, conditional);
        return;
    }
    for (size_t r = 0; r < n; r++) { /* a rank's click does not depend on another's */
        double chance = click_limit(m->p[r] * click_model_attractiveness(m, pair[r]));
        if (full) full[r] = chance;
        if (conditional) conditional[r] = chance;
    }
}

forage_status click_model_score(const click_model *m, const click_pages *pages, click_score *out, base_error *error) {
    forage_status status = click_pages_check(pages, UINT32_MAX, error);
    if (status) return status;
    double full[CLICK_MAX_RANKS], conditional[CLICK_MAX_RANKS], shown[CLICK_MAX_RANKS] = {0};
    click_score score = {.n_pages = pages->n_pages};
    for (size_t i = 0; i < pages->n_pages; i++) {
        size_t from = pages->first[i], n = pages->first[i + 1] - from;
        click_model_predict(m, pages->pair + from, pages->clicked + from, n, full, conditional);
        if (n > score.n_ranks) score.n_ranks = (uint32_t)n;
        for (size_t r = 0; r < n; r++) {
            bool clicked = pages->clicked[from + r];
            double seen = log(clicked ? conditional[r] : 1 - conditional[r]);
            score.log_likelihood += seen / (double)pages->n_pages;
            score.conditional_at_rank[r] += seen / M_LN2;
            score.at_rank[r] += log2(clicked ? full[r] : 1 - full[r]);
            shown[r]++;
        }
    }
    for (uint32_t r = 0; r < score.n_ranks; r++) {
        score.at_rank[r] = exp2(-score.at_rank[r] / shown[r]);
        score.conditional_at_rank[r] = exp2(-score.conditional_at_rank[r] / shown[r]);
        score.perplexity += score.at_rank[r] / score.n_ranks;
        score.conditional_perplexity += score.conditional_at_rank[r] / score.n_ranks;
    }
    *out = score;
    return FORAGE_OK;
}
